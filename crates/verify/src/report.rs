//! What a verification found.
use crate::Options;
use dataflow_core::{
    ledger::Counters,
    pipeline::event::{LaneProgress, Lost},
    position::{Partition, Position},
    spec::Component,
};
use dataflow_engine::claims::Claims;
use dataflow_sdk::audit::{Finding, Findings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a verification found. `verified` says whether all is proven.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The pipeline.
    pub pipeline_id: String,
    /// Its reading order.
    pub generation: u64,
    /// Whether everything that the pipeline claims is proven, and nothing is left that could not be looked at.
    pub verified: bool,
    /// The target's rows: expected, found, lost, doubled, altered, unexpected.
    #[serde(flatten)]
    pub rows: Findings,
    /// Rows that nothing explains, or that are there once more, are not held against the pipeline (`--shared`).
    pub shared: bool,
    /// Whether the spec says that fields without a column are left out (`columns`, or `unknownFields: ignore`): fields that
    /// were not written are then listed, and not held against the pipeline.
    pub leaves_out: bool,
    /// Records that are gone by an explicit choice, in any generation: they are accounted for, and in no target.
    pub records_lost: u64,
    /// Bytes that are gone so, of which nobody knows how many records they were.
    pub bytes_lost: u64,
    /// Its dead letters.
    pub dead_letters: LetterFindings,
    /// Its counts: what the ledger says, and what the range gives.
    pub ledger: BTreeMap<String, Count>,
    /// Tokens of the sink that contradict the journal.
    pub tokens: Vec<TokenFinding>,
    /// Parts of the range that can't be looked at any more.
    pub unverifiable: Vec<Missing>,
    /// Dead letters that are taken at the database's word: its reason may lie in other rows or in triggers, so that it can't be
    /// told whether it would refuse the record again. Not held against the pipeline.
    pub at_its_word: Finding,
    /// Output fields that are other ones each time a record is read, and so were not compared.
    pub not_compared: Vec<String>,
    /// Why what is in the target may not outlive a crash of its server. Not held against the pipeline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_durable: Vec<String>,
    /// What the range gives, as it is counted.
    #[serde(skip)]
    pub(crate) counted: Counters,
}

/// A count of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// What the range gives.
    pub expected: u64,
    /// What the ledger says.
    pub found: u64,
}

/// How the list of dead letters differs from what the range gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LetterFindings {
    /// Records of the range that can't be processed.
    pub expected: u64,
    /// Dead letters of this generation in the list.
    pub found: u64,
    /// Not in the list.
    pub lost: Finding,
    /// In the list more than once.
    pub doubled: Finding,
    /// In the list, with another stage, code, length or record id than the range gives.
    pub altered: Finding,
    /// In the list, of records that can be processed or are not in the range.
    pub unexpected: Finding,
}

/// A token that contradicts the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenFinding {
    /// Which lane.
    pub lane: u32,
    /// The journal's commit.
    pub journal: u64,
    /// The token's.
    pub sink: Option<u64>,
    /// What is wrong.
    pub problem: String,
}

/// Something that can't be looked at any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// Where in the source; none: it is not about one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// From this position on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Up to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Why.
    pub reason: String,
}

impl Report {
    pub(crate) fn of(claims: &Claims, options: &Options) -> Self {
        let mut report = Self {
            pipeline_id: claims.pipeline_id.to_string(),
            generation: claims.generation.number,
            shared: options.shared,
            leaves_out: leaves_out(&claims.spec.sink),
            ..Self::default()
        };
        if let Some(at) = &claims.changed {
            report.cannot(format!(
                "transforms or types were changed in the middle of the generation ({at}), where it can't be told which records the \
                 earlier ones had taken"
            ));
        }
        let reached = |partition: &Partition| claims.by_lane.iter().find_map(|lane| lane.positions.get(partition));
        for (partition, at) in claims.stretches.iter().flat_map(|stretch| &stretch.until) {
            if reached(partition).is_none_or(|now| is_another(at, now)) {
                report.missing(
                    partition,
                    0,
                    at.as_offset().unwrap_or_default(),
                    "transforms or types were changed since, and it bears another name by now, or is another one",
                );
            }
        }
        report
    }

    /// Notes something that can't be looked at.
    pub(crate) fn cannot(&mut self, reason: impl Into<String>) {
        self.unverifiable.push(Missing { partition: None, from: None, to: None, reason: reason.into() });
    }

    /// Notes a part of the range that can't be looked at.
    pub(crate) fn missing(&mut self, partition: &Partition, from: u64, to: u64, reason: impl Into<String>) {
        let partition = Some(partition.to_string());
        self.unverifiable.push(Missing { partition, from: Some(from), to: Some(to), reason: reason.into() });
    }

    pub(crate) fn records(&self) -> u64 {
        self.counted.read
    }

    /// Holds the ledger against what was counted, and says how it all ends.
    pub(crate) fn conclude(&mut self, claims: &Claims, reached: &[LaneProgress]) {
        let passed = |lost: &&Lost| reached.iter().all(|lane| lane.positions.get(&lost.partition) != Some(&lost.from));
        self.counted.lost = claims.lost.iter().filter(passed).map(|lost| lost.records).sum();
        self.counted.read += self.counted.lost;
        let mut found = Counters::default();
        reached.iter().for_each(|lane| found.add(&lane.counters));
        self.records_lost = found.lost + claims.earlier.lost;
        self.bytes_lost = found.bytes_lost + claims.earlier.bytes_lost;
        let counts = |counters: &Counters| {
            let Counters { read, delivered, filtered, absorbed, dead, lost, .. } = *counters;
            [
                ("read", read),
                ("delivered", delivered),
                ("filtered", filtered),
                ("absorbed", absorbed),
                ("dead", dead),
                ("lost", lost),
            ]
        };
        let both = counts(&self.counted).into_iter().zip(counts(&found));
        self.ledger = both.map(|((name, expected), (_, found))| (name.into(), Count { expected, found })).collect();
        if found.read > self.counted.read && self.unverifiable.is_empty() {
            let more = found.read - self.counted.read;
            self.cannot(format!(
                "{more} of the records that the ledger counts are not in what can be read now: they have expired or were \
                 rotated away, or they never were"
            ));
        }
        self.verified = self.is_proven();
    }

    fn is_proven(&self) -> bool {
        let none = |findings: &[&Finding]| findings.iter().all(|finding| finding.count == 0);
        let (rows, letters) = (&self.rows, &self.dead_letters);
        none(&[&rows.lost, &rows.altered])
            && (self.shared || none(&[&rows.doubled, &rows.unexpected]))
            && (self.leaves_out || rows.unwritten.is_empty())
            && none(&[&letters.lost, &letters.doubled, &letters.altered, &letters.unexpected])
            && self.ledger.values().all(|count| count.expected == count.found)
            && self.tokens.is_empty()
            && self.unverifiable.is_empty()
    }
}

/// Whether two positions of a partition are in different files or topics. What comes after an `@` says how far a file is known.
fn is_another(one: &Position, other: &Position) -> bool {
    let known = |position: &Position| {
        let identity = position.identity.as_deref()?;
        Some(identity.split_once('@').map_or(identity, |(file, _)| file).to_owned())
    };
    matches!((known(one), known(other)), (Some(one), Some(other)) if one != other)
}

/// Whether the spec of a sink says itself that fields without a column are left out.
fn leaves_out(sink: &Component) -> bool {
    let says = |field: &str| sink.config.get(field);
    says("columns").is_some() || says("unknownFields").is_some_and(|rule| rule == "ignore")
}
