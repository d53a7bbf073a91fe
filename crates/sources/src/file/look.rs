//! Looks at folders whose files are renamed meanwhile.
//!
//! Names can't be listed and opened at one moment: a file that is renamed in between is seen nowhere, or twice. So what is decided
//! about a path counts only if its folder is still the one that was looked at when files were last searched for; otherwise the
//! folder is looked at again, and it is decided anew. While a folder never rests, nothing is decided about its paths, and
//! what is open is read on.
use super::{
    follow::Follow,
    opening::has_rested,
    rotation::{folder, seats},
    slot::Slot,
};
use dataflow_sdk::Error;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::{self, Metadata},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirEntryExt, MetadataExt},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How often a folder is looked at again at one check, with a pause in between.
pub(super) const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(2);
/// More than clocks of file systems tick: what is done to a folder later is seen by its times.
const TICK: Duration = Duration::from_millis(100);

/// By folder, what lay in it.
pub(super) type Looks = BTreeMap<PathBuf, Look>;

/// The names in a folder that generations of the files there may have, and the files that had them.
#[derive(Debug)]
pub(super) struct Look {
    /// The times of a folder that had rested: as long as it has these, nothing was renamed in it.
    rested: Option<[(i64, i64); 2]>,
    stems: BTreeSet<Vec<u8>>,
    files: BTreeMap<OsString, u64>,
}

impl Look {
    /// A folder that is not there, or can't be looked at, holds nothing.
    fn new(folder: &Path, stems: BTreeSet<Vec<u8>>) -> Self {
        let meta = fs::metadata(folder).ok().filter(|meta| has_rested(meta, TICK));
        let there = fs::read_dir(folder).into_iter().flatten().flatten();
        let files = there
            .map(|entry| (entry.file_name(), entry.ino()))
            .filter(|(name, _)| stems.contains(stem(name.as_bytes())))
            .collect();
        Self { rested: meta.as_ref().map(times), stems, files }
    }

    /// Whether all lies in the folder as it did.
    fn holds(&self, folder: &Path) -> bool {
        self.is_at_rest(folder) || Self::new(folder, self.stems.clone()).files == self.files
    }

    fn is_at_rest(&self, folder: &Path) -> bool {
        self.rested.is_some() && fs::metadata(folder).is_ok_and(|meta| self.rested == Some(times(&meta)))
    }
}

/// What all generations of a file have in common: the beginning of their names, before what may be a number or a date.
fn stem(name: &[u8]) -> &[u8] {
    let end = name.iter().position(|byte| byte.is_ascii_digit() || b"._-:+".contains(byte));
    &name[..end.unwrap_or(name.len())]
}

fn times(meta: &Metadata) -> [(i64, i64); 2] {
    [(meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec())]
}

impl Follow {
    /// Looks at all folders of files that are followed.
    pub(super) fn look(&mut self) {
        let mut stems: BTreeMap<PathBuf, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for seat in self.slots.iter().flat_map(|slot| seats(&slot.path)) {
            let stem = stem(seat.file_name().unwrap_or_default().as_bytes());
            let known = match stems.get_mut(folder(&seat)) {
                Some(known) => known,
                None => stems.entry(folder(&seat).to_owned()).or_default(),
            };
            if !known.contains(stem) {
                known.insert(stem.to_owned());
            }
        }
        let mut before = std::mem::take(&mut self.looks);
        for (folder, stems) in stems {
            let rests = before.remove(&folder).filter(|look| look.stems == stems && look.is_at_rest(&folder));
            let look = rests.unwrap_or_else(|| Look::new(&folder, stems));
            self.looks.insert(folder, look);
        }
    }

    /// Whether all that may be a generation of a file lies where it did at the last look.
    pub(super) fn is_settled(&self, slot: &Slot) -> bool {
        let is = |seat: &PathBuf| self.looks.get(folder(seat)).is_some_and(|look| look.holds(folder(seat)));
        seats(&slot.path).iter().all(is)
    }

    /// What is decided about a path while no generation is renamed; nothing, where that never is so.
    pub(super) fn decide<T>(
        &mut self,
        k: usize,
        decide: impl Fn(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        loop {
            let (before, was_open) = (self.slots[k].state(), self.slots[k].tail.is_some());
            let decided = decide(self);
            if self.is_settled(&self.slots[k]) {
                return decided.map(Some);
            }
            self.slots[k].undo(before, was_open);
            if !self.may_try_again() {
                return Ok(None);
            }
            self.look_again()?;
        }
    }

    /// Has it said which of the paths after the first so many were found, all as they are at one time.
    pub(super) fn announce_all(&mut self, from: usize) {
        loop {
            for k in from..self.slots.len() {
                self.announce(k);
            }
            if self.slots[from..].iter().all(|slot| self.is_settled(slot)) {
                return;
            }
            for slot in &mut self.slots[from..] {
                if self.found.remove(&slot.partition).is_some() {
                    slot.forget();
                }
            }
            if !self.may_try_again() {
                return;
            }
            self.look();
        }
    }

    /// Whether the folders are looked at once more at this check: after a pause, unless it is the first time.
    fn may_try_again(&mut self) -> bool {
        if self.tries < TRIES {
            thread::sleep(PAUSE);
        }
        self.tries = self.tries.saturating_sub(1);
        self.tries > 0
    }
}
