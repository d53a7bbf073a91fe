//! Rows that the table refuses.
use crate::{
    json::{decoded, write},
    target::*,
};

#[tokio::test]
async fn deferred_and_foreign_keys_are_traced_to_their_rows() {
    let setup = "create table names (name text primary key); insert into names values ('Ann'), ('Ben'), ('Bob'), ('Cid'), ('Dan'), ('x'), \
        (E'B\"ob, \\\\ \u{e4}\u{1f600}\\n'), ('lost'), ('lost, too'), ('zombie'); \
        create table users (id int, name text constraint users_name references names deferrable initially deferred) -- refused";
    conforms(setup, json!({})).await;
}

/// Whether a row is taken does not depend on what comes after it.
#[tokio::test]
async fn a_row_that_refers_to_one_after_it_is_refused() {
    let setup = "create table users (id bigint primary key, name text check (name <> 'refused'), \
        boss bigint generated always as (case when id < 10 then id + 1 end) stored references users (id))";
    let Some(target) = Target::new(setup, json!({})).await else { return };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    // 10 refers to none, 9 to it, and so on; 20 refers to none and is bad; 5 comes too early.
    let rows: Vec<_> = std::iter::once(5)
        .chain((1..=10).rev())
        .map(|id| (Some(id), Some("x")))
        .chain([(Some(20), Some("refused"))])
        .collect();
    let outputs = [output(&demand, 0, &rows)];
    let Err(CommitError::Rejected(refused)) = writer.commit(&outputs.clone().into(), &token(&fence("p", 1), 1)).await
    else {
        panic!("a bad row was taken")
    };
    assert_eq!(refused.iter().map(|row| row.row).collect::<Vec<_>>(), [0, 11], "{refused:?}");
    let rest = [outputs[0].retain(|row| row != 0 && row != 11)];
    assert_eq!(writer.commit(&rest.clone().into(), &token(&fence("p", 1), 1)).await.unwrap().rows_written, 10);
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
        let refused = writer.commit(&outputs.clone().into(), &token(&fence("p", 1), sequence)).await;
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
        assert_eq!(
            writer.commit(&rest.clone().into(), &token(&fence("p", 1), sequence)).await.unwrap().rows_written,
            2
        );
    }
    assert_eq!(target.rows().await.len(), 4);
    target.drop().await;
}

#[tokio::test]
async fn rows_that_can_not_be_stored_name_column_and_type() {
    let Some(target) = Target::new("create table users (id bigint not null, name varchar(5))", json!({})).await else {
        return;
    };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    for (count, name, expected) in [
        (
            3,
            "nul\0",
            "column name (character varying(5)): it contains the character U+0000, which PostgreSQL can't store",
        ),
        (
            3,
            "too long",
            "column name (character varying(5)): \"too long\" would be changed: it has more than 5 characters",
        ),
        (
            500,
            "too long",
            "column name (character varying(5)): \"too long\" would be changed: it has more than 5 characters",
        ),
    ] {
        let rows: Vec<_> = (0..count).map(|id| (Some(id), Some(if id == 1 { name } else { "ok" }))).collect();
        let Err(CommitError::Rejected(rows)) =
            writer.commit(&[output(&demand, 0, &rows)].into(), &token(&fence("p", 1), 1)).await
        else {
            panic!()
        };
        let causes: Vec<_> = rows.iter().map(|row| (row.row, row.cause.as_str())).collect();
        assert_eq!(causes, [(1, expected)]);
    }
    let Err(CommitError::Rejected(rows)) =
        writer.commit(&[output(&demand, 0, &[(None, Some("a"))])].into(), &token(&fence("p", 1), 1)).await
    else {
        panic!()
    };
    assert_eq!(rows[0].cause, "column id (bigint) is null, which the table refuses");
    drop(writer); // what it keeps of the refused commit holds locks
    target.drop().await;
}

