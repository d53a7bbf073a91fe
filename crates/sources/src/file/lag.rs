//! What waits in the files of a source that nobody reads at the moment.
use super::{
    FileSource, lost,
    lost::{known, offset},
    names,
};
use dataflow_core::position::Positions;
use dataflow_sdk::{Context, Error};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
};

/// Bytes after these positions, in the files that match and in those that have another name since; of a compressed file, all
/// until it was read to its end.
pub(super) fn lag(source: &FileSource, cx: &Context, at: &Positions) -> Result<u64, Error> {
    let matches = match source.some_matches() {
        Err(error) if lost::is_nothing(&error) => Vec::new(),
        matches => matches?.0,
    };
    let paths = matches.into_iter().chain(at.keys().map(|partition| names::path(&partition.0)));
    let read: BTreeMap<_, _> =
        at.values().filter_map(|at| known(at).map(|known| (known.file(), (known, offset(at))))).collect();
    let (mut seen, mut bytes) = (BTreeSet::new(), 0);
    for path in paths {
        let Ok(file) = super::tail::open(&path, cx) else { continue };
        let Ok(meta) = file.metadata() else { continue };
        let inode = (meta.dev(), meta.ino());
        if !meta.is_file() || !seen.insert(inode) {
            continue;
        }
        bytes += match read.get(&inode).filter(|(known, _)| known.is(&file).unwrap_or(false)) {
            None => meta.len(),
            Some((known, at)) if !source.counts_bytes(&path) => known.unread(*at) + known.grown(&meta),
            Some((_, at)) => meta.len().saturating_sub(*at),
        };
    }
    Ok(bytes)
}
