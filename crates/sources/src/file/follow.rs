//! Files that grow: what is appended, new files that match, and rotation.
//!
//! A rotated file is read to its end under the name it had; then an interval without records leads from that end to
//! the beginning of the file that took its place. Where the pattern matches the new name of the old file as well, an
//! interval without records says of that name that it was read already. That comes first, so that no crash in between
//! makes it be read again. Files that came and went between two looks are read in between.
//!
//! A file that was copied and truncated (`copytruncate`) goes on in its copy, which from then on is what a renamed file
//! is. `copies.rs` says what a copy is.
use super::{
    FileSource,
    content::{TOO_MANY_FILES, failed},
    copies::Copied,
    identity::Identity,
    lost::{self, Lost},
    names::{name, partition},
    rotation,
    slot::Slot,
    split::Caps,
    tail::{self, Opened, Tail, position},
};
use crate::ahead::{Step, Work};
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{Context, Error, Records, batch::Warning, records::Layout};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// After so many batches without a pause, new files are looked for.
const LOOK_EVERY: u32 = 64;
/// For so many intervals a replaced file is still looked at: its writer may not have opened the new one yet.
const GRACE: u32 = 5;
/// How many files that were read under another name are remembered.
const REMEMBERED: usize = 4096;
/// How many files are held open; the others are opened when they have changed.
const OPEN: usize = 64;

#[derive(Debug)]
pub(super) struct Follow {
    pub(super) source: FileSource,
    pub(super) cx: Context,
    caps: Caps,
    positions: Positions,
    pub(super) slots: Vec<Slot>,
    pub(super) paths: BTreeSet<PathBuf>,
    /// Whose turn it is.
    next: usize,
    turns: u64,
    busy: u32,
    /// How far files were read, under whatever name.
    known: VecDeque<(Identity, u64)>,
    /// How many files may be open.
    open: usize,
    /// By code and subject, those that were given once.
    warned: BTreeMap<String, Option<Warning>>,
}

impl Follow {
    pub(super) fn new(source: FileSource, cx: &Context, positions: Positions) -> Result<Self, Error> {
        let (files, warnings) = source.some_matches()?;
        // Whatever is wrong with the first file is said at once; one that is not there (yet, or any more) is waited for.
        if let Err(error) = tail::open(&files[0], cx)
            && error.code() != "file-missing"
        {
            return Err(error);
        }
        let mut known = VecDeque::new();
        for (partition, position) in &positions {
            if let Some(identity) = tail::identity(position, &partition.0)? {
                known.push_back((identity, position.as_offset().unwrap_or(0)));
            }
        }
        let mut follow = Self {
            caps: tail::caps(cx),
            known,
            source,
            cx: cx.clone(),
            positions,
            slots: Vec::new(),
            paths: BTreeSet::new(),
            next: 0,
            turns: 0,
            busy: 0,
            open: OPEN,
            warned: BTreeMap::new(),
        };
        follow.warn(warnings);
        follow.add(files);
        Ok(follow)
    }

    fn warn(&mut self, warnings: Vec<Warning>) {
        for warning in warnings {
            self.warned.entry(warning.subject.clone()).or_insert(Some(warning));
        }
    }

    fn add(&mut self, files: Vec<PathBuf>) -> bool {
        let before = self.slots.len();
        for path in files {
            if self.paths.insert(path.clone()) {
                let position = self.positions.remove(&partition(&path));
                self.slots.push(Slot::new(path, position));
            }
        }
        self.slots.len() > before
    }

    /// Looks for new files; true if there are any.
    fn discover(&mut self) -> Result<bool, Error> {
        self.busy = 0;
        if !self.source.is_pattern() {
            return Ok(false);
        }
        let (files, warnings) = self.source.matches()?;
        self.warn(warnings);
        Ok(self.add(files))
    }

