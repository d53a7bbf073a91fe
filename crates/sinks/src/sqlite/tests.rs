#![allow(clippy::unwrap_used)]
mod deletes;
mod keyed;
mod refused;

use super::{SqliteSink, database::Database};
use async_trait::async_trait;
use dataflow_core::{id::Generation, pipeline::event::LaneProgress, position::Position, types::Type};
use dataflow_sdk::{
    Context, Error, Records, SinkConfig, Span,
    batch::{Column, Demand, Output, Payload},
    records::Layout,
    sink::{CommitError, DeliveryMode, OpenLane, Opened, Sink},
};
use dataflow_testkit::{
    conformance::{self, Subject},
    fixture::{context, fence, many_files, open_lane, output, token},
};
use rusqlite::Connection;
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

fn sink(config: serde_json::Value) -> Box<dyn Sink> {
    let sink: SqliteSink = serde_json::from_value(config).unwrap();
    assert!(sink.check().is_empty(), "{:?}", sink.check());
    sink.build()
}

struct Target {
    folder: TempDir,
    setup: Option<&'static str>,
    more: serde_json::Value,
}

impl Target {
    fn new(setup: Option<&'static str>, more: serde_json::Value) -> Self {
        let target = Self { folder: TempDir::new().unwrap(), setup, more };
        if let Some(setup) = target.setup {
            Connection::open(target.path()).unwrap().execute_batch(setup).unwrap();
        }
        target
    }
    fn path(&self) -> PathBuf {
        self.folder.path().join("out.db")
    }
    fn db(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
    async fn try_open(&self, epoch: u64) -> Result<Opened, Error> {
        self.sink().open(&context("p"), open_lane(&fence("p", epoch))).await
    }
    async fn open_error(&self) -> Error {
        self.try_open(1).await.unwrap_err()
    }
}

#[async_trait]
impl Subject for Target {
    fn sink(&self) -> Box<dyn Sink> {
        let mut config = json!({"path": self.path(), "table": "users"});
        config.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        sink(config)
    }
    fn delivery(&self) -> DeliveryMode {
        SqliteSink::DELIVERY
    }
    async fn rows(&self) -> Vec<(i64, String)> {
        let db = self.db();
        let Ok(mut rows) = db.prepare("select id, name from users") else { return Vec::new() };
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }
    fn upserts(&self) -> bool {
        self.more.get("key").is_some()
    }
    async fn clear(&self) -> bool {
        self.db().execute("delete from users", []).is_ok()
    }
    fn refused_name(&self) -> Option<&'static str> {
        self.setup.map(|_| "refused")
    }
}

#[tokio::test]
async fn it_conforms_with_a_table_that_it_makes() {
    conformance::sink(|| async { Target::new(None, json!({})) }).await;
    conformance::sink(|| async { Target::new(None, json!({"key": "id"})) }).await;
}

#[tokio::test]
async fn it_conforms_with_a_table_that_is_there() {
    let append = "create table users (id integer, name text check (name <> 'refused'))";
    conformance::sink(|| async { Target::new(Some(append), json!({})) }).await;
    let upsert = "create table users (id integer primary key, name text check (name <> 'refused')) strict";
    conformance::sink(|| async { Target::new(Some(upsert), json!({"key": ["id"]})) }).await;
}

#[tokio::test]
async fn a_table_is_made_with_the_types_of_the_first_batch() {
    let target = Target::new(None, json!({"key": "id"}));
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    assert_eq!(demand, Demand::AllColumns);
    let column = |name: &str, ty| Column { name: name.into(), ty };
    let first = [
        column("id", Type::Integer),
        column("price", Type::Decimal { precision: 3, scale: 1 }),
        column("camelCase", Type::Json),
        column("at", Type::Timestamp),
    ];
    let demand = writer.define(&first).await.unwrap();
    let expected = [
        column("id", Type::Bigint),
        column("price", Type::Number),
        column("camelCase", Type::Json),
        column("at", Type::Timestamp),
    ];
    assert_eq!(demand, Demand::Growing(expected.into()));
    let sql: String =
        target.db().query_row("select sql from sqlite_schema where name = 'users'", [], |row| row.get(0)).unwrap();
    let expected = r#"CREATE TABLE "users" ("id" INTEGER, "price" NUMERIC, "camelCase" JSON TEXT, "at" TIMESTAMP, primary key ("id")) without rowid"#;
    assert_eq!(sql.to_lowercase(), expected.to_lowercase());
}

