//! A path that is followed: which file is read under it, and what becomes of it when another takes its place.
use super::{
    identity::Identity,
    rotation::{Left, folder},
    tail::Tail,
};
use dataflow_core::position::{Partition, Position};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::Duration,
};
use tokio::time::Instant;

/// A path that is followed.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) path: PathBuf,
    pub(super) partition: Partition,
    /// Behind what was read under this path; none if nothing ever was.
    pub(super) position: Option<Position>,
    pub(super) tail: Option<Box<Tail>>,
    /// Since when the open file is known to be replaced.
    pub(super) replaced: Option<Instant>,
    /// The file of `position`, read to its end, where another one takes its place.
    pub(super) rotated: Option<Left>,
}

impl Slot {
    pub(super) fn new(path: PathBuf, position: Option<Position>) -> Self {
        Self { partition: super::partition(&path), path, position, tail: None, replaced: None, rotated: None }
    }

    /// Whether the open file was replaced by another one, or deleted, so long ago that nobody writes to it any more.
    pub(super) fn is_replaced(&mut self, grace: Duration) -> io::Result<bool> {
        let Some(tail) = &self.tail else { return Ok(false) };
        let replaced = match fs::metadata(&self.path) {
            // While the new one is empty, the old one may still be written to.
            Ok(meta) => !tail.identity.is_inode(&meta) && meta.len() > 0,
            // Renamed, and the new one is not there yet: the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => tail.file().metadata()?.nlink() == 0,
            Err(error) => return Err(error),
        };
        if !replaced {
            self.replaced = None;
            return Ok(false);
        }
        Ok(self.replaced.get_or_insert_with(Instant::now).elapsed() >= grace)
    }

    /// The file of this position, if it is not `file` and lies under another name in the same folder.
    pub(super) fn renamed(&self, file: &File) -> io::Result<Option<File>> {
        let known = self.position.as_ref().and_then(|position| position.identity.as_ref()?.parse::<Identity>().ok());
        let Some(known) = known else { return Ok(None) };
        if known.is_inode(&file.metadata()?) {
            return Ok(None);
        }
        for entry in fs::read_dir(folder(&self.path))? {
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
