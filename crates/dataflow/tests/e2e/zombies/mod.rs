//! Zombies: a node that was frozen, given up and replaced, and wakes. Two nodes share one journal (only a build with fault
//! points lets them); the first is frozen at a named point, the second takes over and goes on, the first wakes: nothing that
//! it still does lands anywhere, and it lets go of all it holds.
mod house;
mod in_statement;
mod in_transaction;

use crate::{server::Postgres, topic::Topic};
use dataflow_testkit::{
    bucket::{Bucket, Kind},
    search::Index,
    servers,
};
use house::{Feed, House, Target, freezes};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Longest wait for a point to be passed; who does not pass it by then never does.
const PASSES: Duration = Duration::from_secs(5);

/// The points that each pair passes once its node serves. The others are `claim`, before it serves; `define` and `ingest`,
/// of which these pairs have none; `snapshot` and `collect`, which come after a quiet minute or not at all: that a snapshot
/// of an older epoch is refused is in the journal's contract.
const POINTS: [&str; 14] = [
    "before:source-open",
    "after:source-open",
    "before:sink-open",
    "after:sink-open",
    "before:prepare@2",
    "after:prepare@2",
    "before:sink-commit@2",
    "after:sink-commit@2",
    "before:journal-append@2",
    "after:journal-append@2",
    "before:checkpoint",
    "after:checkpoint",
    "before:schema-change",
    "after:schema-change",
];

/// Those of staged sinks beside them.
const STAGED: [&str; 4] = ["before:seal", "after:seal", "before:publish", "after:publish"];

/// Freezes a node at a point, has another take over, wakes the first (or kills it, if it is in the way); false if the point
/// is not passed by this pair.
async fn haunt(point: &str, feed: Feed, target: Target, wake: bool) -> bool {
    let mut house = House::new(feed, target);
    let first = house.node("");
    first.create_and_start(&house.spec()).await;
    house.write(300);
    house.through(&first).await;
    assert_eq!(first.post("/api/pipelines/haunted/stop").await.0, 200);
    assert!(first.terminate().success());

    // Started once the node is up: where it is frozen, it would never say that it is.
    house.write(600);
    let first = house.node(&format!("{point}=stop"));
    let start = async {
        first.try_request("POST", "/api/pipelines/haunted/start?wait=0s", None).await.ok();
        std::future::pending().await
    };
    let passed = tokio::select! {
        passed = freezes(&first, PASSES) => passed,
        passed = start => passed,
    };
    let last = if passed { house.take_over(first, wake).await.0 } else { first };
    house.assert_exact(&last).await;
    drop(last);
    house.leave().await;
    passed
}

