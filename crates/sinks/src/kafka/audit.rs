//! Auditing a topic: its committed records are counted by hash, and each row that should be there takes one away. What is
//! left over is doubled, altered or unexpected; only then the topic is read once more, to say where.
use super::{
    KafkaSink,
    client::Client,
    fingerprint::{Rule, Sum, key_hash},
    ledger::{Lane, LaneId},
    message::{Messages, Wanted},
    offsets::{self, Part},
    tokens,
    topic::{self, Topic},
};
use crate::blocking;
use async_trait::async_trait;
use dataflow_sdk::{
    Context, Error,
    audit::{Audit, Audited, Auditor, Difference, Example, Findings, MAX_EXAMPLES, Origin, Origins, shown},
    batch::{Demand, Output},
    sink::Waits,
};
use rdkafka::{Message, message::BorrowedMessage};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    mem,
};
use tokio_util::sync::CancellationToken;

/// Counts what the topic has from where the generation began to write to it.
pub(super) fn open(config: &KafkaSink, cx: &Context, audit: Audit) -> Result<Audited, Error> {
    let client = Client::new(config, &cx.branch);
    let topic = topic::look(&client, &config.topic)?;
    let wanted = Wanted::of(config);
    let mut removed = Vec::new();
    let mut parts = Vec::new();
    if let Some(topic) = &topic {
        parts = offsets::parts(&client, topic, &cx.stop)?;
        for (part, began) in parts.iter_mut().zip(began(&client, topic, cx, &audit)?) {
            if began < part.from {
                removed.push(Part { partition: part.partition, from: began, to: part.from });
            }
            part.from = part.from.max(began);
        }
    }
    let rule = Rule { volatile: audit.volatile, wanted: wanted.clone() };
    let mut auditor = Records {
        client,
        topic,
        parts,
        removed,
        rule,
        wanted,
        held: HashMap::new(),
        origins: Origins::default(),
        missing: Vec::new(),
        latest: HashMap::new(),
        found: Findings::default(),
        stop: cx.stop.clone(),
    };
    auditor.count()?;
    Ok(Audited { auditor: Box::new(auditor), demand: Demand::Documents, not_durable: Vec::new() })
}

/// Where the lanes of the generation began to write to each partition of this very topic.
fn began(client: &Client, topic: &Topic, cx: &Context, audit: &Audit) -> Result<Vec<i64>, Error> {
    let mut began = vec![i64::MAX; topic.partitions as usize];
    if let Some(tokens) = tokens::look(client)? {
        let ledger = tokens.read(&cx.branch, &BTreeSet::new(), &cx.stop, &Waits::default())?;
        let own = |(id, _): &(&LaneId, &Lane)| {
            (&id.branch, &id.incarnation) == (&cx.branch, &cx.incarnation) && id.generation == audit.generation
        };
        let openings = ledger.lanes.iter().filter(own).filter_map(|(_, lane)| lane.opening.as_ref());
        for opening in openings.filter(|opening| opening.is_of(topic)) {
            for (at, began) in began.iter_mut().enumerate() {
                // It may have got partitions since.
                *began = (*began).min(opening.from.get(at).copied().unwrap_or(0));
            }
        }
    }
    Ok(began.into_iter().map(|began| if began == i64::MAX { 0 } else { began }).collect())
}

struct Records {
    client: Client,
    /// None: it is missing.
    topic: Option<Topic>,
    parts: Vec<Part>,
    /// What retention has removed of the generation's part.
    removed: Vec<Part>,
    rule: Rule,
    wanted: Wanted,
    held: HashMap<u128, Held>,
    origins: Origins,
    missing: Vec<Missing>,
    /// Of a compacted topic: the last row of each key that is there.
    latest: HashMap<u64, Latest>,
    found: Findings,
    stop: CancellationToken,
}

/// Records of the same content.
struct Held {
    /// How many of them a row has claimed, and how many none.
    claimed: u32,
    unclaimed: u32,
    /// The last row that has claimed one.
    origin: Origin,
    /// Their timestamps and partitions, those of the rows taken away.
    times: Sum,
    places: Sum,
}

/// A row that has no record.
struct Missing {
    origin: Origin,
    key: Option<u64>,
    /// Its text, of the first of them.
    text: Option<Vec<u8>>,
    tombstone: bool,
}

