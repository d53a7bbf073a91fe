//! Deletes: what is there after them, by every type of key, and what an audit says of it.
use crate::{
    json::{documents, write},
    target::*,
};
use dataflow_sdk::audit::Findings;

/// What an audit finds that expects these documents.
async fn audited(target: &Target, expected: &[&str]) -> Findings {
    let mut auditor = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap().auditor;
    let expected: Vec<String> = expected.iter().map(|document| (*document).into()).collect();
    auditor.expect(&documents(&expected)).await.unwrap();
    auditor.finish().await.unwrap()
}

/// How many rows an audit finds lost, altered, and unexpected.
fn wrong(findings: &Findings) -> [u64; 3] {
    [findings.lost.count, findings.altered.count, findings.unexpected.count]
}

/// The server's own equality says which row it is, however the key is spelled.
#[tokio::test]
async fn the_row_of_a_key_is_deleted_by_the_servers_own_equality() {
    for (ty, written, deleted, other) in [
        ("bigint", "7", "7.0", "8"),
        (
            "uuid",
            "\"67e55044-10b1-426f-9247-bb680e5fe0c8\"",
            "\"67E55044-10B1-426F-9247-BB680E5FE0C8\"",
            "\"00e55044-10b1-426f-9247-bb680e5fe0c8\"",
        ),
        ("numeric", "1.0", "1", "1.1"),
        ("numeric(10,2)", "1.50", "1.5", "1.51"),
        ("double precision", "0", "-0.0", "1e-300"),
        ("char(3)", "\"ab\"", "\"ab \"", "\"abc\""),
        ("citext", "\"Ann\"", "\"aNN\"", "\"Anne\""),
        ("citext[]", "[\"Ann\", \"x\"]", "[\"aNN\", \"X\"]", "[\"Ann\"]"),
        ("text", "\"Ann\"", "\"Ann\"", "\"ann\""),
        ("text collate dataflow_loose", "\"René\"", "\"rene\"", "\"renee\""),
        ("interval", "\"30 days\"", "\"1 mon\"", "\"31 days\""),
        ("inet", "\"10.0.0.1\"", "\"10.0.0.1/32\"", "\"10.0.0.1/8\""),
        ("timestamptz", "\"2026-01-31T12:00:00Z\"", "\"2026-01-31T13:00:00+01:00\"", "\"2026-01-31T12:00:00.000001Z\""),
        ("date", "\"2026-01-31\"", "\"2026-01-31\"", "\"2026-02-01\""),
        ("boolean", "true", "true", "false"),
        ("bytea", "\"AQI=\"", "\"AQI=\"", "\"AQM=\""),
        ("mood", "\"sad\"", "\"sad\"", "\"well\""),
        ("word", "\"a\"", "\"a\"", "\"b\""),
        ("jsonb", "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1.0}", "{\"a\":1}"),
        ("int4range", "\"[1,3]\"", "\"[1,4)\"", "\"[1,4]\""),
    ] {
        for together in [1, 10] {
            let extension = if ty.contains("citext") { extension_statement("citext") } else { String::new() };
            let setup = format!(
                "{extension} create collation dataflow_loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false); \
                 create type mood as enum ('sad', 'well'); create domain word as varchar(3) check (value <> ''); \
                 create table users (k {ty} primary key, v int)"
            );
            let Some(target) = Target::new(&setup, json!({"key": "k"})).await else { return };
            let [written, again] = [1, 2].map(|v| format!("{{\"k\":{written},\"v\":{v}}}"));
            let other = format!("{{\"k\":{other},\"v\":3}}");
            let deleted = format!("{{\"k\":{deleted},\"_op\":\"d\"}}");
            let gone = [written.as_str(), &other, &deleted, &deleted];
            assert_eq!(write(&target, &gone, together).await, [], "{ty}");
            assert_eq!(target.texts("select v::text from users").await, [Some("3".into())], "{ty}, {together}");
            let findings = audited(&target, &gone).await;
            assert_eq!((wrong(&findings), findings.expected, findings.found), ([0; 3], 1, 1), "{ty}: {findings:?}");
            target.client.batch_execute("truncate dataflow_tokens; truncate users").await.unwrap();
            let back = [&gone[..], &[again.as_str()]].concat();
            assert_eq!(write(&target, &back, together).await, [], "{ty}");
            let there = "select string_agg(v::text, ' ' order by v) from users";
            assert_eq!(target.texts(there).await, [Some("2 3".into())], "{ty}, {together}");
            let findings = audited(&target, &back).await;
            assert_eq!((wrong(&findings), findings.expected), ([0; 3], 2), "{ty}: {findings:?}");
            target.drop().await;
        }
    }
}

