//! What is below a folder, reached a step at a time from the folder itself: a link on the way is not followed, so nothing that
//! somebody puts there leads out of it.
use crate::on_disk;
use dataflow_sdk::{Error, Paths};
use rustix::{
    fd::OwnedFd,
    fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::Errno,
};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A folder and what is below it. Places in it are keys: names with slashes between them.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    root: PathBuf,
    paths: Arc<Paths>,
}

/// What is in a folder: files with their bytes, and folders, by their keys.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) files: Vec<(String, u64)>,
    pub(super) folders: Vec<String>,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folder of a key, and its name in it.
pub(super) fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}

impl Tree {
    pub(super) fn new(root: &Path, paths: &Arc<Paths>) -> Self {
        Self { root: root.into(), paths: paths.clone() }
    }

    /// How users call a place in it.
    pub(super) fn place(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Why something can't be done at a place.
    pub(super) fn failure(&self, doing: &str, key: &str, error: Errno) -> Error {
        match error {
            Errno::LOOP | Errno::NOTDIR => {
                let message = format!(
                    "can't {doing} {}: on its way is a link, which is not followed, or a file where a folder is to be",
                    self.place(key).display()
                );
                let fix =
                    format!("remove it, or write to another folder: all below {} must be folders", self.root.display());
                Error::fatal("path-not-allowed", message).fix(fix).for_user()
            }
            Errno::XDEV => {
                let message = format!(
                    "can't {doing} {}: it is in another file system than {}",
                    self.place(key).display(),
                    self.root.display()
                );
                let fix = "mount nothing below `folder`: a file is moved into its place, which is possible within a file system only";
                Error::fatal("other-file-system", message).fix(fix).for_user()
            }
            error => on_disk::failure(doing, &self.place(key), &error.into()),
        }
    }

    /// The folder itself. Who may use it is asked each time: a link may have been put there since.
    fn open(&self) -> Result<OwnedFd, Error> {
        self.paths.admit(&self.root)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::openat(CWD, &self.root, flags, Mode::empty()).map_err(|error| {
            let message = format!("can't open the folder {}: {}", self.root.display(), std::io::Error::from(error));
            match error {
                Errno::NOENT | Errno::NOTDIR => Error::fatal("folder-missing", message)
                    .fix(format!("make it: mkdir -p {}; if it is to be a mount, mount it", self.root.display())),
                _ => self.failure("open", "", error),
            }
        })
    }

    /// A folder in it, if it is there.
    pub(super) fn folder(&self, folder: &str) -> Result<Option<OwnedFd>, Error> {
        let mut at = self.open()?;
        for name in folder.split('/').filter(|name| !name.is_empty()) {
            match fs::openat(&at, name, FOLDER, Mode::empty()) {
                Ok(next) => at = next,
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(self.failure("open", folder, error)),
            }
        }
        Ok(Some(at))
    }

    /// A folder in it, which is made where it is not there, for good.
    pub(super) fn made(&self, folder: &str) -> Result<OwnedFd, Error> {
        if let Some(there) = self.folder(folder)? {
            return Ok(there);
        }
        self.paths.admit(&self.place(folder))?;
        let failure = |error| self.failure("make", folder, error);
        let mut at = self.open()?;
        for name in folder.split('/').filter(|name| !name.is_empty()) {
            match fs::mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => fs::fsync(&at).map_err(failure)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(failure(error)),
            }
            at = fs::openat(&at, name, FOLDER, Mode::empty()).map_err(failure)?;
        }
        Ok(at)
    }

    /// A file in it, opened so, if it is there.
    pub(super) fn file(&self, key: &str, flags: OFlags) -> Result<Option<File>, Error> {
        let (folder, name) = split(key);
        let Some(at) = self.folder(folder)? else { return Ok(None) };
        match fs::openat(&at, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failure("open", key, error)),
        }
    }

    /// The bytes of a file in it, if it is there.
    pub(super) fn size(&self, key: &str) -> Result<Option<u64>, Error> {
        let (folder, name) = split(key);
        let Some(at) = self.folder(folder)? else { return Ok(None) };
        match fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(u64::try_from(found.st_size).unwrap_or_default())),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failure("look at", key, error)),
        }
    }

    /// Removes a file from it, for good, if it is there.
    pub(super) fn remove(&self, key: &str) -> Result<(), Error> {
        let (folder, name) = split(key);
        let Some(at) = self.folder(folder)? else { return Ok(()) };
        match fs::unlinkat(&at, name, AtFlags::empty()).and_then(|()| fs::fsync(&at)) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failure("remove", key, error)),
        }
    }

    /// What is in a folder of it, but for links, and names that are no text.
    pub(super) fn entries(&self, folder: &str) -> Result<Entries, Error> {
        let mut entries = Entries::default();
        let Some(at) = self.folder(folder)? else { return Ok(entries) };
        let failure = |error| self.failure("list", folder, error);
        for entry in Dir::read_from(&at).map_err(failure)? {
            let entry = entry.map_err(failure)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let found = match (name, fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW)) {
                ("." | "..", _) | (_, Err(Errno::NOENT)) => continue,
                (_, found) => found.map_err(failure)?,
            };
            let folder = folder.trim_matches('/');
            let key = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => entries.files.push((key, u64::try_from(found.st_size).unwrap_or_default())),
                FileType::Directory => entries.folders.push(key),
                _ => {}
            }
        }
        Ok(entries)
    }
}
