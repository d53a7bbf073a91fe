//! Files that grow: what is appended, new files that match, and rotation.
//!
//! A rotated file is read to its end under the name it had; then an interval without records leads from that end to
//! the beginning of the file that took its place. Where the pattern matches the new name of the old file as well, an
//! interval without records says of that name that it was read already. That comes first, so that no crash in between
//! makes it be read again. Files that came and went between two looks are read in between.
use super::{
    FileSource,
    content::failed,
    identity::Identity,
    rotation::Left,
    slot::Slot,
    split::Caps,
    tail::{self, Opened, Tail},
};
use crate::ahead::{Step, Work};
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{Context, Error, Records, records::Layout};
use std::{
    collections::{BTreeSet, VecDeque},
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::Duration,
};

/// After so many batches without a pause, new files are looked for.
const LOOK_EVERY: u32 = 64;
/// For so many intervals a replaced file is still looked at: its writer may not have opened the new one yet.
const GRACE: u32 = 5;
/// How many files that were read under another name are remembered.
const REMEMBERED: usize = 4096;

#[derive(Debug)]
pub(super) struct Follow {
    source: FileSource,
    cx: Context,
    caps: Caps,
    positions: Positions,
    slots: Vec<Slot>,
    paths: BTreeSet<PathBuf>,
    /// Whose turn it is.
    next: usize,
    busy: u32,
    /// How far files were read, under whatever name.
    known: VecDeque<(Identity, u64)>,
}

impl Follow {
    pub(super) fn new(source: FileSource, cx: &Context, positions: Positions) -> Result<Self, Error> {
        let files = source.some_matches()?;
        tail::open(&files[0], cx)?;
        let known = positions
            .values()
            .filter_map(|position| Some((position.identity.as_ref()?.parse().ok()?, position.as_offset()?)));
        let mut follow = Self {
            caps: tail::caps(cx),
            known: known.collect(),
            source,
            cx: cx.clone(),
            positions,
            slots: Vec::new(),
            paths: BTreeSet::new(),
            next: 0,
            busy: 0,
        };
        follow.add(files);
        Ok(follow)
    }

    fn add(&mut self, files: Vec<PathBuf>) -> bool {
        let before = self.slots.len();
        for path in files {
            if self.paths.insert(path.clone()) {
                let position = self.positions.remove(&super::partition(&path));
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
        let files = self.source.matches()?;
        Ok(self.add(files))
    }

    /// The next records of one path.
    fn visit(&mut self, k: usize) -> Result<Option<Box<Records>>, Error> {
        if self.slots[k].tail.is_none()
            && let Some(records) = self.open(k)?
        {
            self.slots[k].position = Some(records.to.clone());
            return Ok(Some(records));
        }
        let name = self.slots[k].partition.to_string();
        let failed = |error| failed(&name, 0, error);
        let grace = Duration::from(self.source.poll_interval) * GRACE;
        loop {
            let replaced = self.slots[k].is_replaced(grace).map_err(failed)?;
            let slot = &mut self.slots[k];
            let Some(tail) = &mut slot.tail else { return Ok(None) };
            let next = tail.next()?;
            // Looked at after it was read: what was read of a file that was written anew meanwhile is no record.
            if let Some(reason) = tail.changed().map_err(failed)? {
                let from = slot.position.clone().unwrap_or(Position::offset(0));
                let records = tail.moved(&self.source, from, &reason)?;
                (slot.tail, slot.position) = (None, Some(records.to.clone()));
                return Ok(Some(records));
            }
            if let Some(records) = next {
                slot.position = Some(records.to.clone());
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

    /// The file that is open under a path was replaced and is read to its end.
    fn finish(&mut self, k: usize) -> io::Result<()> {
        let slot = &mut self.slots[k];
        let Some(tail) = slot.tail.take() else { return Ok(()) };
        (slot.rotated, slot.replaced) = (Some(Left::new(tail.file())?), None);
        self.next = k + 1; // all others first
        if tail.file().metadata()?.nlink() > 0
            && let Some(at) = tail.position.as_offset()
        {
            self.known.push_back((tail.identity, at));
            if self.known.len() > REMEMBERED {
                self.known.pop_front();
            }
        }
        Ok(())
    }

    /// Opens the file under a path, or says how to get to its beginning first.
    fn open(&mut self, k: usize) -> Result<Option<Box<Records>>, Error> {
        let slot = &self.slots[k];
        let file = match tail::open(&slot.path, &self.cx) {
            Err(error) if error.code() == "file-missing" => return Ok(None),
            file => file?,
        };
        let name = slot.partition.to_string();
        let failed = |error| failed(&name, 0, error);
        if slot.rotated.is_some() || slot.position.is_none() {
            let between = match &slot.rotated {
                Some(left) => left.successor(&slot.path, &file, |path| self.paths.contains(path)).map_err(failed)?,
                None => None,
            };
            let file = between.as_ref().unwrap_or(&file);
            let Some(identity) = Identity::of(file).map_err(failed)? else { return Ok(None) };
            let Some(begin) = self.begin(file).map_err(failed)? else { return Ok(None) };
            let slot = &mut self.slots[k];
            if slot.rotated.take().is_some() || begin.is_some() {
                let (identity, begin) = begin.unwrap_or((identity, 0));
                let from = slot.position.clone().unwrap_or(Position::offset(0));
                let mut records = Records::empty(slot.partition.clone(), from, Layout::Json);
                records.to = Position::offset(begin).of(&identity.to_string());
                return Ok(Some(Box::new(records)));
            }
        }
        let slot = &mut self.slots[k];
        let file = slot.renamed(&file).map_err(failed)?.unwrap_or(file);
        match Tail::open(&self.source, self.caps, &slot.path, file, slot.position.clone())? {
            Opened::Ready(tail) => slot.tail = Some(tail),
            Opened::Moved(records) => return Ok(Some(records)),
            Opened::Empty => {}
        }
        Ok(None)
    }

    /// How far a file was read under another name, if it was; none at all while it is still being read under it.
    #[allow(clippy::option_option, reason = "wait, from its beginning, or from a place")]
    fn begin(&self, file: &File) -> io::Result<Option<Option<(Identity, u64)>>> {
        if !self.source.is_pattern() {
            return Ok(Some(None));
        }
        let meta = file.metadata()?;
        let mut tails = self.slots.iter().filter_map(|slot| slot.tail.as_ref());
        if tails.any(|tail| tail.identity.is_inode(&meta)) {
            return Ok(None);
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
        self.slots.iter().filter_map(|slot| slot.tail.as_ref()).map(|tail| tail.lag()).sum()
    }
}
