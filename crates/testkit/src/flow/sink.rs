//! The sink of a flow: its spec and its content.
use super::{Flow, Pair, Place, Row};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

/// A table that rejects large totals. It has no key, so that a doubled row is visible; `extra` is added halfway.
const TABLE: &str =
    "create table rows (id bigint, \"group\" text, total bigint check (total < 1000000), share double precision)";

impl Flow {
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("output.jsonl")
    }

    fn sqlite(&self) -> PathBuf {
        self.folder.join("output.db")
    }

    /// The sink's spec.
    pub(super) fn sink(&self) -> Value {
        let table = |kind: &str, name: &str, place: Value| {
            let mut sink = json!({"type": kind, "table": "rows", "mode": "append", "unknownFields": "add"});
            sink[name] = place;
            sink
        };
        if let Some(output) = &self.output {
            return output.sink();
        }
        match (self.pair.sink, &self.database) {
            (Place::Postgres, Some(database)) => table("postgres", "url", json!(database.url())),
            (Place::Sqlite, _) => table("sqlite", "path", json!(self.sqlite())),
            _ => json!({"type": "file", "path": self.file()}),
        }
    }

    /// Creates the table if the sink doesn't.
    pub(super) async fn make_table(&self) {
        match (self.pair, &self.database) {
            (_, Some(database)) => database.execute(TABLE).await,
            (Pair { sink: Place::Sqlite, .. }, _) if self.pair.is_constrained() => {
                let database = Connection::open(self.sqlite()).expect("the database can be made");
                database.execute_batch(TABLE).expect("the table can be made");
            }
            _ => {}
        }
    }

    /// The number of the last commit of each lane in the sink; `None` if the sink has no tokens.
    pub(super) async fn tokens(&self) -> Option<BTreeMap<u32, u64>> {
        match (self.pair.sink, &self.database) {
            (_, Some(database)) => {
                database.quiet().await;
                Some(database.tokens(Self::ID).await)
            }
            (Place::Sqlite, _) => Some(self.sqlite_tokens()),
            _ => None,
        }
    }

    fn sqlite_tokens(&self) -> BTreeMap<u32, u64> {
        if !self.sqlite().exists() {
            return BTreeMap::new();
        }
        let database = self.open();
        let sql = "select lane, sequence from dataflow_tokens where pipeline = ?1 and sequence > 0";
        let Ok(mut statement) = database.prepare(sql) else { return BTreeMap::new() };
        let rows = statement
            .query_map([Self::ID], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
            .expect("the tokens can be read");
        rows.map(|row| row.expect("a lane and a number"))
            .map(|(lane, sequence)| (lane, u64::try_from(sequence).expect("a commit's number")))
            .collect()
    }

    fn open(&self) -> Connection {
        // Not read-only, so that a killed writer's write-ahead log is included.
        let database = Connection::open_with_flags(self.sqlite(), OpenFlags::SQLITE_OPEN_READ_WRITE);
        let database = database.expect("the database can be opened");
        database.busy_timeout(Duration::from_secs(10)).expect("it can wait");
        database
    }

    /// All rows in the sink: those of a file in their order, those of a table or topic by id.
    pub(super) async fn rows(&self) -> Vec<Row> {
        let mut rows = match (self.pair.sink, &self.database, &self.output) {
            (_, Some(database), _) => database.rows().await,
            (_, _, Some(output)) => output.values().iter().map(|value| row(value)).collect(),
            (Place::Sqlite, ..) => self.sqlite_rows(),
            _ => return self.file_rows(),
        };
        rows.sort_by_key(|row| row.id);
        rows
    }

    fn sqlite_rows(&self) -> Vec<Row> {
        let database = self.open();
        let mut statement =
            database.prepare("select id, \"group\", total, share, extra from rows").expect("the table is there");
        let rows = statement.query_map([], |row| {
            Ok(Row { id: row.get(0)?, group: row.get(1)?, total: row.get(2)?, share: row.get(3)?, extra: row.get(4)? })
        });
        rows.expect("the rows can be read").map(|row| row.expect("the columns have their types")).collect()
    }

    fn file_rows(&self) -> Vec<Row> {
        let text = fs::read_to_string(self.file()).expect("the output can be read");
        text.lines().map(row).collect()
    }
}

/// A row that was written as JSON.
fn row(line: &str) -> Row {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    Row {
        id: value["id"].as_i64().unwrap_or(-1),
        group: value["group"].as_str().unwrap_or_default().into(),
        total: value["total"].as_i64().unwrap_or(-1),
        share: value["share"].as_f64().unwrap_or(-1.0),
        extra: value["extra"].as_str().map(Into::into),
    }
}
