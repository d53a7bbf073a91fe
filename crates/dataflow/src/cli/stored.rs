//! The journal of a data folder that no process has open: what a run or a stopped node has kept.
use super::exit::Failure;
use crate::{
    data_dir::{self, DataDir},
    node,
};
use dataflow_core::id::{PipelineId, SinkName};
use dataflow_engine::claims::{Stored, StoredBranch};
use dataflow_journal::Journal;
use dataflow_journal_sqlite::Sqlite;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A pipeline in the journal of a folder, which is locked meanwhile.
#[derive(Debug)]
pub(super) struct StoredPipeline {
    pub(super) journal: Journal,
    pub(super) id: PipelineId,
    // Given back last.
    _data: DataDir,
}

impl StoredPipeline {
    /// Opens the folder of a run, or of a stopped node.
    pub(super) fn open(folder: &Path, id: PipelineId) -> Result<Self, Failure> {
        let data = DataDir::lock(folder).map_err(in_use)?;
        let path = data.journal();
        let journal = Sqlite::open(&path).map_err(|source| node::Error::Journal { path, source })?;
        let journal = Journal::new(Arc::new(journal));
        Ok(Self { journal, id, _data: data })
    }

    /// Finds the pipeline below a data folder: that of a run if there is one, otherwise that of the node.
    pub(super) async fn find(data_dir: &Path, id: PipelineId) -> Result<Self, Failure> {
        let folders = [run_folder(data_dir, &id), data_dir.join("node")];
        for folder in folders.iter().filter(|folder| folder.join("journal.db").exists()) {
            let found = Self::open(folder, id.clone())?;
            if !found.load().await?.branches().is_empty() {
                return Ok(found);
            }
        }
        let message = format!("there is no pipeline {:?} in {}", id.as_str(), data_dir.display());
        Err(Failure::failed(message)
            .fix("give the data folder of `dataflow run` or of a stopped node; to ask a running node, omit --data-dir"))
    }

    /// The pipeline as the journal has it.
    pub(super) async fn load(&self) -> Result<Stored<'_>, Failure> {
        let loaded = Stored::load(&self.journal, &self.id).await;
        loaded.map_err(|error| Failure::failed(format!("can't read the journal: {error}")))
    }
}

/// The branch of a sink of a stored pipeline, which has to be named where there are several.
pub(super) fn branch<'a>(stored: &'a Stored<'_>, sink: Option<&str>) -> Result<StoredBranch<'a>, Failure> {
    let branches = stored.branches();
    let is_it = |branch: &&StoredBranch<'_>| branch.sink().map(SinkName::as_str) == sink;
    let only = || branches.first().filter(|_| sink.is_none() && branches.len() == 1);
    branches.iter().find(is_it).or_else(only).copied().ok_or_else(|| {
        let names: Vec<_> = branches.iter().filter_map(|branch| branch.sink()).map(ToString::to_string).collect();
        match sink {
            Some(sink) => Failure::unknown_sink(sink, names),
            None => Failure::failed("the pipeline has several sinks")
                .fix(format!("name one of its sinks with --sink: {}", names.join(", "))),
        }
    })
}

/// Where `dataflow run` keeps the state of a pipeline.
pub(super) fn run_folder(data_dir: &Path, id: &PipelineId) -> PathBuf {
    data_dir.join("run").join(id.as_str())
}

pub(super) fn in_use(error: data_dir::Error) -> Failure {
    match error {
        data_dir::Error::InUse { ref path, .. } => {
            let fix = match path.ends_with("node") {
                true => "that process is a node: ask it, without --data-dir (--server URL names its address)",
                false => "that process is a run: wait until it ends, or stop it; then repeat this",
            };
            Failure::failed(error).fix(fix)
        }
        data_dir::Error::Io { .. } => node::Error::from(error).into(),
    }
}