/// A row that comes after a delete is a new one: what it does not say is as in a new row.
#[tokio::test]
async fn what_comes_after_a_delete_is_a_new_row() {
    const SETUP: &str = "create table users (a int, b text collate \"C\", v int, w int default 9, hidden int default 5, \
        n int generated always as identity, primary key (a, b))";
    let more = json!({"columns": ["a", "b", "v", "w"], "key": ["b", "a"]});
    let all = [
        r#"{"a":1,"b":"x","v":1,"w":1}"#,
        r#"{"a":1,"b":"x","_op":"d"}"#,
        r#"{"a":1,"b":"x"}"#,
        r#"{"a":1,"b":"y","v":2,"w":2}"#,
        r#"{"a":2,"b":"never","_op":"d"}"#,
    ];
    for together in [1, 2, 3, all.len()] {
        let Some(target) = Target::new(SETUP, more.clone()).await else { return };
        assert_eq!(write(&target, &all[..1], 1).await, []);
        target.client.batch_execute("update users set hidden = 6; truncate dataflow_tokens").await.unwrap();
        assert_eq!(write(&target, &all, together).await, []);
        let rows = target.texts("select concat_ws(' ', a, b, v, w, hidden) from users order by b").await;
        assert_eq!(rows, [Some("1 x 9 5".into()), Some("1 y 2 2 5".into())], "{together}");
        let findings = audited(&target, &all).await;
        assert_eq!((wrong(&findings), findings.expected), ([0; 3], 2), "{findings:?}");
        target.client.batch_execute("update users set v = 1 where b = 'x'").await.unwrap();
        let findings = audited(&target, &all).await;
        assert_eq!(wrong(&findings), [0, 1, 0], "a value of before the delete is not the new row's: {findings:?}");
        target.drop().await;
    }
}

/// A deleted row that is there, and one written again that is not, are found; what two partitions say of a key is not known.
#[tokio::test]
async fn an_audit_knows_what_is_deleted() {
    let Some(target) = Target::new("create table users (id int primary key, name text)", json!({})).await else {
        return;
    };
    let all = [
        r#"{"id":1,"name":"a"}"#,
        r#"{"id":1,"_op":"d"}"#,
        r#"{"id":2,"name":"b"}"#,
        r#"{"id":2,"_op":"d"}"#,
        r#"{"id":2,"name":"c"}"#,
    ];
    assert_eq!(write(&target, &all, 5).await, []);
    assert_eq!(wrong(&audited(&target, &all).await), [0; 3]);
    target.client.batch_execute("insert into users values (1, 'a')").await.unwrap();
    let findings = audited(&target, &all).await;
    assert_eq!(wrong(&findings), [0, 0, 1], "{findings:?}");
    let example = &findings.unexpected.examples[0];
    assert_eq!((example.position.as_deref(), example.place.as_deref()), (Some("1"), Some("id = 1")), "{example:?}");
    assert!(example.expected.as_ref().unwrap().contains("deletes"), "{example:?}");
    target.client.batch_execute("truncate users").await.unwrap();
    let findings = audited(&target, &all).await;
    assert_eq!((wrong(&findings), findings.expected), ([1, 0, 0], 1), "{findings:?}");
    target.drop().await;
}

