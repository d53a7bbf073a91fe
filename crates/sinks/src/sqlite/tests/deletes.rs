//! Deletes: by SQLite's own equality of keys, row by row.
use super::*;
use dataflow_sdk::batch::{Operation, Operations};

/// A row with this name, or without one: it is deleted.
type Change = (i64, Option<&'static str>);

fn changes(demand: &Demand, changes: &[Change]) -> Output {
    let rows: Vec<_> = changes.iter().map(|(id, name)| (Some(*id), Some(name.unwrap_or("gone")))).collect();
    let operation = |(_, name): &Change| if name.is_none() { Operation::Delete } else { Operation::Upsert };
    let operations = Operations::Each(changes.iter().map(operation).collect());
    Output { operations, ..output(demand, 0, &rows) }
}

/// Commits of so many changes each; which of all are refused.
async fn write(target: &Target, all: &[Change], together: usize) -> Vec<usize> {
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let mut refused = Vec::new();
    for (at, part) in all.chunks(together).enumerate() {
        let mut output = changes(&demand, part);
        loop {
            match writer.commit(&[output.clone()].into(), &token(&fence("p", 1), at as u64 + 1)).await {
                Ok(_) => break,
                Err(CommitError::Rejected(rows)) => {
                    refused.extend(rows.iter().map(|row| at * together + output.rows[row.row] as usize));
                    output = output.retain(|row| rows.iter().all(|refused| refused.row != row));
                }
                Err(CommitError::Failed(error)) => panic!("{error:?}"),
            }
        }
    }
    writer.close().await;
    refused.sort_unstable();
    refused
}

/// However they are cut, they come to the same as one by one in plain SQL, whatever else is defined on the table.
#[tokio::test]
async fn they_come_to_the_same_as_one_by_one() {
    const TABLE: &str = "create table users (id integer primary key, name text, hidden integer default 5);";
    let all: [Change; 9] = [
        (1, Some("a")),
        (2, Some("b")),
        (1, None),
        (3, Some("c")),
        (2, None),
        (1, Some("d")),
        (3, None),
        (9, None),
        (4, Some("e")),
    ];
    for more in [
        "",
        "create table child (of integer references users on delete cascade); \
         create trigger t after insert on users begin insert into child values (new.id); end;",
        "create table child (of integer references users on delete restrict); \
         create trigger t after insert on users when new.id = 2 begin insert into child values (new.id); end;",
        "create table child (of integer references users); \
         create trigger t after insert on users when new.id = 2 begin insert into child values (new.id); end;",
        "create table child (of integer references Users deferrable initially deferred); \
         create trigger t after insert on users when new.id = 2 begin insert into child values (new.id); end;",
        "create trigger t before delete on users when old.id = 1 begin select raise(ignore); end;",
        "create trigger t before delete on users when old.id = 2 begin select raise(abort, 'stays'); end;",
        "create table gone (id integer, others integer); \
         create trigger t after delete on users begin insert into gone values (old.id, (select count(*) from users)); end;",
    ] {
        let by_hand = Target::new(Some(TABLE), json!({}));
        by_hand.db().execute_batch(&format!("{more} pragma foreign_keys = on")).unwrap();
        let db = by_hand.db();
        db.execute_batch("pragma foreign_keys = on").unwrap();
        let by_one = |(id, name): &Change| match name {
            Some(name) => db.execute(
                "insert into users (id, name) values (?1, ?2) on conflict (id) do update set name = excluded.name",
                (id, name),
            ),
            None => db.execute("delete from users where id = ?1", [id]),
        };
        let dead = all.iter().enumerate().filter(|(_, change)| by_one(change).is_err()).map(|(at, _)| at);
        let dead: Vec<usize> = dead.collect();
        for together in [1, 2, 4, all.len()] {
            let target = Target::new(Some(TABLE), json!({"columns": ["id", "name"]}));
            target.db().execute_batch(more).unwrap();
            assert_eq!(write(&target, &all, together).await, dead, "{more}, {together}");
            for table in ["users", "child", "gone"] {
                assert_eq!(content(&target, table), content(&by_hand, table), "{more}, {together}");
            }
        }
    }
}

/// The rows of a table, if there is one.
fn content(target: &Target, table: &str) -> Vec<String> {
    let db = target.db();
    let Ok(mut rows) = db.prepare(&format!("select * from {table} order by 1")) else { return Vec::new() };
    let columns = rows.column_count();
    let text = |row: &rusqlite::Row<'_>| (0..columns).map(|at| Ok(format!("{:?} ", row.get_ref(at)?))).collect();
    rows.query_map([], text).unwrap().map(Result::unwrap).collect()
}

/// A key that is equal by the table's collation or affinity is the same row, and an audit knows it.
#[tokio::test]
async fn the_row_of_a_key_is_deleted_by_sqlites_own_equality() {
    for (ty, written, deleted, other) in [
        ("text collate nocase", "Ann", "aNN", "Anne"),
        ("text collate rtrim", "ab", "ab  ", "abc"),
        ("text", "Ann", "Ann", "ann"),
    ] {
        let target = Target::new(None, json!({"key": "name"}));
        target.db().execute_batch(&format!("create table users (id integer, name {ty} primary key)")).unwrap();
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        let rows = [(Some(1), Some(written)), (Some(2), Some(other)), (Some(3), Some(deleted))];
        let operations = Operations::Each(vec![Operation::Upsert, Operation::Upsert, Operation::Delete]);
        let said = Output { operations: operations.clone(), ..output(&demand, 0, &rows) };
        writer.commit(&[said].into(), &token(&fence("p", 1), 1)).await.unwrap();
        writer.close().await;
        assert_eq!(target.rows().await, [(2, other.into())], "{ty}");
        let mut auditor = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap().auditor;
        auditor.expect(&Output { operations, ..output(&Demand::Documents, 0, &rows) }).await.unwrap();
        let found = auditor.finish().await.unwrap();
        let wrong = [found.lost.count, found.altered.count, found.unexpected.count];
        assert_eq!((wrong, found.expected, found.found), ([0; 3], 1, 1), "{ty}: {found:?}");
    }
}

#[test]
fn without_a_key_op_is_refused() {
    let sink: SqliteSink =
        serde_json::from_value(json!({"path": "out.db", "table": "users", "mode": "append", "op": "op"})).unwrap();
    let problems = sink.check();
    assert!(problems.len() == 1 && problems[0].path == "op" && problems[0].fix.is_some(), "{problems:?}");
}
