//! Keeps a lane running: after what may pass, one of several lanes is opened again while the others go on. The only lane of
//! a run leaves that to the run.
//!
//! 1. **Leave**: the checkpointer ends the checkpoint under way, journals what the lane has for good, and leaves it out. After
//!    that no report of the lane is under way, so its sink is never cut back below one.
//! 2. **Wait**: each lane has its own back-off, and shows its own failure.
//! 3. **Open again**: the sink, under a later [opening](dataflow_core::token::Fence::opening), so that nothing that an earlier
//!    writer still sends takes effect; what it has and the journal lacks is journalled. Then the source.
use super::{
    Run,
    attempt::Attempt,
    backoff::Backoff,
    checkpoint::{Checkpoints, Desk},
    failure::Failure,
    opening::OpenSink,
    patience::wait_for,
    plan::Partitions,
    report::Known,
    source::Ended,
};
use dataflow_core::pipeline::{BranchView, CommandKind};

/// The slot of a lane in its run, however often it is opened.
pub(super) struct LaneSlot {
    pub(super) number: u32,
    /// Whether there is no other.
    pub(super) only: bool,
    pub(super) desk: Desk,
    pub(super) partitions: Partitions,
}

impl Attempt<'_> {
    /// Runs a lane until it ends, or fails for good.
    pub(super) async fn keep(
        &self,
        slot: LaneSlot,
        sink: OpenSink,
        view: &BranchView,
        checkpoints: Checkpoints,
    ) -> Result<Ended, Failure> {
        let (number, mut backoff) = (slot.number, Backoff::default());
        let mut ended = self.run_lane(&slot, sink, view, checkpoints).await;
        loop {
            let passing = match ended.map_err(|failure| failure.in_lane(number)) {
                Err(Failure::Transient(passing)) if !slot.only => passing,
                ended => return ended,
            };
            let commits = self.of.live.lock().lanes.get(&number).map_or(0, |lane| lane.committed.batches);
            let waiting = backoff.wait(self.of, Some(number), commits, passing.clone());
            let (left, again) = tokio::select! {
                both = async { tokio::join!(slot.desk.leave(number), waiting) } => both,
                never = self.of.watch_source(view) => match never {},
            };
            left?;
            self.of.live.lane(number, |live| live.in_flight = 0);
            if !again {
                return Ok(Ended::Unsettled(passing.into()));
            }
            ended = self.open_again(&slot).await;
        }
    }

    /// Opens a lane that has left, and runs it.
    async fn open_again(&self, slot: &LaneSlot) -> Result<Ended, Failure> {
        let Run { parts, reports, live, stop, .. } = self.of;
        let Known { view, opening, .. } = reports.known().await?;
        let sink = tokio::select! {
            sink = self.open_sink(&view, slot.number, opening) => sink?,
            never = self.of.watch_source(&view) => match never {},
            () = stop.cancelled() => return Ok(Ended::unopened(live)),
        };
        let progress = sink.recovered.progress.clone();
        tracing::info!(pipeline = %live.pipeline(), sink = live.sink(), lane = slot.number, commit = progress.sequence, "the lane is open again");
        let report = CommandKind::ReportProgress { run: self.run, lanes: vec![progress], reserved_versions: None };
        let sent = wait_for("journal", "an event", live, &*parts.clock, reports.send(report)).await;
        sent?;
        self.show(&view, &sink);
        let checkpoints = slot.desk.enter(sink.journalled()).await?;
        self.run_lane(slot, sink, &view, checkpoints).await
    }

    /// Opens the source of a lane, and runs it.
    async fn run_lane(
        &self,
        slot: &LaneSlot,
        sink: OpenSink,
        view: &BranchView,
        checkpoints: Checkpoints,
    ) -> Result<Ended, Failure> {
        let Run { live, stop, .. } = self.of;
        let (lane, _end) = tokio::select! {
            opened = self.open_source(view, sink, checkpoints, slot.partitions.clone()) => opened?,
            () = stop.cancelled() => return Ok(Ended::Stopped),
        };
        live.well(slot.number);
        lane.run().await
    }
}
