//! Files that stood at a path and were rotated away before anybody looked: they are found by their names and times.
use super::identity::Identity;
use std::{
    fs::{self, File, Metadata},
    io,
    path::Path,
};

/// A file that was read to its end and has been replaced.
#[derive(Debug)]
pub(super) struct Left {
    file: File,
    meta: Metadata,
}

impl Left {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, meta: file.metadata()? })
    }

    /// The oldest file that stood at `path` after this one and before `next`, which is there now, and is not one of those
    /// that are `followed` by their own names.
    pub(super) fn successor(
        &self,
        path: &Path,
        next: &File,
        followed: impl Fn(&Path) -> bool,
    ) -> io::Result<Option<File>> {
        let (folder, next) = (folder(path), next.metadata()?);
        let mut oldest: Option<(Metadata, File)> = None;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let there = path.with_file_name(entry.file_name());
            // An entry that vanishes meanwhile is not the one.
            if is_rotated_name(path, &there)
                && !followed(&there)
                && let Ok(meta) = entry.metadata()
                && meta.is_file()
                && meta.len() > 0
                && is_later(&self.meta, &meta)
                && !is_later(&next, &meta)
                && oldest.as_ref().is_none_or(|(oldest, _)| is_later(&meta, oldest))
                && let Ok(file) = File::open(entry.path())
                && !self.is_copied(&meta, &file)?
            {
                oldest = Some((meta, file));
            }
        }
        Ok(oldest.map(|(_, file)| file))
    }

    /// Whether a file is a copy of this one, as it was at some time: nothing new.
    fn is_copied(&self, meta: &Metadata, file: &File) -> io::Result<bool> {
        match Identity::of(file)? {
            Some(identity) if meta.len() <= self.meta.len() => identity.begins(&self.file),
            _ => Ok(false),
        }
    }
}

/// The folder that a path is in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether `b` was made after `a`; where the file system does not keep that, whether it was last written after it.
fn is_later(a: &Metadata, b: &Metadata) -> bool {
    match (a.created(), b.created()) {
        (Ok(a), Ok(b)) => a < b,
        _ => matches!((a.modified(), b.modified()), (Ok(a), Ok(b)) if a < b),
    }
}

/// Whether `there` is what tools that rotate `path` would call an older generation: `app.log.1`, `app.log-20261231`,
/// `app-2026-12-31.log`.
fn is_rotated_name(path: &Path, there: &Path) -> bool {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let (Some(base), Some(name)) = (name(path), name(there)) else { return false };
    let (stem, extension) = base.rfind('.').map_or((&*base, ""), |dot| base.split_at(dot));
    let behind = name.strip_prefix(&*base);
    let between = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension));
    let tells = |text: &str| {
        text.contains(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || "._-:+TZ".contains(c))
    };
    behind.is_some_and(tells) || between.is_some_and(tells)
}

#[cfg(test)]
mod tests {
    use super::*;

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
