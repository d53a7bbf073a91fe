//! What is read: its columns, the order in which its rows are read, and what they are known by.
use super::{JdbcSource, Mode, failures};
use dataflow_sdk::{Error, batch::Column};
use std::sync::Arc;

/// What is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The name of the table, or `the query`, for messages.
    pub(super) name: String,
    /// The columns, in order.
    pub(super) columns: Arc<[Column]>,
    /// The columns in whose order rows are read: no two rows have the same values in them.
    pub(super) order: Vec<usize>,
    /// The columns that a row is known by.
    pub(super) key: Vec<usize>,
    /// What the table is known by besides its name, so that another one under its name is noticed.
    pub(super) identity: Option<Arc<str>>,
}

impl Shape {
    /// Of these columns, with this primary key. `same`: whether two names are the same for the database.
    ///
    /// # Errors
    /// If the columns don't have what the source says.
    pub(super) fn of(
        source: &JdbcSource,
        columns: Vec<Column>,
        primary_key: &[String],
        identity: Option<Arc<str>>,
        same: fn(&str, &str) -> bool,
    ) -> Result<Self, Error> {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let twice = names.iter().enumerate().find(|(at, name)| names[..*at].iter().any(|other| same(other, name)));
        if let Some((_, twice)) = twice {
            let error = Error::fatal("duplicate-column", format!("{} has two columns {twice:?}", source.name()));
            return Err(error.fix("give each column of the query a name of its own (`as`)").for_user());
        }
        let key = source.key_columns.as_deref().unwrap_or(primary_key);
        let place = |name: &String| {
            names.iter().position(|known| known == name).ok_or_else(|| failures::no_column(source, name, &names))
        };
        let order = order(source, key)?.iter().map(place).collect::<Result<_, _>>()?;
        // Without a key, its number tells a row from all others.
        let number = source.incrementing_column.iter().filter(|_| key.is_empty());
        let key = key.iter().chain(number).map(place).collect::<Result<_, _>>()?;
        Ok(Self { name: source.name(), order, key, identity, columns: columns.into() })
    }

    /// The names of the columns in whose order rows are read.
    pub(super) fn order_names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(|at| self.columns[*at].name.as_str())
    }
}

/// The columns in whose order rows are read.
fn order(source: &JdbcSource, key: &[String]) -> Result<Vec<String>, Error> {
    let (number, time) = (source.incrementing_column.iter(), source.timestamp_column.iter());
    let order: Vec<&String> = match source.mode {
        Mode::Incrementing => number.collect(),
        Mode::TimestampIncrementing => time.chain(number).collect(),
        Mode::Bulk => key.iter().collect(),
        Mode::Timestamp => time.chain(key).collect(),
    };
    if key.is_empty() && matches!(source.mode, Mode::Bulk | Mode::Timestamp) {
        let name = source.name();
        let message = format!("{name} has no primary key, so nothing tells after which row reading goes on");
        let fix = match source.mode {
            Mode::Bulk => "name columns that identify a row in `keyColumns`",
            _ => "name columns that identify a row in `keyColumns`, or use timestamp+incrementing",
        };
        return Err(Error::fatal("no-key", message).fix(fix).for_user());
    }
    let mut distinct = Vec::new();
    for name in order {
        if !distinct.contains(name) {
            distinct.push(name.clone());
        }
    }
    Ok(distinct)
}
