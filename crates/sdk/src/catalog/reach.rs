//! The secrets and files of the node's machine that pipelines may use.
use crate::{
    check::Problem,
    paths::{Paths, real},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The parts of the node's machine that pipelines may use: the secrets that they may refer to, the files that they may
/// touch.
/// By default all that the user of the process may. The connections of the settings are the operator's own, and have no limits.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Folders that the file of a `${file:path}` may be in.
    pub secret_files: Option<Vec<PathBuf>>,
    /// Names that may stand in `${env:NAME}`.
    pub secret_env: Option<Vec<String>>,
    /// The files that sources and sinks may touch.
    pub paths: Arc<Paths>,
}

impl Reach {
    /// Whether a pipeline may refer to a variable.
    pub(super) fn env(&self, name: &str) -> Result<(), Problem> {
        match &self.secret_env {
            Some(names) if !names.iter().any(|known| known == name) => {
                let message = format!("the variable {name} is not one that pipelines may refer to");
                let fix =
                    format!("add {name:?} to secrets.env in the node's settings, or name a connection of the settings");
                Err(Problem::new("", "secret-not-allowed", message).fix(fix))
            }
            _ => Ok(()),
        }
    }

    /// Where the file of a secret really is, if a pipeline may refer to it. Says the same whether it is there or not.
    pub(super) fn file(&self, path: &Path) -> Result<PathBuf, Problem> {
        let Some(folders) = &self.secret_files else { return Ok(path.into()) };
        let inside =
            |place: &PathBuf| folders.iter().any(|folder| real(folder).is_ok_and(|folder| place.starts_with(folder)));
        if let Some(place) = real(path).ok().filter(inside) {
            return Ok(place);
        }
        let shown = path.display();
        let message = format!("{shown} is not in a folder that pipelines may take secrets from");
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let folder = absolute.parent().unwrap_or(&absolute).display().to_string();
        let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let fix = match places.as_slice() {
            places if !places.is_empty() && folders.iter().any(|folder| absolute.starts_with(folder)) => format!(
                "where it really is must be in {}, too: put the file there in the place of the link, or add the folder that the link leads \
                 into to secrets.files in the node's settings",
                places.join(" or ")
            ),
            [] => format!("add {folder:?} to secrets.files in the node's settings"),
            places => format!(
                "put it into {}, or add {folder:?} to secrets.files in the node's settings",
                places.join(" or ")
            ),
        };
        Err(Problem::new("", "secret-not-allowed", message).fix(fix))
    }
}
