//! The memory sinks pass their own conformance suite.
#![allow(clippy::unwrap_used)]
use async_trait::async_trait;
use dataflow_core::spec::Millis;
use dataflow_sdk::{
    SinkConfig,
    sink::{DeliveryMode, Sink},
};
use dataflow_testkit::{
    conformance::{self, Subject},
    memory::{KeyedMemorySink, MemorySink, StagedMemorySink, Store, store},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

struct Memory {
    name: String,
    delivery: DeliveryMode,
    store: Arc<Store>,
}

async fn memory(delivery: DeliveryMode) -> Memory {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("conformance {}", NEXT.fetch_add(1, Ordering::Relaxed));
    let store = store(&name);
    store.reject(|_, data| data.contains("refused").then(|| "name is refused".into()));
    Memory { store, name, delivery }
}

#[async_trait]
impl Subject for Memory {
    fn sink(&self) -> Box<dyn Sink> {
        let store = self.name.clone();
        match self.delivery {
            DeliveryMode::Keyed => KeyedMemorySink { store }.build(),
            DeliveryMode::Staged => {
                let at_once = Millis(0);
                let (seal_takes, publish_takes) = (at_once, at_once);
                StagedMemorySink { store, roll_every: 4, max_open: 1_000, seal_takes, publish_takes }.build()
            }
            DeliveryMode::Transactional | DeliveryMode::Unfenced => MemorySink { store }.build(),
        }
    }
    fn delivery(&self) -> DeliveryMode {
        self.delivery
    }
    async fn rows(&self) -> Vec<(i64, String)> {
        let rows = self.store.rows();
        let rows = rows.iter().map(|row| serde_json::from_str::<serde_json::Value>(&row.data).unwrap());
        rows.map(|row| (row["id"].as_i64().unwrap(), row["name"].as_str().unwrap().into())).collect()
    }
    fn is_shared(&self) -> bool {
        false
    }
    fn upserts(&self) -> bool {
        self.delivery == DeliveryMode::Keyed
    }
    fn deletes(&self) -> bool {
        false
    }
    fn refused_name(&self) -> Option<&'static str> {
        (self.delivery != DeliveryMode::Staged).then_some("refused")
    }
}

#[tokio::test]
async fn the_transactional_one_conforms() {
    conformance::sink(|| memory(DeliveryMode::Transactional)).await;
}

#[tokio::test]
async fn the_keyed_one_conforms() {
    conformance::sink(|| memory(DeliveryMode::Keyed)).await;
}

#[tokio::test]
async fn the_staged_one_that_rolls_late_conforms() {
    conformance::sink(|| memory(DeliveryMode::Staged)).await;
}
