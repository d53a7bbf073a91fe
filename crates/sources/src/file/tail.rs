//! One file, read from a place on.
use super::{
    FileSource,
    content::{Content, failed},
    identity::Identity,
    split::{Caps, Splitter},
};
use crate::lost::OnPositionLost;
use bytes::Bytes;
use dataflow_core::position::{Partition, Position};
use dataflow_sdk::{
    Context, Error, Records,
    records::{Layout, Lost},
};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

/// How much is read at once.
const BLOCK: usize = 256 << 10;

/// What bounds a batch of this pipeline.
pub(super) fn caps(cx: &Context) -> Caps {
    let bytes = cx.batch.max_bytes.min(cx.max_in_flight_bytes / 2).clamp(1, 1 << 30) as usize;
    let record_bytes = cx.max_record_bytes.clamp(1, 1 << 30) as usize;
    Caps { records: cx.batch.max_records.max(1) as usize, bytes, record_bytes }
}

/// Opens a file for reading, if pipelines may.
pub(super) fn open(path: &Path, cx: &Context) -> Result<File, Error> {
    let name = path.display().to_string();
    // Before it is opened: a pipe would wait for its writer.
    let meta = std::fs::metadata(path).map_err(|error| failed(&name, 0, error))?;
    if meta.is_dir() {
        return Err(super::content::is_directory(&name));
    }
    if !meta.is_file() {
        let error = Error::fatal("not-a-file", format!("{name} is a pipe or device, which can't be read again"));
        return Err(error.fix("give a regular file"));
    }
    cx.paths.admit(path)?;
    File::open(path).map_err(|error| failed(&name, 0, error))
}

/// The position behind the last record that is there.
pub(super) fn end(source: &FileSource, cx: &Context, path: &Path) -> Result<Position, Error> {
    let failed = |error| failed(&path.display().to_string(), 0, error);
    let file = open(path, cx)?;
    let identity = Identity::of(&file).map_err(failed)?;
    let end = match source.follow {
        true => last_line_break(&file).map_err(failed)?,
        false => length(source, path, &file)?,
    };
    Ok(position(end, identity))
}

/// Number of bytes in a file, decompressed.
fn length(source: &FileSource, path: &Path, file: &File) -> Result<u64, Error> {
    let file = file.try_clone().map_err(|error| failed(&path.display().to_string(), 0, error))?;
    match Content::new(path, file, source.compression, u64::MAX)? {
        Err(length) => Ok(length),
        Ok(_) => Ok(u64::MAX),
    }
}

