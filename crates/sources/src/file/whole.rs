//! Files as they are: all that match when the reader is opened, one after the other, then the end.
//!
//! A file that has several names is read under the first one. One whose position is known under another name goes on
//! under that; where something else has that name now, an interval without records says of the new name that it was read,
//! and then that file begins. One that is gone before it was read to its end is a lost position.
use super::{
    FileSource,
    identity::Identity,
    lost::{self, Gone, between},
    names::{self, name, partition},
    rotation,
    split::Caps,
    tail::{self, Opened, Tail, position},
};
use crate::ahead::{Step, Work};
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{Context, Error, Records, batch::Warning};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

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

/// What is to be done for a file.
#[derive(Debug)]
enum Job {
    /// The file `at` is read as `path`.
    Read { path: PathBuf, at: PathBuf },
    /// The compressed file `at`, which is read as `path`, goes on after what was read as `path`, or as another file, of which
    /// nothing more is expected then.
    Packed { path: PathBuf, at: PathBuf, from: Option<Partition> },
    /// All of the file that is now `path` was read as `from`.
    Known { path: PathBuf, from: Partition },
    /// The file that had this path was read; another one begins there.
    Begin { path: PathBuf },
    /// It is gone before its end.
    Gone(Gone),
}

impl Whole {
    pub(super) fn new(source: FileSource, cx: &Context, positions: Positions) -> Result<Self, Error> {
        let mut positions = lost::distinct(&positions);
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
                    Err(error) if error.code() == "file-missing" && !is_link(&at) => {
                        let known = from.as_ref().and_then(lost::known);
                        if let Some(at) = known.and_then(|known| rotation::find(&path, &known, &self.cx)) {
                            self.jobs.push_front(Job::Read { path, at });
                            return Ok(None);
                        }
                        let gone = from.as_ref().and_then(|from| Gone::new(&own, from));
                        return gone.map(|gone| self.pass(gone)).transpose();
                    }
                    file => file?,
                };
                match Tail::open(&self.source, self.caps, &path, (&at, file), from)? {
                    Opened::Ready(mut tail) => {
                        self.warnings.extend(tail.warning.take());
                        self.current = Some(tail);
                    }
                    Opened::Empty => {}
                    Opened::Moved(records) => {
                        self.jobs.push_front(Job::Read { path, at });
                        return Ok(Some(records));
                    }
                }
                Ok(None)
            }
            Job::Packed { path, at, from } => {
                let own = partition(&path);
                let begin = self.positions.get(&own).cloned().unwrap_or(Position::offset(0));
                let former = self.positions.get(from.as_ref().unwrap_or(&own)).cloned().unwrap_or(begin.clone());
                let known = lost::known(&former);
                let file = tail::open(&at, &self.cx)?;
                let packed = file.metadata().and_then(|meta| Identity::of(&file, meta.len()));
                let packed = packed.map_err(|error| super::content::failed(&name(&at), 0, error))?;
                self.jobs.push_front(Job::Read { path, at });
                let mut records = between(own, begin, position(known.map_or(0, |known| known.place()), packed));
                let gone = position(former.as_offset().unwrap_or(0), known.map(Identity::gone));
                records.beside.extend(from.map(|from| (from, gone)));
                Ok(Some(records))
            }
            Job::Known { path, from } => {
                let own = partition(&path);
                let begin = self.positions.get(&own).cloned().unwrap_or(Position::offset(0));
                Ok(self.positions.get(&from).map(|to| between(own, begin, to.clone())))
            }
            Job::Begin { path } => {
                let failed = |error| super::content::failed(&name(&path), 0, error);
                let known = Identity::of(&tail::open(&path, &self.cx)?, 0).map_err(failed)?;
                let begin = self.positions.get(&partition(&path)).cloned().unwrap_or(Position::offset(0));
                let records = known.map(|known| between(partition(&path), begin, position(0, Some(known))));
                self.jobs.push_front(Job::Read { at: path.clone(), path });
                Ok(records)
            }
            Job::Gone(gone) => self.pass(gone).map(Some),
        }
    }

    fn pass(&self, gone: Gone) -> Result<Box<Records>, Error> {
        let others: Vec<&Gone> =
            self.jobs.iter().filter_map(|job| if let Job::Gone(gone) = job { Some(gone) } else { None }).collect();
        gone.pass(&self.source, &others)
    }
}

