//! What the pipelines of a node may reach, by its settings.
use super::Settings;
use dataflow_sdk::{Paths, catalog::Reach};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The folder of secrets where none is named.
const SECRETS: &str = "secrets";

impl Settings {
    /// What pipelines that come over the API may reach. `secret_files` are those that the connections take their secrets from.
    pub fn reach(&self, secret_files: Vec<PathBuf>) -> Reach {
        let files = self.secrets.files.clone().unwrap_or_else(|| vec![self.beside(SECRETS)]);
        let mut own = vec![self.data_dir.clone()];
        own.extend(self.file.clone());
        own.extend(secret_files);
        own.extend(files.iter().cloned());
        let allowed = self.paths.allow.clone().unwrap_or_else(working_folder);
        Reach {
            secret_files: Some(files.iter().map(|folder| absolute(folder)).collect()),
            secret_env: Some(self.secrets.env.clone()),
            paths: Arc::new(Paths {
                allowed: Some(allowed.iter().map(|folder| absolute(folder)).collect()),
                own: own.iter().map(|path| absolute(path)).collect(),
                ..Paths::default()
            }),
        }
    }

    /// A file or folder beside the settings file, or in the working folder.
    fn beside(&self, name: &str) -> PathBuf {
        let folder = self.file.as_deref().and_then(Path::parent);
        folder.map_or_else(|| name.into(), |folder| folder.join(name))
    }
}

/// The working folder; not the root, where services are started: that would be everything.
fn working_folder() -> Vec<PathBuf> {
    std::env::current_dir().into_iter().filter(|folder| folder.parent().is_some()).collect()
}

fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.into());
    // Without a dot at its end.
    whole.components().collect()
}
