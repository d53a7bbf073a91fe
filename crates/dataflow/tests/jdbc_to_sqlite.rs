//! Rows of a SQLite table come to another one with the same values, as SQLite's own `quote()` shows them, and are proven; new and changed rows follow.
#![allow(clippy::unwrap_used)]
mod case;

use case::Case;
use dataflow_engine::region::Action;
use dataflow_sdk::catalog::Connections;
use dataflow_verify::Claimant;
use rusqlite::{Connection, types::Value as Stored};
use serde_json::{Value, json};
use std::path::Path;

const ROWS: usize = 600;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn roll(&mut self, sides: usize) -> usize {
        (self.bits() >> 33) as usize % sides
    }

    fn integer(&mut self) -> Stored {
        let known = [0, -1, i64::MAX, i64::MIN, 9_007_199_254_740_993, i64::from(i32::MAX) + 1];
        Stored::Integer(known.get(self.roll(12)).copied().unwrap_or_else(|| {
            let shift = self.roll(64) as u32;
            self.bits() as i64 >> shift
        }))
    }

    fn real(&mut self) -> Stored {
        let known =
            [0.1, -0.0, 5e-324, f64::MAX, f64::MIN_POSITIVE, 1e15, 1e16, 9.007_199_254_740_993e15, -1e300, 123.0];
        let any = f64::from_bits(self.bits());
        let short = self.roll(1_000_000) as f64 / 100.0;
        let any = if any.is_finite() { any } else { short };
        Stored::Real(known.get(self.roll(30)).copied().unwrap_or(if self.roll(2) == 0 { any } else { short }))
    }

    fn text(&mut self) -> Stored {
        let chars = [
            'a', 'B', '0', '1', '.', 'e', ' ', '\'', '"', '\\', '\0', '\n', '\u{1f}', '\u{7f}', 'ä', '\u{2028}',
            '\u{fffe}', '\u{ffff}', '😀', '{', '}',
        ];
        Stored::Text((0..self.roll(12)).map(|_| chars[self.roll(chars.len())]).collect())
    }

    fn blob(&mut self) -> Stored {
        Stored::Blob((0..self.roll(12)).map(|_| self.bits() as u8).collect())
    }

    /// A value that a column of this name is made for.
    fn value(&mut self, column: &str) -> Stored {
        match (column, self.roll(3)) {
            _ if self.roll(8) == 0 => Stored::Null,
            ("i", _) | ("n" | "u", 0) => self.integer(),
            // Of a double that is whole an untyped column keeps that it is one, and JSON does not.
            ("u", 1) => match self.real() {
                Stored::Real(real) if real.fract() == 0.0 => Stored::Real(0.5),
                other => other,
            },
            ("r" | "n", _) => self.real(),
            ("b", _) => self.blob(),
            _ => self.text(),
        }
    }
}

const COLUMNS: [&str; 6] = ["i", "r", "t", "b", "n", "u"];

fn quoted(db: &Connection, table: &str) -> Vec<Vec<String>> {
    let columns = COLUMNS.map(|column| format!("quote({column})")).join(", ");
    // `quote` ends at a NUL.
    let sql = format!("select id, {columns}, hex(t), typeof(u) || hex(u) from {table} order by id");
    let mut statement = db.prepare(&sql).unwrap();
    let width = statement.column_count();
    let rows = statement
        .query_map([], |row| (0..width).map(|at| row.get::<_, Stored>(at).map(|value| format!("{value:?}"))).collect());
    rows.unwrap().map(Result::unwrap).collect()
}

async fn create(case: &mut Case, source: Value, sink: Value) {
    let spec = json!({
        "source": source,
        "sink": sink,
        "batch": {"maxRecords": 16, "linger": "1ms"},
        "checkpointInterval": "10ms"
    });
    case.act(Action::Create(Box::new(serde_json::from_value(spec).unwrap()))).await.unwrap();
    case.act(Action::Start { sink: None }).await.unwrap();
}

fn source(path: &Path, table: &str, mode: &str) -> Value {
    json!({"type": "jdbc", "url": format!("sqlite:{}", path.display()), "table": table, "mode": mode})
}