/// The files among several that nothing was read of yet.
fn found(jobs: &VecDeque<Job>, positions: &Positions, cx: &Context) -> Positions {
    let new = jobs.iter().filter_map(|job| match job {
        Job::Read { path, at } if !positions.contains_key(&partition(path)) => {
            Some((partition(path), lost::beginning(at, cx)?))
        }
        _ => None,
    });
    new.collect()
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink())
}

/// What is to be done for the files that match, given what was read of which.
fn plan(source: &FileSource, files: &[PathBuf], positions: &Positions, cx: &Context) -> Result<VecDeque<Job>, Error> {
    let mut known = BTreeMap::new();
    for (partition, position) in positions {
        if let Some(identity) = tail::identity(position, &partition.0)? {
            known.insert(partition, (identity, position.as_offset().unwrap_or(0)));
        }
    }
    // The files that are there, each under all its names.
    let mut there: Vec<(&PathBuf, Option<Metadata>)> = Vec::new();
    let mut owners: BTreeMap<(u64, u64), &Partition> = BTreeMap::new();
    for path in files {
        let Ok(meta) = fs::metadata(path) else {
            there.push((path, None));
            continue;
        };
        let inode = (meta.dev(), meta.ino());
        let candidates = known.iter().filter(|(_, (identity, _))| identity.is_inode(&meta));
        // Where it is known under several names, it was read furthest under the one that counts.
        let best = candidates.max_by_key(|(partition, (_, at))| (*at, ***partition == names::partition(path)));
        if let Some((owner, (identity, _))) = best
            && !owners.contains_key(&inode)
            && tail::open(path, cx).is_ok_and(|file| identity.is(&file).unwrap_or(false))
        {
            owners.insert(inode, owner);
        }
        there.push((path, Some(meta)));
    }
    let packed = packed(source, &there, &known, |partition| owners.values().any(|owner| *owner == partition), cx);
    let moves = |partition: &Partition| packed.values().flatten().any(|former| former == partition);
    let mut seen = BTreeSet::new();
    let (mut jobs, mut later, mut gone) = (VecDeque::new(), Vec::new(), Vec::new());
    let read =
        |jobs: &mut VecDeque<Job>, path: PathBuf, at: &Path| jobs.push_back(Job::Read { path, at: at.to_owned() });
    for (path, meta) in &there {
        let own = partition(path);
        let inode = meta.as_ref().map(|meta| (meta.dev(), meta.ino()));
        if inode.is_some_and(|inode| !seen.insert(inode)) {
            continue; // another name of a file that was dealt with
        }
        let stale = known.get(&own).map(|(identity, _)| identity);
        match inode.and_then(|inode| owners.get(&inode)) {
            Some(owner) if **owner != own => {
                let former = names::path(&owner.0);
                read(&mut jobs, former.clone(), path);
                if files.contains(&former) {
                    later.push(Job::Known { path: path.to_path_buf(), from: (*owner).clone() });
                }
            }
            Some(_) => read(&mut jobs, path.to_path_buf(), path),
            None if stale.is_some_and(|_| owners.values().any(|owner| **owner == own)) => {
                later.push(Job::Begin { path: path.to_path_buf() });
            }
            None if let Some(former) = packed.get(*path) => {
                let path = path.to_path_buf();
                let from = former.clone().map(|from| Job::Packed { at: path.clone(), path, from: Some(from) });
                jobs.extend(from);
            }
            None if stale.is_some_and(|known| known.given_up) || moves(&own) => {
                later.push(Job::Begin { path: path.to_path_buf() });
            }
            None => match stale.and_then(|identity| rotation::find(path, identity, cx)) {
                Some(at) => {
                    read(&mut jobs, path.to_path_buf(), &at);
                    later.push(Job::Begin { path: path.to_path_buf() });
                }
                None => match stale.and_then(|identity| source.packed(path, identity, cx)) {
                    Some((at, _)) => {
                        jobs.push_back(Job::Packed { path: path.to_path_buf(), at, from: None });
                        later.push(Job::Begin { path: path.to_path_buf() });
                    }
                    None => read(&mut jobs, path.to_path_buf(), path),
                },
            },
        }
    }
    for (partition, position) in positions {
        let path = names::path(&partition.0);
        let its = known.get(partition).map(|(identity, at)| (identity, *at));
        let further = its.is_some_and(|(identity, at)| {
            let mut others = known.iter().filter(|(other, _)| **other != partition);
            others.any(|(other, (other_known, reached))| {
                other_known.is_same_inode(identity) && (*reached > at || *reached == at && *other < partition)
            })
        });
        let given_up = its.is_some_and(|(identity, _)| identity.given_up);
        let there = files.contains(&path) && !given_up || owners.values().any(|owner| *owner == partition);
        // One that is not wanted any more is left where it is.
        if there
            || further
            || moves(partition)
            || !source.may_match(&path)
            || its.is_some_and(|(identity, _)| identity.ended)
        {
            continue;
        }
        if let Some(at) = its.and_then(|(identity, _)| rotation::find(&path, identity, cx)) {
            jobs.push_back(Job::Read { path, at });
        } else if let Some((at, _)) = its.and_then(|(identity, _)| source.packed(&path, identity, cx)) {
            jobs.push_back(Job::Packed { path, at, from: None });
        } else {
            gone.extend(Gone::new(partition, position));
        }
    }
    gone.into_iter().rev().for_each(|gone| jobs.push_front(Job::Gone(gone)));
    // Names of which both the old and the new file matter: what was read is said of the new name before the old name moves on.
    later.sort_by_key(|job| matches!(job, Job::Begin { .. }));
    jobs.extend(later);
    Ok(jobs)
}