    /// The next records of one path.
    fn visit(&mut self, k: usize) -> Result<Option<Box<Records>>, Error> {
        if self.slots[k].tail.is_none() {
            if self.slots[k].is_at_rest() {
                return Ok(None);
            }
            if let Some(records) = self.open_in_turn(k)? {
                self.slots[k].reached(records.to.clone());
                return Ok(Some(records));
            }
        }
        self.turns += 1;
        self.slots[k].used = self.turns;
        let partition = self.slots[k].partition.clone();
        let failed = |error| failed(&partition.0, 0, error);
        let grace = Duration::from(self.source.poll_interval) * GRACE;
        loop {
            let replaced = self.slots[k].is_replaced(grace).map_err(failed)?;
            let slot = &mut self.slots[k];
            let Some(tail) = &mut slot.tail else { return Ok(None) };
            let next = tail.next()?;
            // Looked at after it was read: what was read of a file that was written anew meanwhile is no record.
            if let Some(changed) = tail.changed().map_err(failed)? {
                let from = slot.position.clone().unwrap_or(Position::offset(0));
                let records = match self.to_copy(k).map_err(failed)? {
                    Some(records) => records,
                    // As `copytruncate` does, whose copy may lie anywhere. What came since the last look can't be known.
                    None if next.is_none() && changed.was_read && changed.truncated => {
                        let begin = position(0, Identity::of(self.file_of(k)?, 0).map_err(failed)?);
                        lost::passed_over(partition, from, begin, 0, &changed.reason)
                    }
                    None => {
                        let slot = &self.slots[k];
                        let lost = Lost { wanted: from, reason: &changed.reason };
                        lost::moved(&self.source, &slot.path, self.file_of(k)?, lost)?
                    }
                };
                let slot = &mut self.slots[k];
                slot.tail = None;
                slot.reached(records.to.clone());
                return Ok(Some(records));
            }
            if let Some(records) = next {
                slot.reached(records.to.clone());
                return Ok(Some(records));
            }
            match (replaced, tail.finite) {
                (false, _) => return Ok(None),
                // Whatever was appended since, and a last line without a line break.
                (true, false) => tail.finite = true,
                (true, true) => {
                    self.finish(k).map_err(failed)?;
                    self.discover()?;
                    return Ok(None);
                }
            }
        }
    }

    fn file_of(&self, k: usize) -> Result<&File, Error> {
        let tail = self.slots[k].tail.as_ref();
        tail.map(|tail| tail.file()).ok_or_else(|| Error::fatal("internal", "a file that is not open was read"))
    }

    /// The file that is open under a path was replaced and is read to its end.
    fn finish(&mut self, k: usize) -> io::Result<()> {
        let slot = &mut self.slots[k];
        let Some(tail) = slot.tail.take() else { return Ok(()) };
        slot.left(tail.file())?;
        self.next = k + 1; // all others first
        if tail.file().metadata()?.nlink() > 0 {
            self.known.push_back((tail.identity, tail.at));
            if self.known.len() > REMEMBERED {
                self.known.pop_front();
            }
        }
        Ok(())
    }

    /// Opens the file under a path, with no more files open than may be.
    fn open_in_turn(&mut self, k: usize) -> Result<Option<Box<Records>>, Error> {
        while self.slots.iter().filter(|slot| slot.tail.is_some()).count() >= self.open && self.close_one() {}
        loop {
            match self.open(k) {
                Err(error) if error.code() == TOO_MANY_FILES && self.close_one() => {
                    self.open = (self.open / 2).max(1);
                }
                opened => return opened,
            }
        }
    }

    /// Closes the file that was not read for the longest time, of those that are not about to go; true if there is one.
    fn close_one(&mut self) -> bool {
        let open = self.slots.iter_mut().filter(|slot| slot.tail.is_some());
        match open.min_by_key(|slot| (slot.replaced.is_some(), slot.used)) {
            Some(slot) => slot.close(),
            None => return false,
        }
        true
    }

