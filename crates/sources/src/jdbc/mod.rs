//! The `jdbc` source: rows of a table or of a query in a database.
//!
//! Rows are read in the order of a key, after the last one read (`position`), so that reading goes on exactly there. Each database
//! (`database`) says up to where none can be missed any more, and has a folder of its own.
mod database;
mod failures;
mod mysql;
mod part;
mod position;
mod postgres;
mod reader;
mod rounds;
mod said;
mod shape;
mod sqlite;
mod unindexed;
mod url;
mod waiting;

use async_trait::async_trait;
use database::{Purpose, Session};
use dataflow_core::{
    position::{Partition, Position, Positions},
    spec::Millis,
    types::Type,
};
use dataflow_sdk::{
    Context, Error, Problem, SourceConfig,
    declared::Metadata,
    extent::{Extent, Extents},
    source::{Assignment, Edge, Kept, Reader, Source},
};
use dataflow_tls::Tls;
use position::Place;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeMap};

/// Reads rows of a table, or of a query, in PostgreSQL, MariaDB, MySQL or a SQLite file.
///
/// Rows are read in the order of columns that identify them, so that reading goes on exactly after the last one. What becomes of each
/// column type, and which rows are found when, the guide to this source says.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct JdbcSource {
    /// URL of the database: `postgres://user:password@host:5432/database`, `mariadb://user:password@host:3306/database` (or `mysql://…`) or
    /// `sqlite:/data/shop.db`, or as JDBC has them, `jdbc:postgresql://host:5432/database?user=…&password=…` and the like. Default: that of the node's connection.
    #[schemars(extend("x-address" = true))]
    pub url: Option<String>,
    /// Certificates for TLS, where there is a server. What is checked of the server's, the url says as libpq has it: `sslmode=require` nothing (with `ca`, as
    /// `verify-ca`), `verify-ca` its authority, `verify-full` its host name, too. Without `sslmode`: `verify-full` if this is given,
    /// otherwise `prefer`, which encrypts if the server can. For MariaDB and MySQL the same in their words (`sslMode=VERIFY_IDENTITY`).
    pub tls: Option<Tls>,
    /// Name of the table or view, `orders`, or `sales.orders` where there are schemas, spelled exactly as in the database.
    pub table: Option<String>,
    /// A SELECT to read instead of a table. It becomes part of another one, so it has no parameters, and its order and limit mean nothing.
    pub query: Option<String>,
    /// Which rows are read: all of them, once (`bulk`); those with a higher number than before, for ever (`incrementing`); those with
    /// a later time (`timestamp`), which finds changed rows, too; or the same where several rows of one time are told apart by a number
    /// (`timestamp+incrementing`).
    pub mode: Mode,
    /// The column whose numbers rise with each new row.
    pub incrementing_column: Option<String>,
    /// The column with the time of a row's last change.
    pub timestamp_column: Option<String>,
    /// Columns that identify a row. They are the order of reading in `bulk`, and that of rows of one time in `timestamp`; their
    /// values are the record's key. Default: the primary key of the table.
    pub key_columns: Option<Vec<String>>,
    /// How often to look for new rows.
    #[serde(default = "five_seconds")]
    pub poll_interval: Millis,
    /// Most rows that are asked for at once. They are as few as fit into a batch anyway.
    pub fetch_size: Option<u32>,
    /// Rows are read only so long after their numbers or times were given out. Needed where nothing else tells that none with a
    /// lower one will come; those of transactions that take longer are missed.
    pub delay: Option<Millis>,
}

/// Which rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All rows, once.
    Bulk,
    /// Rows with higher numbers than before.
    Incrementing,
    /// Rows with later times than before.
    Timestamp,
    /// Rows with later times than before, or higher numbers at the same time.
    #[serde(rename = "timestamp+incrementing")]
    TimestampIncrementing,
}

impl Mode {
    /// Whether rows are read in the order of their times.
    fn is_timed(self) -> bool {
        matches!(self, Self::Timestamp | Self::TimestampIncrementing)
    }

    fn is_counted(self) -> bool {
        matches!(self, Self::Incrementing | Self::TimestampIncrementing)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Incrementing => "incrementing",
            Self::Timestamp => "timestamp",
            Self::TimestampIncrementing => "timestamp+incrementing",
        }
    }
}

