//! A sample of each kind of event.
use super::build::{
    EPOCH, at, batch_id, cause, chunk, command_id, counters, dead_letters, from_json, generation, lane, lane_opened,
    learned, planned, ten_lost, user,
};
use crate::{
    id::{Epoch, RunId},
    pipeline::{
        Event, RecordedEvent,
        event::{LaneOpened, LaneProgress, NewGeneration, Recovery, Retargeted},
    },
    position::Position,
    spec::PipelineSpec,
    types::Type,
    warned::{Notice, Warned},
};
use serde_json::json;

/// One event of each kind, with every optional part filled in somewhere. In the order of a life, but not a history:
/// some of them exclude each other.
pub fn samples() -> Vec<RecordedEvent> {
    let events = [
        super::created_as(full_spec()),
        Event::PipelineUpdated {
            spec: Box::new(super::redirected()),
            generation: Some(NewGeneration {
                settled: vec![full_lane(3)],
                given_up: [("orders/0".into(), Position::offset(300).of("5f3c"))].into(),
                retargeted: Some(Retargeted { from: "sqlite a".into(), to: "sqlite b".into(), records: 300 }),
                ..generation(2, at(300))
            }),
            sink: None,
            positions: None,
            discarded: None,
            pushes: super::pushes(&super::redirected()),
        },
        super::updated_at(super::refiltered(), 300),
        Event::UpdateRefused {
            code: "unsettled".into(),
            message: "the sink could not be checked: no route to host".into(),
        },
        Event::PipelineStarted { lanes: 2, attempt: 1 },
        Event::BatchReceived {
            source: None,
            batch_id: batch_id("batch-1"),
            hash: "9f86d081884c7d65".into(),
            from: 400,
            to: 410,
            bytes: 100,
            chunk: chunk("ingest-1"),
        },
        Event::RunOpened {
            run: RunId(1_767_225_600),
            epoch: Epoch(7),
            lanes: vec![
                LaneOpened {
                    decision: Recovery::TokenAdopted,
                    token_sequence: Some(4),
                    ..lane_opened(LaneProgress { chunks: vec![dead_letters("4", 10)], ..lane(4) })
                },
                lane_opened(LaneProgress { lane: 1, positions: [].into(), ..lane(0) }),
            ],
            reserved_versions: Some(1_000),
        },
        Event::PartitionsPlanned { run: RunId(1_767_225_600), planned: planned(), lanes: None },
        Event::SchemaChanged { learned: learned(Type::Decimal { precision: 12, scale: 2 }) },
        Event::BatchProcessed { run: RunId(1_767_225_600), lanes: vec![full_lane(5)], reserved_versions: Some(2_000) },
        Event::RecordsLost(ten_lost()),
        Event::DeadLettersJoined { first: 0, count: 2, into: dead_letters("joined-0-30", 30) },
        Event::PipelineFailed { cause: cause(true), restart_at: Some(EPOCH.plus_millis(10_000)) },
        super::restart_requested(),
        super::update_requested(super::refiltered(), true, "command-1", 1),
        Event::PipelineStopped { unsettled: Some(cause(true)) },
        Event::PipelineCompleted,
        Event::CheckpointReset {
            to: "beginning".into(),
            generation: NewGeneration {
                lost: Some(4),
                discarded: Some(ten_lost()),
                unsettled: Some("no route to host".into()),
                ..generation(3, at(0))
            },
        },
        Event::PipelineDeleted,
    ];
    let event = |(number, event): (i64, Event)| RecordedEvent {
        number: number.unsigned_abs(),
        at: EPOCH.plus_millis(1_000 * number),
        actor: user(),
        reason: None,
        trace: None,
        command: command_id(&format!("command-{number}")),
        hash: Some(number.unsigned_abs()),
        branch: 0,
        event,
    };
    (1_i64..).zip(events).map(event).collect()
}

/// A spec that sets everything.
fn full_spec() -> PipelineSpec {
    from_json(json!({
        "name": "Orders",
        "description": "all orders",
        "labels": {"team": "sales"},
        "source": {"type": "kafka", "topic": "orders", "connection": "main"},
        "transforms": [{"type": "filter", "condition": "amount > 10"}, {"type": "map", "set": {"city": "upper(city)"}}],
        "sink": {"type": "postgres", "table": "orders", "key": ["id"]},
        "schema": {"id": "bigint", "amount": "decimal(12,2)"},
        "onTypeMismatch": "null",
        "batch": {"maxRecords": 1000, "maxBytes": 1_000_000, "linger": "10ms"},
        "lanes": 2,
        "checkpointInterval": "2s",
        "stopTimeout": "10s",
        "maxRecordBytes": 1_000_000,
        "maxInFlightBytes": 10_000_000,
        "restart": {"maxAttempts": 5, "initial": "2s", "max": "1m"}
    }))
}

/// A lane of which everything is known.
fn full_lane(sequence: u64) -> LaneProgress {
    LaneProgress {
        positions: [
            ("orders/0".into(), Position::offset(100 * sequence)),
            ("orders/2".into(), Position::offset(200 * sequence).of("66306:131:5f3c")),
        ]
        .into(),
        counters: counters(300 * sequence),
        chunks: vec![dead_letters("dead-1", 20), dead_letters("dead-2", 10)],
        warnings: [
            Warned {
                code: "ignored-field".into(),
                subject: "zip".into(),
                message: "the sink has no column zip".into(),
                records: 7,
            }
            .into(),
            Notice::over("unknown-field", "agee"),
        ]
        .into_iter()
        .collect(),
        handle: Some(json!({"path": "out.jsonl", "file": "66306:140", "committed": 4096})),
        ..lane(sequence)
    }
}
