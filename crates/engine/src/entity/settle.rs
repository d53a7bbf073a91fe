//! Asking source and sink on behalf of a pipeline that does not run: how many lanes, what the sink has, where the end is.
use super::Entity;
use crate::{
    region::{AskError, ResetTo},
    run::{Failure, context, decide, fence, recover},
};
use dataflow_core::{
    pipeline::{
        Pipeline, Rejected,
        command::Settlement,
        event::{Cause, LaneProgress},
    },
    position::Positions,
    problem::Problem,
};
use dataflow_sdk::{
    Context, Error,
    check::nearest,
    sink::{OpenLane, Sink},
    source::Place,
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest wait for a server that is asked on behalf of a pipeline that does not run.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest wait for a source's partitions before a first start.
const PATIENCE_FOR_LANES: Duration = Duration::from_secs(5);

impl Entity {
    pub(super) async fn ask_for_lanes(&self, pipeline: &Pipeline) -> u32 {
        let plugins = &self.around.parts.plugins;
        let (Ok(source), Ok(built)) = (plugins.source(&pipeline.spec.source), plugins.sink(&pipeline.spec.sink)) else {
            return 1; // the run will say what is wrong
        };
        if built.sink.single_lane() || source.single_lane() {
            return 1;
        }
        if let Some(lanes) = pipeline.spec.lanes {
            return lanes;
        }
        let giving_up = CancellationToken::new();
        let _end = giving_up.clone().drop_guard();
        let cx = self.context(pipeline, giving_up);
        match tokio::time::timeout(PATIENCE_FOR_LANES, source.partitions(&cx)).await {
            Ok(Ok(partitions)) => u32::try_from(partitions.len()).unwrap_or(1).clamp(1, self.around.default_lanes),
            Ok(Err(_)) | Err(_) => 1,
        }
    }

    /// Opens the sink of a pipeline that does not run, which fences whatever may still write to it, and takes what it has.
    pub(super) async fn settle(&self, pipeline: &Pipeline, to: Option<&ResetTo>, forced: bool) -> Settlement {
        let unsettled = |reason| Settlement::Unsettled { reason, forced };
        let built = match self.around.parts.plugins.sink(&pipeline.spec.sink) {
            Ok(built) => built,
            Err(problems) => {
                return unsettled(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
            }
        };
        let giving_up = CancellationToken::new();
        let _end = giving_up.clone().drop_guard();
        let cx = self.context(pipeline, giving_up);
        let mut lanes = Vec::new();
        for lane in pipeline.progress.by_lane.keys().copied() {
            match tokio::time::timeout(PATIENCE, self.settle_lane(pipeline, &*built.sink, &cx, lane, to)).await {
                Ok(Ok(progress)) => lanes.push(progress),
                Ok(Err(reason)) => return unsettled(reason),
                Err(_) => return unsettled(format!("no answer within {} s", PATIENCE.as_secs())),
            }
        }
        Settlement::Settled { lanes }
    }

    async fn settle_lane(
        &self,
        pipeline: &Pipeline,
        sink: &dyn Sink,
        cx: &Context,
        lane: u32,
        to: Option<&ResetTo>,
    ) -> Result<LaneProgress, String> {
        let journalled = pipeline.progress.by_lane.get(&lane);
        let version_base = u64::try_from(self.around.parts.clock.now().seconds()).unwrap_or(0) << 32;
        let open =
            OpenLane { fence: fence(pipeline, self.log.epoch(), lane), journalled: journalled.cloned(), version_base };
        let fresh = LaneProgress { lane, ..LaneProgress::default() };
        let known = journalled.unwrap_or(&fresh);
        let opened = match sink.open(cx, open).await {
            Ok(opened) => opened,
            // What the sink has is not what the journal says of it (a file is shorter, another, or gone), and the user says
            // where to go on.
            Err(Error::Fatal { message, retryable: false, .. }) => {
                return to.and_then(|to| decide(lane, to, known, None)).ok_or(message);
            }
            Err(error) => return Err(error.to_string()),
        };
        opened.writer.close().await;
        let token = opened.token;
        match recover(lane, sink.kind(), journalled, token.clone()) {
            Ok(recovered) => Ok(recovered.progress),
            // Token and journal contradict each other, and the user says which of them is right.
            Err(Failure::Fatal(Cause { message, .. })) => {
                to.and_then(|to| decide(lane, to, known, token.as_ref())).ok_or(message)
            }
            Err(_) => Err("the sink could not be asked".into()),
        }
    }

    /// Where the source begins or ends now.
    pub(super) async fn resolve(&self, pipeline: &Pipeline, place: &Place) -> Result<Positions, AskError> {
        let source = self.around.parts.plugins.source(&pipeline.spec.source);
        let source = source.map_err(|problems| Rejected::Invalid { problems })?;
        let giving_up = CancellationToken::new();
        let _end = giving_up.clone().drop_guard();
        let cx = self.context(pipeline, giving_up);
        let refused = |reason: String| {
            let message = format!("the source can't be asked where it begins or ends: {reason}");
            AskError::Rejected(Rejected::Invalid { problems: vec![Problem::new("to", "source-unreachable", message)] })
        };
        match tokio::time::timeout(PATIENCE, source.resolve(&cx, place)).await {
            Ok(Ok(positions)) => Ok(positions),
            Ok(Err(error)) => Err(refused(error.to_string())),
            Err(_) => Err(refused(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    /// Whether the source has these partitions: a position of a misspelt one would be kept, and change nothing. A source
    /// that can't be asked is taken at the user's word.
    pub(super) async fn check_partitions(
        &self,
        pipeline: &Pipeline,
        current: &Positions,
        named: impl Iterator<Item = &str>,
    ) -> Result<(), Rejected> {
        let strangers: Vec<&str> = named.filter(|name| !current.contains_key(*name)).collect();
        if strangers.is_empty() {
            return Ok(());
        }
        let Ok(there) = self.resolve(pipeline, &Place::End).await else { return Ok(()) };
        let known: Vec<&str> = there.keys().chain(current.keys()).map(|partition| &*partition.0).collect();
        let finding = |name: &str| {
            let problem =
                Problem::new("to.positions", "unknown-partition", format!("the source has no partition {name:?}"));
            match nearest(name, known.iter().copied()) {
                Some(meant) => problem.fix(format!("did you mean {meant:?}?")),
                None if known.is_empty() => problem.fix("the source has no partitions yet: choose \"beginning\""),
                None => {
                    problem.fix(format!("there are: {}", known.iter().take(10).copied().collect::<Vec<_>>().join(", ")))
                }
            }
        };
        let problems: Vec<_> = strangers.into_iter().filter(|name| !known.contains(name)).map(finding).collect();
        if problems.is_empty() { Ok(()) } else { Err(Rejected::Invalid { problems }) }
    }

    fn context(&self, pipeline: &Pipeline, stop: CancellationToken) -> Context {
        let inbox = super::inbox::EntityInbox { slot: self.slot.clone(), journal: self.around.parts.journal.clone() };
        context(pipeline, self.around.paths.clone(), Some(std::sync::Arc::new(inbox)), stop)
    }
}
