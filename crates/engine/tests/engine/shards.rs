//! Shards are taken over and let go while the node lives.
use crate::house::{House, numbers, question, view};
use dataflow_core::{
    id::{Actor, CommandId, Epoch, PipelineId},
    pipeline::Status,
    shard::ShardId,
};
use dataflow_engine::{
    Acquired,
    region::{Action, AskError, ListQuery, Message, Query, ShardingEnvelope, UserCommand},
};
use dataflow_journal::{
    Holder, Journal, Memory,
    fault::{Fault, Faulty},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

fn shard() -> ShardId {
    ShardId::of(&PipelineId::try_from("p").unwrap())
}

async fn epoch(house: &House) -> Epoch {
    house.journal.head(shard()).await.unwrap().epoch
}

/// The ids of all pipelines that the node lists.
async fn listed(house: &House) -> Vec<String> {
    let listing = house.region().list(ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap();
    listing.pipelines.into_iter().map(|pipeline| pipeline.id.to_string()).collect()
}

/// A node that runs the pipeline `p` on ten records, and has another one in another shard.
async fn running(name: &str, journal: Journal) -> House {
    let mut house = House::on(name, journal, 1, 1).await;
    let pipeline = PipelineId::try_from("q").unwrap();
    assert_ne!(ShardId::of(&pipeline), shard());
    let action = Action::Create(serde_json::from_value(house.spec()).unwrap());
    let (id, actor) = (CommandId::try_from("q").unwrap(), Actor::try_from("test").unwrap());
    let message =
        Message::Command(UserCommand { id, actor, reason: None, trace: None, expected_version: None, action });
    view(house.region().ask(ShardingEnvelope { pipeline, message }).await);
    house.create(house.spec()).await;
    house.start().await;
    house.feed.push("t/0", numbers(0, 10));
    house.until(|view| view.counters.delivered == 10).await;
    house
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_was_released_goes_on_once_it_is_acquired() {
    let mut house = running("released", Journal::new(Arc::new(Memory::new()))).await;
    let shards = house.shards();
    shards.release(shard()).await;
    assert!(shards.owned().len() == 255 && !shards.owned().contains(&shard()));
    house.feed.push("t/0", numbers(10, 20));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(house.store.data(), numbers(0, 10), "nobody runs it");
    let refused = house.ask(question(Query::State)).await;
    assert!(matches!(refused, Err(AskError::NotOwner(of)) if of == shard()), "{refused:?}");
    assert_eq!(listed(&house).await, ["q"]);

    let before = epoch(&house).await;
    for _ in 0..2 {
        assert_eq!(shards.acquire(shard(), before).await.unwrap(), Acquired::Owned(before.next()));
        assert_eq!(house.owned().await, 256);
    }
    house.until(|view| view.counters.delivered == 20).await;
    assert_eq!(house.store.data(), numbers(0, 20));
    assert!(house.shutdown().await);
}

/// Whoever assigned it knew of an earlier owner only: this one must not take it away from the last.
#[tokio::test(start_paused = true)]
async fn a_shard_of_another_epoch_than_the_expected_one_is_left_alone() {
    let house = running("expected", Journal::new(Arc::new(Memory::new()))).await;
    let shards = house.shards();
    shards.release(shard()).await;
    let before = epoch(&house).await;
    let head = house.journal.take_over(shard(), &Holder::new("another node")).await.unwrap();
    assert_eq!(shards.acquire(shard(), before).await.unwrap(), Acquired::Held(head.clone()));
    assert_eq!(house.journal.head(shard()).await.unwrap(), head);
    assert_eq!(house.owned().await, 255);
}

/// The journal answers late, so that the calls are under way at once.
#[tokio::test(start_paused = true)]
async fn a_shard_is_taken_over_and_let_go_in_turn() {
    let journal = Arc::new(Faulty::scripted(Memory::new(), []));
    let mut house = running("in-turn", Journal::new(journal.clone())).await;
    let shards = house.shards();
    let mut done = 10;
    for _ in 0..5 {
        let before = epoch(&house).await;
        journal.script(std::iter::repeat_n(Fault::Slow(Duration::from_millis(50)), 20));
        let ((), one, other) =
            tokio::join!(shards.release(shard()), shards.acquire(shard(), before), shards.acquire(shard(), before));
        assert_eq!([one.unwrap(), other.unwrap()], [Acquired::Owned(before.next()), Acquired::Owned(before.next())]);
        let ((), acquired) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                shards.release(shard()).await
            },
            shards.acquire(shard(), before)
        );
        assert_eq!(acquired.unwrap(), Acquired::Owned(before.next()), "owned already");
        assert_eq!(house.owned().await, 255, "released last");
        shards.acquire(shard(), before.next()).await.unwrap();
        house.feed.push("t/0", numbers(done, done + 10));
        done += 10;
        house.until(|view| view.counters.delivered == done).await;
    }
    assert_eq!(house.store.data(), numbers(0, done));
    assert!(house.shutdown().await);
}

/// One that is being acquired while the node goes down is let go, too.
#[tokio::test(start_paused = true)]
async fn a_node_that_goes_down_keeps_no_shard() {
    let journal = Arc::new(Faulty::scripted(Memory::new(), []));
    let mut house = running("goes-down", Journal::new(journal.clone())).await;
    let shards = house.shards();
    shards.release(shard()).await;
    let before = epoch(&house).await;
    journal.script(std::iter::repeat_n(Fault::Slow(Duration::from_millis(50)), 9));
    let (acquired, down) = tokio::join!(shards.acquire(shard(), before), house.shutdown());
    assert!(acquired.is_ok() && down, "{acquired:?}");
    assert!(shards.owned().is_empty());
    assert!(shards.acquire(shard(), before.next()).await.is_err());
}

/// The others go on; what the other node has is not listed here, and the node is not ready before its shard is released.
#[tokio::test(start_paused = true)]
async fn a_shard_that_another_node_has_taken_over_is_let_go_and_can_come_back() {
    let mut house = running("lost-shard", Journal::new(Arc::new(Memory::new()))).await;
    let head = house.journal.take_over(shard(), &Holder::new("another node")).await.unwrap();
    let shards = house.shards();
    // Whoever asks meanwhile gets an answer.
    for _ in 0..3_000 {
        assert!(["p", "q"].map(String::from).ends_with(&listed(&house).await));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(listed(&house).await, ["q"]);
    let refused = house.act(Action::Start { sink: None }).await;
    assert!(matches!(refused, Err(AskError::NotOwner(of)) if of == shard()), "{refused:?}");
    let overview = house.region().overview().await;
    assert_eq!((overview.shards_owned, overview.shards_assigned, overview.runs), (255, 256, 0));
    assert_eq!(overview.by_status.values().sum::<usize>(), 1);

    shards.release(shard()).await;
    assert_eq!(house.region().overview().await.shards_assigned, 255);
    assert_eq!(shards.acquire(shard(), head.epoch).await.unwrap(), Acquired::Owned(head.epoch.next()));
    house.feed.push("t/0", numbers(10, 20));
    house.until(|view| view.counters.delivered == 20 && view.status == Status::Running).await;
    assert_eq!(house.store.data(), numbers(0, 20));
    assert!(house.shutdown().await);
}

/// Nobody who looks at the shards may hold them: who changes them would wait, and whoever looks again would wait for that one.
#[test]
fn the_node_can_be_asked_on_other_threads_while_shards_come_and_go() {
    let (done, heard) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let house = House::new("looked-at").await;
            let (shards, over) = (house.shards(), Arc::new(AtomicBool::new(false)));
            let asking = [(); 2].map(|()| {
                let (region, over) = (house.region(), over.clone());
                thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let overview = futures::executor::block_on(region.overview());
                        assert!(overview.shards_assigned >= 255);
                    }
                })
            });
            for _ in 0..300 {
                shards.release(shard()).await;
                let before = epoch(&house).await;
                shards.acquire(shard(), before).await.unwrap();
            }
            over.store(true, Ordering::Relaxed);
            asking.into_iter().for_each(|asking| asking.join().unwrap());
        });
        done.send(()).unwrap();
    });
    heard.recv_timeout(Duration::from_secs(60)).expect("it comes to an end");
}
