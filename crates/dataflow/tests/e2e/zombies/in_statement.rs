//! A node that is frozen in the middle of a statement to PostgreSQL, a COPY among them.
use super::house::{Feed, House, PATIENCE, Target, freeze, gives_up};
use crate::{server::Postgres, topic::Topic};
use dataflow_testkit::{
    proxy::{Mode, Proxy},
    servers,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// The first node's way to the database is a proxy, which lets part of a statement through. The node is frozen, so that
/// its sessions hold the lanes' locks in the middle of it, for as long as nobody breaks them.
async fn haunt(postgres: &Postgres, feed: Feed) {
    let proxy = Proxy::start(postgres.address).unwrap();
    let mut house = House::new(feed, Target::Postgres(postgres.address)).busy(500);
    let mut first = house.node_through("", Some(proxy.address()));
    first.create_and_start(&house.spec()).await;
    house.write(300);
    house.through(&first).await;
    let client = postgres.client().await;
    let mut caught = BTreeSet::new();
    for bytes in [400, 9_000, 60_000, 150_000, 250_000] {
        proxy.set(Mode::HoldAfter(bytes));
        house.write(2_000);
        let begun = Instant::now();
        while proxy.mode() != Mode::HoldAfter(0) {
            assert!(begun.elapsed() < PATIENCE, "nothing was sent");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What has gone through has arrived.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let held = "select split_part(query, ' ', 1) || ' ' || state from pg_stat_activity where xact_start is not null and pid <> pg_backend_pid()";
        caught.extend(client.query(held, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)));
        // Not in a transaction of the journal: that would be waited for.
        freeze(&first, &house.path("data/node/journal.db"), false, || {}).await;
        let second = house.node("");
        house.through(&second).await;
        // What was held back arrives after all, and the one that sent it wakes.
        proxy.set(Mode::Pass);
        first.signal("CONT");
        gives_up(&first).await;
        house.write(100);
        house.through(&second).await;
        assert!(second.terminate().success());
        first = house.node_through("", Some(proxy.address()));
        house.through(&first).await;
    }
    println!("caught in: {caught:?}");
    assert!(caught.iter().any(|state| state.to_lowercase().starts_with("copy")), "{caught:?}");
    house.assert_exact(&first).await;
    drop(first);
    house.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_in_the_middle_of_a_statement() {
    let Some(postgres) = Postgres::start().await else { return };
    haunt(&postgres, Feed::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_two_lanes_in_the_middle_of_their_statements() {
    let (true, Some(postgres)) = (servers::are_up(), Postgres::start().await) else { return };
    haunt(&postgres, Feed::Kafka(Topic::new("zombies-copy", 4).await)).await;
}
