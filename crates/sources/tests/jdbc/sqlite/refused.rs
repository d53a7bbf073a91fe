//! What can't be read safely, or at all, is refused with all reasons.
use super::File;
use crate::{all, context, open, read, refusal, source, values};
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt};

#[tokio::test]
async fn what_could_be_missed_is_refused() {
    let file = File::fresh("wal");
    file.run(
        "create table fine (id integer primary key autoincrement, at text default current_timestamp, \
           ms text default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), s integer default (unixepoch()), given text, \
           local text default (datetime('now', 'localtime')), day text default current_date); \
         create table plain (id integer primary key, at datetime default current_timestamp); \
         create table given (id int primary key, at text); \
         create table keyed (id integer primary key, at text default current_timestamp) without rowid; \
         create table backwards (id integer primary key desc, at text); \
         create table two (id integer, other integer, primary key (id, other)); \
         create view seen as select id as number, at as moment from fine; \
         create view both as select id, at from fine union all select id, at from plain; \
         create table bare (id int, note text)",
    );
    let number = |table: &str, column: &str| {
        file.source(json!({"table": table, "mode": "incrementing", "incrementingColumn": column}))
    };
    let time = |table: &str, column: &str| {
        file.source(json!({"table": table, "mode": "timestamp+incrementing", "timestampColumn": column, "incrementingColumn": "id"}))
    };
    let query = |query: &str| file.source(json!({"query": query, "mode": "incrementing", "incrementingColumn": "id"}));
    for (config, code, parts) in [
        (number("fine", "id"), "", vec![]),
        (number("FINE", "id"), "", vec![]),
        (number("seen", "number"), "", vec![]),
        (time("fine", "at"), "", vec![]),
        (time("fine", "ms"), "", vec![]),
        (time("fine", "s"), "", vec![]),
        (time("plain", "at"), "", vec![]),
        (time("keyed", "at"), "", vec![]),
        (query("select f.id, g.at from fine f left join given g using (id);"), "", vec![]),
        (query("with c as (select * from fine where given is not null) select * from c -- all"), "", vec![]),
        (number("plain", "id"), "unsafe-order", vec!["autoincrement", "gets that number again", "`delay`"]),
        (number("given", "id"), "unsafe-order", vec!["by whoever writes"]),
        (number("keyed", "id"), "unsafe-order", vec!["by whoever writes"]),
        (number("backwards", "id"), "unsafe-order", vec!["by whoever writes"]),
        (number("two", "id"), "unsafe-order", vec!["by whoever writes"]),
        (number("both", "id"), "unsafe-order", vec!["several tables"]),
        (time("fine", "given"), "unsafe-order", vec!["no default of SQLite's clock"]),
        (time("fine", "local"), "unsafe-order", vec!["no default of SQLite's clock"]),
        (time("fine", "day"), "unsafe-order", vec!["no default of SQLite's clock"]),
        (time("both", "at"), "unsafe-order", vec!["several tables"]),
        (query("select id + 1 as id from fine"), "unsafe-order", vec!["are computed"]),
        (
            query("select (select id from fine f where f.id = g.id) as id from given g"),
            "unsafe-order",
            vec!["are computed"],
        ),
        (query("select rowid as id from bare"), "unsafe-order", vec![]),
        (query("select id from fien"), "bad-query", vec!["fien"]),
        (query("select id from fine; drop table fine"), "bad-query", vec![]),
        (query("select id from fine) as q --"), "bad-query", vec![]),
        (query("select id from fine /*"), "bad-query", vec![]),
        (query("delete from fine returning id"), "bad-query", vec![]),
        (query("attach 'other.db' as other"), "bad-query", vec![]),
        (query("select id, id from fine"), "duplicate-column", vec!["two columns \"id\""]),
        (query("select id, at as ID from fine"), "duplicate-column", vec!["two columns \"ID\""]),
        (number("fin", "id"), "table-missing", vec!["did you mean \"fine\"?"]),
        (number("main.fine", "id"), "table-missing", vec![]),
        (number("fine", "ID"), "column-missing", vec!["did you mean \"id\"?"]),
        (file.source(json!({"table": "bare", "mode": "bulk"})), "no-key", vec!["keyColumns"]),
    ] {
        let (found, message) = refusal(config.clone()).await;
        assert_eq!(found, code, "{config}: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{config}: {message}");
    }
    for mut config in
        [number("plain", "id"), time("fine", "local"), query("select id + 1 as id from fine"), number("both", "id")]
    {
        config["delay"] = json!("10ms");
        assert_eq!(refusal(config.clone()).await.0, "", "{config}");
    }
}

