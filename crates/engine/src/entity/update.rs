//! What an update changes, as source and sink see it.
use super::Entity;
use crate::{region::AskError, status::LaneStatus};
use dataflow_core::{
    id::Epoch,
    pipeline::{
        Command, CommandKind, Pipeline, Rejected, State,
        command::{Change, Prepared, Settlement},
        decide,
        event::LaneProgress,
        state::{Progress, Then},
        then::Wanted,
    },
    position::Positions,
    spec::PipelineSpec,
    token::Fence,
};
use dataflow_sdk::sink::{TakeOver, Traces};

impl Entity {
    /// The request of an update; only asks the sink if the update is otherwise accepted and something follows from the answer.
    pub(super) async fn update(
        &self,
        to: &impl Fn(CommandKind) -> Command,
        wanted: Wanted,
    ) -> Result<CommandKind, AskError> {
        let state = self.cell.state().clone();
        let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
        let known = self.known_target(pipeline, &wanted).await;
        let (known, unanswered) = match &known {
            Ok(known) => (known.as_deref(), None),
            Err(why) => (None, Some(why)),
        };
        let kind = |settlement| CommandKind::Update {
            wanted: wanted.clone(),
            prepared: Box::new(self.prepared(pipeline, &wanted, settlement, known)),
        };
        let tentative = match state {
            State::Running(_) => self.so_far(),
            _ => Settlement::Unsettled { reason: String::new(), forced: true },
        };
        let decision = decide(&state, &to(kind(tentative.clone()))).map_err(|rejected| match unanswered {
            Some(why) if matches!(rejected, Rejected::RetargetNeeded { .. }) && !wanted.force => {
                Rejected::Unsettled { reason: format!("whether the target is the one so far can't be asked: {why}") }
            }
            _ => rejected,
        })?;
        let settlement = match state {
            State::Running(_) if decision.events.is_empty() => tentative,
            State::Running(_) => self.reachable(pipeline, &wanted, tentative, known).await,
            _ => self.settlement(pipeline, pipeline.settled, &wanted, known).await,
        };
        let mut kind = kind(settlement);
        if let (CommandKind::Update { prepared, .. }, State::Failed(failed)) = (&mut kind, &state)
            && failed.restart_at.is_some()
        {
            // It is started with the new spec.
            let wanted = PipelineSpec::clone(&wanted.spec);
            prepared.lanes = self.ask_for_lanes(&Pipeline { spec: wanted, ..pipeline.clone() }).await;
        }
        Ok(kind)
    }

    /// What the update comes to that waits for the end of the run, which has ended now; none: there is none.
    pub(super) async fn waiting_update(&self, settled: bool) -> Option<Box<Prepared>> {
        let (pipeline, wanted, start) = match &*self.cell.state() {
            State::Running(running) => match &running.stopping {
                Some(Then { update: Some(update), start }) => (running.pipeline.clone(), update.wanted.clone(), *start),
                _ => return None,
            },
            _ => return None,
        };
        let known = self.known_target(&pipeline, &wanted).await.ok().flatten();
        let settlement = self.settlement(&pipeline, settled, &wanted, known.as_deref()).await;
        let mut prepared = self.prepared(&pipeline, &wanted, settlement, known.as_deref());
        if start && pipeline.starts_generation(&wanted.spec, &prepared.change) {
            prepared.lanes = self.ask_for_lanes(&Pipeline { spec: *wanted.spec, ..pipeline }).await;
        }
        Some(Box::new(prepared))
    }

    fn prepared(&self, pipeline: &Pipeline, wanted: &Wanted, settlement: Settlement, known: Option<&str>) -> Prepared {
        let change = self.change(pipeline, wanted, &settlement, known);
        let reached = self.reached(pipeline, &settlement);
        let pushes = self.context.parts.plugins.declared(&wanted.spec).source.pushes;
        Prepared { change, pushes, settlement, reached, nonce: self.context.parts.rng.next(), lanes: 1 }
    }

