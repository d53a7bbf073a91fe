//! One file, read from a place on.
use super::{
    FileSource, LastLine,
    content::{Content, failed},
    identity::{Identity, PIECE, read_before},
    lost::{Lost, moved},
    names::{name, partition},
    split::{Caps, Splitter},
};
use bytes::Bytes;
use dataflow_core::position::{Partition, Position};
use dataflow_sdk::{Context, Error, Records, batch::Warning, records::Layout};
use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

/// How much is read at once.
pub(super) const BLOCK: usize = 256 << 10;

/// What bounds a batch of this pipeline.
pub(super) fn caps(cx: &Context) -> Caps {
    let bytes = cx.batch.max_bytes.min(cx.max_in_flight_bytes / 2).clamp(1, 1 << 30) as usize;
    let record_bytes = cx.max_record_bytes.clamp(1, 1 << 30) as usize;
    Caps { records: cx.batch.max_records.max(1) as usize, bytes, record_bytes }
}

/// Opens a file for reading, if pipelines may.
pub(super) fn open(path: &Path, cx: &Context) -> Result<File, Error> {
    let name = name(path);
    // Before it is opened: a pipe would wait for its writer.
    let meta = std::fs::metadata(path).map_err(|error| failed(&name, 0, error))?;
    if meta.is_dir() {
        return Err(super::content::is_directory(&name));
    }
    if !meta.is_file() {
        let error =
            Error::fatal("not-a-file", format!("{name} is a pipe, socket or device, which can't be read again"));
        return Err(error.fix("give a regular file, or a pattern that matches regular files only"));
    }
    cx.paths.admit(path)?;
    File::open(path).map_err(|error| failed(&name, 0, error))
}

/// A place in a file.
pub(super) fn position(at: u64, identity: Option<Identity>) -> Position {
    match identity {
        Some(identity) => Position::offset(at).of(&identity.to_string()),
        None => Position::offset(at),
    }
}

/// What opening a file came to.
#[derive(Debug)]
pub(super) enum Opened {
    /// It can be read.
    Ready(Box<Tail>),
    /// The position was lost, and by choice reading goes on elsewhere: this interval first, then open again.
    Moved(Box<Records>),
    /// It holds nothing yet.
    Empty,
}

/// How an open file differs from what was read of it.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) reason: String,
    /// It is shorter than it was, or empty.
    pub(super) truncated: bool,
    /// Whether it was read to its end when it was last looked at.
    pub(super) was_read: bool,
}

/// One file, read from a place on.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) partition: Partition,
    content: Content,
    splitter: Splitter,
    /// At the position.
    pub(super) identity: Identity,
    layout: Layout,
    /// What to know of its header.
    pub(super) warning: Option<Warning>,
    shared: Arc<Vec<(String, String)>>,
    /// Where its records begin.
    begin: u64,
    /// After the last records taken.
    pub(super) position: Position,
    pub(super) at: u64,
    /// The last bytes before it, up to 1 KiB.
    recent: Vec<u8>,
    /// How long the file was when it was last looked at.
    length: u64,
    /// Whether it won't grow: then its last line needs no line break.
    pub(super) finite: bool,
    last_line: LastLine,
}

impl Tail {
    /// Goes on with `file`, which lies at `there` and is read as `path`, at a position.
    pub(super) fn open(
        source: &FileSource,
        caps: Caps,
        path: &Path,
        (there, file): (&Path, File),
        from: Option<Position>,
    ) -> Result<Opened, Error> {
        let name = name(path);
        let failed = |error| failed(&name, 0, error);
        let finite = !source.follow;
        let from = from.unwrap_or(Position::offset(0));
        let Some(at) = from.as_offset() else {
            let error = Error::fatal("bad-position", format!("position {from} of {name} is not a byte offset"));
            return Err(error.fix("set the checkpoint to a number of bytes").for_user());
        };
        let lost = |reason: &str| moved(source, path, &file, Lost { wanted: from.clone(), reason }).map(Opened::Moved);
        let (mut ended, mut original) = (false, None);
        if let Some(known) = identity(&from, &name)? {
            if !known.is(&file).map_err(failed)? {
                let same = known.is_inode(&file.metadata().map_err(failed)?);
                return lost(if same { "the file was written anew" } else { "another file has taken its place" });
            }
            (ended, original) = (known.ended, known.original);
        }
        let meta = file.metadata().map_err(failed)?;
        if meta.len() == 0 {
            return if at == 0 { Ok(Opened::Empty) } else { lost("the file is empty") };
        }
        let Some((layout, begin, warning)) = source.layout(path, there, &file, finite)? else {
            return Ok(Opened::Empty);
        };
        let start = at.max(begin);
        let clone = file.try_clone().map_err(failed)?;
        let content = match Content::new(there, clone, source.compression, start)? {
            Ok(content) => content,
            Err(length) => return lost(&format!("the file has only {length} bytes")),
        };
        // Of a compressed file the whole is known; it doesn't grow.
        let known_to = if content.is_compressed() { meta.len() } else { at };
        let Some(identity) = Identity::of(&file, known_to).map_err(failed)? else { return Ok(Opened::Empty) };
        let recent = match content.is_compressed() {
            true => Vec::new(),
            false => read_before(&file, start).map_err(failed)?.unwrap_or_default(),
        };
        if ended && !content.is_compressed() && is_torn(&file, at, &recent).map_err(failed)? {
            return lost("its last line had no line break and was taken as whole, and has grown since");
        }
        Ok(Opened::Ready(Box::new(Self {
            shared: Arc::new(vec![("file".into(), name)]),
            finite: finite || content.is_compressed(),
            partition: partition(path),
            content,
            splitter: Splitter::new(start, source.dialect(path), caps),
            identity: identity.ending(ended).copied_from(original),
            layout,
            warning,
            begin: start,
            position: from,
            at,
            recent,
            length: meta.len(),
            last_line: source.last_line,
        })))
    }

