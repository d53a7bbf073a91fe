//! The options of a spec for the target table.
use super::{Columns, Layout, Names, Naming};
use dataflow_sdk::{
    Problem,
    declared::{SinkRows, UnknownFields},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a record does to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Replaces the row with the same key, or adds one.
    Upsert,
    /// Adds a row.
    Append,
}

/// What happens to fields without a column in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// They are left out, counted, and reported as a warning.
    #[default]
    Ignore,
    /// A column is added to the table.
    Add,
    /// The record becomes a dead letter.
    Dead,
    /// The pipeline fails.
    Fail,
}

impl From<Unknown> for UnknownFields {
    fn from(unknown: Unknown) -> Self {
        match unknown {
            Unknown::Ignore => Self::Ignore,
            Unknown::Add => Self::Add,
            Unknown::Dead => Self::Dead,
            Unknown::Fail => Self::Fail,
        }
    }
}

/// The options of a spec for the target table; the same for every table sink.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the table.
    pub table: String,
    /// Whether the database calls two names the same table.
    pub same_table: fn(&str, &str) -> bool,
    /// Columns to write; `None`: all of the table, or of the first batch.
    pub columns: Option<Columns>,
    /// Key columns.
    pub key: Option<Names>,
    /// What a record does; `None`: [`Layout`] decides.
    pub mode: Option<Mode>,
    /// The expression that says which records delete the row of their key.
    pub op: Option<String>,
    /// Whether a missing table is created.
    pub create_table: bool,
    /// What happens to fields without a column; `None`: they get one in a table that the sink has made, as which fields the first
    /// batch had is chance, and are left out of any other, which is somebody's own.
    pub unknown_fields: Option<Unknown>,
    /// Whether the table is the sink's [own](Self::owns_what_it_made), which gets a column for each field.
    pub own: bool,
    /// Whether columns are added for fields that had no value when the table was created, whatever `unknown_fields`
    /// says.
    pub grows: bool,
}

impl Options {
    /// The given key columns.
    pub fn key(&self) -> Vec<String> {
        self.key.as_ref().map(Names::to_vec).unwrap_or_default()
    }

    /// What of each output row is wanted.
    pub fn rows(&self) -> SinkRows {
        SinkRows {
            key: self.key(),
            columns: self.columns.as_ref().map(Columns::typed).unwrap_or_default(),
            unknown_fields: Some(self.unknown_fields.unwrap_or_default().into()),
            left_out_on_purpose: self.unknown_fields == Some(Unknown::Ignore) || self.columns.is_some(),
            tombstones: self.mode != Some(Mode::Append),
            op: self.op.clone(),
            ..SinkRows::default()
        }
    }

    /// Whether a table that the sink has made is its own: if the spec leaves all to it.
    pub fn owns_what_it_made(&self) -> bool {
        self.unknown_fields.is_none() && self.columns.is_none()
    }

    /// Whether columns may be added.
    pub fn adds_columns(&self) -> bool {
        self.grows || self.own || self.unknown_fields == Some(Unknown::Add)
    }

    /// Restricts the options to the demand `known`. New columns are left out of it if each field gets its column when
    /// it first appears.
    #[must_use]
    pub fn for_rows_of(&self, known: &Layout) -> Self {
        let names = || known.slots.iter().map(|slot| slot.column.name.clone()).collect();
        match &self.columns {
            None if known.grows || self.unknown_fields == Some(Unknown::Add) => {
                Self { columns: Some(Columns::Names(names())), own: known.grows, ..self.clone() }
            }
            _ => self.clone(),
        }
    }

    /// Returns findings that need no connection.
    pub fn check(&self, naming: &Naming) -> Vec<Problem> {
        let mut problems = naming.check(self);
        let mut found = |path: &str, code: &str, message: String, fix: &str| {
            problems.push(Problem::new(path, code, message).fix(fix));
        };
        if self.table.is_empty() || self.table.contains('\0') || self.table.split('.').any(str::is_empty) {
            found(
                "table",
                "invalid-value",
                format!("{:?} is not a table name", self.table),
                "use a name like users or sales.users",
            );
        }
        if self.table == super::tokens::TABLE || self.table.ends_with(".dataflow_tokens") {
            found("table", "reserved", "dataflow_tokens is reserved for progress".into(), "write to another table");
        }
        let columns = self.columns.as_ref().map(Columns::names);
        if columns.as_ref().is_some_and(Vec::is_empty) {
            found("columns", "too-few", "columns is empty".into(), "name one, or leave columns out");
        }
        let key = self.key();
        for (path, names) in
            [("columns", columns.clone().unwrap_or_default()), ("key", key.iter().map(String::as_str).collect())]
        {
            if let Some((at, twice)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
                found(path, "duplicate", format!("{twice:?} is named twice"), &format!("leave out entry {at}"));
            }
        }
        if self.op.is_some() && self.mode == Some(Mode::Append) {
            found(
                "op",
                "contradiction",
                "with mode: append there is no key, by which a row could be deleted".into(),
                "give key and leave mode out, or leave op out and drop deletes with a filter",
            );
        }
        if self.key.is_some() && key.is_empty() {
            found("key", "too-few", "key is empty".into(), "name one, or leave key out");
        }
        if let Some(columns) = columns
            && let Some(missing) = key.iter().find(|name| !columns.contains(&name.as_str()))
        {
            found("key", "unknown-column", format!("key column {missing:?} is not among columns"), "add it to columns");
        }
        problems
    }
}
