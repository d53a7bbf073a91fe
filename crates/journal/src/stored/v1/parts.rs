//! What version 1 of stored events is made of.
use super::warned::Notice;
use dataflow_core::{
    chunk::{ChunkId, ChunkKind, ChunkRef},
    id::Generation,
    ledger,
    pipeline::event as domain,
    position,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
}

impl From<&position::Position> for Position {
    fn from(position: &position::Position) -> Self {
        Self { at: position.at.to_string(), identity: position.identity.as_deref().map(Into::into) }
    }
}

impl From<Position> for position::Position {
    fn from(stored: Position) -> Self {
        Self { at: stored.at.into(), identity: stored.identity.map(Into::into) }
    }
}

pub(super) type Positions = BTreeMap<String, Position>;

pub(super) fn store_positions(positions: &position::Positions) -> Positions {
    positions.iter().map(|(partition, position)| (partition.to_string(), position.into())).collect()
}

pub(super) fn read_positions(stored: Positions) -> position::Positions {
    stored.into_iter().map(|(partition, position)| (partition.as_str().into(), position.into())).collect()
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Counters {
    #[serde(skip_serializing_if = "is_zero")]
    read: u64,
    #[serde(skip_serializing_if = "is_zero")]
    filtered: u64,
    #[serde(skip_serializing_if = "is_zero")]
    delivered: u64,
    #[serde(skip_serializing_if = "is_zero")]
    absorbed: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dead: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
    #[serde(skip_serializing_if = "is_zero")]
    bytes_lost: u64,
    #[serde(skip_serializing_if = "is_zero")]
    rows_written: u64,
    #[serde(skip_serializing_if = "is_zero")]
    bytes_read: u64,
    #[serde(skip_serializing_if = "is_zero")]
    batches: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl From<&ledger::Counters> for Counters {
    fn from(counters: &ledger::Counters) -> Self {
        let ledger::Counters {
            read,
            filtered,
            delivered,
            absorbed,
            dead,
            lost,
            bytes_lost,
            rows_written,
            bytes_read,
            batches,
        } = *counters;
        Self { read, filtered, delivered, absorbed, dead, lost, bytes_lost, rows_written, bytes_read, batches }
    }
}

impl From<Counters> for ledger::Counters {
    fn from(stored: Counters) -> Self {
        let Counters { read, filtered, delivered, absorbed, dead, lost, bytes_lost, rows_written, bytes_read, batches } =
            stored;
        Self { read, filtered, delivered, absorbed, dead, lost, bytes_lost, rows_written, bytes_read, batches }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chunk {
    id: String,
    kind: Contents,
    records: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Contents {
    DeadLetters,
    State,
    StateDelta,
}

impl From<&ChunkRef> for Chunk {
    fn from(chunk: &ChunkRef) -> Self {
        let kind = match chunk.kind {
            ChunkKind::DeadLetters => Contents::DeadLetters,
            ChunkKind::State => Contents::State,
            ChunkKind::StateDelta => Contents::StateDelta,
        };
        Self { id: chunk.id.to_string(), kind, records: chunk.records }
    }
}

impl From<Chunk> for ChunkRef {
    fn from(stored: Chunk) -> Self {
        let kind = match stored.kind {
            Contents::DeadLetters => ChunkKind::DeadLetters,
            Contents::State => ChunkKind::State,
            Contents::StateDelta => ChunkKind::StateDelta,
        };
        Self { id: ChunkId(stored.id.into()), kind, records: stored.records }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Planned {
    partition: String,
    lane: u32,
    begin: Position,
}

impl From<&domain::Planned> for Planned {
    fn from(planned: &domain::Planned) -> Self {
        let domain::Planned { partition, lane, begin } = planned;
        Self { partition: partition.to_string(), lane: *lane, begin: begin.into() }
    }
}

impl From<Planned> for domain::Planned {
    fn from(Planned { partition, lane, begin }: Planned) -> Self {
        Self { partition: partition.as_str().into(), lane, begin: begin.into() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LaneProgress {
    lane: u32,
    sequence: u64,
    positions: Positions,
    counters: Counters,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chunks: Vec<Chunk>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Notice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handle: Option<serde_json::Value>,
}

impl From<&domain::LaneProgress> for LaneProgress {
    fn from(progress: &domain::LaneProgress) -> Self {
        Self {
            lane: progress.lane,
            sequence: progress.sequence,
            positions: store_positions(&progress.positions),
            counters: (&progress.counters).into(),
            chunks: progress.chunks.iter().map(Into::into).collect(),
            warnings: progress.warnings.iter().map(Into::into).collect(),
            handle: progress.handle.clone(),
        }
    }
}

impl From<LaneProgress> for domain::LaneProgress {
    fn from(stored: LaneProgress) -> Self {
        Self {
            lane: stored.lane,
            sequence: stored.sequence,
            positions: read_positions(stored.positions),
            counters: stored.counters.into(),
            chunks: stored.chunks.into_iter().map(Into::into).collect(),
            warnings: stored.warnings.into_iter().collect(),
            handle: stored.handle,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LaneOpened {
    lane: u32,
    decision: Recovery,
    journal_sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_sequence: Option<u64>,
    progress: LaneProgress,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Recovery {
    Fresh,
    Agreed,
    TokenAdopted,
    Journal,
    AtLeastOnce,
}

impl From<&domain::LaneOpened> for LaneOpened {
    fn from(opened: &domain::LaneOpened) -> Self {
        let decision = match opened.decision {
            domain::Recovery::Fresh => Recovery::Fresh,
            domain::Recovery::Agreed => Recovery::Agreed,
            domain::Recovery::TokenAdopted => Recovery::TokenAdopted,
            domain::Recovery::Journal => Recovery::Journal,
            domain::Recovery::AtLeastOnce => Recovery::AtLeastOnce,
        };
        Self {
            lane: opened.lane,
            decision,
            journal_sequence: opened.journal_sequence,
            token_sequence: opened.token_sequence,
            progress: (&opened.progress).into(),
        }
    }
}

impl From<LaneOpened> for domain::LaneOpened {
    fn from(stored: LaneOpened) -> Self {
        let decision = match stored.decision {
            Recovery::Fresh => domain::Recovery::Fresh,
            Recovery::Agreed => domain::Recovery::Agreed,
            Recovery::TokenAdopted => domain::Recovery::TokenAdopted,
            Recovery::Journal => domain::Recovery::Journal,
            Recovery::AtLeastOnce => domain::Recovery::AtLeastOnce,
        };
        Self {
            lane: stored.lane,
            decision,
            journal_sequence: stored.journal_sequence,
            token_sequence: stored.token_sequence,
            progress: stored.progress.into(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewGeneration {
    generation: Generation,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    met: Vec<Generation>,
    positions: Positions,
    #[serde(default, skip_serializing_if = "Positions::is_empty")]
    reached: Positions,
    #[serde(default, skip_serializing_if = "Positions::is_empty")]
    given_up: Positions,
    settled: Vec<LaneProgress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retargeted: Option<Retargeted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    discarded: Option<Lost>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    passed: Vec<Lost>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Notice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsettled: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retargeted {
    from: String,
    to: String,
    records: u64,
}

impl From<&domain::NewGeneration> for NewGeneration {
    fn from(new: &domain::NewGeneration) -> Self {
        Self {
            generation: new.generation,
            met: new.met.clone(),
            positions: store_positions(&new.positions),
            reached: store_positions(&new.reached),
            given_up: store_positions(&new.given_up),
            settled: new.settled.iter().map(Into::into).collect(),
            lost: new.lost,
            retargeted: new.retargeted.clone().map(|domain::Retargeted { from, to, records }| Retargeted {
                from,
                to,
                records,
            }),
            discarded: new.discarded.as_ref().map(Into::into),
            passed: new.passed.iter().map(Into::into).collect(),
            notes: new.notes.iter().map(Into::into).collect(),
            unsettled: new.unsettled.clone(),
        }
    }
}

impl From<NewGeneration> for domain::NewGeneration {
    fn from(stored: NewGeneration) -> Self {
        Self {
            generation: stored.generation,
            met: stored.met,
            positions: read_positions(stored.positions),
            reached: read_positions(stored.reached),
            given_up: read_positions(stored.given_up),
            settled: stored.settled.into_iter().map(Into::into).collect(),
            lost: stored.lost,
            retargeted: stored.retargeted.map(|Retargeted { from, to, records }| domain::Retargeted {
                from,
                to,
                records,
            }),
            discarded: stored.discarded.map(Into::into),
            passed: stored.passed.into_iter().map(Into::into).collect(),
            notes: stored.notes.into_iter().collect(),
            unsettled: stored.unsettled,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lost {
    partition: String,
    from: Position,
    to: Position,
    records: u64,
}

impl From<&domain::Lost> for Lost {
    fn from(lost: &domain::Lost) -> Self {
        let (from, to) = ((&lost.from).into(), (&lost.to).into());
        Self { partition: lost.partition.to_string(), from, to, records: lost.records }
    }
}

impl From<Lost> for domain::Lost {
    fn from(stored: Lost) -> Self {
        let (from, to) = (stored.from.into(), stored.to.into());
        Self { partition: stored.partition.as_str().into(), from, to, records: stored.records }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Cause {
    code: String,
    stage: String,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    retryable: bool,
}

impl From<&domain::Cause> for Cause {
    fn from(cause: &domain::Cause) -> Self {
        let domain::Cause { code, stage, message, fix, retryable } = cause.clone();
        Self { code, stage, message, fix, retryable }
    }
}

impl From<Cause> for domain::Cause {
    fn from(stored: Cause) -> Self {
        let Cause { code, stage, message, fix, retryable } = stored;
        Self { code, stage, message, fix, retryable }
    }
}
