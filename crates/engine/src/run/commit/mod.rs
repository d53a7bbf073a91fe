//! The commit stage of a lane. Commit n, step by step:
//!
//! 1. **Prepare**, only if the batch has dead letters: they are written as a chunk of the journal. It does not count yet.
//! 2. **Sink commit** with the token: positions, counters, and the names of all chunks since the last checkpoint.
//! 3. **Journal**, at the next checkpoint of the run (`checkpoint/`): a `BatchProcessed` with the same positions, counters
//!    and chunks. The next commit does not wait for it; a lane whose journal is 30 s or 1,000 chunks behind does.
//!
//! A staged sink is asked to seal before a checkpoint. What it has not sealed the journal does not know: the checkpoint
//! stays where it is, and commits go on.
mod journalled;

use super::{
    checkpoint::{Checkpoints, Durable, Order},
    failure::Failure,
    in_flight::InFlight,
    letters::{Letters, RecordFates, bury},
    patience::wait_for,
    report::Reports,
    versions::Versions,
};
use crate::{answers::DeadLetter, dead_letters, parts::Clock, status::RunStatus};
use dataflow_core::{
    id::RunId,
    pipeline::{CommandKind, event},
    position::Positions,
    token::Token,
    warned::{Warned, Warnings},
};
use dataflow_sdk::{
    batch::{Demand, Inferred, Output, Processed, Warning},
    records::{Lost, Records},
    sink::{CommitError, DeliveryMode, Seal, Writer},
};
use std::sync::Arc;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

/// Most batches in one commit.
const MAX_BATCHES: usize = 8;
/// Most bytes of records in one commit of several batches: sinks hold them up to three times more, as they are written.
const MAX_BYTES: usize = 8 << 20;

/// What comes to the commit stage, in order.
#[expect(clippy::large_enum_variant, reason = "the small variant comes when columns are made")]
pub(crate) enum ToCommit {
    /// A batch.
    Batch(InFlight<Processed>),
    /// The sink is to define columns, behind all batches before.
    Define { found: Inferred, answer: oneshot::Sender<Demand> },
}

/// The commit stage of one lane.
pub(crate) struct Committer {
    pub(crate) run: RunId,
    pub(crate) delivery: DeliveryMode,
    pub(crate) writer: Box<dyn Writer>,
    /// The lane as of its last commit.
    pub(crate) token: Arc<Token>,
    /// The number of the last commit that the journal knows.
    pub(crate) journalled: u64,
    /// Since when the journal does not know all that it could.
    pub(crate) behind_since: Instant,
    /// All that was to be said of its records since the spec last changed.
    pub(crate) warned: Warnings,
    pub(crate) letters: Letters,
    pub(crate) checkpoints: Checkpoints,
    /// Of a keyed sink.
    pub(crate) versions: Option<Arc<Versions>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reports: Reports,
    pub(crate) live: Arc<RunStatus>,
}

impl Committer {
    /// Commits what comes until the channel closes; then everything is journalled.
    pub(crate) async fn run(
        mut self,
        mut batches: mpsc::Receiver<ToCommit>,
        checkpointed: watch::Sender<Arc<Positions>>,
    ) -> Result<(), Failure> {
        let mut waiting = Vec::new();
        loop {
            let behind = self.is_behind();
            if behind {
                // However long the interval: commits are not to wait for it.
                self.checkpoints.hurry();
            }
            tokio::select! {
                biased;
                order = self.checkpoints.next() => match order {
                    Order::Journalled(durable) => {
                        if let Some(published) = self.journalled(&durable, &checkpointed).await? {
                            self.checkpoints.published(published);
                        }
                    }
                    Order::Seal => {
                        let how_much = if self.has_many_chunks() { Seal::All } else { Seal::Due };
                        let durable = self.seal(how_much).await?;
                        self.checkpoints.sealed(durable);
                    }
                },
                count = batches.recv_many(&mut waiting, MAX_BATCHES), if !behind => {
                    if count == 0 {
                        break;
                    }
                    if self.journalled == self.token.sequence {
                        self.behind_since = Instant::now();
                    }
                    let taken = self.take(&mut waiting).await;
                    if let Err(Failure::Fatal(_)) = &taken {
                        // A user will decide where to go on, and is to know of all that is there.
                        let left = self.salvage().await;
                        self.end(left, &checkpointed).await?;
                    }
                    taken?;
                }
            }
        }
        let last = self.seal(Seal::All).await?;
        self.end(last, &checkpointed).await?;
        self.writer.close().await;
        Ok(())
    }

