//! Files that are followed and have more than one name, or a copy.
//!
//! Equal content alone makes no copy: two files with the same content are two files. What was made before another file is no
//! copy of it: an older generation, whatever it holds. One is a copy only if
//! - its name is that of an older generation of a file that is followed (`app.log.1` of `app.log`), and that file begins
//!   with all that it holds: it is not read as long as that is so; or
//! - a file that is followed was truncated, written anew or compressed, and the other, written no earlier, holds what was
//!   read of it. Then what was not read yet is read from the copy.
use super::{
    follow::Follow,
    identity::Identity,
    lost::between,
    names::name,
    piece::{PIECE, read_before},
    rotation::{self, is_rotated_name, rotated},
    slot::Slot,
    tail::{self, position},
};
use dataflow_core::position::Position;
use dataflow_sdk::{Records, batch::Warning};
use std::{
    fs::{self, File, Metadata},
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What a file is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// A file of its own.
    No,
    /// A copy, of which it can't be told yet what was read.
    Wait,
    /// A copy of what was read.
    Known,
}

/// What a file and its copy were when they were compared, and equal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared {
    /// Device and inode of the original and of the copy.
    files: [(u64, u64); 2],
    /// How long the copy was.
    length: u64,
    /// When it was written.
    written: (i64, i64),
}

impl Compared {
    fn new(original: &Metadata, copy: &Metadata) -> Self {
        let files = [original, copy].map(|meta| (meta.dev(), meta.ino()));
        Self { files, length: copy.len(), written: written(copy) }
    }

    /// Whether these are the same files, and the copy may have grown.
    fn is_of(&self, original: &Metadata, copy: &Metadata) -> bool {
        let now = Self::new(original, copy);
        self.files == now.files && self.length <= now.length
    }
}

fn written(meta: &Metadata) -> (i64, i64) {
    (meta.mtime(), meta.mtime_nsec())
}

impl Follow {
    /// Whether a file has another name (a link, or where its copy was found), under which it is read.
    pub(super) fn is_read_elsewhere(&self, k: usize, meta: &Metadata) -> bool {
        let own = &self.slots[k];
        let may_be_linked = meta.nlink() > 1 || fs::symlink_metadata(&own.path).is_ok_and(|meta| meta.is_symlink());
        let same = |there: Metadata| (there.dev(), there.ino()) == (meta.dev(), meta.ino());
        let is_known = |slot: &Slot| slot.identity().is_some_and(|known| known.is_inode(meta));
        let is_own = is_known(own);
        let mut others = self.slots.iter().enumerate().filter(|(other, _)| *other != k);
        others.any(|(_, slot)| {
            // Of two that found it and did not begin, one begins.
            let first = slot.is_begun() || !is_own || slot.partition < own.partition;
            // Or will be, once the file before it is.
            let next = may_be_linked && !own.is_begun() && !is_own && slot.position.is_some();
            slot.rotated.is_none() && is_known(slot) && first || next && fs::metadata(&slot.path).is_ok_and(same)
        })
    }

    /// Whether the file that was read under a path lies under another one now, as it is or compressed, of whose position it is not
    /// part yet. That comes first: once this path has left it, nothing else tells that it was read.
    pub(super) fn is_left_to_another(&self, own: usize) -> bool {
        let heir = |k: &usize| {
            let left = self.slots[*k].identity()?;
            let knows = |slot: &Slot| slot.identity().is_some_and(|known| known.is_same_inode(&left));
            if self.slots.iter().enumerate().any(|(k, slot)| k != own && slot.rotated.is_none() && knows(slot)) {
                return None;
            }
            let leads_there = |slot: &Slot| fs::metadata(&slot.path).is_ok_and(|meta| left.is_inode(&meta));
            let heir = self.slots.iter().position(|slot| slot.copy.is_none() && !knows(slot) && leads_there(slot));
            heir.or_else(|| self.packed_heir(&self.slots[*k], &left))
        };
        let mut heirs = std::iter::successors(heir(&own), heir).take(self.slots.len()).peekable();
        // Where files changed their names in a circle, one goes first.
        heirs.peek().is_some() && !heirs.any(|heir| heir == own)
    }

    /// The path of what a file that is nowhere any more became by compressing it, if that is not known yet.
    fn packed_heir(&self, slot: &Slot, left: &Identity) -> Option<usize> {
        let goes_on = |heir: &Slot| heir.identity().is_some_and(|now| self.goes_on(left, &heir.path, &now));
        let knows = |heir: &Slot| self.source.is_packed_name(&slot.path, &heir.path) && goes_on(heir);
        if self.slots.iter().any(knows) || rotation::find(&slot.path, left, &self.cx).is_some() {
            return None;
        }
        let (there, _) = self.compressed(&slot.path, left)?;
        self.slots.iter().position(|heir| heir.path == there)
    }

    /// Whether a path has the name of an older generation of another one that is followed.
    pub(super) fn is_generation(&self, k: usize) -> bool {
        self.slots.iter().any(|slot| is_rotated_name(&slot.path, &self.slots[k].path))
    }

