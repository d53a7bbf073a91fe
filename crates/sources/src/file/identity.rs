//! The identity of a file: detects another file under the same name, and the same file under another name.
use super::piece::{PIECE, Piece, number};
use dataflow_core::position::Position;
use std::{
    fmt,
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

/// A file among those of one device: its inode, and when that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    number: u64,
    born: u64,
}

impl Inode {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self { number: meta.ino(), born: nanos(meta.created()) }
    }

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
    /// Bytes that were not read of what it has taken the place of, where a user goes on in it: said once.
    pub(super) unsaid: u64,
}

impl Identity {
    /// What `file` is known by where it was read up to `at`. An empty one is known by its inode alone.
    pub(crate) fn of(file: &File, at: u64) -> io::Result<Self> {
        let meta = file.metadata()?;
        let at = at.min(meta.len());
        let known = if at > 0 { at } else { meta.len() };
        let (head, near) = (Piece::before(file, known.min(PIECE as u64))?, Piece::before(file, at)?);
        // One that is truncated meanwhile is looked at again.
        let (head, near, size) = match (head, near) {
            (Some(head), Some(near)) => (head, near, meta.len()),
            _ => (Piece::of(b"", 0), Piece::of(b"", 0), 0),
        };
        Ok(Self {
            dev: meta.dev(),
            inode: meta.ino(),
            born: nanos(meta.created()),
            modified: nanos(meta.modified()),
            size,
            head,
            near,
            original: None,
            ended: false,
            given_up: false,
            unsaid: 0,
        })
    }

    /// What a file is known by that is not there: whatever is made in its `folder` from now on comes later.
    pub(super) fn of_none(folder: &Metadata) -> Self {
        let nothing = Piece::of(b"", 0);
        Self {
            dev: 0,
            inode: 0,
            born: 0,
            modified: nanos(folder.modified()),
            size: 0,
            head: nothing,
            near: nothing,
            original: None,
            ended: false,
            given_up: false,
            unsaid: 0,
        }
    }

    /// Whether no file was there.
    pub(super) fn is_of_none(&self) -> bool {
        self.inode == 0
    }

    /// The same where it was read up to `at`: its `first` bytes and the `last` ones before that, as they were read.
    pub(super) fn at(self, at: u64, first: &[u8], last: &[u8]) -> Self {
        let wide = at.min(PIECE as u64);
        let head = match first.get(..wide as usize) {
            Some(first) if at > 0 && self.head.length() != wide => Piece::of(first, wide),
            _ => self.head,
        };
        Self { head, near: Piece::of(last, at), ..self }
    }

    /// Whether these are the last bytes that were read.
    pub(super) fn is_after(&self, last: &[u8]) -> bool {
        self.near.is(last)
    }

    /// The same, whether read to its end or not.
    pub(super) fn ending(self, ended: bool) -> Self {
        Self { ended, ..self }
    }

    /// The same, of a file that is gone and of which nothing more is said.
    pub(super) fn gone(self) -> Self {
        Self { ended: true, given_up: true, ..self }
    }

    /// The same, of a file that goes on under another name: what lies under this one is not it.
    pub(super) fn left(self) -> Self {
        Self { dev: 0, inode: 0, born: 0, original: None, ..self.gone() }
    }