/// The column that is named is one that the record has, and that the words are about; of several, none is.
#[tokio::test]
async fn the_column_that_is_named_is_the_one_that_is_wrong() {
    let setup = "create table users (id int primary key, dt date, ti time, iv interval, te time, ma macaddr, ip inet)";
    for (record, column) in [
        (r#"{"id": 1, "ti": "25:00"}"#, "(column ti)"),
        (r#"{"id": 1, "dt": null, "ti": "25:00"}"#, "(column ti)"),
        (r#"{"id": 1, "dt": "2026-01-02", "ti": "25:00"}"#, "(column ti)"),
        (r#"{"id": 1, "ti": "10:00", "te": "25:00"}"#, "(column te)"),
        (r#"{"id": 1, "ti": "25:00", "te": "25:00"}"#, ""),
        (r#"{"id": 1, "ti": "10:00", "iv": "1 parsec"}"#, "(column iv)"),
        (r#"{"id": 1, "ip": "10.0.0.1", "ma": "xx"}"#, "(column ma)"),
    ] {
        let Some(target) = Target::new(setup, json!({})).await else { return };
        let refused = write(&target, &[record], 1).await;
        let [(0, cause)] = refused.as_slice() else { panic!("{record}: {refused:?}") };
        let fits = if column.is_empty() { !cause.contains("(column") } else { cause.ends_with(column) };
        assert!(fits, "{record}: {cause}");
        target.drop().await;
    }
}

/// What a single row brings about by itself is that row's, whatever the server calls it.
#[tokio::test]
async fn a_row_error_is_what_one_row_brings_about() {
    for code in [
        "45000", "XX000", "42501", "42P01", "0A000", "55006", "F0000", "P0001", "57014", "53100", "40001", "55P03",
        "08000", "25006", "55000",
    ] {
        for together in [2, 100] {
            let setup = format!(
                "create table users (id int, name text); \
                 create function check_it() returns trigger language plpgsql as $$ begin \
                 if new.name = 'bad' then raise exception 'not this one' using errcode = '{code}'; end if; return new; end $$; \
                 create trigger check_it before insert on users for each row execute function check_it()"
            );
            let Some(target) = Target::new(&setup, json!({})).await else { return };
            let documents: Vec<String> = (0..70)
                .map(|id| format!("{{\"id\":{id},\"name\":\"{}\"}}", if id % 30 == 7 { "bad" } else { "ok" }))
                .collect();
            let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
            let refused = write(&target, &documents, together).await;
            assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [7, 37, 67], "{code}");
            assert!(refused[0].1.contains("not this one"), "{refused:?}");
            assert_eq!(target.rows().await.len(), 67);
            target.drop().await;
        }
    }
}

/// A row that takes the server longer than the user allows is refused, however rows are sent; the others are written.
#[tokio::test]
async fn a_row_that_takes_too_long_is_refused() {
    for (trigger, key) in [("before", None), ("after", None), ("before", Some("id"))] {
        for count in [2, 10, 70] {
            let setup = format!(
                "create table users (id int unique, name text); \
                 create function slow() returns trigger language plpgsql as $$ begin \
                 if new.name = 'slow' then perform pg_sleep(2); end if; return new; end $$; \
                 create trigger slow {trigger} insert on users for each row execute function slow()"
            );
            let more = key.map_or(json!({}), |key| json!({"key": key}));
            let Some(mut target) = Target::new(&setup, more).await else { return };
            target.more["url"] = json!(format!("{}%20-cstatement_timeout%3D500", target.url()));
            let documents: Vec<String> = (0..count)
                .map(|id| format!("{{\"id\":{id},\"name\":\"{}\"}}", if id == count / 2 { "slow" } else { "ok" }))
                .collect();
            let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
            let refused = write(&target, &documents, count).await;
            assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [count / 2], "{trigger}");
            assert!(refused[0].1.contains("statement timeout"), "{refused:?}");
            assert_eq!(target.rows().await.len(), count - 1);
            target.drop().await;
        }
    }
}

/// Rows that all take too long may be the server's matter: it is tried again.
#[tokio::test]
async fn rows_that_all_take_too_long_are_not_refused() {
    let setup = "create table users (id int, name text); \
        create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(2); return new; end $$; \
        create trigger slow before insert on users for each row execute function slow()";
    for count in [1, 3] {
        let Some(mut target) = Target::new(setup, json!({})).await else { return };
        target.more = json!({"url": format!("{}%20-cstatement_timeout%3D300", target.url())});
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        let rows: Vec<_> = (0..count).map(|id| (Some(id), Some("x"))).collect();
        let error = writer.commit(&[output(&demand, 0, &rows)].into(), &token(&fence("p", 1), 1)).await.unwrap_err();
        let CommitError::Failed(Error::Transient { code: "timed-out", fix: Some(fix), .. }) = &error else {
            panic!("{error:?}")
        };
        assert!(fix.contains("statement_timeout"), "{fix}");
        drop(writer);
        target.drop().await;
    }
}

/// A row that somebody else holds is waited for, and no dead letter, also where no statement may wait that long.
#[tokio::test]
async fn a_row_that_is_locked_is_not_refused() {
    let setup = "create table users (id int primary key, name text); insert into users values (5, 'x')";
    for timeouts in ["%20-cstatement_timeout%3D400", "%20-cstatement_timeout%3D400%20-clock_timeout%3D9s"] {
        let Some(mut target) = Target::new(setup, json!({"key": "id"})).await else { return };
        target.more["url"] = json!(format!("{}{timeouts}", target.url()));
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        let rows: Vec<_> = (0..10).map(|id| (Some(id), Some("a"))).collect();
        target.client.batch_execute("begin; update users set name = 'held' where id = 5").await.unwrap();
        let error = writer.commit(&[output(&demand, 0, &rows)].into(), &token(&fence("p", 1), 1)).await.unwrap_err();
        assert!(matches!(&error, CommitError::Failed(Error::Transient { code: "locked", .. })), "{error:?}");
        target.client.batch_execute("rollback").await.unwrap();
        target.drop().await;
    }
}

/// What every row brings about, and what fails without any, is no matter of rows.
#[tokio::test]
async fn what_is_wrong_with_the_table_is_no_row_error() {
    let trigger = "create table users (id int, name text); create function broken() returns trigger language plpgsql as \
        $$ begin insert into nowhere values (1); return new; end $$; \
        create trigger broken before insert on users for each row execute function broken()";
    for (setup, then) in [("create table users (id int, name text)", "drop table users"), (trigger, "select 1")] {
        for rows in [1, 3, 100] {
            let Some(target) = Target::new(setup, json!({})).await else { return };
            let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
            target.client.batch_execute(then).await.unwrap();
            let rows: Vec<_> = (0..rows).map(|id| (Some(id), Some("x"))).collect();
            let failed = writer.commit(&[output(&demand, 0, &rows)].into(), &token(&fence("p", 1), 1)).await;
            assert!(
                matches!(&failed, Err(CommitError::Failed(Error::Fatal { code: "table-missing", .. }))),
                "{failed:?}"
            );
            target.drop().await;
        }
    }
}

/// What was changed after the table was looked at fails the pipeline, however few rows the commit has, whatever fields they
/// have, and however they are sent.
#[tokio::test]
async fn what_was_taken_from_the_table_is_no_row_error() {
    let Some(client) = connect().await else { return };
    let role = format!("sink_test_{}", std::process::id());
    client.batch_execute(&format!("create role {role}")).await.unwrap();
    let keyed = "create table users (id int, name text, extra int default 1, constraint users_id unique (id))";
    let plain = "create table users (id int, name text, extra int default 1)";
    let document = |id: usize| match id % 4 {
        0 => format!("{{\"id\":{id},\"name\":\"x\"}}"),
        1 => format!("{{\"id\":{id},\"name\":\"x\",\"extra\":2}}"),
        2 => format!("{{\"id\":{id}}}"),
        _ => format!("{{\"id\":{id},\"extra\":3}}"),
    };
    for (setup, key, then, code) in [
        (plain, None, "drop table users", "table-missing"),
        (plain, None, "alter table users drop column extra", "table-changed"),
        (plain, None, "revoke insert on users from", "access-denied"),
        (keyed, Some("id"), "drop table users", "table-missing"),
        (keyed, Some("id"), "alter table users drop column extra", "table-changed"),
        (keyed, Some("id"), "alter table users drop constraint users_id", "table-changed"),
        (keyed, Some("id"), "revoke insert on users from", "access-denied"),
        (keyed, Some("id"), "revoke update on users from", "access-denied"),
    ] {
        // Where all rows have all fields, many are copied; of the last two, the second alone has `extra`.
        for (first, rows, step) in [(1, 1, 1), (1, 4, 1), (1, 300, 1), (1, 100, 4), (4, 2, 3)] {
            let more = key.map_or(json!({}), |key| json!({"key": key}));
            let Some(mut target) = Target::new(setup, more).await else { return };
            let grant = format!("grant all on schema {} to {role}; grant all on users to {role}", target.schema);
            target.client.batch_execute(&grant).await.unwrap();
            target.role = Some(role.clone());
            let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
            let then = if then.ends_with("from") { format!("{then} {role}") } else { then.into() };
            target.client.batch_execute(&then).await.unwrap();
            let documents: Vec<String> = (0..rows).map(|at| document(first + at * step)).collect();
            let (output, misfits) = decoded(&demand, &documents);
            assert!(misfits.is_empty());
            let failed = writer.commit(&[output].into(), &token(&fence("p", 1), 1)).await;
            let found = match &failed {
                Err(CommitError::Failed(Error::Fatal { code, .. } | Error::Transient { code, .. })) => code,
                _ => "not failed",
            };
            assert_eq!(found, code, "{then}, {rows} rows: {failed:?}");
            if let Err(CommitError::Failed(Error::Fatal { code: "access-denied", fix, .. })) = &failed {
                let fix = fix.as_deref().unwrap_or_default();
                let grant = "grant insert (for an upsert also select and update, for a delete select and delete) on table users to";
                assert!(fix.starts_with(grant), "{then}, {rows} rows: {fix}");
            }
            drop(writer);
            target.drop().await;
        }
    }
    client.batch_execute(&format!("drop role {role}")).await.unwrap();
}
