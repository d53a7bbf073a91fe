//! Which files of its node's machine a pipeline may touch.
use crate::{Error, check::Problem};
use std::{
    collections::VecDeque,
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

/// Links followed before a path is taken for one without an end.
const MAX_LINKS: usize = 40;

/// Which files of its node's machine a pipeline may touch.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    /// Folders whose files pipelines may read and write; `None`: all that the process's user may.
    pub allowed: Option<Vec<PathBuf>>,
    /// Files and folders that no pipeline may touch, wherever they are: the node's state, its settings, its secrets.
    pub own: Vec<PathBuf>,
    /// Files that the operator has named for this purpose, wherever they are.
    pub granted: Vec<PathBuf>,
    /// A folder of the node's for what connectors can do without, and would rather not. None: there is none.
    pub scratch: Option<PathBuf>,
}

/// Why a path may not be touched.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    code: &'static str,
    message: String,
    fix: String,
}

impl Refused {
    fn error(self) -> Error {
        Error::fatal(self.code, self.message).fix(self.fix).for_user()
    }
}

impl Paths {
    /// The same, with files that the operator has named.
    #[must_use]
    pub fn granting(&self, files: &[PathBuf]) -> Self {
        Self { granted: [&*self.granted, files].concat(), ..self.clone() }
    }

    /// Whether a file may be read and written, by where it really is: links and `..` are followed, also where the file is not
    /// there yet. To be asked each time that a file is opened: a link may have been put there since.
    ///
    /// # Errors
    /// If not, with what to do.
    pub fn admit(&self, path: &Path) -> Result<(), Error> {
        self.judge(path, &path.display().to_string()).map_err(Refused::error)
    }

    /// The same for a path that may be a pattern: what is before its first wildcard is looked at, and nothing after it may
    /// lead upwards. Each file that it matches has to be asked for by itself.
    ///
    /// # Errors
    /// If not, with what to do.
    pub fn admit_pattern(&self, pattern: &str) -> Result<(), Error> {
        self.judge_pattern(pattern).map_err(Refused::error)
    }

    /// A finding about the field at `path`, if its value may not be used.
    pub(crate) fn check(&self, pattern: &str, path: &str) -> Option<Problem> {
        if pattern.contains('\0') {
            let problem = Problem::new(path, "invalid-value", "a path can't contain a NUL character");
            return Some(problem.fix("remove \\u0000 from the path"));
        }
        let refused = self.judge_pattern(pattern).err()?;
        Some(Problem::new(path, refused.code, refused.message).fix(refused.fix))
    }

    /// `shown` is what users wrote.
    fn judge(&self, path: &Path, shown: &str) -> Result<(), Refused> {
        if self.granted.iter().any(|granted| granted == path) {
            return Ok(());
        }
        let Ok(place) = real(path) else {
            return Err(self.outside(path, format!("{shown} is a link to nothing")));
        };
        if self.is_own(path, &place) {
            return Err(Refused {
                code: "own-file",
                message: format!("{shown} belongs to this node's own files, which pipelines may not use"),
                fix: "choose a path outside the node's data, settings and secrets".into(),
            });
        }
        match &self.allowed {
            Some(folders) if !folders.iter().any(|folder| place.starts_with(real_or_as_is(folder))) => {
                let leads = match std::path::absolute(path) {
                    Ok(written) if written != place => format!(" leads to {}, which", place.display()),
                    _ => String::new(),
                };
                Err(self.outside(&place, format!("{shown}{leads} is not in a folder that pipelines may use")))
            }
            _ => Ok(()),
        }
    }

    /// Whether a path leads to a file of the node's own, by whatever name.
    fn is_own(&self, path: &Path, place: &Path) -> bool {
        if self.own.iter().any(|own| place.starts_with(real_or_as_is(own))) {
            return true;
        }
        let Ok(file) = fs::metadata(path) else { return false };
        // Only a file with several names can be one of them by a name outside.
        file.is_file() && file.nlink() > 1 && self.own.iter().any(|own| holds(own, (file.dev(), file.ino())))
    }

    fn judge_pattern(&self, pattern: &str) -> Result<(), Refused> {
        let is_wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
        let parts: Vec<Component<'_>> = Path::new(pattern).components().collect();
        let wild = parts.iter().position(is_wild).unwrap_or(parts.len());
        if self.allowed.is_some() && parts[wild..].contains(&Component::ParentDir) {
            return Err(Refused {
                code: "path-not-allowed",
                message: format!("{pattern:?} leads upwards after a wildcard"),
                fix: "write the folder itself before the first wildcard, without \"..\"".into(),
            });
        }
        // Some of the node's own files may be below the folder of a pattern: those are not admitted themselves.
        match parts[..wild].iter().collect::<PathBuf>() {
            whole if wild == parts.len() => self.judge(&whole, pattern),
            folder if folder.as_os_str().is_empty() => self.judge(Path::new("."), pattern),
            folder => self.judge(&folder, pattern),
        }
    }

    fn outside(&self, place: &Path, message: String) -> Refused {
        let folder = if place.is_dir() { place } else { place.parent().unwrap_or(place) };
        let shown = |folder: &PathBuf| real_or_as_is(folder).display().to_string();
        let allowed: Vec<String> = self.allowed.iter().flatten().map(shown).collect();
        let fix = format!(
            "add {:?} to paths.allow in the node's settings, or choose a path below {}",
            folder.display().to_string(),
            if allowed.is_empty() { "an allowed folder".into() } else { allowed.join(", ") },
        );
        Refused { code: "path-not-allowed", message, fix }
    }
}

