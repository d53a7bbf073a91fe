//! The columns of a generation, in the bucket: all lanes and all runs write the same types, and only ever add to them.
use super::{bucket::Bucket, failure::Trouble};
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error,
    batch::{Column, Demand},
};
use object_store::UpdateVersion;
use serde::{Deserialize, Serialize};

/// How often adding columns is tried while other lanes add some.
const TRIES: usize = 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    name: String,
    /// None: of CSV, which has no types.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    ty: Option<Type>,
}

/// The columns as they were read last.
#[derive(Debug)]
pub(super) struct Columns {
    bucket: Bucket,
    key: String,
    version: Option<UpdateVersion>,
    pub(super) all: Vec<Column>,
}

impl Columns {
    pub(super) async fn open(bucket: &Bucket, key: String) -> Result<Self, Error> {
        let mut opened = Self { key, ..Self::none(bucket) };
        opened.read().await.map(|()| opened)
    }

    /// Those of a generation that has written nothing.
    pub(super) fn none(bucket: &Bucket) -> Self {
        Self { bucket: bucket.clone(), key: String::new(), version: None, all: Vec::new() }
    }

    async fn read(&mut self) -> Result<(), Error> {
        let Some((bytes, version)) = self.bucket.read(&self.key).await? else { return Ok(()) };
        let stored: Vec<Stored> = serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("{} can't be read: {error}", self.bucket.place(&self.key));
            Error::fatal("bad-data", message).fix("bring it back as it was, or write to another folder")
        })?;
        let column = |Stored { name, ty }| Column { name, ty: ty.unwrap_or(Type::Any) };
        self.all = stored.into_iter().map(column).collect();
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
            let stored: Vec<Stored> = all.iter().map(stored).collect();
            let json = serde_json::to_vec(&stored)
                .map_err(|error| Error::fatal("internal", format!("columns can't be written: {error}")))?;
            match self.bucket.write(&self.key, json.into(), self.version.as_ref()).await {
                Ok(version) => {
                    (self.version, self.all) = (Some(version), all);
                    return Ok(());
                }
                Err(Trouble::Changed) => self.read().await?,
                Err(trouble) => return Err(trouble.error()),
            }
        }
        Err(Error::transient("conflict", format!("other lanes keep changing {}", self.bucket.place(&self.key))))
    }

    pub(super) fn demand(&self) -> Demand {
        if self.all.is_empty() { Demand::AllColumns } else { Demand::Columns(self.all.clone()) }
    }
}

fn stored(column: &Column) -> Stored {
    Stored { name: column.name.clone(), ty: (column.ty != Type::Any).then_some(column.ty) }
}
