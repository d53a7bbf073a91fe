//! Files that were compressed after they were found: `app.log` goes on in `app.log.gz`, `app.log.1` in `app.log.2.gz`.
//!
//! What such a file holds is what the one held that it was made of, so a place in one is that place in the other. It is known
//! by its name and by what was read: the first bytes and those before the position. While the other is there and is read, the
//! compressed one is being written, or holds nothing more: it is left out, which is said. One that is not read stands for none.
use super::{
    Compression, FileSource,
    copies::{repeats, was_made_before},
    follow::{Follow, Known},
    identity::{Identity, are_written_together},
    names::name,
    rotation::{self, is_older_generation, is_older_name, is_rotated_name},
    slot::Slot,
    tail,
    unpacked::{Beginning, Holds, Unpacked},
};
use dataflow_sdk::{Context, batch::Warning};
use std::{
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
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
        let is_packed = there != path && rotation::seats(path).iter().any(|seat| self.is_packed_name(seat, there));
        if is_packed { there } else { path }
    }

    /// Whether a compressed file may have been made of one that is known: it holds that, and was made and written later. Of one
    /// that was empty nothing is known.
    pub(super) fn is_packed(&self, known: &Identity, there: &Path, file: &File, unpacked: &Unpacked) -> bool {
        self.holds(known, there, file, unpacked) != Holds::No
    }

    /// The same, and how much.
    fn holds(&self, known: &Identity, there: &Path, file: &File, unpacked: &Unpacked) -> Holds {
        let is_later = |meta: &Metadata| !known.is_made_after(meta) && !known.is_written_after(meta);
        let may_be = !known.is_of_nothing() && file.metadata().is_ok_and(|meta| is_later(&meta));
        if may_be { unpacked.holds(known, there, file, self.compression) } else { Holds::No }
    }

    /// The compressed file beside `path` that holds what is known of the file that was there, and may be taken: of several the
    /// one that has its time, or just its length, or the oldest generation, as it was there when the others were made.
    pub(super) fn packed(
        &self,
        path: &Path,
        known: &Identity,
        may_be: impl Fn(&Metadata) -> bool,
        unpacked: &Unpacked,
        cx: &Context,
    ) -> Option<(PathBuf, File)> {
        let there = rotation::beside(path, |path, there| self.is_packed_name(path, there)).ok()?;
        let found = there.into_iter().filter_map(|there| {
            // One that vanishes meanwhile, or can't be read, is not the one.
            let file = tail::open(&there, cx).ok()?;
            let meta = file.metadata().ok()?;
            let holds = if may_be(&meta) { self.holds(known, &there, &file, unpacked) } else { Holds::No };
            (holds != Holds::No).then(|| ((!known.is_written_with(&meta), holds), there, file))
        });
        found
            .min_by(|(rank, one, _), (other, two, _)| rank.cmp(other).then_with(|| rotation::by_age(one, two)))
            .map(|(_, there, file)| (there, file))
    }

    /// Which of several files, and whether anything was read of them, a compressed one was made of: one that begins with all
    /// that it holds. What only has a newer generation's name must have been read.
    pub(super) fn original<'a>(
        &self,
        mut files: impl Iterator<Item = (&'a Path, bool)>,
        there: &Path,
        unpacked: &Unpacked,
        cx: &Context,
    ) -> Option<PathBuf> {
        let own = self.unpacked(there);
        let may_be = |path: &Path, read: bool| own.as_deref() == Some(path) || read && self.is_packed_name(path, there);
        let found = files.find(|(path, read)| may_be(path, *read) && self.is_copy(path, there, unpacked, cx));
        found.map(|(path, _)| path.to_owned())
    }

    /// Whether the compressed file `there` is a copy of `plain`. Where they are apart by their names, that must fit the times of
    /// both, too.
    fn is_copy(&self, plain: &Path, there: &Path, unpacked: &Unpacked, cx: &Context) -> bool {
        let Some(all) = unpacked.begins(plain, there, self.compression, cx) else { return false };
        let own = self.unpacked(there).unwrap_or_default();
        if own == plain {
            return true;
        }
        let (Ok(of), Ok(packed)) = (fs::metadata(plain), fs::metadata(there)) else { return false };
        let made = packed.created().ok();
        let since = |time: io::Result<SystemTime>| time.ok().zip(made).is_none_or(|(time, made)| time >= made);
        match all {
            _ if was_made_before(&packed, &of) => false,
            Beginning { whole: false, .. } => true,
            // Where all its lines are the same, the content tells nothing: by its name it is another generation.
            Beginning { length, .. }
                if !is_rotated_name(&own, plain)
                    && tail::open(plain, cx).is_ok_and(|plain| repeats(&plain, length)) =>
            {
                false
            }
            // It was not written since, so all of it would have been packed.
            Beginning { length, .. } if length < of.len() => since(of.modified()),
            // The time of the last change is not kept by all that compress.
            _ if since(packed.modified()) => !is_older_generation(plain, &own),
            _ => are_written_together(&packed, &of),
        }
    }
}

