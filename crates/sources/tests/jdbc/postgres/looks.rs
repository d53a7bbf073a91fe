//! What a look at the table costs: round trips to the server.
use crate::{PATIENCE, context, open, read, source};
use dataflow_testkit::{own::Postgres, proxy::Proxy};
use serde_json::{Value, json};
use std::time::Duration;

/// Of a round that finds nothing.
const IDLE: u64 = 1;
/// Of a round that finds rows: what there is, who writes, the cursor, whether all is as it was, whether it is durable, the rows, and the end.
const BUSY: u64 = 7;

/// The round trips of a reader's first round, the only one within an hour.
async fn round_trips(server: &Postgres, mut config: Value, rows: usize) -> u64 {
    let proxy = Proxy::start(([127, 0, 0, 1], server.port).into()).unwrap();
    config["url"] = json!(format!("postgres://dataflow:secret@{}/postgres", proxy.address()));
    config["pollInterval"] = json!("1h");
    let mut reader = open(&*source(config), &context(), None).await.unwrap();
    let before = proxy.round_trips();
    if rows > 0 {
        assert_eq!(read(&mut *reader).await.unwrap().len(), rows);
        return proxy.round_trips() - before;
    }
    let begun = tokio::time::Instant::now();
    while proxy.round_trips() < before + IDLE {
        assert!(tokio::time::timeout(Duration::from_millis(100), reader.read()).await.is_err());
        assert!(begun.elapsed() < PATIENCE);
    }
    // What more there is would come now.
    assert!(tokio::time::timeout(Duration::from_millis(300), reader.read()).await.is_err());
    proxy.round_trips() - before
}

/// On a server where nobody else is: transactions of others are looked at, too. Its pages have checksums, so reading writes to its log.
#[tokio::test]
async fn a_round_takes_few_round_trips() {
    let Some(mut server) = Postgres::new("host all all 127.0.0.1/32 scram-sha-256") else { return };
    server.start(None, None);
    server.run(
        "create table t (id bigserial primary key, other bigserial, at timestamptz not null default now()); \
         alter table t alter other drop not null",
    );
    let number = |column: &str| json!({"table": "t", "mode": "incrementing", "incrementingColumn": column});
    let time =
        json!({"table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"});
    for config in [number("id"), number("other"), time.clone()] {
        assert_eq!(round_trips(&server, config.clone(), 0).await, IDLE, "{config}");
    }
    let query = json!({"query": "select * from t", "mode": "incrementing", "incrementingColumn": "id"});
    // Where a column of the order may be NULL, that is asked, too.
    for (rows, (config, more)) in (1..).zip([(number("id"), 0), (number("other"), 1), (time, 0), (query, 1)]) {
        server.run("checkpoint");
        server.run("insert into t (at) values ('2026-01-01Z')");
        assert_eq!(round_trips(&server, config.clone(), rows).await, BUSY + more, "{config}");
    }
}
