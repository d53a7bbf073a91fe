//! The JSON that users see: bodies and answers of the REST API, which the command line reads and prints, too. One file per
//! resource; times are RFC 3339, UTC, with milliseconds.
mod batches;
mod causes;
mod checkpoint;
mod claims;
mod connectors;
mod dead_letters;
mod history;
mod pipelines;
mod problem;
mod system;

pub use batches::{PushedBatch, PushedRecord, ReceivedView};
pub use causes::{Cause, DeadLettersByCause, Example};
pub use checkpoint::{CheckpointReset, CheckpointView, PositionView, ResetPosition, ResetTarget};
pub use claims::{Claims, Stretch};
pub use connectors::{ConnectorList, ConnectorView};
pub use dead_letters::{DeadLetter, DeadLetterPage};
pub use history::{HistoryItem, HistoryPage, LaneRecovery, RecoveryView};
pub use pipelines::{
    CreatedView, DeletedView, ErrorView, MetricsView, PipelinePage, PipelineView, SinkView, Status, WarningView,
};
pub use problem::{Findings, Problem, ProblemDocument};
pub use system::{HealthView, NodeView, RegionView, SystemView};