/// The last row of a key that is there, or was there once.
struct Latest {
    origin: Origin,
    /// Whether other partitions of the source have the key, too: which of their rows was the last is not known.
    mingled: bool,
}

impl Records {
    fn is_compacted(&self) -> bool {
        self.topic.as_ref().is_some_and(|topic| topic.limits.keyed)
    }

    /// Reads the records of all parts.
    fn read(&self, each: impl FnMut(&BorrowedMessage<'_>)) -> Result<(), Error> {
        match &self.topic {
            Some(topic) => offsets::read(&self.client, &topic.name, &self.parts, &self.stop, each),
            None => Ok(()),
        }
    }

    fn count(&mut self) -> Result<(), Error> {
        let mut held: HashMap<u128, Held> = HashMap::new();
        let mut found = 0;
        self.read(|record| {
            found += 1;
            let of_hash = held.entry(self.rule.of_record(record)).or_insert_with(|| Held {
                claimed: 0,
                unclaimed: 0,
                origin: Origin { partition: 0, position: 0 },
                times: Sum::default(),
                places: Sum::default(),
            });
            of_hash.unclaimed += 1;
            of_hash.times.found(record.timestamp().to_millis());
            of_hash.places.found(Some(record.partition().into()));
        })?;
        (self.held, self.found.found) = (held, found);
        Ok(())
    }

    fn expect_row(&mut self, origin: Origin, messages: &Messages<'_>, row: usize) {
        self.found.expected += 1;
        let mut scratch = Vec::new();
        let message = messages.get(row, &mut scratch);
        let hash = self.rule.of_row(messages, &message, row);
        let key = self.rule.key(message.key).map(key_hash);
        let own_time = self.topic.as_ref().is_some_and(|topic| topic.limits.own_time);
        let held = self.held.get_mut(&hash);
        let is_there = held.as_ref().is_some_and(|held| held.unclaimed > 0);
        if let Some(held) = held {
            held.times.expected(message.timestamp.filter(|_| is_there && !own_time));
            held.places.expected(message.partition.filter(|_| is_there && self.rule.has_side()).map(i64::from));
            if is_there {
                (held.claimed, held.unclaimed, held.origin) = (held.claimed + 1, held.unclaimed - 1, origin);
            }
        }
        if !is_there {
            let text = (self.missing.len() < MAX_EXAMPLES).then(|| message.value.unwrap_or(b"null").to_vec());
            self.missing.push(Missing { origin, key, text, tombstone: message.value.is_none() });
        }
        if let Some(key) = key.filter(|_| self.is_compacted() && (is_there || message.value.is_none())) {
            let latest = self.latest.entry(key).or_insert(Latest { origin, mingled: false });
            latest.mingled |= latest.origin.partition != origin.partition;
            latest.origin = origin;
        }
    }

    /// Whether compaction may have removed the record of a row: there is a later one of its key, or was.
    fn is_compacted_away(&self, missing: &Missing, others: &HashSet<u64>) -> bool {
        let Some(key) = missing.key.filter(|_| self.is_compacted()) else { return false };
        let is_later = |latest: &Latest| latest.mingled || latest.origin > missing.origin;
        missing.tombstone || others.contains(&key) || self.latest.get(&key).is_some_and(is_later)
    }

    fn finish(mut self) -> Result<Findings, Error> {
        let mut findings = mem::take(&mut self.found);
        self.misplaced(&mut findings);
        // For each key the missing rows that another record may stand for, where nothing else explains that they are missing.
        let mut by_key: HashMap<u64, VecDeque<usize>> = HashMap::new();
        if !self.is_compacted() && self.removed.is_empty() {
            for (nth, key) in self.missing.iter().enumerate().filter_map(|(nth, missing)| Some((nth, missing.key?))) {
                by_key.entry(key).or_default().push_back(nth);
            }
        }
        let mut altered = vec![false; self.missing.len()];
        let mut others = HashSet::new();
        let mut claims: HashMap<u128, u32> = HashMap::new();
        if self.held.values().any(|held| held.unclaimed > 0) {
            self.read(|record| {
                let hash = self.rule.of_record(record);
                let Some(held) = self.held.get(&hash).filter(|held| held.unclaimed > 0) else { return };
                let passed = claims.entry(hash).or_default();
                *passed += 1;
                let found = || shown(record.payload().unwrap_or(b"null"));
                let place = || Some(format!("partition {} at offset {}", record.partition(), record.offset()));
                let key = self.rule.key(record.key()).map(key_hash);
                if held.claimed > 0 {
                    // The first ones are the rows.
                    if *passed > held.claimed {
                        let example = || self.origins.example(held.origin);
                        findings.doubled.add(|| Example { place: place(), found: Some(found()), ..example() });
                    }
                } else if let Some(nth) = key.and_then(|key| by_key.get_mut(&key)?.pop_front()) {
                    let missing = &self.missing[nth];
                    altered[nth] = true;
                    findings.altered.add(|| Example {
                        place: place(),
                        expected: missing.text.as_deref().map(shown),
                        found: Some(found()),
                        fields: missing.text.as_deref().map_or(Vec::new(), |text| self.rule.differences(text, record)),
                        ..self.origins.example(missing.origin)
                    });
                } else {
                    if let Some(key) = key.filter(|_| self.is_compacted()) {
                        others.insert(key);
                    }
                    findings.unexpected.add(|| Example { place: place(), found: Some(found()), ..Example::default() });
                }
            })?;
        }
        let missing = self.missing.iter().zip(altered).filter(|(_, altered)| !altered).map(|(missing, _)| missing);
        let (compacted, gone): (Vec<_>, Vec<_>) = missing.partition(|missing| self.is_compacted_away(missing, &others));
        self.tell(&mut findings, compacted.len(), &gone);
        Ok(findings)
    }

    /// Rows whose records have another timestamp or partition.
    fn misplaced(&self, findings: &mut Findings) {
        for held in self.held.values().filter(|held| held.claimed > 0 && held.unclaimed == 0) {
            let differing = [("timestamp", &held.times), ("partition", &held.places)].into_iter();
            let differing = differing.filter(|(_, sum)| sum.differs()).map(|(field, _)| Difference {
                field: field.into(),
                expected: Some("the record's own".into()),
                found: Some("another".into()),
            });
            let fields: Vec<_> = differing.collect();
            if !fields.is_empty() {
                findings.altered.add(|| Example { fields, ..self.origins.example(held.origin) });
            }
        }
    }

    /// Says of rows that are not there why they may not be, or that they are lost.
    fn tell(&self, findings: &mut Findings, compacted: usize, gone: &[&Missing]) {
        let topic = self.topic.as_ref().map_or("", |topic| &topic.name);
        if compacted > 0 {
            findings.unverifiable.push(format!(
                "{compacted} rows are not there any more: topic {topic} is compacted, and has or had later records of their keys"
            ));
        }
        let room: i64 = self.removed.iter().map(|part| part.to - part.from).sum();
        if gone.is_empty() || gone.len() as i64 > room {
            for missing in gone {
                let expected = missing.text.as_deref().map(shown);
                findings.lost.add(|| Example { expected, ..self.origins.example(missing.origin) });
            }
            return;
        }
        let parts: Vec<String> = self
            .removed
            .iter()
            .map(|part| format!("offsets {} to {} of partition {}", part.from, part.to - 1, part.partition))
            .collect();
        findings.unverifiable.push(format!(
            "{} rows may be among the records that retention has removed from topic {topic} since: {}",
            gone.len(),
            parts.join(", ")
        ));
    }
}

#[async_trait]
impl Auditor for Records {
    async fn expect(&mut self, rows: &Output) -> Result<(), Error> {
        let wanted = self.wanted.clone();
        let messages = Messages::of(rows, &wanted)?;
        let origins: Vec<Origin> = self.origins.of(rows).collect();
        for (row, origin) in origins.into_iter().enumerate() {
            self.expect_row(origin, &messages, row);
        }
        Ok(())
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        let Some(topic) = &self.topic else { return Ok(vec![None; output.len()]) };
        let messages = Messages::of(output, &self.wanted)?;
        let now = jiff::Timestamp::now().as_millisecond();
        let mut scratch = Vec::new();
        Ok((0..messages.len()).map(|row| messages.refusal(row, &messages.get(row, &mut scratch), topic, now)).collect())
    }

    /// What the brokers refuse, they have said; how old a record may be depends on when it was sent.
    fn is_own_reason(&self, cause: &str) -> bool {
        cause.starts_with("the brokers refuse") || cause.starts_with("timestamp: ")
    }

    async fn finish(self: Box<Self>) -> Result<Findings, Error> {
        blocking::run(move || (*self).finish()).await?
    }
}
