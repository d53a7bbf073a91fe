//! What the journal holds of a file: its only record of how much of it counts.
use crate::on_disk::FileId;
use dataflow_sdk::Error;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A file and how much of it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Handle {
    /// Where it was.
    pub(super) path: PathBuf,
    /// Device and inode that it is known by, whatever its name.
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Bytes of it that count.
    pub(super) length: u64,
    /// Its length when the generation began: it is never cut below.
    pub(super) base: u64,
}

impl Handle {
    pub(super) fn id(&self) -> FileId {
        FileId { device: self.device, inode: self.inode }
    }
    pub(super) fn to_json(&self) -> Result<serde_json::Value, Error> {
        serde_json::to_value(self)
            .map_err(|error| Error::fatal("internal", format!("a handle can't be written: {error}")))
    }
    pub(super) fn from_json(json: serde_json::Value) -> Result<Self, Error> {
        serde_json::from_value(json.clone()).map_err(|error| {
            Error::fatal("handle-unknown", format!("the journal's handle {json} is none of a file sink: {error}"))
                .for_user()
        })
    }
}
