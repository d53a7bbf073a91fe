//! The REST door of a node: opened when the node is up, closed before it goes down.
mod connections;

use crate::{node::Node, plugins::Connectors, settings::Settings};
use dataflow_api::{ApiState, Hosts, Readiness};
use dataflow_api_types::NodeView;
use dataflow_core::id::CommandId;
use dataflow_engine::{
    answers::Overview,
    parts::{Clock, Parts, Random},
    region::ShardRegion,
};
use metrics_exporter_prometheus::PrometheusHandle;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// An open door.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Door {
    /// Answers requests that come to a listener.
    ///
    /// # Errors
    /// If the listener is broken.
    pub fn open(
        node: &Node,
        settings: &Settings,
        connectors: &Connectors,
        parts: &Parts,
        metrics: PrometheusHandle,
        listener: TcpListener,
    ) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let closing = Arc::new(AtomicBool::new(false));
        let state = ApiState {
            region: node.region(),
            catalog: connectors.catalog.clone(),
            connections: connectors.connections.clone(),
            compiler: connectors.compiler.clone(),
            node: Arc::new(describe(settings, parts.clock.clone())),
            metrics: Arc::new(move || metrics.render()),
            readiness: {
                let (region, closing) = (node.region(), closing.clone());
                Arc::new(move || {
                    let (region, closing) = (region.clone(), closing.clone());
                    Box::pin(async move { readiness(&*region, &closing).await })
                })
            },
            command_id: Arc::new(command_ids(parts.rng.clone())),
            hosts: Hosts::loopback(settings.hosts.clone()),
        };
        let (close, closed) = oneshot::channel();
        let serving = connections::serve(listener, dataflow_api::router(state), parts.spawner.clone(), closed);
        let task = parts.spawner.spawn("api", Box::pin(serving));
        Ok(Self { address, closing, close, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and lets those under way end. Returns whether they did in time.
    pub async fn close(self, deadline: Duration) -> bool {
        self.closing.store(true, Ordering::Relaxed);
        if self.close.send(()).is_err() {
            tracing::debug!("the API had already ended");
        }
        let mut task = self.task;
        let ended = tokio::time::timeout(deadline, &mut task).await.is_ok();
        task.abort();
        ended
    }
}

/// Ready is a node that owns all shards that it was to take over, has none of them closed, can write its journal, and isn't
/// stopping.
async fn readiness(region: &dyn ShardRegion, closing: &AtomicBool) -> Readiness {
    if closing.load(Ordering::Relaxed) {
        return Readiness::NotReady("the node is stopping".into());
    }
    let Overview { shards_owned, shards_assigned, unwritable, closed, .. } = region.overview().await;
    let lost = shards_assigned.saturating_sub(shards_owned + closed.len());
    match (lost, unwritable, closed.as_slice()) {
        (0, None, []) => Readiness::Ready,
        (0, None, [why]) => Readiness::NotReady(why.clone()),
        (0, None, [first, more @ ..]) => {
            Readiness::NotReady(format!("{first}; {} more are closed, see the log", more.len()))
        }
        (0, Some(why), _) => Readiness::NotReady(format!("the journal can't be written: {why}")),
        (lost, ..) => {
            Readiness::NotReady(format!("another node has taken over {lost} of this node's {shards_assigned} shards"))
        }
    }
}

fn describe(settings: &Settings, clock: Arc<dyn Clock>) -> impl Fn() -> NodeView + Send + Sync + use<> {
    let started = clock.now();
    let data_dir = settings.data_dir.canonicalize().unwrap_or_else(|_| settings.data_dir.clone());
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "node".into(), |name| name.trim().to_owned());
    move || NodeView {
        name: name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        journal: "sqlite".into(),
        data_dir: Some(data_dir.display().to_string()),
        started_at: started.to_string(),
        uptime_seconds: u64::try_from(clock.now().seconds() - started.seconds()).unwrap_or(0),
    }
}

fn command_ids(random: Arc<Random>) -> impl Fn() -> CommandId + Send + Sync + use<> {
    move || match CommandId::try_from(random.name()) {
        Ok(id) => id,
        Err(error) => unreachable!("32 hexadecimal digits are an id: {error}"),
    }
}
