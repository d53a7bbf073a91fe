//! What a backup is made of and a restore makes: the journal of a node, or of one pipeline that `dataflow run` runs.
use super::{exit::Failure, run::QUIET, serve, stored};
use crate::settings::Overrides;
use dataflow_core::id::PipelineId;
use dataflow_journal::Error;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Kept {
    #[command(flatten)]
    overrides: Overrides,
    /// Not of the node, but of this pipeline, which `dataflow run` runs.
    #[arg(long, value_name = "PIPELINE", value_parser = |id: &str| PipelineId::try_from(id).map_err(|error| error.to_string()))]
    run: Option<PipelineId>,
}

impl Kept {
    /// The folder with the journal in it, in the data folder that the settings name.
    pub(super) fn folder(&self) -> Result<PathBuf, Failure> {
        let mut overrides = self.overrides.clone();
        overrides.log_level.get_or_insert_with(|| QUIET.into());
        let data_dir = serve::load(&overrides, None)?.data_dir;
        Ok(match &self.run {
            Some(id) => stored::run_folder(&data_dir, id),
            None => data_dir.join("node"),
        })
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
