//! A node: the only place that wires everything together.
//!
//! Started in this order and stopped in the reverse one: lock of the data folder, journal, listener, engine, REST API.
use crate::{
    compute::Limited,
    data_dir::{self, DataDir},
    plugins::Connectors,
    settings::{Environment, Settings},
    telemetry,
};
use dataflow_core::problem::Problem;
use dataflow_engine::{
    Engine, EngineSettings,
    parts::{Parts, Random, SystemClock, TcpNet, TokioSpawner},
    region::ShardRegion,
};
use dataflow_journal::Journal;
use dataflow_journal_sqlite::Sqlite;
use dataflow_sdk::{
    Paths,
    catalog::{Connections, Reach},
};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// A node that is up.
#[derive(Debug)]
pub struct Node {
    engine: Engine,
    // Dropped last: the folder is given back only when nothing uses it any more.
    _data: Option<DataDir>,
}

/// Why a node can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its settings are wrong.
    #[error("the settings have {} problem(s)", .0.len())]
    Settings(Vec<Problem>),
    /// Its folder can't be used.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
    /// Its journal can't be opened or read.
    #[error("the journal {}: {source}", path.display())]
    Journal {
        /// The journal's file.
        path: PathBuf,
        /// Why not.
        source: dataflow_journal::Error,
    },
    /// The faults that a test asks for can't be understood.
    #[cfg(feature = "fault-points")]
    #[error(transparent)]
    Faults(#[from] dataflow_testkit::fault_points::Invalid),
}

/// Why a node that was stopped has not settled everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// It took too long.
    #[error("not everything was settled in time; the next start settles the rest")]
    Late,
    /// Nothing more can be kept.
    #[error("not everything was settled because the journal can't be written: {0}; the next start settles the rest")]
    Journal(String),
}

/// Connectors and transforms with the connections of the settings.
///
/// # Errors
/// What is wrong with the connections.
pub fn connectors(settings: &Settings, whose: Whose) -> Result<Connectors, Error> {
    let connections = Connections::new(settings.connections.clone(), Arc::new(Environment));
    let reach = match whose {
        Whose::Users => Reach::default(),
        Whose::Anyones => settings.reach(connections.secret_files()),
    };
    Connectors::new(connections.within(reach).telling(telemetry::secrets())).map_err(Error::Settings)
}

/// Whose pipelines they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of the user who started the process: they may reach what the user may.
    Users,
    /// Of whoever reaches the API: they may reach what the settings say.
    Anyones,
}

/// What a node is made of when it runs for real: the journal in its folder, and the machine's clock, chance, threads and
/// network.
///
/// # Errors
/// If the journal can't be opened.
pub fn parts(settings: &Settings, connectors: &Connectors, data: &DataDir) -> Result<Parts, Error> {
    let path = data.journal();
    let journal = Sqlite::open(&path).map_err(|source| Error::Journal { path, source })?;
    let parts = Parts {
        clock: Arc::new(SystemClock),
        rng: Arc::new(Random::from_system()),
        spawner: Arc::new(TokioSpawner),
        compute: Arc::new(Limited::to(settings.threads())),
        net: Arc::new(TcpNet),
        journal: Journal::new(Arc::new(journal)),
        plugins: Arc::new(connectors.clone()),
    };
    #[cfg(feature = "fault-points")]
    let parts = crate::faults::around(parts)?;
    Ok(parts)
}

impl Node {
    /// Builds a node from its settings and parts, and lets the pipelines that were running go on. `data` is the folder
    /// that the parts keep their files in, if they have any.
    ///
    /// # Errors
    /// If the journal can't be read.
    pub async fn build(settings: &Settings, paths: &Paths, parts: Parts, data: Option<DataDir>) -> Result<Self, Error> {
        let mut paths = paths.clone();
        paths.own.extend(data.iter().flat_map(DataDir::own_files));
        paths.scratch = data.as_ref().map(DataDir::scratch);
        let path = data.as_ref().map(DataDir::journal).unwrap_or_default();
        let default_lanes = u32::try_from(settings.threads()).unwrap_or(u32::MAX);
        let restored = data.as_ref().map(DataDir::restored).transpose()?.unwrap_or_default();
        let settings = EngineSettings { paths: Arc::new(paths), default_lanes, restored: Arc::new(restored) };
        let engine = Engine::start(settings, parts).await.map_err(|source| Error::Journal { path, source })?;
        Ok(Self { engine, _data: data })
    }

    /// The door to its pipelines.
    pub fn region(&self) -> Arc<dyn ShardRegion> {
        self.engine.region()
    }

    /// Lets every run settle what is under way, then closes everything.
    ///
    /// # Errors
    /// What was not settled, and why; the next start settles it.
    pub async fn shutdown(self, deadline: Duration) -> Result<(), Unsettled> {
        if self.engine.shutdown(deadline).await {
            return Ok(());
        }
        Err(self.engine.region().overview().await.unwritable.map_or(Unsettled::Late, Unsettled::Journal))
    }

    /// Waits until the journal could not be written for so long that nothing which waits for it is worth waiting for.
    pub async fn can_not_be_settled(&self) {
        self.engine.can_not_be_settled().await;
    }
}