/// Without the URL, which may hold a password.
impl std::fmt::Debug for JdbcSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JdbcSource").field("table", &self.table).field("mode", &self.mode).finish_non_exhaustive()
    }
}

fn five_seconds() -> Millis {
    Millis(5_000)
}

impl SourceConfig for JdbcSource {
    const TYPE: &'static str = "jdbc";
    const SUMMARY: &'static str = "Reads rows of a table or a query in PostgreSQL, MariaDB, MySQL or a SQLite file.";
    const GUARANTEE: &'static str = "Each row that was committed is read once (in the modes with a timestamp: once for each change that \
        is still there when it is read), whatever order transactions commit in: rows are read up to a value only once no transaction that \
        was writing then can add a lower one. What can't be read so is refused unless there is a `delay`. Void if values \
        are given by whoever writes instead of the column's default, or if they begin anew (setval, truncate … restart identity). \
        Deleted rows are not noticed.";
    const CONNECTION: Option<&'static str> = Some("jdbc");
    const METADATA: Option<&'static [Metadata]> = Some(&[("key", Type::Text), ("table", Type::Text)]);

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut finding = |path: &str, code: &str, message: String, fix: &str| {
            problems.push(Problem::new(path, code, message).fix(fix));
        };
        match (&self.table, &self.query) {
            (Some(_), Some(_)) => {
                finding("query", "contradiction", "can't be given beside `table`".into(), "give one of both");
            }
            (None, None) => finding("table", "missing-field", "is missing".into(), "give `table`, or a `query`"),
            (None, Some(query)) if query.trim().trim_end_matches(';').is_empty() => {
                finding("query", "invalid-value", "is empty".into(), "write a SELECT");
            }
            _ => {}
        }
        let mode = self.mode.name();
        for (path, column, is_used) in [
            ("incrementingColumn", &self.incrementing_column, self.mode.is_counted()),
            ("timestampColumn", &self.timestamp_column, self.mode.is_timed()),
        ] {
            match column {
                None if is_used => {
                    let fix = "name the column, or choose another mode";
                    finding(path, "missing-field", format!("is missing, which mode {mode} needs"), fix);
                }
                Some(_) if !is_used => {
                    let fix = "leave it out, or choose a mode that uses it";
                    finding(path, "contradiction", format!("is not used in mode {mode}"), fix);
                }
                _ => {}
            }
        }
        if self.key_columns.as_ref().is_some_and(Vec::is_empty) {
            finding("keyColumns", "too-few", "names no column".into(), "name a column, or leave it out");
        }
        if self.query.is_some() && self.key_columns.is_none() && matches!(self.mode, Mode::Bulk | Mode::Timestamp) {
            let message = format!("is missing, which mode {mode} needs of a query");
            finding("keyColumns", "missing-field", message, "name the columns that identify a row of the query");
        }
        if self.poll_interval.0 == 0 {
            finding("pollInterval", "out-of-range", "must be greater than 0".into(), "write 100ms or more");
        }
        if self.fetch_size == Some(0) {
            finding("fetchSize", "out-of-range", "must be greater than 0".into(), "leave it out");
        }
        if self.delay.is_some() && self.mode == Mode::Bulk {
            finding("delay", "contradiction", "is not used in mode bulk".into(), "leave it out");
        }
        match self.url.as_deref().map(url::read) {
            None => {
                let fix = "give url here, or set [connections.jdbc.default] in the node's settings";
                finding("url", "missing-field", "no database is given".into(), fix);
            }
            Some(Ok(database)) => problems.extend(database.check(self)),
            Some(Err(problem)) => problems.push(problem),
        }
        problems
    }

    fn build(self) -> Box<dyn Source> {
        Box::new(self)
    }

    fn reads_like(&self, before: &Self) -> bool {
        self.identity() == before.identity()
    }

    fn reads(&self, place: &str) -> bool {
        match (&self.table, url::read(self.url.as_deref().unwrap_or_default())) {
            (Some(table), Ok(database)) => database.spellings(table).iter().any(|name| name == place),
            _ => false,
        }
    }

    fn keeps(&self, before: &Self, _: &Partition) -> Kept {
        if self.reads_like(before) { Kept::Yes } else { Kept::No }
    }
}

