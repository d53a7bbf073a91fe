//! The content of compressed files. Each is unpacked once per question, as long as it doesn't change.
use super::{
    Compression,
    content::Content,
    identity::Identity,
    piece::Piece,
    tail::{self, BLOCK},
};
use dataflow_sdk::{Context, Error};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{File, Metadata},
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// How many answers are kept.
const ANSWERS: usize = 4096;

/// A file as it is: device, inode, length, and when it was written.
type Stamp = (u64, u64, u64, (i64, i64));

type Answers<Q, A> = RefCell<BTreeMap<Q, A>>;

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    holds: Answers<(Stamp, [Piece; 2], u64), Holds>,
    /// Beside device and inode of the plain file that begins so.
    begins: Answers<(Stamp, (u64, u64)), Beginning>,
}

/// What a compressed file holds of another one, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    /// Just that.
    All,
    /// That, and more or less than what was there when it was last looked at.
    Known,
    /// Something else.
    No,
}

/// All that a compressed file holds, where a plain one begins with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) length: u64,
    /// Whether it is all; otherwise it is being written.
    pub(super) whole: bool,
}

impl Unpacked {
    /// Whether a compressed file holds what is known of another one.
    pub(super) fn holds(&self, known: &Identity, there: &Path, file: &File, how: Compression) -> Holds {
        let Ok(meta) = file.metadata() else { return Holds::No };
        let question = (stamp(&meta), known.pieces(), length(known));
        let answer = self.holds.borrow().get(&question).copied();
        answer.unwrap_or_else(|| match holds(known, there, file, how) {
            Err(error) if !is_broken(&error) => Holds::No,
            found => keep(&self.holds, question, found.unwrap_or(Holds::No)),
        })
    }

    /// All that a compressed file holds, if `plain` begins with it.
    pub(super) fn begins(&self, plain: &Path, there: &Path, how: Compression, cx: &Context) -> Option<Beginning> {
        let (original, file) = (tail::open(plain, cx).ok()?, tail::open(there, cx).ok()?);
        let (of, packed) = (original.metadata().ok()?, file.metadata().ok()?);
        let question = (stamp(&packed), (of.dev(), of.ino()));
        let answer = self.begins.borrow().get(&question).copied().filter(|known| known.length <= of.len());
        answer.or_else(|| Some(keep(&self.begins, question, begins(&original, there, file, how)?)))
    }
}

fn keep<Q: Ord, A: Copy>(answers: &Answers<Q, A>, question: Q, answer: A) -> A {
    let mut answers = answers.borrow_mut();
    if answers.len() >= ANSWERS {
        answers.clear();
    }
    answers.insert(question, answer);
    answer
}

fn stamp(meta: &Metadata) -> Stamp {
    (meta.dev(), meta.ino(), meta.len(), (meta.mtime(), meta.mtime_nsec()))
}

fn is_broken(error: &Error) -> bool {
    matches!(error.code(), "file-cut-short" | "file-corrupt" | "file-damaged")
}

/// The length of a file when it was last looked at.
fn length(known: &Identity) -> u64 {
    let [_, near] = known.pieces();
    known.end(near.end())
}

fn holds(known: &Identity, there: &Path, file: &File, how: Compression) -> Result<Holds, Error> {
    let clone = file.try_clone().map_err(|error| super::content::failed(&super::names::name(there), 0, error))?;
    let Ok(mut content) = Content::new(there, clone, how, 0)? else { return Ok(Holds::No) };
    let (mut bytes, mut begin) = (Vec::new(), 0);
    for piece in known.pieces() {
        while begin + (bytes.len() as u64) < piece.end() {
            let before = (piece.begin() - begin).min(bytes.len() as u64);
            bytes.drain(..before as usize);
            begin += before;
            if content.append(&mut bytes, BLOCK)? == 0 {
                return Ok(Holds::No);
            }
        }
        if !piece.is(&bytes[(piece.begin() - begin) as usize..(piece.end() - begin) as usize]) {
            return Ok(Holds::No);
        }
    }
    let length = length(known);
    loop {
        let read = begin + bytes.len() as u64;
        if read > length {
            return Ok(Holds::Known);
        }
        (begin, bytes) = (read, Vec::new());
        match content.append(&mut bytes, BLOCK) {
            Ok(0) => return Ok(if read == length { Holds::All } else { Holds::Known }),
            Ok(_) => {}
            Err(_) => return Ok(Holds::Known), // what is known is there
        }
    }
}

fn begins(original: &File, there: &Path, file: File, how: Compression) -> Option<Beginning> {
    let mut content = Content::new(there, file, how, 0).ok()?.ok()?;
    let (mut plain, mut packed, mut length) = (Vec::new(), Vec::new(), 0);
    loop {
        packed.clear();
        match content.append(&mut packed, BLOCK) {
            Ok(0) => return Some(Beginning { length, whole: true }),
            Err(error) => return (error.code() == "file-cut-short").then_some(Beginning { length, whole: false }),
            Ok(count) => {
                plain.resize(count, 0);
                let mut original = original;
                if original.read_exact(&mut plain).is_err() || plain != packed {
                    return None;
                }
                length += count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::{fs, io::Write};

    /// Writes a file as if nothing had been done to it.
    fn swap(path: &Path, bytes: &[u8]) {
        let written = fs::metadata(path).unwrap().modified().unwrap();
        let mut file = File::options().write(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
        file.set_modified(written).unwrap();
    }

    #[test]
    fn a_compressed_file_is_unpacked_once_as_long_as_it_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, packed) = (dir.path().join("a.log"), dir.path().join("a.log.gz"));
        let gzip = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        fs::write(&plain, "1\n2\n").unwrap();
        fs::write(&packed, gzip(b"1\n2\n")).unwrap();
        let (cx, unpacked) = (crate::testing::context(), Unpacked::default());
        let known = Identity::of(&File::open(&plain).unwrap(), 4).unwrap();
        let asked = || {
            let file = File::open(&packed).unwrap();
            let begins = unpacked.begins(&plain, &packed, Compression::Auto, &cx);
            (begins.map(|all| all.length), unpacked.holds(&known, &packed, &file, Compression::Auto))
        };
        assert_eq!(asked(), (Some(4), Holds::All));
        swap(&packed, &gzip(b"3\n4\n"));
        fs::rename(&packed, dir.path().join("b")).unwrap();
        fs::rename(dir.path().join("b"), &packed).unwrap();
        fs::OpenOptions::new().append(true).open(&plain).unwrap().write_all(b"5\n").unwrap();
        assert_eq!(asked(), (Some(4), Holds::All), "it was not unpacked again");
        File::options().write(true).open(&packed).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(asked(), (None, Holds::No), "it was");
        fs::write(&packed, gzip(b"1\n2\n5\n")).unwrap();
        assert_eq!(asked(), (Some(6), Holds::Known));
        fs::write(&plain, "1\n").unwrap();
        assert_eq!(asked(), (None, Holds::Known), "it holds more than the plain one");
    }
}