    /// What a file is to the others: a copy of one that is followed holds nothing new.
    pub(super) fn copied(&mut self, k: usize, file: &File, meta: &Metadata) -> io::Result<Copied> {
        for other in 0..self.slots.len() {
            let (slot, own) = (&self.slots[other], &self.slots[k]);
            let Some(known) = slot.identity() else { continue };
            if other == k || !is_rotated_name(&slot.path, &own.path) {
                continue;
            }
            // It was truncated, and maybe renamed since: it goes on in its copy in a moment.
            if !own.is_begun() && known.is_copied(file)? && self.was_truncated(slot, &known)? {
                return Ok(Copied::Wait);
            }
            let Ok(original) = tail::open(&slot.path, &self.cx) else { continue };
            // Otherwise the one before it is still being read, and it comes next.
            let of = original.metadata()?;
            let begun = known.is_inode(&of);
            if was_made_before(meta, &of) || begun && !known.is_in(&original)? {
                continue;
            }
            let compared = own.copy.filter(|compared| compared.is_of(&of, meta));
            // It was the same at the last look: nobody copies any more.
            let done =
                compared.is_some_and(|compared| (compared.length, compared.written) == (meta.len(), written(meta)));
            if done && !(begun && slot.at() >= meta.len() && own.at() < meta.len()) {
                return Ok(Copied::Wait);
            }
            // While it grows only what is new in it is compared; all of it is, once, before it is said to hold nothing new.
            let equal = compared.filter(|_| !done).map_or(0, |compared| compared.length);
            if begins(&original, file, equal, meta.len())? {
                let path = slot.path.clone();
                self.slots[k].copy = Some(Compared::new(&of, meta));
                if done && written(&of) > written(meta) && repeats(file, meta.len()) {
                    self.warn(vec![ambiguous(&self.slots[k].path, &path)]);
                }
                return Ok(if done { Copied::Known } else { Copied::Wait });
            }
        }
        Ok(Copied::No)
    }

    /// Whether the file that is read under a path holds no longer what was read of it, wherever it lies now.
    fn was_truncated(&self, slot: &Slot, known: &Identity) -> io::Result<bool> {
        Ok(match &slot.tail {
            _ if slot.rotated.is_some() => false,
            Some(tail) => !known.is_in(tail.file())?,
            None => rotation::is_beside(&slot.path, known) && rotation::find(&slot.path, known, &self.cx).is_none(),
        })
    }

    /// The interval that leads from a file that holds no longer what was read of it to its copy, if there is one.
    pub(super) fn to_copy(&self, k: usize) -> io::Result<Option<Box<Records>>> {
        let slot = &self.slots[k];
        // Of an open file something may have been seen though nothing was read.
        let known = slot.known.filter(|known| !known.is_of_nothing()).or(slot.identity());
        let (Some(known), Some(from)) = (known, &slot.position) else { return Ok(None) };
        // What was copied and truncated is still there; one that is nowhere was rather compressed.
        let copy = || Ok::<_, io::Error>(self.copy(slot, &known)?.map(|(_, copy)| copy));
        let packed = || {
            let packed = self.compressed(&slot.path, &known);
            packed.map(|(_, file)| Identity::of(&file, file.metadata()?.len())).transpose()
        };
        let copy = match rotation::is_beside(&slot.path, &known) {
            true => match copy()? {
                None => packed()?,
                copy => copy,
            },
            false => match packed()? {
                None => copy()?,
                packed => packed,
            },
        };
        let original = known.original.or(Some(known.inode()));
        let into = |copy: Identity| position(slot.at(), Some(copy.copied_from(original)));
        Ok(copy.map(|copy| between(slot.partition.clone(), from.clone(), into(copy))))
    }

    /// A path goes on from here. Of a file that was copied and truncated, what was known is known of the copy from now on.
    pub(super) fn reached(&mut self, k: usize, position: &Position) {
        let slot = &mut self.slots[k];
        let before = slot.known;
        slot.reached(position.clone());
        if let (Some(before), Some(now)) = (before, slot.known)
            && now.original == Some(before.inode())
            && !now.is_same_inode(&before)
        {
            self.known.retain(|known| !known.identity.is_same_inode(&before));
        }
    }

    /// The same of one that holds again what was read of it, so that only a copy that is not read by its own name tells that it was
    /// truncated since. Where not even that can tell, it is said.
    pub(super) fn unseen_copy(&mut self, k: usize) -> io::Result<Option<Box<Records>>> {
        let slot = &self.slots[k];
        let (Some(known), Ok(original)) = (slot.known, tail::open(&slot.path, &self.cx)) else { return Ok(None) };
        let of = original.metadata()?;
        if known.ended || slot.at() == 0 || !known.is_inode(&of) || !known.is_written(&of) {
            return Ok(None);
        }
        let Some((path, _)) = self.copy(slot, &known)?.filter(|(path, _)| !self.source.may_match(path)) else {
            return Ok(None);
        };
        let Ok(copy) = tail::open(&path, &self.cx) else { return Ok(None) };
        let meta = copy.metadata()?;
        if !begins(&original, &copy, 0, meta.len())? {
            return self.to_copy(k);
        }
        if written(&of) > written(&meta) && repeats(&copy, meta.len()) {
            let warning = ambiguous(&path, &slot.path);
            self.warn(vec![warning]);
        }
        Ok(None)
    }

