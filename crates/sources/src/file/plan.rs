//! What is to be done for files that are read as they are, given what was read of which before.
use super::{
    FileSource,
    gone::Gone,
    identity::Identity,
    lost,
    names::{self, partition},
    rotation, tail,
};
use dataflow_core::position::{Partition, Positions};
use dataflow_sdk::{Context, Error};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What is to be done for a file.
#[derive(Debug)]
pub(super) enum Job {
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

/// What is to be done for the files that match, given what was read of which.
pub(super) fn plan(
    source: &FileSource,
    files: &[PathBuf],
    positions: &Positions,
    cx: &Context,
) -> Result<VecDeque<Job>, Error> {
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
        // Where it is known under several names, it was read furthest under the one that counts, or equally far.
        let best = candidates.max_by_key(|(partition, (_, at))| (*at, Reverse(**partition)));
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
    let (mut seen, mut taken) = (BTreeSet::new(), BTreeSet::new());
    let (mut jobs, mut later, mut gone) = (VecDeque::new(), Vec::new(), Vec::new());
    let read =
        |jobs: &mut VecDeque<Job>, path: PathBuf, at: &Path| jobs.push_back(Job::Read { path, at: at.to_owned() });
    for (path, meta) in &there {
        let own = partition(path);
        let inode = meta.as_ref().map(|meta| (meta.dev(), meta.ino()));
        let owner = inode.and_then(|inode| owners.get(&inode));
        if owner.is_some_and(|owner| **owner != own) {
            taken.insert(*path);
        }
        if inode.is_some_and(|inode| !seen.insert(inode)) {
            continue; // another name of a file that was dealt with
        }
        let stale = known.get(&own).map(|(identity, _)| identity);
        match owner {
            Some(owner) if **owner != own => {
                let former = names::path(&owner.0);
                read(&mut jobs, former.clone(), path);
                if files.contains(&former) {
                    later.push(Job::Known { path: path.to_path_buf(), from: (*owner).clone() });
                }
            }
            Some(_) => read(&mut jobs, path.to_path_buf(), path),
            // The file before it is there, and read by its own name or by that of another.
            None if stale.is_some_and(|stale| owners.values().any(|owner| known[*owner].0.is_same_inode(stale))) => {
                later.push(Job::Begin { path: path.to_path_buf() });
            }
            None if let Some(former) = packed.get(*path) => {
                let at = path.to_path_buf();
                jobs.extend(former.clone().map(|from| match cx.again {
                    // What was read by that name is wanted.
                    true => Job::Packed { path: names::path(&from.0), at, from: None },
                    false => Job::Packed { path: at.clone(), at, from: Some(from) },
                }));
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
        // What is known to be another file says nothing of the one that had the name.
        let in_place = files.contains(&path) && !given_up && !(its.is_some() && taken.contains(&path));
        let there = in_place || owners.values().any(|owner| *owner == partition);
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
        if is_plain(path) || known.get(&partition(path)).is_some_and(|(_, at)| *at > 0 || cx.again) {
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

/// The files among several that nothing was read of yet.
pub(super) fn found(jobs: &VecDeque<Job>, positions: &Positions, cx: &Context) -> Positions {
    let new = jobs.iter().filter_map(|job| match job {
        Job::Read { path, at } if !positions.contains_key(&partition(path)) => {
            Some((partition(path), lost::beginning(at, cx)?))
        }
        _ => None,
    });
    new.collect()
}
