//! The bytes of a file, decompressed.
use super::{Compression, frames::Frames, gzip::Members, names::name};
use dataflow_sdk::Error;
use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

/// The code of an error for want of file descriptors.
pub(super) const TOO_MANY_FILES: &str = "too-many-files";
/// EMFILE: of the process; ENFILE: of the system.
const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];
/// ELOOP: a link leads in a circle.
const CIRCLE: i32 = 40;
/// How much is read of a compressed file at once.
const BUFFER: usize = 256 << 10;

/// The bytes of a file from a place on, decompressed.
pub(crate) struct Content<F: Read = File> {
    name: String,
    bytes: Bytes<F>,
    /// The decompressed offset of the next byte.
    at: u64,
    /// The byte before it, where bytes were passed over to come there.
    before: Option<u8>,
    /// A broken place that was met behind bytes which are still good.
    broken: Option<Error>,
}

enum Bytes<F: Read> {
    Plain(F),
    Gzip(Box<Members<BufReader<F>>>),
    Zstd(Box<Frames<BufReader<F>>>),
}

impl<F: Read> fmt::Debug for Content<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("name", &self.name).field("at", &self.at).finish_non_exhaustive()
    }
}

impl<F: Read + Seek> Content<F> {
    /// The content of `file` (or of another thing that has bytes) from the decompressed offset `at` on. If there are fewer bytes, the error is how many.
    pub(crate) fn new(path: &Path, mut file: F, compression: Compression, at: u64) -> Result<Result<Self, u64>, Error> {
        let failed = |error| failed(&name(path), 0, error);
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let bytes = match compression.of(path) {
            // An empty file is no broken one.
            _ if length == 0 => Bytes::Plain(file),
            given @ (Compression::Gzip | Compression::Zstd) if !given.begins(&mut file).map_err(failed)? => {
                return Err(not_compressed(&name(path), given, compression));
            }
            Compression::Gzip => Bytes::Gzip(Box::new(Members::new(BufReader::with_capacity(BUFFER, file)))),
            Compression::Zstd => {
                let frames = Frames::new(BufReader::with_capacity(BUFFER, file)).map_err(failed)?;
                Bytes::Zstd(Box::new(frames))
            }
            Compression::None | Compression::Auto => Bytes::Plain(file),
        };
        let mut content = Self { name: name(path), bytes, at: 0, before: None, broken: None };
        Ok(content.skip(at, length)?.map(|()| content))
    }

    fn skip(&mut self, to: u64, length: u64) -> Result<Result<(), u64>, Error> {
        if let Bytes::Plain(file) = &mut self.bytes {
            if length < to {
                return Ok(Err(length));
            }
            file.seek(SeekFrom::Start(to)).map_err(|error| failed(&self.name, 0, error))?;
            self.at = to;
            return Ok(Ok(()));
        }
        let mut block = vec![0; BUFFER];
        while self.at < to {
            let most = (to - self.at).min(BUFFER as u64) as usize;
            match self.read(&mut block[..most])? {
                0 => return Ok(Err(self.at)),
                count => self.before = Some(block[count - 1]),
            }
        }
        Ok(Ok(()))
    }

    /// Reads once; 0 at the end.
    fn read(&mut self, block: &mut [u8]) -> Result<usize, Error> {
        loop {
            let read = match &mut self.bytes {
                Bytes::Plain(file) => file.read(block),
                Bytes::Gzip(members) => members.read(block),
                Bytes::Zstd(frames) => frames.read(block),
            };
            match read {
                Ok(count) => {
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.is_compressed() => return Err(corrupt(&self.name, self.at, &error)),
                Err(error) => return Err(failed(&self.name, self.at, error)),
            }
        }
    }

    /// Adds at most `most` bytes to `buffer`; returns how many, 0 at the end.
    pub(crate) fn append(&mut self, buffer: &mut Vec<u8>, most: usize) -> Result<usize, Error> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let old = buffer.len();
        buffer.resize(old + most, 0);
        let mut count = 0;
        let read = loop {
            match self.read(&mut buffer[old + count..]) {
                Ok(0) => break Ok(count),
                Ok(more) if count + more == most => break Ok(most),
                Ok(more) => count += more,
                Err(error) => {
                    self.broken = Some(error.clone());
                    // What was read before a wrong checksum may be altered, too.
                    break if count > 0 && error.code() != ALTERED { Ok(count) } else { Err(error) };
                }
            }
        };
        buffer.truncate(old + *read.as_ref().unwrap_or(&0));
        read
    }

