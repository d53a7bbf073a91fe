//! A path that is followed: which file is read under it, and what becomes of it when another takes its place.
use super::{identity::Identity, tail::Tail};
use dataflow_core::position::{Partition, Position};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A path that is followed.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) path: PathBuf,
    pub(super) partition: Partition,
    /// Behind what was read under this path; none if nothing ever was.
    pub(super) position: Option<Position>,
    pub(super) tail: Option<Box<Tail>>,
    /// The file of `position` was read to its end, and another one takes its place.
    pub(super) rotated: bool,
}

impl Slot {
    pub(super) fn new(path: PathBuf, position: Option<Position>) -> Self {
        Self { partition: super::partition(&path), path, position, tail: None, rotated: false }
    }

    /// Whether the open file was renamed and another took its place, or it was deleted.
    pub(super) fn is_replaced(&self) -> io::Result<bool> {
        let Some(tail) = &self.tail else { return Ok(false) };
        match fs::metadata(&self.path) {
            Ok(meta) => Ok(!tail.identity.is_inode(&meta)),
            // Renamed, and the new one is not there yet: more may still be written to the old one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(tail.file().metadata()?.nlink() == 0),
            Err(error) => Err(error),
        }
    }

    /// The file of this position, if it is not `file` and lies under another name in the same folder.
    pub(super) fn renamed(&self, file: &File) -> io::Result<Option<File>> {
        let known = self.position.as_ref().and_then(|position| position.identity.as_ref()?.parse::<Identity>().ok());
        let Some(known) = known else { return Ok(None) };
        if known.is_inode(&file.metadata()?) {
            return Ok(None);
        }
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // An entry that vanishes meanwhile is not the one.
            if entry.metadata().is_ok_and(|meta| meta.is_file() && known.is_inode(&meta))
                && let Ok(file) = File::open(entry.path())
                && known.is(&file)?
            {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }
}
