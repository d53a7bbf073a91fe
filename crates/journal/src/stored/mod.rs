//! Stored shapes of events: versioned, apart from the domain's, readable for ever.
//!
//! An event is one line of JSON: `{"v":1,"at":…,"actor":…,"command":…,"event":{"pipelineStarted":{…}}}`. A shape that
//! was ever written is never changed; one that has to change gets a new `v` beside the old one, and a golden file in
//! `golden/v<n>/`. Specs are stored as users write them and read with [`PipelineSpec`](dataflow_core::spec::PipelineSpec)'s
//! own defaults, so that an old spec stays readable.
mod v1;

use crate::Error;
use dataflow_core::{
    id::{PipelineId, Seq},
    pipeline::{RecordedEvent, event::Event},
};
use serde::Deserialize;

/// The version that is written.
pub const VERSION: u32 = 1;

/// The most encoded bytes in one append: every backend can write this much in one conditional statement.
pub const MAX_APPEND_BYTES: usize = 256 << 10;

/// The longest body that stays in the log.
pub(crate) const MAX_BODY: usize = 64 << 10;

/// What compaction and history need to know of an event without decoding it. Part of the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// History and audit: kept for ever.
    Lifecycle,
    /// `BatchProcessed`: absolute, and what counts of it is in the snapshot.
    Processed,
    /// `BatchReceived`: what counts of it is in the snapshot, and its body in a chunk.
    Received,
    /// `DeadLettersJoined`: what counts of it is in the snapshot.
    Joined,
    /// `RunOpened`: says where the last run went on, and is written again by the next one.
    Opened,
}

impl Kind {
    /// The kind of an event.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::BatchProcessed { .. } => Self::Processed,
            Event::BatchReceived { .. } => Self::Received,
            Event::RunOpened { .. } => Self::Opened,
            Event::DeadLettersJoined { .. } => Self::Joined,
            Event::PipelineCreated { .. }
            | Event::PipelineUpdated { .. }
            | Event::UpdateRefused { .. }
            | Event::PipelineStarted { .. }
            | Event::StopRequested { .. }
            | Event::PipelineStopped { .. }
            | Event::SchemaChanged { .. }
            | Event::PartitionsPlanned { .. }
            | Event::RecordsLost(_)
            | Event::PipelineFailed { .. }
            | Event::PipelineCompleted
            | Event::CheckpointReset { .. }
            | Event::PipelineDeleted => Self::Lifecycle,
        }
    }

    /// Its number in the store: 0 is lifecycle, anything above it is progress.
    pub fn code(self) -> u8 {
        match self {
            Self::Lifecycle => 0,
            Self::Processed => 1,
            Self::Received => 2,
            Self::Opened => 3,
            Self::Joined => 4,
        }
    }
}

/// An event as a backend stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its place in the shard's log.
    pub seq: Seq,
    /// The pipeline it happened to.
    pub pipeline: String,
    /// Its number among those of the pipeline.
    pub number: u64,
    /// What kind of event it is, see [`Kind::code`].
    pub kind: u8,
    /// The encoded event.
    pub body: String,
}

/// An event that is ready to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The pipeline it happened to.
    pub pipeline: PipelineId,
    /// Its number among those of the pipeline.
    pub number: u64,
    /// What kind of event it is.
    pub kind: Kind,
    /// Its stored shape.
    pub body: String,
}

impl Encoded {
    /// An event of a pipeline.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it can't be written as JSON.
    pub fn new(pipeline: &PipelineId, event: &RecordedEvent) -> Result<Self, Error> {
        let (number, kind) = (event.number, Kind::of(&event.event));
        Ok(Self { pipeline: pipeline.clone(), number, kind, body: encode(event)? })
    }

    /// Bytes that it takes in the log: what is too long for that is a chunk.
    pub fn bytes(&self) -> usize {
        if self.body.len() > MAX_BODY { 0 } else { self.body.len() }
    }

    /// Its row at a place.
    pub(crate) fn at(&self, seq: Seq) -> Row {
        let Self { pipeline, number, kind, body } = self;
        Row { seq, pipeline: pipeline.as_str().to_owned(), number: *number, kind: kind.code(), body: body.clone() }
    }
}

/// Events of pipelines, ready to be appended.
///
/// # Errors
/// [`Error::Corrupt`] if one can't be written as JSON.
pub fn encoded(events: &[(PipelineId, RecordedEvent)]) -> Result<Vec<Encoded>, Error> {
    events.iter().map(|(pipeline, event)| Encoded::new(pipeline, event)).collect()
}

/// Writes an event in the newest shape.
///
/// # Errors
/// [`Error::Corrupt`] if it can't be written as JSON.
pub fn encode(event: &RecordedEvent) -> Result<String, Error> {
    v1::RecordedEvent::try_from(event)
        .and_then(|stored| serde_json::to_string(&stored))
        .map_err(|cause| Error::Corrupt(format!("an event can't be written: {cause}")))
}

/// Reads an event of any version.
///
/// # Errors
/// [`Error::Corrupt`] if its version is unknown, or it isn't of its version's shape.
pub fn decode(body: &str) -> Result<RecordedEvent, Error> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    let damaged = |cause: serde_json::Error| Error::Corrupt(format!("no event: {cause}"));
    match serde_json::from_str::<Versioned>(body).map_err(damaged)?.v {
        // The text is whole, as its checksum says: where it has another shape, another build has written it.
        1 => v1::decode(body).map_err(|cause| {
            Error::Corrupt(format!(
                "no event of version 1 ({cause}): it was written by another build. Run the one that wrote it or a newer one; if that was one from before the first release, start with an empty folder"
            ))
        }),
        v => Err(Error::Corrupt(format!(
            "an event has the stored version {v}, this build reads versions up to {VERSION}: was it written by a newer one?"
        ))),
    }
}

#[cfg(test)]
mod tests;
