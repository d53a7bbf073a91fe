//! Files as they are: all that match when the reader is opened, one after the other, then the end.
//!
//! A file that has several names is read under the first one. One whose position is known under another name goes on
//! under that; where something else has that name now, an interval without records says of the new name that it was read,
//! and then that file begins. One that is gone before it was read to its end is a lost position, whatever has its name.
use super::{
    FileSource,
    gone::Gone,
    identity::Identity,
    lost::{self, Lost, between},
    names::{self, name, partition},
    packed::left_out,
    plan::{Job, Named, found, plan},
    rotation,
    split::Caps,
    tail::{self, Opened, REPLACED, Tail, position},
};
use crate::ahead::{Step, Work};
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{
    Context, Error, Records,
    batch::{Notice, Warning},
};
use std::{collections::VecDeque, fs, path::Path};

#[derive(Debug)]
pub(super) struct Whole {
    source: FileSource,
    cx: Context,
    caps: Caps,
    positions: Positions,
    jobs: VecDeque<Job>,
    current: Option<Box<Tail>>,
    /// Bytes in the files that were not opened yet; none if some are compressed.
    waiting: Option<u64>,
    warnings: Vec<Warning>,
    /// Files that nothing was read of yet, until it is said.
    found: Positions,
}

impl Whole {
    pub(super) fn new(source: FileSource, cx: &Context, mut positions: Positions) -> Result<Self, Error> {
        let matched = source.some_matches();
        let files = matched.as_ref().map_or(&[][..], |(files, _)| files);
        let jobs = plan(&source, files, &positions, cx)?;
        // What was there and is not read to its end comes first: it may be elsewhere, or gone.
        let warnings = match matched {
            Err(error) if jobs.is_empty() || !lost::is_nothing(&error) => return Err(error),
            matched => matched.map_or_else(|_| Vec::new(), |(_, warnings)| warnings),
        };
        let found = found(&jobs, &positions, cx);
        positions.extend(found.clone());
        let mut whole = Self {
            caps: tail::caps(cx),
            source,
            cx: cx.clone(),
            positions,
            jobs,
            current: None,
            waiting: None,
            warnings,
            found,
        };
        whole.waiting = whole.jobs.iter().map(|job| whole.size(job)).sum();
        // Whatever is wrong with the first file is said at once.
        if let Some(Job::Read { at, .. }) = whole.jobs.front()
            && let Err(error) = tail::open(at, cx)
            && (error.code() != "file-missing" || is_link(at))
        {
            return Err(error);
        }
        Ok(whole)
    }

    fn size(&self, job: &Job) -> Option<u64> {
        let Job::Read { path, at } = job else { return Some(0) };
        if self.source.compression.of(path) != super::Compression::None {
            return None;
        }
        if self.source.is_table(path) {
            // How far its rows reach is known once it is open.
            let known = self.positions.get(&partition(path)).and_then(lost::known);
            return if known.is_some_and(|known| known.ended) { Some(0) } else { Some(fs::metadata(at).ok()?.len()) };
        }
        let from = self.positions.get(&partition(path)).and_then(Position::as_offset).unwrap_or(0);
        Some(fs::metadata(at).ok()?.len().saturating_sub(from))
    }

