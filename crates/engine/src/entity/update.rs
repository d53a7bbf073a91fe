//! What an update changes, as source and sink see it, and what users are told of it.
use super::Entity;
use crate::{region::AskError, run::live::LaneLive, view::WarningView};
use dataflow_core::{
    id::Epoch,
    pipeline::{
        Command, Decision, Fact, Pipeline, Rejected, Request, State,
        command::{Change, Prepared, Settlement},
        decide,
        event::{LaneProgress, Retargeted},
        state::Then,
        then::Wanted,
    },
    spec::PipelineSpec,
    token::Fence,
};
use dataflow_sdk::{batch::Warning, sink::TakeOver};

impl Entity {
    /// The request of an update; only asks the sink if the update is otherwise accepted and something follows from the answer.
    pub(super) async fn update(&self, to: &impl Fn(Request) -> Command, wanted: Wanted) -> Result<Request, AskError> {
        let state = self.slot.state().clone();
        let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
        let request = |settlement| Request::Update {
            wanted: wanted.clone(),
            prepared: self.prepared(pipeline, &wanted, settlement),
        };
        let tentative = match state {
            State::Running(_) => self.so_far(),
            _ => Settlement::Unsettled { reason: String::new(), forced: true },
        };
        let decision = decide(&state, &to(request(tentative.clone())))?;
        let settlement = match state {
            State::Running(_) if decision.events.is_empty() => tentative,
            State::Running(_) => self.reachable(pipeline, &wanted, tentative).await,
            _ => self.settlement(pipeline, pipeline.settled, &wanted).await,
        };
        Ok(request(settlement))
    }

    /// What the update comes to that waits for the end of the run, which has ended now; none: there is none.
    pub(super) async fn waiting_update(&self, settled: bool) -> Option<Box<Prepared>> {
        let (pipeline, wanted, start) = match &*self.slot.state() {
            State::Running(running) => match &running.stopping {
                Some(Then { update: Some(update), start }) => (running.pipeline.clone(), update.wanted.clone(), *start),
                _ => return None,
            },
            _ => return None,
        };
        let settlement = self.settlement(&pipeline, settled, &wanted).await;
        let mut prepared = self.prepared(&pipeline, &wanted, settlement);
        if start && pipeline.starts_generation(&wanted.spec, &prepared.change) {
            prepared.lanes = self.ask_for_lanes(&Pipeline { spec: *wanted.spec, ..pipeline }).await;
        }
        Some(Box::new(prepared))
    }

    fn prepared(&self, pipeline: &Pipeline, wanted: &Wanted, settlement: Settlement) -> Prepared {
        let change = self.change(pipeline, wanted, &settlement);
        Prepared { change, settlement, nonce: self.around.parts.rng.next(), lanes: 1 }
    }

    fn change(&self, pipeline: &Pipeline, wanted: &Wanted, settlement: &Settlement) -> Change {
        let positions = pipeline.progress.positions_with(settlement.lanes());
        let named = PipelineSpec::clone(&wanted.spec).named(&pipeline.id);
        self.around.parts.plugins.change(&pipeline.spec, &named, &positions)
    }

    /// Has the sink of a pipeline that does not run say what it has, where something follows from that: which positions a new
    /// generation goes on at, or where another spec of the same one takes effect. It may be ahead of the journal, in
    /// partitions that only it knows.
    async fn settlement(&self, pipeline: &Pipeline, settled: bool, wanted: &Wanted) -> Settlement {
        let change = self.change(pipeline, wanted, &Settlement::NotNeeded);
        let asked = if pipeline.starts_generation(&wanted.spec, &change) {
            pipeline.needs_settlement() || self.slot.state().is_behind()
        } else {
            pipeline.needs_settlement() && !settled && !pipeline.spec.gives_like(&wanted.spec)
        };
        match asked {
            true => self.settle(pipeline, None, wanted.force, TakeOver::Nobody).await,
            false => Settlement::NotNeeded,
        }
    }

    /// Where the lanes of a running pipeline are known to be: it is settled once it has stopped.
    fn so_far(&self) -> Settlement {
        let lane = |(lane, live): (&u32, &LaneLive)| LaneProgress {
            lane: *lane,
            positions: live.positions.clone(),
            counters: live.committed,
            ..LaneProgress::default()
        };
        let live = self.slot.live();
        let lanes = live.map(|live| live.lock().lanes.iter().map(lane).collect()).unwrap_or_default();
        Settlement::Settled { lanes, met: Vec::new(), lost: None }
    }

    /// That, if the sink of a running pipeline can be asked at all.
    async fn reachable(&self, pipeline: &Pipeline, wanted: &Wanted, so_far: Settlement) -> Settlement {
        let change = self.change(pipeline, wanted, &Settlement::NotNeeded);
        let asked = pipeline.starts_generation(&wanted.spec, &change) && pipeline.needs_settlement() && !wanted.force;
        let fence = Fence {
            pipeline: pipeline.id.clone(),
            incarnation: pipeline.incarnation.clone(),
            generation: pipeline.progress.generation,
            lane: 0,
            epoch: Epoch(0),
        };
        match if asked { self.ask_for_token(pipeline, &fence).await } else { Ok(()) } {
            Ok(()) => so_far,
            Err(reason) => Settlement::Unsettled { reason, forced: false },
        }
    }

    /// Has users told what an update means for what is read and written, or why it was not made: by the run that starts
    /// with it, or until one is started.
    pub(super) fn tell_update(&mut self, request: &Request, decision: &Decision) {
        let update = match request {
            Request::Update { prepared, .. } => Some(prepared),
            Request::ReportStopped { update, .. }
            | Request::ReportFailed { update, .. }
            | Request::ReportCompleted { update, .. } => update.as_deref(),
            _ => None,
        };
        let mut told = Vec::new();
        let mut tell = |code, message| told.push(Warning { code, subject: String::new(), message, records: 0 });
        for event in &decision.events {
            match &event.fact {
                Fact::PipelineUpdated { generation: Some(generation), .. } => {
                    let Some(Prepared { change, .. }) = update else { continue };
                    let number = generation.generation.number;
                    if !generation.given_up.is_empty() {
                        let place = |(partition, from)| {
                            let instead = change.given_up.get(partition).map_or("given up", String::as_str);
                            format!("{partition} was at {from}: {instead}")
                        };
                        let places: Vec<String> = generation.given_up.iter().map(place).collect();
                        tell(
                            "positions-given-up",
                            format!("positions were given up with generation {number}: {}", places.join(", ")),
                        );
                    }
                    match &generation.retargeted {
                        Some(Retargeted { records, .. }) if *records > 0 => tell(
                            "target-changed",
                            format!(
                                "generation {number} writes to another target, which lacks {records} record(s) that were \
                                 delivered to the one before"
                            ),
                        ),
                        None if change.sink => tell(
                            "target-changed",
                            format!(
                                "generation {number} writes other rows to the same target: what was written before it stays \
                                 as it is"
                            ),
                        ),
                        _ => {}
                    }
                }
                Fact::UpdateRefused { code, message } => tell(
                    "update-refused",
                    format!("the update of command {} was not made ({code}): {message}", event.command),
                ),
                _ => {}
            }
        }
        if told.is_empty() {
            return;
        }
        if decision.starts_run() {
            self.notes = told;
            return;
        }
        let mut warnings = self.around.directory.warnings(&self.slot.pipeline);
        for Warning { code, message, .. } in told {
            warnings.retain(|known| known.code != code);
            warnings.push(WarningView { code: code.into(), message, records: 0 });
        }
        self.around.directory.keep_warnings(&self.slot.pipeline, warnings);
    }
}
