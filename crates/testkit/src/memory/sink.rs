//! Sinks in memory: one transactional, one keyed.
use super::{
    fault::Fault,
    row::Row,
    store::{Store, lane_key, store},
};
use async_trait::async_trait;
use dataflow_core::{
    id::Generation,
    token::{Fence, Token},
};
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    batch::{Column, Demand, Output},
    sink::{CommitError, Committed, DeliveryMode, OpenLane, Opened, Reserved, Sink, Writer},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

/// Keeps rows and tokens in memory, together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MemorySink {
    /// Name of the [`Store`] it writes to.
    pub store: String,
}

/// Keeps the row of the highest version per record id in memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeyedMemorySink {
    /// Name of the [`Store`] it writes to.
    pub store: String,
}

impl SinkConfig for MemorySink {
    const TYPE: &'static str = "memory";
    const SUMMARY: &'static str = "Keeps rows in memory.";
    const DELIVERY: DeliveryMode = DeliveryMode::Transactional;
    const GUARANTEE: &'static str = "Exactly once while the process lives.";

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn target(&self) -> String {
        self.store.clone()
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(Memory { store: store(&self.store), delivery: Self::DELIVERY })
    }
}

impl SinkConfig for KeyedMemorySink {
    const TYPE: &'static str = "memoryKeyed";
    const SUMMARY: &'static str = "Keeps the latest row per record id in memory.";
    const DELIVERY: DeliveryMode = DeliveryMode::Keyed;
    const GUARANTEE: &'static str = "Exactly once in effect while the process lives.";

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn target(&self) -> String {
        self.store.clone()
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(Memory { store: store(&self.store), delivery: Self::DELIVERY })
    }
}

#[derive(Debug)]
struct Memory {
    store: Arc<Store>,
    delivery: DeliveryMode,
}

fn failure(fault: &Fault) -> Option<Error> {
    match fault {
        Fault::None | Fault::FailAfter | Fault::Slow(_) | Fault::Hang | Fault::HangAfter => None,
        Fault::FailBefore => Some(Error::transient("unreachable", "the memory sink was asked to fail")),
        Fault::Fatal => Some(Error::fatal("broken", "the memory sink was asked to fail for good").for_user()),
        Fault::Contradicts(newest) => Some(Error::Contradicts {
            code: "journal-behind",
            message: "the memory sink was asked to say so".into(),
            fix: "choose".into(),
            begins: [(Generation::new(*newest, 0), Default::default())].into(),
            ledger: None,
        }),
        Fault::Fenced => Some(Error::Fenced("the memory sink was asked to say so".into())),
    }
}

/// The error for a writer after which another one was opened.
pub(super) fn fenced(Fence { epoch, opening, .. }: &Fence) -> Error {
    Error::Fenced(format!("a later writer than opening {opening} of epoch {epoch} holds the store"))
}

/// Applies a fault before an opening or a commit is carried out.
pub(super) async fn befall(fault: &Fault) -> Result<(), Error> {
    match fault {
        Fault::Slow(wait) => tokio::time::sleep(*wait).await,
        Fault::Hang => std::future::pending().await,
        _ => {}
    }
    failure(fault).map_or(Ok(()), Err)
}

/// Applies a fault to its answer.
pub(super) async fn answer<T>(fault: &Fault, done: T) -> Result<T, Error> {
    match fault {
        Fault::HangAfter => std::future::pending().await,
        Fault::FailAfter => Err(Error::transient("unreachable", "the answer to a commit was lost")),
        _ => Ok(done),
    }
}

