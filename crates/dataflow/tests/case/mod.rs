//! A pipeline on a node in this process, whose source is in memory.
use async_trait::async_trait;
use dataflow::{
    node::Node,
    plugins::{Connectors, catalog, compiler},
    settings::Settings,
};
use dataflow_api::views;
use dataflow_api_types::{Claims, DeadLetter};
use dataflow_core::{
    id::{Actor, CommandId, PipelineId},
    pipeline::state::Status,
};
use dataflow_engine::{
    answers::PipelineSnapshot,
    claims::{self, Stored},
    client::PipelineClient,
    parts::{Parts, Random, SystemClock, TcpNet, TokioSpawner},
    region::{Action, AskError, Message, Reply, ShardingEnvelope, UserCommand},
};
use dataflow_journal::{Journal, memory::Memory};
use dataflow_sdk::catalog::Connections;
use dataflow_testkit::{memory, parts::Inline};
use dataflow_verify::{Claimant, Error, Options, Report, verify};
use std::{sync::Arc, time::Duration};

/// A pipeline on a node in this process, with the connectors of the program and those in memory.
pub(crate) struct Case {
    journal: Journal,
    connectors: Arc<Connectors>,
    pub(crate) node: Option<Node>,
    id: PipelineId,
    commands: u64,
}

impl Case {
    /// On a node with these connections.
    pub(crate) fn new(name: &str, connections: Connections) -> Self {
        let mut all = catalog();
        memory::register(&mut all);
        let (catalog, connections) = (Arc::new(all), Arc::new(connections));
        Self {
            journal: Journal::new(Arc::new(Memory::new())),
            connectors: Arc::new(Connectors { catalog, connections, compiler: compiler() }),
            node: None,
            id: PipelineId::try_from(name).unwrap(),
            commands: 0,
        }
    }

    pub(crate) async fn open(&mut self) {
        let parts = Parts {
            clock: Arc::new(SystemClock),
            rng: Arc::new(Random::seeded(1)),
            spawner: Arc::new(TokioSpawner),
            compute: Arc::new(Inline),
            net: Arc::new(TcpNet),
            journal: self.journal.clone(),
            plugins: self.connectors.clone(),
        };
        self.node = Some(Node::build(&Settings::default(), &Default::default(), parts, None).await.unwrap());
    }

    async fn ask(&self, message: Message) -> Result<Reply, AskError> {
        self.node.as_ref().unwrap().region().ask(ShardingEnvelope { pipeline: self.id.clone(), message }).await
    }

    pub(crate) async fn act(&mut self, action: Action) -> Result<Reply, AskError> {
        self.commands += 1;
        let id = CommandId::try_from(format!("c{}", self.commands)).unwrap();
        let actor = Actor::try_from("test").unwrap();
        self.ask(Message::Command(UserCommand { id, actor, reason: None, trace: None, expected_version: None, action }))
            .await
    }

    pub(crate) async fn stop(&mut self) {
        self.act(Action::Stop { sink: None, wait: Duration::from_secs(60) }).await.unwrap();
    }

    pub(crate) async fn until_read(&self, records: u64) -> PipelineSnapshot {
        let region = self.node.as_ref().unwrap().region();
        let client = PipelineClient::new(region, self.id.clone(), Actor::system());
        loop {
            let view = client.snapshot().await.unwrap();
            assert_ne!(view.status, Status::Failed, "{view:#?}");
            if view.counters.read >= records && view.in_flight == 0 {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn verify(&self, shared: bool) -> Report {
        let options = Options { shared, records: None };
        verify(self, self.connectors.clone(), &options, |_| {}).await.unwrap()
    }
}

#[async_trait]
impl Claimant for Case {
    async fn claims(&self) -> Result<Claims, Error> {
        let stored = Stored::load(&self.journal, &self.id).await.unwrap();
        Ok(views::claims(stored.branches()[0].claims().await.unwrap(), None))
    }
    async fn dead_letters(&self, after: u64) -> Result<Vec<DeadLetter>, Error> {
        let stored = Stored::load(&self.journal, &self.id).await.unwrap();
        let found = claims::dead_letters(&stored.branches(), &after.into(), (false, 100)).await.unwrap();
        Ok(found.letters.into_iter().map(views::dead_letter).collect())
    }
}
