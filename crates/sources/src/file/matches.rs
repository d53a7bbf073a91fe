//! Which files a pattern matches. Names are bytes: one that is no UTF-8 matches like any other.
use super::{
    FileSource,
    content::{failed, is_circle},
    names::name,
};
use dataflow_sdk::{Error, paths::real};
use glob::Pattern;
use std::{
    fs::{self, DirEntry},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

/// What a pattern matches.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// Files, and links to nothing, by path. Whether they can be read is seen when they are opened.
    pub(super) files: Vec<PathBuf>,
    /// Directories, pipes, sockets, devices and links that lead in a circle, which are not read.
    pub(super) others: Vec<PathBuf>,
}

/// Whether a path is a pattern.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// What is there now that matches.
pub(super) fn find(pattern: &str) -> Result<Matches, Error> {
    let parts: Vec<&str> = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let root = if pattern.starts_with('/') { Path::new("/") } else { Path::new("") };
    let mut matches = Matches::default();
    walk(root, &parts, &mut matches)?;
    for found in [&mut matches.files, &mut matches.others] {
        found.sort();
        found.dedup();
    }
    Ok(matches)
}

/// Whether a source reads the file that a path leads to, by whatever name: now, or once it is there; or what is below it, if it is a
/// folder.
pub(super) fn leads_to(source: &FileSource, path: &Path) -> bool {
    let Ok(file) = real(path) else { return false };
    let (fixed, wild) = parts(Path::new(&source.path));
    let Ok(fixed) = real(&Path::new(".").join(fixed)) else { return false };
    if fixed.starts_with(&file) {
        return true;
    }
    if wild.as_os_str().is_empty() {
        return is_same(&fixed, &file);
    }
    let pattern = Path::new(&Pattern::escape(&fixed.to_string_lossy())).join(wild);
    let resolved = FileSource { path: pattern.to_string_lossy().into_owned(), ..source.clone() };
    // Other names of the file are looked for where that takes no walk through all folders.
    resolved.may_match(&file)
        || !source.path.contains("**")
            && find(&source.path).is_ok_and(|found| found.files.iter().any(|path| is_same(path, &file)))
}

/// What a pattern gives as it is, and what is to be matched below it: nothing, if the path is none.
pub(super) fn parts(pattern: &Path) -> (PathBuf, PathBuf) {
    let parts: Vec<Component<'_>> = pattern.components().collect();
    let is_wild = |part: &Component<'_>| is_pattern(&part.as_os_str().to_string_lossy());
    let (fixed, wild) = parts.split_at(parts.iter().position(is_wild).unwrap_or(parts.len()));
    (fixed.iter().collect(), wild.iter().collect())
}

/// Whether two paths are names of one file.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    id(one).is_some_and(|one| Some(one) == id(other))
}

fn walk(folder: &Path, parts: &[&str], matches: &mut Matches) -> Result<(), Error> {
    let [part, rest @ ..] = parts else { return Ok(()) };
    if *part == "**" {
        // Any number of folders; links among them are not followed, as they may lead back. At the end: all that is below.
        for entry in entries(folder)? {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), parts, matches)?;
            }
        }
        return walk(folder, if rest.is_empty() { &["*"] } else { rest }, matches);
    }
    if !is_pattern(part) {
        return step(folder.join(part), rest, matches);
    }
    let pattern = Pattern::new(part)
        .map_err(|error| Error::fatal("bad-pattern", format!("{part:?} is not a valid pattern: {error}")))?;
    for entry in entries(folder)? {
        if pattern.matches(&entry.file_name().to_string_lossy()) {
            step(folder.join(entry.file_name()), rest, matches)?;
        }
    }
    Ok(())
}