/// Generations are numbered anew in each pipeline, and in one that was made anew under its id.
#[tokio::test]
async fn what_another_pipeline_has_made_is_not_its_own() {
    let target = Target::new(None, json!({}));
    let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
    writer.define(&[Column { name: "id".into(), ty: Type::Integer }]).await.unwrap();
    let database = Database::look(&target.path(), Duration::ZERO).unwrap().unwrap();
    let (own, other) = (context("p"), context("another"));
    let anew = Context { incarnation: "2-anew".try_into().unwrap(), ..own.clone() };
    let is_made = |cx: &Context| database.is_made("users", cx, &Generation::FIRST).unwrap();
    assert_eq!([&own, &other, &anew].map(is_made), [true, false, false]);
}

#[tokio::test]
async fn columns_are_added_where_that_is_wanted() {
    let setup = "create table users (id integer primary key, name text)";
    let target = Target::new(Some(setup), json!({"unknownFields": "add"}));
    let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
    let Demand::Columns(columns) = writer.define(&[Column { name: "age".into(), ty: Type::Bigint }]).await.unwrap()
    else {
        panic!()
    };
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "age"]);
    let output = output(&Demand::Columns(columns), 0, &[(Some(1), Some("Ann"))]);
    writer.commit(&[output].into(), &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(target.rows().await, [(1, "Ann".into())]);
}

#[tokio::test]
async fn columns_that_were_added_before_are_taken_up_again() {
    let setup = "create table users (id integer primary key, name text, age int, n int as (id))";
    let more = json!({"columns": ["id", "name"], "unknownFields": "add"});
    let target = Target::new(Some(setup), more);
    let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
    let column = |name: &str| [Column { name: name.into(), ty: Type::Bigint }];
    for name in ["age", "name"] {
        let Demand::Columns(columns) = writer.define(&column(name)).await.unwrap() else { panic!() };
        assert_eq!(columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "name", "age"]);
    }
    assert_eq!(writer.define(&column("n")).await.unwrap_err().code(), "generated-column");
    let target = Target::new(Some(setup), json!({"unknownFields": "add"}));
    let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
    assert_eq!(writer.define(&column("n")).await.unwrap_err().code(), "column-not-added");
}

#[tokio::test]
async fn tables_that_do_not_fit_are_named() {
    let cases = [
        (
            "create table other (id)",
            json!({"createTable": false, "columns": {"id": "bigint"}, "key": "id"}),
            "table-missing",
            "create table",
        ),
        ("create table users (id int, name text)", json!({"key": "id"}), "no-unique-index", "create unique index"),
        ("create table users (id int, name text)", json!({"key": "Id"}), "column-missing", "key"),
        ("create table users (id int, name text)", json!({"columns": ["id", "Name"]}), "column-missing", "name"),
        ("create table users (id int, name text)", json!({"mode": "upsert"}), "key-missing", "key"),
        (
            "create table users (id int, n int as (id + 1))",
            json!({"columns": ["id", "n"]}),
            "generated-column",
            "leave",
        ),
        (
            "create table users (id int, name text); create unique index x on users (id) where id > 5",
            json!({"key": "id"}),
            "no-unique-index",
            "run",
        ),
    ];
    for (setup, more, code, hint) in cases {
        let error = Target::new(Some(setup), more).open_error().await;
        let Error::Fatal { code: found, fix: Some(fix), .. } = &error else { panic!("{setup}: {error:?}") };
        assert_eq!((*found, fix.contains(hint)), (code, true), "{setup}: {error} ({fix})");
    }
}

#[test]
fn a_file_that_can_not_be_made_in_a_folder_that_is_there_is_no_missing_folder() {
    // Nobody may make a file there, not even root.
    let path = Path::new("/proc/dataflow.db");
    let error = rusqlite::Connection::open(path).unwrap_err();
    assert_eq!(super::failure::classify("open", path, &error).code(), "access-denied");
    let path = Path::new("/proc/nothing/dataflow.db");
    assert_eq!(super::failure::classify("open", path, &error).code(), "folder-missing");
}