    /// Opens the file under a path, or says how to get to its beginning first.
    fn open(&mut self, k: usize) -> Result<Option<Box<Records>>, Error> {
        let slot = &self.slots[k];
        let file = match tail::open(&slot.path, &self.cx) {
            Err(error) if error.code() == "file-missing" => {
                let path = slot.path.clone();
                if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink()) {
                    let name = name(&path);
                    let message = format!("{name} is a link to nothing: it is read once something is there");
                    self.warn(vec![Warning { code: "dangling-link", subject: name, message, records: 0 }]);
                }
                // It was renamed, and nothing has taken its place yet.
                let slot = &self.slots[k];
                match slot.known.and_then(|known| rotation::find(&slot.path, &known, &self.cx)) {
                    Some(path) if slot.rotated.is_none() => tail::open(&path, &self.cx)?,
                    _ => return Ok(None),
                }
            }
            file => file?,
        };
        let slot = &self.slots[k];
        let partition = slot.partition.clone();
        let failed = |error| failed(&partition.0, 0, error);
        if slot.rotated.is_some() || slot.position.is_none() || slot.copy.is_some() {
            let between = match &slot.rotated {
                Some(left) => {
                    let followed = |path: &Path| self.paths.contains(path);
                    left.successor(&slot.path, &file, followed, &self.cx).map_err(failed)?
                }
                None => None,
            };
            let file = between.as_ref().unwrap_or(&file);
            let Some(identity) = Identity::of(file, 0).map_err(failed)? else { return Ok(None) };
            let Some(begin) = self.begin(k, file).map_err(failed)? else { return Ok(None) };
            let slot = &mut self.slots[k];
            if slot.rotated.take().is_some() || begin.is_some() {
                let (identity, begin) = begin.unwrap_or((identity, 0));
                let from = slot.position.clone().unwrap_or(Position::offset(0));
                let mut records = Records::empty(partition, from, Layout::Json);
                records.to = position(begin, Some(identity));
                return Ok(Some(Box::new(records)));
            }
        }
        let renamed = self.slots[k].renamed(&file, &self.cx).map_err(failed)?;
        if let (None, Some(known)) = (&renamed, self.slots[k].known)
            && !known.is(&file).map_err(failed)?
            && let Some(records) = self.to_copy(k).map_err(failed)?
        {
            return Ok(Some(records));
        }
        let file = renamed.unwrap_or(file);
        let slot = &mut self.slots[k];
        match Tail::open(&self.source, self.caps, &slot.path, file, slot.position.clone())? {
            Opened::Ready(mut tail) => {
                let warning = tail.warning.take();
                slot.tail = Some(tail);
                self.warn(warning.into_iter().collect());
            }
            Opened::Moved(records) => return Ok(Some(records)),
            Opened::Empty => {}
        }
        Ok(None)
    }

    /// How far a file was read under another name, if it was; none at all while it is still being read under it.
    #[allow(clippy::option_option, reason = "wait, from its beginning, or from a place")]
    fn begin(&mut self, k: usize, file: &File) -> io::Result<Option<Option<(Identity, u64)>>> {
        if !self.source.is_pattern() {
            return Ok(Some(None));
        }
        let meta = file.metadata()?;
        if self.is_read_elsewhere(k, &meta) {
            return Ok(None);
        }
        match self.copied(k, file, &meta)? {
            Copied::Wait => return Ok(None),
            Copied::Known => return Ok(Some(Identity::of(file, meta.len())?.map(|known| (known, meta.len())))),
            Copied::No if self.slots[k].copy.take().is_some() && self.slots[k].position.is_some() => {
                return Ok(Some(None));
            }
            Copied::No => {}
        }
        for (known, at) in self.known.iter().rev() {
            if known.is_inode(&meta) && meta.len() >= *at && known.is(file)? {
                return Ok(Some(Some((*known, *at))));
            }
        }
        Ok(Some(None))
    }
}

impl Work for Follow {
    fn step(&mut self) -> Result<Step, Error> {
        self.busy += 1;
        if self.busy > LOOK_EVERY {
            self.discover()?;
        }
        loop {
            let first = self.next;
            for turn in 0..self.slots.len() {
                let k = (first + turn) % self.slots.len();
                if let Some(records) = self.visit(k)? {
                    self.next = k + 1;
                    return Ok(Step::Records(records));
                }
            }
            if !self.discover()? {
                return Ok(Step::Idle(self.source.poll_interval.into()));
            }
        }
    }

    fn lag(&self) -> Option<u64> {
        self.slots.iter().map(Slot::lag).sum()
    }

    fn warnings(&mut self) -> Vec<Warning> {
        self.warned.values_mut().filter_map(Option::take).collect()
    }
}
