//! Events of a pipeline's life: what each says is made of the event itself, whatever its stored shape.
use super::redacted;
use dataflow_api_types::{HistoryItem, HistoryPage};
use dataflow_core::{
    ledger::Counters,
    pipeline::{
        Event, RecordedEvent,
        event::{Cause, LaneProgress, Lost, NewGeneration, Planned, Retargeted},
        then::{Asked, Then, Update, Wanted},
    },
    position::Positions,
    warned::Warned,
};
use dataflow_engine::answers::History;
use dataflow_sdk::Catalog;
use serde_json::{Map, Value, json};

/// A page of events, without the secrets of their specs.
pub(crate) fn history(found: History, catalog: &Catalog) -> HistoryPage {
    let of_sink = |event: &RecordedEvent| {
        let whole = matches!(event.event, Event::PipelineCreated { .. } | Event::PipelineDeleted);
        found.sinks.get(&event.branch).filter(|_| !whole).map(ToString::to_string)
    };
    let item = |event: RecordedEvent| HistoryItem {
        sink: of_sink(&event),
        number: event.number,
        at: event.at.to_string(),
        actor: event.actor.to_string(),
        reason: event.reason.map(|reason| reason.to_string()),
        trace: event.trace.map(|trace| trace.to_string()),
        command: event.command.to_string(),
        event: event.event.name().into(),
        detail: detail(&event.event, catalog),
    };
    HistoryPage { items: found.events.into_iter().map(item).collect(), next: found.next }
}

/// What an event says.
fn detail(event: &Event, catalog: &Catalog) -> Value {
    match event {
        Event::PipelineCreated { spec, incarnation, pushes: _ } => {
            json!({"spec": redacted(catalog, spec), "incarnation": incarnation})
        }
        Event::PipelineUpdated { spec, sink: _, generation, positions, discarded, pushes: _ } => object([
            ("spec", Some(json!(redacted(catalog, spec)))),
            ("generation", generation.as_ref().map(new_generation)),
            ("positions", positions.as_ref().map(places)),
            ("discarded", discarded.as_ref().map(passed_over)),
        ]),
        Event::UpdateRefused { code, message } => json!({"code": code, "message": message}),
        Event::PipelineStarted { lanes, attempt } => json!({"lanes": lanes, "attempt": attempt}),
        Event::StopRequested { then: Then { update, start } } => {
            let update = update.as_ref().map(|update| to_update(update, catalog));
            json!({"then": object([("start", Some(json!(start))), ("update", update)])})
        }
        Event::PipelineStopped { unsettled } => {
            object([("settled", Some(json!(unsettled.is_none()))), ("cause", unsettled.as_ref().map(why))])
        }
        Event::PartitionsPlanned { run, planned, lanes } => object([
            ("run", Some(json!(run))),
            ("planned", Some(planned.iter().map(in_lane).collect())),
            ("lanes", lanes.map(Value::from)),
        ]),
        Event::SchemaChanged { learned } => json!({"learned": learned}),
        Event::RecordsLost(lost) => passed_over(lost),
        Event::PipelineFailed { cause, restart_at } => {
            object([("cause", Some(why(cause))), ("restartAt", restart_at.map(|at| json!(at.to_string())))])
        }
        Event::CheckpointReset { to, generation } => json!({"to": to, "generation": new_generation(generation)}),
        Event::PipelineCompleted | Event::PipelineDeleted => json!({}),
        // Progress is in no history.
        Event::BatchReceived { .. }
        | Event::RunOpened { .. }
        | Event::BatchProcessed { .. }
        | Event::DeadLettersJoined { .. } => json!({}),
    }
}

/// Where each partition is: by its name, the place that a user sees.
fn places(positions: &Positions) -> Value {
    positions
        .iter()
        .map(|(partition, position)| (partition.to_string(), json!(position.at)))
        .collect::<Map<_, _>>()
        .into()
}

