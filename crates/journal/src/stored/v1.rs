//! The shape of stored events from write level 1 on. Written to disk: never changed.
mod parts;
mod then;
mod warned;

use dataflow_core::{
    chunk::ChunkId,
    id::{Actor, BatchId, CommandId, Epoch, Incarnation, Reason, RunId, SinkName, SourceName, TraceParent},
    level::WriteLevel,
    pipeline::event as domain,
    time::Timestamp,
    types::{InferredTypes, Type},
};
use parts::{
    Cause, Chunk, LaneOpened, LaneProgress, Lost, NewGeneration, Planned, Position, Positions, read_positions,
    store_positions,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use then::{Then, read_spec};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordedEvent {
    v: WriteLevel,
    number: u64,
    at: i64,
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<u64>,
    #[serde(default, skip_serializing_if = "is_first")]
    branch: u32,
    event: Event,
}

fn is_first(branch: &u32) -> bool {
    *branch == 0
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Event {
    PipelineCreated {
        spec: Value,
        incarnation: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pushes: Option<u64>,
    },
    PipelineUpdated {
        spec: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sink: Option<SinkName>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        generation: Option<NewGeneration>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        positions: Option<Positions>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        discarded: Option<Box<Lost>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pushes: Option<u64>,
    },
    UpdateRefused {
        code: String,
        message: String,
    },
    PipelineStarted {
        lanes: u32,
        attempt: u32,
    },
    StopRequested {
        then: Then,
    },
    PipelineStopped {
        settled: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    BatchReceived {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<SourceName>,
        batch_id: String,
        hash: String,
        from: u64,
        to: u64,
        bytes: u64,
        chunk: String,
    },
    RunOpened {
        run: u64,
        epoch: u64,
        lanes: Vec<LaneOpened>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reserved_versions: Option<u64>,
    },
    PartitionsPlanned {
        run: u64,
        planned: Vec<Planned>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lanes: Option<u32>,
    },
    BatchProcessed {
        run: u64,
        lanes: Vec<LaneProgress>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reserved_versions: Option<u64>,
    },
    SchemaChanged {
        learned: BTreeMap<String, Option<Type>>,
    },
    RecordsLost {
        partition: String,
        from: Position,
        to: Position,
        records: u64,
    },
    DeadLettersJoined {
        first: u64,
        count: u64,
        into: Chunk,
    },
    PipelineFailed {
        cause: Cause,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart_at: Option<i64>,
    },
    PipelineCompleted {},
    CheckpointReset {
        to: String,
        generation: NewGeneration,
    },
    PipelineDeleted {},
}

/// Reads an event of this version.
pub(super) fn decode(body: &str) -> Result<domain::RecordedEvent, String> {
    let stored: RecordedEvent = serde_json::from_str(body).map_err(|cause| cause.to_string())?;
    Ok(domain::RecordedEvent {
        number: stored.number,
        at: Timestamp(stored.at),
        actor: Actor::try_from(stored.actor).map_err(|cause| cause.to_string())?,
        reason: stored.reason.map(Reason::try_from).transpose().map_err(|cause| cause.to_string())?,
        trace: stored.trace.map(TraceParent::try_from).transpose().map_err(|cause| cause.to_string())?,
        command: CommandId::try_from(stored.command).map_err(|cause| cause.to_string())?,
        hash: stored.hash,
        branch: stored.branch,
        event: stored.event.try_into()?,
    })
}

impl RecordedEvent {
    /// As it is written at a level.
    pub(super) fn of(event: &domain::RecordedEvent, level: WriteLevel) -> Result<Self, serde_json::Error> {
        Ok(Self {
            v: level,
            number: event.number,
            at: event.at.0,
            actor: event.actor.as_str().to_owned(),
            reason: event.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            trace: event.trace.as_ref().map(|trace| trace.as_str().to_owned()),
            command: event.command.as_str().to_owned(),
            hash: event.hash,
            branch: event.branch,
            event: Event::try_from(&event.event)?,
        })
    }
}

impl TryFrom<&domain::Event> for Event {
    type Error = serde_json::Error;
    fn try_from(event: &domain::Event) -> Result<Self, serde_json::Error> {
        use domain::Event as From;
        Ok(match event {
            From::PipelineCreated { spec, incarnation, pushes } => Self::PipelineCreated {
                spec: serde_json::to_value(spec)?,
                incarnation: incarnation.as_str().to_owned(),
                pushes: *pushes,
            },
            From::PipelineUpdated { spec, sink, generation, positions, discarded, pushes } => Self::PipelineUpdated {
                spec: serde_json::to_value(spec)?,
                sink: sink.clone(),
                generation: generation.as_ref().map(Into::into),
                positions: positions.as_ref().map(store_positions),
                discarded: discarded.as_ref().map(|lost| Box::new(lost.into())),
                pushes: *pushes,
            },
            From::UpdateRefused { code, message } => {
                Self::UpdateRefused { code: code.clone(), message: message.clone() }
            }
            From::PipelineStarted { lanes, attempt } => Self::PipelineStarted { lanes: *lanes, attempt: *attempt },
            From::StopRequested { then } => Self::StopRequested { then: then.try_into()? },
            From::PipelineStopped { unsettled } => {
                Self::PipelineStopped { settled: unsettled.is_none(), cause: unsettled.as_ref().map(Into::into) }
            }
            From::BatchReceived { source, batch_id, hash, from, to, bytes, chunk } => Self::BatchReceived {
                source: source.clone(),
                batch_id: batch_id.as_str().to_owned(),
                hash: hash.clone(),
                from: *from,
                to: *to,
                bytes: *bytes,
                chunk: chunk.to_string(),
            },
            From::RunOpened { run, epoch, lanes, reserved_versions } => Self::RunOpened {
                run: run.0,
                epoch: epoch.0,
                lanes: lanes.iter().map(Into::into).collect(),
                reserved_versions: *reserved_versions,
            },
            From::PartitionsPlanned { run, planned, lanes } => {
                Self::PartitionsPlanned { run: run.0, planned: planned.iter().map(Into::into).collect(), lanes: *lanes }
            }
            From::BatchProcessed { run, lanes, reserved_versions } => Self::BatchProcessed {
                run: run.0,
                lanes: lanes.iter().map(Into::into).collect(),
                reserved_versions: *reserved_versions,
            },
            From::SchemaChanged { learned } => Self::SchemaChanged { learned: learned.0.clone() },
            From::RecordsLost(lost) => Self::RecordsLost {
                partition: lost.partition.to_string(),
                from: (&lost.from).into(),
                to: (&lost.to).into(),
                records: lost.records,
            },
            From::DeadLettersJoined { first, count, into } => {
                Self::DeadLettersJoined { first: *first, count: *count, into: into.into() }
            }
            From::PipelineFailed { cause, restart_at } => {
                Self::PipelineFailed { cause: cause.into(), restart_at: restart_at.map(|at| at.0) }
            }
            From::PipelineCompleted => Self::PipelineCompleted {},
            From::CheckpointReset { to, generation } => {
                Self::CheckpointReset { to: to.clone(), generation: generation.into() }
            }
            From::PipelineDeleted => Self::PipelineDeleted {},
        })
    }
}

impl TryFrom<Event> for domain::Event {
    type Error = String;
    fn try_from(event: Event) -> Result<Self, String> {
        Ok(match event {
            Event::PipelineCreated { spec: json, incarnation, pushes } => Self::PipelineCreated {
                spec: read_spec(json)?,
                incarnation: Incarnation::try_from(incarnation).map_err(|cause| cause.to_string())?,
                pushes,
            },
            Event::PipelineUpdated { spec: json, sink, generation, positions, discarded, pushes } => {
                Self::PipelineUpdated {
                    spec: read_spec(json)?,
                    sink,
                    generation: generation.map(Into::into),
                    positions: positions.map(read_positions),
                    discarded: discarded.map(|lost| (*lost).into()),
                    pushes,
                }
            }
            Event::UpdateRefused { code, message } => Self::UpdateRefused { code, message },
            Event::PipelineStarted { lanes, attempt } => Self::PipelineStarted { lanes, attempt },
            Event::StopRequested { then } => Self::StopRequested { then: then.try_into()? },
            Event::PipelineStopped { settled, cause } => {
                Self::PipelineStopped { unsettled: (!settled).then(|| cause.map_or_else(not_stored, Into::into)) }
            }
            Event::BatchReceived { source, batch_id, hash, from, to, bytes, chunk } => Self::BatchReceived {
                source,
                batch_id: BatchId::try_from(batch_id).map_err(|cause| cause.to_string())?,
                hash,
                from,
                to,
                bytes,
                chunk: ChunkId(chunk.into()),
            },
            Event::RunOpened { run, epoch, lanes, reserved_versions } => Self::RunOpened {
                run: RunId(run),
                epoch: Epoch(epoch),
                lanes: lanes.into_iter().map(Into::into).collect(),
                reserved_versions,
            },
            Event::PartitionsPlanned { run, planned, lanes } => Self::PartitionsPlanned {
                run: RunId(run),
                planned: planned.into_iter().map(Into::into).collect(),
                lanes,
            },
            Event::BatchProcessed { run, lanes, reserved_versions } => Self::BatchProcessed {
                run: RunId(run),
                lanes: lanes.into_iter().map(Into::into).collect(),
                reserved_versions,
            },
            Event::SchemaChanged { learned } => Self::SchemaChanged { learned: InferredTypes(learned) },
            Event::RecordsLost { partition, from, to, records } => Self::RecordsLost(domain::Lost {
                partition: partition.as_str().into(),
                from: from.into(),
                to: to.into(),
                records,
            }),
            Event::DeadLettersJoined { first, count, into } => {
                Self::DeadLettersJoined { first, count, into: into.into() }
            }
            Event::PipelineFailed { cause, restart_at } => {
                Self::PipelineFailed { cause: cause.into(), restart_at: restart_at.map(Timestamp) }
            }
            Event::PipelineCompleted {} => Self::PipelineCompleted,
            Event::CheckpointReset { to, generation } => Self::CheckpointReset { to, generation: generation.into() },
            Event::PipelineDeleted {} => Self::PipelineDeleted,
        })
    }
}

/// Why a stop had not settled, of which that was not written then.
fn not_stored() -> domain::Cause {
    let message = "the version of the program that stopped it did not note why".into();
    domain::Cause { code: "unsettled".into(), stage: "run".into(), message, fix: None, retryable: true }
}
