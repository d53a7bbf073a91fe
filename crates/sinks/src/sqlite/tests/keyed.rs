//! Rows of a key that is there: what their records lack stays, and what became of them is counted.
use super::*;
use arrow::{array::RecordBatch, datatypes::Schema};
use dataflow_formats::decode::{Decoder, Field, Want};
use dataflow_sdk::batch::{Cells, Operation, Operations, arrow_type};
use rusqlite::types::ValueRef;

/// These documents as the sink asks for them; those with `"_op": "d"` are deletes.
fn decoded(demand: &Demand, documents: &[&str]) -> Output {
    let Demand::Columns(columns) = demand else { panic!("{demand:?}") };
    let mut records = Records::empty("p/0".into(), Position::offset(0), Layout::Json);
    let mut data = Vec::new();
    for (row, document) in documents.iter().enumerate() {
        records.spans.push(Span::new(data.len(), data.len() + document.len()));
        records.offsets.push(row as u64);
        data.extend_from_slice(document.as_bytes());
    }
    records.data = data.into();
    let field = |column: &Column| Field { path: vec![column.name.clone()], want: Want::As(column.ty) };
    let found = Decoder::new(columns.iter().map(field).collect()).decode(&records);
    let fields = columns.iter().map(|column| arrow::datatypes::Field::new(&column.name, arrow_type(column.ty), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let (arrays, absent) = found.columns.into_iter().map(|column| (column.array, column.absent)).unzip();
    let payload = Payload::Columns(Cells::new(RecordBatch::try_new(schema, arrays).unwrap(), absent));
    let operation = |document: &&str| match document.contains(r#""_op":"d""#) {
        true => Operation::Delete,
        false => Operation::Upsert,
    };
    let operations = Operations::Each(documents.iter().map(operation).collect());
    let rows = (0..documents.len() as u32).collect();
    Output { operations, ..Output::of(Arc::new(records), rows, payload) }
}

/// What became of documents in one commit, without those that are refused.
#[derive(Debug, PartialEq, Eq)]
struct Became {
    refused: Vec<usize>,
    written: u64,
    swallowed: u64,
}

async fn write(target: &Target, documents: &[&str]) -> Became {
    target.db().execute_batch("drop table if exists dataflow_tokens").unwrap();
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let output = decoded(&demand, documents);
    let token = token(&fence("p", 1), 1);
    let mut refused = Vec::new();
    let committed = match writer.commit(&[output.clone()].into(), &token).await {
        Err(CommitError::Rejected(rows)) => {
            refused = rows.iter().map(|row| row.row).collect();
            writer.commit(&[output.retain(|row| !refused.contains(&row))].into(), &token).await.unwrap()
        }
        done => done.unwrap(),
    };
    let swallowed = writer.warnings().iter().map(|warning| warning.records).sum();
    writer.close().await;
    Became { refused, written: committed.rows_written, swallowed }
}

/// All rows, each as one text.
fn content(target: &Target) -> Vec<String> {
    let db = target.db();
    let mut rows = db.prepare("select * from users order by 1").unwrap();
    let columns = rows.column_count();
    let text = |row: &rusqlite::Row<'_>| {
        let cells = (0..columns).map(|at| match row.get_ref(at)? {
            ValueRef::Integer(integer) => Ok(integer.to_string()),
            ValueRef::Null => Ok(String::new()),
            other => Ok(other.as_str()?.to_owned()),
        });
        cells.collect::<rusqlite::Result<Vec<_>>>().map(|cells| cells.join("|"))
    };
    rows.query_map([], text).unwrap().map(Result::unwrap).collect()
}

fn with(tables: &str) -> Target {
    let target = Target::new(None, json!({}));
    target.db().execute_batch(tables).unwrap();
    target
}

/// What an audit says of each of these documents.
async fn refusals(target: &Target, documents: &[&str]) -> Vec<bool> {
    let audited = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap();
    let (mut auditor, output) = (audited.auditor, decoded(&audited.demand, documents));
    auditor.refusals(&output).await.unwrap().iter().map(Option::is_some).collect()
}

/// SQLite knows what a statement has changed when it has ended, not when it returns its first row.
#[tokio::test]
async fn rows_are_counted_where_a_foreign_key_is_deferred() {
    let tables = "create table parents (id text primary key); insert into parents values ('1'); \
        create table users (id text primary key, a text not null, b text, p text references parents deferrable initially deferred); \
        create table children (of text references users deferrable initially deferred); \
        insert into users values ('1', 'keep', 'old', '1'), ('2', 'a', 'b', '1')";
    for (documents, written, swallowed, after) in [
        (&[r#"{"id":"9","_op":"d"}"#, r#"{"id":"1","b":"new"}"#][..], 2, 0, "1|keep|new|1 2|a|b|1"),
        (&[r#"{"id":"9","_op":"d"}"#, r#"{"id":"1","a":"x","b":"y","p":"1"}"#][..], 2, 0, "1|x|y|1 2|a|b|1"),
        (&[r#"{"id":"1","_op":"d"}"#, r#"{"id":"9","_op":"d"}"#, r#"{"id":"3","a":"x"}"#][..], 3, 0, "2|a|b|1 3|x||"),
        (
            &[r#"{"id":"3","a":"x"}"#, r#"{"id":"3","b":"y"}"#, r#"{"id":"3","p":"1"}"#][..],
            3,
            0,
            "1|keep|old|1 2|a|b|1 3|x|y|1",
        ),
    ] {
        for trigger in ["", "create trigger t before delete on users when old.id = '5' begin select raise(ignore); end"]
        {
            let target = with(&format!("{tables}; {trigger}"));
            assert_eq!(
                write(&target, documents).await,
                Became { refused: vec![], written, swallowed },
                "{documents:?}"
            );
            assert_eq!(content(&target).join(" "), after, "{documents:?}");
        }
    }
    let target = with(&format!("{tables}; create trigger t before update on users begin select raise(ignore); end"));
    let documents = [r#"{"id":"9","_op":"d"}"#, r#"{"id":"1","b":"new"}"#, r#"{"id":"2","a":"x","b":"y","p":"1"}"#];
    assert_eq!(write(&target, &documents).await, Became { refused: vec![], written: 1, swallowed: 2 });
    // A name that is a word of foreign keys defers nothing.
    let target = with("create table users (id text primary key, deferred text)");
    assert_eq!(write(&target, &[r#"{"id":"1","deferred":"x"}"#]).await.written, 1);
}

/// What a record lacks the row that it changes has; of a new row the table decides. An audit can tell both from the rows that are there.
#[tokio::test]
async fn what_a_record_lacks_is_no_reason_to_refuse_a_change() {
    for table in [
        "(id text primary key, a text not null, b text)",
        "(id text primary key, a text check (a is not null), b text)",
        "(id text primary key, a text, b text, constraint c CHECK(coalesce(a, '') <> ''))",
        "(id text primary key, a text not null default null, b text)",
        "(id text primary key, a text, b text, g text not null as (a || '!'))",
        "(id text primary key, a integer default 'none', b text) strict",
        "(id text primary key, a text, b text); create trigger t before insert on users when new.a is null \
            begin select raise(abort, 'no a'); end",
    ] {
        let target =
            with(&format!("create table users {table}; insert into users (id, a, b) values ('1', '7', 'old')"));
        let documents = [r#"{"id":"2","b":"new"}"#, r#"{"id":"1","b":"new"}"#];
        // It has no triggers to ask.
        let told = !table.contains("trigger");
        assert_eq!(refusals(&target, &documents).await, [told, false], "{table}");
        assert_eq!(write(&target, &documents).await, Became { refused: vec![0], written: 1, swallowed: 0 }, "{table}");
        let content = content(&target);
        assert!(content.len() == 1 && content[0].starts_with("1|7|new"), "{table}: {content:?}");
    }
    // What it has counts, whatever is there.
    let target = with(
        "create table users (id text primary key, a text not null, b text); insert into users values ('1', 'a', 'b')",
    );
    assert_eq!(refusals(&target, &[r#"{"id":"1","a":null}"#, r#"{"id":"9","_op":"d"}"#]).await, [true, false]);
}

/// A key is compared as an upsert compares it, and gets the spelling of the last record, whatever that has.
#[tokio::test]
async fn a_key_is_compared_and_spelled_alike_by_all_records() {
    const ROW: &str = "insert into users values ('Ann', 'x', 'old')";
    for (table, rows, document, after) in [
        (
            "id text collate nocase primary key, name text not null, b text",
            "",
            r#"{"id":"ANN","b":"new"}"#,
            "ANN|x|new",
        ),
        (
            "id text collate nocase primary key, name text, b text check (name <> '')",
            "",
            r#"{"id":"ANN","b":"new"}"#,
            "ANN|x|new",
        ),
        ("id text collate nocase primary key, name text not null, b text", "", r#"{"id":"ANN"}"#, "ANN|x|old"),
        (
            "id text, name text not null, b text, unique (id collate nocase)",
            "",
            r#"{"id":"ANN","b":"new"}"#,
            "ANN|x|new",
        ),
        (
            "id text, name text not null, b text, unique (id collate nocase)",
            "",
            r#"{"id":"ANN","name":"y","b":"new"}"#,
            "ANN|y|new",
        ),
        ("id text, name text not null, b text, unique (id collate nocase)", "", r#"{"id":"ANN","_op":"d"}"#, ""),
        // The column says another thing than its index.
        (
            "id text collate nocase, name text not null, b text, unique (id collate binary)",
            "; insert into users values ('ann', 'y', 'old')",
            r#"{"id":"ann","b":"new"}"#,
            "Ann|x|old ann|y|new",
        ),
        (
            "id text collate nocase, name text not null, b text, unique (id collate binary)",
            "; insert into users values ('ann', 'y', 'old')",
            r#"{"id":"ann","_op":"d"}"#,
            "Ann|x|old",
        ),
        (
            "id text primary key, name text not null, b text, unique (id collate nocase, name)",
            "; insert into users values ('ann', 'y', 'old')",
            r#"{"id":"ann","b":"new"}"#,
            "Ann|x|old ann|y|new",
        ),
    ] {
        let mut target = with(&format!("create table users ({table}); {ROW}{rows}"));
        target.more = json!({"key": "id"});
        assert_eq!(write(&target, &[document]).await, Became { refused: vec![], written: 1, swallowed: 0 }, "{table}");
        let mut content = content(&target);
        content.sort();
        assert_eq!(content.join(" "), after, "{table} {document}");
    }
}

/// A row that is still there after its delete is told; one that was never there is deleted.
#[tokio::test]
async fn deletes_that_a_trigger_swallows_are_told() {
    let documents = [r#"{"id":"1","_op":"d"}"#, r#"{"id":"2","_op":"d"}"#, r#"{"id":"9","_op":"d"}"#];
    for (trigger, swallowed, after) in [
        ("", 0, ""),
        ("create trigger t before delete on users when old.id = '1' begin select raise(ignore); end", 1, "1|a"),
        (
            "create trigger t before delete on users when old.id = '1' begin \
             update users set name = 'gone' where id = old.id; select raise(ignore); end",
            1,
            "1|gone",
        ),
        (
            "create trigger t after delete on users when old.id = '1' begin insert into users values ('1', 'b'); end",
            1,
            "1|b",
        ),
        (
            "create trigger t after delete on users begin insert into users values ('5', 'b') on conflict do nothing; end",
            0,
            "5|b",
        ),
    ] {
        let target = with(&format!(
            "create table users (id text primary key, name text); insert into users values ('1', 'a'), ('2', 'b'); {trigger}"
        ));
        let became = Became { refused: vec![], written: 3 - swallowed, swallowed };
        assert_eq!(write(&target, &documents).await, became, "{trigger}");
        assert_eq!(content(&target).join(" "), after, "{trigger}");
    }
}

/// What SQLite makes of a row that refers to itself depends on how it spells its key. It is that row's, whether the reference is deferred
/// or not, and no other row's.
#[tokio::test]
async fn a_row_that_refers_to_itself_is_judged_alone() {
    let as_itself = [r#"{"id":"b","r":"b"}"#, r#"{"id":"c","r":"b"}"#, r#"{"id":"b","p":2}"#, r#"{"id":"b","b":"x"}"#];
    let otherwise = [r#"{"id":"a","r":"A"}"#, r#"{"id":"b"}"#, r#"{"id":"b","r":"B"}"#, r#"{"id":"b","b":"x"}"#];
    let renamed =
        [r#"{"id":"B"}"#, r#"{"id":"D","r":"b"}"#, r#"{"id":"b","b":null,"p":null,"r":"b"}"#, r#"{"id":"b","p":2}"#];
    for spelling in ["collate nocase", "collate rtrim"] {
        let other = |text: &str| match spelling {
            "collate nocase" => text.to_owned(),
            _ => text.replace("\"A\"", "\"a \"").replace("\"B\"", "\"b \""),
        };
        for when in ["", "deferrable initially deferred"] {
            for parent in ["", "deferrable initially deferred"] {
                let table = format!(
                    "create table parents (id integer primary key); insert into parents values (1), (2); \
                     create table users (id text primary key {spelling}, b text, p integer references parents {parent}, \
                     r text references users {when})"
                );
                let target = with(&table);
                assert_eq!(write(&target, &as_itself).await.refused, [0; 0], "{table}");
                assert_eq!(content(&target), ["b|x|2|b", "c|||b"], "{table}");
                let target = with(&table);
                let documents: Vec<String> = otherwise.iter().map(|text| other(text)).collect();
                let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
                assert_eq!(write(&target, &documents).await.refused, [0, 2], "{table}");
                assert_eq!(content(&target), ["b|x||"], "{table}");
                let target = with(&table);
                let documents: Vec<String> = renamed.iter().map(|text| other(text)).collect();
                let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
                assert_eq!(write(&target, &documents).await.refused, [0; 0], "{table}");
                let mut content = content(&target);
                content.sort();
                assert_eq!(content, ["D|||b", "b||2|b"], "{table}");
            }
        }
    }
}
