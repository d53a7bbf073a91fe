//! Stored shapes of events: versioned, apart from the domain's, readable for ever.
//!
//! An event is one line of JSON: `{"v":1,"at":…,"actor":…,"command":…,"event":{"pipelineStarted":{…}}}`; `v` is the
//! [write level](WriteLevel) at which it was written. A shape that was ever written is never changed; one that has to
//! change is written from a new level on, with golden files in `golden/v<n>/`. Specs are stored as users write them and read with [`PipelineSpec`](dataflow_core::spec::PipelineSpec)'s
//! own defaults, so that an old spec stays readable.
mod v1;

use crate::{Error, WriteLevel};
use dataflow_core::{
    id::{PipelineId, Seq},
    pipeline::{RecordedEvent, event::Event},
};
use serde::Deserialize;

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
    /// An event of a pipeline, as it is written at this level.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it can't be written as JSON.
    pub fn new(pipeline: &PipelineId, event: &RecordedEvent, level: WriteLevel) -> Result<Self, Error> {
        let (number, kind) = (event.number, Kind::of(&event.event));
        Ok(Self { pipeline: pipeline.clone(), number, kind, body: encode(event, level)? })
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

/// Writes an event in the shape of a level. Whatever is new at a later level is refused here.
///
/// # Errors
/// [`Error::Corrupt`] if it can't be written as JSON.
pub fn encode(event: &RecordedEvent, level: WriteLevel) -> Result<String, Error> {
    v1::RecordedEvent::of(event, level)
        .and_then(|stored| serde_json::to_string(&stored))
        .map_err(|cause| Error::Corrupt(format!("an event can't be written: {cause}")))
}

/// Reads an event of any level up to `newest`.
///
/// # Errors
/// [`Error::Corrupt`] if it isn't JSON with a level; [`Error::OtherBuild`] if its level is a later one, or it isn't of its
/// level's shape: the text is whole, as its checksum says, so another build has written it.
pub fn decode(body: &str, newest: WriteLevel) -> Result<RecordedEvent, Error> {
    #[derive(Deserialize)]
    struct Versioned {
        v: WriteLevel,
    }
    let Versioned { v } = serde_json::from_str(body).map_err(|cause| Error::Corrupt(format!("no event: {cause}")))?;
    if v > newest {
        return Err(Error::OtherBuild(format!(
            "it was written at level {v}, this build reads levels up to {newest}; run the build that wrote it, or a newer one"
        )));
    }
    v1::decode(body).map_err(|cause| {
        Error::OtherBuild(format!(
            "it does not have the shape of level {v} ({cause}); run the build that wrote it, or a newer one; if that was one from before the first release, start with an empty folder"
        ))
    })
}

#[cfg(test)]
mod tests;
