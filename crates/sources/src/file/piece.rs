//! Some bytes of a file, remembered by their hash.
use std::{fmt, fs::File, io, os::unix::fs::FileExt, str::FromStr};
use xxhash_rust::xxh3::xxh3_64;

/// Longest piece of a file that is remembered by its hash.
pub(super) const PIECE: usize = 1024;

/// Some bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    end: u64,
    length: u64,
    hash: u64,
}

impl Piece {
    /// The bytes that end at an offset.
    pub(super) fn of(bytes: &[u8], end: u64) -> Self {
        Self { end, length: bytes.len() as u64, hash: xxh3_64(bytes) }
    }

    /// The (at most 1 KiB) before `end`; none if the file is shorter.
    pub(super) fn before(file: &File, end: u64) -> io::Result<Option<Self>> {
        Ok(read_before(file, end)?.map(|bytes| Self::of(&bytes, end)))
    }

    pub(super) fn begin(&self) -> u64 {
        self.end.saturating_sub(self.length)
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether these are the bytes.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        xxh3_64(bytes) == self.hash
    }

    pub(super) fn is_in(&self, file: &File) -> io::Result<bool> {
        let begin = self.end.saturating_sub(self.length);
        Ok(read(file, begin, self.length.min(PIECE as u64))?.is_some_and(|bytes| xxh3_64(&bytes) == self.hash))
    }
}

/// The (at most 1 KiB) bytes of a file before `end`; none if it is shorter.
pub(super) fn read_before(file: &File, end: u64) -> io::Result<Option<Vec<u8>>> {
    let length = end.min(PIECE as u64);
    read(file, end - length, length)
}

/// Whether these bytes lie in a file before `end`.
pub(super) fn lie_before(file: &File, end: u64, bytes: &[u8]) -> io::Result<bool> {
    let length = bytes.len() as u64;
    Ok(read(file, end - length, length)?.is_some_and(|there| there == bytes))
}

fn read(file: &File, begin: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; length as usize];
    match file.read_exact_at(&mut bytes, begin) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:016x}", self.end, self.length, self.hash)
    }
}

impl FromStr for Piece {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(());
        let (end, length, hash) = (number(next()?)?, number(next()?)?, next()?);
        Ok(Self { end, length, hash: u64::from_str_radix(hash, 16).map_err(|_| ())? })
    }
}

pub(super) fn number(text: &str) -> Result<u64, ()> {
    text.parse().map_err(|_| ())
}
