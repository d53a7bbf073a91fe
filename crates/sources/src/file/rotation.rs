//! Files that stood at a path and were rotated away before anybody looked: they are found by their names and times.
use super::{
    copies::begins,
    identity::{Identity, Inode},
    piece::{PIECE, read_before},
    tail,
};
use dataflow_sdk::{Context, paths::real};
use std::{
    cmp::Ordering,
    ffi::OsStr,
    fs::{self, File, Metadata},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// A file that was read to its end and has been replaced.
#[derive(Clone, Debug)]
pub(super) struct Left {
    meta: Metadata,
    /// Its first bytes, up to 1 KiB.
    head: Vec<u8>,
    /// The file that it is a copy of, or was copied and truncated before it: itself.
    original: Option<Inode>,
}

impl Left {
    pub(super) fn new(file: &File, original: Option<Inode>) -> io::Result<Self> {
        let meta = file.metadata()?;
        let head = read_before(file, meta.len().min(PIECE as u64))?.unwrap_or_default();
        Ok(Self { meta, head, original })
    }

    /// Whether there are copies of it that came before it.
    fn was_copied(&self) -> bool {
        self.original.is_some_and(|original| original.is(&self.meta))
    }

    /// What the file that comes next, `between` this one and the `last`, is known to be a copy of.
    pub(super) fn original_after(&self, between: Option<&File>, last: &File) -> io::Result<Option<Inode>> {
        let last = last.metadata()?;
        let original = self.original.filter(|_| !self.was_copied());
        match between {
            Some(between) => Ok(original.or(is_later(&last, &between.metadata()?).then(|| Inode::of(&last)))),
            None => Ok(original.filter(|original| original.is(&last))),
        }
    }

    /// The oldest file that stood at `path` after this one and before `next`, which is there now, and is not read otherwise.
    /// After a copy that is what else was copied, and then the file that was, if it was renamed.
    pub(super) fn successor(
        &self,
        path: &Path,
        next: &File,
        is_read: impl Fn(&Path, &Metadata) -> bool,
        cx: &Context,
    ) -> io::Result<Option<File>> {
        let (after, next) = (next, next.metadata()?);
        let mut oldest: Option<(&Metadata, File)> = None;
        let mut original: Option<(&Metadata, File)> = None;
        let mut there = Vec::new();
        for path in rotated(path)? {
            there.extend(fs::symlink_metadata(&path).ok().map(|meta| (path, meta)));
        }
        let is_own = |meta: &Metadata| (meta.dev(), meta.ino()) == (self.meta.dev(), self.meta.ino());
        let own = there.iter().find(|(_, meta)| is_own(meta)).map(|(own, _)| own);
        for (there, meta) in &there {
            if !meta.is_file() || meta.len() == 0 || is_read(there, meta) {
                continue;
            }
            if self.original.is_some_and(|original| !self.was_copied() && original.is(meta)) {
                original = tail::open(there, cx).ok().map(|file| (meta, file));
            } else if is_later(&self.meta, meta)
                && (!self.was_copied() || is_written_later(&self.meta, meta))
                && oldest.as_ref().is_none_or(|(oldest, _)| is_later(meta, oldest))
                && let Ok(file) = tail::open(there, cx)
                // A copy was made under the name of a generation older than this one's, as this one was rotated later.
                && !(own.is_some_and(|own| is_older_generation(there, own)) && self.is_copied(meta, &file)?)
                // What was made after `next` is a copy of it, from before it was truncated, unless it holds all of that.
                && !(is_later(&next, meta) && begins(after, &file, 0, meta.len())?)
            {
                oldest = Some((meta, file));
            }
        }
        let first = match (original, oldest) {
            (Some(original), Some(copy)) if !is_written_later(original.0, copy.0) => Some(copy),
            (original, oldest) => original.or(oldest),
        };
        Ok(first.map(|(_, file)| file))
    }

    /// Whether a file that was made after this one may be a copy of it, as it was at some time: nothing new. One that holds less
    /// is none if this one was not written since.
    fn is_copied(&self, meta: &Metadata, file: &File) -> io::Result<bool> {
        let rested = matches!((self.meta.modified(), meta.created()), (Ok(written), Ok(made)) if written < made);
        if meta.len() > self.meta.len() || rested && meta.len() < self.meta.len() {
            return Ok(false);
        }
        let head = read_before(file, meta.len().min(PIECE as u64))?;
        Ok(head.is_some_and(|head| self.head.starts_with(&head)))
    }
}

/// The files beside `path` that bear the name of an older generation.
pub(super) fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    beside(path, is_rotated_name)
}

