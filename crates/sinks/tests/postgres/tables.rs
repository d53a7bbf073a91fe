//! Tables that are there, made or widened.
use crate::target::*;
use dataflow_core::{
    id::{Generation, Incarnation},
    token::Fence,
};
use dataflow_sdk::sink::OpenLane;

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
async fn a_table_is_made_with_the_types_of_the_first_batch_and_widened_on_demand() {
    let more = json!({"key": "id", "unknownFields": "add", "table": "sales.Users"});
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
    assert_eq!(made, Demand::Columns(first.to_vec()), "the types are those that were asked for");
    // Another lane, which has not seen the table being made.
    let widened = writer.define(&[column("at", Type::Timestamp)]).await.unwrap();
    let expected = [&first[..], &[column("at", Type::Timestamp)]].concat();
    assert_eq!(widened, Demand::Columns(expected.clone()));
    let reopened = target.try_open(2).await.unwrap();
    assert_eq!(reopened.demand, Demand::Columns(expected));
    let tokens = target.texts("select to_regclass('sales.dataflow_tokens')::text").await;
    assert_eq!(tokens, [Some("sales.dataflow_tokens".into())], "tokens lie beside the table");
    target.client.batch_execute("drop schema sales cascade").await.unwrap();
    target.drop().await;
}

/// A table needs no columns to hold rows of nulls: a field gets its column, and the column its type, with its first value.
#[tokio::test]
async fn rows_of_nulls_wait_for_columns() {
    let Some(target) = Target::new("", json!({})).await else { return };
    let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
    let id = |ty| [Column { name: "id".into(), ty }];
    assert_eq!(writer.define(&id(Type::Any)).await.unwrap(), Demand::AllColumns);
    for (commit, count) in [(1, 1), (2, 100)] {
        let nulls = output(&Demand::Columns(Vec::new()), 0, &vec![(None, None); count]);
        let committed = writer.commit(&[nulls].into(), &token(&fence("p", 1), commit)).await.unwrap();
        assert_eq!(committed.rows_written, count as u64);
    }
    let Opened { mut writer, demand, .. } = target.try_open(2).await.unwrap();
    assert_eq!(demand, Demand::AllColumns);
    let demand = writer.define(&id(Type::Bigint)).await.unwrap();
    assert_eq!(demand, Demand::Growing(id(Type::Bigint).into()));
    writer.commit(&[output(&demand, 0, &[(Some(7), None)])].into(), &token(&fence("p", 2), 3)).await.unwrap();
    let rows = "select concat_ws(' ', count(*), count(id), max(id), max(pg_typeof(id)::text)) from users";
    assert_eq!(target.texts(rows).await, [Some("102 1 7 bigint".into())]);
    target.drop().await;
}

/// A table that pipelines have made gets a column for every field, in all lanes and after each start, from each of them;
/// any other one is its owner's, also in the same place.
#[tokio::test]
async fn a_table_that_was_made_gets_every_field() {
    let Some(mut target) = Target::new("", json!({})).await else { return };
    let column = |name: &str, ty| Column { name: name.into(), ty };
    let (first, more) = ([column("id", Type::Bigint)], [column("name", Type::Text)]);
    let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
    let second = Fence { lane: 1, ..fence("p", 1) };
    let mut other = target.sink().open(&context("p"), open_lane(&second)).await.unwrap().writer;
    assert_eq!(writer.define(&first).await.unwrap(), Demand::Growing(first.to_vec()));
    let all = [&first[..], &more].concat();
    assert_eq!(
        other.define(&[&first[..], &more, &[column("xmin", Type::Text)]].concat()).await.unwrap(),
        Demand::Growing(all.clone())
    );
    let demand = writer.define(&[]).await.unwrap();
    writer.commit(&[output(&demand, 0, &[(Some(1), Some("Ann"))])].into(), &token(&fence("p", 1), 1)).await.unwrap();
    let next = Fence { generation: Generation::new(2, 7), ..fence("p", 2) };
    let opened = target.sink().open(&context("p"), open_lane(&next)).await.unwrap();
    assert_eq!(opened.demand, Demand::Growing(all.clone()), "of another generation");
    for said in [json!({"unknownFields": "ignore"}), json!({"columns": ["id", "name"]})] {
        target.more = said;
        let opened = target.sink().open(&context("p"), open_lane(&next)).await.unwrap();
        assert_eq!(opened.demand, Demand::Columns(all.clone()), "{}", target.more);
    }
    target.more = json!({});
    let opened = target.sink().open(&context("q"), open_lane(&fence("q", 1))).await.unwrap();
    assert_eq!(opened.demand, Demand::Growing(all.clone()), "of another pipeline");
    target.client.batch_execute("delete from users; drop table users; create table users (id bigint)").await.unwrap();
    let choice = OpenLane {
        known: vec![Generation::FIRST, next.generation],
        ..open_lane(&Fence { generation: Generation::new(3, 7), ..next })
    };
    let opened = target.sink().open(&context("p"), choice).await.unwrap();
    assert_eq!(opened.demand, Demand::Columns(first.to_vec()), "made by somebody else");

    target.client.batch_execute("drop table users").await.unwrap();
    target.more = json!({"columns": ["id"]});
    let listed = Fence { incarnation: Incarnation::try_from("2-again").unwrap(), ..fence("p", 1) };
    let listed = OpenLane { ancestors: vec![fence("p", 1).incarnation], ..open_lane(&listed) };
    let mut writer = target.sink().open(&context("p"), listed).await.unwrap().writer;
    assert_eq!(writer.define(&first).await.unwrap(), Demand::Columns(first.to_vec()));
    target.more = json!({});
    let opened = target.sink().open(&context("q"), open_lane(&fence("q", 2))).await.unwrap();
    assert_eq!(opened.demand, Demand::Columns(first.to_vec()), "made with columns that its maker lists");
    target.drop().await;
}

