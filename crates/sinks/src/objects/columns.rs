//! The columns of a generation, in the store (`golden/s3-columns/`): all lanes and all runs write the same types, and only ever add to them.
use super::{
    failure::Trouble,
    store::{Store, Version},
};
use crate::stored;
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error,
    batch::{Column, Demand},
};
use serde::{Deserialize, Serialize};

/// How often adding columns is tried while other lanes add some.
const TRIES: usize = 20;

/// The version that is written.
const VERSION: u32 = 1;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stored {
    v: u32,
    columns: Vec<StoredColumn>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StoredColumn {
    name: String,
    /// None: of CSV, which has no types.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    ty: Option<Type>,
}

/// The columns as they were read last.
#[derive(Debug)]
pub(super) struct Columns {
    store: Store,
    key: String,
    version: Option<Version>,
    pub(super) all: Vec<Column>,
}

impl Columns {
    pub(super) async fn open(store: &Store, key: String) -> Result<Self, Error> {
        let mut opened = Self { key, ..Self::none(store) };
        opened.read().await.map(|()| opened)
    }

    /// Those of a generation that has written nothing.
    pub(super) fn none(store: &Store) -> Self {
        Self { store: store.clone(), key: String::new(), version: None, all: Vec::new() }
    }

    async fn read(&mut self) -> Result<(), Error> {
        let Some((bytes, version)) = self.store.read(&self.key).await? else { return Ok(()) };
        self.all = from_json(&bytes).map_err(|why| {
            let message = format!("{} can't be read: {why}", self.store.place(&self.key));
            Error::fatal("bad-data", message).fix("bring it back as it was, or write to another folder")
        })?;
        self.version = Some(version);
        Ok(())
    }

    /// Adds those that are not there. What is there keeps its type.
    pub(super) async fn add(&mut self, more: &[Column]) -> Result<(), Error> {
        for _ in 0..TRIES {
            let known = self.all.len();
            let mut all = self.all.clone();
            for column in more {
                if all.iter().all(|known| known.name != column.name) {
                    all.push(column.clone());
                }
            }
            if all.len() == known && self.version.is_some() {
                return Ok(());
            }
            let json = to_json(&all)
                .map_err(|error| Error::fatal("internal", format!("columns can't be written: {error}")))?;
            match self.store.write(&self.key, json.into(), self.version.as_ref()).await {
                Ok(version) => {
                    (self.version, self.all) = (Some(version), all);
                    return Ok(());
                }
                Err(Trouble::Changed) => self.read().await?,
                Err(trouble) => return Err(trouble.error()),
            }
        }
        Err(Error::transient("conflict", format!("other lanes keep changing {}", self.store.place(&self.key))))
    }

    pub(super) fn demand(&self) -> Demand {
        if self.all.is_empty() { Demand::AllColumns } else { Demand::Columns(self.all.clone()) }
    }
}

fn to_json(columns: &[Column]) -> serde_json::Result<Vec<u8>> {
    let column = |of: &Column| StoredColumn { name: of.name.clone(), ty: (of.ty != Type::Any).then_some(of.ty) };
    serde_json::to_vec(&Stored { v: VERSION, columns: columns.iter().map(column).collect() })
}

fn from_json(bytes: &[u8]) -> Result<Vec<Column>, String> {
    let json = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let stored: Stored = stored::read(&json, VERSION)?;
    let column = |StoredColumn { name, ty }| Column { name, ty: ty.unwrap_or(Type::Any) };
    Ok(stored.columns.into_iter().map(column).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Never changed after a release: columns of this shape are stored.
    const GOLDEN: &str = include_str!("../../golden/s3-columns/v1.json");

    #[test]
    fn golden_columns_are_read_and_written() {
        let columns = [("größe", Type::Decimal { precision: 12, scale: 2 }), ("plain", Type::Any)];
        let columns = columns.map(|(name, ty)| Column { name: name.into(), ty });
        assert_eq!(String::from_utf8(to_json(&columns).unwrap()).unwrap(), GOLDEN.trim_end());
        assert_eq!(from_json(GOLDEN.as_bytes()).unwrap(), columns);
        assert!(from_json(br#"{"v": 2}"#).unwrap_err().contains("version 2"));
    }
}