impl JdbcSource {
    /// What decides which row a position stands for.
    fn identity(&self) -> impl PartialEq {
        let columns = (self.incrementing_column.clone(), self.timestamp_column.clone(), self.key_columns.clone());
        (self.table.clone(), self.query.clone(), self.mode, columns)
    }

    /// What is read, for messages.
    fn name(&self) -> String {
        self.table.clone().unwrap_or_else(|| "the query".into())
    }

    fn partition(&self) -> Partition {
        self.table.as_deref().unwrap_or("query").into()
    }

    /// A session with its database.
    async fn connect(&self, cx: &Context, purpose: Purpose) -> Result<Box<dyn Session>, Error> {
        let database = url::read(self.url.as_deref().unwrap_or_default())
            .map_err(|problem| Error::fatal("invalid-url", format!("url: {}", problem.message)).for_user())?;
        database.connect(self, cx, purpose).await
    }
}

/// The place after the last row that is there, in numbers of rows, too.
async fn end(session: &mut dyn Session) -> Result<Position, Error> {
    let key = session.highest().await?.unwrap_or_default();
    let rows = if key.is_empty() { 0 } else { session.count(&key).await?.unwrap_or(0) };
    Ok(Position { at: Place { rows, key }.text(), identity: session.shape().identity.clone() })
}

/// The place after a key that a user names; none: it is no key of these rows.
async fn after(session: &mut dyn Session, key: position::Key) -> Result<Option<Position>, Error> {
    let rows = match key.len() {
        0 => Some(0),
        parts if parts == session.shape().order.len() => session.count(&key).await?,
        _ => None,
    };
    let identity = session.shape().identity.clone();
    Ok(rows.map(|rows| Position { at: Place { rows, key }.text(), identity }))
}

#[async_trait]
impl Source for JdbcSource {
    fn single_lane(&self) -> bool {
        true
    }

    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        Ok(vec![self.partition()])
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        let from = lane.positions.get(&self.partition());
        Ok(Box::new(reader::JdbcReader::open(self, cx, from).await?))
    }

    fn beginning(&self) -> Position {
        Position { at: Place::default().text(), identity: None }
    }

    fn order(&self, one: &Position, other: &Position) -> Option<Ordering> {
        Some(Place::read(&one.at)?.order(&Place::read(&other.at)?, self.mode.is_timed()))
    }

    fn between(&self, from: Option<&Position>, to: &Position) -> Option<u64> {
        let from = from.map_or(Some(0), |from| Some(Place::read(&from.at)?.rows))?;
        Some(Place::read(&to.at)?.rows.saturating_sub(from))
    }

    async fn resolve(&self, cx: &Context, to: &Edge) -> Result<Positions, Error> {
        let at = match to {
            Edge::Beginning => self.beginning(),
            Edge::End => end(&mut *self.connect(cx, Purpose::Look).await?).await?,
        };
        Ok([(self.partition(), at)].into())
    }

    /// Counting what waits would read all of it.
    async fn lag(&self, _: &Context, _: &Positions) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    async fn place(
        &self,
        cx: &Context,
        _: &Positions,
        named: &BTreeMap<String, String>,
    ) -> Result<Result<Positions, Vec<Problem>>, Error> {
        let (mut positions, mut problems) = (Positions::new(), Vec::new());
        let own = self.partition();
        for (partition, at) in named {
            if *partition != *own.0 {
                let message = format!("the source has no partition {partition:?}");
                problems
                    .push(Problem::new("to.positions", "unknown-partition", message).fix(format!("there is {own}")));
                continue;
            }
            let found = match Place::read(at) {
                Some(place) => after(&mut *self.connect(cx, Purpose::Look).await?, place.key).await?,
                None => None,
            };
            match found {
                Some(position) => _ = positions.insert(own.clone(), position),
                None => {
                    let message = format!("{partition}: {at:?} is no position");
                    let fix = "write [0] for the beginning, or the number of rows before and the key of the last of them: [1000,42]";
                    problems.push(Problem::new("to.positions", "bad-position", message).fix(fix));
                }
            }
        }
        Ok(if problems.is_empty() { Ok(positions) } else { Err(problems) })
    }

    async fn extents(&self, cx: &Context) -> Result<Extents, Error> {
        let last = Some(end(&mut *self.connect(cx, Purpose::Look).await?).await?);
        Ok([(self.partition(), Extent { first: self.beginning(), last })].into())
    }
}