/// Goes on below a path that matches so far.
fn step(path: PathBuf, rest: &[&str], matches: &mut Matches) -> Result<(), Error> {
    match fs::metadata(&path) {
        Ok(meta) if meta.is_dir() && !rest.is_empty() => return walk(&path, rest, matches),
        Ok(_) if !rest.is_empty() => {}
        Ok(meta) if meta.is_file() => matches.files.push(path),
        Ok(_) => matches.others.push(path),
        Err(error) if is_circle(&error) => matches.others.push(path),
        // It has vanished meanwhile, or was never there; what can't be looked at says why when it is opened.
        Err(_) if rest.is_empty() && fs::symlink_metadata(&path).is_err() => {}
        Err(_) if rest.is_empty() => matches.files.push(path),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(&name(&path), 0, error)),
    }
    Ok(())
}

/// What is in a folder; nothing, if it is not there or is none.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, Error> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match fs::read_dir(folder).and_then(Iterator::collect) {
        Ok(entries) => Ok(entries),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(failed(&name(folder), 0, error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    #[test]
    fn a_file_is_known_by_whatever_name_leads_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("in/deep")).unwrap();
        fs::create_dir_all(at("out")).unwrap();
        fs::write(at("in/a.json"), "").unwrap();
        fs::write(at("out/b.json"), "").unwrap();
        fs::hard_link(at("out/b.json"), at("in/hard.json")).unwrap();
        fs::write(at("out/c.json"), "").unwrap();
        std::os::unix::fs::symlink("../out/c.json", at("in/soft.json")).unwrap();
        std::os::unix::fs::symlink("in", at("linked")).unwrap();
        for (pattern, path, expected) in [
            ("in/a.json", "in/a.json", true),
            ("in/a.json", "in/./deep/../a.json", true),
            ("in/a.json", "linked/a.json", true),
            ("in/a.json", "out/a.json", false),
            ("in/*.json", "in/new.json", true),
            ("in/*.json", "linked/new.json", true),
            ("linked/*.json", "in/new.json", true),
            ("in/*.json", "in/new.csv", false),
            ("in/*.json", "in/deep/new.json", false),
            ("in/**/*.json", "in/deep/new.json", true),
            ("in/*.json", "out/b.json", true),
            ("in/*.json", "out/c.json", true),
            ("in/hard.json", "out/b.json", true),
            ("in/*.json", "out/d.json", false),
        ] {
            let path_of = |path: &str| at(path).display().to_string();
            let source = serde_json::json!({"path": path_of(pattern)});
            let source: FileSource = serde_json::from_value(source).unwrap();
            assert_eq!(leads_to(&source, Path::new(&path_of(path))), expected, "{pattern} reads {path}");
        }
    }

    #[test]
    fn patterns_match_as_a_shell_would() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a.json", "b.csv", "x/a.json", "x/y/c.json", "x/y/[1].json", ".hidden.json"] {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), "").unwrap();
        }
        fs::write(dir.path().join(OsStr::from_bytes(b"caf\xe9.json")), "").unwrap();
        std::os::unix::fs::symlink("..", dir.path().join("x/back")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("x/dangling")).unwrap();
        let found = |pattern: &str| {
            let found = find(&format!("{}/{pattern}", dir.path().display())).unwrap();
            let names = |paths: Vec<PathBuf>| {
                paths.iter().map(|path| name(path.strip_prefix(dir.path()).unwrap())).collect::<Vec<_>>().join(" ")
            };
            (names(found.files), names(found.others))
        };
        for (pattern, files, folders) in [
            ("*.json", ".hidden.json a.json caf\\xE9.json", ""),
            ("caf?.json", "caf\\xE9.json", ""),
            ("[ab].*", "a.json b.csv", ""),
            ("x/*", "x/a.json x/dangling", "x/back x/y"),
            ("*/a.json", "x/a.json", ""),
            ("**/?.json", "a.json x/a.json x/y/c.json", ""),
            ("x/**", "x/a.json x/dangling x/y/[1].json x/y/c.json", "x/back x/y"),
            ("x/y/[[]*", "x/y/[1].json", ""),
            ("nothing/*", "", ""),
            ("a.json/*", "", ""),
        ] {
            assert_eq!(found(pattern), (files.to_owned(), folders.to_owned()), "{pattern}");
        }
    }
}
