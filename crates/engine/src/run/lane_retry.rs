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
    source::Ended,
};
use dataflow_core::pipeline::{CommandKind, Pipeline};

/// The place of a lane in its run, however often it is opened.
pub(super) struct Place {
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
        place: Place,
        sink: OpenSink,
        pipeline: &Pipeline,
        checkpoints: Checkpoints,
    ) -> Result<Ended, Failure> {
        let (number, mut backoff) = (place.number, Backoff::default());
        let mut ended = self.run_lane(&place, sink, pipeline, checkpoints).await;
        loop {
            let passing = match ended.map_err(|failure| failure.in_lane(number)) {
                Err(Failure::Transient(passing)) if !place.only => passing,
                ended => return ended,
            };
            let commits = self.of.live.lock().lanes.get(&number).map_or(0, |lane| lane.committed.batches);
            let waiting = backoff.wait(self.of, Some(number), commits, passing);
            let (left, again) = tokio::join!(place.desk.leave(number), waiting);
            left?;
            self.of.live.lane(number, |live| live.in_flight = 0);
            if !again {
                return Ok(Ended::Unopened);
            }
            ended = self.open_again(&place).await;
        }
    }

    /// Opens a lane that has left, and runs it.
    async fn open_again(&self, place: &Place) -> Result<Ended, Failure> {
        let Run { parts, reports, live, stop, .. } = self.of;
        let pipeline = reports.known().await.map_err(|_| Failure::Over)?.pipeline;
        let sink = tokio::select! {
            sink = self.open_sink(&pipeline, place.number) => sink?,
            () = stop.cancelled() => return Ok(Ended::Unopened),
        };
        let progress = sink.recovered.progress.clone();
        tracing::info!(pipeline = %pipeline.id, lane = place.number, commit = progress.sequence, "the lane is open again");
        let report = CommandKind::ReportProgress { run: self.run, lanes: vec![progress], versions: None };
        let sent = wait_for("journal", "an event", live, &*parts.clock, reports.send(report)).await;
        sent.map_err(|_| Failure::Over)?;
        self.show(&pipeline, &sink);
        let checkpoints = place.desk.enter(sink.journalled()).await?;
        self.run_lane(place, sink, &pipeline, checkpoints).await
    }

    /// Opens the source of a lane, and runs it.
    async fn run_lane(
        &self,
        place: &Place,
        sink: OpenSink,
        pipeline: &Pipeline,
        checkpoints: Checkpoints,
    ) -> Result<Ended, Failure> {
        let Run { live, stop, .. } = self.of;
        let (lane, _end) = tokio::select! {
            opened = self.open_source(pipeline, sink, checkpoints, place.partitions.clone()) => opened?,
            () = stop.cancelled() => return Ok(Ended::Stopped),
        };
        live.well(place.number);
        lane.run().await
    }
}
