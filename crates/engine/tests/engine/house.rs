//! A node on memory parts that can be crashed and built again.
use dataflow_core::{
    chunk::{ChunkId, Scope},
    id::{Actor, CommandId, PipelineId},
    ledger::Counters,
    pipeline::{Status, command::Change},
    position::Positions,
    problem::Problem,
    spec::{Component, PipelineSpec},
    time::Timestamp,
};
use dataflow_engine::{
    Engine, EngineSettings, ShardHost,
    answers::PipelineSnapshot,
    parts::{Clock, Parts, Plugins, Random, Spawner, TcpNet, TokioSpawner},
    region::{Action, AskError, Message, Query, Reply, ShardRegion, ShardingEnvelope, UserCommand, UserQuery},
};
use dataflow_journal::{Journal, Memory};
use dataflow_sdk::{
    Catalog, SinkConfig, SourceConfig,
    batch::{Dead, Demand, Inferred, Output, Payload, Processed},
    catalog::{BuiltSink, Connections},
    declared::{Declared, SinkRows, SourceRecords},
    records::Records,
    source::Source,
    transform::{Compiler, Plan, Program, TooMuch},
};
use dataflow_testkit::{
    memory::{Feed, KeyedMemorySink, MemorySink, MemorySource, StagedMemorySink, Store, feed, store},
    parts::{Inline, TokioClock},
};
use futures::future::BoxFuture;
use serde_json::json;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::task::{AbortHandle, JoinHandle};

/// Tasks that can be killed all at once, as by kill -9.
#[derive(Debug, Default)]
pub(crate) struct Mortal(Mutex<Vec<AbortHandle>>);

impl Spawner for Mortal {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> JoinHandle<()> {
        let handle = TokioSpawner.spawn(name, task);
        self.0.lock().unwrap().push(handle.abort_handle());
        handle
    }
}

/// A wall clock, which may be set back.
#[derive(Debug)]
struct Wall {
    clock: TokioClock,
    set_back: Arc<AtomicI64>,
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        self.clock.now().plus_millis(-self.set_back.load(Ordering::SeqCst))
    }
}

/// Memory connectors, and transforms that do as a record says: `"skip"` in it is filtered, `"die"` is a dead letter, and
/// `"large"` is too much for any other record beside it. A transform may name a `word`, whose records are filtered; so may the condition of
/// a sink.
#[derive(Debug)]
pub(crate) struct Simple;

#[derive(Debug)]
struct Obedient;

impl Compiler for Obedient {
    fn check(&self, _: &PipelineSpec, _: &Declared) -> Vec<Problem> {
        Vec::new()
    }
    fn catalog(&self) -> Vec<(&'static str, &'static str, schemars::Schema)> {
        Vec::new()
    }
    fn compile(&self, plan: &Plan) -> Result<Box<dyn Program>, Vec<Problem>> {
        assert_eq!(plan.demand, Demand::Documents);
        let word = |transform: &Component| {
            let Component { config, .. } = transform;
            config.get("word").or(config.get("condition"))?.as_str().map(ToOwned::to_owned)
        };
        Ok(Box::new(Obedience { drops: plan.transforms.iter().filter_map(word).collect() }))
    }
}

struct Obedience {
    drops: Vec<String>,
}

impl Program for Obedience {
    fn infer(&mut self, _: &Arc<Records>) -> Result<Inferred, TooMuch> {
        Ok(Inferred::default())
    }
    fn process(&mut self, records: Arc<Records>) -> Result<Processed, TooMuch> {
        let is_large = |row| String::from_utf8_lossy(records.bytes(row).unwrap_or_default()).contains("large");
        if records.len() > 1 && (0..records.len()).any(is_large) {
            return Err(TooMuch);
        }
        let (mut rows, mut dead, mut filtered) = (Vec::new(), Vec::new(), 0);
        for row in 0..records.len() as u32 {
            let text = String::from_utf8_lossy(records.bytes(row as usize).unwrap_or_default()).into_owned();
            if text.contains("skip") || self.drops.iter().any(|word| text.contains(word)) {
                filtered += 1;
            } else if text.contains("die") {
                dead.push(Dead { row, stage: "transforms[0]".into(), code: "expression", cause: "told to".into() });
            } else {
                rows.push(row);
            }
        }
        let spans = rows.iter().map(|row| records.spans[*row as usize]).collect();
        let payload = Payload::Documents { data: records.data.clone(), spans };
        let output = Output::of(records.clone(), rows, payload);
        Ok(Processed { records, output, filtered, dead, new_columns: Inferred::default(), warnings: Vec::new() })
    }
}

fn config<T: serde::de::DeserializeOwned>(component: &Component) -> Result<T, Vec<Problem>> {
    serde_json::from_value(component.config.clone().into())
        .map_err(|error| vec![Problem::new("", "invalid-value", error.to_string())])
}

