//! The parts of the node that a connector can use.
use crate::{inbox::Inbox, paths::Paths};
use dataflow_core::{branch::BranchId, id::Incarnation, spec::BatchSpec};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The parts of the node that a connector can use.
#[derive(Clone, Debug)]
pub struct Context {
    /// The branch of a pipeline that it works for.
    pub branch: BranchId,
    /// Which one of that id.
    pub incarnation: Incarnation,
    /// How large a batch may get.
    pub batch: BatchSpec,
    /// Largest record, in bytes.
    pub max_record_bytes: u64,
    /// Most bytes that may be read and not yet committed.
    pub max_in_flight_bytes: u64,
    /// Which files it may touch. To be asked before each is opened.
    pub paths: Arc<Paths>,
    /// Whether records are read a second time, to verify what became of them: as fast as they can be.
    pub again: bool,
    /// The records pushed to this pipeline.
    pub inbox: Option<Arc<dyn Inbox>>,
    /// Cancelled when the run must end now; whatever waits then gives up.
    pub stop: CancellationToken,
}
