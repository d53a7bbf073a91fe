//! The commit stage of a lane. Commit n, step by step:
//!
//! 1. **Prepare**, only if the batch has dead letters: they are written as a chunk of the journal. It does not count yet.
//! 2. **Sink commit** with the token: positions, counters, and the names of all chunks since the last checkpoint.
//! 3. **Journal**, at the next checkpoint: a `BatchProcessed` with the same positions, counters and chunks. The next
//!    commit does not wait for it; a lane whose journal is 30 s or 1,000 chunks behind does.
use super::{
    failure::Failure,
    lane::InFlight,
    live::{self, Live},
    patience::{store, wait_for},
    report::Reports,
};
use crate::{dead_letters, parts::Clock, view::DeadLetter};
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, ChunkKind, ChunkRef},
    id::RunId,
    ledger::Counters,
    pipeline::{Request, event},
    position::Positions,
    token::Token,
    warned::{Warned, Warnings},
};
use dataflow_journal::Journal;
use dataflow_sdk::{
    batch::{Dead, Demand, Inferred, Output, Processed, Warning},
    records::{Lost, Records},
    sink::{CommitError, Kind, RejectedRow, Writer},
};
use futures::future::{BoxFuture, OptionFuture};
use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior},
};

/// Most batches in one commit.
const MAX_BATCHES: usize = 8;
/// Most bytes of records in one commit of several batches: sinks hold them up to three times more, as they are written.
const MAX_BYTES: usize = 8 << 20;
/// How far the journal may fall behind before commits wait for it.
const MAX_BEHIND: Duration = Duration::from_secs(30);
const MAX_CHUNKS: usize = 1_000;
/// A chunk that takes longer keeps no locks of the sink meanwhile.
const PROMPT: Duration = Duration::from_secs(1);

/// What comes to the commit stage, in order.
pub(crate) enum ToCommit {
    /// A batch.
    Batch(InFlight<Processed>),
    /// The sink is to define columns, behind all batches before.
    Define { found: Inferred, answer: oneshot::Sender<Demand> },
}

/// The commit stage of one lane.
pub(crate) struct Committer {
    pub(crate) run: RunId,
    pub(crate) kind: Kind,
    pub(crate) writer: Box<dyn Writer>,
    /// The lane as of its last commit.
    pub(crate) token: Arc<Token>,
    /// All that was to be said of its records since the spec last changed.
    pub(crate) warned: Warnings,
    pub(crate) checkpoint_interval: Duration,
    pub(crate) journal: Journal,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reports: Reports,
    pub(crate) live: Arc<Live>,
}

/// Progress that was sent to the journal.
struct Sent {
    token: Arc<Token>,
    handle: Option<serde_json::Value>,
}

type Reporting = BoxFuture<'static, Result<Sent, Failure>>;