async fn haunt_all(points: &[&str], target: impl AsyncFn() -> (Feed, Target)) {
    for point in points {
        for wake in [true, false] {
            let (feed, target) = target().await;
            assert!(haunt(point, feed, target, wake).await, "{point} is passed");
            println!("{point}: exact");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_a_file() {
    for (point, wake) in [("before:sink-commit@2", true), ("after:checkpoint", true), ("after:sink-commit@2", false)] {
        assert!(haunt(point, Feed::File, Target::File, wake).await, "{point} is passed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_a_sqlite_file() {
    for point in ["before:sink-commit@2", "before:prepare@2", "after:checkpoint"] {
        assert!(haunt(point, Feed::File, Target::Sqlite, true).await, "{point} is passed");
    }
}

/// A topic of its own, and a server where nobody else's sessions are ended.
async fn kafka_to_postgres(postgres: &Postgres) -> (Feed, Target) {
    postgres.client().await.batch_execute("drop table if exists rows, dataflow_tokens").await.unwrap();
    (Feed::Kafka(Topic::new("zombies", 4).await), Target::Postgres(postgres.address))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_two_lanes_from_kafka_to_postgres() {
    let (true, Some(postgres)) = (servers::are_up(), Postgres::start().await) else { return };
    for point in ["before:sink-commit@3", "after:sink-commit@4"] {
        let (feed, target) = kafka_to_postgres(&postgres).await;
        assert!(haunt(point, feed, target, true).await, "{point} is passed");
    }
}

/// A topic of its own on either side.
async fn kafka_to_kafka() -> (Feed, Target) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("zombies-out-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    (Feed::Kafka(Topic::new("zombies-in", 4).await), Target::Kafka(name.leak()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_two_lanes_from_kafka_to_kafka() {
    if !servers::are_up() {
        return;
    }
    for point in ["before:sink-commit@3", "after:sink-commit@4"] {
        let (feed, target) = kafka_to_kafka().await;
        assert!(haunt(point, feed, target, true).await, "{point} is passed");
    }
}

/// What the frozen one still sends has smaller versions than what its successor has written.
fn to_index(server: &'static str, feed: Feed) -> (Feed, Target) {
    (feed, Target::Index(Box::leak(Box::new(Index::new(server)))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_an_index() {
    if servers::search().is_empty() || !servers::are_up() {
        return;
    }
    for (point, wake) in [("before:sink-commit@2", true), ("after:sink-commit@2", false)] {
        let (feed, target) = to_index(servers::ELASTICSEARCH, Feed::File);
        assert!(haunt(point, feed, target, wake).await, "{point} is passed");
    }
    for point in ["before:sink-commit@3", "after:checkpoint"] {
        let (feed, target) = to_index(servers::OPENSEARCH, Feed::Kafka(Topic::new("zombies-in", 4).await));
        assert!(haunt(point, feed, target, true).await, "{point} is passed");
    }
}

/// Whichever branch passes the point, all of them are frozen wherever they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_two_files() {
    for point in ["before:sink-commit@3", "after:sink-commit@4", "after:publish"] {
        let target = Target::Several(&[Target::Sqlite, Target::File]);
        assert!(haunt(point, Feed::File, target, true).await, "{point} is passed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_a_table_a_topic_and_an_index() {
    if servers::search().is_empty() || !servers::are_up() {
        return;
    }
    let Some(postgres) = Postgres::start().await else { return };
    for (point, wake) in [("before:sink-commit@5", true), ("after:sink-commit@7", true), ("after:checkpoint@2", false)]
    {
        let (feed, table) = kafka_to_postgres(&postgres).await;
        let (_, index) = to_index(servers::ELASTICSEARCH, Feed::File);
        let name = format!("zombies-several-{}-{}", std::process::id(), point.len());
        let several = Vec::leak(vec![table, Target::Kafka(name.leak()), index]);
        assert!(haunt(point, feed, Target::Several(several), wake).await, "{point} is passed");
    }
}

/// A bucket, or another store, of its own.
async fn to_store(kind: Kind, feed: Feed) -> (Feed, Target) {
    (feed, Target::Bucket(Box::leak(Box::new(Bucket::fresh_of(kind, "zombies").await))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_a_bucket() {
    if !servers::minio_is_up() || !servers::are_up() {
        return;
    }
    for (point, wake) in [("after:seal", true), ("before:publish", true), ("after:checkpoint", false)] {
        let (feed, target) = to_store(Kind::S3, Feed::File).await;
        assert!(haunt(point, feed, target, wake).await, "{point} is passed");
    }
    let (feed, target) = to_store(Kind::S3, Feed::Kafka(Topic::new("zombies-in", 4).await)).await;
    assert!(haunt("before:sink-commit@3", feed, target, true).await, "it is passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_a_folder_or_a_container() {
    for kind in [Kind::Folder, Kind::Azure].into_iter().filter(|kind| kind.is_up()) {
        for point in ["after:seal", "before:publish"] {
            let (feed, target) = to_store(kind, Feed::File).await;
            assert!(haunt(point, feed, target, true).await, "{point} is passed");
        }
    }
}

/// Points of columns, which a topic has not.
const OF_TABLES: [&str; 2] = ["before:schema-change", "after:schema-change"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make test-long"]
async fn a_zombie_with_two_lanes_from_kafka_to_kafka_at_every_point() {
    if servers::are_up() {
        let points: Vec<&str> = POINTS.into_iter().filter(|point| !OF_TABLES.contains(point)).collect();
        haunt_all(&points, kafka_to_kafka).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make test-long"]
async fn a_zombie_with_an_index_at_every_point() {
    if !servers::search().is_empty() {
        let points: Vec<&str> = POINTS.into_iter().filter(|point| !OF_TABLES.contains(point)).collect();
        haunt_all(&points, async || to_index(servers::ELASTICSEARCH, Feed::File)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make test-long"]
async fn a_zombie_with_a_file_at_every_point() {
    haunt_all(&[&POINTS[..], &STAGED].concat(), async || (Feed::File, Target::File)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make test-long"]
async fn a_zombie_with_a_bucket_at_every_point() {
    let points: Vec<_> = POINTS.into_iter().filter(|point| !OF_TABLES.contains(point)).chain(STAGED).collect();
    for kind in [Kind::S3, Kind::Folder, Kind::Azure].into_iter().filter(|kind| kind.is_up()) {
        haunt_all(&points, async || to_store(kind, Feed::File).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make test-long"]
async fn a_zombie_with_a_sqlite_file_at_every_point() {
    haunt_all(&POINTS, async || (Feed::File, Target::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make test-long"]
async fn a_zombie_with_two_lanes_from_kafka_to_postgres_at_every_point() {
    let (true, Some(postgres)) = (servers::are_up(), Postgres::start().await) else { return };
    haunt_all(&POINTS, async || kafka_to_postgres(&postgres).await).await;
}