/// Whether a table can be made never depends on the first batch: until a record has a value for each part of the key, none is
/// accepted.
#[tokio::test]
async fn a_table_waits_for_its_key() {
    let Some(target) = Target::new("", json!({"key": "id"})).await else { return };
    let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
    let column = |name: &str, ty| Column { name: name.into(), ty };
    for first in [vec![column("name", Type::Text)], vec![column("id", Type::Any), column("name", Type::Text)]] {
        assert_eq!(writer.define(&first).await.unwrap(), Demand::AllColumns);
    }
    let all = [column("id", Type::Bigint), column("name", Type::Text)];
    assert_eq!(writer.define(&all).await.unwrap(), Demand::Growing(all.into()));
    target.drop().await;
}

/// A field whose name no column can have is one without a column, whether or not another field comes with it.
#[tokio::test]
async fn a_first_batch_without_any_possible_column_makes_no_table() {
    for (rule, refused) in [("ignore", false), ("dead", false), ("add", true)] {
        let Some(target) = Target::new("", json!({"unknownFields": rule})).await else { return };
        let Opened { mut writer, .. } = target.try_open(1).await.unwrap();
        let made = writer.define(&[Column { name: "xmin".into(), ty: Type::Bigint }]).await;
        match refused {
            true => assert_eq!(made.unwrap_err().code(), "column-name"),
            false => assert_eq!(made.unwrap(), Demand::AllColumns, "{rule}"),
        }
        target.drop().await;
    }
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
            writer.commit(&[output(&demand, 0, &rows)].into(), &token(&fence, 1)).await.unwrap();
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
        (
            "create type pair as (a int, b int); create table users (id int, tags pair)",
            json!({}),
            "unsupported-type",
            "columns",
        ),
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

/// What no row can be inserted into is refused before anything is made there, and named with what to do.
#[tokio::test]
async fn what_is_no_table_is_refused() {
    const TABLE: &str = "create table base (id integer primary key, name text);";
    for (setup, table, what) in [
        ("create sequence users", "users", "sequence"),
        ("create index users on base (name)", "users", "index"),
        ("create type users as (id integer, name text)", "users", "composite type"),
        ("create materialized view users as select * from base", "users", "materialized view"),
        ("create view users as select name, count(*) as id from base group by name", "users", "view"),
        ("create view users as select distinct id, name from base", "users", "view"),
        ("", "information_schema.tables", "PostgreSQL's own"),
        ("", "information_schema.mine", "PostgreSQL's own"),
        ("", "pg_catalog.pg_class", "PostgreSQL's own"),
        ("", "pg_class", "PostgreSQL's own"),
    ] {
        let Some(target) = Target::new(&format!("{TABLE} {setup}"), json!({"table": table})).await else { return };
        let error = target.try_open(1).await.unwrap_err();
        let Error::Fatal { code: "not-a-table", message, fix: Some(_), .. } = &error else {
            panic!("{setup}: {error:?}")
        };
        assert!(message.contains(what), "{setup} {table}: {message}");
        let made = "select n.nspname::text from pg_class c join pg_namespace n on n.oid = relnamespace \
            where relname = 'dataflow_tokens' and nspname in ('information_schema', 'pg_catalog', current_schema())";
        assert!(target.texts(made).await.is_empty(), "{setup} {table}");
        target.drop().await;
    }
    for setup in [
        "create view users as select * from base where id > 0",
        "create view users as select id, name from base group by id, name; create rule r as on insert to users do instead \
            insert into base values (new.id, new.name)",
        "create table users (id integer, name text) partition by range (id)",
    ] {
        let Some(target) = Target::new(&format!("{TABLE} {setup}"), json!({})).await else { return };
        target.try_open(1).await.unwrap_or_else(|error| panic!("{setup}: {error:?}"));
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
    assert_eq!(columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "name", "at", "n"]);
    writer.commit(&[output(&demand, 0, &[(Some(1), Some("a"))])].into(), &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(target.texts("select (at is not null)::text from users").await, [Some("true".into())]);
    target.drop().await;
}

#[test]
fn findings_need_no_server() {
    let check = |config: serde_json::Value| {
        let problems = serde_json::from_value::<PostgresSink>(config).unwrap().check();
        problems.into_iter().map(|problem| format!("{}:{}", problem.path, problem.code)).collect::<Vec<_>>()
    };
    let named = |more: serde_json::Value| {
        let mut config = json!({"table": "users", "url": "postgres://u:p@h/d"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        check(config)
    };
    let long = "ä".repeat(32);
    assert_eq!(named(json!({"table": long})), ["table:too-long"]);
    assert_eq!(named(json!({"columns": [long, "id"]})), ["columns:column-name"]);
    assert_eq!(named(json!({"columns": ["xmin", "id"]})), ["columns:column-name"]);
    assert_eq!(named(json!({"columns": ["ä".repeat(31), "Id", "id", "XMIN"]})), Vec::<String>::new());
    assert_eq!(check(json!({"table": "users"})), ["url:missing-field"]);
    assert_eq!(check(json!({"table": "a.b.c", "url": "mysql://x"})), ["url:invalid-value", "table:invalid-value"]);
    assert_eq!(check(json!({"table": "users", "url": "postgres://u:p@h/d?sslmode=require"})), Vec::<String>::new());
    assert_eq!(
        check(json!({"table": "users", "url": "postgres://u:p@h/d", "maxConnections": 0})),
        ["maxConnections:too-few"]
    );
}

/// What the server would call otherwise is refused with the fix that works, where each field is to get a column.
#[tokio::test]
async fn fields_that_can_be_no_column_are_named() {
    for name in ["xmin", "ctid", "a_name_of_seventy_bytes_which_is_more_than_the_server_takes_for_a_name"] {
        let column = Column { name: name.into(), ty: Type::Text };
        for setup in ["", "create table users (id int)"] {
            let Some(target) = Target::new(setup, json!({"unknownFields": "add"})).await else { return };
            let mut opened = target.try_open(1).await.unwrap();
            let error = opened.writer.define(std::slice::from_ref(&column)).await.unwrap_err();
            let Error::Fatal { code, fix: Some(fix), retryable: false, .. } = &error else { panic!("{error:?}") };
            assert!(*code == "column-name" && fix.contains("\"remove\"") && fix.contains(name), "{fix}");
            target.drop().await;
        }
    }
}

/// Beside others, a field whose name can't be had is one without a column.
#[tokio::test]
async fn a_field_that_can_be_no_column_has_none() {
    let columns = ["id", "", "a\0b", "xmin", "n"].map(|name| Column { name: name.into(), ty: Type::Bigint });
    for (setup, expected) in [("", vec!["id", "n"]), ("create table users (id bigint)", vec!["id", "n"])] {
        let Some(target) = Target::new(setup, json!({"unknownFields": "dead"})).await else { return };
        let mut opened = target.try_open(1).await.unwrap();
        let demand = opened.writer.define(&columns).await.unwrap();
        let Demand::Columns(defined) = &demand else { panic!("{demand:?}") };
        assert_eq!(defined.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), expected, "{setup}");
        target.drop().await;
    }
}

#[tokio::test]
async fn a_type_that_can_not_be_written_fails_for_good() {
    let setup = "create type pair as (a int, b int); create table users (id int, tags pair)";
    let Some(target) = Target::new(setup, json!({})).await else { return };
    let error = target.try_open(1).await.unwrap_err();
    assert!(matches!(&error, Error::Fatal { code: "unsupported-type", retryable: false, .. }), "{error:?}");
    target.drop().await;
}

/// A table that is gone, and with it what was written to it, is not made anew unless the user has said so; whichever lane
/// comes first.
#[tokio::test]
async fn a_table_that_had_rows_is_not_made_anew_unasked() {
    use dataflow_core::{id::Generation, token::Fence};
    use dataflow_sdk::sink::OpenLane;
    let columns = json!({"columns": {"id": "bigint", "name": "text"}});
    for (more, gone) in [
        (json!({}), "drop table users"),
        (json!({}), "alter table users rename to before"),
        (columns, "drop table users"),
    ] {
        let Some(target) = Target::new("select 1", more).await else { return };
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
            target.client.batch_execute(gone).await.unwrap();
            target.client.batch_execute("drop table if exists before").await.unwrap();
        }
        let (mut writer, demand, _) = made(open_lane(&fence("p", 1))).await.unwrap();
        let rows = |id| [output(&demand, 0, &[(Some(id), Some("x"))])];
        writer.commit(&rows(1).into(), &token(&fence("p", 1), 1)).await.unwrap();
        target.client.batch_execute(gone).await.unwrap();
        let error = writer.commit(&rows(2).into(), &token(&fence("p", 1), 2)).await.unwrap_err();
        assert!(format!("{error:?}").contains("table-missing"), "{error:?}");
        drop(writer);
        let own = fence("p", 2);
        let next = Fence { generation: Generation::new(2, 7), ..own.clone() };
        let next = || OpenLane { known: vec![own.generation], ..open_lane(&next) };
        let another = Fence { lane: 1, ..own.clone() };
        for lane in [open_lane(&another), open_lane(&own), OpenLane { left: vec![own.generation], ..next() }] {
            let error = made(lane).await.err();
            assert!(matches!(error, Some(Error::Contradicts { code: "table-missing", .. })), "{error:?}");
        }
        let (mut writer, demand, _) = made(next()).await.unwrap();
        writer.commit(&[output(&demand, 0, &[(Some(3), Some("x"))])].into(), &token(&next().fence, 1)).await.unwrap();
        assert_eq!(target.rows().await, [(3, "x".into())], "{gone}");
        target.drop().await;
    }
}

/// Tokens of an earlier build say nothing of which history of the pipeline they belong to.
#[tokio::test]
async fn tokens_of_an_earlier_build_are_refused() {
    let Some(target) = Target::new("select 1", json!({})).await else { return };
    let columns = "pipeline text, incarnation text, generation bigint, lane integer, journal text, target text";
    target.client.batch_execute(&format!("create table dataflow_tokens ({columns})")).await.unwrap();
    assert_eq!(target.try_open(1).await.unwrap_err().code(), "tokens-outdated");
    target.drop().await;
}

/// A table that was dropped holds nothing of anybody, also when another pipeline has made it anew meanwhile.
#[tokio::test]
async fn a_dropped_table_that_several_pipelines_share_is_in_nobodys_way() {
    let more = json!({"columns": {"id": "bigint", "name": "text"}});
    let Some(target) = Target::new("", more).await else { return };
    let write = async |journal: &str, pipeline: &str| {
        let fence =
            Fence { incarnation: Incarnation::try_from(&*format!("1-{journal}")).unwrap(), ..fence(pipeline, 1) };
        let lane = OpenLane { journal: journal.into(), ..open_lane(&fence) };
        let mut opened = target.sink().open(&context(pipeline), lane).await?;
        let rows = [output(&opened.demand, 0, &[(Some(1), Some("a"))])];
        opened.writer.commit(&rows.clone().into(), &token(&fence, 1)).await
    };
    for pipeline in ["p", "q", "r"] {
        write("one", pipeline).await.unwrap();
    }
    target.client.batch_execute("drop table users").await.unwrap();
    for pipeline in ["p", "q"] {
        write("two", pipeline).await.unwrap_or_else(|error| panic!("{pipeline}: {error:?}"));
    }
    // What is in the table that is there is in the way.
    let error = write("three", "q").await.unwrap_err();
    let CommitError::Failed(error) = error else { panic!("{error:?}") };
    assert_eq!(error.code(), "target-of-another-node", "{error}");
    assert_eq!(target.rows().await.len(), 2);
    target.drop().await;
}
