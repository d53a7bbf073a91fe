//! That a file is what its writer has left, or why it is not.
use super::{
    handle::{self, Handle},
    mark::Mark,
};
use crate::on_disk::{self, FileId};
use dataflow_sdk::Error;
use std::{fs::File, io, path::Path};

const RESET: &str = "put the file back as it was, or choose: set the checkpoint to \"journal\" to continue after the \
    existing content, or move the file away and set it to \"beginning\" to write everything again";

/// The file is not there.
pub(super) fn gone(path: &Path, handle: &Handle) -> Error {
    let message = format!("{} is gone; {} bytes of it were committed", path.display(), handle.length);
    Error::contradicts("file-missing", message, RESET)
}

/// That a file is still where its writer left it, and as it left it: another program may have cut it and filled it up again.
pub(super) fn still(file: &File, handle: &Handle) -> Result<(), Error> {
    let path = &handle.path;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone(path, handle)),
        there => {
            let there = there.map_err(|error| on_disk::failure("look at", path, &error))?;
            same(path, FileId::from(&there), handle)?;
        }
    }
    let found = file.metadata().map_err(|error| on_disk::failure("look at", path, &error))?.len();
    long_enough(path, found, handle)?;
    if found > handle.length {
        return Err(appended(path, found, handle.length, None));
    }
    same_end(path, file, handle).map(drop)
}

/// That the last bytes that count are those that were written; a hash of them.
pub(super) fn same_end(path: &Path, file: &File, handle: &Handle) -> Result<u64, Error> {
    let tail =
        handle::tail(file, handle.length).map_err(|error| on_disk::failure("look at the end of", path, &error))?;
    if handle.tail.is_some_and(|known| known != tail) {
        let message = format!(
            "{} does not hold what this pipeline wrote: the last of the {} committed bytes differ",
            path.display(),
            handle.length
        );
        return Err(Error::contradicts("file-changed", message, RESET));
    }
    Ok(tail)
}

/// Whether a file, by its last bytes that count, begins with all that was written.
pub(super) fn holds(file: &File, handle: &Handle) -> bool {
    handle::tail(file, handle.length).is_ok_and(|tail| handle.tail.is_none_or(|known| known == tail))
}

/// That it is the file which was written to.
pub(super) fn same(path: &Path, id: FileId, handle: &Handle) -> Result<(), Error> {
    if handle.id() == id {
        return Ok(());
    }
    let path = path.display();
    let message = format!("{path} is not the file that this pipeline wrote to ({} bytes committed)", handle.length);
    Err(Error::contradicts("file-replaced", message, RESET))
}

/// That it holds as many bytes as count.
pub(super) fn long_enough(path: &Path, found: u64, handle: &Handle) -> Result<(), Error> {
    if found >= handle.length {
        return Ok(());
    }
    let message = format!("{} has {found} bytes, fewer than the {} committed", path.display(), handle.length);
    Err(Error::contradicts("file-too-short", message, RESET))
}

/// The file has lost its mark, so that whose it is that comes after the `own` bytes that the journal counts can't be told.
pub(super) fn unmarked(path: &Path, found: u64, own: u64) -> Error {
    let (path, more) = (path.display(), found - own);
    let message = format!(
        "{path} has lost the extended attribute that names its writer, so nothing tells who wrote the {more} bytes after \
            the {own} that the journal counts"
    );
    Error::contradicts("file-changed", message, choice(own))
}

/// Somebody else has written after the `own` bytes of this pipeline.
pub(super) fn appended(path: &Path, found: u64, own: u64, by: Option<&Mark>) -> Error {
    let (path, more) = (path.display(), found - own);
    let by = by.map_or("somebody else".into(), |mark| format!("pipeline {}", mark.branch));
    let message = format!("{by} has written to {path}: it has {more} bytes after the {own} that this pipeline wrote");
    Error::contradicts("file-changed", message, choice(own))
}

fn choice(own: u64) -> String {
    format!(
        "choose: set the checkpoint to \"journal\" to continue after the existing content, or remove the additions (keep the first {own} bytes) and start again"
    )
}
