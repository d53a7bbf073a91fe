//! A path that is followed: which file is read under it, and what becomes of it when another takes its place.
use super::{
    copies::Compared,
    gone::Gone,
    identity::Identity,
    names::partition,
    rotation::{self, Left},
    tail::{self, Tail},
    waiting::Waiting,
};
use dataflow_core::position::{Partition, Position};
use dataflow_sdk::Context;
use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::Duration,
};
use tokio::time::Instant;

/// A path that is followed.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) path: PathBuf,
    pub(super) partition: Partition,
    /// After what was read under this path; none if nothing ever was.
    pub(super) position: Option<Position>,
    /// What is known by the position.
    pub(super) known: Option<Identity>,
    pub(super) tail: Option<Box<Tail>>,
    /// Since when the open file is known to be replaced, or was last written after that.
    pub(super) replaced: Option<Instant>,
    /// The file of `position`, read to its end, where another one takes its place.
    pub(super) rotated: Option<Left>,
    /// The file as it was when it was closed, read to its end.
    closed: Option<Metadata>,
    /// Whether this run has found a file under the path.
    pub(super) found: bool,
    /// When it was last read: its turn.
    pub(super) used: u64,
    /// Of a copy of another file that is followed: how far the two are known to be equal.
    pub(super) copy: Option<Compared>,
    /// What else is read under this path, as of the last look.
    pub(super) waiting: Waiting,
}

/// What is known of a path beside its position.
#[derive(Debug)]
pub(super) struct State {
    rotated: Option<Left>,
    replaced: Option<Instant>,
    copy: Option<Compared>,
    gone: BTreeMap<PathBuf, Option<u64>>,
}

impl Slot {
    pub(super) fn new(path: PathBuf, position: Option<Position>) -> Self {
        let mut slot = Self {
            partition: partition(&path),
            path,
            position: None,
            known: None,
            tail: None,
            replaced: None,
            rotated: None,
            closed: None,
            found: false,
            used: 0,
            copy: None,
            waiting: Waiting::default(),
        };
        if let Some(position) = position {
            slot.reached(position);
        }
        slot
    }

    /// Whether the open file was replaced by another one, or deleted.
    pub(super) fn is_replaced(&mut self) -> io::Result<bool> {
        let Some(tail) = &self.tail else { return Ok(false) };
        let replaced = match fs::metadata(&self.path) {
            // While the new one is empty, the old one may still be written to.
            Ok(meta) => !tail.identity.is_inode(&meta) && meta.len() > 0,
            // Renamed, and the new one is not there yet: the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => tail.file().metadata()?.nlink() == 0,
            Err(error) => return Err(error),
        };
        if !replaced {
            self.replaced = None;
        }
        Ok(replaced)
    }

    /// Whether it is so long known that another file has this path, and nothing came since.
    pub(super) fn has_waited(&mut self, grace: Duration) -> bool {
        self.replaced.get_or_insert_with(Instant::now).elapsed() >= grace
    }

    /// Something was written to the open file: if it was replaced, more may come.
    pub(super) fn was_written(&mut self) {
        self.replaced = self.replaced.map(|_| Instant::now());
    }

