//! Copies of objects of one part, on the node's disk until they are published. A server that is killed while it completes an upload
//! may forget the upload's parts (MinIO first removes what it knows of them), and takes them in another upload. Nothing hangs on a copy: where
//! there is none, such an upload is lost, and its user decides.
use super::{
    handle::Object,
    object::{PART, Part},
    record,
};
use crate::blocking;
use bytes::Bytes;
use dataflow_sdk::{Context, Error};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The copies of a lane.
#[derive(Debug)]
pub(super) struct Copies {
    /// None: the node has no place for them.
    folder: Option<PathBuf>,
    /// Most bytes that they may have together.
    most: u64,
    /// The bytes of each, by key.
    held: BTreeMap<String, u64>,
}

/// The file of an object's copy: nobody else has its name.
fn file(folder: &Path, key: &str) -> PathBuf {
    folder.join(key.rsplit('/').next().unwrap_or(key))
}

impl Copies {
    pub(super) fn new(cx: &Context, lane: u32, most: u64) -> Self {
        let scratch = cx.paths.scratch.as_deref();
        let folder = scratch.map(|scratch| scratch.join("s3").join(record::shown(&cx.branch)).join(lane.to_string()));
        Self { folder, most, held: BTreeMap::new() }
    }

    /// Copies those parts that are a whole object, as many as fit.
    pub(super) async fn keep(&mut self, parts: &[Part]) -> Result<(), Error> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut room = self.most.saturating_sub(self.held.values().sum());
        let mut copies = Vec::new();
        for part in parts.iter().filter(|part| part.is_all) {
            let bytes = part.bytes.len() as u64;
            if bytes <= room {
                room -= bytes;
                self.held.insert(part.key.clone(), bytes);
                copies.push((file(folder, &part.key), part.bytes.clone()));
            }
        }
        if copies.is_empty() {
            return Ok(());
        }
        let folder = folder.clone();
        let write = move || {
            fs::create_dir_all(&folder)?;
            copies.into_iter().try_for_each(|(file, bytes)| fs::write(file, bytes))
        };
        if let Err(error) = blocking::run::<io::Result<()>>(write).await? {
            tracing::warn!(%error, "objects that are not published yet can't be copied to the node's disk; going on without");
        }
        Ok(())
    }

    /// The bytes of an object, if there is a copy. After a crash of the machine it may have others: the server then answers with an
    /// ETag that is not the object's.
    pub(super) async fn of(&self, object: &Object) -> Result<Option<Bytes>, Error> {
        let Some(folder) = self.folder.as_deref().filter(|_| object.bytes <= PART as u64) else { return Ok(None) };
        let file = file(folder, &object.key);
        let read = blocking::run(move || fs::read(file)).await?;
        Ok(read.ok().map(Bytes::from).filter(|bytes| bytes.len() as u64 == object.bytes))
    }

    /// Lets go of copies: these objects are published.
    pub(super) fn release<'a>(&mut self, keys: impl Iterator<Item = &'a str>) {
        let Some(folder) = &self.folder else { return };
        let files: Vec<PathBuf> =
            keys.filter(|key| self.held.remove(*key).is_some()).map(|key| file(folder, key)).collect();
        blocking::aside(move || {
            for file in files {
                if let Err(error) = fs::remove_file(&file) {
                    tracing::debug!(%error, "the copy {} can't be removed", file.display());
                }
            }
        });
    }

    /// Lets go of what earlier openings have left.
    pub(super) async fn clear(&mut self) -> Result<(), Error> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        match blocking::run(move || fs::remove_dir_all(folder)).await? {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "copies of objects that are published can't be removed");
            }
            _ => self.held.clear(),
        }
        Ok(())
    }
}
