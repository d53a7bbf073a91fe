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
    /// Folders whose files pipelines may read and write; none: whatever the user of the process may.
    pub allowed: Option<Vec<PathBuf>>,
    /// Files and folders that no pipeline may touch, wherever they are: the node's state, its settings, its secrets.
    pub own: Vec<PathBuf>,
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
    /// Whether a file may be read and written, by where it really is: links and `..` are followed, also where the file is not
    /// there yet. To be asked each time that a file is opened: a link may have been put there since.
    ///
    /// # Errors
    /// If not, with what to do.
    pub fn admit(&self, path: &Path) -> Result<(), Error> {
        self.judge(path).map_err(Refused::error)
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
        let refused = self.judge_pattern(pattern).err()?;
        Some(Problem::new(path, refused.code, refused.message).fix(refused.fix))
    }

    fn judge(&self, path: &Path) -> Result<(), Refused> {
        let shown = path.display();
        let Ok(place) = real(path) else {
            return Err(self.outside(path, format!("{shown} is a link that leads nowhere")));
        };
        let file = identity(path);
        let own = |own: &PathBuf| place.starts_with(real_or_as_is(own)) || file.is_some() && identity(own) == file;
        if self.own.iter().any(own) {
            return Err(Refused {
                code: "own-file",
                message: format!("{shown} is a file of this node's own, which no pipeline may touch"),
                fix: "choose a path outside of the node's data, settings and secrets".into(),
            });
        }
        match &self.allowed {
            Some(folders) if !folders.iter().any(|folder| place.starts_with(real_or_as_is(folder))) => {
                Err(self.outside(path, format!("{shown} is not in a folder that pipelines may use")))
            }
            _ => Ok(()),
        }
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
        match parts[..wild].iter().collect::<PathBuf>() {
            whole if wild == parts.len() => self.judge(&whole),
            folder if folder.as_os_str().is_empty() => self.admit_folder(Path::new("."), pattern),
            folder => self.admit_folder(&folder, pattern),
        }
    }

    /// Whether the files of a folder may be listed. Some of the node's own may be below it: those are not admitted themselves.
    fn admit_folder(&self, folder: &Path, pattern: &str) -> Result<(), Refused> {
        let refused = |_| self.outside(folder, format!("{pattern:?} is not in a folder that pipelines may use"));
        self.judge(folder).map_err(refused)
    }

    fn outside(&self, path: &Path, message: String) -> Refused {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let folder = if absolute.is_dir() { absolute.as_path() } else { absolute.parent().unwrap_or(&absolute) };
        let allowed: Vec<String> = self.allowed.iter().flatten().map(|folder| folder.display().to_string()).collect();
        let fix = format!(
            "add {:?} to paths.allow in the node's settings, or choose a path below {}",
            folder.display().to_string(),
            if allowed.is_empty() { "an allowed folder".into() } else { allowed.join(", ") },
        );
        Refused { code: "path-not-allowed", message, fix }
    }
}

/// Device and inode: what a file is, whatever its name.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| (file.dev(), file.ino()))
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
        let paths = Paths { allowed: Some(vec![at("in")]), own: vec![at("in/own"), at("in/own/state")] };
        let allowed = [
            "in/file",
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
            "in/sub/../own/state",
        ];
        for path in refused {
            let path = at(path);
            assert!(paths.admit_pattern(path.to_str().unwrap()).is_err(), "{path:?}");
        }
        let free = Paths { allowed: None, own: vec![at("in/own/state")] };
        assert_eq!(free.judge(&at("out/file")), Ok(()));
        assert_eq!(free.judge(&at("in/hard")).unwrap_err().code, "own-file");
    }
}
