//! What the client library says by callbacks while it reads.
use dataflow_kafka::{Cluster, Heard};
use dataflow_sdk::batch::Warning;
use serde::Deserialize;
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The library's placeholder for an unknown topic id: 16 bytes of zero.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// How many seconds a transaction may hold a partition up before users are told.
const LONG: i64 = 30;

/// State that the library reports by callbacks.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) heard: Heard,
    /// The end of each partition's log, by topic and number.
    ends: Mutex<HashMap<(String, i32), End>>,
    /// Transactions that were found open for long and not been told yet.
    open: Mutex<Vec<Open>>,
    /// A topic was recreated under the client: records from here on may belong to another topic than the expected one.
    renewed: AtomicBool,
    /// Logs that lost their ends.
    cut: Mutex<Vec<Cut>>,
}

impl Told {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self {
            heard: Heard::new(cluster),
            ends: Mutex::default(),
            open: Mutex::default(),
            renewed: AtomicBool::default(),
            cut: Mutex::default(),
        }
    }

    /// Returns whether a topic was recreated under the client. True before any record of the new topic can be read.
    pub(super) fn is_renewed(&self) -> bool {
        self.renewed.load(Ordering::SeqCst)
    }

    /// Handles a line of the library's log. The library continues to read a recreated topic at its offset in the former
    /// one, and reports that only in its log.
    pub(super) fn hear(&self, message: &str) {
        let changed = message.split_once(" changed id from ").and_then(|(_, ids)| ids.split_once(" to "));
        if changed.is_some_and(|(before, _)| before != NO_ID) {
            self.renewed.store(true, Ordering::SeqCst);
        }
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).extend(cut(message));
    }

    /// Returns the partitions found cut since the last call.
    pub(super) fn take_cut(&self) -> Vec<Cut> {
        std::mem::take(&mut *self.cut.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records that a partition's log reaches this offset.
    pub(super) fn reaches(&self, topic: &str, number: i32, offset: i64) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = ends.entry((topic.to_owned(), number)).or_default();
        end.offset = offset.max(end.offset);
    }

    /// Returns the end of a partition's log, as far as known.
    pub(super) fn end(&self, topic: &str, number: i32) -> Option<i64> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(&(topic.to_owned(), number)).map(|end| end.offset)
    }

    /// Handles the library's statistics.
    pub(super) fn count(&self, statistics: Statistics) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, known) in statistics.topics {
            for (number, PartitionStatistics { ls_offset: stable, hi_offset: last }) in known.partitions {
                if stable < 0 {
                    continue;
                }
                let end = ends.entry((topic.clone(), number)).or_default();
                end.offset = last.max(stable);
                let same = end.open.take().filter(|open| open.at == stable);
                let new = || Open { topic: topic.clone(), number, at: stable, since: statistics.time, told: false };
                end.open = (stable < last).then(|| same.unwrap_or_else(new));
                if let Some(open) = end.open.as_mut().filter(|open| !open.told && statistics.time - open.since >= LONG)
                {
                    open.told = true;
                    self.open.lock().unwrap_or_else(PoisonError::into_inner).push(open.clone());
                }
            }
        }
    }

    /// Returns the transactions that were found open for long since the last call.
    pub(super) fn take_open(&self) -> Vec<Open> {
        std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The end of a partition's log.
#[derive(Debug, Default)]
struct End {
    /// The offset after the last record, also after records of open transactions.
    offset: i64,
    /// The open transaction that ends what can be read before that.
    open: Option<Open>,
}

/// A transaction that is open in a partition: what comes after its first record can't be read until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) topic: String,
    pub(super) number: i32,
    /// The offset of its first record.
    pub(super) at: i64,
    /// When it was first seen, in seconds since the Unix epoch.
    pub(super) since: i64,
    told: bool,
}

impl Open {
    pub(super) fn warning(&self) -> Warning {
        let Self { topic, number, at, since, .. } = self;
        let since = jiff::Timestamp::from_second(*since).unwrap_or_default();
        let message = format!(
            "a transaction was open at offset {at} of {topic}/{number} for more than {LONG} s (since {since}): what comes after it is \
             read once its producer commits or aborts it, or its `transaction.timeout.ms` is over"
        );
        Warning { code: "open-transaction", subject: format!("{topic}/{number} at {at}"), message, records: 0 }
    }
}

/// A partition whose log lost its end.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) topic: String,
    pub(super) number: i32,
    /// The offset where the epoch of the position ends now; `None`: the log doesn't know the epoch.
    pub(super) end: Option<i64>,
}

/// Parses the log line about a partition whose log lost its end (the library's error names neither partition nor
/// offset): `user-events [3]: offset reset (at …): Partition log truncation detected at …: broker end offset is 200
/// (offset leader epoch 4). …`
fn cut(message: &str) -> Option<Cut> {
    let (place, why) = message.split_once("]: offset reset (at ")?;
    if !why.contains("log truncation detected") && !why.contains("No epoch found") {
        return None;
    }
    let (topic, number) = place.rsplit_once(" [")?;
    let topic = topic.rsplit(' ').next()?;
    let end: i64 = why.split_once("broker end offset is ")?.1.split(' ').next()?.parse().ok()?;
    Some(Cut { topic: topic.to_owned(), number: number.parse().ok()?, end: (end >= 0).then_some(end) })
}

/// The part of the library's statistics that is used here.
#[derive(Deserialize)]
pub(super) struct Statistics {
    /// When, in seconds since the Unix epoch.
    time: i64,
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<i32, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    /// The offset after the last stable record.
    ls_offset: i64,
    /// The offset after the last record.
    hi_offset: i64,
}