    /// Whether it is gone and nothing more is said of it.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.given_up
    }

    /// What is known of its bytes, in their order.
    pub(super) fn pieces(&self) -> [Piece; 2] {
        [self.head, self.near]
    }

    /// Whether it was empty: then every file holds what is known of it.
    pub(super) fn is_of_nothing(&self) -> bool {
        self.head.length() == 0
    }

    /// How far it was read.
    pub(super) fn place(&self) -> u64 {
        self.near.end()
    }

    /// Device and inode.
    pub(super) fn file(&self) -> (u64, u64) {
        (self.dev, self.inode)
    }

    /// Which file it is, whatever it holds.
    pub(super) fn inode(&self) -> Inode {
        Inode { number: self.inode, born: self.born }
    }

    /// The same, known to be a copy of another file, or to be that one.
    pub(super) fn copied_from(self, original: Option<Inode>) -> Self {
        Self { original, ..self }
    }

    /// Whether it was copied and truncated before it held what is known of it.
    pub(super) fn was_copied(&self) -> bool {
        self.original == Some(self.inode())
    }

    /// The same, where reading goes on without what was not read.
    pub(super) fn given_up(self) -> Self {
        Self { given_up: true, ..self }
    }

    /// The same, where so many bytes were not read of what was there before.
    pub(super) fn after_loss(self, unsaid: u64) -> Self {
        Self { unsaid, ..self }
    }

    /// Bytes that were there when it was last looked at and that were not read up to `at`; of a compressed file, all.
    pub(super) fn unread(&self, at: u64) -> u64 {
        self.unsaid
            + match self.counts(at) {
                _ if self.ended => 0,
                true => self.size.saturating_sub(at),
                false => self.size,
            }
    }

    /// Bytes that came to it since it was last looked at.
    pub(super) fn grown(&self, meta: &Metadata) -> u64 {
        meta.len().saturating_sub(self.size)
    }

    /// The end of what is known of it, as a position counts.
    pub(super) fn end(&self, at: u64) -> u64 {
        if self.counts(at) { self.size.max(at) } else { at }
    }

    /// Whether the position `at` counts bytes as they lie there. A compressed file is known by all of these.
    fn counts(&self, at: u64) -> bool {
        self.near.end() == at
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

    /// Whether `file` may be a copy of it: another file that holds what was read, made and written no earlier.
    pub(super) fn is_copied(&self, file: &File) -> io::Result<bool> {
        let meta = file.metadata()?;
        let later = !self.is_made_after(&meta) && nanos(meta.modified()) >= self.modified;
        Ok(later && !self.is_inode(&meta) && meta.len() > 0 && self.is_in(file)?)
    }

    /// Whether `file` was made after it was last written.
    pub(super) fn is_before(&self, file: &Metadata) -> bool {
        nanos(file.created()) > self.modified
    }

    /// Whether it was made after `file`, where the file system says when: then that is no copy of it.
    pub(super) fn is_made_after(&self, file: &Metadata) -> bool {
        let born = nanos(file.created());
        born != 0 && born < self.born
    }

    /// Whether it was made before `file`, where the file system says when.
    pub(super) fn is_made_before(&self, file: &Metadata) -> bool {
        self.born != 0 && self.born < nanos(file.created())
    }

    /// Whether it was made before another one, where the file system says when.
    pub(super) fn is_older(&self, other: &Self) -> bool {
        self.born < other.born
    }

    /// Whether it was written after `file`, as of the last look. Who compresses or copies keeps seconds at least, or no time at all.
    pub(super) fn is_written_after(&self, file: &Metadata) -> bool {
        let whole = file.mtime_nsec() == 0;
        nanos(file.modified()) + if whole { 999_999_999 } else { 0 } < self.modified
    }

    /// Whether `file`, compressed, has the time at which it was last written, as of the last look.
    pub(super) fn is_written_with(&self, file: &Metadata) -> bool {
        keeps_time(file, self.modified)
    }

    /// When it was last written, as of the last look.
    pub(super) fn written(&self) -> u64 {
        self.modified
    }

    /// Whether it was written since the last look.
    pub(super) fn is_written(&self, now: &Metadata) -> bool {
        nanos(now.modified()) != self.modified
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

/// Whether a compressed file has this time of the last change. Who compresses keeps seconds at least, or no time at all.
fn keeps_time(file: &Metadata, written: u64) -> bool {
    let whole = file.mtime_nsec() == 0;
    nanos(file.modified()) == if whole { written - written % 1_000_000_000 } else { written }
}

/// Whether a compressed file was last written when a plain one was, by what it keeps of that.
pub(super) fn are_written_together(packed: &Metadata, plain: &Metadata) -> bool {
    keeps_time(packed, nanos(plain.modified()))
}

fn nanos(time: io::Result<SystemTime>) -> u64 {
    let since = time.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// The shape in which it is stored: `1:<dev>:<inode>:<born>@<modified>:<size>:<head>:<near>[:of-<inode>-<born>][:after-<unsaid>][:end|:left|:gone]`, a piece being
/// `<end>-<length>-<hash>`. What stands before the `@` says which file it is, what comes after it how far it is known.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dev, inode, born, modified, size, head, near, original, ended, given_up, unsaid } = self;
        let of = original.map(|Inode { number, born }| format!(":of-{number}-{born}")).unwrap_or_default();
        let after = if *unsaid > 0 { format!(":after-{unsaid}") } else { String::new() };
        let end = match (given_up, ended) {
            (true, true) => ":gone",
            (true, false) => ":left",
            (false, true) => ":end",
            (false, false) => "",
        };
        write!(f, "1:{dev}:{inode}:{born}@{modified}:{size}:{head}:{near}{of}{after}{end}")
    }
}

/// The file of a position; `None`: unknown.
pub(crate) fn file(position: &Position) -> Option<&str> {
    position.identity.as_deref()?.split('@').next()
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
        let (original, ended, given_up, unsaid) = (None, false, false, 0);
        let mut known = Self { dev, inode, born, modified, size, head, near, original, ended, given_up, unsaid };
        for part in parts {
            match part.split('-').collect::<Vec<_>>()[..] {
                ["end"] => known.ended = true,
                ["left"] => known.given_up = true,
                ["gone"] => (known.ended, known.given_up) = (true, true),
                ["of", inode, made] => {
                    known.original = Some(Inode { number: number(inode)?, born: number(made)? });
                }
                ["after", unsaid] => known.unsaid = number(unsaid)?,
                _ => return Err(()),
            }
        }
        Ok(known)
    }
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
