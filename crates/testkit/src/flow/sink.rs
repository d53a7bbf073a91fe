//! A sink of a flow: its spec and its content.
use super::{Data, Fate, Flow, Objects, Output, Pair, Place, Row, postgres::Database};
use crate::{search::Index, servers};
use dataflow_core::branch::BranchNumber;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// A table that rejects large totals. It has no key, so that a doubled row is visible; `extra` is added halfway.
const TABLE: &str =
    "create table rows (id bigint, \"group\" text, total bigint check (total < 1000000), share double precision)";

/// A sink of a flow, which is empty at first.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) place: Place,
    /// The number of its branch.
    pub(super) number: BranchNumber,
    /// Whether there are others.
    is_one_of_several: bool,
    /// Whether its table rejects large totals.
    constrained: bool,
    folder: PathBuf,
    database: Option<Database>,
    output: Option<Output>,
    index: Option<Index>,
    pub(super) objects: Option<Objects>,
}

impl Sink {
    /// Prepares a sink of a pair. `name` names the PostgreSQL database, which is recreated.
    pub(super) async fn prepare(pair: Pair, number: BranchNumber, folder: &Path, name: &str) -> Self {
        let place = pair.sinks[number as usize];
        let database = match place {
            Place::Postgres => Some(Database::fresh(name, folder.join("secrets/password")).await),
            _ => None,
        };
        let index = match place {
            Place::Elasticsearch => Some(Index::new(servers::ELASTICSEARCH)),
            Place::Opensearch => Some(Index::new(servers::OPENSEARCH)),
            _ => None,
        };
        let objects = match place.objects() {
            Some((kind, parquet)) => Some(Objects::fresh(kind, parquet, folder).await),
            None => None,
        };
        let sink = Self {
            place,
            number,
            is_one_of_several: pair.sinks.len() > 1,
            constrained: pair.constrains(place),
            folder: folder.to_owned(),
            database,
            output: (place == Place::Kafka).then(|| Output::new("kill-out")),
            index,
            objects,
        };
        sink.make_table().await;
        sink
    }

    /// Its name, if there are several.
    pub(super) fn name(&self) -> Option<&'static str> {
        self.is_one_of_several.then(|| self.place.name())
    }

    /// What requests about it say.
    pub(super) fn query(&self) -> String {
        self.name().map_or_else(String::new, |name| format!("sink={name}"))
    }

    /// What a pipeline's view says of it.
    pub(super) fn of<'a>(&self, view: &'a Value) -> &'a Value {
        match self.name() {
            None => view,
            Some(name) => {
                let sinks = view["sinks"].as_array().into_iter().flatten();
                sinks.into_iter().find(|sink| sink["name"] == name).unwrap_or_else(|| panic!("no {name} in {view:#}"))
            }
        }
    }

    /// The condition of the second of several.
    fn when(&self) -> Option<&'static str> {
        (self.number == 1).then_some("id % 3 <> 2")
    }

    /// Whether it takes a record.
    fn takes(&self, n: u64) -> bool {
        self.when().is_none() || n % 3 != 2
    }

    /// The expected fate of a record.
    pub(super) fn fate(&self, data: &Data, n: u64) -> Fate {
        data.fate(n, self.takes(n), self.constrained)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("output.jsonl")
    }

    fn sqlite(&self) -> PathBuf {
        self.folder.join("output.db")
    }

    /// Its spec.
    pub(super) fn spec(&self) -> Value {
        let mut spec = self.alone();
        if let Some(name) = self.name() {
            spec["name"] = json!(name);
        }
        if let Some(when) = self.when() {
            spec["when"] = json!(when);
        }
        spec
    }

    /// Its spec, but for what tells it from others.
    fn alone(&self) -> Value {
        let table = |kind: &str, name: &str, place: Value| {
            let mut sink = json!({"type": kind, "table": "rows", "mode": "append", "unknownFields": "add"});
            sink[name] = place;
            sink
        };
        if let Some(sink) = self.output.as_ref().map(Output::sink).or_else(|| self.objects.as_ref().map(Objects::sink))
        {
            return sink;
        }
        if let Some(index) = &self.index {
            return index.sink();
        }
        match (self.place, &self.database) {
            (Place::Postgres, Some(database)) => table("postgres", "url", json!(database.url())),
            (Place::Sqlite, _) => table("sqlite", "path", json!(self.sqlite())),
            _ => json!({"type": "file", "path": self.file()}),
        }
    }

    /// Creates the table if the sink doesn't.
    async fn make_table(&self) {
        if let Some(database) = &self.database {
            database.execute(TABLE).await;
        } else if self.place == Place::Sqlite && self.constrained {
            let database = Connection::open(self.sqlite()).expect("the database can be made");
            database.execute_batch(TABLE).expect("the table can be made");
        }
    }

    /// The key of its tokens.
    fn branch(&self) -> String {
        match self.number {
            0 => Flow::ID.into(),
            number => format!("{}/{number}", Flow::ID),
        }
    }

    /// The number of the last commit of each lane in the sink; `None` if the sink has no tokens.
    pub(super) async fn tokens(&self) -> Option<BTreeMap<u32, u64>> {
        match (self.place, &self.database) {
            (_, Some(database)) => {
                database.quiet().await;
                Some(database.tokens(&self.branch()).await)
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
            .query_map([self.branch()], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
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
        if let Some(index) = &self.index {
            let mut rows: Vec<Row> = index.documents().await.iter().map(|document| row(document)).collect();
            rows.sort_by_key(|row| row.id);
            return rows;
        }
        if let Some(objects) = &self.objects {
            let mut rows = objects.rows().await;
            rows.sort_by_key(|row| row.id);
            return rows;
        }
        let mut rows = match (self.place, &self.database, &self.output) {
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
        // The column comes with the first record that has the field: a node may have been killed before it.
        let extra = if database.prepare("select extra from rows").is_ok() { "extra" } else { "null" };
        let query = format!("select id, \"group\", total, share, {extra} from rows");
        let mut statement = database.prepare(&query).expect("the table is there");
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
pub(super) fn row(line: &str) -> Row {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    Row {
        id: value["id"].as_i64().unwrap_or(-1),
        group: value["group"].as_str().unwrap_or_default().into(),
        total: value["total"].as_i64().unwrap_or(-1),
        share: value["share"].as_f64().unwrap_or(-1.0),
        extra: value["extra"].as_str().map(Into::into),
    }
}
