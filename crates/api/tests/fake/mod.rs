//! A door on a region that holds pipelines in a map, and connectors that do nothing.
use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
};
use dataflow_api::{ApiState, Hosts, Readiness, router};
use dataflow_api_types::NodeView;
use dataflow_core::{
    id::{Actor, CommandId, Incarnation, PipelineId},
    pipeline::{Event, RecordedEvent, Rejected, Status, rejected::GivenUp},
    position::{Partition, Position, Positions},
    problem::Problem,
    spec::PipelineSpec,
    time::Timestamp,
};
use dataflow_engine::{
    answers::{
        BranchSnapshot, Claims, DeadLetter, DeadLetters, History, Lag, LastRecovery, Listing, Measured, Overview,
        PipelineSnapshot, Received, Stretch,
    },
    causes::DeadLettersByCause,
    region::{Action, AskError, ListQuery, Message, Order, Query, Reply, ResetPoint, ShardRegion, ShardingEnvelope},
};
use dataflow_sdk::{
    Catalog, Context, Error, SinkConfig, SourceConfig,
    catalog::Connections,
    declared::Declared,
    sink::{DeliveryMode, OpenLane, Opened, Sink},
    source::{Assignment, Edge, Reader, Source},
    transform::{Compiler, Plan, Program},
};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};
use tower::ServiceExt;

#[derive(Default)]
struct Held {
    pipelines: BTreeMap<PipelineId, PipelineSnapshot>,
    batches: HashMap<(PipelineId, String), (String, Received)>,
}

/// 2026-11-23T00:00:00Z.
const NOW: Timestamp = Timestamp(1_795_392_000_000);

/// Pipelines in a map; a stop of `slow` takes longer than any wait; `broken` panics; `busy` and `away` turn everything down.
#[derive(Default)]
pub struct Region(Mutex<Held>);

fn view(id: &PipelineId, spec: PipelineSpec, version: u64) -> PipelineSnapshot {
    PipelineSnapshot {
        id: id.clone(),
        spec,
        version,
        created_at: NOW,
        updated_at: NOW,
        whole: BranchSnapshot {
            sink: None,
            status: Status::Configured,
            stopping: false,
            updating: false,
            opening: false,
            generation: 0,
            checkpoint_at: None,
            positions: Positions::new(),
            counters: Default::default(),
            in_flight: 0,
            per_second: 0.0,
            lag: None,
            error: None,
            warnings: Vec::new(),
        },
        sinks: Vec::new(),
    }
}

fn not_allowed(request: &str, status: Status) -> AskError {
    Rejected::NotAllowed { request: request.into(), status, fix: Some("stop it first".into()) }.into()
}

#[async_trait]
impl ShardRegion for Region {
    async fn ask(&self, ShardingEnvelope { pipeline: id, message }: ShardingEnvelope) -> Result<Reply, AskError> {
        match id.as_str() {
            "broken" => panic!("broken on purpose"),
            "away" => return Err(AskError::Unavailable("its shard is moving".into())),
            "busy" => return Err(Rejected::Overloaded { pending: 9, most: 8 }.into()),
            _ => {}
        }
        let mut held = self.0.lock().unwrap();
        let Held { pipelines, batches } = &mut *held;
        let command = match message {
            Message::Query(asked) => {
                let view = pipelines.get(&id).ok_or(Rejected::NotFound)?.clone();
                return answer(view, asked.query);
            }
            Message::Command(command) => command,
        };
        if let Action::Create(spec) = command.action {
            if pipelines.contains_key(&id) {
                return Err(Rejected::AlreadyExists.into());
            }
            let made = view(&id, *spec, 1);
            pipelines.insert(id, made.clone());
            return Ok(Reply::Pipeline(Box::new(made)));
        }
        let held = pipelines.get_mut(&id).ok_or(Rejected::NotFound)?;
        if let Some(expected) = command.expected_version.filter(|expected| *expected != held.version) {
            return Err(Rejected::VersionMismatch { expected, actual: held.version }.into());
        }
        match command.action {
            Action::Create(_) => unreachable!(),
            Action::Update { spec, reset, force, .. } => {
                if spec.name == "elsewhere" && !reset {
                    let position = GivenUp {
                        partition: "a/0".into(),
                        from: Position::offset(7),
                        to: "the end".into(),
                        of_removed: false,
                    };
                    return Err(Rejected::ResetNeeded { positions: vec![position] }.into());
                }
                if spec.name == "unsettled" && !force {
                    return Err(Rejected::Unsettled { reason: "connection refused".into() }.into());
                }
                if id.as_str() == "slow" {
                    (held.whole.stopping, held.whole.updating) = (true, true);
                    return Ok(Reply::Pipeline(Box::new(held.clone())));
                }
                let status = held.status;
                *held = view(&id, *spec, held.version + 1);
                held.whole.status = status;
            }
            Action::Start { .. } if held.status == Status::Running => return Err(not_allowed("start", held.status)),
            Action::Start { .. } | Action::Restart { .. } => held.whole.status = Status::Running,
            Action::Stop { .. } if held.status != Status::Running => return Err(not_allowed("stop", held.status)),
            Action::Stop { .. } if id.as_str() == "slow" => held.whole.stopping = true,
            Action::Stop { .. } => held.whole.status = Status::Stopped,
            Action::ResetCheckpoint { to, .. } => {
                held.whole.generation += 1;
                let place = |(partition, at): (String, String)| {
                    (Partition(partition.into()), Position { at: at.into(), identity: None })
                };
                held.whole.positions = match to {
                    ResetPoint::Positions(all) => all.into_iter().map(place).collect(),
                    _ => Positions::new(),
                };
            }
            Action::Delete { .. } => {
                pipelines.remove(&id);
                return Ok(Reply::Deleted(()));
            }
            Action::Ingest { batch_id, records, hash, delivered, .. } => {
                let key = (id, batch_id.to_string());
                let received = Received {
                    batch: batch_id,
                    accepted: records,
                    to: records,
                    delivered: delivered.map(|wait| !wait.is_zero()),
                    dead: None,
                };
                let (known, answer) = batches.entry(key).or_insert((hash.clone(), received));
                if *known != hash {
                    return Err(Rejected::BatchIdReused.into());
                }
                return Ok(Reply::Received(answer.clone()));
            }
        }
        held.version += 1;
        Ok(Reply::Pipeline(Box::new(held.clone())))
    }

