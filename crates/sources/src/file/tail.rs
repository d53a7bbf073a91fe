//! One file, read from a place on.
use super::{
    FileSource, LastLine,
    content::{Content, failed},
    identity::Identity,
    lost::{Loss, Lost, moved, passed_over, unread},
    names::{name, partition},
    opening::has_rested,
    piece::{PIECE, lie_before, read_before},
    rows,
    split::{Caps, Splitter},
    table::Table,
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
    time::Duration,
};

/// The fault of a file whose content before the position has changed.
pub(super) const ANEW: &str = "the file was rewritten";
/// The fault of a file whose last line has grown.
const TORN: &str = "its last line had no line break and was taken as complete, but has grown since";
/// The fault of a path that now leads to another file.
pub(super) const REPLACED: &str = "another file has taken its place";
/// How much is read at once.
pub(crate) const BLOCK: usize = 256 << 10;

/// What bounds a batch of this pipeline.
pub(crate) fn caps(cx: &Context) -> Caps {
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
    /// It is not whole yet, which is waited for, and said.
    Unfinished(Warning),
}

/// How an open file differs from what was read of it.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) reason: String,
    /// It is shorter than it was, and holds nothing of what was read of it but its header: it was emptied, and maybe written since.
    pub(super) emptied: bool,
    /// Bytes that were there when it was last looked at, and were not taken.
    pub(super) unread: u64,
}

