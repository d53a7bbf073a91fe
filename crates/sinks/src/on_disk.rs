//! Files of users: which they are, and why they can't be opened.
use dataflow_sdk::Error;
use std::{fs::Metadata, io, os::unix::fs::MetadataExt, path::Path};

/// What a file is known by, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl From<&Metadata> for FileId {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Why a file can't be opened or written, with what to do about it.
pub(crate) fn failure(doing: &str, path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind;
    let message = format!("can't {doing} {}: {error}", path.display());
    let folder = folder(path);
    match error.kind() {
        ErrorKind::NotFound => {
            Error::fatal("folder-missing", message).fix(format!("make the folder: mkdir -p {}", folder.display()))
        }
        ErrorKind::PermissionDenied => Error::fatal("access-denied", message)
            .fix(format!("let the node's user write to {} and its folder", path.display())),
        ErrorKind::ReadOnlyFilesystem => {
            Error::fatal("read-only", message).fix("choose a path on a file system that can be written")
        }
        ErrorKind::IsADirectory => Error::fatal("is-a-directory", message).fix("give the path of a file"),
        ErrorKind::NotADirectory => Error::fatal("folder-missing", message)
            .fix("a parent of the path is a file, not a folder: choose another path"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::transient("disk-full", message),
        _ => Error::transient("io", message),
    }
}

/// A path as it is compared with another one: `./out`, `out` and `/here/out` are the same.
pub(crate) fn spelled(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).to_string_lossy().into_owned()
}

/// The folder that a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
