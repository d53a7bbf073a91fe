//! Files of users: which they are, who holds them, and why they can't be opened.
use dataflow_sdk::Error;
use std::{
    collections::BTreeSet,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

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

/// The path without symbolic links, also if the file itself is not there yet.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    if let Ok(whole) = path.canonicalize() {
        return whole;
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (parent.canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.into(),
    }
}

/// Refuses a file of the node's own, under whatever name it is given.
pub(crate) fn refuse_own(path: &Path, own_files: &BTreeSet<PathBuf>) -> Result<(), Error> {
    let id = |path: &Path| std::fs::metadata(path).ok().map(|metadata| FileId::from(&metadata));
    let (place, file) = (resolved(path), id(path));
    if own_files.iter().any(|own| resolved(own) == place || (file.is_some() && id(own) == file)) {
        let message = format!("{} is a file of this node's own, which no pipeline may write to", path.display());
        return Err(Error::fatal("own-file", message).fix("choose another path").for_user());
    }
    Ok(())
}

/// Why a file can't be opened or written, with what to do about it.
pub(crate) fn failure(doing: &str, path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind;
    let message = format!("can't {doing} {}: {error}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
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

/// The process that holds a lock on one of these files, as far as it can be told; only write locks count if `writing`.
pub(crate) fn holder(paths: &[PathBuf], writing: bool) -> Option<u32> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let inodes: Vec<u64> = paths.iter().filter_map(|path| Some(std::fs::metadata(path).ok()?.ino())).collect();
    let held = locks.lines().filter_map(|line| {
        // "1: POSIX  ADVISORY  WRITE 1234 08:01:5678 0 EOF"; one that waits has "->" behind the number.
        let mut words = line
            .split_whitespace()
            .skip(1)
            .skip_while(|word| matches!(*word, "POSIX" | "FLOCK" | "OFDLCK" | "ADVISORY"));
        let mode = words.next()?;
        let pid: u32 = words.next()?.parse().ok()?;
        let inode: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        (inodes.contains(&inode) && (!writing || mode == "WRITE")).then_some(pid)
    });
    held.into_iter().find(|pid| *pid == std::process::id() || has_open(*pid, paths))
}

/// Whether a process has one of these files open; true if that can't be told.
fn has_open(pid: u32, paths: &[PathBuf]) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return true };
    let places: Vec<PathBuf> = paths.iter().map(|path| resolved(path)).collect();
    open.flatten().any(|entry| entry.path().read_link().is_ok_and(|target| places.contains(&target)))
}

/// "process 123 (psql)", or "another pipeline of this node".
pub(crate) fn name_holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) if pid == std::process::id() => "another writer of this node".into(),
        Some(pid) => match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(name) => format!("process {pid} ({})", name.trim()),
            Err(_) => format!("process {pid}"),
        },
        None => "another process".into(),
    }
}
