//! The `postgres` sink against a real server: each test in a schema of its own.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test has no node whose task or setting it could be
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error, SinkConfig,
    batch::{Column, Demand, Payload},
    sink::{CommitError, Opened, Sink},
};
use dataflow_sinks::PostgresSink;
use dataflow_testkit::{
    conformance::{self, Subject},
    fixture::{context, fence, open_lane, output, token},
};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use tokio_postgres::{Client, NoTls};

const SERVER: &str = "postgres://dataflow:dataflow@127.0.0.1:5432/dataflow";

async fn connect() -> Option<Client> {
    match tokio_postgres::connect(SERVER, NoTls).await {
        Ok((client, connection)) => {
            tokio::task::spawn(connection);
            Some(client)
        }
        Err(error) if std::env::var("DATAFLOW_REQUIRE_SERVICES").is_ok_and(|value| value == "1") => {
            panic!("no PostgreSQL ({error}): start it with dev/services/services.sh up postgres")
        }
        Err(error) => {
            eprintln!("skipped: no PostgreSQL ({error}); start it with dev/services/services.sh up postgres");
            None
        }
    }
}

struct Target {
    client: Client,
    schema: String,
    more: serde_json::Value,
    refuses: bool,
}

impl Target {
    /// A schema of its own; `setup` runs in it.
    async fn new(setup: &str, more: serde_json::Value) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let client = connect().await?;
        let schema = format!("sink_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let begin = format!(
            "drop schema if exists {schema} cascade; create schema {schema}; set search_path to {schema}; {setup}"
        );
        client.batch_execute(&begin).await.unwrap();
        Some(Self { client, schema, more, refuses: setup.contains("refused") })
    }
    fn url(&self) -> String {
        format!("{SERVER}?options=-csearch_path%3D{}", self.schema)
    }
    async fn try_open(&self, epoch: u64) -> Result<Opened, Error> {
        self.sink().open(&context("p"), open_lane(&fence("p", epoch))).await
    }
    async fn texts(&self, query: &str) -> Vec<Option<String>> {
        self.client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
    async fn drop(self) {
        self.client.batch_execute(&format!("drop schema {} cascade", self.schema)).await.unwrap();
    }
}

#[async_trait]
impl Subject for Target {
    fn sink(&self) -> Box<dyn Sink> {
        let mut config = json!({"url": self.url(), "table": "users", "maxConnections": 4, "fenceTimeout": "300ms"});
        config.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        let sink: PostgresSink = serde_json::from_value(config).unwrap();
        assert!(sink.check().is_empty(), "{:?}", sink.check());
        sink.build()
    }
    async fn rows(&self) -> Vec<(i64, String)> {
        let Ok(rows) = self.client.query("select id::bigint, name::text from users", &[]).await else {
            return Vec::new();
        };
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
    fn upserts(&self) -> bool {
        self.more.get("key").is_some()
    }
    fn refused_name(&self) -> Option<&'static str> {
        self.refuses.then_some("refused")
    }
}

async fn conforms(setup: &str, more: serde_json::Value) {
    if connect().await.is_some() {
        conformance::sink(|| async { Target::new(setup, more.clone()).await.unwrap() }).await;
    }
}

#[tokio::test]
async fn it_conforms_with_a_table_that_it_makes() {
    conforms("", json!({})).await;
    conforms("", json!({"key": "id"})).await;
}

#[tokio::test]
async fn it_conforms_with_a_table_that_is_there() {
    conforms("create table users (id bigint, name varchar(20) check (name <> 'refused'))", json!({})).await;
    conforms("create table users (id int primary key, name text check (name <> 'refused'))", json!({"key": ["id"]}))
        .await;
    conforms(
        "create domain word as text check (value <> 'refused'); create table users (id smallint unique, name word)",
        json!({"key": "id"}),
    )
    .await;
}

#[tokio::test]
async fn deferred_and_foreign_keys_are_traced_to_their_rows() {
    let setup = "create table names (name text primary key); insert into names values ('Ann'), ('Bob'), ('Cid'), ('Dan'), ('x'), \
        (E'B\"ob, \\\\ \u{e4}\u{1f600}\\n'), ('lost'), ('lost, too'), ('zombie'); \
        create table users (id int, name text constraint users_name references names deferrable initially deferred) -- refused";
    conforms(setup, json!({})).await;
}

