//! What an update changes, as source and sink see it, and what users are told of it.
use super::Entity;
use crate::{region::AskError, view::WarningView};
use dataflow_core::{
    pipeline::{
        Command, Decision, Fact, Rejected, Request,
        command::{Change, Settlement},
        decide,
        event::Retargeted,
    },
    spec::PipelineSpec,
};
use dataflow_sdk::sink::TakeOver;

impl Entity {
    /// The request of an update; only asks the sink if the update is otherwise accepted and starts a generation.
    pub(super) async fn update(
        &self,
        to: &impl Fn(Request) -> Command,
        spec: Box<PipelineSpec>,
        (reset, retarget): (bool, bool),
        force: bool,
    ) -> Result<Request, AskError> {
        let pipeline = self.slot.state().pipeline().cloned().ok_or(Rejected::NotFound)?;
        let named = spec.clone().named(&pipeline.id);
        let nonce = self.around.parts.rng.next();
        let request = |settlement: Settlement| {
            let positions = pipeline.progress.positions_with(settlement.lanes());
            let change = self.around.parts.plugins.change(&pipeline.spec, &named, &positions);
            Request::Update { spec: spec.clone(), change, reset, retarget, settlement, nonce }
        };
        let tentative = request(Settlement::Unsettled { reason: String::new(), forced: true });
        decide(&self.slot.state(), &to(tentative.clone()))?;
        let starts = match &tentative {
            Request::Update { change, .. } => pipeline.starts_generation(&named, change),
            _ => false,
        };
        if !starts || !(pipeline.needs_settlement() || self.slot.state().is_behind()) {
            return Ok(request(Settlement::NotNeeded));
        }
        // The sink may be ahead of the journal, in partitions that only it knows.
        Ok(request(self.settle(&pipeline, None, force, TakeOver::Nobody).await))
    }

    /// Has the pipeline's warnings say what an update means for what is read and written, until it next ran.
    pub(super) fn tell_changes(&self, request: &Request, decision: &Decision) {
        let Request::Update { change, .. } = request else { return };
        let generation = decision.events.iter().find_map(|event| match &event.fact {
            Fact::PipelineUpdated { generation, .. } => generation.as_ref(),
            _ => None,
        });
        let Some(generation) = generation else { return };
        let number = generation.generation.number;
        let mut warnings = self.around.directory.warnings(&self.slot.pipeline);
        let mut tell = |code: &str, message| {
            warnings.retain(|known| known.code != code);
            warnings.push(WarningView { code: code.into(), message, records: 0 });
        };
        if !generation.given_up.is_empty() {
            let Change { given_up, .. } = change;
            let place = |(partition, from)| {
                let instead = given_up.get(partition).map_or("given up", String::as_str);
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
                    "generation {number} writes to another target, which lacks {records} record(s) that were delivered to the \
                     one before"
                ),
            ),
            None if change.sink => tell(
                "target-changed",
                format!(
                    "generation {number} writes other rows to the same target: what was written before it stays as it is"
                ),
            ),
            _ => {}
        }
        self.around.directory.keep_warnings(&self.slot.pipeline, warnings);
    }
}
