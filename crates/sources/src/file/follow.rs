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
    lost::{self, Gone, Loss, Lost},
    names::{name, partition, path},
    rotation,
    slot::Slot,
    split::Caps,
    tail::{self, Opened, Tail, position},
};
use crate::ahead::{Step, Work};
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{Context, Error, Records, batch::Warning};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File, Metadata},
    io,
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

/// How far a file was read.
#[derive(Debug)]
pub(super) struct Known {
    /// As which it was read.
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    at: u64,
}

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
    /// Files that nothing was read of yet, until it is said.
    found: Positions,
    /// How far files were read, under whatever name.
    pub(super) known: VecDeque<Known>,
    /// How many files may be open.
    open: usize,
    /// By code and subject, those that were given once.
    warned: BTreeMap<String, Option<Warning>>,
}

impl Follow {
    pub(super) fn new(source: FileSource, cx: &Context, positions: Positions) -> Result<Self, Error> {
        let positions = lost::distinct(&positions);
        let (files, warnings) = match source.some_matches() {
            Err(error) if lost::is_nothing(&error) && source.has_read(&positions) => {
                let waited_for = if source.is_pattern() { Vec::new() } else { vec![PathBuf::from(&source.path)] };
                (waited_for, Vec::new())
            }
            matches => matches?,
        };
        // Whatever is wrong with the first file is said at once; one that is not there (yet, or any more) is waited for.
        if let Some(first) = files.first()
            && let Err(error) = tail::open(first, cx)
            && error.code() != "file-missing"
        {
            return Err(error);
        }
        let mut known = VecDeque::new();
        for (partition, position) in &positions {
            if let Some(identity) = tail::identity(position, &partition.0)?
                && let Some(at) = position.as_offset().filter(|at| *at > 0)
            {
                known.push_back(Known { path: path(&partition.0), identity, at });
            }
        }
        let mut follow = Self {
            caps: tail::caps(cx),
            known,
            found: Positions::new(),
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
        // What was begun is read to its end, whatever has become of its name.
        let begun: Vec<PathBuf> = follow.source.reading(&follow.positions).map(|(path, _)| path).collect();
        follow.add(files);
        follow.add(begun);
        // What is lost is said first.
        follow.next = follow.slots.iter().position(|slot| slot.gone(cx).is_some()).unwrap_or(0);
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
        for k in before..self.slots.len() {
            self.announce(k);
        }
        self.slots.len() > before
    }

    /// Has it said that a file was found, so that it is known if it goes before anything of it is read.
    fn announce(&mut self, k: usize) {
        if self.slots[k].position.is_some() || !self.source.is_pattern() {
            return;
        }
        let Ok(meta) = fs::metadata(&self.slots[k].path) else { return };
        let is_known =
            self.is_read_elsewhere(k, &meta) || self.known.iter().any(|known| known.identity.is_inode(&meta));
        let path = &self.slots[k].path;
        let is_packed = || tail::open(path, &self.cx).is_ok_and(|file| self.is_packed(k, &file).0 != Copied::No);
        if !is_known
            && !is_packed()
            && let Some(begin) = lost::beginning(&self.slots[k].path, &self.cx)
        {
            self.found.insert(self.slots[k].partition.clone(), begin.clone());
            self.slots[k].reached(begin);
        }
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
                        let begin = Identity::of(self.file_of(k)?, 0).map_err(failed)?;
                        let begin = position(0, begin.map(|known| known.copied_from(Some(known.inode()))));
                        let loss = Loss { records: 0, bytes: 0, reason: &changed.reason };
                        lost::passed_over(partition, from, begin, loss)
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
        slot.left(tail.file(), &tail.identity)?;
        self.next = k + 1; // all others first
        self.known.push_back(Known { path: slot.path.clone(), identity: tail.identity, at: tail.at });
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
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
        let (there, file) = match tail::open(&slot.path, &self.cx) {
            Err(error) if error.code() == "file-missing" => {
                let path = slot.path.clone();
                let is_link = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink());
                if is_link {
                    let name = name(&path);
                    let message = format!("{name} is a link to nothing: it is read once something is there");
                    self.warn(vec![Warning { code: "dangling-link", subject: name, message, records: 0 }]);
                }
                // It was renamed, and nothing has taken its place yet.
                let slot = &self.slots[k];
                match slot.known.and_then(|known| rotation::find(&slot.path, &known, &self.cx)) {
                    _ if slot.rotated.is_some() => return Ok(None),
                    Some(path) => {
                        let file = tail::open(&path, &self.cx)?;
                        (path, file)
                    }
                    None if is_link => return Ok(None), // what it leads to may be elsewhere
                    None => return self.removed(k),
                }
            }
            file => (slot.path.clone(), file?),
        };
        let slot = &self.slots[k];
        let partition = slot.partition.clone();
        let failed = |error| failed(&partition.0, 0, error);
        if slot.rotated.is_none() && slot.is_passed_over(&file, &self.cx).map_err(failed)? {
            return self.removed(k);
        }
        let begins = slot.begins(&file, self.source.is_pattern(), &self.cx).map_err(failed)?;
        let over = begins && slot.is_begun();
        if slot.rotated.is_some() || slot.copy.is_some() || begins {
            let (between, original) = match &slot.rotated {
                Some(left) => {
                    let is_read = |path: &Path, meta: &Metadata| {
                        let is = |known: &Identity| {
                            tail::open(path, &self.cx).is_ok_and(|file| known.is(&file).unwrap_or(false))
                        };
                        let known = |known: &Known| {
                            known.identity.is_inode(meta) && known.at >= meta.len() && is(&known.identity)
                        };
                        self.paths.contains(path) || self.known.iter().any(known)
                    };
                    let between = left.successor(&slot.path, &file, is_read, &self.cx).map_err(failed)?;
                    let original = left.original_after(between.as_ref(), &file).map_err(failed)?;
                    (between, original)
                }
                None => (None, None),
            };
            let file = between.as_ref().unwrap_or(&file);
            let Some(identity) = Identity::of(file, 0).map_err(failed)? else { return Ok(None) };
            let identity = identity.copied_from(original);
            let Some(begin) = self.begin(k, file).map_err(failed)? else { return Ok(None) };
            let slot = &mut self.slots[k];
            if slot.rotated.take().is_some() || begin.is_some() || over {
                let (identity, begin) = begin.unwrap_or((identity, 0));
                let from = slot.position.clone().unwrap_or(Position::offset(0));
                return Ok(Some(lost::between(partition, from, position(begin, Some(identity)))));
            }
        }
        let renamed = self.slots[k].renamed(&file, &self.cx).map_err(failed)?;
        if let (None, Some(known)) = (&renamed, self.slots[k].known)
            && !known.is(&file).map_err(failed)?
            && let Some(records) = self.to_copy(k).map_err(failed)?
        {
            return Ok(Some(records));
        }
        let (there, file) = renamed.unwrap_or((there, file));
        let slot = &mut self.slots[k];
        match Tail::open(&self.source, self.caps, &slot.path, (&there, file), slot.position.clone())? {
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

    /// The file of a path is nowhere any more.
    fn removed(&mut self, k: usize) -> Result<Option<Box<Records>>, Error> {
        let slot = &self.slots[k];
        let (Some(known), Some(from), partition) = (slot.known, slot.position.clone(), slot.partition.clone()) else {
            return Ok(None);
        };
        if let Some(records) = self.to_copy(k).map_err(|error| failed(&partition.0, 0, error))? {
            return Ok(Some(records));
        }
        // What is equal to another file, or ended before, is no loss.
        if known.ended || slot.copy.is_some() {
            return Ok(None);
        }
        if let Some(gone) = Gone::new(&partition, &from) {
            let others: Vec<Gone> = self.slots[k + 1..].iter().filter_map(|slot| slot.gone(&self.cx)).collect();
            return gone.pass(&self.source, &others.iter().collect::<Vec<_>>()).map(Some);
        }
        let message = format!(
            "{partition} was removed after all {} bytes were read that it had when it was last looked at: whether more was \
             written to it is not known",
            known.size
        );
        self.warn(vec![Warning { code: "file-removed", subject: partition.to_string(), message, records: 0 }]);
        let to = position(from.as_offset().unwrap_or(0), Some(known.gone()));
        Ok(Some(lost::between(partition, from, to)))
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
            Copied::No if self.slots[k].copy.take().is_some() && self.slots[k].is_begun() => {
                return Ok(Some(None));
            }
            Copied::No => {}
        }
        for Known { identity, at, .. } in self.known.iter().rev() {
            // A compressed file is shorter than what it holds, and ended.
            if identity.is_inode(&meta) && (identity.ended || meta.len() >= *at) && identity.is(file)? {
                return Ok(Some(Some((*identity, *at))));
            }
        }
        match self.is_packed(k, file) {
            (Copied::No, _) => {}
            (Copied::Wait, _) => return Ok(None),
            (Copied::Known, at) => return Ok(Identity::of(file, meta.len())?.map(|known| Some((known, at)))),
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
                if let Some(mut records) = self.visit(k)? {
                    self.next = k + 1;
                    records.beside = std::mem::take(&mut self.found);
                    return Ok(Step::Records(records));
                }
            }
            if !self.discover()? {
                if let Some((partition, begin)) = self.found.pop_first() {
                    let mut records = lost::between(partition, Position::offset(0), begin);
                    records.beside = std::mem::take(&mut self.found);
                    return Ok(Step::Records(records));
                }
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
