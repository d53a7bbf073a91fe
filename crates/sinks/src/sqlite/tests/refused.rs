//! What SQLite refuses or alters later than when it is written.
use super::*;

/// A record's fate does not depend on which others its commit has: what a deferred constraint refuses is refused row by row.
#[tokio::test]
async fn a_row_that_a_deferred_foreign_key_refuses_is_that_rows() {
    let parents = "create table parents (name text primary key, code integer, unique (code, name)); insert into parents values ('x', 1), ('y', 1);";
    let rows =
        [(Some(1), Some("x")), (Some(2), Some("bad")), (Some(3), Some("y")), (Some(4), Some("bad")), (Some(5), None)];
    let kept = [(1, Some("x")), (3, Some("y")), (5, None)].map(|(id, name)| (id, name.map(str::to_owned)));
    for (table, more) in [
        ("(id integer primary key, name text references parents deferrable initially deferred)", json!({})),
        ("(id integer, name text references parents (name) deferrable initially deferred)", json!({})),
        (
            "(id integer primary key, name references Parents on delete cascade DEFERRABLE\nINITIALLY\tDEFERRED)",
            json!({"mode": "append"}),
        ),
        (
            "(id integer unique, name text, key text default 'y' references parents, \
             foreign key (name) references parents deferrable initially deferred)",
            json!({"key": "id", "columns": ["id", "name"]}),
        ),
        (
            "(id integer primary key, name text references parents deferrable initially deferred) strict, without rowid",
            json!({}),
        ),
        (
            "(id integer primary key, code integer default 1, name text collate nocase, \
             foreign key (code, name) references parents (code, name) deferrable initially deferred)",
            json!({"columns": ["id", "name"]}),
        ),
    ] {
        let target = Target::new(None, more);
        target.db().execute_batch(&format!("{parents} create table users {table}")).unwrap();
        let refused = write(&target, &rows).await;
        assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 3], "{table}: {refused:?}");
        assert!(refused.iter().all(|(_, cause)| cause.contains("FOREIGN KEY constraint failed")), "{refused:?}");
        assert_eq!(names(&target), kept, "{table}");
    }
    // Of its own table: a row may refer to itself and to what was there before it, in the same commit or not.
    let own = "create table users (id integer, name text primary key, parent text references users deferrable initially deferred)";
    let target = Target::new(None, json!({"columns": ["id", "name"]}));
    target.db().execute_batch(&own.replace("parent text", "parent text default 'a'")).unwrap();
    let refused = write(&target, &[(Some(1), Some("b")), (Some(2), Some("a")), (Some(3), Some("c"))]).await;
    assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0], "{refused:?}");
    assert_eq!(names(&target), [(2, Some("a".into())), (3, Some("c".into()))]);
}

fn names(target: &Target) -> Vec<(i64, Option<String>)> {
    let db = target.db();
    let mut rows = db.prepare("select id, name from users order by id").unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

/// What only the commit refuses, for what a trigger has written elsewhere, ends the pipeline with what to do.
#[tokio::test]
async fn a_deferred_foreign_key_of_another_table_is_named() {
    let setup = "create table parents (id integer primary key); create table users (id integer primary key, name text); \
        create table log (id integer references parents deferrable initially deferred); \
        create trigger t after insert on users begin insert into log values (new.id); end";
    let target = Target::new(Some(setup), json!({}));
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let commit = writer.commit(&[output(&demand, 0, &[(Some(1), Some("a"))])].into(), &token(&fence("p", 1), 1)).await;
    assert!(
        matches!(
            &commit,
            Err(CommitError::Failed(Error::Fatal { code: "foreign-key", fix: Some(_), retryable: false, .. }))
        ),
        "{commit:?}"
    );
}

/// What would give back other values than it was given is not written to.
#[tokio::test]
async fn what_alters_values_by_itself_is_refused() {
    for (setup, code) in [
        ("create virtual table users using rtree_i32 (id, name, other)", "not-a-table"),
        ("create virtual table users using rtree (id, name, other)", "not-a-table"),
        ("create virtual table users using fts5 (id, name, content='')", "not-a-table"),
        (
            "create virtual table before using fts5 (id, name); alter table before rename to a; \
            create view users as select * from a; drop view users; create virtual table Users using fts5 (id, name)",
            "not-a-table",
        ),
        ("pragma encoding = 'UTF-16'; create table users (id integer, name text)", "unsupported-encoding"),
        ("pragma encoding = 'UTF-16be'; create table other (id integer, name text)", "unsupported-encoding"),
    ] {
        let error = Target::new(Some(setup), json!({"columns": ["id", "name"]})).open_error().await;
        let Error::Fatal { code: found, fix: Some(_), .. } = &error else { panic!("{setup}: {error:?}") };
        assert_eq!(*found, code, "{setup}: {error}");
    }
    // So are the tables in which a virtual one keeps its content.
    let setup = "create virtual table docs using fts5 (id, name)";
    let target = Target::new(Some(setup), json!({}));
    let sink = sink(json!({"path": target.path(), "table": "docs_content"}));
    let error = sink.open(&context("p"), open_lane(&fence("p", 1))).await.unwrap_err();
    assert_eq!(error.code(), "not-a-table", "{error}");
}