/// One file, read from a place on.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) partition: Partition,
    content: Content,
    /// Its rows, where these are not lines.
    pub(super) table: Option<Table>,
    splitter: Splitter,
    /// At the position.
    pub(super) identity: Identity,
    layout: Layout,
    /// What to know of its header.
    pub(super) warning: Option<Warning>,
    pub(super) shared: Arc<Vec<(String, String)>>,
    /// Where its records begin: after its header.
    header: u64,
    /// The first place of which records are taken.
    begin: u64,
    /// After the last records taken.
    pub(super) position: Position,
    pub(super) at: u64,
    /// The first bytes that were read, up to 1 KiB.
    first: Vec<u8>,
    /// How long the file was when it was last looked at.
    pub(super) length: u64,
    /// Why what follows does not go on from what was read, once that was found.
    anew: Option<&'static str>,
    /// Whether it won't grow: then its last line needs no line break.
    pub(super) finite: bool,
    /// If it is compressed, it is taken as whole once nothing was done to it for so long.
    grace: Duration,
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
        let bytes = unread(&from);
        let lost =
            |reason: &str| moved(source, path, &file, Lost { wanted: from.clone(), reason, bytes }).map(Opened::Moved);
        let known = identity(&from, &name)?;
        if let Some(known) = &known
            && !known.is(&file).map_err(failed)?
        {
            let same = known.is_inode(&file.metadata().map_err(failed)?);
            return lost(if same { ANEW } else { REPLACED });
        }
        if let Some(known) = known.filter(|known| known.unsaid > 0) {
            let reason = format!("{REPLACED}; {} bytes of it were not read", known.unsaid);
            let loss = Loss { records: 0, bytes: known.unsaid, reason: &reason };
            let to = position(at, Some(known.after_loss(0)));
            return Ok(Opened::Moved(passed_over(partition(path), from.clone(), to, loss)));
        }
        let (ended, original) = known.map_or((false, None), |known| (known.ended, known.original));
        let meta = file.metadata().map_err(failed)?;
        if meta.len() == 0 {
            return if at == 0 { Ok(Opened::Empty) } else { lost("the file is empty") };
        }
        let Some((layout, begin, warning)) = source.layout(path, there, &file, finite)? else {
            return Ok(Opened::Empty);
        };
        let table = match source.open_rows(path, &file, caps, at, known)? {
            rows::Opened::Lines => None,
            rows::Opened::Ready(table) => Some(table),
            rows::Opened::Unfinished(warning) => return Ok(Opened::Unfinished(warning)),
            rows::Opened::Lost(reason) => return lost(&reason),
        };
        let start = if table.is_some() { 0 } else { at.max(begin) };
        let clone = file.try_clone().map_err(failed)?;
        let content = match Content::new(source.named(path, there), clone, source.compression, start)? {
            Ok(content) => content,
            Err(length) => return lost(&format!("the file has only {length} bytes")),
        };
        // Of a compressed file the whole is known; it doesn't grow.
        let known_to = if content.is_compressed() || table.is_some() { meta.len() } else { at };
        let identity = Identity::of(&file, known_to).map_err(failed)?;
        if identity.is_of_nothing() {
            return Ok(Opened::Empty);
        }
        let (mut first, mut last) = (Vec::new(), content.before().into_iter().collect());
        if !content.is_compressed() && table.is_none() {
            let before = |end| read_before(&file, end).map(Option::unwrap_or_default).map_err(failed);
            (first, last) = (before(start.min(PIECE as u64))?, before(start)?);
            // What is read is held against these, so they are held against what was read before.
            if start == at && known.is_some_and(|known| known.place() == at && !known.is_after(&last)) {
                return lost(ANEW);
            }
            let mut next = [0; 2];
            let read = file.read_at(&mut next, at).map_err(failed)?;
            let whole = last.len() as u64 == at;
            if ended && is_torn(&next[..read], &last, whole, source.dialect(path).is_none()) {
                return lost(TORN);
            }
        }
        Ok(Opened::Ready(Box::new(Self {
            shared: Arc::new(vec![("file".into(), name)]),
            finite,
            grace: source.grace(),
            partition: partition(path),
            content,
            table,
            splitter: Splitter::new(start, source.dialect(path), caps).after(last),
            identity: identity.ending(ended).copied_from(original),
            layout,
            warning,
            header: begin,
            begin: start,
            position: from,
            at,
            first,
            length: meta.len(),
            anew: None,
            last_line: source.last_line,
        })))
    }

    /// The next records; none at the end of what is there, or where that does not follow what was read.
    pub(super) fn next(&mut self) -> Result<Option<Box<Records>>, Error> {
        if self.table.is_some() {
            return self.next_rows();
        }
        loop {
            if self.splitter.scan() {
                return self.take(false).map(Some);
            }
            match self.append() {
                Err(_) if self.splitter.is_ready() => return self.take(false).map(Some),
                Err(error) => return Err(error),
                Ok(0) if self.is_whole() => {
                    // That it was read to its end is part of the position, and said once.
                    let ready = self.splitter.finish() || !self.identity.ended;
                    return if ready { self.take(true).map(Some) } else { Ok(None) };
                }
                // A header alone is read, too.
                Ok(0) if self.splitter.is_ready() || self.at < self.begin => return self.take(false).map(Some),
                Ok(0) => return Ok(None),
                Ok(_) if self.anew.is_some() => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    /// Whether nothing more comes after the end. A compressed file may still be written where its last line has no line break.
    fn is_whole(&self) -> bool {
        let rests = || self.file().metadata().is_ok_and(|meta| has_rested(&meta, self.grace));
        self.finite || self.is_compressed() && (!self.splitter.has_rest() || rests())
    }

    /// Reads more, if that follows what was read before: where a file was truncated and has outgrown the position since, only
    /// the bytes before it tell. Looked at after it was read, so that it can't be truncated in between.
    fn append(&mut self) -> Result<usize, Error> {
        let (old, end) = (self.splitter.buffer.len(), self.splitter.end());
        let count = self.content.append(&mut self.splitter.buffer, BLOCK)?;
        if count == 0 {
            return Ok(count);
        }
        if self.content.is_compressed() {
            // Of what comes before, only the last byte may be known.
            if self.identity.ended && is_torn(&self.splitter.buffer[old..], &self.splitter.last(old), false, false) {
                self.anew = Some(TORN);
                self.splitter.buffer.truncate(old);
            }
            return Ok(count);
        }
        let follows = lie_before(self.content.file(), end, &self.splitter.last(old));
        let follows = follows.map_err(|error| failed(&self.partition.0, end, error))?;
        self.anew = (!follows).then_some(ANEW);
        if self.anew.is_some() {
            self.splitter.buffer.truncate(old);
        } else if self.first.len() as u64 == end {
            let new = &self.splitter.buffer[old..];
            self.first.extend_from_slice(&new[..new.len().min(PIECE - self.first.len())]);
        }
        Ok(count)
    }

    fn take(&mut self, ended: bool) -> Result<Box<Records>, Error> {
        let split = self.splitter.take();
        let ended = ended && self.splitter.end() == split.to;
        self.identity.ended = ended;
        if !self.content.is_compressed() {
            self.identity = self.identity.at(split.to, &self.first, self.splitter.before());
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
        if let Some(table) = &self.table {
            return Some(if self.identity.ended { 0 } else { table.left(self.length).max(1) });
        }
        let length = self.file().metadata().ok()?.len();
        (!self.content.is_compressed()).then(|| length.saturating_sub(self.at))
    }

    /// Bytes that are there and were not read; of a compressed file, all until it was read to its end.
    pub(super) fn unread(&self) -> u64 {
        self.lag().unwrap_or_else(|| self.identity.unread(self.at))
    }

    /// Whether it is compressed, or has rows, and so won't grow like a log.
    pub(super) fn is_compressed(&self) -> bool {
        self.content.is_compressed() || self.table.is_some()
    }

    /// Whether it is a copy of a file that was truncated since, and so won't grow.
    pub(super) fn is_copy(&self) -> bool {
        self.identity.original.is_some_and(|original| original != self.identity.inode())
    }

    /// The file itself.
    pub(super) fn file(&self) -> &File {
        self.content.file()
    }

    /// Whether the file still holds what was read of it, as far as can be seen; otherwise why not.
    pub(super) fn changed(&mut self) -> io::Result<Option<Changed>> {
        if self.table.is_some() {
            return self.rows_changed();
        }
        let meta = self.file().metadata()?;
        let truncated = meta.len() < self.length && !self.content.is_compressed();
        let reason = match truncated || meta.len() < self.splitter.end() && !self.content.is_compressed() {
            true => format!("the file was truncated to {} bytes", meta.len()),
            false if self.anew.is_some() || !self.identity.is_in(self.file())? => self.anew.unwrap_or(ANEW).into(),
            false => {
                self.length = meta.len();
                self.identity.seen(&meta);
                return Ok(None);
            }
        };
        let unread = match self.content.is_compressed() {
            true => self.identity.unread(self.at),
            false => self.length.max(self.splitter.end()).saturating_sub(self.at),
        };
        let emptied = truncated && !self.holds_first(meta.len())?;
        Ok(Some(Changed { reason, emptied, unread }))
    }

    /// Whether the file, of this length, begins with the first line that was read of it, or what there is of that.
    fn holds_first(&self, length: u64) -> io::Result<bool> {
        let first = self.first.get(self.header as usize..).unwrap_or_default();
        let end = memchr::memchr(b'\n', first).map_or(self.first.len() as u64, |at| self.header + at as u64 + 1);
        let first = &self.first[..end.min(length) as usize];
        Ok(length > self.header && lie_before(self.file(), first.len() as u64, first)?)
    }

    /// The file as it is now, if it was read to its end.
    pub(super) fn at_end(&self) -> Option<Metadata> {
        let meta = self.file().metadata().ok()?;
        let at_end = match &self.table {
            Some(_) => self.identity.ended && meta.len() == self.length,
            None => !self.content.is_compressed() && meta.len() == self.splitter.end(),
        };
        at_end.then_some(meta)
    }
}

/// What a file is known by at a position; none if only its name is known.
pub(super) fn identity(position: &Position, name: &str) -> Result<Option<Identity>, Error> {
    let Some(text) = &position.identity else { return Ok(None) };
    let unknown = |()| {
        let message =
            format!("position {position} of {name} was written by another version, which identifies files by {text:?}");
        Error::fatal("bad-position", message).fix("use that version, or set the checkpoint").for_user()
    };
    text.parse().map(Some).map_err(unknown)
}

/// Whether a line that was taken as whole, without a line break, has grown by these `next` bytes; `last` are those before, or all if
/// `whole`. Where `blanks` are no record, a line of them was not taken.
fn is_torn(next: &[u8], last: &[u8], whole: bool, blanks: bool) -> bool {
    let goes_on = !matches!(next, [] | [b'\n', ..] | [b'\r', b'\n', ..]);
    let line = memchr::memrchr(b'\n', last).map_or(last, |at| &last[at + 1..]);
    let known = whole || line.len() < last.len();
    let blank = line.is_empty() && known || blanks && known && line.iter().all(u8::is_ascii_whitespace);
    goes_on && !last.is_empty() && !blank
}
