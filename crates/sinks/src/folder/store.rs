//! A folder as a store: an upload is a file in `_dataflow/.staged`, which is moved to its place. As that is one step, there is
//! either the one or the other, whenever the node or the machine is stopped.
use super::tree::{Tree, split};
use crate::{
    blocking,
    objects::{
        PART,
        failure::Trouble,
        handle::Object,
        store::{Completed, Objects, Uploads, Version},
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_sdk::{Error, Paths};
use rustix::{
    fs::{self, AtFlags, Mode, OFlags, RenameFlags},
    io::Errno,
};
use std::{
    fs::{File, TryLockError},
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use xxhash_rust::xxh3::xxh3_64;

/// The folder of files that are not published.
const STAGED: &str = "_dataflow/.staged";
/// The file that is locked by whoever replaces a record, and the one that is to take its place.
const LOCK: &str = "_dataflow/.staged/.lock";
const NEXT: &str = ".next";
/// How long a lock is waited for that is held for the time of a write.
const PATIENCE: Duration = Duration::from_secs(10);

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(Tree);

/// What tells contents apart.
fn version(content: &[u8]) -> Version {
    Version { e_tag: Some(format!("{:016x}", xxh3_64(content))), version: None }
}

impl Folder {
    pub(super) fn new(root: &Path, paths: &Arc<Paths>) -> Self {
        Self(Tree::new(root, paths))
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Tree) -> T + Send + 'static) -> Result<T, Error> {
        let tree = self.0.clone();
        blocking::run(move || work(&tree)).await
    }
}

#[async_trait]
impl Objects for Folder {
    fn place(&self, key: &str) -> String {
        self.0.place(key).display().to_string()
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, Error> {
        let key = key.to_owned();
        self.run(move |tree| tree.size(&key)).await?
    }

    async fn read(&self, key: &str) -> Result<Option<(Bytes, Version)>, Error> {
        let key = key.to_owned();
        self.run(move |tree| content(tree, &key)).await?
    }

    async fn write(&self, key: &str, content: Bytes, before: Option<&Version>) -> Result<Version, Trouble> {
        let (key, before) = (key.to_owned(), before.cloned());
        self.run(move |tree| replace(tree, &key, &content, before.as_ref())).await?
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error> {
        let mut folders = vec![folder.to_owned()];
        self.run(move |tree| {
            let mut all = Vec::new();
            while let Some(folder) = folders.pop() {
                let found = tree.entries(&folder)?;
                all.extend(found.files);
                folders.extend(found.folders.into_iter().filter(|folder| folder != STAGED));
            }
            Ok(all)
        })
        .await?
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let folder = folder.to_owned();
        self.run(move |tree| tree.entries(&folder).map(|found| found.folders)).await?
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        let key = key.to_owned();
        self.run(move |tree| tree.remove(&key)).await?
    }
}

#[async_trait]
impl Uploads for Folder {
    async fn begin(&self, key: &str) -> Result<String, Trouble> {
        let staged = format!("{STAGED}/{}", split(key).1);
        Ok(self.run(move |tree| begin(tree, staged)).await??)
    }

    async fn put_part(&self, _: &str, upload: &str, number: usize, part: Bytes) -> Result<String, Trouble> {
        let staged = upload.to_owned();
        self.run(move |tree| put_part(tree, &staged, number, &part)).await?
    }

    async fn complete(&self, object: &Object) -> Result<Completed, Error> {
        let moved = object.clone();
        match self.run(move |tree| publish(tree, &moved)).await?? {
            Moved::Now => Ok(Completed::Published),
            Moved::Not => self.settle(object).await,
        }
    }

    async fn abort(&self, _: &str, upload: &str) -> Result<(), Error> {
        let staged = upload.to_owned();
        self.run(move |tree| tree.remove(&staged)).await?
    }
}

fn content(tree: &Tree, key: &str) -> Result<Option<(Bytes, Version)>, Error> {
    let Some(mut file) = tree.file(key, OFlags::RDONLY)? else { return Ok(None) };
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(|error| crate::on_disk::failure("read", &tree.place(key), &error))?;
    let version = version(&content);
    Ok(Some((content.into(), version)))
}

/// Replaces a file, under a lock that others of this machine ask for, too.
fn replace(tree: &Tree, key: &str, content: &[u8], before: Option<&Version>) -> Result<Version, Trouble> {
    let (folder, name) = split(key);
    let (staged, at) = (tree.made(STAGED)?, tree.made(folder)?);
    let _lock = lock(tree, &staged)?;
    let found = self::content(tree, key)?.map(|(_, version)| version);
    if found.as_ref().and_then(|found| found.e_tag.as_ref()) != before.and_then(|before| before.e_tag.as_ref()) {
        return Err(if found.is_some() { Trouble::Changed } else { Trouble::Gone });
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let failure = |error| tree.failure("write", key, error);
    let mut next: File = fs::openat(&staged, NEXT, flags, Mode::from_raw_mode(0o666)).map_err(failure)?.into();
    let written = next.write_all(content).and_then(|()| next.sync_all());
    written.map_err(|error| crate::on_disk::failure("write", &tree.place(key), &error))?;
    fs::renameat(&staged, NEXT, &at, name).and_then(|()| fs::fsync(&at)).map_err(failure)?;
    Ok(version(content))
}

fn lock(tree: &Tree, staged: &impl std::os::fd::AsFd) -> Result<File, Error> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = fs::openat(staged, split(LOCK).1, flags, Mode::from_raw_mode(0o666));
    let file: File = opened.map_err(|error| tree.failure("open", LOCK, error))?.into();
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10))
            }
            Err(TryLockError::WouldBlock) => {
                let place = tree.place(LOCK);
                let message = format!("{} is locked by {}", place.display(), dataflow_locks::holder(&place));
                return Err(Error::transient("locked", message).fix("end that process if it hangs"));
            }
            Err(TryLockError::Error(error)) => {
                return Err(crate::on_disk::failure("lock", &tree.place(LOCK), &error));
            }
        }
    }
}

