//! A door on a region that holds pipelines in a map, and connectors that do nothing.
use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
};
use dataflow_api::{ApiState, Hosts, NodeView, Readiness, router};
use dataflow_core::{
    id::{CommandId, PipelineId},
    pipeline::{Rejected, Status, rejected::GivenUp},
    position::{Partition, Position, Positions},
    problem::Problem,
    spec::PipelineSpec,
};
use dataflow_engine::{
    causes::DeadLettersByCause,
    region::{Action, AskError, ListQuery, Message, Order, Query, Reply, ResetTo, ShardRegion, ShardingEnvelope},
    view::{
        CheckpointView, DeadLetter, DeadLetterPage, HistoryItem, HistoryPage, PipelinePage, PipelineView, PositionView,
        ReceivedView, RecoveryView, RegionView,
    },
};
use dataflow_sdk::{
    Catalog, Context, Error, SinkConfig, SourceConfig,
    catalog::Connections,
    declared::Declared,
    sink::{Kind, OpenLane, Opened, Sink},
    source::{Assignment, Place, Reader, Source},
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
    pipelines: BTreeMap<PipelineId, PipelineView>,
    batches: HashMap<(PipelineId, String), (String, ReceivedView)>,
}

/// Pipelines in a map; a stop of `slow` takes longer than any wait; `broken` panics; `busy` and `away` turn everything down.
#[derive(Default)]
pub struct Region(Mutex<Held>);