/// The same, or of one that is older still, if `path` is itself an older one.
pub(super) fn older(path: &Path) -> io::Result<Vec<PathBuf>> {
    beside(path, is_older_name)
}

/// What lies beside `path`, or beside the file that it leads to, and `is` by its name what lay there before.
pub(super) fn beside(path: &Path, is: impl Fn(&Path, &Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for seat in seats(path) {
        for entry in fs::read_dir(folder(&seat))? {
            let there = seat.with_file_name(entry?.file_name());
            if is(&seat, &there) && !found.contains(&there) {
                found.push(there);
            }
        }
    }
    Ok(found)
}

/// The path, and where it leads to if it is a link: a file may be rotated in either folder.
pub(super) fn seats(path: &Path) -> Vec<PathBuf> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    let target = is_link.then(|| real(path).ok().filter(|target| folder(target).is_dir())).flatten();
    std::iter::once(path.to_owned()).chain(target).collect()
}

/// The path of the file that is known by this, in the folder where it was.
pub(super) fn find(path: &Path, known: &Identity, cx: &Context) -> Option<PathBuf> {
    seats(path).iter().find_map(|seat| {
        let mut there = fs::read_dir(folder(seat)).ok()?.flatten();
        there.find_map(|entry| {
            // An entry that vanishes meanwhile is not the one.
            let meta = entry.metadata().ok().filter(|meta| meta.is_file() && known.is_inode(meta));
            let there = meta.map(|_| seat.with_file_name(entry.file_name()))?;
            tail::open(&there, cx).is_ok_and(|file| known.is(&file).unwrap_or(false)).then_some(there)
        })
    })
}

/// Whether the file that is known by this lies in the folder where it was, whatever it holds.
pub(super) fn is_beside(path: &Path, known: &Identity) -> bool {
    lies_beside(path, |meta| known.is_inode(meta))
}

/// Whether a file lies beside `path`, by whatever name.
pub(super) fn lies_beside(path: &Path, is: impl Fn(&Metadata) -> bool) -> bool {
    seats(path).iter().any(|seat| {
        let mut there = fs::read_dir(folder(seat)).into_iter().flatten().flatten();
        there.any(|entry| entry.metadata().is_ok_and(|meta| is(&meta)))
    })
}

/// The folder that a path is in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether `b` was made after `a`; where the file system does not keep that, whether it was last written after it.
fn is_later(a: &Metadata, b: &Metadata) -> bool {
    match (a.created(), b.created()) {
        (Ok(a), Ok(b)) => a < b,
        _ => is_written_later(a, b),
    }
}

/// Whether `b` was last written after `a`.
fn is_written_later(a: &Metadata, b: &Metadata) -> bool {
    matches!((a.modified(), b.modified()), (Ok(a), Ok(b)) if a < b)
}

/// Whether `there` is what tools that rotate `path` in its folder would call an older generation: `app.log.1`, `app.log-20261231`,
/// `app-2026-12-31.log`.
pub(super) fn is_rotated_name(path: &Path, there: &Path) -> bool {
    let (Some(base), Some(name)) = (path.file_name(), there.file_name()) else { return false };
    if path.parent() != there.parent() {
        return false;
    }
    let (base, name) = (base.as_bytes(), name.as_bytes());
    let (stem, extension) = base.split_at(base.iter().rposition(|byte| *byte == b'.').unwrap_or(base.len()));
    let after = name.strip_prefix(base);
    let between = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension));
    let tells = |text: &[u8]| {
        text.iter().any(u8::is_ascii_digit)
            && text.iter().all(|byte| byte.is_ascii_digit() || b"._-:+TZ".contains(byte))
    };
    after.is_some_and(tells) || between.is_some_and(tells)
}

