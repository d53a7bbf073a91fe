//! The input of a memory source.
use super::named::Named;
use dataflow_core::position::Partition;
use dataflow_sdk::Error;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

pub(super) static FEEDS: Named<Feed> = Named::new();

/// Returns the feed with this name.
pub fn feed(name: &str) -> Arc<Feed> {
    FEEDS.get(name)
}

/// A record in a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Its id; `None`: `partition/offset`.
    pub key: Option<String>,
    /// Its bytes; `None`: a tombstone.
    pub data: Option<String>,
    /// Its time, milliseconds since the Unix epoch.
    pub timestamp: i64,
}

/// Partitions of records, and whether they end. Shared by all users of its name.
#[derive(Debug, Default)]
pub struct Feed {
    inner: Mutex<Inner>,
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) partitions: BTreeMap<Partition, Vec<Fed>>,
    pub(super) ended: bool,
    pub(super) read_faults: VecDeque<Option<Error>>,
    pub(super) open_faults: VecDeque<Option<Error>>,
    pub(super) out_of_reach: bool,
    pub(super) away: BTreeSet<Partition>,
    pub(super) confused: bool,
}

impl Feed {
    /// Its content, if it can be asked.
    pub(super) fn ask(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        let inner = self.lock();
        if inner.out_of_reach {
            return Err(Error::transient("unreachable", "the memory source was asked to be away"));
        }
        Ok(inner)
    }
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Appends JSON records to a partition, which is created if it is new.
    pub fn push(&self, partition: &str, records: impl IntoIterator<Item = impl Into<String>>) {
        let fed = records.into_iter().map(|data| Fed { data: Some(data.into()), ..Fed::default() });
        self.push_records(partition, fed);
    }
    /// Appends records with keys, tombstones or times to a partition.
    pub fn push_records(&self, partition: &str, records: impl IntoIterator<Item = Fed>) {
        self.lock().partitions.entry(partition.into()).or_default().extend(records);
        self.changed.notify_waiters();
    }
    /// Ends the feed: the source is bounded from here on.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_waiters();
    }
    /// Sets the errors of the next reads; `None` succeeds.
    pub fn fault_reads(&self, faults: impl IntoIterator<Item = Option<Error>>) {
        self.lock().read_faults.extend(faults);
        self.changed.notify_waiters();
    }
    /// Sets the errors of the next openings; `None` succeeds.
    pub fn fault_opens(&self, faults: impl IntoIterator<Item = Option<Error>>) {
        self.lock().open_faults.extend(faults);
    }
    /// Sets whether a partition is away: until it is back, the lane that has it can't read.
    pub fn away(&self, partition: &str, away: bool) {
        let mut inner = self.lock();
        if away {
            inner.away.insert(partition.into())
        } else {
            inner.away.remove(&Partition::from(partition))
        };
        drop(inner);
        self.changed.notify_waiters();
    }
    /// Sets whether asking which partitions it has, or where it begins or ends, fails.
    pub fn out_of_reach(&self, out_of_reach: bool) {
        self.lock().out_of_reach = out_of_reach;
    }
    /// Has every lane read all partitions, as by a defect of the source.
    pub fn confuse(&self) {
        self.lock().confused = true;
        self.changed.notify_waiters();
    }
    /// Counts the records in all partitions.
    pub fn len(&self) -> usize {
        self.lock().partitions.values().map(Vec::len).sum()
    }
    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