fn view(id: &PipelineId, spec: PipelineSpec, version: u64) -> PipelineView {
    PipelineView {
        pipeline_id: id.to_string(),
        name: spec.name,
        description: spec.description,
        labels: spec.labels,
        status: Status::Configured,
        stopping: false,
        updating: false,
        source: spec.source,
        transforms: spec.transforms,
        sink: spec.sink,
        settings: serde_json::Map::new(),
        version,
        checkpoint: CheckpointView::default(),
        metrics: Default::default(),
        error: None,
        warnings: Vec::new(),
        dead_letters_by_cause: None,
        created_at: "2026-11-23T00:00:00Z".into(),
        updated_at: "2026-11-23T00:00:00Z".into(),
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
            Message::Query(query) => {
                let view = pipelines.get(&id).ok_or(Rejected::NotFound)?.clone();
                return answer(view, query);
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
                    let position = GivenUp { partition: "a/0".into(), from: Position::offset(7), to: "the end".into() };
                    return Err(Rejected::ResetNeeded { positions: vec![position] }.into());
                }
                if spec.name == "unsettled" && !force {
                    return Err(Rejected::Unsettled { reason: "connection refused".into() }.into());
                }
                if id.as_str() == "slow" {
                    (held.stopping, held.updating) = (true, true);
                    return Ok(Reply::Pipeline(Box::new(held.clone())));
                }
                let status = held.status;
                *held = PipelineView { status, ..view(&id, *spec, held.version + 1) };
            }
            Action::Start if held.status == Status::Running => return Err(not_allowed("start", held.status)),
            Action::Start | Action::Restart { .. } => held.status = Status::Running,
            Action::Stop { .. } if held.status != Status::Running => return Err(not_allowed("stop", held.status)),
            Action::Stop { .. } if id.as_str() == "slow" => held.stopping = true,
            Action::Stop { .. } => held.status = Status::Stopped,
            Action::ResetCheckpoint { to, .. } => {
                held.checkpoint.generation += 1;
                held.checkpoint.positions = match to {
                    ResetTo::Positions(all) => {
                        all.into_iter().map(|(partition, position)| PositionView { partition, position }).collect()
                    }
                    _ => Vec::new(),
                };
            }
            Action::Delete { .. } => {
                pipelines.remove(&id);
                return Ok(Reply::Deleted);
            }
            Action::Ingest { batch_id, records, hash, delivered, .. } => {
                let key = (id, batch_id.to_string());
                let received = ReceivedView {
                    batch_id: batch_id.to_string(),
                    accepted: records,
                    position: records.to_string(),
                    delivered: delivered.map(|wait| !wait.is_zero()),
                    dead_letters: None,
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

    async fn list(&self, query: ListQuery) -> Result<PipelinePage, AskError> {
        let held = self.0.lock().unwrap();
        let fits = |view: &&PipelineView| {
            query.after.as_ref().is_none_or(|after| view.pipeline_id > *after)
                && query.status.is_none_or(|status| view.status == status)
                && query.labels.iter().all(|(key, value)| view.labels.get(key) == Some(value))
        };
        let mut items: Vec<PipelineView> =
            held.pipelines.values().filter(fits).take(query.limit + 1).cloned().collect();
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = items.last().filter(|_| more).map(|last| last.pipeline_id.clone());
        Ok(PipelinePage { items, next, ..PipelinePage::default() })
    }

    fn overview(&self) -> RegionView {
        RegionView { shards_owned: 256, pipelines: self.0.lock().unwrap().pipelines.len(), ..Default::default() }
    }

    fn metrics(&self) -> String {
        String::new()
    }

    async fn changed(&self, _: &PipelineId, seen: u64) -> u64 {
        seen + 1
    }
}

fn answer(view: PipelineView, query: Query) -> Result<Reply, AskError> {
    let letter = |number: u64| DeadLetter {
        number,
        partition: "in.jsonl".into(),
        position: "17".into(),
        line: None,
        record_id: "in.jsonl/17".into(),
        stage: "decode".into(),
        code: "not-json".into(),
        cause: "expected a value".into(),
        at: "2026-11-23T00:00:00Z".into(),
        length: 3,
        hash: None,
        header: None,
        original: (number == 1).then(|| "{,}".into()),
        original_base64: (number == 2).then(|| "/+8=".into()),
    };
    Ok(match query {
        Query::State => Reply::Pipeline(Box::new(view)),
        Query::Causes => Reply::Causes(DeadLettersByCause::default()),
        Query::History { order, after, limit } => {
            let detail =
                json!({"spec": {"source": view.source, "sink": {"type": "lines", "path": "x", "apiToken": "s3cret"}}});
            let item = |number| HistoryItem {
                number,
                at: view.created_at.clone(),
                reason: None,
                trace: None,
                actor: "api".into(),
                command: "c1".into(),
                event: "PipelineCreated".into(),
                detail: detail.clone(),
            };
            let mut numbers: Vec<u64> = match order {
                Order::Rising => (1..=2).filter(|number| *number > after.unwrap_or(0)).collect(),
                Order::Falling => (1..=2).rev().filter(|number| *number < after.unwrap_or(u64::MAX)).collect(),
            };
            let more = numbers.len() > limit;
            numbers.truncate(limit);
            let next = numbers.last().copied().filter(|_| more);
            Reply::History(HistoryPage { items: numbers.into_iter().map(item).collect(), next })
        }
        Query::DeadLetters { after, limit } => {
            let items = (after + 1..=2).take(limit).map(letter).map(|letter| DeadLetter { original: None, ..letter });
            Reply::DeadLetters(DeadLetterPage { items: items.collect(), next: None })
        }
        Query::DeadLetter(number @ 1..=2) => Reply::DeadLetter(Box::new(letter(number))),
        Query::DeadLetter(_) => return Err(Rejected::NotFound.into()),
        Query::Recovery => {
            let view = RecoveryView { run: None, at: None, epoch: None, generation: 0, lanes: Vec::new() };
            Reply::Recovery(Box::new(view))
        }
        Query::Claims => return Err(Rejected::NotFound.into()),
    })
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
    const KIND: Kind = Kind::Unfenced;
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
    async fn resolve(&self, _: &Context, _: &Place) -> Result<Positions, Error> {
        Ok(Positions::new())
    }
}

#[async_trait]
impl Sink for Nothing {
    fn kind(&self) -> Kind {
        Kind::Unfenced
    }
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
        readiness: Arc::new(|| Readiness::NotReady("starting".into())),
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