fn catalog() -> Catalog {
    let catalog = Catalog::new().source::<MemorySource>();
    catalog.sink::<MemorySink>().sink::<KeyedMemorySink>().sink::<StagedMemorySink>()
}

impl Plugins for Simple {
    fn check(&self, spec: &PipelineSpec) -> Vec<Problem> {
        let known = ["memory", "http"].contains(&spec.source.kind.as_str());
        if known { Vec::new() } else { vec![Problem::new("source.type", "unknown-type", "no such source")] }
    }
    fn source(&self, component: &Component) -> Result<Box<dyn Source>, Vec<Problem>> {
        match component.kind.as_str() {
            "http" => Ok(Box::new(crate::ingest::Pushes)),
            _ => Ok(config::<MemorySource>(component)?.build()),
        }
    }
    fn sink(&self, component: &Component) -> Result<BuiltSink, Vec<Problem>> {
        Ok(match component.kind.as_str() {
            "memoryKeyed" => config::<KeyedMemorySink>(component)?.built(),
            "memoryStaged" => config::<StagedMemorySink>(component)?.built(),
            _ => config::<MemorySink>(component)?.built(),
        })
    }
    fn declared(&self, spec: &PipelineSpec) -> Declared {
        let most = spec.source.config.get("maxPendingBytes").and_then(serde_json::Value::as_u64);
        let pushes = (spec.source.kind == "http").then_some(most.unwrap_or(64 << 20));
        Declared { source: SourceRecords { pushes, ..SourceRecords::default() }, sink: SinkRows::default() }
    }
    fn compiler(&self) -> &dyn Compiler {
        &Obedient
    }
    fn change(&self, before: &PipelineSpec, after: &PipelineSpec, positions: &Positions) -> Change {
        catalog().change(before, after, positions, &Connections::default())
    }
    fn target(&self, sink: &Component) -> String {
        catalog().target(sink, &Connections::default())
    }
    fn same_target(&self, one: &Component, other: &Component) -> bool {
        catalog().same_target(one, other, &Connections::default())
    }
    fn redact(&self, component: &Component) -> Component {
        component.clone()
    }
}

/// A node, what it reads and writes, and the journal that outlives it.
pub(crate) struct House {
    pub(crate) journal: Journal,
    pub(crate) feed: Arc<Feed>,
    pub(crate) store: Arc<Store>,
    name: String,
    pub(crate) seed: u64,
    engine: Option<Engine>,
    tasks: Arc<Mortal>,
    pub(crate) lanes: u32,
    commands: u64,
    /// Milliseconds that the wall clock was set back.
    pub(crate) set_back: Arc<AtomicI64>,
}

impl House {
    /// A node whose feed and store bear this name, which no other test uses.
    pub(crate) async fn new(name: &str) -> Self {
        Self::on(name, Journal::new(Arc::new(Memory::new())), 1, 1).await
    }

    pub(crate) async fn on(name: &str, journal: Journal, lanes: u32, seed: u64) -> Self {
        let mut house = Self {
            journal,
            feed: feed(name),
            store: store(name),
            name: name.into(),
            seed,
            engine: None,
            tasks: Arc::default(),
            lanes,
            commands: 0,
            set_back: Arc::default(),
        };
        house.build().await;
        house
    }

    pub(crate) async fn build(&mut self) {
        assert!(self.try_build().await);
    }

    pub(crate) async fn try_build(&mut self) -> bool {
        self.tasks = Arc::default();
        let parts = Parts {
            clock: Arc::new(Wall {
                clock: TokioClock::starting_at(Timestamp(1_700_000_000_000)),
                set_back: self.set_back.clone(),
            }),
            rng: Arc::new(Random::seeded(self.seed)),
            spawner: self.tasks.clone(),
            compute: Arc::new(Inline),
            net: Arc::new(TcpNet),
            journal: self.journal.clone(),
            plugins: Arc::new(Simple),
        };
        let settings = EngineSettings { default_lanes: self.lanes, ..EngineSettings::default() };
        self.engine = Engine::start(settings, parts).await.ok();
        self.engine.is_some()
    }