/// Whether a row is taken does not depend on a bad one beside it.
#[tokio::test]
async fn a_row_that_refers_to_one_behind_it_is_taken() {
    let setup = "create table users (id bigint primary key, name text check (name <> 'refused'), \
        boss bigint generated always as (case when id < 10 then id + 1 end) stored references users (id))";
    let Some(target) = Target::new(setup, json!({})).await else { return };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    // 1 refers to 2, that to 3, that to 4, and so on to 10, which refers to none; 20 is bad.
    let rows: Vec<_> = (1..=10).map(|id| (Some(id), Some("x"))).chain([(Some(20), Some("refused"))]).collect();
    let outputs = [output(&demand, 0, &rows)];
    let Err(CommitError::Rejected(refused)) = writer.commit(&outputs, &token(&fence("p", 1), 1)).await else {
        panic!("a bad row was taken")
    };
    assert_eq!(refused.iter().map(|row| row.row).collect::<Vec<_>>(), [10], "{refused:?}");
    let rest = [outputs[0].retain(|row| row != 10)];
    assert_eq!(writer.commit(&rest, &token(&fence("p", 1), 1)).await.unwrap().rows_written, 10);
    assert_eq!(target.rows().await.len(), 10);
    target.drop().await;
}

/// What is kept of a refused commit may go: the rest is written anew.
#[tokio::test]
async fn what_is_kept_of_a_refused_commit_may_be_lost() {
    let setup = "create table users (id bigint, name text check (name <> 'refused'))";
    let Some(target) = Target::new(setup, json!({})).await else { return };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    for (sequence, lose) in [(1, true), (2, false)] {
        let outputs = [output(&demand, 0, &[(Some(1), Some("a")), (Some(2), Some("refused")), (Some(3), Some("c"))])];
        let refused = writer.commit(&outputs, &token(&fence("p", 1), sequence)).await;
        assert!(matches!(refused, Err(CommitError::Rejected(_))), "{refused:?}");
        match lose {
            true => {
                let end = "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction' \
                    and pid in (select pid from pg_locks where relation = to_regclass($1)::oid)";
                let table = format!("{}.users", target.schema);
                let ended = target.client.query(end, &[&table]).await.unwrap();
                assert_eq!(ended.len(), 1, "the session that keeps it");
            }
            false => writer.release().await,
        }
        let rest = [outputs[0].retain(|row| row != 1)];
        assert_eq!(writer.commit(&rest, &token(&fence("p", 1), sequence)).await.unwrap().rows_written, 2);
    }
    assert_eq!(target.rows().await.len(), 4);
    target.drop().await;
}

/// A batch of these columns in place of an output's.
fn with_columns(demand: &Demand, columns: Vec<ArrayRef>) -> dataflow_sdk::batch::Output {
    let rows = columns[0].len();
    let pairs: Vec<_> = (0..rows).map(|row| (Some(row as i64), Some("x"))).collect();
    let mut out = output(&Demand::Documents, 0, &pairs);
    let Demand::Columns(wanted) = demand else { panic!("{demand:?}") };
    let fields = wanted
        .iter()
        .map(|column| arrow::datatypes::Field::new(&column.name, dataflow_sdk::batch::arrow_type(column.ty), true));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
    out.payload = Payload::Columns(RecordBatch::try_new(schema, columns).unwrap());
    out
}