/// Without a key, with a null, or with one that the column can't hold, a delete is refused, and says why. What else it has
/// does not matter.
#[tokio::test]
async fn a_delete_without_a_key_is_refused() {
    let Some(target) =
        Target::new("create table users (id numeric(4,1) primary key, name varchar(3) not null)", json!({})).await
    else {
        return;
    };
    let all = [
        r#"{"id":1,"name":"a"}"#,
        r#"{"id":null,"_op":"d"}"#,
        r#"{"name":"b","_op":"d"}"#,
        r#"{"id":1.25,"_op":"d"}"#,
        r#"{"id":1,"name":"far too long","_op":"d"}"#,
    ];
    for together in [1, 5] {
        let refused = write(&target, &all, together).await;
        assert_eq!(refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2, 3], "{refused:?}");
        assert!(refused[0].1.contains("key column id is null") && refused[1].1.contains("missing"), "{refused:?}");
        assert_eq!(target.rows().await, []);
        target.client.batch_execute("truncate dataflow_tokens").await.unwrap();
    }
    target.drop().await;
    let Some(target) = Target::new("create table users (id int, name text)", json!({})).await else { return };
    let refused = write(&target, &[r#"{"id":1,"_op":"d"}"#, r#"{"id":2,"name":"x"}"#], 2).await;
    assert!(refused.len() == 1 && refused[0].1.contains("without a key"), "{refused:?}");
    target.drop().await;
    let Some(target) = Target::new("create table users (id int, name text)", json!({"op": "op"})).await else { return };
    let error = target.try_open(1).await.unwrap_err();
    assert!(matches!(&error, Error::Fatal { code: "key-missing", fix: Some(_), .. }), "{error:?}");
    target.drop().await;
}

/// Deletes that come before there is a table delete nothing, and make none.
#[tokio::test]
async fn deletes_before_there_is_a_table_make_none() {
    let Some(target) = Target::new("", json!({"key": "id"})).await else { return };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    assert_eq!(demand, Demand::AllColumns);
    let of_key = Demand::Columns(vec![Column { name: "id".into(), ty: Type::Any }]);
    let all = [r#"{"id":1,"_op":"d"}"#, r#"{"id":null,"_op":"d"}"#].map(String::from);
    let (output, _) = crate::json::decoded(&of_key, &all);
    let commit = writer.commit(&[output.clone()].into(), &token(&fence("p", 1), 1)).await;
    let Err(CommitError::Rejected(rows)) = commit else { panic!("{commit:?}") };
    assert!(rows.len() == 1 && rows[0].row == 1 && rows[0].cause.contains("id"), "{rows:?}");
    let committed = writer.commit(&[output.retain(|row| row == 0)].into(), &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(committed.rows_written, 0);
    assert_eq!(target.texts("select to_regclass('users')::text").await, [None]);
    let findings = audited(&target, &[r#"{"id":1,"_op":"d"}"#]).await;
    assert_eq!((wrong(&findings), findings.expected), ([0; 3], 0));
    // Nothing has to be there when it is opened again.
    assert!(target.try_open(2).await.is_ok());
    target.drop().await;
}

#[tokio::test]
async fn rows_of_partitions_are_deleted() {
    let setup = "create table users (id int, name text, primary key (id)) partition by range (id); \
        create table low partition of users for values from (0) to (10); create table high partition of users default";
    for together in [1, 5] {
        let Some(target) = Target::new(setup, json!({})).await else { return };
        let all = [
            r#"{"id":1,"name":"a"}"#,
            r#"{"id":50,"name":"b"}"#,
            r#"{"id":2,"name":"c"}"#,
            r#"{"id":1,"_op":"d"}"#,
            r#"{"id":50,"_op":"d"}"#,
        ];
        assert_eq!(write(&target, &all, together).await, []);
        assert_eq!(target.rows().await, [(2, "c".into())]);
        target.drop().await;
    }
}

/// A row that is still there after its delete is told; one that was never there is deleted.
#[tokio::test]
async fn deletes_that_the_database_swallows_are_told() {
    const TABLE: &str = "create table users (id bigint primary key, name text); insert into users select n, 'a' from generate_series(1, 8) n";
    let keep = "create function keep() returns trigger language plpgsql as \
        'begin if old.id % 4 = 0 then return null; end if; return old; end'; \
        create trigger t before delete on users for each row execute function keep()";
    let notes = "create function notes() returns trigger language plpgsql as 'begin return null; end'; \
        create trigger t after delete on users for each row execute function notes()";
    let parts = "drop table users; create table users (id bigint primary key, name text) partition by range (id); \
        create table low partition of users for values from (0) to (10); create table high partition of users default; \
        insert into users select n, 'a' from generate_series(1, 8) n";
    for (more, swallowed) in [
        (String::new(), 0),
        (notes.into(), 0),
        (keep.into(), 2),
        (format!("{parts}; {}", keep.replace("delete on users", "delete on low")), 2),
        ("create rule r as on delete to users where old.id % 4 = 0 do instead nothing".into(), 2),
        ("create rule r as on delete to users do instead update users set name = 'gone' where id = old.id".into(), 8),
    ] {
        for together in [1, 5, 12] {
            let Some(target) = Target::new(&format!("{TABLE}; {more}"), json!({})).await else { return };
            let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
            let deletes: Vec<String> = (1..=12).map(|id| format!("{{\"id\":{id},\"_op\":\"d\"}}")).collect();
            let (mut written, mut told) = (0, 0);
            for (sequence, part) in (1..).zip(deletes.chunks(together)) {
                let (output, _) = crate::json::decoded(&demand, part);
                written +=
                    writer.commit(&[output].into(), &token(&fence("p", 1), sequence)).await.unwrap().rows_written;
                told += writer.warnings().iter().map(|warning| warning.records).sum::<u64>();
            }
            assert_eq!((written, told), (12 - swallowed, swallowed), "{more}, {together}");
            assert_eq!(target.texts("select count(*)::text from users").await, [Some(swallowed.to_string())], "{more}");
            target.drop().await;
        }
    }
}

/// A user who may not delete is told what to grant.
#[tokio::test]
async fn a_missing_privilege_is_named() {
    let Some(mut target) = Target::new("create table users (id int primary key, name text)", json!({})).await else {
        return;
    };
    let role = format!("{}_writer", target.schema);
    let grants = format!(
        "create role {role}; grant {role} to current_user; grant usage, create on schema {0} to {role}; \
         grant select, insert, update on users to {role}",
        target.schema
    );
    target.client.batch_execute(&grants).await.unwrap();
    target.role = Some(role.clone());
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let (output, _) = crate::json::decoded(&demand, &[r#"{"id":1,"_op":"d"}"#.to_owned()]);
    let commit = writer.commit(&[output].into(), &token(&fence("p", 1), 1)).await;
    let Err(CommitError::Failed(Error::Fatal { code: "access-denied", fix: Some(fix), .. })) = commit else {
        panic!("{commit:?}")
    };
    assert!(fix.contains("delete"), "{fix}");
    writer.close().await;
    let client = connect().await.unwrap();
    let schema = target.schema.clone();
    client
        .batch_execute(&format!("drop schema {schema} cascade; drop owned by {role}; drop role {role}"))
        .await
        .unwrap();
}
