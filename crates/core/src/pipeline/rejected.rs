//! Why a command was rejected.
use crate::{
    id::SinkName,
    pipeline::{
        Branch,
        command::Change,
        event::{LaneProgress, Lost},
        inbox::Inbox,
        state::{Pipeline, Status},
    },
    position::{Partition, Position, Positions},
    problem::Problem,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a command was rejected. Nothing has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Rejected {
    /// There is no such pipeline.
    #[error("there is no pipeline with this id")]
    NotFound,
    /// There is one already.
    #[error("a pipeline with this id already exists")]
    AlreadyExists,
    /// Not in this state.
    #[error("can't {request} a pipeline that is {status}")]
    NotAllowed {
        /// The request: `start`, `stop`, `update`, …
        request: String,
        /// The current status.
        status: Status,
        /// What to do about it.
        fix: Option<String>,
    },
    /// It has changed since the version that was named.
    #[error("the pipeline is at version {actual}, not {expected}")]
    VersionMismatch {
        /// The version named.
        expected: u64,
        /// The version it is at.
        actual: u64,
    },
    /// The request itself is invalid.
    #[error("the request has {} problem(s)", problems.len())]
    Invalid {
        /// All findings.
        problems: Vec<Problem>,
    },
    /// The command's id was used for another request.
    #[serde(rename = "idempotency-key-reused")]
    #[error("this idempotency key was already used for another request")]
    KeyReused,
    /// The batch id was used for other content.
    #[error("this batchId was already used with other content")]
    BatchIdReused,
    /// Too many pushed bytes wait.
    #[error("{pending} bytes are waiting to be processed; the limit is {most}")]
    Overloaded {
        /// Bytes that wait.
        pending: u64,
        /// Most that may.
        most: u64,
    },
    /// The old generation could not be settled.
    #[error("the sink could not be checked: {reason}")]
    Unsettled {
        /// Why not.
        reason: String,
    },
    /// The change gives up positions, and nobody said that it may.
    #[error("the change would give up the position of {}", told(positions))]
    ResetNeeded {
        /// All that it gives up.
        positions: Vec<GivenUp>,
    },
    /// The change selects another target, without permission to continue there without the records delivered before.
    #[error("the new target does not have the {records} record(s) already delivered to the old one")]
    RetargetNeeded {
        /// How many.
        records: u64,
    },
    /// Records would be written again to a target that can't recognise them, and nobody said that they may.
    #[error(
        "the target has no key to recognise records by, so records that it already has would be doubled: {}",
        doubled(places, *uncounted)
    )]
    SinkAhead {
        /// Where it would go on, and how far the target is.
        places: Vec<Doubled>,
        /// Records that the target has beside these and the journal does not count.
        uncounted: u64,
    },
    /// Records that are nowhere else would be lost.
    #[error("deleting it would lose {}", undelivered(*records, *dead_letters))]
    Undelivered {
        /// Pushed records that were acknowledged and are not delivered yet.
        records: u64,
        /// Dead letters.
        dead_letters: u64,
    },
    /// The same of one of several sinks.
    #[error("sink {sink}: {rejected}")]
    OfSink {
        /// Which.
        sink: SinkName,
        /// Why.
        rejected: Box<Rejected>,
    },
    /// Another update took its place while it waited for a stop.
    #[error("another update took its place before it was made")]
    Replaced,
    /// A report of a run that is no longer the pipeline's.
    #[error("this run has ended")]
    StaleRun,
}

/// Records of a partition that would be written again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubled {
    /// Where.
    pub partition: Partition,
    /// Where the pipeline would continue.
    pub from: Position,
    /// How far it has been.
    pub to: Position,
    /// How many lie between; `None`: the source can't tell.
    pub records: Option<u64>,
}

impl fmt::Display for Doubled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, from, to, records } = self;
        let records = records.map_or("an unknown number of records".into(), |n| format!("{n} record(s)"));
        write!(f, "{records} of {partition} from {from} to {to}")
    }
}

/// A position that a change gives up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// Where.
    pub partition: Partition,
    /// Where the pipeline is.
    pub from: Position,
    /// Where it would continue, in words.
    pub to: String,
    /// Whether it is that of a sink that is removed, not of the source as it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_removed: bool,
}

