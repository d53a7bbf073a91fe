//! Files that grow: what is appended, new files that match, and rotation.
//!
//! A rotated file is read to its end under the name it had; then an interval without records leads from that end to
//! the beginning of the file that took its place. Where the pattern matches the new name of the old file as well, as it is or
//! compressed, an interval without records says of that name that it was read already. That comes first, so that no crash in
//! between makes it be read again. Files that came and went between two looks are read in between.
//!
//! A file that was copied and truncated (`copytruncate`) goes on in its copy, which from then on is what a renamed file
//! is. `copies.rs` says what a copy is.
use super::{
    FileSource,
    content::failed,
    identity::Identity,
    late::Watched,
    look::{Looks, TRIES},
    lost::{self, Loss, Lost},
    names::{name, partition, path, plain},
    packed::Packed,
    rotation::{self, Left},
    slot::Slot,
    split::Caps,
    tail::{self, position},
    unpacked::Unpacked,
};
use crate::ahead::{Step, Work};
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{
    Context, Error, Records,
    batch::{Notice, Warning},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File},
    io,
    path::PathBuf,
    time::Duration,
};

/// After so many batches without a pause, new files are looked for.
const LOOK_EVERY: u32 = 64;
/// For so many intervals without anything new a replaced file is still looked at, for a second at most: its writer may not have
/// opened the new one yet.
const GRACE: u32 = 5;
/// The most of it.
const MOST_GRACE: Duration = Duration::from_secs(1);
/// How many files that were read under another name are remembered.
const REMEMBERED: usize = 4096;
/// How many files are held open; the others are opened when they have changed.
const OPEN: usize = 64;

/// How far a file was read.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// As which it was read.
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) at: u64,
}

impl FileSource {
    /// How long a file is still looked at that may be written to.
    pub(super) fn grace(&self) -> Duration {
        (Duration::from(self.poll_interval) * GRACE).min(MOST_GRACE)
    }
}

#[derive(Debug)]
pub(super) struct Follow {
    pub(super) source: FileSource,
    pub(super) cx: Context,
    pub(super) caps: Caps,
    positions: Positions,
    pub(super) slots: Vec<Slot>,
    pub(super) paths: BTreeSet<PathBuf>,
    /// Whose turn it is.
    next: usize,
    turns: u64,
    busy: u32,
    /// Whether a file was read to its end and what has its place is looked at next, without a pause.
    finished: bool,
    /// Files that nothing was read of yet, until it is said.
    pub(super) found: Positions,
    /// What lay in the folders when new files were last looked for.
    pub(super) looks: Looks,
    /// How often the folders may still be looked at again at this check.
    pub(super) tries: u32,
    /// How far files were read, under whatever name.
    pub(super) known: VecDeque<Known>,
    /// Generations that were read to their end.
    pub(super) watched: VecDeque<Watched>,
    /// What compressed files hold.
    pub(super) unpacked: Unpacked,
    /// How many files may be open.
    pub(super) open: usize,
    /// By code and subject, those that were given once.
    pub(super) warned: BTreeMap<(&'static str, String), Option<Warning>>,
    /// What is taken back of what was said, in this run or an earlier one.
    pub(super) over: Vec<Notice>,
}

impl Follow {
    pub(super) fn new(source: FileSource, cx: &Context, positions: Positions) -> Result<Self, Error> {
        let (files, warnings) = match source.some_matches() {
            // Where its folder is, a file is waited for, as others may be rotated there before it is looked at.
            Err(error) if lost::is_nothing(&error) && !source.is_pattern() && source.is_in_folder() => {
                (vec![plain(&source.path)], Vec::new())
            }
            Err(error) if lost::is_nothing(&error) && source.has_read(&positions) => (Vec::new(), Vec::new()),
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
                known.push_back(Known { path: path(&partition.0), identity: identity.after_loss(0), at });
            }
        }
        let mut follow = Self {
            caps: tail::caps(cx),
            known,
            found: Positions::new(),
            looks: Looks::new(),
            tries: TRIES,
            source,
            cx: cx.clone(),
            positions,
            slots: Vec::new(),
            paths: BTreeSet::new(),
            next: 0,
            turns: 0,
            busy: 0,
            finished: false,
            watched: VecDeque::new(),
            unpacked: Unpacked::default(),
            open: OPEN,
            warned: BTreeMap::new(),
            over: Vec::new(),
        };
        follow.warn(warnings);
        // What was begun is read to its end, whatever has become of its name.
        let begun = follow.source.reading(&follow.positions).map(|(path, _)| path);
        let elsewhere = begun.filter(|path| !files.contains(path)).collect();
        follow.add(elsewhere);
        follow.add(files);
        // What is lost is said first.
        follow.next = follow.slots.iter().position(|slot| slot.gone(cx).is_some()).unwrap_or(0);
        follow.measure();
        Ok(follow)
    }