fn new_generation(new: &NewGeneration) -> Value {
    object([
        ("generation", Some(json!(new.generation.number))),
        ("positions", Some(places(&new.positions))),
        ("givenUp", (!new.given_up.is_empty()).then(|| places(&new.given_up))),
        ("settled", Some(of_lanes(&new.settled))),
        ("met", (!new.met.is_empty()).then(|| new.met.iter().map(|met| json!(met.number)).collect())),
        ("lost", new.lost.map(Value::from)),
        ("retargeted", new.retargeted.as_ref().map(retargeted)),
        ("discarded", new.discarded.as_ref().map(passed_over)),
        ("passed", (!new.passed.is_empty()).then(|| new.passed.iter().map(passed_over).collect())),
        ("notes", (!new.notes.is_empty()).then(|| new.notes.holding().map(noted).collect())),
        ("unsettled", new.unsettled.as_ref().map(|reason| json!(reason))),
    ])
}

fn why(Cause { code, stage, message, fix, retryable }: &Cause) -> Value {
    object([
        ("code", Some(json!(code))),
        ("stage", Some(json!(stage))),
        ("message", Some(json!(message))),
        ("fix", fix.as_ref().map(|fix| json!(fix))),
        ("retryable", Some(json!(retryable))),
    ])
}

fn noted(Warned { code, subject: _, message, records }: &Warned) -> Value {
    json!({"code": code, "message": message, "records": records})
}

fn retargeted(Retargeted { from, to, records }: &Retargeted) -> Value {
    json!({"from": from, "to": to, "records": records})
}

fn passed_over(Lost { partition, from, to, records }: &Lost) -> Value {
    json!({"partition": partition, "from": from.at, "to": to.at, "records": records})
}

fn to_update(Update { wanted, by }: &Update, catalog: &Catalog) -> Value {
    let Wanted { spec, reset, retarget, force } = wanted;
    let Asked { actor, reason, trace, command, hash: _ } = by;
    object([
        ("spec", Some(json!(redacted(catalog, spec)))),
        ("reset", Some(json!(reset))),
        ("retarget", Some(json!(retarget))),
        ("force", Some(json!(force))),
        ("actor", Some(json!(actor))),
        ("reason", reason.as_ref().map(|reason| json!(reason))),
        ("trace", trace.as_ref().map(|trace| json!(trace))),
        ("command", Some(json!(command))),
    ])
}

fn in_lane(Planned { partition, lane, begin }: &Planned) -> Value {
    json!({"partition": partition, "lane": lane, "begin": begin.at})
}

fn of_lanes(lanes: &[LaneProgress]) -> Value {
    let of_lane = |lane: &LaneProgress| {
        json!({
            "lane": lane.lane,
            "sequence": lane.sequence,
            "positions": places(&lane.positions),
            "counters": counted(&lane.counters),
        })
    };
    lanes.iter().map(of_lane).collect()
}

fn counted(counters: &Counters) -> Value {
    json!({
        "read": counters.read,
        "filtered": counters.filtered,
        "delivered": counters.delivered,
        "absorbed": counters.absorbed,
        "dead": counters.dead,
        "lost": counters.lost,
        "bytesLost": counters.bytes_lost,
        "rowsWritten": counters.rows_written,
        "bytesRead": counters.bytes_read,
        "batches": counters.batches,
    })
}

/// An object of the fields that are there.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let there = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    there.collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow_journal::{stored::Kind, testing::samples};

    /// What users see of each event. It may grow; nothing of it is taken away or renamed, whatever is stored.
    #[test]
    fn each_event_has_a_view_of_its_own() {
        let (catalog, mut shown) = (Catalog::new(), Map::new());
        let guide = include_str!("../../../../docs/guides/history.md");
        for (name, event) in samples::all().into_iter().filter(|(_, event)| Kind::of(&event.event) == Kind::Lifecycle) {
            assert!(guide.contains(&format!("`{}`", event.event.name())), "the guide lacks {name}");
            shown.insert(name.to_owned(), detail(&event.event, &catalog));
        }
        insta::assert_json_snapshot!(shown);
    }
}
