//! What an update changes, as source and sinks see it.
use super::Entity;
use crate::{region::AskError, status::LaneStatus};
use dataflow_core::{
    branch::BranchNumber,
    id::{Epoch, SinkName},
    pipeline::{
        Branch, BranchView, Command, CommandKind, Pipeline, Rejected,
        command::{Change, Prepared, Settlement},
        decide,
        event::LaneProgress,
        state::Progress,
        then::{Update, Wanted},
    },
    position::Positions,
    spec::PipelineSpec,
    token::Fence,
};
use dataflow_sdk::sink::{TakeOver, Traces};
use std::collections::{BTreeMap, BTreeSet};

/// What an update is to a branch.
struct Case {
    number: BranchNumber,
    /// The branch; none: it begins with the update.
    before: Option<BranchView>,
    /// What it does then; none: its sink is removed.
    after: Option<PipelineSpec>,
    /// The name by which its target [is known](Entity::known_target).
    known: Result<Option<String>, String>,
}

impl Case {
    /// A branch that was there and stays.
    fn kept(&self) -> Option<(&BranchView, &PipelineSpec)> {
        self.before.as_ref().zip(self.after.as_ref())
    }

    fn known(&self) -> Option<&str> {
        self.known.as_ref().ok()?.as_deref()
    }
}

impl Entity {
    /// The request of an update; only asks the sinks if the update is otherwise accepted and something follows from the answer.
    pub(super) async fn update(
        &self,
        to: &impl Fn(CommandKind) -> Command,
        wanted: Wanted,
    ) -> Result<CommandKind, AskError> {
        let state = self.cell.state().clone();
        let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
        let cases = self.cases(pipeline, &wanted).await;
        let kind = |prepared| CommandKind::Update { wanted: wanted.clone(), prepared };
        let tentative = |case: &Case| match &case.before {
            Some(view) if view.branch.running().is_some() => self.so_far(case.number),
            Some(_) if case.after.is_none() => Settlement::NotNeeded,
            _ => Settlement::Unsettled { reason: String::new(), forced: true },
        };
        let prepared = cases.iter().map(|case| (case.number, self.prepared(pipeline, case, &wanted, tentative(case))));
        let decision = decide(&state, &to(kind(prepared.collect()))).map_err(|rejected| {
            let unanswered = cases.iter().find_map(|case| case.known.as_ref().err());
            let unsettled = |why: &String| {
                let reason = format!("the sink can't tell whether its target is still the same: {why}");
                Rejected::Unsettled { reason }
            };
            match (unanswered, rejected) {
                (Some(why), Rejected::RetargetNeeded { .. }) if !wanted.force => unsettled(why),
                (Some(why), Rejected::OfSink { sink, rejected })
                    if !wanted.force && matches!(*rejected, Rejected::RetargetNeeded { .. }) =>
                {
                    unsettled(why).of_sink(Some(&sink))
                }
                (_, rejected) => rejected,
            }
        })?;
        let mut prepared = BTreeMap::new();
        for case in &cases {
            let settlement = match case.kept() {
                Some((view, _)) if view.branch.running().is_some() && decision.events.is_empty() => tentative(case),
                Some((view, after)) if view.branch.running().is_some() => {
                    self.reachable(view, after, &wanted, (tentative(case), case.known())).await
                }
                Some((view, after)) => {
                    self.settlement(view, view.branch.settled, after, (wanted.force, case.known())).await
                }
                None if case.before.is_some() => tentative(case),
                None => Settlement::NotNeeded,
            };
            prepared.insert(case.number, self.prepared(pipeline, case, &wanted, settlement));
        }
        Ok(kind(prepared))
    }

    /// What an update is to each branch that it may touch.
    async fn cases(&self, pipeline: &Pipeline, wanted: &Wanted) -> Vec<Case> {
        let mut cases = Vec::new();
        for (number, sink) in pipeline.after(&wanted.spec) {
            cases.push(self.case(pipeline, number, sink.as_ref(), wanted).await);
        }
        cases
    }

