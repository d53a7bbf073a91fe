//! What can't be read safely, or at all, is refused with all reasons.
use crate::{context, database::Database, open, source};
use dataflow_sdk::{Error, SourceConfig};
use dataflow_sources::jdbc::JdbcSource;
use serde_json::{Value, json};

async fn refusal(config: Value) -> (&'static str, String) {
    match open(&*source(config), &context(), None).await {
        Err(Error::Fatal { code, message, fix, .. }) => (code, format!("{message}; {}", fix.unwrap_or_default())),
        Err(other) => panic!("{other:?}"),
        Ok(_) => ("", String::new()),
    }
}

#[tokio::test]
async fn what_could_be_missed_is_refused() {
    let Some(database) = Database::fresh("refused").await else { return };
    database
        .run(
            "create table cached (id bigserial); alter sequence cached_id_seq cache 20; \
             create table given (id bigint primary key, at timestamptz); \
             create table down (id int generated always as identity (increment by -1)); \
             create table fine (id bigserial primary key, at timestamptz default now(), local timestamp default now()); \
             create view seen as select id as number, at from fine; \
             create materialized view kept as select id from fine; \
             create table bare (id int, note text)",
        )
        .await;
    let number = |table: &str, column: &str| json!({"url": database.url(), "table": table, "mode": "incrementing", "incrementingColumn": column});
    let time = |table: &str, column: &str| json!({"url": database.url(), "table": table, "mode": "timestamp+incrementing", "timestampColumn": column, "incrementingColumn": "id"});
    let query = |query: &str| json!({"url": database.url(), "query": query, "mode": "incrementing", "incrementingColumn": "id"});
    for (config, code, parts) in [
        (
            number("cached", "id"),
            "unsafe-order",
            vec!["several values in advance", "alter sequence cached_id_seq cache 1", "`delay`"],
        ),
        (number("given", "id"), "unsafe-order", vec!["by whoever writes"]),
        (number("down", "id"), "unsafe-order", vec!["counts downwards"]),
        (number("kept", "id"), "unsafe-order", vec!["kept is a materialized view", "by whoever writes"]),
        (time("given", "at"), "unsafe-order", vec!["no default of the server's clock"]),
        (time("fine", "local"), "unsafe-order", vec!["depends on the zone"]),
        (query("select id + 1 as id from fine"), "unsafe-order", vec!["are computed"]),
        (query("select id from fien"), "bad-query", vec!["fien"]),
        (query("select id from fine; drop table fine"), "bad-query", vec![]),
        (query("select id, id from fine"), "duplicate-column", vec!["two columns \"id\""]),
        (number("fin", "id"), "table-missing", vec!["did you mean \"fine\"?"]),
        (number("fine", "ID"), "column-missing", vec!["did you mean \"id\"?"]),
        (json!({"url": database.url(), "table": "bare", "mode": "bulk"}), "no-key", vec!["keyColumns"]),
        (number("fine", "id"), "", vec![]),
        (number("seen", "number"), "", vec![]),
        (time("fine", "at"), "", vec![]),
        (query("select f.id, g.at from fine f left join given g using (id);"), "", vec![]),
    ] {
        let (found, message) = refusal(config.clone()).await;
        assert_eq!(found, code, "{config}: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{config}: {message}");
    }
    for mut config in [number("cached", "id"), time("fine", "local"), query("select id + 1 as id from fine")] {
        config["delay"] = json!("10ms");
        assert_eq!(refusal(config.clone()).await.0, "", "{config}");
    }
    let wrong = json!({"url": "postgres://dataflow:nope-not-this@127.0.0.1/dataflow", "table": "a", "mode": "bulk"});
    let (code, message) = refusal(wrong).await;
    assert!(code == "access-denied" && !message.contains("nope"), "{code}: {message}");
    database.remove().await;
}

#[test]
fn all_that_is_wrong_with_a_spec_is_found_at_once() {
    let found = |config: Value| -> Vec<String> {
        let config: JdbcSource = serde_json::from_value(config).unwrap();
        let mut paths: Vec<_> =
            config.check().into_iter().map(|problem| format!("{}: {}", problem.path, problem.code)).collect();
        paths.sort();
        paths
    };
    let url = "postgres://u@h/d";
    for (config, expected) in [
        (json!({"url": url, "table": "a", "mode": "bulk"}), vec![]),
        (
            json!({"url": "jdbc:mysql://h/d", "mode": "incrementing", "timestampColumn": "at", "pollInterval": "0s", "fetchSize": 0, "keyColumns": []}),
            vec![
                "fetchSize: out-of-range",
                "incrementingColumn: missing-field",
                "keyColumns: too-few",
                "pollInterval: out-of-range",
                "table: missing-field",
                "timestampColumn: contradiction",
                "url: unsupported",
            ],
        ),
        (json!({"url": url, "query": "select 1", "mode": "bulk"}), vec!["keyColumns: missing-field"]),
        (
            json!({"url": url, "query": "select 1", "table": "a", "mode": "timestamp+incrementing"}),
            vec!["incrementingColumn: missing-field", "query: contradiction", "timestampColumn: missing-field"],
        ),
        (json!({"table": "a", "mode": "bulk", "delay": "1s"}), vec!["delay: contradiction", "url: missing-field"]),
    ] {
        assert_eq!(found(config.clone()), expected, "{config}");
    }
}
