//! What the door is given of the node it belongs to.
use crate::{error::Error, hosts::Hosts};
use dataflow_api_types::NodeView;
use dataflow_core::id::CommandId;
use dataflow_engine::region::ShardRegion;
use dataflow_sdk::{Catalog, catalog::Connections, transform::Compiler};
use futures::future::BoxFuture;
use std::{fmt, sync::Arc};

/// The parts of the node that the API uses.
#[derive(Clone)]
pub struct ApiState {
    /// All pipelines.
    pub region: Arc<dyn ShardRegion>,
    /// The connectors there are.
    pub catalog: Arc<Catalog>,
    /// The node's named connections.
    pub connections: Arc<Connections>,
    /// Checks transforms.
    pub compiler: Arc<dyn Compiler>,
    /// What the node says of itself.
    pub node: Arc<dyn Fn() -> NodeView + Send + Sync>,
    /// What the process counts, as Prometheus reads it.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether the node can serve.
    pub readiness: Arc<dyn Fn() -> BoxFuture<'static, Readiness> + Send + Sync>,
    /// Makes up the id of a command that came without an `Idempotency-Key`.
    pub command_id: Arc<dyn Fn() -> CommandId + Send + Sync>,
    /// The names by which this door may be called.
    pub hosts: Hosts,
}

impl ApiState {
    /// Checks what a user wrote, on a thread that may block: it looks at the file system, and a long text takes its time.
    pub(crate) async fn checking<T: Send + 'static>(
        &self,
        check: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let state = self.clone();
        let checked = tokio::task::spawn_blocking(move || check(&state)).await;
        checked.map_err(|error| Error::internal(format!("the check failed: {error}")))
    }
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Whether the node can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It can't, for this reason: still starting, stopping, journal out of reach.
    NotReady(String),
}