    /// Where the copy is and what it is known by that holds what was read of a file.
    fn copy(&self, slot: &Slot, known: &Identity) -> io::Result<Option<(PathBuf, Identity)>> {
        let (at, nothing) = (slot.at(), known.is_of_nothing());
        // What was read of it as a file of its own is not read again.
        let is_read = |meta: &Metadata| {
            let mut slots = self.slots.iter().filter(|slot| slot.at() > at);
            slots.any(|slot| slot.identity().is_some_and(|known| known.is_inode(meta)))
        };
        let there = || std::iter::once(slot.path.clone()).chain(rotation::find(&slot.path, known, &self.cx));
        let is_it = |meta: &Metadata| known.is_inode(meta);
        let own = nothing.then(|| there().find_map(|path| fs::metadata(path).ok().filter(is_it))).flatten();
        let mut best: Option<(Metadata, PathBuf, Identity)> = None;
        for path in rotated(&slot.path)? {
            if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && !is_read(&meta)) {
                continue;
            }
            // An entry that vanishes meanwhile is not the one.
            let Ok(file) = tail::open(&path, &self.cx) else { continue };
            let meta = file.metadata()?;
            // Of a file that was empty, the oldest that was made since, before that was truncated. One that matches is read by its
            // own name.
            let since = known.is_before(&meta) && !own.as_ref().is_some_and(|own| later(&meta, own));
            let better = match (&best, nothing) {
                (_, true) if !since || self.source.may_match(&path) => false,
                (None, _) => true,
                (Some((best, ..)), true) => later(best, &meta),
                (Some((best, ..)), false) => later(&meta, best),
            };
            if better && meta.len() >= at && known.is_copied(&file)? {
                best = Some((meta, path, Identity::of(&file, at)?));
            }
        }
        Ok(best.map(|(_, path, copy)| (path, copy)))
    }

    /// What a file became by compressing it, unless that is read as what another one became.
    pub(super) fn compressed(&self, path: &Path, known: &Identity) -> Option<(PathBuf, File)> {
        let is_free = |meta: &Metadata| {
            let mut others = self.slots.iter().filter(|slot| slot.is_begun()).filter_map(Slot::identity);
            !others.any(|own| own.is_inode(meta) && own.original != Some(known.inode()))
        };
        let packed = || self.source.packed(path, known, is_free, &self.unpacked, &self.cx);
        (!known.is_over()).then(packed).flatten()
    }
}

fn later(a: &Metadata, b: &Metadata) -> bool {
    written(a) > written(b)
}

/// Whether all lines at the beginning of a file of this length are the same.
pub(super) fn repeats(file: &File, length: u64) -> bool {
    let head = read_before(file, length.min(PIECE as u64)).ok().flatten().unwrap_or_default();
    let mut lines = head.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let first = lines.next();
    lines.all(|line| Some(line) == first)
}

/// Says that a file is not read whose lines tell nothing.
fn ambiguous(copy: &Path, of: &Path) -> Warning {
    let (subject, of) = (name(copy), name(of));
    let message = format!(
        "{subject} is not read: {of} begins with its whole content. Because all its lines are the same, it is unknown whether {of} was truncated after it was copied; if so, lines are missing"
    );
    Warning { code: "ambiguous-copy", subject, message, records: 0 }
}

/// Whether a file was made before `other`, where the file system says when: then it is no copy of that.
pub(super) fn was_made_before(file: &Metadata, other: &Metadata) -> bool {
    matches!((file.created(), other.created()), (Ok(file), Ok(other)) if file < other)
}

/// Whether `original` begins with all the `length` bytes of `copy`, of which so many are known to be `equal`.
pub(super) fn begins(original: &File, copy: &File, equal: u64, length: u64) -> io::Result<bool> {
    if original.metadata()?.len() < length {
        return Ok(false);
    }
    let whole = |mut file: File| file.seek(SeekFrom::Start(equal)).map(|_| BufReader::with_capacity(64 << 10, file));
    let (mut original, mut copy) = (whole(original.try_clone()?)?, whole(copy.try_clone()?)?);
    let mut left = length.saturating_sub(equal);
    while left > 0 {
        let (a, b) = (original.fill_buf()?, copy.fill_buf()?);
        let count = a.len().min(b.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
        if count == 0 || a[..count] != b[..count] {
            return Ok(false);
        }
        original.consume(count);
        copy.consume(count);
        left -= count as u64;
    }
    Ok(true)
}