/// Whether what lay at `path` may lie `there` now, by their names: that of an older generation, or of one that is older still
/// (`app.log.1`, `app.log.2`).
pub(super) fn is_older_name(path: &Path, there: &Path) -> bool {
    let older = || {
        let ((base, number), (other, later)) = (numbered(path)?, numbered(there)?);
        Some(path.parent() == there.parent() && base == other && number < later)
    };
    is_rotated_name(path, there) || older().unwrap_or(false)
}

/// Whether, of two generations of one file, the first is the older one, by their names: it has a greater number, or an earlier date.
pub(super) fn is_older_generation(one: &Path, other: &Path) -> bool {
    match (numbered(one), numbered(other)) {
        (Some((_, one)), Some((_, other))) => one > other,
        (None, None) => one < other,
        _ => false,
    }
}

/// The order in which files were rotated, by their names: those of greater numbers first, then those of earlier dates.
pub(super) fn by_age(one: &Path, other: &Path) -> Ordering {
    let number = |path: &Path| numbered(path).map_or(0, |(_, number)| number);
    number(other).cmp(&number(one)).then_with(|| one.cmp(other))
}

/// The number of an older generation of `path`, compressed in whatever way or not: `app.log.1`, `app.1.log`, `app.log.1.xz`.
pub(super) fn number(path: &Path, there: &Path) -> Option<u32> {
    let base: Vec<&[u8]> = path.file_name()?.as_bytes().split(|byte| *byte == b'.').collect();
    let is = |there: &Path| numbered(there).filter(|(of, _)| *of == base).map(|(_, number)| number);
    is(there).or_else(|| is(&there.with_extension("")))
}

/// The path of the generation that has another number than the one that is `there`.
pub(super) fn with_number(there: &Path, number: u32) -> PathBuf {
    let mut parts: Vec<&[u8]> = there.file_name().unwrap_or_default().as_bytes().split(|byte| *byte == b'.').collect();
    let number = number.to_string();
    if let Some(at) = parts.iter().rposition(|part| part.iter().all(u8::is_ascii_digit)) {
        parts[at] = number.as_bytes();
    }
    there.with_file_name(OsStr::from_bytes(&parts.join(&b'.')))
}

/// The name of the generations that one belongs to, and its number among them. A year is none.
fn numbered(path: &Path) -> Option<(Vec<&[u8]>, u32)> {
    let mut parts: Vec<&[u8]> = path.file_name()?.as_bytes().split(|byte| *byte == b'.').collect();
    let number = |part: &&[u8]| std::str::from_utf8(part).ok()?.parse().ok().filter(|number| *number < 1000);
    let at = parts.iter().rposition(|part| number(part).is_some()).filter(|at| *at > 0)?;
    let number = number(&parts.remove(at))?;
    Some((parts, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_generations_that_are_older_still_are_known() {
        for (path, there, expected) in [
            ("app.log", "app.log.3", true),
            ("app.log.1", "app.log.2", true),
            ("app.log.9", "app.log.10", true),
            ("app.1.log", "app.2.log", true),
            ("app.log.2", "app.log.1", false),
            ("app.log.1", "app.log.1", false),
            ("app.log.1", "other.log.2", false),
            ("a/app.log", "b/app.log.1", false),
            ("a/app.log.1", "b/app.log.2", false),
            ("app.log-20261231", "app.log-20270101", false),
            ("app.2026.log", "app.2027.log", false),
            ("1.json", "2.json", false),
        ] {
            assert_eq!(is_older_name(Path::new(path), Path::new(there)), expected, "{path}, {there}");
        }
    }

    #[test]
    fn names_of_older_generations_are_known() {
        let is = |name: &str| is_rotated_name(Path::new("logs/app.log"), &Path::new("logs").join(name));
        for yes in [
            "app.log.1",
            "app.log.0023",
            "app.log-20261231",
            "app.log.2026-12-31T23:59:59Z",
            "app-2026-12-31.log",
            "app.1.log",
        ] {
            assert!(is(yes), "{yes}");
        }
        for no in [
            "app.log",
            "app.log.1.gz",
            "app.log.bak",
            "app.log.",
            "app2.err",
            "application.log.1",
            "app.err.1",
            "other.log",
        ] {
            assert!(!is(no), "{no}");
        }
    }
}