/// The compressed files that hold what was read of others: which these are; none, if that is there and is read itself.
fn packed(
    source: &FileSource,
    there: &[(&PathBuf, Option<Metadata>)],
    known: &BTreeMap<&Partition, (Identity, u64)>,
    is_there: impl Fn(&Partition) -> bool,
    cx: &Context,
) -> BTreeMap<PathBuf, Option<Partition>> {
    let is_plain = |path: &Path| source.compression.of(path) == super::Compression::None;
    let known_plain: Vec<_> = known.iter().filter(|(partition, _)| is_plain(&names::path(&partition.0))).collect();
    let mut packed = BTreeMap::new();
    for (path, _) in there {
        if is_plain(path) || known.get(&partition(path)).is_some_and(|(_, at)| *at > 0) {
            continue; // it is read as a file of its own
        }
        let holds = |identity: &Identity| {
            tail::open(path, cx).is_ok_and(|file| source.is_packed(identity, path, &file).unwrap_or(false))
        };
        let former = known_plain.iter().find(|(partition, (identity, _))| {
            source.is_packed_name(&names::path(&partition.0), path) && holds(identity)
        });
        if let Some((former, (identity, _))) = former {
            let is_there = is_there(former) || rotation::find(&names::path(&former.0), identity, cx).is_some();
            packed.insert((*path).clone(), (!is_there).then(|| Partition::clone(former)));
        } else if source.is_packed_twin(path, cx) {
            packed.insert((*path).clone(), None);
        }
    }
    packed
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
                        let lost = lost::Lost { wanted, reason: &changed.reason };
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

    fn warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}
