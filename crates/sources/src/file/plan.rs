//! Plans how to read files that are not followed, from what was read of each before.
//!
//! A name is a hint. Which file is which is told by device and inode, and by what was read of it:
//!
//! | a file that is there is | what is done |
//! |---|---|
//! | known by its name | it goes on |
//! | known by another name | it goes on by that. If a file lies there, the new name is then given what was read |
//! | made by compressing one that is nowhere any more | its name is given what was read, and it goes on |
//! | made by compressing one that is there and is read | nothing, which is said |
//! | another than the one that is known by its name | it begins, once that one was dealt with |
//! | not known | it is read |
//!
//! Names are given at once, after all was read by the former ones: in whatever chain or circle files were moved, none is
//! forgotten as another takes its name.
use super::{
    FileSource,
    gone::Gone,
    identity::Identity,
    lost,
    names::{self, partition},
    rotation, tail,
    unpacked::Unpacked,
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
    /// The compressed file `at` goes on as `path`, after what was read of the file that it was made of.
    Packed { path: PathBuf, at: PathBuf },
    /// What has these names now was read by others.
    Named(Vec<Named>),
    /// The file that had this path was read; another one begins there.
    Begin { path: PathBuf },
    /// The compressed file that has this path is a copy of another one, which is read.
    LeftOut { path: PathBuf, of: PathBuf },
    /// It is gone before its end.
    Gone(Gone),
}

/// A file that was read by another name than it has now.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) path: PathBuf,
    pub(super) from: Partition,
    /// Whether it was made by compressing the one that was read, of which nothing more is expected then.
    pub(super) packed: bool,
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
    let unpacked = Unpacked::default();
    let packed = packed(source, &there, &known, &owners, &unpacked, cx);
    let moves =
        |partition: &Partition| packed.values().any(|made| matches!(made, Made::Before(former) if former == partition));
    let (mut seen, mut taken) = (BTreeSet::new(), BTreeSet::new());
    let (mut jobs, mut named, mut later, mut gone) = (VecDeque::new(), Vec::new(), VecDeque::new(), Vec::new());
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
                    named.push(Named { path: path.to_path_buf(), from: (*owner).clone(), packed: false });
                }
            }
            Some(_) => read(&mut jobs, path.to_path_buf(), path),
            None if let Some(former) = packed.get(*path) => match former.clone() {
                // What was read by that name is wanted.
                Made::Before(from) if cx.again => {
                    jobs.push_back(Job::Packed { path: names::path(&from.0), at: path.to_path_buf() });
                }
                Made::Before(from) => {
                    named.push(Named { path: path.to_path_buf(), from, packed: true });
                    read(&mut later, path.to_path_buf(), path);
                }
                Made::Beside(of) => jobs.push_back(Job::LeftOut { path: path.to_path_buf(), of }),
            },
            // The file before it is dealt with by its own name or that of another.
            None if moves(&own)
                || stale.is_some_and(|stale| {
                    stale.given_up || owners.values().any(|owner| known[*owner].0.is_same_inode(stale))
                }) =>
            {
                later.push_back(Job::Begin { path: path.to_path_buf() });
            }
            None => match stale.and_then(|identity| rotation::find(path, identity, cx)) {
                Some(at) => {
                    read(&mut jobs, path.to_path_buf(), &at);
                    later.push_back(Job::Begin { path: path.to_path_buf() });
                }
                None => match stale.and_then(|identity| source.packed(path, identity, |_| true, &unpacked, cx)) {
                    Some((at, _)) => {
                        jobs.push_back(Job::Packed { path: path.to_path_buf(), at });
                        later.push_back(Job::Begin { path: path.to_path_buf() });
                    }
                    // Nothing was read of it, and nothing is known to have been there.
                    None if stale.is_some_and(Identity::is_of_nothing) => {
                        later.push_back(Job::Begin { path: path.to_path_buf() });
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
        } else if let Some((at, _)) =
            its.and_then(|(identity, _)| source.packed(&path, identity, |_| true, &unpacked, cx))
        {
            jobs.push_back(Job::Packed { path, at });
        } else {
            gone.extend(Gone::new(partition, position));
        }
    }
    gone.into_iter().rev().for_each(|gone| jobs.push_front(Job::Gone(gone)));
    jobs.extend((!named.is_empty()).then_some(Job::Named(named)));
    jobs.extend(later);
    Ok(jobs)
}