/// Whether a file, by its device and inode, is at a path or below it.
fn holds(path: &Path, file: (u64, u64)) -> bool {
    if fs::metadata(path).is_ok_and(|here| (here.dev(), here.ino()) == file) {
        return true;
    }
    // Links to folders are not followed: they may lead round.
    let is_folder = fs::symlink_metadata(path).is_ok_and(|here| here.is_dir());
    is_folder && fs::read_dir(path).is_ok_and(|entries| entries.flatten().any(|entry| holds(&entry.path(), file)))
}

fn real_or_as_is(path: &Path) -> PathBuf {
    real(path).unwrap_or_else(|_| path.into())
}

/// Where a path really leads: without links and `..`, also where its last parts are not there yet.
///
/// # Errors
/// If its links have no end.
pub fn real(path: &Path) -> io::Result<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let absolute = std::path::absolute(path)?;
    let parts = |path: &Path| -> Vec<OsString> { path.iter().map(OsString::from).collect() };
    let mut rest: VecDeque<OsString> = parts(&absolute).into();
    let (mut real, mut links) = (PathBuf::new(), 0);
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            real.pop();
            continue;
        }
        real.push(&part);
        // A link to what is not there yet would be followed by whoever makes the file.
        if let Ok(target) = fs::read_link(&real) {
            links += 1;
            if links > MAX_LINKS {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            real.pop();
            for part in parts(&target).into_iter().rev() {
                rest.push_front(part);
            }
        }
    }
    Ok(real)
}

/// What two paths of one file have in common: where it really is, and of one that is there which it is.
pub(crate) fn identity(path: &Path) -> String {
    match (fs::metadata(path), real(path)) {
        (Ok(file), _) => format!("file {} of device {}", file.ino(), file.dev()),
        (Err(_), Ok(place)) => place.to_string_lossy().into_owned(),
        (Err(_), Err(_)) => path.to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out_of_the_allowed_folders() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["in/sub", "out", "in/own"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["in/file", "out/file", "in/own/state"] {
            fs::write(at(name), "x").unwrap();
        }
        symlink(at("out"), at("in/link")).unwrap();
        symlink(at("out/later"), at("in/dangling")).unwrap();
        symlink("../out/file", at("in/relative")).unwrap();
        symlink("loop", at("in/loop")).unwrap();
        symlink(at("in/sub"), at("out/back")).unwrap();
        fs::hard_link(at("in/own/state"), at("in/hard")).unwrap();
        fs::create_dir_all(at("secrets/deep")).unwrap();
        fs::write(at("secrets/deep/pw"), "x").unwrap();
        fs::hard_link(at("secrets/deep/pw"), at("in/pw")).unwrap();
        fs::hard_link(at("in/file"), at("in/twice")).unwrap();
        let paths = Paths {
            allowed: Some(vec![at("in")]),
            own: vec![at("in/own"), at("in/own/state"), at("secrets")],
            ..Paths::default()
        };
        let allowed = [
            "in/file",
            "in/twice",
            "in/new",
            "in/no/such/folder/file",
            "in/sub/../file",
            "out/back/file",
            "in/*.json",
            "in/**/x",
            "in/sub/[ab]",
            "in/no/../x",
        ];
        for path in allowed {
            let path = at(path);
            assert_eq!(paths.judge_pattern(path.to_str().unwrap()), Ok(()), "{path:?}");
        }
        let refused = [
            "out/file",
            "in/../out/file",
            "in/link/file",
            "in/link/new",
            "in/dangling",
            "in/relative",
            "in/loop",
            "in/link/*",
            "in/*/../../out/file",
            "in/sub/*/..",
            "in/no/../../out/x",
            "in2",
            "*",
            "in/own/state",
            "in/own/new",
            "in/own/*",
            "in/hard",
            "in/pw",
            "in/sub/../own/state",
        ];
        for path in refused {
            let path = at(path);
            assert!(paths.admit_pattern(path.to_str().unwrap()).is_err(), "{path:?}");
        }
        let free = Paths { allowed: None, own: vec![at("in/own/state")], ..Paths::default() };
        assert_eq!(free.judge(&at("out/file"), "x"), Ok(()));
        assert_eq!(free.judge(&at("in/hard"), "x").unwrap_err().code, "own-file");
    }

    #[test]
    fn a_refusal_says_where_a_path_leads_and_what_would_help() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["in", "out", "data/node"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        symlink(root.join("out/later"), root.join("in/link")).unwrap();
        symlink(root.join("in"), root.join("alias")).unwrap();
        let paths = Paths { allowed: Some(vec![root.join("alias")]), own: vec![root.join("data")], ..Paths::default() };
        let said = |path: &str| {
            let refused = paths.judge_pattern(&root.join(path).display().to_string()).unwrap_err();
            format!("{}: {}; {}", refused.code, refused.message, refused.fix).replace(&root.display().to_string(), "")
        };
        let allowed = "in the node's settings, or choose a path below /in";
        let cases = [
            (
                "in/link",
                format!(
                    "path-not-allowed: /in/link leads to /out/later, which is not in a folder that pipelines may use; \
                     add \"/out\" to paths.allow {allowed}"
                ),
            ),
            (
                "out/*.json",
                format!(
                    "path-not-allowed: /out/*.json is not in a folder that pipelines may use; \
                     add \"/out\" to paths.allow {allowed}"
                ),
            ),
            (
                "data/**",
                "own-file: /data/** belongs to this node's own files, which pipelines may not use; \
                 choose a path outside the node's data, settings and secrets"
                    .to_owned(),
            ),
        ];
        for (path, expected) in cases {
            assert_eq!(said(path), expected);
        }
        assert_eq!(paths.check("in/\0x", "path").unwrap().code, "invalid-value");
    }
}