#[tokio::test]
async fn every_type_arrives_as_it_was_sent() {
    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Int16Array, Int32Array,
        TimestampMicrosecondArray,
    };
    let types = "a bool, b int2, c int4, d int8, e float4, f float8, g numeric(10,2), h numeric, i text, j timestamptz, k timestamp, l date, \
        m uuid, n json, o jsonb, p bytea, q mood, r citext_like, s char(3)";
    let setup = format!(
        "create type mood as enum ('sad', 'glad'); create domain citext_like as varchar(9); create table users ({types})"
    );
    for (copies, extra) in [(1, ""), (100, ""), (1, ", t inet, u interval"), (100, ", t inet, u interval")] {
        let setup = setup.replace("s char(3)", &format!("s char(3){extra}"));
        let Some(target) = Target::new(&setup, json!({})).await else { return };
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![Some(text), None])) };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            Arc::new(Int16Array::from(vec![Some(-2), None])),
            Arc::new(Int32Array::from(vec![Some(3), None])),
            Arc::new(Int64Array::from(vec![Some(i64::MAX), None])),
            Arc::new(Float32Array::from(vec![Some(1.5), None])),
            Arc::new(Float64Array::from(vec![Some(0.1), None])),
            Arc::new(Decimal128Array::from(vec![Some(-1234), None]).with_precision_and_scale(10, 2).unwrap()),
            texts("12345678901234567890.000123e2"),
            texts("t\u{e4}\t\\N\n"),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]).with_timezone("UTC")),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None])),
            Arc::new(Date32Array::from(vec![Some(20_780), None])),
            texts("67e55044-10b1-426f-9247-bb680e5fe0c8"),
            texts("{\"a\": 1}"),
            texts("{\"b\": [1, 2.50]}"),
            Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None])),
            texts("glad"),
            texts("dom"),
            texts("ab"),
        ];
        if !extra.is_empty() {
            columns.extend([texts("10.0.0.1"), texts("1 day")]);
        }
        let outputs = vec![with_columns(&demand, columns); copies];
        let committed = writer.commit(&outputs, &token(&fence("p", 1), 1)).await.unwrap();
        assert_eq!(committed.rows_written, copies as u64 * 2);
        target.client.batch_execute("set timezone to 'UTC'").await.unwrap();
        let rows = target.texts("select distinct row_to_json(users)::jsonb::text from users order by 1").await;
        let mut expected = json!({"a": true, "b": -2, "c": 3, "d": i64::MAX, "e": 1.5, "f": 0.1, "i": "t\u{e4}\t\\N\n",
            "j": "1970-01-01T00:00:01.5+00:00", "k": "1969-12-31T23:59:59.999999", "l": "2026-11-23",
            "m": "67e55044-10b1-426f-9247-bb680e5fe0c8", "n": {"a": 1}, "p": "\\x00ff", "q": "glad", "r": "dom", "s": "ab "});
        if !extra.is_empty() {
            expected["t"] = json!("10.0.0.1");
            expected["u"] = json!("1 day");
        }
        let mut found: serde_json::Value =
            serde_json::from_str(rows.iter().flatten().find(|row| row.contains("glad")).unwrap()).unwrap();
        for exact in ["g", "h", "o"] {
            found.as_object_mut().unwrap().remove(exact);
        }
        assert_eq!(found, expected);
        let exact = target.texts("select distinct concat_ws(' ', g, h, o) from users where a order by 1").await;
        assert_eq!(exact, [Some("-12.34 1234567890123456789000.0123 {\"b\": [1, 2.50]}".into())]);
        assert_eq!(
            target.texts("select count(*)::text from users where users is null").await,
            [Some(copies.to_string())]
        );
        target.drop().await;
    }
}

#[tokio::test]
async fn rows_that_can_not_be_stored_name_column_type_and_record() {
    let Some(target) = Target::new("create table users (id bigint not null, name varchar(5))", json!({})).await else {
        return;
    };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    for (count, name, expected) in [
        (
            3,
            "nul\0",
            "column name (character varying(5)): it has the character U+0000, which PostgreSQL can't store (record 1)",
        ),
        (
            3,
            "too long",
            "table users refuses it: value too long for type character varying(5) (column name) (record 1)",
        ),
        (
            500,
            "too long",
            "table users refuses it: value too long for type character varying(5) (column name) (record 1)",
        ),
    ] {
        let rows: Vec<_> = (0..count).map(|id| (Some(id), Some(if id == 1 { name } else { "ok" }))).collect();
        let Err(CommitError::Rejected(rows)) =
            writer.commit(&[output(&demand, 0, &rows)], &token(&fence("p", 1), 1)).await
        else {
            panic!()
        };
        let causes: Vec<_> = rows.iter().map(|row| (row.row, row.cause.as_str())).collect();
        assert_eq!(causes, [(1, expected)]);
    }
    let Err(CommitError::Rejected(rows)) =
        writer.commit(&[output(&demand, 0, &[(None, Some("a"))])], &token(&fence("p", 1), 1)).await
    else {
        panic!()
    };
    assert_eq!(rows[0].cause, "column id (bigint) is null, which the table refuses (record p/0/0)");
    drop(writer); // what it keeps of the refused commit holds locks
    target.drop().await;
}

