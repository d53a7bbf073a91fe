//! A staged sink in memory that rolls late: rows are in an open, invisible object, which is sealed at every n-th
//! request, and shown once the journal names it. It may take its time for both.
use super::{
    row::Row,
    sink::{answer, befall, fenced},
    store::{LaneKey, Store, lane_key, store},
};
use async_trait::async_trait;
use dataflow_core::{
    spec::Millis,
    token::{Fence, Token},
};
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    batch::{Demand, Output},
    sink::{CommitError, Committed, DeliveryMode, OpenLane, Opened, Seal, Sealed, Sink, Writer},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::sleep;

/// Keeps rows in memory, in objects that are shown once they are sealed and journalled.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StagedMemorySink {
    /// Name of the [`Store`] it writes to.
    pub store: String,
    /// It seals at every n-th request.
    #[serde(default = "three")]
    pub roll_every: u32,
    /// It seals at the next request once this many rows are open.
    #[serde(default = "thousand")]
    pub max_open: usize,
    /// How long it takes to seal.
    #[serde(default = "no_time")]
    pub seal_takes: Millis,
    /// How long it takes to publish.
    #[serde(default = "no_time")]
    pub publish_takes: Millis,
}

fn three() -> u32 {
    3
}

fn thousand() -> usize {
    1_000
}

fn no_time() -> Millis {
    Millis(0)
}

impl SinkConfig for StagedMemorySink {
    const TYPE: &'static str = "memoryStaged";
    const SUMMARY: &'static str = "Keeps rows in memory, and shows them late.";
    const DELIVERY: DeliveryMode = DeliveryMode::Staged;
    const GUARANTEE: &'static str = "Exactly once while the process lives.";

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn target(&self) -> String {
        self.store.clone()
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(StagedMemory { store: store(&self.store), config: self })
    }
}

/// The hidden objects of a store.
#[derive(Default)]
pub(super) struct Objects {
    open: BTreeMap<LaneKey, Vec<Row>>,
    /// By number.
    sealed: BTreeMap<u64, (LaneKey, Vec<Row>)>,
    last: u64,
}

impl Objects {
    pub(super) fn unpublished(&self) -> (usize, usize) {
        let rows = || self.open.values().chain(self.sealed.values().map(|(_, rows)| rows));
        (rows().count(), rows().map(Vec::len).sum())
    }

    /// Removes everything of a lane except the objects that its handle names.
    fn cut_back(&mut self, lane: &LaneKey, handle: Option<&Value>) {
        self.open.remove(lane);
        let named = handle.map(named).unwrap_or_default();
        self.sealed.retain(|number, (of, _)| of != lane || named.contains(number));
    }

    /// Seals what is open; returns a handle that names all that is not published.
    fn seal(&mut self, lane: &LaneKey) -> Value {
        if let Some(rows) = self.open.remove(lane) {
            self.last += 1;
            self.sealed.insert(self.last, (lane.clone(), rows));
        }
        self.sealed.iter().filter(|(_, (of, _))| of == lane).map(|(number, _)| *number).collect()
    }

    /// Publishes what a handle names; returns its rows, except those that were published before.
    fn publish(&mut self, handle: &Value) -> Vec<Row> {
        let sealed = named(handle).into_iter().filter_map(|number| self.sealed.remove(&number));
        sealed.flat_map(|(_, rows)| rows).collect()
    }
}

/// The objects that a handle names.
fn named(handle: &Value) -> Vec<u64> {
    handle.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

#[derive(Debug)]
struct StagedMemory {
    store: Arc<Store>,
    config: StagedMemorySink,
}

#[async_trait]
impl Sink for StagedMemory {
    async fn open(&self, _: &Context, lane: OpenLane) -> Result<Opened, Error> {
        let fault = self.store.lock().open_faults.pop_front().unwrap_or_default();
        befall(&fault).await?;
        let key = lane_key(&lane.fence);
        let mut inner = self.store.lock();
        let rank = inner.ranks.entry(key.clone()).or_insert(lane.fence.rank());
        if *rank > lane.fence.rank() {
            return Err(Error::Fenced(format!("epoch {} holds the store, this is {}", rank.0, lane.fence.epoch)));
        }
        *rank = lane.fence.rank();
        inner.opens += 1;
        let handle = lane.journalled.and_then(|journalled| journalled.handle);
        inner.objects.cut_back(&key, handle.as_ref());
        // The process may have crashed between journal and publication.
        if let Some(handle) = &handle {
            let rows = inner.objects.publish(handle);
            inner.rows.extend(rows);
        }
        let demand = inner.demand.clone().unwrap_or(Demand::Documents);
        drop(inner);
        let writer = StagedWriter {
            store: self.store.clone(),
            config: self.config.clone(),
            fence: lane.fence,
            key,
            requests: 0,
        };
        Ok(Opened {
            writer: Box::new(writer),
            token: None,
            others: Vec::new(),
            begins: BTreeMap::new(),
            demand,
            warnings: Vec::new(),
            handle: Some(json!([])),
        })
    }
}

struct StagedWriter {
    store: Arc<Store>,
    config: StagedMemorySink,
    fence: Fence,
    key: LaneKey,
    requests: u32,
}

#[async_trait]
impl Writer for StagedWriter {
    async fn commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError> {
        let fault = self.store.lock().fault(self.fence.lane);
        befall(&fault).await?;
        let rows_written = {
            let mut inner = self.store.lock();
            if inner.ranks.get(&self.key) != Some(&self.fence.rank()) {
                return Err(fenced(&self.fence).into());
            }
            let rows = inner.rows_of(outputs, token)?;
            let rows_written = rows.len() as u64;
            inner.objects.open.entry(self.key.clone()).or_default().extend(rows);
            inner.commits += 1;
            rows_written
        };
        Ok(answer(&fault, Committed { rows_written }).await?)
    }

    async fn seal(&mut self, how_much: Seal) -> Result<Sealed, Error> {
        sleep(self.config.seal_takes.into()).await;
        self.requests += 1;
        let mut inner = self.store.lock();
        if inner.ranks.get(&self.key) != Some(&self.fence.rank()) {
            return Err(fenced(&self.fence));
        }
        let open = inner.objects.open.get(&self.key).map_or(0, Vec::len);
        let due = self.requests.is_multiple_of(self.config.roll_every) || open >= self.config.max_open;
        if how_much == Seal::Due && !due {
            return Ok(Sealed::NotYet);
        }
        Ok(Sealed::Handle(inner.objects.seal(&self.key)))
    }

    async fn publish(&mut self, handle: &Value, _: &Token) -> Result<Option<Value>, Error> {
        if named(handle).is_empty() {
            return Ok(None);
        }
        sleep(self.config.publish_takes.into()).await;
        let mut inner = self.store.lock();
        let rows = inner.objects.publish(handle);
        inner.rows.extend(rows);
        Ok(Some(json!([])))
    }

    async fn close(self: Box<Self>) {}
}