/// Where the line begins that has no line break yet.
fn last_line_break(file: &File) -> std::io::Result<u64> {
    let mut file = file;
    let mut end = file.metadata()?.len();
    let mut block = vec![0; 64 << 10];
    while end > 0 {
        let begin = end.saturating_sub(block.len() as u64);
        file.seek(SeekFrom::Start(begin))?;
        let block = &mut block[..(end - begin) as usize];
        file.read_exact(block)?;
        if let Some(at) = memchr::memrchr(b'\n', block) {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

fn position(at: u64, identity: Option<Identity>) -> Position {
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

/// One file, read from a place on.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) partition: Partition,
    path: PathBuf,
    content: Content,
    splitter: Splitter,
    pub(super) identity: Identity,
    layout: Layout,
    shared: Arc<Vec<(String, String)>>,
    /// Behind the last records taken.
    pub(super) position: Position,
    at: u64,
    /// Whether it won't grow: then its last line needs no line break.
    pub(super) finite: bool,
}

impl Tail {
    /// Goes on with `file`, which was found under `path`, at a position.
    pub(super) fn open(
        source: &FileSource,
        caps: Caps,
        path: &Path,
        file: File,
        from: Option<Position>,
    ) -> Result<Opened, Error> {
        let name = path.display().to_string();
        let failed = |error| failed(&name, 0, error);
        let partition = super::partition(path);
        let finite = !source.follow;
        let from = from.unwrap_or(Position::offset(0));
        let Some(at) = from.as_offset() else {
            let error = Error::fatal("bad-position", format!("position {from} of {name} is not a byte offset"));
            return Err(error.fix("set the checkpoint to a number of bytes").for_user());
        };
        let known = from.identity.as_ref().map(|text| text.parse::<Identity>());
        let identity = match known {
            Some(Ok(known)) if known.is(&file).map_err(failed)? => Some(known),
            Some(known) => {
                let meta = file.metadata().map_err(failed)?;
                let same = known.is_ok_and(|known| known.is_inode(&meta));
                let reason = if same { "the file was written anew" } else { "another file has taken its place" };
                return moved(source, path, &file, partition, from, reason).map(Opened::Moved);
            }
            None => Identity::of(&file).map_err(failed)?,
        };
        let Some(identity) = identity else {
            return match at {
                0 => Ok(Opened::Empty),
                _ => moved(source, path, &file, partition, from, "the file is empty").map(Opened::Moved),
            };
        };
        let Some((layout, begin)) = source.layout(path, &file, finite)? else { return Ok(Opened::Empty) };
        let start = at.max(begin);
        let clone = file.try_clone().map_err(failed)?;
        let content = match Content::new(path, clone, source.compression, start)? {
            Ok(content) => content,
            Err(length) => {
                let reason = format!("the file has only {length} bytes");
                return moved(source, path, &file, partition, from, &reason).map(Opened::Moved);
            }
        };
        Ok(Opened::Ready(Box::new(Self {
            shared: Arc::new(vec![("file".into(), name)]),
            finite: finite || content.is_compressed(),
            partition,
            path: path.into(),
            content,
            splitter: Splitter::new(start, source.dialect(path), caps),
            identity,
            layout,
            position: from,
            at,
        })))
    }

    /// The next records; none at the end of what is there.
    pub(super) fn next(&mut self) -> Result<Option<Box<Records>>, Error> {
        loop {
            if self.splitter.scan() {
                return Ok(Some(self.take()));
            }
            match self.content.append(&mut self.splitter.buffer, BLOCK) {
                Err(_) if self.splitter.is_ready() => return Ok(Some(self.take())),
                Err(error) => return Err(error),
                Ok(0) => {
                    let ready = if self.finite { self.splitter.finish() } else { self.splitter.is_ready() };
                    return Ok(ready.then(|| self.take()));
                }
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self) -> Box<Records> {
        let split = self.splitter.take();
        let to = position(split.to, Some(self.identity));
        let from = std::mem::replace(&mut self.position, to.clone());
        let mut records = Records::empty(self.partition.clone(), from, self.layout.clone());
        records.to = to;
        records.data = Bytes::from(split.data);
        records.spans = split.spans;
        records.offsets = split.offsets;
        records.oversized = split.oversized;
        records.shared = self.shared.clone();
        records.bytes_read = split.to - self.at;
        self.at = split.to;
        Box::new(records)
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
    pub(super) fn changed(&self) -> std::io::Result<Option<String>> {
        let length = self.file().metadata()?.len();
        if !self.content.is_compressed() && length < self.splitter.end() {
            return Ok(Some(format!("the file was truncated to {length} bytes")));
        }
        Ok((!self.identity.is(self.file())?).then(|| "the file was written anew".into()))
    }

    /// The position was lost in a file that is open.
    pub(super) fn moved(&self, source: &FileSource, from: Position, reason: &str) -> Result<Box<Records>, Error> {
        moved(source, &self.path, self.file(), self.partition.clone(), from, reason)
    }
}

/// What follows from a lost position: the failure, or the interval that passes over what is lost.
fn moved(
    source: &FileSource,
    path: &Path,
    file: &File,
    partition: Partition,
    wanted: Position,
    reason: &str,
) -> Result<Box<Records>, Error> {
    let identity = Identity::of(file).map_err(|error| failed(&path.display().to_string(), 0, error))?;
    let earliest = position(0, identity);
    let latest = position(length(source, path, file)?, identity);
    // How many records a file held that is gone can't be known; those that are there and passed over can.
    let (to, lost) = match source.on_position_lost {
        OnPositionLost::Fail => {
            return Err(Error::PositionLost { partition, wanted, earliest, latest, reason: reason.into() });
        }
        OnPositionLost::Earliest => (earliest, 0),
        OnPositionLost::Latest => {
            let (count, end) = whole_records(source, path, file)?;
            (position(end, identity), count)
        }
    };
    tracing::warn!(%partition, %wanted, %to, reason, "position lost; going on");
    let mut records = Records::empty(partition, wanted, Layout::Json);
    records.to = to.clone();
    records.lost = Some(Lost { records: lost, to });
    Ok(Box::new(records))
}

/// Number of records in a file, and the offset behind the last: a line that may still grow is none yet.
fn whole_records(source: &FileSource, path: &Path, file: &File) -> Result<(u64, u64), Error> {
    let clone = file.try_clone().map_err(|error| failed(&path.display().to_string(), 0, error))?;
    let Ok(mut content) = Content::new(path, clone, source.compression, 0)? else { return Ok((0, 0)) };
    let dialect = source.dialect(path);
    let caps = Caps { records: 8192, bytes: 8 * BLOCK, record_bytes: BLOCK };
    let mut splitter = Splitter::new(0, dialect, caps);
    let (mut records, mut end) = (0, 0);
    loop {
        if !splitter.scan() {
            if content.append(&mut splitter.buffer, BLOCK)? > 0 {
                continue;
            }
            if !(if source.follow { splitter.is_ready() } else { splitter.finish() }) {
                break;
            }
        }
        let split = splitter.take();
        (records, end) = (records + split.spans.len() as u64, split.to);
    }
    let header = u64::from(dialect.is_some() && source.header);
    Ok((records.saturating_sub(header), end))
}
