//! Asking source and sink on behalf of a pipeline that does not run: what the sink has, where the end is.
use super::Entity;
use crate::{
    region::{AskError, ResetPoint},
    run::{Choice, Failure, after, connector_context, decide, fence, held, recover, still_held, unknown},
};
use dataflow_core::{
    id::Generation,
    ledger::Counters,
    pipeline::{
        Branch, BranchView, Rejected,
        command::Settlement,
        event::{Cause, LaneProgress},
        state::Progress,
    },
    position::{Partition, Position, Positions},
    problem::Problem,
    token::{Fence, Token},
};
use dataflow_sdk::{
    Context, Error,
    catalog::BuiltSink,
    sink::{DeliveryMode, OpenLane, Reserved, Sink, TakeOver, Traces, Waits},
    source::{Edge, Source},
};
use std::{collections::BTreeMap, time::Duration};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longest wait for a server that is asked on behalf of a pipeline that does not run.
const PATIENCE: Duration = Duration::from_secs(15);

/// What opening a sink has shown, beside what it has of a lane.
#[derive(Default)]
struct Found {
    /// Tokens of other generations.
    others: Vec<Token>,
    /// Where those began.
    begins: BTreeMap<Generation, Positions>,
    /// Generations that the sink has and the journal does not know.
    met: Vec<Generation>,
    /// Where the user had to say which of sink and journal is right: how far the target has what was read.
    decided: Option<Positions>,
    /// Rows of earlier generations that the target holds no longer and that no token counts.
    missing: u64,
    /// Records that the target has after those that the journal counts.
    uncounted: u64,
    /// Whether tokens of this node's own earlier generations are among the others: it takes back what was taken over.
    own: bool,
}

/// What asking a sink has shown.
pub(super) struct Asked {
    pub(super) settlement: Settlement,
    /// How far the target has what was read, where a user decides about it.
    pub(super) decided: Option<Positions>,
    /// Where it says that the generation began, if the journal has never opened that.
    pub(super) begun: Positions,
    /// Records that it has after those that the journal counts, wherever they are from.
    pub(super) uncounted: u64,
}

impl Asked {
    pub(super) fn of(settlement: Settlement) -> Self {
        Self { settlement, decided: None, begun: Positions::new(), uncounted: 0 }
    }
}

impl Found {
    /// The sink has something of these generations.
    fn meet(&mut self, generations: impl IntoIterator<Item = Generation>, progress: &Progress) {
        self.met.extend(generations.into_iter().filter(|generation| !progress.knows(*generation)));
        self.met.sort_unstable();
        self.met.dedup();
    }
}

