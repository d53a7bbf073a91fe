//! The topic that a flow writes to, as a plain consumer of committed records sees it.
use super::kafka::{BROKERS, config};
use crate::witness;
use rdkafka::{
    Message,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    message::OwnedMessage,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// Partitions of the topic.
const PARTITIONS: i32 = 3;

/// A topic that a sink creates, and its topic of tokens. Both go with it.
#[derive(Debug)]
pub(super) struct Output {
    name: String,
}

impl Output {
    /// A name that no other flow has.
    pub(super) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self { name: format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    fn tokens(&self) -> String {
        format!("{}-tokens", self.name)
    }

    /// The sink's spec.
    pub(super) fn sink(&self) -> Value {
        json!({
            "type": "kafka", "brokers": BROKERS, "topic": self.name, "tokensTopic": self.tokens(),
            "createTopic": {"partitions": PARTITIONS, "replication": 1},
        })
    }

    /// The values of all committed records.
    pub(super) fn values(&self) -> Vec<String> {
        let value = |record: OwnedMessage| {
            let value = record.payload().expect("a record has a value");
            String::from_utf8(value.to_vec()).expect("a value is text")
        };
        witness::read(&self.name, "read_committed").into_iter().map(value).collect()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let topics = [self.name.clone(), self.tokens()];
        let delete = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let admin: AdminClient<DefaultClientContext> = config().create().map_err(std::io::Error::other)?;
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            let deleted = runtime.block_on(admin.delete_topics(&topics, &AdminOptions::new()));
            deleted.map(drop).map_err(std::io::Error::other)
        };
        if !matches!(std::thread::spawn(delete).join(), Ok(Ok(()))) {
            eprintln!("{} and {} stay", self.name, self.tokens());
        }
    }
}
