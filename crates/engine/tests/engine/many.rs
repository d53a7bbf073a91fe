//! Many pipelines: who only looks wakes nobody, and who rests takes no memory.
use crate::house::{House, question};
use dataflow_core::{
    id::{Actor, CommandId, PipelineId},
    shard::ShardId,
};
use dataflow_engine::region::{Action, ListQuery, Message, Query, Reply, ShardingEnvelope, UserCommand};
use std::{collections::BTreeMap, time::Duration};

async fn create(house: &House, names: impl Iterator<Item = String>) {
    for name in names {
        let command = UserCommand {
            id: CommandId::try_from("create").unwrap(),
            actor: Actor::try_from("test").unwrap(),
            reason: None,
            trace: None,
            expected_version: None,
            action: Action::Create(Box::new(serde_json::from_value(house.spec()).unwrap())),
        };
        let envelope = ShardingEnvelope {
            pipeline: PipelineId::try_from(name.as_str()).unwrap(),
            message: Message::Command(command),
        };
        house.region().ask(envelope).await.unwrap();
    }
}

fn all() -> ListQuery {
    ListQuery { after: None, limit: 1_000, status: None, labels: BTreeMap::new() }
}

#[tokio::test(start_paused = true)]
async fn a_list_wakes_nobody() {
    let mut house = House::new("list").await;
    let names = || (0..300).map(|n| format!("p{n:03}"));
    create(&house, names()).await;
    let listed = async |house: &House| {
        let page = house.region().list(all()).await.unwrap();
        page.pipelines.into_iter().map(|view| view.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&house).await, names().collect::<Vec<_>>());
    assert!(house.shutdown().await);
    house.build().await;
    assert_eq!(house.region().overview().await.entities, 0);
    assert_eq!(listed(&house).await, names().collect::<Vec<_>>());
    assert_eq!(house.region().overview().await.entities, 0);
}

/// Without it a pipeline that was made once would stay in memory, and in the log to be read at each start, until 250 more
/// events came to its shard.
#[tokio::test(start_paused = true)]
async fn a_shard_that_is_quiet_takes_its_snapshot() {
    let mut house = House::new("quiet").await;
    create(&house, ["p".to_owned()].into_iter()).await;
    let shard = ShardId::of(&PipelineId::try_from("p").unwrap());
    assert_eq!(house.journal.snapshots(shard).await.unwrap().0.len(), 0);
    tokio::time::sleep(Duration::from_secs(61)).await;
    let (snapshots, next) = house.journal.snapshots(shard).await.unwrap();
    assert_eq!((snapshots.len(), next.0), (1, 2));
    house.crash().await;
    house.build().await;
    assert_eq!(house.region().list(all()).await.unwrap().pipelines.len(), 1);
}

/// A pipeline that runs for ever with bad records among its good ones must not need more and more memory for them.
#[tokio::test(start_paused = true)]
async fn many_commits_with_dead_letters_leave_few_chunks() {
    let mut house = House::new("letters").await;
    let mut spec = house.spec();
    spec["batch"]["maxRecords"] = 1.into();
    house.create(spec).await;
    house.start().await;
    let (mut total, mut commits) = (0, 0);
    while commits < 4_000 {
        house.feed.push("t/0", (total..total + 2_000).map(|n| format!("{{\"die\":{n}}}")));
        total += 2_000;
        commits = house.until(|view| view.counters.dead == total).await.counters.batches;
        // Beyond a checkpoint, which is when they are journalled.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    for round in 0..2 {
        let chunks = house.chunks().await.len();
        assert!(chunks < 2_500, "{total} letters of {commits} commits lie in {chunks} chunks");
        for number in [1, 2, 999, 1_000, 1_001, 7_777, total] {
            let letter = house.ask(question(Query::DeadLetter(number))).await.unwrap();
            let Reply::DeadLetter(letter) = letter else { panic!("{letter:?}") };
            assert_eq!(letter.original, Some(format!("{{\"die\":{}}}", number - 1).into_bytes()), "round {round}");
        }
        house.crash().await;
        house.build().await;
        house.until(|view| view.counters.dead == total).await;
    }
}