async fn at_rest(case: &Case) {
    while !case.claims().await.unwrap().at_rest {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn values_of_every_kind_arrive_as_they_are() {
    for (seed, strict) in [(1, false), (2, true), (3, false), (4, true)] {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from.db"), folder.path().join("to.db"));
        let (origin, target) = (Connection::open(&from).unwrap(), Connection::open(&to).unwrap());
        // A strict table has no NUMERIC, and keeps the type of each value in ANY.
        let (rest, end) = if strict { ("n any, u any", " strict") } else { ("n numeric, u", "") };
        let table = format!("(id integer primary key, i integer, r real, t text, b blob, {rest}){end}");
        origin.execute_batch(&format!("create table t {table}")).unwrap();
        target.execute_batch(&format!("create table t {table}")).unwrap();
        let mut dice = Dice(seed);
        for id in 0..ROWS {
            let mut values = vec![Stored::Integer(id as i64)];
            values.extend(COLUMNS.map(|column| match column {
                "n" if strict => dice.value("u"),
                column => dice.value(column),
            }));
            origin.execute("insert into t values (?, ?, ?, ?, ?, ?, ?)", rusqlite::params_from_iter(values)).unwrap();
        }
        let mut case = Case::new("jdbc-sqlite", Connections::default());
        case.open().await;
        create(&mut case, source(&from, "t", "bulk"), json!({"type": "sqlite", "path": to, "table": "t"})).await;
        case.until_read(ROWS as u64).await;
        let letters = case.dead_letters(0).await.unwrap();
        assert!(letters.is_empty(), "{letters:#?}");
        let (expected, found) = (quoted(&origin, "t"), quoted(&target, "t"));
        assert_eq!(found.len(), ROWS);
        for (one, other) in expected.iter().zip(&found) {
            assert_eq!(other, one, "strict: {strict}");
        }
        at_rest(&case).await;
        let report = case.verify(false).await;
        assert!(report.verified, "{report:#?}");
    }
}

/// A table that the sink makes gets the types that are sure, and what can't be a value there is a dead letter.
#[tokio::test]
async fn a_made_table_has_the_types_that_are_sure() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from.db"), folder.path().join("to.db"));
    let origin = Connection::open(&from).unwrap();
    origin
        .execute_batch(
            "create table t (id integer primary key autoincrement, i integer, r real, t text, b blob) strict; \
             insert into t (i, r, t, b) values (null, null, null, null), (1, 1, '1', x'01'), (2, 9e999, 'inf', x''), (3, 2.5, cast(x'ff61' as text), x'')",
        )
        .unwrap();
    let mut case = Case::new("jdbc-made", Connections::default());
    case.open().await;
    create(&mut case, source(&from, "t", "bulk"), json!({"type": "sqlite", "path": to, "table": "made"})).await;
    case.until_read(4).await;
    at_rest(&case).await;
    let target = Connection::open(&to).unwrap();
    let mut statement = target.prepare("select name || ' ' || type from pragma_table_info('made')").unwrap();
    let columns: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(columns, ["id INTEGER", "i INTEGER", "r REAL", "t TEXT", "b BLOB"]);
    let rows: i64 = target.query_row("select sum(id) from made", [], |row| row.get(0)).unwrap();
    let letters = case.dead_letters(0).await.unwrap();
    assert_eq!(rows, 3, "rows 1 and 2: {letters:#?}");
    let letters = case.dead_letters(0).await.unwrap();
    let causes: Vec<_> = letters.iter().map(|letter| letter.code.clone()).collect();
    assert_eq!(causes.len(), 2, "{letters:#?}");
    assert!(causes.iter().any(|code| code == "not-utf8"), "{causes:?}");
    let report = case.verify(false).await;
    assert!(report.verified, "{report:#?}");
}

/// A column that may hold anything, as most of SQLite's may, has the type of what it holds.
#[tokio::test]
async fn a_made_table_has_each_column_that_has_values() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from.db"), folder.path().join("to.db"));
    let origin = Connection::open(&from).unwrap();
    let values =
        "insert into t (sku, price, qty, weight, plain) values ('a', 1.25, 2, 0.5, null), ('b', 3, 4, 1.0, 'x')";
    origin
        .execute_batch(&format!(
            "create table t (id integer primary key autoincrement, sku text, price decimal(10,2), qty integer, weight real, plain); {values}"
        ))
        .unwrap();
    let mut case = Case::new("jdbc-plain", Connections::default());
    case.open().await;
    let mut from = source(&from, "t", "incrementing");
    from["incrementingColumn"] = json!("id");
    from["pollInterval"] = json!("10ms");
    create(&mut case, from, json!({"type": "sqlite", "path": to, "table": "made", "key": "id"})).await;
    case.until_read(2).await;
    // What was learned of them is read again.
    case.stop().await;
    case.open().await;
    case.act(Action::Start { sink: None }).await.unwrap();
    origin.execute_batch(values).unwrap();
    case.until_read(4).await;
    let target = Connection::open(&to).unwrap();
    let all = "select group_concat(concat_ws(' ', id, sku, price, qty, weight, plain), ', ') from made";
    while target.query_row("select count(*) from made", [], |row| row.get::<_, i64>(0)).unwrap() < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let rows: String = target.query_row(all, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, "1 a 1.25 2 0.5, 2 b 3 4 1 x, 3 a 1.25 2 0.5, 4 b 3 4 1 x");
    case.stop().await;
    at_rest(&case).await;
    let report = case.verify(false).await;
    assert!(report.verified, "{report:#?}");
}

#[tokio::test]
async fn new_and_changed_rows_follow_into_another_table_of_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.db");
    let db = Connection::open(&path).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    db.execute_batch(
        "pragma journal_mode = wal; \
         create table orders (id integer primary key autoincrement, note text, at text not null default (strftime('%Y-%m-%d %H:%M:%f', 'now'))); \
         with recursive n(n) as (select 1 union all select n + 1 from n where n < 100) insert into orders (note) select 'n' || n from n",
    )
    .unwrap();
    let mut case = Case::new("jdbc-same", Connections::default());
    case.open().await;
    let mut source = source(&path, "orders", "timestamp+incrementing");
    source.as_object_mut().unwrap().extend(
        json!({"timestampColumn": "at", "incrementingColumn": "id", "pollInterval": "10ms"})
            .as_object()
            .unwrap()
            .clone(),
    );
    create(&mut case, source, json!({"type": "sqlite", "path": path, "table": "copy", "key": "id"})).await;
    case.until_read(100).await;
    case.stop().await;
    let report = case.verify(false).await;
    assert!(report.verified, "{report:#?}");
    db.execute_batch(
        "update orders set note = 'changed', at = strftime('%Y-%m-%d %H:%M:%f', 'now') where id % 10 = 0; \
         insert into orders (note) values ('new')",
    )
    .unwrap();
    case.act(Action::Start { sink: None }).await.unwrap();
    case.until_read(111).await;
    case.stop().await;
    let differ = "select count(*) from (select * from orders except select id, note, at from copy)";
    assert_eq!(db.query_row(differ, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    let report = case.verify(false).await;
    assert!(!report.verified && !report.unverifiable.is_empty(), "{report:#?}");
    assert_eq!((report.rows.lost.count, report.rows.altered.count), (0, 0), "{report:#?}");
}