impl Committer {
    /// Commits what comes until the channel closes; then everything is journalled.
    pub(crate) async fn run(
        mut self,
        mut batches: mpsc::Receiver<ToCommit>,
        checkpoints: watch::Sender<Positions>,
    ) -> Result<(), Failure> {
        let mut tick = tokio::time::interval_at(Instant::now() + self.checkpoint_interval, self.checkpoint_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reporting: Option<Reporting> = None;
        let mut journalled = self.token.sequence;
        let mut behind_since = Instant::now();
        let mut waiting = Vec::new();
        loop {
            let behind = journalled < self.token.sequence
                && (behind_since.elapsed() > MAX_BEHIND || self.token.chunks.len() >= MAX_CHUNKS);
            if behind && reporting.is_none() {
                // However long the interval: commits are not to wait for it.
                behind_since = Instant::now();
                reporting = Some(self.report().await?);
            }
            tokio::select! {
                biased;
                Some(sent) = OptionFuture::from(reporting.as_mut()) => {
                    reporting = None;
                    let sent = sent?;
                    journalled = sent.token.sequence;
                    self.journalled(sent, &checkpoints).await?;
                }
                _ = tick.tick(), if reporting.is_none() && journalled < self.token.sequence => {
                    behind_since = Instant::now();
                    reporting = Some(self.report().await?);
                }
                count = batches.recv_many(&mut waiting, MAX_BATCHES), if !behind => {
                    if count == 0 {
                        break;
                    }
                    if journalled == self.token.sequence {
                        behind_since = Instant::now();
                    }
                    self.take(&mut waiting).await?;
                }
            }
        }
        if let Some(reporting) = reporting {
            let sent = reporting.await?;
            journalled = sent.token.sequence;
            self.journalled(sent, &checkpoints).await?;
        }
        self.note();
        if journalled < self.token.sequence || !self.token.warnings.is_empty() {
            let sent = self.report().await?.await?;
            self.journalled(sent, &checkpoints).await?;
        }
        self.writer.close().await;
        Ok(())
    }

    /// Commits what waits, together where nothing stands between.
    async fn take(&mut self, waiting: &mut Vec<ToCommit>) -> Result<(), Failure> {
        let (mut together, mut bytes) = (Vec::new(), 0);
        for next in waiting.drain(..) {
            match next {
                ToCommit::Batch(batch) => {
                    let more = batch.load.output.records.weight();
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
                    let untyped = self.writer.is_untyped();
                    let columns = if untyped { found.named() } else { found.columns };
                    self.tell(Request::ReportSchema { run: self.run, learned: found.learned }).await?;
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
            let Processed { output, filtered, dead, new_columns: _, warnings } = batch;
            warnings.into_iter().for_each(|warning| warned.add(&live::warned(warning)));
            let records = &output.records;
            if let Some(lost) = &records.lost {
                warned.add(&live::warned(passed_over(records, lost)));
                let lost = event::Lost {
                    partition: records.partition.clone(),
                    from: records.from.clone(),
                    to: lost.to.clone(),
                    records: lost.records,
                };
                self.tell(Request::ReportLost { run: self.run, lost }).await?;
            }
            outputs.push(output);
            fates.push(Fates { filtered, dead });
            permits.push(permit);
        }
        let next = loop {
            let next = self.prepare(&outputs, &fates, &warned).await?;
            let committing = self.writer.commit(&outputs, &next);
            match wait_for("sink", "a commit", &self.live, &*self.clock, committing).await {
                Ok(committed) => {
                    let mut next = next;
                    next.counters.rows_written += committed.rows_written;
                    break next;
                }
                Err(CommitError::Failed(error)) => return Err(Failure::of("sink", error)),
                Err(CommitError::Rejected(rows)) => {
                    self.discard(next).await;
                    bury(&mut outputs, &mut fates, rows)?;
                }
            }
        };
        self.token = Arc::new(next);
        warned.iter().for_each(|warned| self.warned.add(warned));
        if !warned.is_empty() {
            self.live.lane(self.token.fence.lane, |live| live.warned.clone_from(&self.warned));
        }
        // The sink can say only now what became of rows, so the next token says it.
        let of_rows = self.writer.warnings();
        self.warn(of_rows);
        if self.kind != Kind::Staged {
            self.live.committed(&self.token, self.clock.now());
        }
        drop(permits);
        Ok(())
    }

    /// Counts what is to be said of what was committed; the next token or checkpoint says it.
    fn warn(&mut self, warnings: Vec<Warning>) {
        if warnings.is_empty() {
            return;
        }
        let news: Warnings = warnings.into_iter().map(live::warned).collect();
        news.iter().for_each(|warned| self.warned.add(warned));
        Arc::make_mut(&mut self.token).warnings.put(&self.warned.of(&news));
        self.live.lane(self.token.fence.lane, |live| live.warned.clone_from(&self.warned));
    }

    /// Takes over what was noted of source and sink since.
    fn note(&mut self) {
        let noted = self.live.lock().noted.clone();
        let unknown = noted.iter().filter(|noted| self.warned.get(&noted.code, &noted.subject).is_none());
        let unknown: Vec<Warned> = unknown.cloned().collect();
        if !unknown.is_empty() {
            unknown.iter().for_each(|noted| self.warned.add(noted));
            let news = self.warned.of(&unknown.into_iter().collect());
            Arc::make_mut(&mut self.token).warnings.put(&news);
        }
    }

    /// The token of the next commit; its dead letters are durable once this returns.
    async fn prepare(&mut self, outputs: &[Output], fates: &[Fates], warned: &Warnings) -> Result<Token, Failure> {
        let now = self.clock.now();
        let mut token = Token::clone(&self.token);
        token.sequence += 1;
        token.counters.batches += 1;
        let mut letters: Vec<DeadLetter> = Vec::new();
        for (output, fates) in outputs.iter().zip(fates) {
            let records = &output.records;
            token.positions.extend(records.beside.clone());
            token.positions.insert(records.partition.clone(), records.to.clone());
            token.counters.add(&fates.counters(output));
            letters.extend(fates.dead.iter().map(|dead| dead_letters::letter(records, dead, now)));
        }
        if !warned.is_empty() {
            let mut all = self.warned.clone();
            warned.iter().for_each(|warned| all.add(warned));
            token.warnings.put(&all.of(warned));
        }
        debug_assert!(token.counters.balances(), "every record has one fate: {:?}", token.counters);
        if !letters.is_empty() {
            let id = dead_letters::chunk_id(&token.fence, self.run, token.sequence, letters.len() as u64);
            let chunk = ChunkRef { id, kind: ChunkKind::DeadLetters, records: letters.len() as u64 };
            let body = dead_letters::encode(letters).map_err(|error| {
                Failure::of(
                    "journal",
                    dataflow_sdk::Error::fatal("internal", format!("dead letters can't be encoded: {error}")),
                )
            })?;
            self.put(&chunk.id, body).await;
            token.chunks.push(chunk);
        }
        Ok(token)
    }

    /// Removes the chunk of a token that the sink has not taken, and never will.
    async fn discard(&mut self, token: Token) {
        let named = |chunk: &ChunkRef| self.token.chunks.iter().any(|known| known.id == chunk.id);
        let own: Vec<ChunkId> = token.chunks.into_iter().filter(|chunk| !named(chunk)).map(|chunk| chunk.id).collect();
        if own.is_empty() {
            return;
        }
        let removing = self.journal.remove_chunks(&own);
        if let Err(error) = wait_for("journal", "removing a chunk", &self.live, &*self.clock, removing).await {
            tracing::debug!(%error, "a chunk that nothing names stays until the next epoch");
        }
    }

    /// Stores a chunk of dead letters, however long it takes.
    async fn put(&mut self, id: &ChunkId, body: Bytes) {
        let (journal, live, clock) = (self.journal.clone(), self.live.clone(), self.clock.clone());
        let mut stored = pin!(store(&journal, id, body, &live, &*clock));
        if tokio::time::timeout(PROMPT, &mut stored).await.is_err() {
            self.writer.release().await;
            stored.await;
        }
    }

    /// Starts to journal where the lane is now; the next commit does not wait for it.
    async fn report(&mut self) -> Result<Reporting, Failure> {
        let handle = match self.kind {
            Kind::Staged => {
                let sealing = self.writer.seal();
                let sealed = wait_for("sink", "making its rows durable", &self.live, &*self.clock, sealing).await;
                sealed.map_err(|error| Failure::of("sink", error))?
            }
            Kind::Transactional | Kind::Keyed | Kind::Unfenced => None,
        };
        self.note();
        let token = self.token.clone();
        let progress =
            event::LaneProgress { handle: handle.clone(), ..super::recover::of_token(token.fence.lane, &token) };
        let request = Request::ReportProgress { run: self.run, lanes: vec![progress] };
        let (reports, live, clock) = (self.reports.clone(), self.live.clone(), self.clock.clone());
        Ok(Box::pin(async move {
            let sent = wait_for("journal", "a checkpoint", &live, &*clock, reports.send(request)).await;
            sent.map_err(|_| Failure::Over)?;
            Ok(Sent { token, handle })
        }))
    }

    /// Progress is in the journal.
    async fn journalled(&mut self, sent: Sent, checkpoints: &watch::Sender<Positions>) -> Result<(), Failure> {
        let Sent { token, handle } = sent;
        if let Some(handle) = &handle {
            let publishing = self.writer.publish(handle);
            let published = wait_for("sink", "showing its rows", &self.live, &*self.clock, publishing).await;
            published.map_err(|error| Failure::of("sink", error))?;
        }
        let own = Arc::make_mut(&mut self.token);
        own.chunks.retain(|chunk| !token.chunks.iter().any(|counted| counted.id == chunk.id));
        own.warnings.without(&token.warnings);
        if self.kind == Kind::Staged {
            self.live.committed(&token, self.clock.now());
        }
        checkpoints.send_replace(token.positions.clone());
        Ok(())
    }

    async fn tell(&mut self, request: Request) -> Result<(), Failure> {
        let sending = self.reports.send(request);
        let sent = wait_for("journal", "an event", &self.live, &*self.clock, sending).await;
        sent.map_err(|_| Failure::Over)
    }
}

/// What a user is told of a loss.
fn passed_over(records: &Records, lost: &Lost) -> Warning {
    let (partition, Lost { bytes, to, reason, .. }) = (&records.partition, lost);
    let bytes = if *bytes > 0 { format!("{bytes} bytes were lost; ") } else { String::new() };
    Warning {
        code: "position-lost",
        subject: partition.to_string(),
        message: format!("{partition}: {reason}; {bytes}it went on from {} at {to}", records.from),
        records: lost.records,
    }
}

/// What became of the records of a batch that are in no output row.
struct Fates {
    filtered: u64,
    dead: Vec<Dead>,
}

impl Fates {
    fn counters(&self, output: &Output) -> Counters {
        let records = &output.records;
        let lost = records.lost.as_ref().map_or(0, |lost| lost.records);
        Counters {
            read: records.len() as u64 + lost,
            filtered: self.filtered,
            delivered: output.records_delivered(),
            dead: self.dead.len() as u64,
            lost,
            bytes_lost: records.lost.as_ref().map_or(0, |lost| lost.bytes),
            bytes_read: records.bytes_read,
            ..Counters::default()
        }
    }
}

/// Makes dead letters of records that the sink rejected, all rows of such a record included.
fn bury(outputs: &mut [Output], fates: &mut [Fates], rejected: Vec<RejectedRow>) -> Result<(), Failure> {
    let mut by_output: BTreeMap<usize, BTreeMap<u32, String>> = BTreeMap::new();
    for RejectedRow { output, row, cause } in rejected {
        if let Some(record) = outputs.get(output).and_then(|output| output.rows.get(row)) {
            by_output.entry(output).or_default().entry(*record).or_insert(cause);
        }
    }
    if by_output.is_empty() {
        return Err(Failure::decide(
            "rejected",
            "sink",
            "the sink rejected the commit but named no row of it".into(),
            "this is a bug of the sink; nothing was written",
        ));
    }
    for (index, causes) in by_output {
        let kept = outputs[index].retain(|row| !causes.contains_key(&outputs[index].rows[row]));
        outputs[index] = kept;
        let dead = &mut fates[index].dead;
        dead.extend(causes.into_iter().map(|(row, cause)| Dead { row, stage: "sink".into(), code: "rejected", cause }));
        dead.sort_by_key(|dead| dead.row);
    }
    Ok(())
}
