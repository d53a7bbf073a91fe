//! Files that were compressed after they were found: `app.log` goes on in `app.log.gz`, `app.log.1` in `app.log.2.gz`.
//!
//! What such a file holds is what the one held that it was made of, so a place in one is that place in the other. It is known
//! by its name and by what was read: the first bytes and those before the position. While the other is there and is read, the
//! compressed one is being written, or holds nothing more: it is left out, which is said. One that is not read stands for none.
use super::{
    Compression, FileSource,
    content::Content,
    follow::Follow,
    identity::Identity,
    names::name,
    rotation::{self, is_older_name},
    slot::Slot,
    tail::{self, BLOCK},
};
use dataflow_sdk::{Context, Error, batch::Warning};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

impl FileSource {
    /// The name of the file that a compressed one was made of.
    fn unpacked(&self, there: &Path) -> Option<PathBuf> {
        (self.compression.of(there) != Compression::None).then(|| there.with_extension(""))
    }

    /// Whether `there` is, by its name, `path` or an older generation of it, compressed.
    pub(super) fn is_packed_name(&self, path: &Path, there: &Path) -> bool {
        let is = |name: &PathBuf| name == path || is_older_name(path, name);
        self.compression.of(path) == Compression::None && self.unpacked(there).as_ref().is_some_and(is)
    }

    /// The name that says how the file is compressed that lies `there` and is read as `path`: its own, unless it was renamed as
    /// it is.
    pub(super) fn named<'a>(&self, path: &'a Path, there: &'a Path) -> &'a Path {
        if self.is_packed_name(path, there) { there } else { path }
    }

    /// Whether a compressed file holds what is known of one that is not compressed. Of one that was empty nothing is known.
    pub(super) fn is_packed(&self, known: &Identity, there: &Path, file: &File) -> Result<bool, Error> {
        if known.is_of_nothing() {
            return Ok(false);
        }
        let clone = file.try_clone().map_err(|error| super::content::failed(&self.path, 0, error))?;
        let Ok(mut content) = Content::new(there, clone, self.compression, 0)? else { return Ok(false) };
        let (mut bytes, mut begin) = (Vec::new(), 0);
        for piece in known.pieces() {
            while begin + (bytes.len() as u64) < piece.end() {
                let before = (piece.begin() - begin).min(bytes.len() as u64);
                bytes.drain(..before as usize);
                begin += before;
                if content.append(&mut bytes, BLOCK)? == 0 {
                    return Ok(false);
                }
            }
            if !piece.is(&bytes[(piece.begin() - begin) as usize..(piece.end() - begin) as usize]) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The newest compressed file beside `path` that holds what is known of the file that was there.
    pub(super) fn packed(&self, path: &Path, known: &Identity, cx: &Context) -> Option<(PathBuf, File)> {
        let there = fs::read_dir(rotation::folder(path)).ok()?.flatten();
        let there = there.map(|entry| path.with_file_name(entry.file_name()));
        let found = there.filter(|there| self.is_packed_name(path, there)).filter_map(|there| {
            // One that vanishes meanwhile, or can't be read, is not the one.
            let file = tail::open(&there, cx).ok()?;
            let written = file.metadata().ok()?.modified().ok()?;
            self.is_packed(known, &there, &file).unwrap_or(false).then_some((written, there, file))
        });
        found.max_by_key(|(written, ..)| *written).map(|(_, there, file)| (there, file))
    }

    /// Which of several files, and whether anything was read of them, a compressed one was made of: one that begins with all
    /// that it holds. What only has a newer generation's name must have been read.
    pub(super) fn original<'a>(
        &self,
        mut files: impl Iterator<Item = (&'a Path, bool)>,
        there: &Path,
        cx: &Context,
    ) -> Option<PathBuf> {
        let own = self.unpacked(there);
        let may_be = |path: &Path, read: bool| own.as_deref() == Some(path) || read && self.is_packed_name(path, there);
        let found = files.find(|(path, read)| may_be(path, *read) && self.begins_packed(path, there, cx));
        found.map(|(path, _)| path.to_owned())
    }

    fn begins_packed(&self, path: &Path, there: &Path, cx: &Context) -> bool {
        let Ok(original) = tail::open(path, cx) else { return false };
        let Some(Ok(mut content)) =
            tail::open(there, cx).ok().and_then(|file| Content::new(there, file, self.compression, 0).ok())
        else {
            return false;
        };
        let (mut plain, mut packed) = (Vec::new(), Vec::new());
        loop {
            packed.clear();
            match content.append(&mut packed, BLOCK) {
                Ok(0) => return true,
                // It is being written.
                Err(error) => return error.code() == "file-cut-short",
                Ok(count) => {
                    plain.resize(count, 0);
                    if (&original).read_exact(&mut plain).is_err() || plain != packed {
                        return false;
                    }
                }
            }
        }
    }
}

/// What a compressed file is to those that are followed or were.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// A file of its own.
    No,
    /// One that is gone goes on in it in a moment.
    Wait,
    /// A copy of this one, which is read.
    Copy(PathBuf),
    /// One that was read so far.
    Known(u64),
}

impl Follow {
    pub(super) fn is_packed(&self, k: usize, file: &File) -> Packed {
        let own = &self.slots[k].path;
        let of = |path: &Path| self.source.is_packed_name(path, own);
        let is = |known: &Identity| self.source.is_packed(known, own, file).unwrap_or(false);
        let begins = |there: &Path| self.source.begins_packed(there, own, &self.cx);
        let reads = |slot: &Slot, known: &Identity| {
            slot.rotated.is_none() && slot.identity().is_some_and(|now| now.is_same_inode(known))
        };
        for slot in self.slots.iter().filter(|slot| of(&slot.path) && slot.rotated.is_none()) {
            let Some(known) = slot.identity().filter(|known| !known.given_up && is(known)) else { continue };
            match rotation::find(&slot.path, &known, &self.cx) {
                None => return Packed::Wait,
                Some(there) if begins(&there) => return Packed::Copy(there),
                Some(_) => {} // the beginning is the same, no more
            }
        }
        for known in self.known.iter().rev().filter(|known| of(&known.path) && is(&known.identity)) {
            match rotation::find(&known.path, &known.identity, &self.cx) {
                Some(there) if self.paths.contains(&known.path) => match begins(&there) {
                    true if self.slots.iter().any(|slot| reads(slot, &known.identity)) => return Packed::Copy(there),
                    true => return Packed::Known(known.at),
                    false => {}
                },
                _ => return Packed::Known(known.at),
            }
        }
        let files = self.slots.iter().map(|slot| (slot.path.as_path(), slot.at() > 0));
        self.source.original(files, own, &self.cx).map_or(Packed::No, Packed::Copy)
    }
}

/// Says that a compressed file is not read, as another one is.
pub(super) fn left_out(there: &Path, of: &Path) -> Warning {
    let (subject, of) = (name(there), name(of));
    let message = format!("{subject} is not read: {of}, which is read, begins with all that it holds");
    Warning { code: "compressed-copy", subject, message, records: 0 }
}