/// What a compressed file was made of.
#[derive(Clone, Debug)]
enum Made {
    /// One that was read and is nowhere any more, or is not read any more.
    Before(Partition),
    /// One that is there and is read.
    Beside(PathBuf),
}

/// The compressed files that were made of others that are known or there.
fn packed(
    source: &FileSource,
    there: &[(&PathBuf, Option<Metadata>)],
    known: &BTreeMap<&Partition, (Identity, u64)>,
    owners: &BTreeMap<(u64, u64), &Partition>,
    unpacked: &Unpacked,
    cx: &Context,
) -> BTreeMap<PathBuf, Made> {
    let is_plain = |path: &Path| source.compression.of(path) == super::Compression::None;
    let is_known = |meta: &Metadata| owners.contains_key(&(meta.dev(), meta.ino()));
    let (plain, compressed): (Vec<_>, Vec<_>) = there.iter().partition(|(path, _)| is_plain(path));
    let compressed: Vec<_> = compressed.into_iter().filter(|(_, meta)| !meta.as_ref().is_some_and(is_known)).collect();
    if compressed.is_empty() {
        return BTreeMap::new();
    }
    let is_read = |meta: &Option<Metadata>| meta.as_ref().is_some_and(is_known);
    let mut files: Vec<_> = plain.into_iter().map(|(path, meta)| ((*path).clone(), is_read(meta))).collect();
    let mut before = Vec::new();
    for (partition, (identity, at)) in known {
        let path = names::path(&partition.0);
        if !is_plain(&path) || identity.is_over() {
            continue;
        }
        match rotation::find(&path, identity, cx) {
            Some(there) if source.may_match(&path) => files.push((there, true)),
            _ if owners.values().any(|owner| owner == partition) => {}
            _ => before.push((*partition, path, identity, *at)),
        }
    }
    // Of one file, what was read furthest counts; of several that hold the same, the older one became the older generation.
    before.sort_by_key(|(partition, _, _, at)| (Reverse(*at), *partition));
    let mut files_before: Vec<Identity> = Vec::new();
    before.retain(|(_, _, identity, _)| {
        let is_new = !files_before.iter().any(|other| other.is_same_inode(identity));
        files_before.push(**identity);
        is_new
    });
    before.sort_by_key(|(_, _, identity, _)| identity.written());
    let mut compressed: Vec<_> = compressed.into_iter().map(|(path, meta)| ((*path).clone(), meta)).collect();
    compressed.sort_by(|(one, _), (other, _)| rotation::by_age(one, other));
    let mut packed = BTreeMap::new();
    // One that has the time of the last change of another is what that became.
    for exactly in [true, false] {
        for (path, meta) in &compressed {
            let former = before.iter().position(|(_, former, identity, _)| {
                !packed.contains_key(path)
                    && source.is_packed_name(former, path)
                    && (!exactly || meta.as_ref().is_some_and(|meta| identity.is_written_with(meta)))
                    && tail::open(path, cx).is_ok_and(|file| source.is_packed(identity, path, &file, unpacked))
            });
            if let Some(former) = former {
                packed.insert(path.clone(), Made::Before(before.remove(former).0.clone()));
            }
        }
    }
    for (path, _) in compressed {
        let files = files.iter().map(|(path, read)| (path.as_path(), *read));
        if !packed.contains_key(&path)
            && let Some(of) = source.original(files, &path, unpacked, cx)
        {
            packed.insert(path, Made::Beside(of));
        }
    }
    packed
}

/// The files among several that nothing was read of yet, by whatever name.
pub(super) fn found(jobs: &VecDeque<Job>, positions: &Positions, cx: &Context) -> Positions {
    let named = jobs.iter().flat_map(|job| if let Job::Named(named) = job { &named[..] } else { &[] });
    let new = jobs.iter().filter_map(|job| match job {
        Job::Read { path, at }
            if !positions.contains_key(&partition(path)) && named.clone().all(|named| named.path != *path) =>
        {
            Some((partition(path), lost::beginning(at, cx)?))
        }
        _ => None,
    });
    new.collect()
}
