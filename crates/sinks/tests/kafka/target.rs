//! A topic of a real server to write to, and a plain consumer that says what is in it.
use async_trait::async_trait;
use dataflow_sdk::{
    Error, SinkConfig,
    sink::{DeliveryMode, OpenLane, Opened, Sink},
};
use dataflow_sinks::KafkaSink;
use dataflow_testkit::{conformance::Subject, fixture::context, servers, witness};
use rdkafka::{
    ClientConfig, Message,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Headers, OwnedMessage},
};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

pub(crate) const BROKERS: &str = "127.0.0.1:9092";
const PATIENCE: Duration = Duration::from_secs(30);

/// A record as a consumer gets it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(String, Option<String>)>,
}

pub(crate) struct Target {
    pub(crate) topic: String,
    more: Value,
    settings: Vec<(&'static str, &'static str)>,
}

impl Target {
    /// A topic of its own with three partitions and these settings; none: there is no server.
    pub(crate) async fn new(settings: &[(&'static str, &'static str)], more: Value) -> Option<Self> {
        let mut target = Self::missing(more)?;
        target.settings = settings.to_vec();
        target.make().await;
        Some(target)
    }

    /// A name that no topic has.
    pub(crate) fn missing(more: Value) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let topic = format!("sink-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        servers::are_up().then(|| Self { topic, more, settings: Vec::new() })
    }

    pub(crate) fn tokens(&self) -> String {
        format!("{}-tokens", self.topic)
    }

    pub(crate) async fn make(&self) {
        for _ in 0..300 {
            let mut topic = NewTopic::new(&self.topic, 3, TopicReplication::Fixed(1));
            for (name, value) in &self.settings {
                topic = topic.set(name, value);
            }
            let made = admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
            if made.iter().all(Result::is_ok) {
                while !self.is_there() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await; // one of that name is still going
        }
        panic!("topic {} can't be made", self.topic);
    }

    fn is_there(&self) -> bool {
        let consumer: BaseConsumer = config().create().unwrap();
        let metadata = consumer.fetch_metadata(Some(&self.topic), PATIENCE).unwrap();
        let topic = &metadata.topics()[0];
        topic.error().is_none() && topic.partitions().len() == 3
    }

    pub(crate) async fn delete(&self) {
        admin().delete_topics(&[&self.topic], &AdminOptions::new()).await.unwrap();
    }

    pub(crate) fn config(&self) -> Value {
        let mut config = json!({"brokers": BROKERS, "topic": self.topic, "tokensTopic": self.tokens()});
        config.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        config
    }

    pub(crate) fn build(&self) -> Box<dyn Sink> {
        let config: KafkaSink = serde_json::from_value(self.config()).unwrap();
        assert_eq!(config.check(), []);
        config.build()
    }

    pub(crate) async fn open(&self, lane: OpenLane) -> Result<Opened, Error> {
        self.build().open(&context(lane.fence.branch.as_str()), lane).await
    }

    /// All records that a consumer with this isolation level gets, by partition and in order.
    pub(crate) fn seen(&self, isolation: &str) -> Vec<Seen> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let one = |record: OwnedMessage| Seen {
            partition: record.partition(),
            key: record.key().map(text),
            value: record.payload().map(text),
            timestamp: record.timestamp().to_millis(),
            headers: record.headers().map_or(Vec::new(), |headers| {
                headers.iter().map(|header| (header.key.to_owned(), header.value.map(text))).collect()
            }),
        };
        let mut seen: Vec<_> = witness::read(&self.topic, isolation).into_iter().map(one).collect();
        seen.sort_by_key(|record| record.partition);
        seen
    }
}

/// Its topics go with it.
impl Drop for Target {
    fn drop(&mut self) {
        let topics = [self.topic.clone(), self.tokens()];
        let delete = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            drop(runtime.block_on(admin().delete_topics(&topics, &AdminOptions::new())));
        };
        drop(std::thread::spawn(delete).join());
    }
}

pub(crate) fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", BROKERS);
    config
}

pub(crate) fn admin() -> AdminClient<DefaultClientContext> {
    config().create().unwrap()
}

#[async_trait]
impl Subject for Target {
    fn sink(&self) -> Box<dyn Sink> {
        self.build()
    }
    fn delivery(&self) -> DeliveryMode {
        KafkaSink::DELIVERY
    }
    async fn rows(&self) -> Vec<(i64, String)> {
        let row = |seen: Seen| {
            let value: Value = serde_json::from_str(&seen.value.unwrap()).unwrap();
            (value["id"].as_i64().unwrap(), value["name"].as_str().unwrap().to_owned())
        };
        self.seen("read_committed").into_iter().map(row).collect()
    }
    async fn clear(&self) -> bool {
        self.delete().await;
        self.make().await;
        true
    }
}