    /// Nothing is committed any more; this is what is journalled last.
    async fn end(
        &mut self,
        last: Option<Durable>,
        checkpointed: &watch::Sender<Arc<Positions>>,
    ) -> Result<(), Failure> {
        let mut last = last.map(Arc::new);
        self.checkpoints.quiet(last.clone());
        while let Some(waits_for) = &last {
            if let Order::Journalled(durable) = self.checkpoints.next().await {
                let published = self.journalled(&durable, checkpointed).await?;
                if Arc::ptr_eq(waits_for, &durable) {
                    published.iter().for_each(|published| self.checkpoints.quiet(Some(published.clone())));
                    last = published;
                }
            }
        }
        Ok(())
    }

    /// Commits what waits, together where nothing stands between.
    async fn take(&mut self, waiting: &mut Vec<ToCommit>) -> Result<(), Failure> {
        let (mut together, mut bytes) = (Vec::new(), 0);
        for next in waiting.drain(..) {
            match next {
                ToCommit::Batch(batch) => {
                    let more = batch.load.records.weight();
                    if !together.is_empty() && bytes + more > MAX_BYTES {
                        self.commit(std::mem::take(&mut together)).await?;
                        bytes = 0;
                    }
                    bytes += more;
                    together.push(batch);
                }
                ToCommit::Define { found, answer } => {
                    if !together.is_empty() {
                        self.commit(std::mem::take(&mut together)).await?;
                        bytes = 0;
                    }
                    // The next run is to know of which types the columns were made.
                    let (untyped, columns) = (self.writer.is_untyped(), found.named());
                    self.tell(CommandKind::ReportSchema { run: self.run, learned: found.learned }).await?;
                    let defining = self.writer.define(&columns);
                    let defined = wait_for("sink", "making its columns", &self.live, &*self.clock, defining).await;
                    let demand = defined.map_err(|error| Failure::of("sink", error))?;
                    if !untyped {
                        self.warn(found.warnings);
                    }
                    if answer.send(demand).is_err() {
                        tracing::debug!("the transform stage ended before the sink's columns were known");
                    }
                }
            }
        }
        if !together.is_empty() {
            self.commit(together).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, batches: Vec<InFlight<Processed>>) -> Result<(), Failure> {
        let mut outputs = Vec::with_capacity(batches.len());
        let mut fates = Vec::with_capacity(batches.len());
        let mut permits = Vec::with_capacity(batches.len());
        let mut warned = Warnings::default();
        for InFlight { load: batch, permit } in batches {
            let Processed { records, output, filtered, dead, new_columns: _, warnings } = batch;
            warnings.iter().for_each(|notice| warned.add(notice));
            if let Some(lost) = &records.lost {
                warned.add(&passed_over(&records, lost).into());
                let lost = event::Lost {
                    partition: records.partition.clone(),
                    from: records.from.clone(),
                    to: lost.to.clone(),
                    records: lost.records,
                };
                self.tell(CommandKind::ReportLost { run: self.run, lost }).await?;
            }
            outputs.push(output);
            fates.push(RecordFates { records, filtered, dead });
            permits.push(permit);
        }
        let mut outputs: Arc<[Output]> = outputs.into();
        // All tries of a commit have one version: what a keyed sink has applied of a refused one is applied again.
        let mut version = None;
        let next = loop {
            let next = self.prepare(&outputs, &fates, &warned, &mut version).await?;
            let committing = self.writer.commit(&outputs, &next);
            match wait_for("sink", "a commit", &self.live, &*self.clock, committing).await {
                Ok(committed) => {
                    let mut next = next;
                    next.counters.rows_written += committed.rows_written;
                    break next;
                }
                Err(CommitError::Failed(error)) => return Err(Failure::of("sink", error)),
                Err(CommitError::Rejected(rows)) => {
                    self.letters.discard(next, &self.token).await;
                    bury(Arc::make_mut(&mut outputs), &mut fates, rows)?;
                }
            }
        };
        self.token = Arc::new(next);
        warned.iter().for_each(|notice| self.warned.add(notice));
        if !warned.is_empty() {
            self.live.lane(self.token.fence.lane, |live| live.warned.clone_from(&self.warned));
        }
        // The sink could say only within the commit what became of rows: its own token says it, and the next one.
        let of_rows = self.writer.warnings();
        self.warn(of_rows);
        if self.delivery != DeliveryMode::Staged {
            self.live.committed(&self.token, self.clock.now());
        }
        self.checkpoints.moved();
        drop(permits);
        Ok(())
    }

    /// Counts what is to be said of what was committed; the next token or checkpoint says it.
    fn warn(&mut self, warnings: Vec<Warning>) {
        if warnings.is_empty() {
            return;
        }
        let news: Warnings = warnings.into_iter().collect();
        news.iter().for_each(|notice| self.warned.add(notice));
        Arc::make_mut(&mut self.token).warnings.put(&self.warned.of(&news));
        self.live.lane(self.token.fence.lane, |live| live.warned.clone_from(&self.warned));
    }

    /// The token of the next commit; its dead letters are durable once this returns.
    async fn prepare(
        &mut self,
        outputs: &[Output],
        fates: &[RecordFates],
        warned: &Warnings,
        version: &mut Option<u64>,
    ) -> Result<Token, Failure> {
        let now = self.clock.now();
        let mut token = Token::clone(&self.token);
        let generation = token.fence.generation;
        token.sequence += 1;
        token.counters.batches += 1;
        let mut letters: Vec<DeadLetter> = Vec::new();
        for (output, fates) in outputs.iter().zip(fates) {
            let records = &fates.records;
            let positions = Arc::make_mut(&mut token.positions);
            positions.extend(records.beside.clone());
            positions.insert(records.partition.clone(), records.to.clone());
            token.counters.add(&fates.counters(output));
            letters.extend(fates.dead.iter().map(|dead| dead_letters::letter(records, dead, generation, now)));
        }
        token.warnings.put(&self.warned.coded(Warned::ROWS_SWALLOWED));
        if !warned.is_empty() {
            let mut all = self.warned.clone();
            warned.iter().for_each(|notice| all.add(notice));
            token.warnings.put(&all.of(warned));
        }
        debug_assert!(token.counters.balances(), "every record has one fate: {:?}", token.counters);
        self.letters.keep(letters, &mut token, &mut *self.writer).await?;
        token.version = match (*version, &self.versions) {
            (Some(version), _) => version,
            (None, Some(versions)) => {
                let next = versions.next(|| self.checkpoints.hurry());
                wait_for("journal", "a checkpoint", &self.live, &*self.clock, next).await
            }
            (None, None) => 0,
        };
        *version = Some(token.version);
        Ok(token)
    }

    async fn tell(&mut self, kind: CommandKind) -> Result<(), Failure> {
        let sending = self.reports.send(kind);
        let sent = wait_for("journal", "an event", &self.live, &*self.clock, sending).await;
        Ok(sent?)
    }
}

/// What a user is told of a loss.
fn passed_over(records: &Records, lost: &Lost) -> Warning {
    let (partition, Lost { bytes, to, reason, .. }) = (&records.partition, lost);
    let bytes = if *bytes > 0 { format!("{bytes} bytes were lost; ") } else { String::new() };
    Warning {
        code: "position-lost",
        subject: partition.to_string(),
        message: format!("{partition}: {reason}; {bytes}reading was at {} and went on at {to}", records.from),
        records: lost.records,
    }
}