    /// The next records; none at the end of what is there.
    pub(super) fn next(&mut self) -> Result<Option<Box<Records>>, Error> {
        loop {
            if self.splitter.scan() {
                return self.take(false).map(Some);
            }
            match self.content.append(&mut self.splitter.buffer, BLOCK) {
                Err(_) if self.splitter.is_ready() => return self.take(false).map(Some),
                Err(error) => return Err(error),
                Ok(0) if self.finite => {
                    // That it was read to its end is part of the position, and said once.
                    let ready = self.splitter.finish() || !self.identity.ended;
                    return if ready { self.take(true).map(Some) } else { Ok(None) };
                }
                // A header alone is read, too.
                Ok(0) if self.splitter.is_ready() || self.at < self.begin => return self.take(false).map(Some),
                Ok(0) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self, ended: bool) -> Result<Box<Records>, Error> {
        let split = self.splitter.take();
        let failed = |error| failed(&self.partition.0, self.at, error);
        if !self.content.is_compressed() {
            self.recent = match split.oversized.is_empty() {
                true => last_piece(std::mem::take(&mut self.recent), &split.data),
                false => read_before(self.content.file(), split.to).map_err(failed)?.unwrap_or_default(),
            };
            self.identity = self.identity.at(self.content.file(), split.to, &self.recent).map_err(failed)?;
        }
        let ended = ended && self.splitter.end() == split.to;
        self.identity.ended = ended;
        if !self.content.is_compressed() {
            self.identity.size = self.length.max(self.splitter.end());
        }
        let to = position(split.to, Some(self.identity));
        let from = std::mem::replace(&mut self.position, to.clone());
        let mut records = Records::empty(self.partition.clone(), from, self.layout.clone());
        records.to = to;
        let last = split.spans.last().filter(|_| ended && self.last_line == LastLine::Dead);
        if last.is_some_and(|last| !split.data[last.end as usize..].contains(&b'\n')) {
            records.unfinished = Some(split.spans.len() as u32 - 1);
        }
        records.data = Bytes::from(split.data);
        records.spans = split.spans;
        records.offsets = split.offsets;
        records.oversized = split.oversized;
        records.shared = self.shared.clone();
        records.bytes_read = split.to - self.at;
        self.at = split.to;
        Ok(Box::new(records))
    }

    /// Bytes that were not taken yet, if that can be told.
    pub(super) fn lag(&self) -> Option<u64> {
        let length = self.file().metadata().ok()?.len();
        (!self.content.is_compressed()).then(|| length.saturating_sub(self.at))
    }

    /// The file itself.
    pub(super) fn file(&self) -> &File {
        self.content.file()
    }

    /// Whether the file still holds what was read of it, as far as can be seen; otherwise why not.
    pub(super) fn changed(&mut self) -> io::Result<Option<Changed>> {
        let meta = self.file().metadata()?;
        let truncated = meta.len() < self.length && !self.content.is_compressed();
        let reason = match truncated || meta.len() < self.splitter.end() && !self.content.is_compressed() {
            true => format!("the file was truncated to {} bytes", meta.len()),
            false if !self.identity.is_in(self.file())? => "the file was written anew".into(),
            false => {
                self.length = meta.len();
                self.identity.seen(&meta);
                return Ok(None);
            }
        };
        Ok(Some(Changed { reason, truncated, was_read: self.at == self.length }))
    }

    /// The file as it is now, if it was read to its end.
    pub(super) fn at_end(&self) -> Option<Metadata> {
        let meta = self.file().metadata().ok()?;
        (!self.content.is_compressed() && meta.len() == self.splitter.end()).then_some(meta)
    }
}

/// What a file is known by at a position; none if only its name is known.
pub(super) fn identity(position: &Position, name: &str) -> Result<Option<Identity>, Error> {
    let Some(text) = &position.identity else { return Ok(None) };
    let unknown = |()| {
        let message =
            format!("position {position} of {name} was written by another version, which knows files by {text:?}");
        Error::fatal("bad-position", message).fix("go on with that version, or set the checkpoint").for_user()
    };
    text.parse().map(Some).map_err(unknown)
}

/// The last bytes of those before and what follows them.
fn last_piece(mut recent: Vec<u8>, data: &[u8]) -> Vec<u8> {
    let new = &data[data.len().saturating_sub(PIECE)..];
    recent.drain(..(recent.len() + new.len()).saturating_sub(PIECE).min(recent.len()));
    recent.extend_from_slice(new);
    recent
}

/// Whether a line that was taken as whole, without a line break, has grown.
fn is_torn(file: &File, at: u64, recent: &[u8]) -> io::Result<bool> {
    let mut next = [0; 2];
    let read = file.read_at(&mut next, at)?;
    let goes_on = !matches!(&next[..read], [] | [b'\n', ..] | b"\r\n");
    Ok(goes_on && recent.last().is_some_and(|last| *last != b'\n'))
}