/// Makes the staged file, so that whoever was given up can't make it later.
fn begin(tree: &Tree, staged: String) -> Result<String, Error> {
    let at = tree.made(STAGED)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = fs::openat(&at, split(&staged).1, flags, Mode::from_raw_mode(0o666)).and_then(|_| fs::fsync(&at));
    made.map_err(|error| tree.failure("make", &staged, error))?;
    Ok(staged)
}

fn put_part(tree: &Tree, staged: &str, number: usize, part: &[u8]) -> Result<String, Trouble> {
    let Some(file) = tree.file(staged, OFlags::WRONLY)? else { return Err(Trouble::Gone) };
    let written = file.write_all_at(part, (number * PART) as u64).and_then(|()| file.sync_data());
    written.map_err(|error| crate::on_disk::failure("write", &tree.place(staged), &error))?;
    Ok(number.to_string())
}

enum Moved {
    Now,
    /// The staged file is not there, or not what was staged, or its place is taken.
    Not,
}

fn publish(tree: &Tree, object: &Object) -> Result<Moved, Error> {
    if tree.size(&object.upload)? != Some(object.bytes) {
        return Ok(Moved::Not);
    }
    let ((folder, name), staged_name) = (split(&object.key), split(&object.upload).1);
    let (staged, at) = (tree.made(STAGED)?, tree.made(folder)?);
    let moved = match fs::renameat_with(&staged, staged_name, &at, name, RenameFlags::NOREPLACE) {
        // Not all file systems know it. Nobody else uses the name, so nothing comes there in between.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => fs::renameat(&staged, staged_name, &at, name),
            found => found.and(Err(Errno::EXIST)),
        },
        moved => moved,
    };
    match moved.and_then(|()| fs::fsync(&at)).and_then(|()| fs::fsync(&staged)) {
        Ok(()) => Ok(Moved::Now),
        Err(Errno::EXIST | Errno::NOENT) => Ok(Moved::Not),
        Err(error) => Err(tree.failure("publish", &object.key, error)),
    }
}
