//! Tracks whether the journal can be written: by the result of its last transaction, and by checking its files and
//! their disk.
use crate::failure;
use dataflow_journal::Error;
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// A disk with less free space than this counts as full: a transaction needs this much.
const LEAST_SPACE: u64 = 1 << 20;

/// The path to which a journal is saved after its file was removed.
pub(crate) fn saved(path: &Path) -> PathBuf {
    path.with_extension("db.saved")
}

/// The health of one open journal.
#[derive(Debug)]
pub(crate) struct Health {
    path: PathBuf,
    /// The database and its log, with the device and inode under which they were first seen.
    files: Mutex<Vec<(PathBuf, (u64, u64))>>,
    /// Why the last transaction failed.
    failure: Mutex<Option<String>>,
}

impl Health {
    /// The health of a journal that was just opened.
    pub(crate) fn of(path: &Path) -> Self {
        let health = Self { path: path.into(), files: Mutex::default(), failure: Mutex::default() };
        health.replaced(); // records the files as first seen
        health
    }

    /// Records the result of a transaction.
    pub(crate) fn note(&self, how: &Result<(), Error>) {
        let failure = match how {
            Ok(()) => None,
            Err(Error::Unavailable(why) | Error::Corrupt(why) | Error::Broken(why)) => Some(why.clone()),
            Err(
                error @ (Error::Fenced { .. } | Error::NotAsLeft(_) | Error::OtherBuild(_) | Error::Trimmed { .. }),
            ) => Some(error.to_string()),
        };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Records that another process has the file locked.
    pub(crate) fn locked(&self) {
        self.note(&Err(Error::Unavailable(failure::locked(&self.path))));
    }

    /// Returns why nothing can be written now.
    pub(crate) fn unwritable(&self) -> Option<String> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.or_else(|| self.replaced()).or_else(|| self.no_room())
    }

    /// Returns whether the last transaction failed: only another transaction can show that writing works again.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Returns why the files are not the opened ones. SQLite would continue to write to files that no path names any
    /// more.
    pub(crate) fn replaced(&self) -> Option<String> {
        let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for path in dataflow_locks::database_files(&self.path).into_iter().take(2) {
            let now = identity(&path);
            match (known.iter().find(|(seen, _)| *seen == path), now) {
                (Some((_, then)), now) if now != Some(*then) => {
                    let saved = saved(&self.path);
                    let why = format!(
                        "{} was removed or replaced: put it back, or stop the node, which then saves its content as {}",
                        path.display(),
                        saved.display()
                    );
                    return Some(why);
                }
                (None, Some(now)) => known.push((path, now)),
                _ => {}
            }
        }
        None
    }

    fn no_room(&self) -> Option<String> {
        let disk = statvfs(&self.path).ok()?;
        let shown = self.path.display();
        if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Some(format!("{shown} is on a read-only file system"));
        }
        (disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_SPACE).then(|| format!("the disk of {shown} is full"))
    }
}
