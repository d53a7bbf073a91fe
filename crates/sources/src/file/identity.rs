//! What a file is known by, so that another one under the same name is noticed, and the same one under another name.
use std::{
    fmt,
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};
use xxhash_rust::xxh3::xxh3_64;

/// Longest piece of a file that is remembered by its hash.
pub(super) const PIECE: usize = 1024;

/// Some bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    fn before(file: &File, end: u64) -> io::Result<Option<Self>> {
        Ok(read_before(file, end)?.map(|bytes| Self::of(&bytes, end)))
    }

    pub(super) fn begin(&self) -> u64 {
        self.end.saturating_sub(self.length)
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether these are the bytes.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        xxh3_64(bytes) == self.hash
    }

    fn is_in(&self, file: &File) -> io::Result<bool> {
        let begin = self.end.saturating_sub(self.length);
        Ok(read(file, begin, self.length.min(PIECE as u64))?.is_some_and(|bytes| xxh3_64(&bytes) == self.hash))
    }
}

/// The (at most 1 KiB) bytes of a file before `end`; none if it is shorter.
pub(super) fn read_before(file: &File, end: u64) -> io::Result<Option<Vec<u8>>> {
    let length = end.min(PIECE as u64);
    read(file, end - length, length)
}

fn read(file: &File, begin: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; length as usize];
    match file.read_exact_at(&mut bytes, begin) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file among those of one device: its inode, and when that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    number: u64,
    born: u64,
}

impl Inode {
    pub(super) fn is(&self, meta: &Metadata) -> bool {
        let born = nanos(meta.created());
        self.number == meta.ino() && (self.born == born || self.born == 0 || born == 0)
    }
}

/// Which file it is (device, inode, and when that was made, as inodes are used again), and what was read of it: its first
/// bytes and the last ones before the position, up to 1 KiB each. Both widen as it is read; a file of which nothing was
/// read yet is known by the first bytes that were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    dev: u64,
    inode: u64,
    /// Nanoseconds; 0 where the file system doesn't keep it.
    born: u64,
    /// When the file was last written, as of the last look: nothing older is a copy of it.
    modified: u64,
    /// How long it was, as of the last look.
    pub(super) size: u64,
    head: Piece,
    near: Piece,
    /// Of a copy: the file that was copied and truncated, which goes on after it. Of that file: itself, as its copies hold
    /// nothing that comes after it.
    pub(super) original: Option<Inode>,
    /// Whether it was whole (it was not followed, or something else has its name) and was read to its end.
    pub(super) ended: bool,
    /// Whether it is gone and a user goes on without it. What of it was not read is said once; then it has ended.
    pub(super) given_up: bool,
}

impl Identity {
    /// What `file` is known by where it was read up to `at`; none while it is empty.
    pub(crate) fn of(file: &File, at: u64) -> io::Result<Option<Self>> {
        let meta = file.metadata()?;
        let at = at.min(meta.len());
        let known = if at > 0 { at } else { meta.len() };
        let (Some(head), Some(near)) = (Piece::before(file, known.min(PIECE as u64))?, Piece::before(file, at)?) else {
            return Ok(None);
        };
        let unread = Self {
            dev: meta.dev(),
            inode: meta.ino(),
            born: nanos(meta.created()),
            modified: nanos(meta.modified()),
            size: meta.len(),
            head,
            near,
            original: None,
            ended: false,
            given_up: false,
        };
        Ok((meta.len() > 0).then_some(unread))
    }

    /// The same where it was read up to `at`, before which lie `recent` bytes.
    pub(super) fn at(self, file: &File, at: u64, recent: &[u8]) -> io::Result<Self> {
        let wide = at.min(PIECE as u64);
        let head = match at {
            0 => self.head,
            _ if self.head.length == wide => self.head,
            _ if recent.len() as u64 == at => Piece::of(recent, at),
            _ => Piece::before(file, wide)?.unwrap_or(self.head),
        };
        Ok(Self { head, near: Piece::of(recent, at), ..self })
    }

    /// The same, whether read to its end or not.
    pub(super) fn ending(self, ended: bool) -> Self {
        Self { ended, ..self }
    }

    /// The same, of a file that is gone and of which nothing more is said.
    pub(super) fn gone(self) -> Self {
        Self { ended: true, given_up: true, ..self }
    }

    /// What is known of its bytes, in their order.
    pub(super) fn pieces(&self) -> [Piece; 2] {
        [self.head, self.near]
    }

    /// How far it was read.
    pub(super) fn place(&self) -> u64 {
        self.near.end
    }

    /// Which file it is, whatever it holds.
    pub(super) fn inode(&self) -> Inode {
        Inode { number: self.inode, born: self.born }
    }

    /// The same, known to be a copy of another file, or to be that one.
    pub(super) fn copied_from(self, original: Option<Inode>) -> Self {
        Self { original, ..self }
    }