    /// As by kill -9: nothing gets to say a last word.
    pub(crate) async fn crash(&mut self) {
        for task in self.tasks.0.lock().unwrap().drain(..) {
            task.abort();
        }
        self.engine = None;
        // Aborted tasks are dropped when the runtime next looks at them.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// Number of shards that are this node's.
    pub(crate) async fn owned(&self) -> usize {
        self.engine.as_ref().unwrap().region().overview().await.shards_owned
    }

    pub(crate) async fn shutdown(&mut self) -> bool {
        self.shutdown_within(Duration::from_secs(10)).await
    }

    pub(crate) async fn shutdown_within(&mut self, deadline: Duration) -> bool {
        self.engine.take().unwrap().shutdown(deadline).await
    }

    pub(crate) fn spec(&self) -> serde_json::Value {
        json!({
            "source": {"type": "memory", "feed": self.name},
            "sink": {"type": "memory", "store": self.name},
            "batch": {"maxRecords": 10}
        })
    }

    pub(crate) fn region(&self) -> Arc<dyn ShardRegion> {
        self.engine.as_ref().unwrap().region()
    }

    pub(crate) fn shards(&self) -> Arc<dyn ShardHost> {
        self.engine.as_ref().unwrap().shards()
    }

    pub(crate) async fn ask(&mut self, message: Message) -> Result<Reply, AskError> {
        let pipeline = PipelineId::try_from("p").unwrap();
        self.region().ask(ShardingEnvelope { pipeline, message }).await
    }

    pub(crate) async fn act(&mut self, action: Action) -> Result<Reply, AskError> {
        self.commands += 1;
        let id = CommandId::try_from(format!("c{}", self.commands)).unwrap();
        self.act_as(id, action).await
    }

    pub(crate) async fn act_as(&mut self, id: CommandId, action: Action) -> Result<Reply, AskError> {
        let actor = Actor::try_from("test").unwrap();
        self.ask(Message::Command(UserCommand { id, actor, reason: None, trace: None, expected_version: None, action }))
            .await
    }

    pub(crate) async fn create(&mut self, spec: serde_json::Value) -> PipelineSnapshot {
        let spec = serde_json::from_value(spec).unwrap();
        view(self.act(Action::Create(Box::new(spec))).await)
    }

    pub(crate) async fn start(&mut self) -> PipelineSnapshot {
        view(self.act(Action::Start { sink: None }).await)
    }

    pub(crate) async fn stop(&mut self) -> PipelineSnapshot {
        view(self.act(Action::Stop { sink: None, wait: Duration::from_secs(60) }).await)
    }

    pub(crate) async fn get(&mut self) -> PipelineSnapshot {
        view(self.ask(question(Query::State)).await)
    }

    /// Waits until the view is so; panics with the last one after five minutes of the test's time.
    pub(crate) async fn until(&mut self, what: impl Fn(&PipelineSnapshot) -> bool) -> PipelineSnapshot {
        let mut last = None;
        for _ in 0..30_000 {
            let view = self.get().await;
            assert_balanced(&view);
            if what(&view) {
                return view;
            }
            last = Some(view);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never came to be: {last:#?}");
    }

    /// The names of all chunks of the pipeline.
    pub(crate) async fn chunks(&mut self) -> Vec<ChunkId> {
        let Ok(Reply::Claims(claims)) = self.ask(question(Query::Claims)).await else { panic!("no claims") };
        self.journal.chunks(&Scope::Pipeline(PipelineId::try_from("p").unwrap(), claims.incarnation)).await.unwrap()
    }

    pub(crate) async fn until_status(&mut self, status: Status) -> PipelineSnapshot {
        self.until(|view| view.status == status).await
    }
}

/// A question of nobody in particular.
pub(crate) fn question(query: Query) -> Message {
    Message::Query(UserQuery { actor: Actor::system(), within: Duration::from_secs(600), sink: None, query })
}

pub(crate) fn view(reply: Result<Reply, AskError>) -> PipelineSnapshot {
    match reply {
        Ok(Reply::Pipeline(view)) => {
            assert_balanced(&view);
            *view
        }
        other => panic!("not a pipeline: {other:?}"),
    }
}

/// The ledger balances at any moment.
pub(crate) fn assert_balanced(view: &PipelineSnapshot) {
    let counters = Counters { read: view.counters.read - view.in_flight, ..view.counters };
    assert!(counters.balances(), "{view:?}");
}

/// `{"n":from}` to `{"n":to-1}`.
pub(crate) fn numbers(from: u64, to: u64) -> Vec<String> {
    (from..to).map(|n| format!("{{\"n\":{n}}}")).collect()
}

/// On a journal that fails now and then: what was refused is asked again.
impl House {
    pub(crate) async fn patient(name: &str, journal: Journal) -> Self {
        let mut house = Self {
            journal,
            feed: feed(name),
            store: store(name),
            name: name.into(),
            seed: 1,
            engine: None,
            tasks: Arc::default(),
            lanes: 1,
            commands: 0,
            set_back: Arc::default(),
        };
        loop {
            if house.try_build().await {
                return house;
            }
        }
    }

    pub(crate) async fn try_create(&mut self) -> Result<Reply, AskError> {
        let spec = serde_json::from_value(self.spec()).unwrap();
        let id = CommandId::try_from("create").unwrap();
        self.act_as(id, Action::Create(Box::new(spec))).await
    }

    pub(crate) async fn get_status(&mut self) -> Option<Status> {
        match self.ask(question(Query::State)).await {
            Ok(Reply::Pipeline(view)) => Some(view.status),
            _ => None,
        }
    }

    pub(crate) async fn until_delivered(&mut self, records: u64) {
        for _ in 0..30_000 {
            if let Ok(Reply::Pipeline(view)) = self.ask(question(Query::State)).await
                && view.counters.delivered == records
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never came to be: {:?}", self.get().await);
    }
}
