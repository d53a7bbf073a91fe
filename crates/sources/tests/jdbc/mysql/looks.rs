//! What a look at the table costs.
use crate::looks::round_trips;
use dataflow_testkit::own::Mariadb;
use serde_json::json;
use std::net::SocketAddr;

/// Round trips of a round that finds nothing: whether all is as it was, and what there is.
const IDLE: u64 = 2;
/// Of a round that finds rows: also which statements run, and the rows.
const BUSY: u64 = 4;

/// On a server where nobody else is: statements of others are looked at, too.
#[tokio::test]
async fn a_round_takes_few_round_trips() {
    let Some(mut server) = Mariadb::new() else { return };
    server.start(None, None);
    server.run(
        "create database shop; use shop; create table t (id bigint auto_increment primary key, at timestamp not null default '2026-01-01'); \
         alter table t alter at set default current_timestamp; create user reader@'%' identified by 'secret'; grant all on *.* to reader@'%'",
    );
    let url = |address: SocketAddr| format!("mysql://reader:secret@{address}/shop");
    let number = json!({"table": "t", "mode": "incrementing", "incrementingColumn": "id"});
    let time =
        json!({"table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"});
    let query = json!({"query": "select * from t", "mode": "incrementing", "incrementingColumn": "id"});
    for config in [&number, &time, &query] {
        assert_eq!(round_trips(server.port, url, config.clone(), 0, IDLE).await, IDLE, "{config}");
    }
    server.run("insert into shop.t (at) values ('2026-01-01')");
    // Of a query, the rows of its table are waited for, and whether a key is NULL is asked.
    for (config, more) in [(&number, 0), (&time, 0), (&query, 2)] {
        assert_eq!(round_trips(server.port, url, config.clone(), 1, IDLE).await, BUSY + more, "{config}");
    }
}
