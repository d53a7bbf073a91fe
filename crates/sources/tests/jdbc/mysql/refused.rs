//! What can't be read safely, or at all, is refused with all reasons.
use super::database::{ADDRESS, Database};
use crate::refusal;
use serde_json::{Value, json};

#[tokio::test]
async fn what_could_be_missed_is_refused() {
    let tables = "create table fine (id bigint auto_increment primary key, at timestamp default current_timestamp on update current_timestamp, \
          local datetime default current_timestamp, day date, mood enum('a', 'b'), small float); \
        create table given (id bigint primary key, at timestamp null); \
        create table other (id bigint auto_increment primary key) engine = myisam; \
        create view seen as select id as number, at from fine; \
        create view counted as select count(*) as id from fine; \
        create table bare (id int, note text)";
    let Some(database) = Database::fresh("refused", tables).await else { return };
    let of = |more: Value| {
        let mut config = json!({"url": database.url()});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let number =
        |table: &str, column: &str| of(json!({"table": table, "mode": "incrementing", "incrementingColumn": column}));
    let time = |column: &str| {
        of(
            json!({"table": "fine", "mode": "timestamp+incrementing", "timestampColumn": column, "incrementingColumn": "id"}),
        )
    };
    let query = |query: &str| of(json!({"query": query, "mode": "incrementing", "incrementingColumn": "id"}));
    let bulk = |column: &str| of(json!({"table": "fine", "mode": "bulk", "keyColumns": [column]}));
    for (config, code, parts) in [
        (number("given", "id"), "unsafe-order", vec!["by whoever writes", "`delay`"]),
        (number("other", "id"), "unsafe-order", vec!["MyISAM", "no transactions"]),
        (number("counted", "id"), "unsafe-order", vec!["computed"]),
        (time("local"), "unsafe-order", vec!["depends on the zone"]),
        (time("day"), "unsupported-type", vec!["is a date"]),
        (time("mood"), "unsupported-type", vec!["an enum"]),
        (bulk("small"), "unsupported-type", vec!["single precision"]),
        (query("select id + 1 as id from fine"), "unsafe-order", vec!["are computed"]),
        (query("select id from fien"), "bad-query", vec!["fien"]),
        (query("select id from fine; drop table fine"), "bad-query", vec![]),
        (query("select id, id from fine"), "bad-query", vec!["id"]),
        (query("select id from fine limit 3"), "bad-query", vec!["limit"]),
        (number("fin", "id"), "table-missing", vec!["did you mean \"fine\"?"]),
        (number("fine", "idd"), "column-missing", vec!["did you mean \"id\"?"]),
        (of(json!({"table": "bare", "mode": "bulk"})), "no-key", vec!["keyColumns"]),
        (number("fine", "id"), "", vec![]),
        (number("seen", "number"), "", vec![]),
        (time("at"), "", vec![]),
        (query("select f.id, g.at from fine f left join given g using (id);"), "", vec![]),
    ] {
        let (found, message) = refusal(config.clone()).await;
        assert_eq!(found, code, "{config}: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{config}: {message}");
    }
    for mut config in
        [number("given", "id"), number("other", "id"), time("local"), query("select id + 1 as id from fine")]
    {
        config["delay"] = json!("10ms");
        assert_eq!(refusal(config.clone()).await.0, "", "{config}");
    }
    database.remove().await;
}

#[tokio::test]
async fn a_login_is_refused_with_what_is_wrong_with_it() {
    let table = "create table t (id bigint auto_increment primary key); \
        create or replace user 'dataflow_reader'@'127.0.0.1' identified by 'se#cret/1'; grant select on dataflow_jdbc_logins.* to 'dataflow_reader'@'127.0.0.1'";
    let Some(database) = Database::fresh("logins", table).await else { return };
    let config = |user: &str, database: &str| json!({"url": format!("mysql://{user}@{ADDRESS}/{database}"), "table": "t", "mode": "incrementing", "incrementingColumn": "id"});
    let own = "dataflow_jdbc_logins";
    for (config, code, part) in [
        (config("dataflow:nope-not-this", own), "access-denied", "check user and password"),
        (config("dataflow_reader:se%23cret%2F1", own), "unsafe-order", "grant process"),
        (config("dataflow:dataflow", "dataflow_nowhere"), "database-missing", "create the database"),
        (config("dataflow:dataflow", &format!("{own}?sslMode=VERIFY_IDENTITY")), "tls-failed", "does not offer TLS"),
    ] {
        let (found, message) = refusal(config.clone()).await;
        assert_eq!(found, code, "{config}: {message}");
        assert!(message.contains(part) && !message.contains("nope") && !message.contains("cret"), "{message}");
    }
    database.run("grant process on *.* to 'dataflow_reader'@'127.0.0.1'").await;
    assert_eq!(refusal(config("dataflow_reader:se%23cret%2F1", own)).await.0, "");
    database.run("drop user 'dataflow_reader'@'127.0.0.1'").await;
    database.remove().await;
}