    /// What the file of this position is known by.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.tail.as_ref().map(|tail| tail.identity).or(self.known)
    }

    /// How far it was read.
    pub(super) fn at(&self) -> u64 {
        self.position.as_ref().and_then(Position::as_offset).unwrap_or(0)
    }

    /// Whether the file that is under the path now begins anew: it was found and not begun yet, or nothing more is expected
    /// of the one before.
    pub(super) fn begins(&self, file: &File, pattern: bool, cx: &Context) -> io::Result<bool> {
        let Some(known) = &self.known else { return Ok(self.position.is_none()) };
        let is = known.is_inode(&file.metadata()?);
        let over = known.ended && (known.given_up || pattern) || known.is_of_nothing();
        Ok(if is { !self.is_begun() } else { over && rotation::find(&self.path, known, cx).is_none() })
    }

    /// What is lost of it, if it is gone.
    pub(super) fn gone(&self, cx: &Context) -> Option<Gone> {
        let (known, position) = (self.known?, self.position.as_ref()?);
        let is_gone = self.tail.is_none()
            && self.rotated.is_none()
            && self.copy.is_none()
            && fs::symlink_metadata(&self.path).is_err()
            && rotation::find(&self.path, &known, cx).is_none();
        if is_gone { Gone::new(&self.partition, position) } else { None }
    }

    /// Whether a user goes on without the file of this position, which is nowhere, and that was not said yet.
    pub(super) fn is_passed_over(&self, file: &File, cx: &Context) -> io::Result<bool> {
        let Some(known) = self.known.filter(|known| known.given_up && !known.ended) else { return Ok(false) };
        Ok(!known.is_inode(&file.metadata()?) && rotation::find(&self.path, &known, cx).is_none())
    }

    /// Whether anything was read of it, or it was found that there is nothing.
    pub(super) fn is_begun(&self) -> bool {
        self.at() > 0 || self.known.is_some_and(|known| known.ended)
    }

    /// Records that were read, or passed over.
    pub(super) fn reached(&mut self, position: Position) {
        self.known = position.identity.as_ref().and_then(|text| text.parse().ok());
        self.position = Some(position);
    }

    /// What opening a file changes, until it is known that nothing was renamed meanwhile.
    pub(super) fn state(&self) -> State {
        State {
            rotated: self.rotated.clone(),
            replaced: self.replaced,
            copy: self.copy,
            gone: self.waiting.gone.clone(),
        }
    }

    /// As if the path had not been looked at; of a file that was opened meanwhile nothing was read.
    pub(super) fn undo(&mut self, State { rotated, replaced, copy, gone }: State, was_open: bool) {
        (self.rotated, self.replaced, self.copy, self.waiting.gone) = (rotated, replaced, copy, gone);
        self.tail = self.tail.take().filter(|_| was_open);
    }

    /// It was not found, after all.
    pub(super) fn forget(&mut self) {
        (self.position, self.known) = (None, None);
    }

    /// Lets go of the open file: it is opened again when it is its turn, or, if it was read to its end, when it changes.
    pub(super) fn close(&mut self) {
        self.closed = self.tail.take().and_then(|tail| tail.at_end());
    }

    /// The open file was read to its end, and another one has its name.
    pub(super) fn left(&mut self, file: &File, known: &Identity) -> io::Result<()> {
        (self.rotated, self.replaced) = (Some(Left::new(file, known.original)?), None);
        Ok(())
    }

    /// Bytes that wait, if that can be told.
    pub(super) fn lag(&self) -> Option<u64> {
        let own = self.tail.as_ref().map_or(Some(0), |tail| tail.lag())?;
        Some(own + self.waiting.lag(self.tail.as_ref().map(|tail| tail.identity.file())))
    }

    /// Whether nothing has happened since it was closed.
    pub(super) fn is_at_rest(&self) -> bool {
        let Some(closed) = &self.closed else { return false };
        let what =
            |meta: &Metadata| (meta.dev(), meta.ino(), meta.len(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        fs::metadata(&self.path).is_ok_and(|meta| what(&meta) == what(closed))
    }

    /// Whether nothing is expected to wait: it was read to its end, or holds what another one does.
    pub(super) fn is_settled(&self) -> bool {
        self.tail.is_none() && self.closed.is_some() || self.copy.is_some()
    }

    /// The file of this position, if it is not `file` and lies under another name in the same folder.
    pub(super) fn renamed(&self, file: &File, cx: &Context) -> io::Result<Option<(PathBuf, File)>> {
        match &self.known {
            Some(known) if !known.is_inode(&file.metadata()?) => {
                let found = rotation::find(&self.path, known, cx);
                Ok(found.and_then(|path| tail::open(&path, cx).ok().map(|file| (path, file))))
            }
            _ => Ok(None),
        }
    }
}