    /// What an update is to the branch that has this number, or gets it.
    async fn case(&self, pipeline: &Pipeline, number: BranchNumber, sink: Option<&SinkName>, wanted: &Wanted) -> Case {
        let (before, after) = (pipeline.view(number), wanted.spec.of_sink(sink));
        let known = match before.as_ref().zip(after.as_ref()) {
            Some((view, after)) => self.known_target(view, after).await,
            None => Ok(None),
        };
        Case { number, before, after, known }
    }

    /// What the pending update comes to, if this branch is the last one that it waits for; otherwise nothing.
    pub(super) async fn waiting_update(&self, number: BranchNumber, settled: bool) -> BTreeMap<BranchNumber, Prepared> {
        let Some(pipeline) = self.cell.state().pipeline().cloned() else { return BTreeMap::new() };
        let update = pipeline.branches.get(&number).and_then(Branch::update).cloned();
        let others = pipeline.stopping_for_update().any(|other| other != number);
        let Some(Update { wanted, .. }) = update.filter(|_| !others) else { return BTreeMap::new() };
        let mut prepared = BTreeMap::new();
        for case in self.cases(&pipeline, &wanted).await {
            let settlement = match case.kept() {
                Some((view, _)) if case.number != number && view.branch.running().is_some() => self.so_far(case.number),
                Some((view, after)) => {
                    let settled = if case.number == number { settled } else { view.branch.settled };
                    self.settlement(view, settled, after, (wanted.force, case.known())).await
                }
                None => Settlement::NotNeeded,
            };
            prepared.insert(case.number, self.prepared(&pipeline, &case, &wanted, settlement));
        }
        prepared
    }

    fn prepared(&self, pipeline: &Pipeline, case: &Case, wanted: &Wanted, settlement: Settlement) -> Prepared {
        let (mut change, mut reached) = (Change::default(), Positions::new());
        if let Some((view, after)) = case.kept() {
            change = self.change(view, after, &settlement, case.known());
            reached = self.reached(view, &settlement);
        }
        let target = self.gets(case, &change);
        let after = case.after.as_ref().filter(|_| target.is_some());
        let shares = after.map(|after| self.sharing(pipeline, case.number, after)).unwrap_or_default();
        let pushes = self.context.parts.plugins.declared(&wanted.spec).source.pushes;
        Prepared { change, pushes, settlement, reached, target, shares, nonce: self.context.parts.rng.next() }
    }

    /// The target that a branch gets with an update: one that begins, comes back, or leaves the target that it has.
    fn gets(&self, case: &Case, change: &Change) -> Option<String> {
        let stays = case.before.as_ref().is_some_and(|view| view.branch.is_present());
        match &change.target {
            Some((_, to)) => Some(to.clone()),
            None if stays => None,
            None => Some(self.context.parts.plugins.target(&case.after.as_ref()?.sink)),
        }
    }

    /// The other branches that write to the target that one gets.
    fn sharing(&self, pipeline: &Pipeline, number: BranchNumber, after: &PipelineSpec) -> BTreeSet<BranchNumber> {
        let same = |branch: &Branch| self.context.parts.plugins.same_target(&branch.spec.sink, &after.sink);
        let others = pipeline.branches.iter().filter(|(other, branch)| **other != number && same(branch));
        others.map(|(other, _)| *other).collect()
    }

    /// What an update changes; its target is `known` by another name.
    fn change(&self, view: &BranchView, after: &PipelineSpec, settlement: &Settlement, known: Option<&str>) -> Change {
        let positions = view.branch.progress.positions_with(settlement.lanes());
        let named = after.clone().named(view.branch.id.pipeline());
        let mut change = self.context.parts.plugins.change(&view.branch.spec, &named, &positions);
        if let (Some((_, to)), Some(known)) = (&mut change.target, known) {
            *to = known.into();
        }
        change.target.take_if(|(from, to)| from == to);
        change
    }

