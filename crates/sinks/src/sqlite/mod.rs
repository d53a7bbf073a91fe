//! `sqlite`: rows of a table in a SQLite file.
mod affinity;
mod audit;
mod cell;
mod database;
mod deferred;
mod drops;
mod failure;
mod made;
mod others;
mod rows;
mod schema;
mod statement;
#[cfg(test)]
mod tests;
mod types;
mod writer;

use crate::{
    on_disk,
    table::{Columns, Mode, Names, Naming, Options, Unknown},
};
use async_trait::async_trait;
use dataflow_core::{
    spec::Millis,
    token::{Fence, Token},
};
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    audit::{Audit, Audited},
    declared::{Numbers, SinkRows},
    sink::{DeliveryMode, OpenLane, Opened, Sink, Traces},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// Writes records to a table in a SQLite file.
///
/// Types follow the declared type of each column: INTEGER, REAL, TEXT and BLOB as usual; BOOLEAN as 0 and 1; TIMESTAMP
/// and DATETIME as RFC 3339 text in UTC; DATE as `2026-01-31`; JSON as text; NUMERIC and DECIMAL as the number itself; a
/// column without a type takes anything. A value that the column would not give back as the same one is rejected: SQLite
/// makes numbers of texts like `00501` in columns that are not declared TEXT or CHAR (STRING is not), and rounds numbers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-replaced" = {"addColumns": "unknownFields: add"}))]
pub struct SqliteSink {
    /// Path of the database file. It is made if it is missing; its folder must be there.
    #[schemars(extend("x-path" = true))]
    pub path: PathBuf,
    /// Name of the table.
    pub table: String,
    /// Columns to write: their names, or names and types. By default all columns of the table, or, where the table is
    /// missing, all top-level fields with the types of the first batch. A field that a record does not have leaves its
    /// column as it is, or at its default in a new row.
    pub columns: Option<Columns>,
    /// Key columns: one name or several. They need a unique index, and become the primary key of a table that is made.
    pub key: Option<Names>,
    /// What a record does: replace the row with the same key or add one (`upsert`), or always add one (`append`). By default
    /// `upsert` if there is a key or the table has a primary key (which is then the key), otherwise `append`.
    pub mode: Option<Mode>,
    /// What becomes of the row of a record's key: an expression over the output record. The row is deleted if the value is `delete` or
    /// `d`, and written if it is null, `index`, `upsert`, `create`, `insert`, `update`, `read`, `c`, `i`, `u` or `r`. Records without
    /// data (tombstones) are deletes in any case. Of a delete only the key columns are looked at.
    pub op: Option<String>,
    /// Whether a missing table is made.
    #[serde(default = "yes")]
    pub create_table: bool,
    /// What becomes of fields that the table has no column for. Columns that are there are never changed. A record of which
    /// no field has a column is a dead letter. Default: `add` for a table that a
    /// pipeline has made, if neither gives `columns`, and `ignore` for any other.
    pub unknown_fields: Option<Unknown>,
    /// How long to wait for whoever holds a lock on the file.
    #[serde(default = "ten_seconds")]
    pub fence_timeout: Millis,
}

/// SQLite's rules for names.
const NAMING: Naming = Naming { database: "SQLite", longest: None, taken: &[], same: |a, b| a.eq_ignore_ascii_case(b) };

fn yes() -> bool {
    true
}
fn ten_seconds() -> Millis {
    Millis(10_000)
}

impl SqliteSink {
    fn options(&self) -> Options {
        Options {
            table: self.table.clone(),
            same_table: |a, b| a.eq_ignore_ascii_case(b),
            columns: self.columns.clone(),
            key: self.key.clone(),
            mode: self.mode,
            op: self.op.clone(),
            create_table: self.create_table,
            unknown_fields: self.unknown_fields,
            own: false,
            grows: false,
        }
    }
}

impl SinkConfig for SqliteSink {
    const TYPE: &'static str = "sqlite";
    const SUMMARY: &'static str = "Writes records to a table in a SQLite file.";
    const DELIVERY: DeliveryMode = DeliveryMode::Transactional;
    const GUARANTEE: &'static str = "Exactly once: rows and progress (table dataflow_tokens, in the same file) become durable in one transaction. \
         Void if somebody changes dataflow_tokens, or replaces the file by an older copy (which is detected) and the checkpoint is then forced.";
    const SINGLE_LANE: bool = true;

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.options().check(&NAMING);
        let path = self.path.to_string_lossy();
        if path.is_empty() || path == ":memory:" || path.starts_with("file:") {
            let problem = Problem::new("path", "invalid-value", "the database must be a file, given by its path");
            problems.push(problem.fix("give the path of a file, such as /data/out.db, not a URI"));
        }
        if self.table.contains('.') {
            let problem = Problem::new(
                "table",
                "invalid-value",
                "a SQLite file has no schemas: the table's name can't have a dot",
            );
            problems.push(problem.fix("give the name of the table alone"));
        }
        if self.table.to_ascii_lowercase().starts_with("sqlite_") {
            problems.push(Problem::new("table", "reserved", "names that begin with sqlite_ are reserved for SQLite"));
        }
        problems
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(self)
    }
    fn target(&self) -> String {
        format!("{} {}", on_disk::spelled(&self.path), self.table.to_ascii_lowercase())
    }
    /// As the source `jdbc` calls the table.
    fn writes(&self) -> Vec<(&'static str, String)> {
        vec![("table", format!("table {} of {}", self.table.to_ascii_lowercase(), on_disk::spelled(&self.path)))]
    }
    fn rows(&self) -> SinkRows {
        SinkRows { numbers: Numbers::Doubles, ..self.options().rows() }
    }
    fn tuning() -> &'static [&'static str] {
        &["fenceTimeout"]
    }
    fn place() -> &'static [&'static str] {
        &["table"]
    }
}

#[async_trait]
impl Sink for SqliteSink {
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        let (config, paths) = (self.clone(), cx.paths.clone());
        crate::blocking::run(move || {
            paths.admit(&config.path)?;
            writer::open(&config, &lane)
        })
        .await?
    }
    fn recognizes(&self, handle: Option<&serde_json::Value>) -> bool {
        self.options().recognizes(handle)
    }
    async fn token(&self, cx: &Context, fence: &Fence) -> Result<Option<Token>, Error> {
        cx.paths.admit(&self.path)?;
        let (path, wait, fence) = (self.path.clone(), self.fence_timeout.into(), fence.clone());
        crate::blocking::run(move || database::Database::look(&path, wait)?.map_or(Ok(None), |db| db.token(&fence)))
            .await?
    }
    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        cx.paths.admit(&self.path)?;
        let (path, wait, table) = (self.path.clone(), self.fence_timeout.into(), self.table.clone());
        let traces = traces.clone();
        crate::blocking::run(move || {
            database::Database::look(&path, wait)?.map_or(Ok(false), |db| db.has_traces(&table, &traces))
        })
        .await?
    }
    async fn audit(&self, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        cx.paths.admit(&self.path)?;
        let (config, cx) = (self.clone(), cx.clone());
        crate::blocking::run(move || audit::open(&config, &cx, &audit).map(Some)).await?
    }
}