#[tokio::test]
async fn a_column_that_is_missing_may_come_by_itself() {
    let setup = "create table users (id int, name text)";
    // What is recommended works.
    let fix = |error: Error| match error {
        Error::Fatal { fix: Some(fix), .. } => fix,
        other => panic!("{other:?}"),
    };
    let named = Target::new(Some(setup), json!({"columns": ["id", "aa"], "unknownFields": "add"}));
    let said = fix(named.open_error().await);
    assert!(said.ends_with(r#"unknownFields: add and give columns their types, as in "aa": "text""#), "{said}");
    let typed = json!({"id": "bigint", "aa": "text"});
    let said = fix(Target::new(Some(setup), json!({"columns": typed})).open_error().await);
    assert!(said.contains("set unknownFields: add, or") && !said.contains("types"), "{said}");
    let target = Target::new(Some(setup), json!({"columns": typed, "unknownFields": "add"}));
    let Demand::Columns(columns) = target.try_open(1).await.unwrap().demand else { panic!("no columns") };
    assert_eq!(columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "aa"]);
    let error = Target::new(Some(setup), json!({"key": "Id"})).open_error().await;
    assert!(matches!(error, Error::Fatal { retryable: true, .. }), "{error:?}");
}

#[tokio::test]
async fn a_primary_key_is_the_key_and_generated_columns_are_left_out() {
    let setup = "create table users (id integer primary key, name text, twice int as (id * 2), at text default 'now')";
    let target = Target::new(Some(setup), json!({}));
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let Demand::Columns(columns) = &demand else { panic!("{demand:?}") };
    assert_eq!(columns.len(), 3);
    let output = output(&demand, 0, &[(Some(1), Some("a")), (Some(1), Some("b"))]);
    writer.commit(&[output].into(), &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(target.rows().await, [(1, "b".into())]);
}

#[tokio::test]
async fn files_that_can_not_be_opened_are_named_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "x".repeat(4096)).unwrap();
    for (path, code) in [
        (folder.path().join("a/b.db"), "folder-missing"),
        (folder.path().into(), "is-a-directory"),
        (text, "not-a-database"),
    ] {
        let sink = sink(json!({"path": path, "table": "t"}));
        let error = sink.open(&context("p"), open_lane(&fence("p", 1))).await.unwrap_err();
        assert!(matches!(&error, Error::Fatal { fix: Some(_), .. }), "{error:?}");
        assert_eq!(error.code(), code, "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_opened_again() {
    let target = Target::new(None, json!({"columns": {"id": "bigint"}}));
    let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
    std::fs::remove_file(target.path()).unwrap();
    let error = writer.commit(&[].into(), &token(&fence("p", 1), 1)).await.unwrap_err();
    assert!(matches!(&error, CommitError::Failed(Error::Transient { code: "file-moved", .. })), "{error:?}");
}

/// A file that was there when the lane was opened is not made anew when it is gone, empty as it would be.
#[tokio::test]
async fn a_file_that_is_gone_is_not_made_anew() {
    let target = Target::new(Some("create table users (id int, name text)"), json!({}));
    let opened = target.try_open(1).await.unwrap();
    drop(opened.writer);
    let moved = target.folder.path().join("moved.db");
    std::fs::rename(target.path(), &moved).unwrap();
    let journalled = LaneProgress { handle: opened.handle, ..LaneProgress::default() };
    let lane = || OpenLane { first: false, journalled: Some(journalled.clone()), ..open_lane(&fence("p", 2)) };
    let error = target.sink().open(&context("p"), lane()).await.unwrap_err();
    assert!(matches!(&error, Error::Contradicts { code: "file-missing", .. }), "{error:?}");
    assert!(!target.path().exists());
    std::fs::rename(&moved, target.path()).unwrap();
    target.sink().open(&context("p"), lane()).await.unwrap();
    // The user has decided.
    std::fs::remove_file(target.path()).unwrap();
    target.sink().open(&context("p"), OpenLane { journalled: None, ..lane() }).await.unwrap();
}

/// What may drop rows that a commit counts is named when the table is opened; what only notes them down is not.
#[tokio::test]
async fn what_may_drop_rows_is_named_at_the_start() {
    const TABLES: &str = "create table users (id int, name text); create table other (id int, name text);";
    for (case, told) in [
        ("create trigger guard after insert on users begin delete from users where id = new.id; end", true),
        ("create trigger guard after insert on Users begin DELETE FROM \"users\" where id = 1; end", true),
        ("create trigger guard after update on users begin update users set name = 'x'; end", true),
        ("create trigger guard after insert on users begin update or ignore [users] set name = 'x'; end", true),
        ("create trigger guard after insert on users begin insert into other values (new.id, new.name); end", false),
        ("create trigger guard after update of name on users begin delete from other where id = new.id; end", false),
        ("create trigger guard after delete on users begin delete from users; end", false),
        ("create trigger guard after insert on users begin insert or replace into users values (1, 'x'); end", true),
        ("create trigger guard after insert on users begin replace into users values (1, 'x'); end", true),
        (
            "create trigger guard after insert on users begin update other set name = replace(new.name, 'users', ''); end",
            false,
        ),
        (
            "create trigger t after insert on users begin insert into other values (new.id, new.name); end; \
             create trigger guard after insert on other begin delete from users where id = new.id; end",
            true,
        ),
        (
            "create trigger t after insert on users begin insert into other values (new.id, new.name); end; \
             create trigger u after delete on other begin delete from users where id = new.id; end",
            false,
        ),
        (
            "drop table users; drop table other; create table other (id integer primary key, name text); \
             create table users (id integer references other on delete cascade, name text); \
             create trigger guard after insert on users begin delete from other where id < new.id; end",
            true,
        ),
        ("drop table users; create table users (id integer, name text, unique (id) on conflict replace)", true),
        ("drop table users; create table users (id integer primary key on\nCONFLICT Replace, name text)", true),
        ("drop table users; create table users (id integer, name text unique on conflict ignore)", true),
        ("drop table users; create table users (id integer unique on conflict abort, name text)", false),
        (
            "alter table users rename to before; create view users as select * from before; \
             create trigger guard instead of insert on users begin insert into other values (new.id, new.name); end",
            true,
        ),
    ] {
        let target = Target::new(None, json!({}));
        target.db().execute_batch(&format!("{TABLES} {case}")).unwrap();
        let warnings = target.try_open(1).await.unwrap().warnings;
        let told_of: Vec<_> = warnings.iter().filter(|warning| warning.code == "may-drop-rows").collect();
        assert_eq!(told_of.len(), usize::from(told), "{case}: {warnings:?}");
        let named = |message: &str| message.contains("guard") || message.contains("on conflict");
        assert!(told_of.iter().all(|warning| named(&warning.message)), "{case}: {warnings:?}");
    }
}

/// Progress that a trigger keeps from being stored is not taken for that of a newer writer.
#[tokio::test]
async fn what_keeps_progress_from_being_stored_is_named() {
    let target = Target::new(Some("create table users (id int, name text)"), json!({}));
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let guard = "create trigger guard before update on dataflow_tokens begin select raise(ignore); end";
    target.db().execute_batch(guard).unwrap();
    let rows = [output(&demand, 0, &[(Some(1), Some("a"))])];
    let named = |error: &Error| matches!(error, Error::Fatal { code: "progress-not-kept", message, .. } if message.contains("guard"));
    let error = writer.commit(&rows.clone().into(), &token(&fence("p", 1), 1)).await.unwrap_err();
    assert!(matches!(&error, CommitError::Failed(error) if named(error)), "{error:?}");
    drop(writer);
    let error = target.try_open(2).await.unwrap_err();
    assert!(named(&error), "{error:?}");
    assert!(target.rows().await.is_empty());
}

#[tokio::test]
async fn the_nodes_own_file_is_refused_under_any_name() {
    let folder = TempDir::new().unwrap();
    let own = folder.path().join("journal.db");
    std::fs::write(&own, "").unwrap();
    std::os::unix::fs::symlink(&own, folder.path().join("link.db")).unwrap();
    std::fs::hard_link(&own, folder.path().join("hard.db")).unwrap();
    let mut cx = context("p");
    cx.paths = Arc::new(dataflow_sdk::Paths { own: vec![own], ..Default::default() });
    for name in ["journal.db", "link.db", "hard.db", "../{}/journal.db"] {
        let name = name.replace("{}", &folder.path().file_name().unwrap().to_string_lossy());
        let error =
            sink(json!({"path": folder.path().join(&name), "table": "t"})).open(&cx, open_lane(&fence("p", 1))).await;
        assert_eq!(error.unwrap_err().code(), "own-file", "{name}");
    }
}

#[tokio::test]
async fn whoever_holds_the_file_is_named() {
    for mode in ["wal", "delete"] {
        let target = Target::new(None, json!({"fenceTimeout": "50ms"}));
        let db = target.db();
        db.pragma_update(None, "journal_mode", mode).unwrap();
        db.execute_batch("create table users (id int, name text); begin immediate; insert into users values (1, 'x')")
            .unwrap();
        let error = target.open_error().await;
        assert!(
            matches!(&error, Error::Transient { code: "locked", message, .. } if message.contains("out.db") && message.contains("this node")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn numbers_that_would_be_rounded_are_rejected() {
    let target = Target::new(Some("create table users (id numeric, name text)"), json!({}));
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let mut output = output(&demand, 0, &[(Some(1), Some("a")), (Some(2), Some("b"))]);
    let Demand::Columns(columns) = demand else { panic!() };
    assert_eq!(columns[0].ty, Type::Number);
    let dataflow_sdk::batch::Payload::Columns(batch) = &output.payload else { panic!() };
    let numbers: arrow::array::ArrayRef =
        Arc::new(arrow::array::StringArray::from(vec!["1.5", "0.1234567890123456789"]));
    let batch = arrow::array::RecordBatch::try_new(batch.schema(), vec![numbers, batch.column(1).clone()]).unwrap();
    output.payload = dataflow_sdk::batch::Payload::Columns(batch.into());
    let Err(CommitError::Rejected(rows)) = writer.commit(&[output].into(), &token(&fence("p", 1), 1)).await else {
        panic!()
    };
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].cause,
        "column id (numeric): SQLite can't hold 0.1234567890123456789 exactly as a number; a JSON column can"
    );
}

/// Writes these rows as one commit, then again without those that are refused; why they are.
async fn write(target: &Target, rows: &[(Option<i64>, Option<&str>)]) -> Vec<(usize, String)> {
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let output = output(&demand, 0, rows);
    let Err(CommitError::Rejected(rejected)) = writer.commit(&[output.clone()].into(), &token(&fence("p", 1), 1)).await
    else {
        return Vec::new();
    };
    let rest = output.retain(|row| rejected.iter().all(|refused| refused.row != row));
    writer.commit(&[rest].into(), &token(&fence("p", 1), 1)).await.unwrap();
    rejected.into_iter().map(|refused| (refused.row, refused.cause)).collect()
}

#[tokio::test]
async fn rows_are_written_in_the_order_of_their_arrival() {
    let setup =
        "create table users (id integer primary key, name text unique); insert into users values (1, 'x'), (2, 'y')";
    let target = Target::new(Some(setup), json!({}));
    assert_eq!(write(&target, &[(Some(2), Some("z")), (Some(1), Some("y"))]).await, []);
    assert_eq!(target.rows().await, [(1, "y".into()), (2, "z".into())]);
}

#[tokio::test]
async fn the_last_record_of_a_key_wins_by_the_tables_own_equality() {
    let setup = "create table users (name text collate nocase primary key, id integer)";
    for rows in [[(1, "ANN"), (2, "ann")], [(1, "ann"), (2, "ANN")]] {
        let target = Target::new(Some(setup), json!({}));
        let rows = rows.map(|(id, name)| (Some(id), Some(name)));
        assert_eq!(write(&target, &rows).await, []);
        assert_eq!(target.rows().await, [(2, rows[1].1.unwrap().into())]);
    }
}

#[tokio::test]
async fn what_a_trigger_says_of_a_row_is_that_rows() {
    let others = [
        (Some(1), Some("a")),
        (Some(2), Some("bad")),
        (Some(3), Some("c")),
        (Some(4), Some("bad")),
        (Some(5), Some("e")),
    ];
    for trigger in [
        "before insert on users when new.name = 'bad' begin select raise(abort, 'no bad name'); end",
        "after insert on users when new.name = 'bad' begin insert into log values (new.id); select raise(fail, 'no bad name'); end",
        "after insert on users when new.name = 'bad' begin insert into log values (new.id); select raise(rollback, 'no bad name'); end",
        "after insert on users when new.name = 'bad' begin insert into log values (new.id); select json('no bad name'); end",
        "after insert on users when new.name = 'bad' begin insert into log values (new.id); select abs(-9223372036854775807 - 1); end",
    ] {
        let setup = format!(
            "create table users (id integer primary key, name text); create table log (id); create trigger t {trigger}"
        );
        let target = Target::new(Some(Box::leak(setup.into_boxed_str())), json!({}));
        let refused = write(&target, &others).await;
        assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 3], "{trigger}: {refused:?}");
        assert_eq!(target.rows().await, [(1, "a".into()), (3, "c".into()), (5, "e".into())], "{trigger}");
        let log: i64 = target.db().query_row("select count(*) from log", [], |row| row.get(0)).unwrap();
        assert_eq!(log, 0, "nothing stays of a refused row: {trigger}");
    }
}

#[tokio::test]
async fn a_trigger_that_can_not_run_is_no_fault_of_the_rows() {
    let setup = "create table users (id integer primary key, name text); \
        create trigger t after insert on users begin insert into gone values (1); end";
    let target = Target::new(Some(setup), json!({}));
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let commit = writer.commit(&[output(&demand, 0, &[(Some(1), Some("a"))])].into(), &token(&fence("p", 1), 1)).await;
    assert!(matches!(&commit, Err(CommitError::Failed(error)) if error.to_string().contains("gone")), "{commit:?}");
}

#[tokio::test]
async fn of_names_that_are_one_to_sqlite_the_first_has_the_column() {
    let target = Target::new(None, json!({}));
    let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
    let columns = ["id", "ID", "name", "Name"].map(|name| Column { name: name.into(), ty: Type::Text });
    let Demand::Growing(columns) = writer.define(&columns).await.unwrap() else { panic!() };
    assert_eq!(columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "name"]);
}

#[test]
fn findings_need_no_file() {
    let check = |config: serde_json::Value| {
        let problems = serde_json::from_value::<SqliteSink>(config).unwrap().check();
        problems.into_iter().map(|problem| format!("{}:{}", problem.path, problem.code)).collect::<Vec<_>>()
    };
    assert_eq!(check(json!({"path": ":memory:", "table": "a.b"})), ["path:invalid-value", "table:invalid-value"]);
    for path in ["", "file:x.db", "file:/tmp/x.db?mode=rwc", "file:%2Ftmp%2Fx.db", "file:///tmp/x.db"] {
        assert_eq!(check(json!({"path": path, "table": "a"})), ["path:invalid-value"], "{path}");
    }
    assert_eq!(check(json!({"path": "a", "table": "dataflow_tokens", "unknownFields": "add"})), ["table:reserved"]);
    assert_eq!(check(json!({"path": "a", "table": "t", "columns": ["a", "A"]})), ["columns:duplicate"]);
    assert_eq!(
        check(json!({"path": "a", "table": "t", "columns": ["a", "a"], "key": "b"})),
        ["columns:duplicate", "key:unknown-column"]
    );
    let unknown = serde_json::from_value::<SqliteSink>(json!({"path": "a", "table": "t", "columns": {"a": "int"}}));
    assert!(unknown.is_err());
}

#[tokio::test]
async fn a_commit_of_a_dropped_writer_that_waits_for_the_file_never_happens() {
    let target = Target::new(None, json!({"key": "id"}));
    let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
    let columns = [("id", Type::Bigint), ("name", Type::Text)];
    let columns = columns.map(|(name, ty)| Column { name: name.into(), ty });
    let demand = writer.define(&columns).await.unwrap();
    let db = target.db();
    db.execute_batch("begin immediate").unwrap();
    let rows = [output(&demand, 0, &[(Some(1), Some("late"))])].into();
    let token = token(&fence("p", 1), 1);
    let commit = writer.commit(&rows, &token);
    assert!(tokio::time::timeout(Duration::from_millis(100), commit).await.is_err(), "it waits for the lock");
    drop(writer);
    db.execute_batch("rollback").unwrap();
    // The next owner opens the same lane in the same epoch, and what it finds is all there will ever be.
    let opened = target.try_open(1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(target.rows().await.len(), opened.token.map_or(0, |_| 1));
    assert_eq!(target.rows().await, [], "the dropped writer could not commit any more");
}

/// SQLite would take such a name for a URI, and open a file that nobody was asked about.
#[test]
fn a_name_that_looks_like_a_uri_opens_no_other_file() {
    let folder = TempDir::new().unwrap();
    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("create table t (a)").unwrap();
    let other = other.display();
    for name in [format!("file:{other}"), format!("file://{other}"), format!("file:{other}?mode=rwc")] {
        let (path, wait) = (PathBuf::from(&name), Duration::ZERO);
        assert!(super::database::Database::open(&path, wait, true).is_err(), "{name}");
        assert!(super::database::Database::look(&path, wait).unwrap().is_none(), "{name}");
    }
}

/// Whatever is done to a table between two commits, the writer notices before it writes; other changes of the file are none.
#[tokio::test]
async fn a_table_that_changes_under_a_writer_is_looked_at_again() {
    let (plain, adds) = (json!({}), json!({"unknownFields": "add"}));
    for (more, change, noticed) in [
        (&plain, "alter table users add age integer", true),
        (&adds, "alter table users add age integer", false),
        (&adds, "alter table users drop name", true),
        (&plain, "alter table users drop name; alter table users add name blob", true),
        (&plain, "alter table users rename name to other; alter table users add name blob", true),
        (&plain, "drop table users", true),
        (&plain, "drop table users; create table users (id text, name integer)", true),
        (&plain, "drop table users; create table users (id integer, name text) strict", false),
        (&plain, "create table others (id integer)", false),
        (&plain, "create index by_name on users (name)", false),
    ] {
        let target = Target::new(Some("create table users (id integer, name text)"), more.clone());
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        let rows = |id| [output(&demand, 0, &[(Some(id), Some("x"))])];
        writer.commit(&rows(1).into(), &token(&fence("p", 1), 1)).await.unwrap();
        target.db().execute_batch(change).unwrap();
        let done = writer.commit(&rows(2).into(), &token(&fence("p", 1), 2)).await;
        match noticed {
            true => assert!(
                matches!(done, Err(CommitError::Failed(Error::Transient { code: "table-changed", .. }))),
                "{change}: {done:?}"
            ),
            false => assert_eq!(done.unwrap().rows_written, 1, "{change}"),
        }
    }
}

/// Rows that a trigger or a conflict clause leaves out are told, and counted.
#[tokio::test]
async fn rows_that_the_database_swallows_are_told() {
    let ignore = "create trigger t before insert on users when new.id = 2 begin select raise(ignore); end";
    for (table, more, swallowed) in [
        ("id integer, name text", ignore, 1),
        ("id integer primary key, name text", ignore, 1),
        ("id integer, name text unique on conflict ignore", "", 2),
        ("id integer primary key, name text", "", 0),
    ] {
        let target = Target::new(None, json!({}));
        target.db().execute_batch(&format!("create table users ({table}); {more}")).unwrap();
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        let rows = [output(&demand, 0, &[(Some(1), Some("x")), (Some(2), Some("x")), (Some(3), Some("x"))])];
        writer.commit(&rows.clone().into(), &token(&fence("p", 1), 1)).await.unwrap();
        let told: u64 = writer.warnings().iter().map(|warning| warning.records).sum();
        assert_eq!((told, target.rows().await.len() as u64), (swallowed, 3 - swallowed), "{table} {more}");
        assert!(writer.warnings().is_empty());
    }
}

/// A table that is gone, and with it what was written to it, is not made anew unless the user has said so.
#[tokio::test]
async fn a_table_that_had_rows_is_not_made_anew_unasked() {
    use dataflow_core::id::Generation;
    use dataflow_sdk::sink::OpenLane;
    let columns = json!({"columns": {"id": "bigint", "name": "text"}});
    for (more, gone) in [
        (&json!({}), "drop table users"),
        (&json!({}), "alter table users rename to before"),
        (&columns, "drop table users"),
    ] {
        let target = Target::new(None, more.clone());
        let made = async |lane: OpenLane| {
            let Opened { mut writer, mut demand, handle, .. } = target.sink().open(&context("p"), lane).await?;
            if demand == Demand::AllColumns {
                let column = |name: &str, ty| Column { name: name.into(), ty };
                demand = writer.define(&[column("id", Type::Bigint), column("name", Type::Text)]).await?;
            }
            Ok::<_, Error>((writer, demand, handle))
        };
        // One without rows is made as often as it is missing.
        for _ in 0..2 {
            drop(made(open_lane(&fence("p", 1))).await.unwrap());
            target.db().execute_batch(gone).unwrap();
            target.db().execute_batch("drop table if exists before").unwrap();
        }
        let (mut writer, demand, _) = made(open_lane(&fence("p", 1))).await.unwrap();
        let rows = |id| [output(&demand, 0, &[(Some(id), Some("x"))])];
        writer.commit(&rows(1).into(), &token(&fence("p", 1), 1)).await.unwrap();
        target.db().execute_batch(gone).unwrap();
        let error = writer.commit(&rows(2).into(), &token(&fence("p", 1), 2)).await.unwrap_err();
        assert!(matches!(&error, CommitError::Failed(error) if error.code() == "table-changed"), "{error:?}");
        drop(writer);
        let own = fence("p", 2);
        let next = dataflow_core::token::Fence { generation: Generation::new(2, 7), ..own.clone() };
        let next = || OpenLane { known: vec![own.generation], ..open_lane(&next) };
        for lane in [open_lane(&own), OpenLane { left: vec![own.generation], ..next() }] {
            let error = made(lane).await.err();
            assert!(matches!(error, Some(Error::Contradicts { code: "table-missing", .. })), "{error:?}");
        }
        let (mut writer, demand, _) = made(next()).await.unwrap();
        writer.commit(&[output(&demand, 0, &[(Some(3), Some("x"))])].into(), &token(&next().fence, 1)).await.unwrap();
        assert_eq!(target.rows().await, [(3, "x".into())], "{gone}");
    }
}

/// Tokens of an earlier build say nothing of which history of the pipeline they belong to.
#[tokio::test]
async fn tokens_of_an_earlier_build_are_refused() {
    let target = Target::new(None, json!({}));
    target.try_open(1).await.unwrap();
    target.db().execute_batch("drop table dataflow_tokens").unwrap();
    let columns = "pipeline text, incarnation text, generation integer, lane integer, journal text, target text";
    target.db().execute_batch(&format!("create table dataflow_tokens ({columns})")).unwrap();
    assert_eq!(target.try_open(1).await.unwrap_err().code(), "tokens-outdated");
}

/// A later build may have added a column, and an earlier one lacked a newer one.
#[tokio::test]
async fn the_table_of_tokens_may_gain_columns() {
    for change in ["add column later text", "drop column made"] {
        let target = Target::new(Some("create table users(id integer primary key, name text)"), json!({}));
        target.try_open(1).await.unwrap();
        target.db().execute_batch(&format!("alter table dataflow_tokens {change}")).unwrap();
        let Opened { mut writer, demand, .. } = target.try_open(2).await.unwrap();
        let token = dataflow_core::token::Token { positions: many_files(100).into(), ..token(&fence("p", 2), 1) };
        writer.commit(&[output(&demand, 0, &[(Some(3), Some("x"))])].into(), &token).await.unwrap();
        assert_eq!(target.rows().await, [(3, "x".into())], "{change}");
    }
}

/// Which keys are equal the table's index says, by its collation.
#[tokio::test]
async fn an_audit_takes_for_equal_what_the_table_does() {
    type Rows<'a> = &'a [(&'a str, &'a str)];
    let both = &[("Ann", "1"), ("ann", "2")];
    let cases: [(&str, Rows<'_>, Rows<'_>); 7] = [
        ("id text primary key", &[("Ann", "1"), ("ann", "2")], &[("Ann", "1"), ("ann", "2")]),
        ("id text collate nocase primary key", &[("Ann", "1"), ("ann", "2")], &[("ann", "2")]),
        ("id text collate nocase primary key", &[("É", "1"), ("é", "2")], &[("É", "1"), ("é", "2")]),
        ("id text collate rtrim primary key", &[("a", "1"), ("a ", "2")], &[("a ", "2")]),
        ("id text, unique (id collate nocase)", &[("Ann", "1"), ("aNN", "2")], &[("aNN", "2")]),
        // The one that an upsert finds its conflict on says so, whatever others and the column say.
        ("id text primary key, unique (id collate nocase, name)", both, both),
        ("id text collate nocase, unique (id collate binary)", both, both),
    ];
    for (column, documents, rows) in cases {
        let target = Target::new(None, json!({"key": "id"}));
        target.db().execute_batch(&format!("create table users (name text, {column})")).unwrap();
        for row in rows {
            target.db().execute("insert into users (id, name) values (?1, ?2)", *row).unwrap();
        }
        let mut records = Records::empty("p/0".into(), Position::offset(0), Layout::Json);
        let mut data = Vec::new();
        for (row, (id, name)) in documents.iter().enumerate() {
            let start = data.len();
            data.extend(json!({"id": id, "name": name}).to_string().into_bytes());
            records.spans.push(Span::new(start, data.len()));
            records.offsets.push(row as u64);
        }
        records.data = data.into();
        let payload = Payload::Documents { data: records.data.clone(), spans: records.spans.clone() };
        let all = (0..documents.len() as u32).collect();
        let output = Output::of(Arc::new(records), all, payload);
        let mut auditor = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap().auditor;
        auditor.expect(&output).await.unwrap();
        let found = auditor.finish().await.unwrap();
        assert_eq!((found.expected, found.found), (rows.len() as u64, rows.len() as u64), "{column}: {found:?}");
        let wrong = [found.lost.count, found.altered.count, found.unexpected.count];
        assert_eq!(wrong, [0, 0, 0], "{column}: {found:?}");
    }
}

/// A table that was dropped holds nothing of anybody, also when another pipeline has made it anew meanwhile.
#[tokio::test]
async fn a_dropped_table_that_several_pipelines_share_is_in_nobodys_way() {
    let target = Target::new(None, json!({"columns": {"id": "bigint", "name": "text"}}));
    let write = async |journal: &str, pipeline: &str| {
        let incarnation = format!("1-{journal}");
        let incarnation = dataflow_core::id::Incarnation::try_from(incarnation.as_str()).unwrap();
        let fence = dataflow_core::token::Fence { incarnation, ..fence(pipeline, 1) };
        let lane = OpenLane { journal: journal.into(), ..open_lane(&fence) };
        let mut opened = target.sink().open(&context(pipeline), lane).await?;
        let rows = [output(&opened.demand, 0, &[(Some(1), Some("a"))])];
        opened.writer.commit(&rows.clone().into(), &token(&fence, 1)).await
    };
    for pipeline in ["p", "q", "r"] {
        write("one", pipeline).await.unwrap();
    }
    target.db().execute_batch("drop table users").unwrap();
    for pipeline in ["p", "q"] {
        write("two", pipeline).await.unwrap_or_else(|error| panic!("{pipeline}: {error:?}"));
    }
    // What is in the table that is there is in the way.
    let CommitError::Failed(error) = write("three", "q").await.unwrap_err() else { panic!() };
    assert_eq!(error.code(), "target-of-another-node", "{error}");
    assert_eq!(target.rows().await.len(), 2);
}

/// The token says where all of 5,000 files are, and a commit writes where the few are that it has moved.
#[tokio::test]
async fn a_commit_stores_what_it_moved() {
    let target = Target::new(None, json!({"columns": {"id": "bigint", "name": "text"}}));
    let fence = fence("p", 1);
    let mut opened = target.try_open(1).await.unwrap();
    let mut positions = many_files(5_000);
    // As long as somebody reads, the log of writes only grows.
    let reader = target.db();
    reader.execute_batch("begin; select count(*) from users").unwrap();
    let log = || std::fs::metadata(target.path().with_extension("db-wal")).unwrap().len();
    for sequence in 1..=100 {
        let file = positions.keys().nth(sequence as usize * 37).unwrap().clone();
        positions.insert(file, Position::offset(sequence));
        let token = dataflow_core::token::Token { positions: positions.clone().into(), ..token(&fence, sequence) };
        let before = log();
        let rows = [output(&opened.demand, 0, &[(Some(1), Some("a"))])];
        opened.writer.commit(&rows.clone().into(), &token).await.unwrap();
        let written = log() - before;
        // The first one stores all; some store what several have moved.
        assert!(sequence == 1 || written < 400_000, "commit {sequence} wrote {written} bytes");
    }
    drop(reader);
}