impl Entity {
    /// Opens the sink of a pipeline that does not run, which fences whatever may still write to it, and takes what it has.
    pub(super) async fn settle(
        &self,
        view: &BranchView,
        choice: Option<Choice<'_>>,
        forced: bool,
        take_over: TakeOver,
    ) -> Asked {
        let unsettled = |reason| Asked::of(Settlement::Unsettled { reason, forced });
        let built = match self.context.parts.plugins.sink(&view.branch.spec.sink) {
            Ok(built) => built,
            Err(problems) => {
                return unsettled(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
            }
        };
        let giving_up = CancellationToken::new();
        let _end = giving_up.clone().drop_guard();
        let cx = self.connector_context(&view.branch, giving_up);
        let mut lanes = Vec::new();
        let mut found = Found::default();
        // A sink that knows more than the journal is asked by one lane at least.
        let first = view.branch.progress.by_lane.is_empty().then_some(0);
        for lane in view.branch.progress.by_lane.keys().copied().chain(first) {
            let settling = self.settle_lane(view, &built, &cx, (lane, take_over), choice, &mut found);
            match tokio::time::timeout(PATIENCE, settling).await {
                Ok(Ok(progress)) => lanes.push(progress),
                // It was asked: forced, the next generation must not be taken for one that it knows.
                Ok(Err(_)) if forced && !found.met.is_empty() => {
                    lanes.extend(view.branch.progress.by_lane.get(&lane).cloned());
                }
                Ok(Err(reason)) => return unsettled(reason),
                Err(_) => return unsettled(format!("no answer within {} s", PATIENCE.as_secs())),
            }
        }
        let begun =
            found.begins.remove(&view.branch.progress.generation).filter(|_| view.branch.progress.by_lane.is_empty());
        let ahead = unknown(&found.others, &view.branch.progress);
        let there = after(&LaneProgress::default(), &ahead, &found.begins).positions;
        if let Some(decided) = &mut found.decided {
            decided.extend(there.clone());
        }
        if matches!(choice, Some(Choice { to: ResetPoint::SinkToken, .. })) {
            for lane in &mut lanes {
                lane.positions.retain(|partition, _| !there.contains_key(partition));
            }
            if let Some(first) = lanes.first_mut() {
                *first = after(first, &ahead, &found.begins);
            }
        } else if let Some(first) = lanes.first_mut() {
            // Wherever it goes on, what others have read and written counts.
            *first =
                LaneProgress { positions: std::mem::take(&mut first.positions), ..after(first, &ahead, &found.begins) };
        }
        if let Some(first) = lanes.first_mut().filter(|_| found.own) {
            first.counters = first.counters.beyond(&view.branch.progress.earlier);
        }
        let lost = choice.filter(|_| found.decided.is_some()).map(|choice| {
            let progress = &view.branch.progress;
            let known: u64 = progress.by_lane.values().map(|lane| lane.counters.lost).sum();
            let counted = lanes.iter().map(|lane| lane.counters.lost).sum::<u64>().saturating_sub(known);
            let passed = choice.passed(&Positions::new(), &progress.positions()).saturating_sub(counted);
            let left = progress.left.records;
            let gone = match built.delivery {
                DeliveryMode::Transactional => left.saturating_sub(still_held(&found.others, progress)),
                DeliveryMode::Staged | DeliveryMode::Keyed | DeliveryMode::Unfenced => found.missing.min(left),
            };
            gone.min(passed)
        });
        Asked {
            settlement: Settlement::Settled { lanes, met: found.met, lost },
            decided: found.decided,
            begun: begun.unwrap_or_default(),
            uncounted: found.uncounted,
        }
    }

    async fn settle_lane(
        &self,
        view: &BranchView,
        built: &BuiltSink,
        cx: &Context,
        (lane, take_over): (u32, TakeOver),
        choice: Option<Choice<'_>>,
        found: &mut Found,
    ) -> Result<LaneProgress, String> {
        let journalled = view.branch.progress.by_lane.get(&lane);
        let level = self.context.parts.journal.write_level().map_err(|error| error.to_string())?;
        let own = fence(&view.branch, lane, (self.log.epoch(), self.log.opening()));
        let open = OpenLane {
            fence: own.clone(),
            lanes: view.branch.progress.fixed_lanes().unwrap_or(1),
            journal: self.context.parts.journal.id().into(),
            level,
            take_over,
            first: false,
            journalled: journalled.cloned(),
            settled: view.branch.settled,
            counted: view.branch.progress.earlier,
            begin: view.branch.progress.begin.clone(),
            known: view.branch.progress.before(),
            siblings: view.siblings.clone(),
            ancestors: view.ancestors.clone(),
            earlier: view.branch.progress.left.handle.clone(),
            remembered: view.branch.progress.left.remembered.clone(),
            sealed: view.branch.progress.left.sealed.clone(),
            left: view.branch.progress.left.of.clone(),
            reserved: Reserved::default(),
            waits: Waits::default(),
        };
        let fresh = LaneProgress { lane, ..LaneProgress::default() };
        let (known, begin) = (journalled.unwrap_or(&fresh), &view.branch.progress.begin);
        let opened = match built.sink.open(cx, open).await {
            Ok(opened) => opened,
            Err(Error::Fatal { code: Cause::TARGET_OF_ANOTHER_NODE, message, fix, .. }) => {
                return Err(format!("{message}; {}", fix.unwrap_or_default()));
            }
            // The user says where to go on.
            Err(Error::Contradicts { message, begins, ledger, .. }) => {
                found.meet(begins.keys().copied(), &view.branch.progress);
                for (generation, begin) in begins {
                    found.begins.entry(generation).or_insert(begin);
                }
                let later = ledger.map(|ledger| ledger.beyond(&view.branch.progress.earlier));
                if let Some(later) = later.filter(|later| later.read > known.counters.read) {
                    found.decided.get_or_insert_default().extend(known.positions.clone());
                    found.uncounted += later.read - known.counters.read;
                    return choice.and_then(|choice| choice.counted(&own, known, later)).ok_or(message);
                }
                let left = &view.branch.progress.left;
                let missing = match known.handle.as_ref().or(left.handle.as_ref()) {
                    Some(handle) => built.sink.missing(cx, handle, left.rows + known.counters.rows_written).await,
                    None => Ok(None),
                };
                let missing = missing.map_err(|error| error.to_string())?.unwrap_or(0);
                // What was written last is missing first.
                found.missing += missing.saturating_sub(known.counters.rows_written);
                let held = held(built.delivery, &known.counters, missing);
                let has = if held.delivered > 0 { known.positions.clone() } else { Positions::new() };
                found.decided.get_or_insert_default().extend(has);
                return choice.and_then(|choice| decide(choice, begin, known, None, &held)).ok_or(message);
            }
            Err(error) => return Err(error.to_string()),
        };
        opened.writer.close().await;
        let token = opened.token;
        found.others.clone_from(&opened.others);
        found.begins.extend(opened.begins);
        found.meet(opened.others.iter().map(|token| token.fence.generation), &view.branch.progress);
        let ahead = unknown(&opened.others, &view.branch.progress);
        match recover(lane, built.delivery, &view.branch.progress, token.clone(), &opened.others, view.pushed()) {
            // What the sink has to find next time: a table that a run made after it was opened, or a file with what others whose
            // place is taken have appended.
            Ok(recovered) => {
                let progress = recovered.progress;
                Ok(LaneProgress { handle: opened.handle.or(progress.handle), ..progress })
            }
            // Another node took over this target; our progress is inside its tokens.
            Err(Failure::Fatal(_)) if take_over == TakeOver::AnotherNode && token.is_none() && !ahead.is_empty() => {
                found.own = true;
                Ok(LaneProgress { counters: Counters::default(), chunks: Vec::new(), ..known.clone() })
            }
            // Token and journal contradict each other, and the user says which of them is right.
            Err(Failure::Fatal(Cause { message, .. })) => {
                let has = token.as_ref().map(|token| Positions::clone(&token.positions));
                found.decided.get_or_insert_default().extend(has.unwrap_or_default());
                let has_none = token.is_none() && !ahead.is_empty() && journalled.is_none_or(|lane| lane.sequence == 0);
                let held = held(built.delivery, &known.counters, 0);
                let decided = choice.and_then(|choice| decide(choice, begin, known, token.as_ref(), &held));
                // What a later generation has done is all that the token's would say.
                decided.or_else(|| (choice.is_some() && has_none).then(|| known.clone())).ok_or(message)
            }
            Err(Failure::Transient(passing)) => Err(passing.message),
            Err(Failure::Over(refused)) => Err(refused.to_string()),
        }
    }

    /// Has the sink of a running pipeline say what it has of a lane, without fencing its run; or why it can't be asked.
    pub(super) async fn ask_for_token(&self, view: &BranchView, fence: &Fence) -> Result<(), String> {
        let sink = self.context.parts.plugins.sink(&view.branch.spec.sink);
        let sink =
            sink.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?.sink;
        let giving_up = CancellationToken::new();
        let _end = giving_up.clone().drop_guard();
        patiently(sink.token(&self.connector_context(&view.branch, giving_up), fence)).await.map(drop)
    }

    /// Whether the target of a sink is the one that has these traces; or why it gives no answer.
    pub(super) async fn is_target_of(
        &self,
        view: &BranchView,
        sink: &dyn Sink,
        traces: &Traces,
    ) -> Result<bool, String> {
        let giving_up = CancellationToken::new();
        let _end = giving_up.clone().drop_guard();
        patiently(sink.is_target_of(&self.connector_context(&view.branch, giving_up), traces)).await
    }

    /// Where the source begins or ends now.
    pub(super) async fn resolve(&self, view: &BranchView, place: &Edge) -> Result<Positions, AskError> {
        let (source, cx, _end) = self.source(&view.branch)?;
        let answer = patiently(source.resolve(&cx, place)).await;
        answer.map_err(|why| unreachable("where it begins or ends", &why).into())
    }

    /// How many records lie from one position to a later one, where the source can tell in time.
    pub(super) async fn count(&self, view: &BranchView, from: &Positions, to: &Positions) -> BTreeMap<Partition, u64> {
        if to.is_empty() {
            return BTreeMap::new();
        }
        let Ok((source, cx, _end)) = self.source(&view.branch) else { return BTreeMap::new() };
        patiently(source.count(&cx, from, to)).await.unwrap_or_default()
    }

    /// The positions `to` go on at instead of `from`, so that the next run says what of it the source has no longer.
    pub(super) async fn given_up(&self, view: &BranchView, from: &Positions, to: Positions) -> Positions {
        let Ok((source, cx, _end)) = self.source(&view.branch) else { return to };
        // Without it, where nothing can be asked, it goes on all the same.
        patiently(source.given_up(&cx, from, to.clone())).await.unwrap_or(to)
    }

    /// The positions that a user names, as the source takes them. `forced`: one that can't be asked is taken at the user's
    /// word.
    pub(super) async fn place_named(
        &self,
        view: &BranchView,
        named: &BTreeMap<String, String>,
        forced: bool,
    ) -> Result<Positions, AskError> {
        let (source, cx, _end) = self.source(&view.branch)?;
        match patiently(source.place(&cx, &view.branch.progress.positions(), named)).await {
            Ok(placed) => placed.map_err(|problems| Rejected::Invalid { problems }.into()),
            Err(_) if forced => {
                let position = |at: &String| Position { at: at.as_str().into(), identity: None };
                Ok(named.iter().map(|(partition, at)| (partition.as_str().into(), position(at))).collect())
            }
            Err(why) => Err(unreachable("its positions", &why).into()),
        }
    }

    /// The source of a pipeline that does not run, and what it is asked with; it gives up when the guard goes.
    pub(super) fn source(&self, branch: &Branch) -> Result<(Box<dyn Source>, Context, DropGuard), AskError> {
        let source = self.context.parts.plugins.source(&branch.spec.source);
        let source = source.map_err(|problems| Rejected::Invalid { problems })?;
        let giving_up = CancellationToken::new();
        let cx = self.connector_context(branch, giving_up.clone());
        Ok((source, cx, giving_up.drop_guard()))
    }

    fn connector_context(&self, branch: &Branch, stop: CancellationToken) -> Context {
        let inbox = super::inbox::EntityInbox { cell: self.cell.clone(), journal: self.context.parts.journal.clone() };
        connector_context(branch, self.context.paths.clone(), Some(std::sync::Arc::new(inbox)), stop)
    }
}

/// An answer, or why there is none.
async fn patiently<T>(asking: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// The source has no answer.
fn unreachable(asked: &str, why: &str) -> Rejected {
    let message = format!("the source can't report {asked}: {why}");
    let problem = Problem::new("to", "unreachable", message);
    Rejected::Invalid {
        problems: vec![problem.fix("make the source reachable and repeat, or force the positions that you name")],
    }
}
