//! What a file is known by, so that another one under the same name is noticed.
use std::{
    fmt,
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    str::FromStr,
};
use xxhash_rust::xxh3::xxh3_64;

/// Most bytes of a file's beginning that are part of its identity.
const HEAD: u64 = 1024;

/// Device, inode and the hash of the first bytes: as many as there were at first sight, at most 1 KiB, so that a small
/// file may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    dev: u64,
    inode: u64,
    length: u64,
    hash: u64,
}

impl Identity {
    /// What `file` is known by from now on; none while it is empty.
    pub(crate) fn of(file: &File) -> io::Result<Option<Self>> {
        let meta = file.metadata()?;
        let length = meta.len().min(HEAD);
        match head(file, length)? {
            Some(hash) if length > 0 => Ok(Some(Self { dev: meta.dev(), inode: meta.ino(), length, hash })),
            _ => Ok(None),
        }
    }

    /// Whether `file` is the one that is known by this.
    pub(crate) fn is(&self, file: &File) -> io::Result<bool> {
        Ok(self.is_inode(&file.metadata()?) && self.begins(file)?)
    }

    /// Whether `file` begins with the same bytes.
    pub(super) fn begins(&self, file: &File) -> io::Result<bool> {
        Ok(head(file, self.length)? == Some(self.hash))
    }

    /// Whether it is the same inode, whatever it holds.
    pub(crate) fn is_inode(&self, meta: &Metadata) -> bool {
        (self.dev, self.inode) == (meta.dev(), meta.ino())
    }
}

/// The hash of the first `length` bytes; none if there are fewer.
fn head(file: &File, length: u64) -> io::Result<Option<u64>> {
    let mut bytes = vec![0; length.min(HEAD) as usize];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(Some(xxh3_64(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{:016x}/{}", self.dev, self.inode, self.hash, self.length)
    }
}

impl FromStr for Identity {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (rest, length) = text.rsplit_once('/').ok_or(())?;
        let mut parts = rest.split(':');
        let mut next = || parts.next().ok_or(());
        let (dev, inode, hash) = (next()?, next()?, next()?);
        Ok(Self {
            dev: dev.parse().map_err(|_| ())?,
            inode: inode.parse().map_err(|_| ())?,
            length: length.parse().map_err(|_| ())?,
            hash: u64::from_str_radix(hash, 16).map_err(|_| ())?,
        })
    }
}