    fn add(&mut self, files: Vec<PathBuf>) -> bool {
        let before = self.slots.len();
        for path in files {
            if self.paths.insert(path.clone()) {
                let position = self.positions.remove(&partition(&path));
                self.slots.push(Slot::new(path, position));
            }
        }
        let is_new = self.slots.len() > before;
        if is_new {
            self.announce_all(before);
        }
        is_new
    }

    /// Has it said that a file was found, so that it is known if it goes before anything of it is read.
    pub(super) fn announce(&mut self, k: usize) {
        if self.slots[k].position.is_some() {
            return;
        }
        let Ok(meta) = fs::metadata(&self.slots[k].path) else { return self.await_file(k) };
        let is_known =
            self.is_read_elsewhere(k, &meta) || self.known.iter().any(|known| known.identity.is_inode(&meta));
        let path = &self.slots[k].path;
        let is_packed = || tail::open(path, &self.cx).is_ok_and(|file| !matches!(self.is_packed(k, &file), Packed::No));
        if !is_known
            && !is_packed()
            && let Some(begin) = lost::beginning(&self.slots[k].path, &self.cx)
        {
            self.found.insert(self.slots[k].partition.clone(), begin.clone());
            self.slots[k].reached(begin);
        }
    }

    /// Has it said that a file is not there, so that what is made and rotated before the next look is known to be new.
    fn await_file(&mut self, k: usize) {
        let path = &self.slots[k].path;
        if let (false, Ok(folder)) = (self.source.is_pattern(), fs::metadata(rotation::folder(path))) {
            let subject = name(path);
            let message = format!("{subject} did not exist when reading began: it is read from when it exists");
            let begin = position(0, Some(Identity::of_none(&folder)));
            self.warn(vec![Warning { code: "file-missing", message, subject, records: 0 }]);
            self.found.insert(self.slots[k].partition.clone(), begin.clone());
            self.slots[k].reached(begin);
        }
    }

    /// Looks for new files; true if there are any.
    pub(super) fn discover(&mut self) -> Result<bool, Error> {
        self.look();
        self.measure();
        self.list()
    }

    /// Looks for new files once more, as some were renamed meanwhile.
    pub(super) fn look_again(&mut self) -> Result<bool, Error> {
        self.look();
        self.list()
    }

