//! What a pipeline claims to have done, for those who verify it: positions, counts and types, as the journal has them.
use crate::{
    answers::{Claims, DeadLetter, DeadLetters, Stretch},
    causes::{self, DeadLettersByCause},
    dead_letters,
    shard::load_pipeline,
};
use dataflow_core::{
    id::PipelineId,
    pipeline::{
        Event, PendingLosses, Pipeline, RecordedEvent, State,
        event::{LaneProgress, Lost, NewGeneration},
    },
    spec::PipelineSpec,
    time::Timestamp,
};
use dataflow_journal::{Error, Journal};

/// Events read at once.
const PAGE: usize = 1_000;

/// What the history says of the present generation.
#[derive(Debug, Default)]
struct Course {
    spec: Option<PipelineSpec>,
    started: bool,
    /// What was passed over.
    lost: Vec<Lost>,
    /// What no checkpoint has passed yet.
    losses: PendingLosses,
    stretches: Vec<Stretch>,
    changed: Option<Timestamp>,
}

impl Course {
    fn pass(&mut self, lane: &LaneProgress) {
        self.lost.extend(self.losses.pass(&lane.positions));
    }

    fn take(&mut self, event: &RecordedEvent) {
        let begins = |spec: Option<PipelineSpec>| Self { spec, ..Self::default() };
        match &event.event {
            Event::PipelineCreated { spec, .. }
            | Event::PipelineUpdated { spec, generation: Some(NewGeneration { .. }), .. } => {
                *self = begins(Some(PipelineSpec::clone(spec)));
            }
            Event::CheckpointReset { .. } => *self = begins(self.spec.take()),
            Event::PipelineStarted { .. } => self.started = true,
            Event::PipelineUpdated { spec, generation: None, positions, pushes: _ } => {
                let before = self.spec.replace(PipelineSpec::clone(spec));
                if let Some(before) = before.filter(|before| self.started && !before.gives_like(spec)) {
                    // A limit of the source's own can only be applied to all that it gives.
                    match positions.clone().filter(|_| before.max_record_bytes == spec.max_record_bytes) {
                        Some(until) => self.stretches.push(Stretch { spec: before, until }),
                        None => self.changed = Some(event.at),
                    }
                }
            }
            Event::RecordsLost(lost) => self.losses.note(lost),
            Event::RunOpened { lanes, .. } => lanes.iter().for_each(|lane| self.pass(&lane.progress)),
            Event::BatchProcessed { lanes, .. } => lanes.iter().for_each(|lane| self.pass(lane)),
            _ => {}
        }
    }
}

/// The claims of a pipeline in this state.
pub(crate) async fn of(journal: &Journal, state: &State) -> Result<Option<Claims>, Error> {
    let Some(Pipeline { id, incarnation, spec, progress, learned, .. }) = state.pipeline() else { return Ok(None) };
    let mut course = Course::default();
    let mut after = 0;
    loop {
        let entries = journal.history(id, after, PAGE).await?;
        let Some(last) = entries.last() else { break };
        after = last.event.number;
        entries.iter().for_each(|entry| course.take(&entry.event));
    }
    let at_rest = match state {
        State::Running(_) => false,
        State::Failed(failed) => failed.restart_at.is_none(),
        State::Empty | State::Configured(_) | State::Stopped(_) | State::Completed(_) | State::Deleted(_) => true,
    };
    Ok(Some(Claims {
        pipeline_id: id.clone(),
        incarnation: incarnation.clone(),
        status: state.status(),
        at_rest,
        spec: spec.clone(),
        learned: learned.clone(),
        generation: progress.generation,
        lanes: progress.lanes,
        begin: progress.begin.clone(),
        by_lane: progress.by_lane.values().cloned().collect(),
        earlier: progress.earlier,
        lost: course.lost.into_iter().chain(course.losses).collect(),
        stretches: course.stretches,
        changed: course.changed,
    }))
}

/// A pipeline in a journal that no node has open: claims and dead letters without a run.
#[derive(Debug)]
pub struct Stored<'a> {
    journal: &'a Journal,
    state: State,
}

impl<'a> Stored<'a> {
    /// Reads a pipeline's state from snapshot and log, and claims no shard.
    ///
    /// # Errors
    /// If the journal can't be read.
    pub async fn load(journal: &'a Journal, pipeline: &PipelineId) -> Result<Self, Error> {
        Ok(Self { journal, state: load_pipeline(journal, pipeline).await? })
    }

    /// What it claims; none if there is no such pipeline.
    ///
    /// # Errors
    /// If its history can't be read.
    pub async fn claims(&self) -> Result<Option<Claims>, Error> {
        of(self.journal, &self.state).await
    }

    /// Whether there is such a pipeline.
    pub fn exists(&self) -> bool {
        self.state.pipeline().is_some()
    }

    /// Its dead letters, counted by cause.
    ///
    /// # Errors
    /// If a chunk that the journal names is gone or damaged.
    pub async fn causes(&self) -> Result<DeadLettersByCause, Error> {
        let Some(pipeline) = self.state.pipeline() else { return Ok(DeadLettersByCause::default()) };
        let (incarnation, chunks) = causes::of(pipeline);
        causes::Tally::default().count(self.journal, (&incarnation, &chunks), None).await
    }

    /// A page of its dead letters, without their bytes.
    ///
    /// # Errors
    /// If a chunk that the journal names is gone or damaged.
    pub async fn page(&self, after: u64, limit: usize) -> Result<DeadLetters, Error> {
        let chunks = self.state.pipeline().map(|pipeline| pipeline.progress.dead_letters.as_slice());
        dead_letters::page(self.journal, chunks.unwrap_or_default(), after, limit).await
    }

    /// A page of its dead letters with their bytes, perhaps fewer than `limit`.
    ///
    /// # Errors
    /// If a chunk that the journal names is gone or damaged.
    pub async fn whole(&self, after: u64, limit: usize) -> Result<DeadLetters, Error> {
        let chunks = self.state.pipeline().map(|pipeline| pipeline.progress.dead_letters.as_slice());
        dead_letters::whole(self.journal, chunks.unwrap_or_default(), after, limit).await
    }

    /// The partitions that it has a position in.
    pub fn partitions(&self) -> Vec<String> {
        let positions = self.state.pipeline().map(|pipeline| pipeline.progress.positions()).unwrap_or_default();
        positions.keys().map(ToString::to_string).collect()
    }

    /// Its dead letters after number `after`, at most `limit`.
    ///
    /// # Errors
    /// If a chunk that the journal names is gone or damaged.
    pub async fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let chunks = self.state.pipeline().map(|pipeline| pipeline.progress.dead_letters.as_slice());
        dead_letters::list(self.journal, chunks.unwrap_or_default(), after, limit).await
    }
}