#[tokio::test]
async fn keys_that_only_the_database_takes_for_equal_are_no_failure() {
    let setup = "create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
        create table users (id int, name text collate ci primary key)";
    let Some(client) = connect().await else { return };
    let icu: i64 =
        client.query_one("select count(*) from pg_collation where collprovider = 'i'", &[]).await.unwrap().get(0);
    if icu == 0 {
        return;
    }
    let target = Target::new(setup, json!({})).await.unwrap();
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let rows = [(Some(1), Some("ann")), (Some(2), Some("ANN")), (Some(3), Some("bob"))];
    writer.commit(&[output(&demand, 0, &rows)], &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(target.rows().await.len(), 2);
    target.drop().await;
}

#[tokio::test]
async fn a_table_is_made_with_the_types_of_the_first_batch_and_widened_on_demand() {
    let more = json!({"key": "id", "addColumns": true, "unknownFields": "add", "table": "sales.Users"});
    let Some(target) = Target::new("drop schema if exists sales cascade; create schema sales", more).await else {
        return;
    };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    assert_eq!(demand, Demand::AllColumns);
    let column = |name: &str, ty| Column { name: name.into(), ty };
    let first = [
        column("id", Type::Integer),
        column("price", Type::Decimal { precision: 3, scale: 1 }),
        column("camelCase", Type::Json),
    ];
    let made = writer.define(&first).await.unwrap();
    let expected = [column("id", Type::Bigint), column("price", Type::Number), column("camelCase", Type::Json)];
    assert_eq!(made, Demand::Columns(expected.to_vec()));
    // Another lane, which has not seen the table being made.
    let widened = writer.define(&[column("at", Type::Timestamp)]).await.unwrap();
    let expected = [&expected[..], &[column("at", Type::Timestamp)]].concat();
    assert_eq!(widened, Demand::Columns(expected.clone()));
    let reopened = target.try_open(2).await.unwrap();
    assert_eq!(reopened.demand, Demand::Columns(expected));
    let tokens = target.texts("select to_regclass('sales.dataflow_tokens')::text").await;
    assert_eq!(tokens, [Some("sales.dataflow_tokens".into())], "tokens lie beside the table");
    target.client.batch_execute("drop schema sales cascade").await.unwrap();
    target.drop().await;
}

#[tokio::test]
async fn lanes_that_make_the_same_table_at_once_share_it() {
    let Some(target) = Target::new("", json!({})).await else { return };
    let lane = |lane| {
        let sink = target.sink();
        async move {
            let fence = dataflow_core::token::Fence { lane, ..fence("p", 1) };
            let Opened { mut writer, .. } = sink.open(&context("p"), open_lane(&fence)).await.unwrap();
            let columns =
                [("id", Type::Bigint), ("name", Type::Text)].map(|(name, ty)| Column { name: name.into(), ty });
            let demand = writer.define(&columns).await.unwrap();
            let rows = [(Some(i64::from(lane)), Some("x"))];
            writer.commit(&[output(&demand, 0, &rows)], &token(&fence, 1)).await.unwrap();
        }
    };
    futures::join!(lane(0), lane(1), lane(2), lane(3), lane(4), lane(5));
    assert_eq!(target.rows().await.len(), 6);
    target.drop().await;
}

#[tokio::test]
async fn tables_that_do_not_fit_are_named() {
    let cases = [
        (
            "",
            json!({"createTable": false, "columns": {"id": "bigint", "price": "decimal(10,2)"}, "key": "id"}),
            "table-missing",
            "numeric(10,2)",
        ),
        (
            "create table users (id int, name text)",
            json!({"key": "id"}),
            "no-unique-index",
            "create unique index on \"users\" (\"id\")",
        ),
        ("create table users (id int, name text)", json!({"key": "Id"}), "column-missing", "key"),
        ("create table users (id int, name text)", json!({"columns": ["id", "Name"]}), "column-missing", "write name"),
        ("create table users (id int, tags text[])", json!({}), "unsupported-type", "columns"),
        (
            "create table users (id int, n int generated always as (id + 1) stored)",
            json!({"columns": ["id", "n"]}),
            "generated-column",
            "leave",
        ),
        (
            "create table users (id int, name text); create unique index on users (id) where id > 5",
            json!({"key": "id"}),
            "no-unique-index",
            "run",
        ),
    ];
    for (setup, more, code, hint) in cases {
        let Some(target) = Target::new(setup, more).await else { return };
        let error = target.try_open(1).await.unwrap_err();
        let Error::Fatal { code: found, fix: Some(fix), .. } = &error else { panic!("{setup}: {error:?}") };
        assert_eq!((*found, fix.contains(hint)), (code, true), "{setup}: {error} ({fix})");
        target.drop().await;
    }
}

#[tokio::test]
async fn columns_with_a_default_and_identities_are_left_to_the_database() {
    let setup = "create table users (nr int generated always as identity, id int, name text, at timestamptz default now(), \
        twice int generated always as (id * 2) stored, n serial)";
    let Some(target) = Target::new(setup, json!({})).await else { return };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let Demand::Columns(columns) = &demand else { panic!("{demand:?}") };
    assert_eq!(columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "name"]);
    writer.commit(&[output(&demand, 0, &[(Some(1), Some("a"))])], &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(target.texts("select (at is not null)::text from users").await, [Some("true".into())]);
    target.drop().await;
}

#[tokio::test]
async fn a_lock_of_a_frozen_writer_is_broken() {
    let Some(target) = Target::new("create table users (id int, name text)", json!({})).await else { return };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    writer.commit(&[output(&demand, 0, &[(Some(1), Some("a"))])], &token(&fence("p", 1), 1)).await.unwrap();
    let frozen = connect().await.unwrap();
    let lock = format!("begin; update {}.dataflow_tokens set sequence = 2", target.schema);
    frozen.batch_execute(&lock).await.unwrap();
    let opened = target.try_open(2).await.unwrap();
    assert_eq!(opened.token.map(|token| token.sequence), Some(1));
    assert!(frozen.batch_execute("commit").await.is_err(), "its session was ended");
    target.drop().await;
}

/// All connections of the pool wait for a lock, so none of them is free to break it.
#[tokio::test]
async fn a_lock_is_broken_even_if_all_connections_wait_for_it() {
    let setup = "create table users (id int, name text)";
    let Some(target) = Target::new(setup, json!({"maxConnections": 2})).await else { return };
    let lanes = ["p", "q"];
    let open = |pipeline, epoch| {
        let (sink, fence) = (target.sink(), fence(pipeline, epoch));
        async move { sink.open(&context(pipeline), open_lane(&fence)).await }
    };
    for pipeline in lanes {
        open(pipeline, 1).await.unwrap();
    }
    let frozen = connect().await.unwrap();
    let lock = format!("begin; update {}.dataflow_tokens set sequence = 2", target.schema);
    frozen.batch_execute(&lock).await.unwrap();
    let [first, second] = lanes.map(|pipeline| open(pipeline, 2));
    let (first, second) = tokio::join!(first, second);
    first.unwrap();
    second.unwrap();
    target.drop().await;
}

/// Who is frozen while it makes or widens a table holds no lane's row yet, but keeps all others from making theirs.
#[tokio::test]
async fn a_writer_frozen_while_it_makes_a_table_does_not_hold_back_others() {
    let Some(target) = Target::new("", json!({"columns": {"id": "bigint", "name": "text"}})).await else { return };
    let frozen = connect().await.unwrap();
    frozen.batch_execute("begin; select pg_advisory_xact_lock(hashtextextended('dataflow', 0))").await.unwrap();
    let opened = tokio::time::timeout(std::time::Duration::from_secs(60), target.try_open(2)).await;
    opened.expect("waited for without end").unwrap();
    assert!(frozen.batch_execute("commit").await.is_err(), "its session was ended");
    target.drop().await;
}

/// Who waits for the lock of a frozen one before us is as alive as we are.
#[tokio::test]
async fn others_that_wait_to_make_tables_are_not_ended() {
    let columns = json!({"columns": {"id": "bigint", "name": "text"}, "fenceTimeout": "2s"});
    let Some(target) = Target::new("", columns).await else { return };
    let frozen = connect().await.unwrap();
    frozen.batch_execute("begin; select pg_advisory_xact_lock(hashtextextended('dataflow', 0))").await.unwrap();
    let waiting = connect().await.unwrap();
    let pid: i32 = waiting.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let queued = tokio::task::spawn(async move {
        waiting.batch_execute("begin; select pg_advisory_xact_lock(hashtextextended('dataflow', 0)); commit").await
    });
    let in_queue = "select count(*) from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'";
    while target.client.query_one(in_queue, &[&pid]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(!queued.is_finished(), "another one has ended the frozen session");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    target.try_open(1).await.unwrap();
    queued.await.unwrap().expect("ended, although it only waited");
    target.drop().await;
}

#[tokio::test]
async fn a_lock_that_may_not_be_broken_names_its_holder() {
    let Some(target) = Target::new("create table users (id int, name text)", json!({})).await else { return };
    let role = format!("weak_{}", target.schema);
    let grant = format!(
        "create role {role} login password 'weak'; grant usage, create on schema {0} to {role}; grant all on all tables in schema {0} to {role}",
        target.schema
    );
    if target.client.batch_execute(&grant).await.is_err() {
        return; // the user of the tests may not make roles
    }
    target.try_open(1).await.unwrap();
    target
        .client
        .batch_execute(&format!("grant all on all tables in schema {} to {role}", target.schema))
        .await
        .unwrap();
    target.client.batch_execute("begin; update dataflow_tokens set sequence = 0").await.unwrap();
    let url = target.url().replace("dataflow:dataflow@", &format!("{role}:weak@"));
    let sink: PostgresSink =
        serde_json::from_value(json!({"url": url, "table": "users", "fenceTimeout": "200ms"})).unwrap();
    let error = sink.build().open(&context("p"), open_lane(&fence("p", 2))).await.unwrap_err();
    assert!(
        matches!(&error, Error::Transient { code: "locked", message } if message.contains("user dataflow")),
        "{error:?}"
    );
    target
        .client
        .batch_execute(&format!(
            "rollback; drop schema {} cascade; drop owned by {role}; drop role {role}",
            target.schema
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_token_table_that_can_not_be_made_shows_its_ddl() {
    let Some(target) = Target::new("create table users (id int, name text)", json!({})).await else { return };
    let role = format!("poor_{}", target.schema);
    let grant = format!(
        "create role {role} login password 'poor'; grant usage on schema {0} to {role}; grant all on users to {role}",
        target.schema
    );
    if target.client.batch_execute(&grant).await.is_err() {
        return; // the user of the tests may not make roles
    }
    let url = target.url().replace("dataflow:dataflow@", &format!("{role}:poor@"));
    let sink: PostgresSink = serde_json::from_value(json!({"url": url, "table": "users"})).unwrap();
    let error = sink.build().open(&context("p"), open_lane(&fence("p", 1))).await.unwrap_err();
    let Error::Fatal { code, fix: Some(fix), .. } = &error else { panic!("{error:?}") };
    assert_eq!(*code, "access-denied");
    assert!(fix.contains("create table") && fix.contains("dataflow_tokens") && fix.contains("primary key"), "{fix}");
    target
        .client
        .batch_execute(&format!("drop schema {} cascade; drop owned by {role}; drop role {role}", target.schema))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_anew() {
    let Some(target) = Target::new("create table users (id int, name text)", json!({})).await else { return };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let application =
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dataflow' and query like $1";
    target.client.query(application, &[&format!("%{}%", target.schema)]).await.unwrap();
    let mut sequence = 1;
    for attempt in 0.. {
        assert!(attempt < 20, "it does not recover");
        match writer.commit(&[output(&demand, 0, &[(Some(1), Some("a"))])], &token(&fence("p", 1), sequence)).await {
            Ok(_) if sequence == 3 => break,
            Ok(_) => sequence += 1,
            Err(error) => {
                assert!(matches!(&error, CommitError::Failed(Error::Transient { .. })), "{error:?}");
                let opened = target.try_open(1).await.unwrap();
                sequence = opened.token.map_or(0, |token| token.sequence) + 1;
                writer = opened.writer;
            }
        }
    }
    assert_eq!(target.rows().await.len(), 3);
    target.drop().await;
}

#[tokio::test]
async fn servers_that_can_not_be_reached_are_named_without_the_password() {
    let open = |url: &str| {
        let sink: PostgresSink = serde_json::from_value(json!({"url": url, "table": "users"})).unwrap();
        async move { sink.build().open(&context("p"), open_lane(&fence("p", 1))).await.unwrap_err() }
    };
    let error = open("postgres://me:secret@127.0.0.1:1/db").await;
    assert!(matches!(&error, Error::Transient { code: "unreachable", .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:1/db") && !error.to_string().contains("secret"), "{error}");
    if connect().await.is_none() {
        return;
    }
    let error = open(&SERVER.replace("/dataflow", "/nowhere_at_all")).await;
    assert!(error.code() == "access-denied" || error.code() == "database-missing", "{error:?}");
    let error = open("postgres://dataflow:dataflow@127.0.0.1:5432/nowhere_at_all").await;
    assert_eq!(error.code(), "database-missing", "{error}");
}

#[test]
fn findings_need_no_server() {
    let check = |config: serde_json::Value| {
        let problems = serde_json::from_value::<PostgresSink>(config).unwrap().check();
        problems.into_iter().map(|problem| format!("{}:{}", problem.path, problem.code)).collect::<Vec<_>>()
    };
    assert_eq!(check(json!({"table": "users"})), ["url:missing"]);
    assert_eq!(check(json!({"table": "a.b.c", "url": "mysql://x"})), ["url:invalid", "table:invalid"]);
    assert_eq!(check(json!({"table": "users", "url": "postgres://u:p@h/d?sslmode=require"})), ["url:no-tls"]);
    assert_eq!(
        check(json!({"table": "users", "url": "postgres://u:p@h/d", "maxConnections": 0})),
        ["maxConnections:too-few"]
    );
}

/// However many pipelines there are: a server that lets in few clients is never asked for more.
#[tokio::test]
async fn many_lanes_share_a_few_connections() {
    let Some(target) = Target::new("create table users (id bigint, name text)", json!({})).await else { return };
    let config = json!({"table": "users", "url": format!("{}&application_name={}", target.url(), target.schema), "maxConnections": 3});
    let sink: PostgresSink = serde_json::from_value(config).unwrap();
    let work = futures::future::join_all((0..50).map(|lane| {
        let sink = sink.clone().build();
        async move {
            let fence = fence(&format!("p{lane}"), 1);
            let mut opened = sink.open(&context("p"), open_lane(&fence)).await.unwrap();
            for sequence in 1..=5 {
                let rows = [output(&opened.demand, 0, &[(Some(lane), Some("a"))])];
                opened.writer.commit(&rows, &token(&fence, sequence)).await.unwrap();
            }
        }
    }));
    let mut most = 0;
    let watch = async {
        loop {
            let count = "select count(*) from pg_stat_activity where application_name = $1";
            most = most.max(target.client.query_one(count, &[&target.schema]).await.unwrap().get::<_, i64>(0));
        }
    };
    tokio::select! {
        _ = work => {}
        _ = watch => {}
    }
    assert_eq!(target.texts("select count(*)::text from users").await, [Some("250".into())]);
    assert!((1..=3).contains(&most), "{most}");
    target.drop().await;
}
