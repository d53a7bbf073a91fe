//! The marker beside the journal's file: the id of the journal that was written here, and a lower bound of how much was
//! written.
//!
//! At the next start it exposes a file that is missing, older or another journal, before the node promises anything. It
//! is written after each commit and never synced: it may know less than the journal contains, never more.
use dataflow_journal::Error;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A journal's id, and how much was written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The journal's id.
    pub(crate) id: String,
    /// Counts claims and events of all shards since the journal was created.
    pub(crate) moves: u64,
    /// Whether heads of shards are missing, and with them the count of what was written there: each missing head closes
    /// its own shard.
    pub(crate) lacks_heads: bool,
}

impl Written {
    /// The marker's line, always of the same length, so that one write replaces it.
    fn line(&self) -> String {
        format!("{} {:020}\n", self.id, self.moves)
    }

    fn parse(line: &str) -> Option<Self> {
        let (id, moves) = line.trim_end().split_once(' ')?;
        Some(Self { id: id.to_owned(), moves: moves.parse().ok()?, lacks_heads: false })
    }

    /// Reads the marker of the journal at `path`; `None` if nothing was ever written there.
    pub(crate) fn seen(path: &Path) -> Result<Option<Self>, Error> {
        let marker = marker(path);
        let failed = |why: String| Error::NotAsLeft(format!("{} can't be read: {why}", marker.display()));
        match std::fs::read_to_string(&marker) {
            Ok(line) => Self::parse(&line).map(Some).ok_or_else(|| failed("its content is damaged".into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Checks that the journal at `path`, which contains `self`, is the one that was `seen` and contains at least as
    /// much.
    pub(crate) fn covers(&self, seen: &Self, path: &Path) -> Result<(), Error> {
        let path = path.display();
        if self.id != seen.id {
            let (there, then) = (&self.id, &seen.id);
            return Err(Error::NotAsLeft(format!(
                "{path} is another journal ({there}) than the one last written here ({then})"
            )));
        }
        if self.moves < seen.moves && !self.lacks_heads {
            return Err(Error::NotAsLeft(format!(
                "{path} lacks changes that were written to it: an older copy was put in its place, or {path}-wal was removed"
            )));
        }
        Ok(())
    }
}

/// The path of the marker of the journal at `path`.
pub fn marker(path: &Path) -> PathBuf {
    path.with_extension("seen")
}

/// Checks that the file at `path` exists if a journal was written there before.
pub(crate) fn is_there(path: &Path) -> Result<(), Error> {
    match std::fs::metadata(path) {
        Ok(file) if file.len() > 0 => Ok(()),
        Ok(_) => Err(empty(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::NotAsLeft(format!("{} is missing, but a journal was written here", path.display())))
        }
        Err(error) => Err(Error::Unavailable(format!("{} can't be read: {error}", path.display()))),
    }
}

/// The error for an existing file without a journal in it.
pub(crate) fn empty(path: &Path) -> Error {
    Error::NotAsLeft(format!(
        "{path} is empty, but a journal was written here: it was recreated, or {path}-wal was removed",
        path = path.display()
    ))
}

/// Updates the marker.
#[derive(Debug)]
pub(crate) struct Marker {
    path: PathBuf,
    /// `None` once it can't be written: an older marker does no harm.
    file: Option<File>,
    written: Written,
}

impl Marker {
    /// Opens the marker of the journal at `path`, which contains `written`. A new marker is durable once this returns.
    pub(crate) fn keep(path: &Path, written: Written) -> Result<Self, Error> {
        let path = marker(path);
        let failed = |cause: io::Error| Error::Unavailable(format!("{} can't be written: {cause}", path.display()));
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(failed)?;
        file.write_all_at(written.line().as_bytes(), 0).map_err(failed)?;
        let synced = file.sync_all().and_then(|()| sync_folder(&path));
        synced.map_err(failed)?;
        Ok(Self { file: Some(file), written, path })
    }

    /// Adds what was written and is durable.
    pub(crate) fn add(&mut self, moves: u64) {
        if moves == 0 {
            return;
        }
        self.written.moves += moves;
        let Some(file) = &self.file else { return };
        if let Err(cause) = file.write_all_at(self.written.line().as_bytes(), 0) {
            tracing::warn!(%cause, "{} can't be written: an older journal may go unnoticed", self.path.display());
            self.file = None;
        }
    }
}

/// Makes the names in the folder of a file durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    // The folder of a bare file name is the working folder.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