    fn list(&mut self) -> Result<bool, Error> {
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
            if let Some(records) = self.decide(k, |follow| follow.open_in_turn(k))?.flatten() {
                self.reached(k, &records.to);
                return Ok(Some(records));
            }
        }
        self.turns += 1;
        self.slots[k].used = self.turns;
        let partition = self.slots[k].partition.clone();
        let failed = |error| failed(&partition.0, 0, error);
        let grace = self.source.grace();
        loop {
            let replaced = self.slots[k].is_replaced().map_err(failed)? && self.is_over(k, grace).map_err(failed)?;
            let slot = &mut self.slots[k];
            let Some(tail) = &mut slot.tail else { return Ok(None) };
            let next = tail.next()?;
            let warning = tail.warning.take();
            // Looked at after it was read: what was read of a file that was written anew meanwhile is no record.
            if let Some(changed) = tail.changed().map_err(failed)? {
                let from = slot.position.clone().unwrap_or(Position::offset(0));
                let copy = self.decide(k, |follow| follow.to_copy(k).map_err(failed))?;
                let Some(copy) = copy else {
                    // What was read meanwhile is no record.
                    self.slots[k].tail = self.slots[k].tail.take().filter(|_| next.is_none());
                    return Ok(None);
                };
                let records = match copy {
                    Some(records) => records,
                    // As `copytruncate` does, whose copy may lie anywhere. What came since the last look can't be known.
                    None if next.is_none() && changed.unread == 0 && changed.emptied => {
                        let begin = Identity::of(self.file_of(k)?, 0).map_err(failed)?;
                        let begin = position(0, Some(begin.copied_from(Some(begin.inode()))));
                        let loss = Loss { records: 0, bytes: 0, reason: &changed.reason };
                        lost::passed_over(partition, from, begin, loss)
                    }
                    None => {
                        let slot = &self.slots[k];
                        let lost = Lost { wanted: from, reason: &changed.reason, bytes: changed.unread };
                        lost::moved(&self.source, &slot.path, self.file_of(k)?, lost)?
                    }
                };
                self.slots[k].tail = None;
                self.reached(k, &records.to);
                return Ok(Some(records));
            }
            self.warn(warning.into_iter().collect());
            // Before anything is taken of what may be another generation.
            if let Some(records) = self.unseen_copy(k).map_err(failed)? {
                self.slots[k].tail = None;
                self.reached(k, &records.to);
                return Ok(Some(records));
            }
            let slot = &mut self.slots[k];
            let Some(tail) = &slot.tail else { return Ok(None) };
            let finite = tail.finite;
            if let Some(records) = next {
                self.note_whole(k);
                let slot = &mut self.slots[k];
                if !finite {
                    slot.was_written();
                }
                slot.reached(records.to.clone());
                return Ok(Some(records));
            }
            match (replaced, tail.finite) {
                (false, _) => return Ok(None),
                (true, finite) => {
                    // Which of the two it is, is asked once: later the older generations may be gone.
                    let replaced = if finite { Some(None) } else { self.decide(k, |follow| follow.replaced(k))? };
                    let Some(replaced) = replaced else { return Ok(None) };
                    if let Some(records) = replaced {
                        let slot = &mut self.slots[k];
                        (slot.tail, slot.replaced) = (None, None);
                        slot.reached(records.to.clone());
                        return Ok(Some(records));
                    }
                    // Whatever was appended since, and a last line without a line break.
                    if let Some(tail) = self.slots[k].tail.as_mut().filter(|tail| !tail.finite) {
                        tail.finite = true;
                        continue;
                    }
                    self.finish(k).map_err(failed)?;
                    self.discover()?;
                    return Ok(None);
                }
            }
        }
    }

    /// Whether nobody writes any more to the open file under a path, which was replaced: a copy, or one that was rotated again since,
    /// is over at once.
    fn is_over(&mut self, k: usize, grace: Duration) -> io::Result<bool> {
        let is_over = self.slots[k].has_waited(grace) || self.slots[k].tail.as_ref().is_some_and(|tail| tail.is_copy());
        Ok(is_over || self.next_generation(k)?.is_some())
    }

    /// The oldest generation that came after the open file under a path and was rotated away, too, and is not read otherwise.
    fn next_generation(&self, k: usize) -> io::Result<Option<File>> {
        let slot = &self.slots[k];
        let (Some(tail), Ok(new)) = (&slot.tail, tail::open(&slot.path, &self.cx)) else { return Ok(None) };
        let left = Left::new(tail.file(), tail.identity.original)?;
        left.successor(&slot.path, &new, |path, meta| self.is_read(path, meta), &self.cx)
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
        let path = slot.path.clone();
        self.watch(&path, &tail);
        (self.next, self.finished) = (k + 1, true); // all others first
        self.known.push_back(Known { path, identity: tail.identity, at: tail.at });
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
        }
        Ok(())
    }
}

impl Work for Follow {
    fn step(&mut self) -> Result<Step, Error> {
        self.busy += 1;
        self.tries = TRIES;
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
            if !self.discover()? && !std::mem::take(&mut self.finished) {
                self.warn_of_late();
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

    fn warnings(&mut self) -> Vec<Notice> {
        let come = self.warned.values_mut().filter_map(Option::take);
        self.over.drain(..).chain(come.map(Notice::from)).collect()
    }
}