    async fn list(&self, query: ListQuery) -> Result<Listing, AskError> {
        let held = self.0.lock().unwrap();
        let fits = |view: &&PipelineSnapshot| {
            query.after.as_ref().is_none_or(|after| view.id.as_str() > after.as_str())
                && query.status.is_none_or(|status| view.status == status)
                && query.labels.iter().all(|(key, value)| view.spec.labels.get(key) == Some(value))
        };
        let mut pipelines: Vec<PipelineSnapshot> =
            held.pipelines.values().filter(fits).take(query.limit + 1).cloned().collect();
        let more = pipelines.len() > query.limit;
        pipelines.truncate(query.limit);
        let next = pipelines.last().filter(|_| more).map(|last| last.id.clone());
        Ok(Listing { pipelines, next, ..Listing::default() })
    }

    async fn overview(&self) -> Overview {
        let by_status = [(Status::Configured, self.0.lock().unwrap().pipelines.len())].into();
        Overview { shards_owned: 256, by_status, ..Default::default() }
    }

    async fn measured(&self) -> Vec<Measured> {
        let measured = |view: &PipelineSnapshot| Measured {
            pipeline: view.id.clone(),
            sink: None,
            status: view.whole.status,
            flow: None,
            lag: view.whole.lag.map(Lag::Bytes),
        };
        self.0.lock().unwrap().pipelines.values().map(measured).collect()
    }

    async fn changed(&self, _: &PipelineId, seen: u64) -> u64 {
        seen + 1
    }
}

fn answer(view: PipelineSnapshot, query: Query) -> Result<Reply, AskError> {
    let letter = |number: u64| DeadLetter {
        sink: None,
        number,
        partition: "in.jsonl".into(),
        position: "17".into(),
        line: None,
        generation: None,
        record_id: "in.jsonl/17".into(),
        stage: "decode".into(),
        code: "not-json".into(),
        cause: "expected a value".into(),
        at: Some(NOW),
        length: 3,
        hash: None,
        header: None,
        original: [b"{,}".to_vec(), vec![0xff, 0xef]].get(number as usize - 1).cloned(),
        sent: Default::default(),
    };
    Ok(match query {
        Query::State => Reply::Pipeline(Box::new(view)),
        Query::Causes => Reply::Causes(DeadLettersByCause::default()),
        Query::History { order, after, limit } => {
            let event = |number| RecordedEvent {
                number,
                at: NOW,
                actor: Actor::try_from("api").unwrap(),
                reason: None,
                trace: None,
                command: CommandId::try_from("c1").unwrap(),
                hash: None,
                branch: 0,
                event: Event::PipelineCreated {
                    spec: Box::new(secret(&view.spec)),
                    incarnation: Incarnation::try_from("i").unwrap(),
                    pushes: None,
                },
            };
            let mut numbers: Vec<u64> = match order {
                Order::Rising => (1..=2).filter(|number| *number > after.unwrap_or(0)).collect(),
                Order::Falling => (1..=2).rev().filter(|number| *number < after.unwrap_or(u64::MAX)).collect(),
            };
            let more = numbers.len() > limit;
            numbers.truncate(limit);
            let next = numbers.last().copied().filter(|_| more);
            Reply::History(History {
                level: dataflow_core::level::WriteLevel::NEWEST,
                events: numbers.into_iter().map(event).collect(),
                sinks: Default::default(),
                next,
            })
        }
        Query::DeadLetters { bytes, after, limit } => {
            let shown = |letter: DeadLetter| DeadLetter { original: letter.original.filter(|_| bytes), ..letter };
            let letters = (after.number + 1..=2).take(limit).map(letter).map(shown);
            Reply::DeadLetters(DeadLetters { letters: letters.collect(), next: None })
        }
        Query::DeadLetter(number @ 1..=2) => Reply::DeadLetter(Box::new(letter(number))),
        Query::DeadLetter(_) => return Err(Rejected::NotFound.into()),
        Query::Recovery => Reply::Recovery(Box::new(LastRecovery { generation: 0, run: None })),
        Query::Claims => {
            let spec = secret(&view.spec);
            Reply::Claims(Box::new(Claims {
                branch: dataflow_core::branch::BranchId::new(view.id.clone(), 0),
                sink: None,
                incarnation: Incarnation::try_from("i").unwrap(),
                status: view.status,
                at_rest: true,
                spec: spec.clone(),
                learned: Default::default(),
                generation: Default::default(),
                lanes: None,
                begin: Positions::new(),
                by_lane: Vec::new(),
                earlier: Default::default(),
                lost: Vec::new(),
                stretches: vec![Stretch { spec, until: Positions::new() }],
                changed: None,
            }))
        }
    })
}