    /// Does a job, or its first part; an interval comes of it where it is one.
    fn start(&mut self, job: Job) -> Result<Option<Box<Records>>, Error> {
        match job {
            Job::Read { path, at } => {
                let own = partition(&path);
                let from = self.positions.get(&own).cloned();
                let file = match tail::open(&at, &self.cx) {
                    Err(error) if error.code() != "file-missing" || is_link(&at) => return Err(error),
                    Ok(file) if !lost::is_another(&self.positions, &own, &file) => file,
                    // It is not there; what may be there is known, and read as what it is.
                    _ => {
                        let known = from.as_ref().and_then(lost::known);
                        if let Some(at) = known.and_then(|known| rotation::find(&path, &known, &self.cx)) {
                            self.jobs.push_front(Job::Read { path, at });
                            return Ok(None);
                        }
                        let gone = from.as_ref().and_then(|from| Gone::new(&own, from));
                        return gone.map(|gone| self.pass(gone)).transpose();
                    }
                };
                match Tail::open(&self.source, self.caps, &path, (&at, file), from)? {
                    Opened::Ready(mut tail) => {
                        self.warnings.extend(tail.warning.take());
                        self.current = Some(tail);
                    }
                    Opened::Empty | Opened::Unfinished(_) => {}
                    Opened::Moved(records) => {
                        self.jobs.push_front(Job::Read { path, at });
                        return Ok(Some(records));
                    }
                }
                Ok(None)
            }
            Job::Packed { path, at } => {
                let own = partition(&path);
                let begin = self.positions.get(&own).cloned().unwrap_or(Position::offset(0));
                let to = self.packed(&at, &begin)?;
                self.jobs.push_front(Job::Read { path, at });
                Ok(Some(between(own, begin, to)))
            }
            Job::Named(named) => {
                let mut places = Positions::new();
                for Named { path, from, packed } in &named {
                    let Some(reached) = self.positions.get(from) else { continue };
                    let place = if *packed { self.packed(path, reached)? } else { reached.clone() };
                    places.insert(partition(path), place);
                }
                for Named { from, .. } in named.iter().filter(|named| named.packed) {
                    if let (false, Some(reached)) = (places.contains_key(from), self.positions.get(from)) {
                        let gone = lost::known(reached).map(Identity::gone);
                        places.insert(from.clone(), position(lost::offset(reached), gone));
                    }
                }
                let first = places.pop_first();
                Ok(first.map(|(own, to)| {
                    let begin = self.positions.get(&own).cloned().unwrap_or(Position::offset(0));
                    let mut records = between(own, begin, to);
                    records.beside = places;
                    records
                }))
            }
            Job::Begin { path } => {
                let failed = |error| super::content::failed(&name(&path), 0, error);
                let file = tail::open(&path, &self.cx)?;
                let begin = self.positions.get(&partition(&path)).cloned().unwrap_or(Position::offset(0));
                let over = lost::known(&begin).is_some_and(|known| known.is_over());
                let records = if !over && self.source.holds_again(&path, &begin, &file)? {
                    let bytes = lost::unread(&begin);
                    Some(lost::moved(&self.source, &path, &file, Lost { wanted: begin, reason: REPLACED, bytes })?)
                } else {
                    let known = Identity::of(&file, 0).map_err(failed)?;
                    Some(between(partition(&path), begin, position(0, Some(known))))
                };
                self.jobs.push_front(Job::Read { at: path.clone(), path });
                Ok(records)
            }
            Job::LeftOut { path, of } => {
                self.warnings.push(left_out(&path, &of));
                Ok(None)
            }
            Job::Gone(gone) => self.pass(gone).map(Some),
        }
    }

    /// How far the compressed file `at` was read, given how far that was which it was made of.
    fn packed(&self, at: &Path, reached: &Position) -> Result<Position, Error> {
        let file = tail::open(at, &self.cx)?;
        let known = file.metadata().and_then(|meta| Identity::of(&file, meta.len()));
        Ok(position(lost::offset(reached), Some(known.map_err(|error| super::content::failed(&name(at), 0, error))?)))
    }

    fn pass(&self, gone: Gone) -> Result<Box<Records>, Error> {
        let others: Vec<&Gone> =
            self.jobs.iter().filter_map(|job| if let Job::Gone(gone) = job { Some(gone) } else { None }).collect();
        gone.pass(&self.source, &others)
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink())
}

impl Work for Whole {
    fn step(&mut self) -> Result<Step, Error> {
        loop {
            let records = match &mut self.current {
                Some(tail) => {
                    let next = tail.next()?;
                    let failed = |error| super::content::failed(&self.source.path, 0, error);
                    // Looked at after it was read: what was read of a file that was written anew meanwhile is no record.
                    if let Some(changed) = tail.changed().map_err(failed)? {
                        let path = names::path(&tail.partition.0);
                        let wanted = self.positions.get(&tail.partition).cloned().unwrap_or(Position::offset(0));
                        let lost = Lost { wanted, reason: &changed.reason, bytes: changed.unread };
                        let records = lost::moved(&self.source, &path, tail.file(), lost)?;
                        self.jobs.push_front(Job::Read { at: path.clone(), path });
                        self.current = None;
                        Some(records)
                    } else {
                        next
                    }
                }
                None => {
                    let Some(job) = self.jobs.pop_front() else { return Ok(Step::End) };
                    self.waiting = self.waiting.map(|waiting| waiting.saturating_sub(self.size(&job).unwrap_or(0)));
                    let records = self.start(job)?;
                    if records.is_none() {
                        continue;
                    }
                    records
                }
            };
            match records {
                Some(mut records) => {
                    records.beside.extend(std::mem::take(&mut self.found));
                    self.positions.extend(records.beside.clone());
                    self.positions.insert(records.partition.clone(), records.to.clone());
                    return Ok(Step::Records(records));
                }
                None => self.current = None,
            }
        }
    }

    fn lag(&self) -> Option<u64> {
        let current = match &self.current {
            Some(tail) => tail.lag()?,
            None => 0,
        };
        Some(current + self.waiting?)
    }

    fn warnings(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.warnings).into_iter().map(Notice::from).collect()
    }
}
