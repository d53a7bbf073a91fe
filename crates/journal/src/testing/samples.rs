//! A sample of every event, with and without its optional fields.
#![allow(clippy::unwrap_used, reason = "the texts are constants of valid form")]
use dataflow_core::{
    chunk::{ChunkId, ChunkKind, ChunkRef},
    id::{Epoch, Generation, PipelineId, RunId},
    ledger::Counters,
    pipeline::{
        RecordedEvent,
        event::{Cause, Event, LaneOpened, LaneProgress, Lost, NewGeneration, Planned, Recovery, Retargeted},
        then::{Asked, Then, Update, Wanted},
    },
    position::Position,
    shard::ShardId,
    spec::PipelineSpec,
    time::Timestamp,
    types::{InferredTypes, Type},
    warned::{Notice, Warned},
};

/// An event of a command, made by `system` at a fixed time; its number is the one in the command's name, if any.
pub fn event(command: &str, event: Event) -> RecordedEvent {
    RecordedEvent {
        number: command.parse().unwrap_or(1),
        at: Timestamp(1_790_000_000_123),
        actor: "system".try_into().unwrap(),
        reason: None,
        trace: None,
        command: command.try_into().unwrap(),
        hash: None,
        branch: 0,
        event,
    }
}

/// A lifecycle event.
pub fn lifecycle(command: &str) -> RecordedEvent {
    event(command, Event::StopRequested { then: Then::default() })
}

/// A progress event: lane 0 at commit number `sequence`.
pub fn progress(command: &str, sequence: u64) -> RecordedEvent {
    event(command, Event::BatchProcessed { run: RunId(7), lanes: vec![lane(sequence)], reserved_versions: Some(2_000) })
}

/// A pushed batch.
pub fn received(command: &str) -> RecordedEvent {
    event(
        command,
        Event::BatchReceived {
            source: None,
            batch_id: "batch 1".try_into().unwrap(),
            hash: "5f0c".into(),
            from: 10,
            to: 13,
            bytes: 512,
            chunk: ChunkId("users/i1/3/inbox-10".into()),
        },
    )
}

fn chunk(id: &str, kind: ChunkKind) -> ChunkRef {
    ChunkRef { id: ChunkId(id.into()), kind, records: 2 }
}

/// A run that opened.
pub fn opened(command: &str) -> RecordedEvent {
    let lanes = [Recovery::Fresh, Recovery::Agreed, Recovery::TokenAdopted, Recovery::Journal, Recovery::AtLeastOnce];
    let lanes = (0..).zip(lanes).map(|(number, decision)| LaneOpened {
        lane: number,
        decision,
        journal_sequence: 4,
        token_sequence: (decision == Recovery::TokenAdopted).then_some(5),
        progress: LaneProgress { lane: number, ..LaneProgress::default() },
    });
    event(
        command,
        Event::RunOpened {
            run: RunId(1_790_000_000),
            epoch: Epoch(3),
            lanes: lanes.collect(),
            reserved_versions: Some(1_000),
        },
    )
}

fn lane(sequence: u64) -> LaneProgress {
    LaneProgress {
        lane: 0,
        sequence,
        positions: [
            ("user-events/0".into(), Position::offset(sequence * 10)),
            ("/data/in.jsonl".into(), Position::offset(77).of("2049:131-9f86d081")),
        ]
        .into(),
        counters: Counters {
            read: sequence * 10,
            filtered: 3,
            delivered: 4,
            absorbed: 1,
            dead: 1,
            lost: 1,
            bytes_lost: 0,
            rows_written: 4,
            bytes_read: 1 << 40,
            batches: sequence,
        },
        chunks: vec![
            chunk("users/i1/3/dead-1", ChunkKind::DeadLetters),
            chunk("users/i1/3/dead-2", ChunkKind::DeadLetters),
        ],
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
        handle: Some(serde_json::json!({"path": "/data/out.jsonl", "length": 9_007_199_254_740_993_u64})),
    }
}

fn spec(json: &str) -> Box<PipelineSpec> {
    serde_json::from_str(json).unwrap()
}

const SMALL: &str = r#"{"source":{"type":"kafka","topic":"user-events"},"sink":{"type":"postgres","table":"users"}}"#;

const SINKS: &str = r#"{
    "source": {"type": "kafka", "topic": "orders"},
    "sinks": [
        {"name": "all", "type": "file", "path": "all.jsonl"},
        {"name": "large", "when": "amount > 100", "type": "postgres", "table": "large_orders"}
    ]
}"#;

const LARGE: &str = r#"{
    "name": "User Events", "description": "grown-ups only", "labels": {"team": "growth", "a": "b"},
    "source": {"type": "kafka", "topic": "user-events", "brokers": ["a:9092"], "nested": {"z": 1, "a": [1.5, null, true]}},
    "transforms": [{"type": "filter", "condition": "age > 18"}],
    "sink": {"type": "postgres", "table": "users", "url": "${env:PG}"},
    "schema": {"z": "bigint", "amount": "decimal(10,2)", "a": "text"},
    "onTypeMismatch": "null", "batch": {"maxRecords": 10, "maxBytes": 1000, "linger": "5ms"}, "lanes": 4,
    "checkpointInterval": "2s", "stopTimeout": "1m", "maxRecordBytes": 1024, "maxInFlightBytes": 4096,
    "restart": {"maxAttempts": 3, "initial": "1s", "max": "10s"}
}"#;