    /// The name by which the target of an update is known, where it is spelled or called otherwise now: that of the target so
    /// far, or of one before; or why it can't be asked.
    async fn known_target(&self, view: &BranchView, after: &PipelineSpec) -> Result<Option<String>, String> {
        let change = self.change(view, after, &Settlement::NotNeeded, None);
        let (Some((from, _)), Ok(built)) = (change.target, self.context.parts.plugins.sink(&after.sink)) else {
            return Ok(None);
        };
        let sink = built.sink;
        let Progress { generation, by_lane, left, away, .. } = &view.branch.progress;
        let own = (!by_lane.is_empty()).then_some(*generation);
        let handle = by_lane.values().find_map(|lane| lane.handle.clone()).or(left.handle.clone());
        let so_far = (from, left.of.iter().copied().chain(own).collect::<Vec<_>>(), handle);
        let before =
            away.iter().rev().map(|away| (away.target.clone(), away.left.of.clone(), away.left.handle.clone()));
        // What another kind of sink has left there says nothing to this one.
        let kind = format!("{} ", after.sink.kind);
        let alike = [so_far].into_iter().chain(before).filter(|(name, ..)| name.starts_with(&kind));
        for (name, generations, handle) in alike {
            let traces = Traces {
                branch: view.branch.id.clone(),
                incarnation: view.branch.incarnation.clone(),
                generations,
                handle,
            };
            if !traces.generations.is_empty() && self.is_target_of(view, &*sink, &traces).await? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Has the sink of a branch that does not run say what it has, where something follows from that: which positions a new
    /// generation goes on at, or where another spec of the same one takes effect. It may be ahead of the journal, in
    /// partitions that only it knows.
    async fn settlement(
        &self,
        view: &BranchView,
        settled: bool,
        after: &PipelineSpec,
        (force, known): (bool, Option<&str>),
    ) -> Settlement {
        let change = self.change(view, after, &Settlement::NotNeeded, known);
        let asked = if view.branch.starts_generation(after, &change) {
            view.branch.needs_settlement() || view.branch.undecided.is_some()
        } else {
            view.branch.needs_settlement() && !settled && !view.branch.spec.gives_like(after)
        };
        if !asked {
            return Settlement::NotNeeded;
        }
        // The same target may be found by its new name alone.
        let mut view = view.clone();
        if known.is_some() && change.target.is_none() {
            view.branch.spec.sink = after.sink.clone();
        }
        self.settle(&view, None, force, TakeOver::Nobody).await.settlement
    }

    /// Where the lanes of a running branch are known to be: it is settled once it has stopped.
    fn so_far(&self, number: BranchNumber) -> Settlement {
        let lane = |(lane, live): (&u32, &LaneStatus)| LaneProgress {
            lane: *lane,
            positions: Positions::clone(&live.positions),
            counters: live.committed,
            ..LaneProgress::default()
        };
        let live = self.cell.live().remove(&number);
        let lanes = live.map(|live| live.lock().lanes.iter().map(lane).collect()).unwrap_or_default();
        Settlement::Settled { lanes, met: Vec::new(), lost: None }
    }

    /// That, if the sink of a running branch can be asked at all.
    async fn reachable(
        &self,
        view: &BranchView,
        after: &PipelineSpec,
        wanted: &Wanted,
        (so_far, known): (Settlement, Option<&str>),
    ) -> Settlement {
        let change = self.change(view, after, &Settlement::NotNeeded, known);
        let asked = view.branch.starts_generation(after, &change) && view.branch.needs_settlement() && !wanted.force;
        let fence = Fence {
            branch: view.branch.id.clone(),
            incarnation: view.branch.incarnation.clone(),
            generation: view.branch.progress.generation,
            lane: 0,
            epoch: Epoch(0),
            opening: 0,
        };
        match if asked { self.ask_for_token(view, &fence).await } else { Ok(()) } {
            Ok(()) => so_far,
            Err(reason) => Settlement::Unsettled { reason, forced: false },
        }
    }
}
