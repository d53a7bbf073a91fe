//! A file whose name another one has: of the next generation, or written anew (an editor's save, `sed -i`, `cp` and `mv`).
//!
//! A file that was rotated is still there, or compressed, or others of its generations are. Where nothing of that is so, and where
//! the other file holds again what was read, it is a replacement: a lost position. What a reader finds that comes later,
//! which knows neither file open nor who removed which, is the same.
use super::{
    FileSource,
    content::failed,
    follow::{Follow, Known},
    identity::Identity,
    lost::{self, Lost, known, offset},
    names::name,
    rotation::{Left, older},
    tail::{self, REPLACED},
};
use dataflow_core::position::Position;
use dataflow_sdk::{Error, Records};
use std::{
    fs::{self, File, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
};

impl FileSource {
    /// Whether `new`, which lies at `path` now, holds again the records of another file that were read up to a position, and
    /// that file does not lie there as an older generation.
    pub(super) fn holds_again(&self, path: &Path, from: &Position, new: &File) -> Result<bool, Error> {
        let failed = |error| failed(&name(path), 0, error);
        let Some(known) = known(from) else { return Ok(false) };
        if offset(from) == 0 || !known.is_in(new).map_err(failed)? {
            return Ok(false);
        }
        let lies_there = |there: &Path| fs::symlink_metadata(there).is_ok_and(|meta| known.is_inode(&meta));
        if older(path).map_err(failed)?.iter().any(|there| lies_there(there)) {
            return Ok(false);
        }
        let begin = self.layout(path, path, new, true)?.map_or(0, |(_, begin, _)| begin);
        Ok(offset(from) > begin) // a header alone is no record
    }
}

impl Follow {
    /// The file that is open under a path is not there any more, and read to its end: what follows, if it was replaced rather
    /// than rotated.
    pub(super) fn replaced(&self, k: usize) -> Result<Option<Box<Records>>, Error> {
        let slot = &self.slots[k];
        let Some(tail) = &slot.tail else { return Ok(None) };
        let failed = |error| failed(&slot.partition.0, 0, error);
        // One that is removed may come back; then it is looked at.
        let Ok(new) = tail::open(&slot.path, &self.cx) else { return Ok(None) };
        let left = Left::new(tail.file(), tail.identity.original).map_err(failed)?;
        let successor = left.successor(&slot.path, &new, |path, meta| self.is_read(path, meta), &self.cx);
        let rotated =
            successor.map_err(failed)?.is_some() || left.original_after(None, &new).map_err(failed)?.is_some();
        if rotated {
            return Ok(None);
        }
        let removed = tail.file().metadata().map_err(failed)?.nlink() == 0;
        self.replacement(k, &new, removed, tail.unread())
    }

    /// What follows, if `new`, which has the name of the file that was read under a path, holds again what was read of that, or
    /// that is known to be `removed`, and `new` is not read as another one.
    pub(super) fn replacement(
        &self,
        k: usize,
        new: &File,
        removed: bool,
        bytes: u64,
    ) -> Result<Option<Box<Records>>, Error> {
        let slot = &self.slots[k];
        let meta = new.metadata().map_err(|error| failed(&slot.partition.0, 0, error))?;
        let knows = |known: &Identity| known.is_inode(&meta);
        let mut others = self.slots.iter().filter(|other| other.partition != slot.partition);
        if others.any(|other| other.identity().is_some_and(|known| knows(&known)))
            || self.known.iter().any(|known| knows(&known.identity))
            || self.is_generation(k)
            || slot.identity().is_some_and(|known| {
                self.source.packed(&slot.path, &known, |_| true, &self.unpacked, &self.cx).is_some()
            })
        {
            return Ok(None);
        }
        let Some(wanted) = slot.position.clone() else {
            // Nothing of it is known to who comes later.
            let begin = removed.then(|| lost::beginning(&slot.path, &self.cx)).flatten();
            return Ok(begin.map(|begin| lost::between(slot.partition.clone(), Position::offset(0), begin)));
        };
        if !removed && !self.source.holds_again(&slot.path, &wanted, new)? {
            return Ok(None);
        }
        lost::moved(&self.source, &slot.path, new, Lost { wanted, reason: REPLACED, bytes }).map(Some)
    }

    /// Whether a file is read under its own path, or was read to its end.
    pub(super) fn is_read(&self, path: &Path, meta: &Metadata) -> bool {
        let is = |known: &Identity| tail::open(path, &self.cx).is_ok_and(|file| known.is(&file).unwrap_or(false));
        let read = |known: &Known| known.identity.is_inode(meta) && known.at >= meta.len() && is(&known.identity);
        self.paths.contains(path) || self.known.iter().any(read)
    }
}