fn update_then_start() -> Then {
    let by = Asked {
        actor: "ada".try_into().unwrap(),
        reason: Some("twice the load since Monday".try_into().unwrap()),
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".try_into().unwrap()),
        command: "c-0".try_into().unwrap(),
        hash: Some(u64::MAX),
    };
    let wanted = Wanted { spec: spec(SMALL), reset: true, retarget: false, force: false };
    Then { update: Some(Box::new(Update { wanted, by })), start: true }
}

/// A sample of every event, with the name of its golden file.
pub fn all() -> Vec<(&'static str, RecordedEvent)> {
    let generation = |unsettled: Option<&str>| NewGeneration {
        generation: Generation::new(2, 0x5f3a),
        met: Vec::new(),
        positions: [("user-events/0".into(), Position::offset(5))].into(),
        reached: [("user-events/0".into(), Position::offset(9))].into(),
        given_up: [].into(),
        settled: vec![LaneProgress { chunks: vec![], warnings: Default::default(), handle: None, ..lane(9) }],
        lost: None,
        retargeted: None,
        discarded: None,
        passed: Vec::new(),
        notes: Default::default(),
        unsettled: unsettled.map(Into::into),
    };
    let cause = |fix: Option<&str>| Cause {
        code: "sink-unreachable".into(),
        stage: "transforms[1]".into(),
        message: "no route to \"db:5432\" – bräunlich".into(),
        fix: fix.map(Into::into),
        retryable: fix.is_none(),
    };
    let types = [
        Type::Boolean,
        Type::Smallint,
        Type::Integer,
        Type::Bigint,
        Type::Real,
        Type::Double,
        Type::Decimal { precision: 38, scale: 9 },
        Type::Number,
        Type::Text,
        Type::Timestamp,
        Type::Datetime,
        Type::Date,
        Type::Binary,
        Type::Uuid,
        Type::Json,
    ];
    let columns = types.into_iter().map(|ty| (ty.to_string(), Some(ty)));
    let learned = InferredTypes(columns.chain([("pending".to_owned(), None)]).collect());
    let planned = |partition: &str, lane, begin| Planned { partition: partition.into(), lane, begin };
    let created =
        |text, pushes| Event::PipelineCreated { spec: spec(text), incarnation: "k3v9".try_into().unwrap(), pushes };
    let updated = |pushes| Event::PipelineUpdated {
        spec: spec(SMALL),
        sink: None,
        generation: None,
        positions: None,
        discarded: None,
        pushes,
    };
    let recorded = |event| self::event("c-1", event);
    vec![
        ("pipeline-created", recorded(created(SMALL, None))),
        ("pipeline-created-all-fields", recorded(created(LARGE, Some(64 << 20)))),
        ("pipeline-updated", recorded(updated(Some(1 << 20)))),
        (
            "pipeline-updated-positions",
            recorded(Event::PipelineUpdated {
                spec: spec(SMALL),
                sink: None,
                generation: None,
                positions: Some([("/data/in.jsonl".into(), Position::offset(77).of("2049:131-9f86d081"))].into()),
                discarded: None,
                pushes: None,
            }),
        ),
        (
            "update-refused",
            recorded(Event::UpdateRefused { code: "unsettled".into(), message: "no route to \"db:5432\"".into() }),
        ),
        (
            "pipeline-updated-generation",
            RecordedEvent {
                number: 8_000_000,
                reason: Some("twice the load since Monday".try_into().unwrap()),
                trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".try_into().unwrap()),
                hash: Some(u64::MAX),
                ..recorded(Event::PipelineUpdated {
                    spec: spec(SMALL),
                    sink: None,
                    generation: Some(NewGeneration {
                        given_up: [("orders/0".into(), Position::offset(7).of("topic 5"))].into(),
                        retargeted: Some(Retargeted { from: "sqlite a".into(), to: "sqlite b".into(), records: 7 }),
                        notes: [Warned {
                            code: "target-changed".into(),
                            subject: String::new(),
                            message: "generation 2 writes to another target".into(),
                            records: 7,
                        }]
                        .into_iter()
                        .collect(),
                        ..generation(None)
                    }),
                    positions: None,
                    discarded: None,
                    pushes: None,
                })
            },
        ),
        (
            "pipeline-updated-sink",
            RecordedEvent {
                branch: 2,
                ..recorded(Event::PipelineUpdated {
                    spec: spec(SINKS),
                    sink: Some("large".try_into().unwrap()),
                    generation: None,
                    positions: None,
                    discarded: None,
                    pushes: None,
                })
            },
        ),
        (
            "pipeline-updated-removed",
            recorded(Event::PipelineUpdated {
                spec: spec(SMALL),
                sink: Some("large".try_into().unwrap()),
                generation: None,
                positions: None,
                discarded: Some(Lost {
                    partition: "http".into(),
                    from: Position::offset(300),
                    to: Position::offset(500),
                    records: 200,
                }),
                pushes: Some(1 << 20),
            }),
        ),
        ("pipeline-started", recorded(Event::PipelineStarted { lanes: 4, attempt: 2 })),
        ("stop-requested", recorded(Event::StopRequested { then: Then { update: None, start: true } })),
        ("stop-requested-update", recorded(Event::StopRequested { then: update_then_start() })),
        ("pipeline-stopped", recorded(Event::PipelineStopped { unsettled: None })),
        (
            "pipeline-stopped-unsettled",
            recorded(Event::PipelineStopped { unsettled: Some(cause(Some("check the url"))) }),
        ),
        ("batch-received", received("c-1")),
        ("run-opened", opened("c-1")),
        (
            "partitions-planned",
            recorded(Event::PartitionsPlanned {
                run: RunId(1_790_000_000),
                planned: vec![
                    planned("user-events/0", 0, Position::offset(0)),
                    planned("user-events/1", 3, Position::offset(9).of("topic 7f")),
                ],
                lanes: None,
            }),
        ),
        (
            "partitions-planned-lanes",
            recorded(Event::PartitionsPlanned { run: RunId(1_790_000_000), planned: vec![], lanes: Some(4) }),
        ),
        ("batch-processed", progress("c-1", 12)),
        ("schema-changed", recorded(Event::SchemaChanged { learned })),
        (
            "dead-letters-joined",
            recorded(Event::DeadLettersJoined {
                first: 3,
                count: 100,
                into: ChunkRef {
                    id: ChunkId("users/i1/3/joined-40-1000".into()),
                    kind: ChunkKind::DeadLetters,
                    records: 1_000,
                },
            }),
        ),
        (
            "records-lost",
            recorded(Event::RecordsLost(Lost {
                partition: "user-events/0".into(),
                from: Position::offset(5),
                to: Position::offset(9).of("topic 7f"),
                records: 4,
            })),
        ),
        ("pipeline-failed", recorded(Event::PipelineFailed { cause: cause(Some("check the url")), restart_at: None })),
        (
            "pipeline-failed-retryable",
            recorded(Event::PipelineFailed { cause: cause(None), restart_at: Some(Timestamp(1_790_000_009_000)) }),
        ),
        ("pipeline-completed", recorded(Event::PipelineCompleted)),
        (
            "checkpoint-reset-lost",
            recorded(Event::CheckpointReset {
                to: "journal".into(),
                generation: NewGeneration { lost: Some(4), ..generation(None) },
            }),
        ),
        (
            "checkpoint-reset-discarded",
            recorded(Event::CheckpointReset {
                to: "end".into(),
                generation: NewGeneration {
                    discarded: Some(Lost {
                        partition: "http".into(),
                        from: Position::offset(5),
                        to: Position::offset(9),
                        records: 4,
                    }),
                    ..generation(None)
                },
            }),
        ),
        (
            "checkpoint-reset-passed",
            recorded(Event::CheckpointReset {
                to: "end".into(),
                generation: NewGeneration {
                    passed: vec![Lost {
                        partition: "orders/0".into(),
                        from: Position::offset(5).of("topic 7f"),
                        to: Position::offset(9).of("topic 7f"),
                        records: 4,
                    }],
                    ..generation(None)
                },
            }),
        ),
        ("checkpoint-reset", recorded(Event::CheckpointReset { to: "beginning".into(), generation: generation(None) })),
        (
            "checkpoint-reset-forced",
            recorded(Event::CheckpointReset {
                to: "end".into(),
                generation: generation(Some("the sink is out of reach")),
            }),
        ),
        ("batch-received-of-source", {
            let mut event = received("17");
            if let Event::BatchReceived { source, .. } = &mut event.event {
                *source = Some("clicks".try_into().unwrap());
            }
            event
        }),
        ("batch-processed-state", {
            let state = LaneProgress {
                chunks: vec![
                    chunk("users/i1/3/state.0.1.0.11", ChunkKind::State),
                    chunk("users/i1/3/delta.0.1.0.12", ChunkKind::StateDelta),
                ],
                ..lane(12)
            };
            event("18", Event::BatchProcessed { run: RunId(7), lanes: vec![state], reserved_versions: None })
        }),
        ("pipeline-deleted", recorded(Event::PipelineDeleted)),
    ]
}

/// The `number`-th pipeline of a shard.
pub fn pipeline(shard: ShardId, number: usize) -> PipelineId {
    let names = (0..).map(|n| PipelineId::try_from(format!("p{n}")).unwrap());
    names.filter(|name| ShardId::of(name) == shard).nth(number).unwrap()
}