impl GivenUp {
    /// Rejects a change that gives up these positions.
    pub(super) fn check(positions: &Positions, change: &Change) -> Result<(), Rejected> {
        let given_up = positions.iter().filter_map(|(partition, from)| {
            let to = change.given_up.get(partition)?.clone();
            Some(Self { partition: partition.clone(), from: from.clone(), to, of_removed: false })
        });
        let positions: Vec<_> = given_up.collect();
        if positions.is_empty() { Ok(()) } else { Err(Rejected::ResetNeeded { positions }) }
    }

    /// The pushed records that wait for a branch which ends, if any: they are kept only as long as another branch waits for them.
    pub(super) fn by_end(pipeline: &Pipeline, branch: &Branch, settled: &[LaneProgress]) -> Option<Lost> {
        let inbox = &pipeline.inbox;
        let at = Inbox::read_before(&branch.progress.positions_with(settled)).max(inbox.first());
        let records = inbox.received.saturating_sub(at);
        let (from, to) = (Position::offset(at), Position::offset(inbox.received));
        let lost = || Lost { partition: Inbox::PARTITION.into(), from, to, records };
        (pipeline.pushes.is_some() && records > 0).then(lost)
    }

    /// Rejects the end of a branch that these wait for.
    pub(super) fn of_removed(lost: &Lost) -> Rejected {
        let to = format!("it is removed without the {} record(s) that were pushed since", lost.records);
        let (partition, from) = (lost.partition.clone(), lost.from.clone());
        Rejected::ResetNeeded { positions: vec![Self { partition, from, to, of_removed: true }] }
    }
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ({})", self.partition, self.from, self.to)
    }
}

fn doubled(places: &[Doubled], uncounted: u64) -> String {
    let more =
        (uncounted > 0).then(|| format!("{uncounted} record(s) that it has after those that the journal counts"));
    [(!places.is_empty()).then(|| told(places)), more].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The first of them, and how many there are.
fn told<T: ToString>(all: &[T]) -> String {
    const MOST: usize = 10;
    let first: Vec<String> = all.iter().take(MOST).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(MOST);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", first.join(", "))
}

/// Pushed records and dead letters, where there are any.
fn undelivered(records: u64, dead_letters: u64) -> String {
    let kinds =
        [(records, "acknowledged pushed record(s) that are not delivered yet"), (dead_letters, "dead letter(s)")];
    let told = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    told.collect::<Vec<_>>().join(", and ")
}

impl Rejected {
    /// Its stable code, in kebab-case, as it is in the JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::NotAllowed { .. } => "not-allowed",
            Self::VersionMismatch { .. } => "version-mismatch",
            Self::Invalid { .. } => "invalid",
            Self::KeyReused => "idempotency-key-reused",
            Self::BatchIdReused => "batch-id-reused",
            Self::Overloaded { .. } => "overloaded",
            Self::Unsettled { .. } => "unsettled",
            Self::ResetNeeded { .. } => "reset-needed",
            Self::RetargetNeeded { .. } => "retarget-needed",
            Self::SinkAhead { .. } => "sink-ahead",
            Self::Undelivered { .. } => "undelivered",
            Self::Replaced => "replaced",
            Self::StaleRun => "stale-run",
            Self::OfSink { rejected, .. } => rejected.code(),
        }
    }

    /// What it says, with all findings.
    pub(super) fn in_full(&self) -> String {
        match self {
            Self::Invalid { problems } => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            Self::OfSink { sink, rejected } => format!("sink {sink}: {}", rejected.in_full()),
            other => other.to_string(),
        }
    }

    /// The same, said of a sink that has a name, where it is about a sink.
    pub fn of_sink(self, sink: Option<&SinkName>) -> Self {
        let about_one = matches!(
            self,
            Self::Unsettled { .. } | Self::ResetNeeded { .. } | Self::RetargetNeeded { .. } | Self::SinkAhead { .. }
        );
        match sink.filter(|_| about_one) {
            Some(sink) => Self::OfSink { sink: sink.clone(), rejected: Box::new(self) },
            None => self,
        }
    }
}