#[tokio::test]
async fn files_that_can_t_be_read_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text.db"), "this is not a database, but long enough to be taken for one ".repeat(20)).unwrap();
    fs::create_dir(at("folder.db")).unwrap();
    fs::write(at("secret.db"), "").unwrap();
    fs::set_permissions(at("secret.db"), fs::Permissions::from_mode(0o000)).unwrap();
    let utf16 = rusqlite::Connection::open(at("utf16.db")).unwrap();
    utf16.execute_batch("pragma encoding = 'UTF-16'; create table t (id integer primary key)").unwrap();
    let is_root = fs::read(at("secret.db")).is_ok();
    for (name, code) in [
        ("missing.db", "file-missing"),
        ("text.db", "not-a-database"),
        ("folder.db", "is-a-directory"),
        ("utf16.db", "unsupported-encoding"),
        ("secret.db", if is_root { "table-missing" } else { "access-denied" }),
    ] {
        let config = json!({"url": format!("jdbc:sqlite:{}", at(name).display()), "table": "t", "mode": "bulk"});
        let (found, message) = refusal(config).await;
        assert_eq!(found, code, "{message}");
    }
    let mut cx = context();
    cx.paths =
        std::sync::Arc::new(dataflow_sdk::Paths { allowed: Some(vec!["/nowhere".into()]), ..Default::default() });
    let source = source(json!({"url": format!("sqlite:{}", at("utf16.db").display()), "table": "t", "mode": "bulk"}));
    let refused = open(&*source, &cx, None).await.err().unwrap();
    assert_eq!(refused.code(), "path-not-allowed", "{refused:?}");
}

/// Times that are not written as the clock writes them are noticed before anything is read after them.
#[tokio::test]
async fn times_that_are_written_otherwise_are_refused() {
    let file = File::fresh("wal");
    file.run("create table t (id integer primary key autoincrement, at default current_timestamp); insert into t (at) values ('2026-01-02 03:04:05')");
    for other in ["'2026-01-02T03:04:06Z'", "'2026-01-02 03:04:05.5'", "'2026-01-03'"] {
        file.run(&format!("delete from t where id > 1; insert into t (at) values ({other})"));
        let mut config = file.source(json!({"table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"}));
        let source = source(config.clone());
        let failed = open(&*source, &context(), None).await.unwrap().read().await.unwrap_err();
        assert_eq!(failed.code(), "unsafe-order", "{other}");
        assert!(failed.to_string().contains(other.trim_matches('\'')), "{failed}");
        config["delay"] = json!("1ms");
        let records = read(&mut *open(&*crate::source(config), &context(), None).await.unwrap()).await.unwrap();
        assert_eq!(records.len(), 2);
    }
    file.run("delete from t; insert into t (at) values (null), ('2026-01-02 03:04:05')");
    let query = "select id, at from t where at is not null";
    assert_eq!(all(file.source(json!({"query": query, "mode": "bulk", "keyColumns": ["at"]}))).await.len(), 1);
    let config =
        json!({"table": "t", "mode": "timestamp+incrementing", "timestampColumn": "at", "incrementingColumn": "id"});
    let records = read(&mut *open(&*source(file.source(config)), &context(), None).await.unwrap()).await.unwrap();
    assert_eq!(values(&records)[0]["at"], "2026-01-02 03:04:05", "a row without a time is not found");
}