#[async_trait]
impl Sink for Memory {
    async fn open(&self, _: &Context, lane: OpenLane) -> Result<Opened, Error> {
        let fault = self.store.lock().open_faults.pop_front().unwrap_or_default();
        befall(&fault).await?;
        let key = lane_key(&lane.fence);
        let mut inner = self.store.lock();
        let rank = inner.ranks.entry(key.clone()).or_insert(lane.fence.rank());
        if self.delivery == DeliveryMode::Transactional && *rank > lane.fence.rank() {
            return Err(Error::Fenced(format!("epoch {} holds the store, this is {}", rank.0, lane.fence.epoch)));
        }
        *rank = lane.fence.rank();
        inner.opens += 1;
        inner.level = Some(lane.level);
        inner.begins.entry(lane.fence.generation).or_insert(lane.begin);
        let demand = match (&inner.demand, &inner.defined) {
            (Some(Demand::AllColumns), Some(columns)) => Demand::Columns(columns.clone()),
            (demand, _) => demand.clone().unwrap_or(Demand::Documents),
        };
        let token = if self.delivery == DeliveryMode::Transactional { inner.tokens.get(&key).cloned() } else { None };
        let Fence { branch, incarnation, generation, .. } = &lane.fence;
        let other = |Token { fence, .. }: &&Token| {
            (&fence.branch, &fence.incarnation) == (branch, incarnation)
                && (fence.generation != *generation || fence.lane >= lane.lanes)
        };
        let others = inner.tokens.values().filter(other).cloned().collect();
        let begins = inner.begins.clone();
        drop(inner);
        let writer = MemoryWriter {
            store: self.store.clone(),
            delivery: self.delivery,
            sequence: token.as_ref().map_or(0, |token| token.sequence),
            fence: lane.fence,
            reserved: lane.reserved,
        };
        Ok(Opened { writer: Box::new(writer), token, others, begins, demand, warnings: Vec::new(), handle: None })
    }

    async fn token(&self, _: &Context, fence: &Fence) -> Result<Option<Token>, Error> {
        Ok(self.store.lock().tokens.get(&lane_key(fence)).cloned())
    }
}

struct MemoryWriter {
    store: Arc<Store>,
    delivery: DeliveryMode,
    fence: Fence,
    reserved: Reserved,
    sequence: u64,
}

impl MemoryWriter {
    /// Puts rows into the places of their keys, one after the other, unless what is there has a greater version.
    fn put(&self, there: &mut Vec<Row>, rows: Vec<Row>) -> Result<u64, CommitError> {
        let mut all: BTreeMap<String, Row> = there.drain(..).map(|row| (row.id.clone(), row)).collect();
        let (mut written, mut highest) = (0, 0);
        for row in rows {
            match all.get(&row.id).filter(|there| there.version > row.version) {
                Some(there) => highest = highest.max(there.version),
                None => {
                    written += 1;
                    all.insert(row.id.clone(), row);
                }
            }
        }
        *there = all.into_values().collect();
        match highest > self.reserved.given() {
            true => Err(fenced(&self.fence).into()),
            false => Ok(written),
        }
    }

    fn apply(&mut self, outputs: &[Output], token: &Token) -> Result<Committed, CommitError> {
        let key = lane_key(&self.fence);
        let mut inner = self.store.lock();
        if self.delivery == DeliveryMode::Transactional {
            if inner.ranks.get(&key) != Some(&self.fence.rank()) {
                return Err(fenced(&self.fence).into());
            }
            let stored = inner.tokens.get(&key).map_or(0, |token| token.sequence);
            if stored + 1 != token.sequence {
                return Err(Error::Fenced(format!("commit {} follows {stored}", token.sequence)).into());
            }
        }
        let rows_written = if self.delivery == DeliveryMode::Keyed {
            // Like a real one, it applies what it accepts before it knows of all rows.
            let (rows, rejected) = inner.judge(outputs, token);
            let written = self.put(&mut inner.rows, rows)?;
            if !rejected.is_empty() {
                return Err(CommitError::Rejected(rejected));
            }
            written
        } else {
            let rows = inner.rows_of(outputs, token)?;
            let written = rows.len() as u64;
            inner.rows.extend(rows);
            inner.tokens.insert(key, token.with_rows(written));
            written
        };
        inner.commits += 1;
        self.sequence = token.sequence;
        Ok(Committed { rows_written })
    }
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn define(&mut self, columns: &[Column]) -> Result<Demand, Error> {
        let mut inner = self.store.lock();
        let defined = inner.defined.get_or_insert_default();
        for column in columns {
            if defined.iter().all(|known| known.name != column.name) {
                defined.push(column.clone());
            }
        }
        Ok(Demand::Columns(defined.clone()))
    }

    async fn commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError> {
        let fault = self.store.lock().fault(self.fence.lane);
        befall(&fault).await?;
        let committed = self.apply(outputs, token)?;
        Ok(answer(&fault, committed).await?)
    }

    async fn close(self: Box<Self>) {}
}
