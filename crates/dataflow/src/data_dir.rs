//! The folder that a node keeps its state in: made for its owner only, and locked by one process at a time.
use dataflow_engine::restored::Restored;
use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// In the folder: what can be lost.
const SCRATCH: &str = "scratch";
/// In the folder: what pipelines had received when the journal was restored.
const RESTORED: &str = "journal.restored";

/// A folder that this process has locked. Dropping it gives the lock back; so does the end of the process, however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error("{} is in use by {}", path.display(), holder(*pid))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process, if it said who it is.
        pid: Option<u32>,
    },
    /// It can't be made, opened or written.
    #[error("the data folder {} can't be used: {source}", path.display())]
    Io {
        /// The folder, or the file in it.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

impl DataDir {
    /// Makes the folder if it is missing (readable by its owner only), and locks it.
    ///
    /// # Errors
    /// If another process has it, or it can't be made.
    pub fn lock(path: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))?;
        // It may have been made by somebody less careful; what is in it is nobody else's business.
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed(path))?;
        let path = path.canonicalize().map_err(failed(path))?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(failed(&file))?;
        match lock.try_lock() {
            Ok(()) => {}
            #[cfg(feature = "fault-points")]
            Err(TryLockError::WouldBlock) if crate::faults::folder_is_shared() => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let pid = lock.read_to_string(&mut pid).ok().and_then(|_| pid.trim().parse().ok());
                return Err(Error::InUse { path, pid });
            }
            Err(TryLockError::Error(source)) => return Err(Error::Io { path: file, source }),
        }
        write_pid(&mut lock).map_err(failed(&file))?;
        Ok(Self { path, _lock: lock })
    }

    /// The journal's file.
    pub fn journal(&self) -> PathBuf {
        journal(&self.path)
    }

    /// A folder for what can be lost.
    pub fn scratch(&self) -> PathBuf {
        self.path.join(SCRATCH)
    }

    /// What pipelines had received when the journal was restored; nothing if it never was.
    ///
    /// # Errors
    /// If that can't be read.
    pub fn restored(&self) -> Result<Restored, Error> {
        let path = self.path.join(RESTORED);
        let read = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Restored::default()),
            Err(error) => Err(error),
        };
        read.map_err(|source| Error::Io { path, source })
    }

    /// Keeps it for the node that starts here.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn keep_restored(&self, restored: &Restored) -> Result<(), Error> {
        let (path, new) = (self.path.join(RESTORED), self.path.join(format!("{RESTORED}.new")));
        let written = serde_json::to_vec(restored).map_err(io::Error::from).and_then(|text| {
            let mut file = File::create(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        });
        written.map_err(|source| Error::Io { path, source })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files and folders in it that no connector may touch.
    pub fn own_files(&self) -> BTreeSet<PathBuf> {
        ["lock", "journal.db", "journal.db-wal", "journal.db-shm", "journal.seen", RESTORED, SCRATCH]
            .map(|name| self.path.join(name))
            .into()
    }
}

/// The journal's file in a folder, whoever has that.
pub fn journal(folder: &Path) -> PathBuf {
    folder.join("journal.db")
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    writeln!(lock, "{}", std::process::id())?;
    lock.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_is_made_private_and_locked_once() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/node");
        let first = DataDir::lock(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let error = DataDir::lock(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
        drop(first);
        DataDir::lock(&path).unwrap();
    }

    #[test]
    fn what_can_not_be_made_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataDir::lock(&file.join("node")).unwrap_err().to_string();
        assert!(error.contains("file/node"), "{error}");
    }
}
