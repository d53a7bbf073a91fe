//! What the journal holds of a file: its only record of how much of it counts. What was ever written stays readable: a
//! shape that has to change gets another version, with a golden file of its own in `golden/file-handle/`.
use crate::on_disk::FileId;
use dataflow_sdk::Error;
use serde::{Deserialize, Serialize};
use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The version that is written.
const VERSION: u32 = 1;

/// What all versions have in common. A handle that names none is of the first.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default = "first")]
    v: u32,
}

fn first() -> u32 {
    1
}

/// A handle as it is written.
#[derive(Serialize)]
struct Stored<'a> {
    v: u32,
    #[serde(flatten)]
    handle: &'a Handle,
}

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
    /// Its length before this pipeline wrote anything of what it has to hold.
    pub(super) origin: u64,
    /// Its first bytes: another file that begins with them is an older copy of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) head: Option<Head>,
    /// A hash of the last bytes that count: a file of other content is not the one that was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tail: Option<u64>,
    /// Whether the file kept a mark of its writer: without one it is not as it was left.
    #[serde(default)]
    pub(super) marked: bool,
    /// Whether its writer failed after it, having written nothing more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) last: bool,
}

/// The first bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    length: u64,
    hash: u64,
}

impl Head {
    /// At least and at most so many bytes tell which file it is: whole lines, if there are any.
    const LENGTH: Range<usize> = 16..64;

    /// Of the `length` bytes that count; none while there are none.
    pub(super) fn of(file: &File, length: u64) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; length.min(Self::LENGTH.end as u64) as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let line = bytes.iter().skip(Self::LENGTH.start).position(|byte| *byte == b'\n');
        bytes.truncate(line.map_or(bytes.len(), |end| Self::LENGTH.start + end + 1));
        Ok((!bytes.is_empty()).then(|| Self { length: bytes.len() as u64, hash: xxh3_64(&bytes) }))
    }

    pub(super) fn is_in(&self, file: &File) -> bool {
        hash(file, 0, self.length).is_ok_and(|hash| hash == self.hash)
    }
}

fn hash(file: &File, begin: u64, end: u64) -> io::Result<u64> {
    let mut bytes = vec![0; (end - begin) as usize];
    file.read_exact_at(&mut bytes, begin)?;
    Ok(xxh3_64(&bytes))
}

/// So many bytes before its end tell whether a file is what was written.
const TAIL: u64 = 4 << 10;

/// A hash of the last bytes before `length`.
pub(super) fn tail(file: &File, length: u64) -> io::Result<u64> {
    hash(file, length.saturating_sub(TAIL), length)
}

impl Handle {
    pub(super) fn id(&self) -> FileId {
        FileId { device: self.device, inode: self.inode }
    }
    /// The same after so many more bytes.
    pub(super) fn longer(self, file: &File, bytes: u64) -> io::Result<Self> {
        let length = self.length + bytes;
        Ok(Self { length, tail: Some(tail(file, length)?), last: false, ..self })
    }
    /// The same, with what the bytes that count are known by.
    pub(super) fn sealed(self, file: &File) -> io::Result<Self> {
        Ok(Self { head: Head::of(file, self.length)?, tail: Some(tail(file, self.length)?), ..self })
    }
    pub(super) fn to_json(&self) -> Result<serde_json::Value, Error> {
        serde_json::to_value(Stored { v: VERSION, handle: self })
            .map_err(|error| Error::fatal("internal", format!("a handle can't be written: {error}")))
    }
    pub(super) fn from_json(json: serde_json::Value) -> Result<Self, Error> {
        let unknown = |why: String| {
            let message = format!("the journal's handle {json} does not belong to a file sink: {why}");
            Error::contradicts("handle-unknown", message, "choose where to continue: set the checkpoint")
        };
        match Versioned::deserialize(&json).map_err(|error| unknown(error.to_string()))?.v {
            1 => Self::deserialize(&json).map_err(|error| unknown(error.to_string())),
            later => Err(unknown(format!("it has version {later}; this build reads {VERSION}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Handle, Head};

    /// Never changed: handles of this shape are stored.
    const GOLDEN_V1: &str = include_str!("../../golden/file-handle/v1.json");
    /// Version 1 as it was written before handles had versions.
    const GOLDEN_UNVERSIONED: &str = include_str!("../../golden/file-handle/unversioned.json");

    fn handle() -> Handle {
        Handle {
            path: "/data/größe/out.jsonl".into(),
            device: 2_049,
            inode: u64::MAX,
            length: 9_007_199_254_740_993,
            base: 77,
            origin: 7,
            head: Some(Head { length: 64, hash: 3 }),
            tail: Some(u64::MAX),
            marked: true,
            last: false,
        }
    }

    #[test]
    fn golden_handles_are_read_and_written() {
        let golden: serde_json::Value = serde_json::from_str(GOLDEN_V1).unwrap();
        assert_eq!(handle().to_json().unwrap(), golden);
        assert_eq!(Handle::from_json(golden).unwrap(), handle());
    }

    #[test]
    fn a_handle_without_a_version_is_of_the_first() {
        let unversioned = Handle { head: None, tail: None, marked: false, ..handle() };
        assert_eq!(Handle::from_json(serde_json::from_str(GOLDEN_UNVERSIONED).unwrap()).unwrap(), unversioned);
    }

    #[test]
    fn a_later_version_is_said_to_be_one() {
        let error = Handle::from_json(serde_json::json!({"v": 2, "parts": []})).unwrap_err();
        assert!(error.to_string().contains("it has version 2; this build reads 1"), "{error}");
    }
}