/// What a compressed file is to those that are followed or were.
#[derive(Debug)]
pub(super) enum Packed {
    /// A file of its own.
    No,
    /// One that is gone goes on in it in a moment.
    Wait,
    /// A copy of this one, which is read.
    Copy(PathBuf),
    /// One that was read so far.
    Known(Known),
}

impl Follow {
    pub(super) fn is_packed(&self, k: usize, file: &File) -> Packed {
        let own = &self.slots[k].path;
        let of = |path: &Path| self.source.is_packed_name(path, own);
        let is = |known: &Identity| self.source.is_packed(known, own, file, &self.unpacked);
        let is_copy = |there: &Path| self.source.is_copy(there, own, &self.unpacked, &self.cx);
        let reads = |slot: &Slot, known: &Identity| {
            slot.rotated.is_none() && slot.identity().is_some_and(|now| now.is_same_inode(known))
        };
        // Of several that became it rather than another one: the one whose time it has, or the one that was written first.
        let became =
            |known: &Known| self.compressed(&known.path, &known.identity).is_some_and(|(there, _)| there == *own);
        let meta = file.metadata().ok();
        let is_apart = |known: &Known| meta.as_ref().is_some_and(|meta| !known.identity.is_written_with(meta));
        let better = |one: Option<Known>, other: Known| match one {
            Some(one) if one.identity.is_same_inode(&other.identity) => {
                Some(if other.at > one.at { other } else { one })
            }
            Some(one) => {
                let holds = |known: &Known| self.source.holds(&known.identity, own, file, &self.unpacked);
                let rank = |known: &Known| (is_apart(known), holds(known), known.identity.written());
                Some(if became(&other) && rank(&other) < rank(&one) { other } else { one })
            }
            None => became(&other).then_some(other),
        };
        // One file is what one other became, which comes first.
        let (mut copy, mut before) = (None, None::<Known>);
        for slot in self.slots.iter().filter(|slot| of(&slot.path) && slot.rotated.is_none()) {
            let Some(known) = slot.identity().filter(|known| !known.given_up && is(known)) else { continue };
            match rotation::find(&slot.path, &known, &self.cx) {
                None if known.ended => {
                    let ended = Known { path: slot.path.clone(), identity: known, at: slot.at() };
                    before = if self.is_taken(&ended) { before } else { better(before, ended) };
                }
                None => return Packed::Wait,
                Some(there) => copy = copy.or_else(|| is_copy(&there).then_some(there)),
            }
        }
        let known = self.known.iter().rev().filter(|known| of(&known.path) && is(&known.identity));
        for known in known.filter(|known| !self.is_taken(known)) {
            let there = rotation::find(&known.path, &known.identity, &self.cx);
            match there.filter(|_| self.paths.contains(&known.path)) {
                Some(there) if !is_copy(&there) => {} // the beginning is the same, no more
                Some(there) if self.slots.iter().any(|slot| reads(slot, &known.identity)) => {
                    copy = copy.or(Some(there))
                }
                Some(_) => return Packed::Known(known.clone()),
                None => before = better(before, known.clone()),
            }
        }
        if let Some(before) = before {
            return Packed::Known(before);
        }
        let files = self.slots.iter().map(|slot| (slot.path.as_path(), slot.at() > 0));
        copy.or_else(|| self.source.original(files, own, &self.unpacked, &self.cx)).map_or(Packed::No, Packed::Copy)
    }

    /// Whether a file that was read goes on in a compressed one.
    fn is_taken(&self, known: &Known) -> bool {
        let slots = self.slots.iter().filter_map(|slot| Some((&slot.path, slot.identity()?)));
        let mut others = slots.chain(self.known.iter().map(|known| (&known.path, known.identity)));
        others.any(|(path, now)| self.goes_on(&known.identity, path, &now))
    }

    /// Whether what is known of a file goes on in another one, which is read as `path`, by compressing it. What became of
    /// a file that was copied and truncated goes on from what that held before, unless it holds what is known now.
    pub(super) fn goes_on(&self, known: &Identity, path: &Path, now: &Identity) -> bool {
        if now.original != Some(known.inode()) || now.is_same_inode(known) {
            return false;
        }
        let Some(there) = rotation::find(path, now, &self.cx) else { return !known.was_copied() };
        let Ok(file) = tail::open(&there, &self.cx) else { return false };
        match self.source.holds(known, &there, &file, &self.unpacked) {
            _ if self.source.compression.of(&there) == Compression::None => false,
            Holds::All => true,
            Holds::Known => !known.was_copied(),
            Holds::No => false,
        }
    }
}

/// Says that a compressed file is not read, as another one is.
pub(super) fn left_out(there: &Path, of: &Path) -> Warning {
    let (subject, of) = (name(there), name(of));
    let message = format!("{subject} is not read: {of}, which is read, begins with its whole content");
    Warning { code: "compressed-copy", subject, message, records: 0 }
}