    /// What an update changes; its target is `known` by another name.
    fn change(&self, pipeline: &Pipeline, wanted: &Wanted, settlement: &Settlement, known: Option<&str>) -> Change {
        let positions = pipeline.progress.positions_with(settlement.lanes());
        let named = PipelineSpec::clone(&wanted.spec).named(&pipeline.id);
        let mut change = self.context.parts.plugins.change(&pipeline.spec, &named, &positions);
        if let (Some((_, to)), Some(known)) = (&mut change.target, known) {
            *to = known.into();
        }
        change.target.take_if(|(from, to)| from == to);
        change
    }

    /// The name by which the target of an update is known, where it is spelled or called otherwise now: that of the target so
    /// far, or of one before; or why it can't be asked.
    async fn known_target(&self, pipeline: &Pipeline, wanted: &Wanted) -> Result<Option<String>, String> {
        let change = self.change(pipeline, wanted, &Settlement::NotNeeded, None);
        let (Some((from, _)), Ok(built)) = (change.target, self.context.parts.plugins.sink(&wanted.spec.sink)) else {
            return Ok(None);
        };
        let sink = built.sink;
        let Progress { generation, by_lane, left, away, .. } = &pipeline.progress;
        let own = (!by_lane.is_empty()).then_some(*generation);
        let handle = by_lane.values().find_map(|lane| lane.handle.clone()).or(left.handle.clone());
        let so_far = (from, left.of.iter().copied().chain(own).collect::<Vec<_>>(), handle);
        let before =
            away.iter().rev().map(|away| (away.target.clone(), away.left.of.clone(), away.left.handle.clone()));
        for (name, generations, handle) in [so_far].into_iter().chain(before) {
            let traces = Traces {
                pipeline: pipeline.id.clone(),
                incarnation: pipeline.incarnation.clone(),
                generations,
                handle,
            };
            if !traces.generations.is_empty() && self.is_target_of(pipeline, &*sink, &traces).await? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Has the sink of a pipeline that does not run say what it has, where something follows from that: which positions a new
    /// generation goes on at, or where another spec of the same one takes effect. It may be ahead of the journal, in
    /// partitions that only it knows.
    async fn settlement(&self, pipeline: &Pipeline, settled: bool, wanted: &Wanted, known: Option<&str>) -> Settlement {
        let change = self.change(pipeline, wanted, &Settlement::NotNeeded, known);
        let asked = if pipeline.starts_generation(&wanted.spec, &change) {
            pipeline.needs_settlement() || self.cell.state().is_behind()
        } else {
            pipeline.needs_settlement() && !settled && !pipeline.spec.gives_like(&wanted.spec)
        };
        if !asked {
            return Settlement::NotNeeded;
        }
        // The same target may be found by its new name alone.
        let mut pipeline = pipeline.clone();
        if known.is_some() && change.target.is_none() {
            pipeline.spec.sink = wanted.spec.sink.clone();
        }
        self.settle(&pipeline, None, wanted.force, TakeOver::Nobody).await.0
    }

    /// Where the lanes of a running pipeline are known to be: it is settled once it has stopped.
    fn so_far(&self) -> Settlement {
        let lane = |(lane, live): (&u32, &LaneStatus)| LaneProgress {
            lane: *lane,
            positions: Positions::clone(&live.positions),
            counters: live.committed,
            ..LaneProgress::default()
        };
        let live = self.cell.live();
        let lanes = live.map(|live| live.lock().lanes.iter().map(lane).collect()).unwrap_or_default();
        Settlement::Settled { lanes, met: Vec::new(), lost: None }
    }

    /// That, if the sink of a running pipeline can be asked at all.
    async fn reachable(
        &self,
        pipeline: &Pipeline,
        wanted: &Wanted,
        so_far: Settlement,
        known: Option<&str>,
    ) -> Settlement {
        let change = self.change(pipeline, wanted, &Settlement::NotNeeded, known);
        let asked = pipeline.starts_generation(&wanted.spec, &change) && pipeline.needs_settlement() && !wanted.force;
        let fence = Fence {
            pipeline: pipeline.id.clone(),
            incarnation: pipeline.incarnation.clone(),
            generation: pipeline.progress.generation,
            lane: 0,
            epoch: Epoch(0),
            opening: 0,
        };
        match if asked { self.ask_for_token(pipeline, &fence).await } else { Ok(()) } {
            Ok(()) => so_far,
            Err(reason) => Settlement::Unsettled { reason, forced: false },
        }
    }
}
