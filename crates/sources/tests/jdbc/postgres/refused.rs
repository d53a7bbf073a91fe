//! What can't be read safely, or at all, is refused with all reasons.
use super::database::Database;
use crate::refusal;
use serde_json::json;

#[tokio::test]
async fn what_could_be_missed_is_refused() {
    let Some(database) = Database::fresh("refused", "create table cached (id bigserial); alter sequence cached_id_seq cache 20; \
             create table given (id bigint primary key, at timestamptz); \
             create table down (id int generated always as identity (increment by -1)); \
             create table fine (id bigserial primary key, at timestamptz default now(), local timestamp default now()); \
             create view seen as select id as number, at from fine; \
             create materialized view kept as select id from fine; \
             create table bare (id int, note text)").await else { return };
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
