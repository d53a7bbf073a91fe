//! What a pipeline claims to have done, for those who verify it: positions, counts and types, as the journal has them.
use crate::{
    answers::{Claims, DeadLetters, LetterPlace, Stretch},
    causes::{self, DeadLettersByCause},
    dead_letters::{self, Letters},
    shard::load_pipeline,
};
use dataflow_core::{
    branch::BranchNumber,
    id::{PipelineId, SinkName},
    pipeline::{Branch, Event, Losses, Pipeline, RecordedEvent, State, event::NewGeneration},
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
    lost: Losses,
    stretches: Vec<Stretch>,
    changed: Option<Timestamp>,
}

impl Course {
    /// Takes in an event, if it is about this branch.
    fn take(&mut self, event: &RecordedEvent, branch: BranchNumber) {
        if let Event::PipelineCreated { spec, .. } = &event.event {
            let sinks = spec.sink_names();
            let own = sinks.get(branch as usize).and_then(|sink| spec.of_sink(sink.as_ref()));
            *self = Self { spec: own, ..Self::default() };
        }
        if event.branch != branch {
            return;
        }
        let begins = |spec: Option<PipelineSpec>| Self { spec, ..Self::default() };
        match &event.event {
            Event::PipelineUpdated { spec, sink, generation: Some(NewGeneration { .. }), .. } => {
                *self = begins(spec.of_sink(sink.as_ref()));
            }
            Event::CheckpointReset { .. } => *self = begins(self.spec.take()),
            Event::PipelineStarted { .. } => self.started = true,
            Event::PipelineUpdated { spec, sink, generation: None, positions, .. } => {
                let Some(spec) = spec.of_sink(sink.as_ref()) else { return };
                let before = self.spec.replace(spec.clone());
                if let Some(before) = before.filter(|before| self.started && !before.gives_like(&spec)) {
                    // A limit of the source's own can only be applied to all that it gives.
                    match positions.clone().filter(|_| before.max_record_bytes == spec.max_record_bytes) {
                        Some(until) => self.stretches.push(Stretch { spec: before, until }),
                        None => self.changed = Some(event.at),
                    }
                }
            }
            Event::RecordsLost(lost) => self.lost.note(lost),
            _ => {}
        }
    }
}

/// The claims of a branch in this state.
pub(crate) async fn of(journal: &Journal, branch: &Branch) -> Result<Claims, Error> {
    let Branch { id, incarnation, spec, progress, learned, .. } = branch;
    let mut course = Course::default();
    let mut after = 0;
    loop {
        let entries = journal.history(id.pipeline(), after, PAGE).await?;
        let Some(last) = entries.last() else { break };
        after = last.event.number;
        entries.iter().for_each(|entry| course.take(&entry.event, id.number()));
    }
    Ok(Claims {
        branch: id.clone(),
        sink: branch.sink.clone(),
        incarnation: incarnation.clone(),
        status: branch.status(),
        at_rest: branch.running().is_none() && branch.restart_at().is_none(),
        spec: spec.clone(),
        learned: learned.clone(),
        generation: progress.generation,
        lanes: progress.lanes,
        begin: progress.begin.clone(),
        by_lane: progress.by_lane.values().cloned().collect(),
        earlier: progress.earlier,
        lost: course.lost.into_iter().collect(),
        stretches: course.stretches,
        changed: course.changed,
    })
}

/// A pipeline in a journal that no node has open: what its branches claim, without a run.
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

    /// Its branches; none: there is no such pipeline.
    pub fn branches(&self) -> Vec<StoredBranch<'_>> {
        let present = self.state.pipeline().into_iter().flat_map(Pipeline::present);
        present.map(|(_, branch)| StoredBranch { journal: self.journal, branch }).collect()
    }
}

/// A branch of it: claims and dead letters.
#[derive(Clone, Copy, Debug)]
pub struct StoredBranch<'a> {
    journal: &'a Journal,
    branch: &'a Branch,
}

impl StoredBranch<'_> {
    /// What its sink is called; none: it is the only one.
    pub fn sink(&self) -> Option<&SinkName> {
        self.branch.sink.as_ref()
    }

    /// What it claims.
    ///
    /// # Errors
    /// If its history can't be read.
    pub async fn claims(&self) -> Result<Claims, Error> {
        of(self.journal, self.branch).await
    }

    /// Its dead letters, counted by cause.
    ///
    /// # Errors
    /// If a chunk that the journal names is gone or damaged.
    pub async fn causes(&self) -> Result<DeadLettersByCause, Error> {
        let (incarnation, chunks) = causes::of(self.branch);
        causes::Tally::default().count(self.journal, (&incarnation, &chunks), None).await
    }

    /// The partitions that it has a position in.
    pub fn partitions(&self) -> Vec<String> {
        self.branch.progress.positions().keys().map(ToString::to_string).collect()
    }
}

/// The dead letters of these branches after a place, sink by sink: at most so many, or of one chunk only, with their bytes.
///
/// # Errors
/// If a chunk that the journal names is gone or damaged.
pub async fn dead_letters(
    branches: &[StoredBranch<'_>],
    after: &LetterPlace,
    (bytes, limit): (bool, usize),
) -> Result<DeadLetters, Error> {
    let Some(StoredBranch { journal, .. }) = branches.first() else { return Ok(DeadLetters::default()) };
    let letters: Vec<_> = branches.iter().map(|branch| Letters::of(branch.branch)).collect();
    let DeadLetters { letters, next } = dead_letters::page(journal, &letters, after, (bytes, limit)).await?;
    Ok(DeadLetters { letters: if bytes { letters } else { dead_letters::shortened(letters) }, next })
}