    /// The same, where reading goes on without what was not read.
    pub(super) fn given_up(self) -> Self {
        Self { given_up: true, ..self }
    }

    /// Bytes that were there when it was last looked at and that were not read up to `at`; of a compressed file, all.
    pub(super) fn unread(&self, at: u64) -> u64 {
        match self.counts(at) {
            _ if self.ended => 0,
            true => self.size.saturating_sub(at),
            false => self.size,
        }
    }

    /// The end of what is known of it, as a position counts.
    pub(super) fn end(&self, at: u64) -> u64 {
        if self.counts(at) { self.size.max(at) } else { at }
    }

    /// Whether the position `at` counts bytes as they lie there. A compressed file is known by all of these.
    fn counts(&self, at: u64) -> bool {
        self.near.end == at
    }

    /// The same as it was last written, by what is known of it now.
    pub(super) fn seen(&mut self, meta: &Metadata) {
        self.modified = nanos(meta.modified());
        self.size = meta.len();
    }

    /// Whether `file` is the one that is known by this.
    pub(crate) fn is(&self, file: &File) -> io::Result<bool> {
        Ok(self.is_inode(&file.metadata()?) && self.is_in(file)?)
    }

    /// Whether `file` holds all that was read, as far as that is known.
    pub(super) fn is_in(&self, file: &File) -> io::Result<bool> {
        Ok(self.head.is_in(file)? && self.near.is_in(file)?)
    }

    /// Whether `file` may be a copy of it: another file that holds what was read, written no earlier.
    pub(super) fn is_copied(&self, file: &File) -> io::Result<bool> {
        let meta = file.metadata()?;
        Ok(!self.is_inode(&meta) && nanos(meta.modified()) >= self.modified && meta.len() > 0 && self.is_in(file)?)
    }

    /// Whether both are of the same file, whatever was read of it.
    pub(super) fn is_same_inode(&self, other: &Self) -> bool {
        (self.dev, self.inode, self.born) == (other.dev, other.inode, other.born)
    }

    /// Whether it is the same inode, whatever it holds.
    pub(crate) fn is_inode(&self, meta: &Metadata) -> bool {
        let born = nanos(meta.created());
        (self.dev, self.inode) == (meta.dev(), meta.ino()) && (self.born == born || self.born == 0 || born == 0)
    }
}

fn nanos(time: io::Result<SystemTime>) -> u64 {
    let since = time.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// The shape in which it is stored: `1:<dev>:<inode>:<born>@<modified>:<size>:<head>:<near>[:of-<inode>-<born>][:end|:left|:gone]`, a piece being
/// `<end>-<length>-<hash>`. What stands before the `@` says which file it is, what comes after it how far it is known.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dev, inode, born, modified, size, head, near, original, ended, given_up } = self;
        let of = original.map(|Inode { number, born }| format!(":of-{number}-{born}")).unwrap_or_default();
        let end = match (given_up, ended) {
            (true, true) => ":gone",
            (true, false) => ":left",
            (false, true) => ":end",
            (false, false) => "",
        };
        write!(f, "1:{dev}:{inode}:{born}@{modified}:{size}:{head}:{near}{of}{end}")
    }
}

impl FromStr for Identity {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split([':', '@']);
        let mut next = || parts.next().ok_or(());
        if next()? != "1" {
            return Err(());
        }
        let (dev, inode, born, modified) = (number(next()?)?, number(next()?)?, number(next()?)?, number(next()?)?);
        let size = number(next()?)?;
        let (head, near) = (next()?.parse()?, next()?.parse()?);
        let mut known =
            Self { dev, inode, born, modified, size, head, near, original: None, ended: false, given_up: false };
        for part in parts {
            match (part, part.strip_prefix("of-").and_then(|of| of.split_once('-'))) {
                ("end", _) => known.ended = true,
                ("left", _) => known.given_up = true,
                ("gone", _) => (known.ended, known.given_up) = (true, true),
                (_, Some((inode, made))) => {
                    known.original = Some(Inode { number: number(inode)?, born: number(made)? });
                }
                _ => return Err(()),
            }
        }
        Ok(known)
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

fn number(text: &str) -> Result<u64, ()> {
    text.parse().map_err(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What is stored in positions stays readable, and is written the same again.
    #[test]
    fn stored_identities_stay_readable() {
        let golden = include_str!("../../golden/file-identity.txt");
        for line in golden.lines() {
            assert_eq!(line.parse::<Identity>().unwrap().to_string(), line);
        }
        assert_eq!(golden.lines().filter(|line| line.ends_with(":end")).count(), 1);
        for wrong in
            ["", "64769:7:ab/3", "2:1:2:3@4:5:0-0-0:0-0-0", "1:1:2:3@4:0-0-0:0-0-0", "1:1:2:3@4:5:0-0-0:0-0-0:other"]
        {
            wrong.parse::<Identity>().unwrap_err();
        }
    }
}