    /// The byte before the place that it was opened at, if it is compressed.
    pub(crate) fn before(&self) -> Option<u8> {
        self.before
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether offsets are of decompressed bytes.
    pub(crate) fn is_compressed(&self) -> bool {
        !matches!(self.bytes, Bytes::Plain(_))
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &F {
        match &self.bytes {
            Bytes::Plain(file) => file,
            Bytes::Gzip(members) => members.get_ref().get_ref(),
            Bytes::Zstd(frames) => frames.get_ref().get_ref(),
        }
    }
}

impl Compression {
    /// Whether a file begins as such a file does, as far as it is there.
    fn begins(self, file: &mut (impl Read + Seek)) -> io::Result<bool> {
        let mut begin = Vec::new();
        file.by_ref().take(4).read_to_end(&mut begin)?;
        file.seek(SeekFrom::Start(0))?;
        let (mut first, there) = ([0; 4], begin.len());
        first[..there].copy_from_slice(&begin);
        let is = |magic: &[u8]| first.iter().zip(magic).take(there).all(|(byte, wanted)| byte == wanted);
        Ok(match self {
            Self::Gzip => is(b"\x1f\x8b"),
            // A frame, or one of sixteen kinds of frames that are skipped.
            Self::Zstd => is(b"\x28\xb5\x2f\xfd") || first[0] >> 4 == 5 && is(&[first[0], 0x2a, 0x4d, 0x18]),
            Self::None | Self::Auto => true,
        })
    }
}

fn not_compressed(name: &str, wanted: Compression, given: Compression) -> Error {
    let format = if wanted == Compression::Zstd { "zstd" } else { "gzip" };
    let why = if given == Compression::Auto { "its name" } else { "`compression`" };
    let message =
        format!("{name} should be {format} according to {why}, but its content does not start with a {format} header");
    Error::fatal("file-corrupt", message)
        .fix("set `compression: none` if it is not compressed; otherwise put a whole file in its place")
}

/// The content is not what was compressed.
const ALTERED: &str = "file-damaged";

fn corrupt(name: &str, at: u64, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let message = format!("{name} is truncated: its compressed data ends after byte {at} of its content");
        return Error::fatal("file-cut-short", message)
            .fix("wait until the file is whole, or put a whole one in its place");
    }
    // What follows the last member, whose checksum was right.
    if error.kind() == io::ErrorKind::InvalidData {
        let message = format!("{name} can't be decompressed after byte {at} of its content: {error}");
        return Error::fatal("file-corrupt", message).fix("put a whole file in its place");
    }
    let message = format!(
        "{name} is damaged before byte {at} of its content: {error}. Records of it that were delivered may be altered"
    );
    Error::fatal(ALTERED, message).fix(
        "put a whole file in its place, and set the checkpoint to \"beginning\" to write its records again (a key keeps them from being \
         doubled); or set `compression` if the name misleads",
    )
}

/// What the operating system says about a file, as an error of the source.
pub(crate) fn failed(name: &str, at: u64, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            Error::fatal("file-missing", format!("{name} does not exist")).fix("correct `path`, or put the file there")
        }
        io::ErrorKind::PermissionDenied => Error::fatal("access-denied", format!("{name} can't be read: {error}"))
            .fix("let the user that runs DataFlow read it"),
        io::ErrorKind::IsADirectory => is_directory(name),
        _ if is_circle(&error) => {
            Error::fatal("link-circle", format!("{name} is a circular link")).fix("point it to a file, or remove it")
        }
        _ if error.raw_os_error().is_some_and(|code| OUT_OF_DESCRIPTORS.contains(&code)) => {
            Error::fatal(TOO_MANY_FILES, format!("{name} can't be opened: {error}"))
                .fix("raise the limit of open files (`ulimit -n`, or LimitNOFILE of systemd)")
        }
        _ => Error::transient("io", format!("{name} can't be read at byte {at}: {error}")),
    }
}

/// Whether the system found that a link leads in a circle.
pub(super) fn is_circle(error: &io::Error) -> bool {
    error.raw_os_error() == Some(CIRCLE)
}

/// The error for a path that is a directory.
pub(crate) fn is_directory(name: &str) -> Error {
    let pattern = Path::new(name).join("*");
    Error::fatal("is-a-directory", format!("{name} is a directory"))
        .fix(format!("give a file, or a pattern like {:?}", pattern.display().to_string()))
}
