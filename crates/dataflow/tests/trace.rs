//! One seed, one history: a node on memory parts, built as `serve` builds its own, does the same things in the same order.
#![allow(clippy::unwrap_used)]
use dataflow::{
    node::Node,
    plugins::{Connectors, compiler},
    settings::Settings,
};
use dataflow_core::{
    id::{Actor, CommandId, PipelineId, Seq},
    shard::ShardId,
    time::Timestamp,
};
use dataflow_engine::{
    answers::PipelineSnapshot,
    parts::{Parts, Random, Spawner, TcpNet, TokioSpawner},
    region::{Action, Message, Query, Reply, ShardingEnvelope, UserCommand, UserQuery},
};
use dataflow_journal::{Journal, memory::Memory};
use dataflow_sdk::{Catalog, catalog::Connections};
use dataflow_testkit::{
    memory::{self, Fault, Row, feed, store},
    parts::{Inline, TokioClock},
};
use futures::future::BoxFuture;
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::{AbortHandle, JoinHandle};

/// Tasks that end all at once, as by kill -9.
#[derive(Debug, Default)]
struct Mortal(Mutex<Vec<AbortHandle>>);

impl Spawner for Mortal {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> JoinHandle<()> {
        let handle = TokioSpawner.spawn(name, task);
        self.0.lock().unwrap().push(handle.abort_handle());
        handle
    }
}

async fn node(journal: &Memory, seed: u64) -> (Node, Arc<Mortal>) {
    let mut catalog = Catalog::new();
    memory::register(&mut catalog);
    let (catalog, connections) = (Arc::new(catalog), Arc::new(Connections::default()));
    let plugins = Connectors { catalog, connections, compiler: compiler() };
    let tasks = Arc::new(Mortal::default());
    let parts = Parts {
        clock: Arc::new(TokioClock::starting_at(Timestamp(1_700_000_000_000))),
        rng: Arc::new(Random::seeded(seed)),
        spawner: tasks.clone(),
        compute: Arc::new(Inline),
        net: Arc::new(TcpNet),
        journal: Journal::new(Arc::new(journal.clone())),
        plugins: Arc::new(plugins),
    };
    let settings = Settings { compute_threads: Some(2), ..Settings::default() };
    (Node::build(&settings, &Default::default(), parts, None).await.unwrap(), tasks)
}

fn id() -> PipelineId {
    PipelineId::try_from("traced").unwrap()
}

async fn ask(node: &Node, message: Message) -> PipelineSnapshot {
    match node.region().ask(ShardingEnvelope { pipeline: id(), message }).await {
        Ok(Reply::Pipeline(view)) => *view,
        other => panic!("not a pipeline: {other:?}"),
    }
}

async fn act(node: &Node, command: &str, action: Action) -> PipelineSnapshot {
    let (id, actor) = (CommandId::try_from(command).unwrap(), Actor::try_from("test").unwrap());
    ask(node, Message::Command(UserCommand { id, actor, reason: None, trace: None, expected_version: None, action }))
        .await
}

async fn until(node: &Node, what: impl Fn(&PipelineSnapshot) -> bool) -> PipelineSnapshot {
    for _ in 0..10_000 {
        let view = ask(
            node,
            Message::Query(UserQuery {
                actor: Actor::system(),
                within: Duration::from_secs(60),
                sink: None,
                query: Query::State,
            }),
        )
        .await;
        if what(&view) {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came to be");
}

/// Create → flow → crash → recover; all that was journalled, shown and written.
async fn trace(seed: u64) -> (String, Vec<Row>) {
    // The same each time, as it is part of the commands that are journalled.
    let name = "traced";
    memory::forget(name);
    let (feed, store) = (feed(name), store(name));
    for partition in ["t/0", "t/1", "t/2"] {
        let ages = (0..100).map(|n| json!({"n": n, "age": n}).to_string());
        feed.push(partition, ages.chain([r#"{"age":"old"}"#.to_owned(), "no json".to_owned()]));
    }
    store.fault_commits([Fault::None, Fault::FailAfter, Fault::None, Fault::FailBefore]);
    let journal = Memory::new();
    let (first, tasks) = node(&journal, seed).await;
    let spec = json!({
        "source": {"type": "memory", "feed": name},
        "transforms": [{"type": "filter", "condition": "age > 18"}],
        "sink": {"type": "memory", "store": name},
        "batch": {"maxRecords": 10}
    });
    act(&first, "create", Action::Create(Box::new(serde_json::from_value(spec).unwrap()))).await;
    act(&first, "start", Action::Start { sink: None }).await;
    until(&first, |view| view.counters.delivered >= 50).await;
    tasks.0.lock().unwrap().drain(..).for_each(|task| task.abort());
    drop(first);
    tokio::time::sleep(Duration::from_millis(1)).await;

    let (second, _) = node(&journal, seed).await;
    let view = until(&second, |view| view.counters.read == 306 && view.in_flight == 0).await;
    let m = view.counters;
    assert_eq!((m.delivered, m.filtered, m.dead), (3 * 81, 3 * 19, 3 * 2));
    act(&second, "stop", Action::Stop { sink: None, wait: Duration::from_secs(60) }).await;
    let log = Journal::new(Arc::new(journal)).read(ShardId::of(&id()), Seq(1), 10_000).await.unwrap();
    (format!("{log:#?}\n{m:?}"), store.rows())
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_trace() {
    let (first_log, first_rows) = trace(42).await;
    let (second_log, second_rows) = trace(42).await;
    assert_eq!(first_log, second_log);
    assert_eq!(first_rows, second_rows);
    let mut ids: Vec<_> = first_rows.iter().map(|row| row.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), first_rows.len()), (243, 243), "nothing lost, nothing doubled");
}