/// The same spec with a secret.
fn secret(spec: &PipelineSpec) -> PipelineSpec {
    let sink = serde_json::from_value(json!({"type": "lines", "path": "x", "apiToken": "s3cret"})).unwrap();
    PipelineSpec { sink, ..spec.clone() }
}

/// Reads lines of a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct LineSource {
    /// The file to read.
    path: String,
    /// Password of the file.
    #[schemars(extend("x-secret" = true))]
    password: Option<String>,
}

impl SourceConfig for LineSource {
    const TYPE: &'static str = "lines";
    const SUMMARY: &'static str = "Reads lines of a file.";
    const GUARANTEE: &'static str = "Exactly once.";
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn build(self) -> Box<dyn Source> {
        Box::new(Nothing)
    }
}

/// Writes lines to a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct LineSink {
    /// The file to write.
    path: String,
}

impl SinkConfig for LineSink {
    const TYPE: &'static str = "lines";
    const SUMMARY: &'static str = "Writes lines to a file.";
    const DELIVERY: DeliveryMode = DeliveryMode::Unfenced;
    const GUARANTEE: &'static str = "a line may be there twice";
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn target(&self) -> String {
        self.path.clone()
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(Nothing)
    }
}

#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Source for Nothing {
    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        Ok(Vec::new())
    }
    async fn open(&self, _: &Context, _: Assignment) -> Result<Box<dyn Reader>, Error> {
        Err(Error::fatal("test", "never opened"))
    }
    async fn resolve(&self, _: &Context, _: &Edge) -> Result<Positions, Error> {
        Ok(Positions::new())
    }
}

#[async_trait]
impl Sink for Nothing {
    async fn open(&self, _: &Context, _: OpenLane) -> Result<Opened, Error> {
        Err(Error::fatal("test", "never opened"))
    }
}

/// Knows one transform, `filter`.
#[derive(Debug)]
struct FilterOnly;

impl Compiler for FilterOnly {
    fn check(&self, spec: &PipelineSpec, _: &Declared) -> Vec<Problem> {
        let wrong = spec.transforms.iter().enumerate().filter(|(_, transform)| transform.kind != "filter");
        wrong.map(|(n, _)| Problem::new(format!("transforms[{n}].type"), "unknown-type", "is not known")).collect()
    }
    fn catalog(&self) -> Vec<(&'static str, &'static str, Schema)> {
        vec![("filter", "Keeps records that a condition holds for.", schemars::json_schema!({"type": "object"}))]
    }
    fn compile(&self, _: &Plan) -> Result<Box<dyn Program>, Vec<Problem>> {
        Err(Vec::new())
    }
}

/// A door that is called by loopback names only.
pub fn door() -> Router {
    router(ApiState {
        region: Arc::new(Region::default()),
        catalog: Arc::new(Catalog::new().source::<LineSource>().sink::<LineSink>()),
        connections: Arc::new(Connections::default()),
        compiler: Arc::new(FilterOnly),
        node: Arc::new(|| NodeView { name: "test".into(), version: "0.0.0".into(), ..Default::default() }),
        metrics: Arc::new(|| "dataflow_runs 0\n".into()),
        readiness: Arc::new(|| Box::pin(async { Readiness::NotReady("starting".into()) })),
        command_id: Arc::new(|| CommandId::try_from("made-up").unwrap()),
        hosts: Hosts::loopback(["dataflow.test".to_owned()]),
    })
}

/// An answer: status, headers, body as JSON (or as text, if it is none).
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }
}

async fn answer_of(response: Response<Body>) -> Answer {
    let (head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    Answer { status: head.status, headers: head.headers, body }
}

/// Sends a request to a door; to `localhost` if no header says where to.
pub async fn send(door: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer_of(door.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()).await
}

/// Sends a request without headers; the body is JSON, unless it is null.
pub async fn call(door: &Router, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    send(door, method, path, &[], body).await
}
