//! What a look at the table costs.
use crate::looks::round_trips;
use dataflow_testkit::own::Postgres;
use serde_json::json;
use std::net::SocketAddr;

/// Round trips of a round that finds nothing.
const IDLE: u64 = 1;
/// Of a round that finds rows: what there is, who writes, the cursor, whether all is as it was, whether it is durable, the rows, and the end.
const BUSY: u64 = 7;

/// On a server where nobody else is: transactions of others are looked at, too. Its pages have checksums, so reading writes to its log.
#[tokio::test]
async fn a_round_takes_few_round_trips() {
    let Some(mut server) = Postgres::new("host all all 127.0.0.1/32 scram-sha-256") else { return };
    server.start(None, None);
    server.run(
        "create table t (id bigserial primary key, other bigserial, at timestamptz not null default now()); \
         alter table t alter other drop not null",
    );
    let url = |address: SocketAddr| format!("postgres://dataflow:secret@{address}/postgres");
    let number = |column: &str| json!({"table": "t", "mode": "incrementing", "incrementingColumn": column});
    let time =
        json!({"table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"});
    for config in [number("id"), number("other"), time.clone()] {
        assert_eq!(round_trips(server.port, url, config.clone(), 0, IDLE).await, IDLE, "{config}");
    }
    let query = json!({"query": "select * from t", "mode": "incrementing", "incrementingColumn": "id"});
    // Where a column of the order may be NULL, that is asked, too.
    for (rows, (config, more)) in (1..).zip([(number("id"), 0), (number("other"), 1), (time, 0), (query, 1)]) {
        server.run("checkpoint");
        server.run("insert into t (at) values ('2026-01-01Z')");
        assert_eq!(round_trips(server.port, url, config.clone(), rows, IDLE).await, BUSY + more, "{config}");
    }
}
