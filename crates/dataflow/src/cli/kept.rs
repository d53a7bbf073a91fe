//! What a backup is made of and a restore makes: the journal of a node, or of one pipeline that `dataflow run` runs.
use super::{exit::Failure, stored};
use crate::data_dir;
use dataflow_core::id::PipelineId;
use dataflow_journal::Error;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Kept {
    /// The data folder.
    #[arg(long, value_name = "DIR", env = "DATAFLOW_DATA_DIR", default_value = "./dataflow-data")]
    pub(super) data_dir: PathBuf,
    /// Not of the node, but of this pipeline, which `dataflow run` runs.
    #[arg(long, value_name = "PIPELINE", value_parser = |id: &str| PipelineId::try_from(id).map_err(|error| error.to_string()))]
    run: Option<PipelineId>,
}

impl Kept {
    /// The folder with the journal in it.
    pub(super) fn folder(&self) -> PathBuf {
        match &self.run {
            Some(id) => stored::run_folder(&self.data_dir, id),
            None => self.data_dir.join("node"),
        }
    }

    /// The journal's file.
    pub(super) fn journal(&self) -> PathBuf {
        data_dir::journal(&self.folder())
    }
}

/// What a failed backup or restore says.
pub(super) fn failed(error: Error) -> Failure {
    match error {
        Error::Unavailable(why) => {
            Failure::failed(why).fix("fix that and repeat this: the existing state is unchanged")
        }
        Error::Corrupt(_) | Error::Broken(_) => Failure::failed(error).fix("restore an intact backup"),
        Error::OtherBuild(_) => Failure::failed(error).fix("use the build that wrote it, or another backup"),
        Error::NotAsLeft(_) | Error::Fenced { .. } | Error::Trimmed { .. } => Failure::failed(error)
            .fix("put back what is missing, or restore the last backup; docs/guides/backup.md has more"),
    }
}
