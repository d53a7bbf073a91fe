//! The result of a verification.
use crate::Options;
use dataflow_api_types::Claims;
use dataflow_core::{
    ledger::Counters,
    pipeline::event::{LaneProgress, Lost},
    position::{Partition, Position},
};
use dataflow_sdk::{
    Records,
    audit::{Finding, Findings},
    source::Source,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The result of a verification. `verified` says whether everything is proven.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The pipeline.
    pub pipeline_id: String,
    /// The sink, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// The number of its generation.
    pub generation: u64,
    /// Whether everything that the pipeline claims is proven, and every part of it could be checked.
    pub verified: bool,
    /// The target's rows: expected, found, lost, doubled, altered, unexpected.
    #[serde(flatten)]
    pub rows: Findings,
    /// Unexplained and doubled rows don't count as failures (`--shared`).
    pub shared: bool,
    /// Whether the spec says that fields without a column are left out (`columns`, or `unknownFields: ignore`):
    /// unwritten fields are then listed, but don't count as failures.
    pub leaves_out: bool,
    /// Records lost by an explicit choice, in any generation: they are accounted for, and in no target.
    pub records_lost: u64,
    /// Bytes lost by such a choice, whose number of records is unknown.
    pub bytes_lost: u64,
    /// Its dead letters.
    pub dead_letters: LetterFindings,
    /// Its counts: those of the ledger, and those of the range.
    pub ledger: BTreeMap<String, Count>,
    /// Tokens of the sink that contradict the journal.
    pub tokens: Vec<TokenFinding>,
    /// Parts of the range that can't be checked any more.
    pub unverifiable: Vec<Missing>,
    /// Rows and dead letters that may be those of records which can't be read any more, or rows of earlier generations: neither
    /// proven nor held against the pipeline.
    #[serde(default)]
    pub unattributed: u64,
    /// Dead letters that rest on the database's word: its reason may lie in other rows or in triggers, so whether it
    /// would reject the record again is unknown. Not a failure.
    pub at_its_word: Finding,
    /// Output fields with a different value each time a record is read, which were not compared.
    pub not_compared: Vec<String>,
    /// Reasons why the target's content may not survive a crash of its server. Not a failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_durable: Vec<String>,
    /// The counts of the range.
    #[serde(skip)]
    pub(crate) counted: Counters,
}

/// A count of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// The count of the range.
    pub expected: u64,
    /// The count of the ledger.
    pub found: u64,
}

/// The differences between the list of dead letters and the range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LetterFindings {
    /// Records of the range that can't be processed.
    pub expected: u64,
    /// Dead letters of this generation in the list.
    pub found: u64,
    /// Missing from the list.
    pub lost: Finding,
    /// Listed more than once.
    pub doubled: Finding,
    /// Listed with another stage, code, length or record id than the range gives.
    pub altered: Finding,
    /// Listed, but the record can be processed or is not in the range.
    pub unexpected: Finding,
    /// Counted by the target, and in no list: the journal is older than the target, as after a restore. Each stands for a
    /// record that can't be processed. Not a failure.
    #[serde(default)]
    pub bodiless: u64,
    /// Listed for records that can't be read any more.
    #[serde(skip)]
    pub(crate) unread: u64,
}

/// A token that contradicts the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenFinding {
    /// The lane.
    pub lane: u32,
    /// The number of the journal's commit.
    pub journal: u64,
    /// The number of the token's commit.
    pub sink: Option<u64>,
    /// The contradiction.
    pub problem: String,
}

/// Something that can't be checked any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// Where in the source; `None` if it is not about one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// From this position on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Up to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The reason.
    pub reason: String,
}

impl Report {
    pub(crate) fn of(claims: &Claims, options: &Options, source: &dyn Source, leaves_out: bool) -> Self {
        let mut report = Self {
            pipeline_id: claims.pipeline_id.to_string(),
            sink: claims.sink.as_ref().map(ToString::to_string),
            generation: claims.generation.number,
            shared: options.shared,
            leaves_out,
            ..Self::default()
        };
        if let Some(at) = &claims.changed {
            report.cannot(format!(
                "transforms or types were changed in the middle of the generation ({at}): it is unknown which records the \
                 earlier ones had processed"
            ));
        }
        let reached = |partition: &Partition| claims.by_lane.iter().find_map(|lane| lane.positions.get(partition));
        for (partition, at) in claims.stretches.iter().flat_map(|stretch| &stretch.until) {
            if reached(partition).is_none_or(|now| !source.is_same(at, now)) {
                report.missing(
                    partition,
                    &source.beginning(),
                    at,
                    "transforms or types were changed since, and the partition was renamed or replaced",
                );
            }
        }
        report
    }

    /// Records something that can't be checked.
    pub(crate) fn cannot(&mut self, reason: impl Into<String>) {
        self.unverifiable.push(Missing { partition: None, from: None, to: None, reason: reason.into() });
    }

    /// Records a part of the range that can't be checked.
    pub(crate) fn missing(&mut self, partition: &Partition, from: &Position, to: &Position, reason: impl Into<String>) {
        let (partition, reason) = (Some(partition.to_string()), reason.into());
        let [from, to] = [from, to].map(|at| Some(at.to_string()));
        self.unverifiable.push(Missing { partition, from, to, reason });
    }

    /// Records a record that can't be checked.
    pub(crate) fn missing_record(&mut self, records: &Records, row: u32, reason: &str) {
        let (row, next) = (row as usize, row as usize + 1);
        let to = if next < records.len() { records.before(next) } else { records.to.clone() };
        self.missing(&records.partition, &records.before(row), &to, reason);
    }

    pub(crate) fn records(&self) -> u64 {
        self.counted.read
    }

    /// Compares the ledger with the counts, and concludes the report. `letters`: the findings about dead letters, of which so
    /// many may be those of records that can't be read any more.
    pub(crate) fn conclude(
        &mut self,
        claims: &Claims,
        reached: &[LaneProgress],
        letters: impl FnOnce(u64) -> LetterFindings,
    ) {
        let passed = |lost: &&Lost| reached.iter().all(|lane| lane.positions.get(&lost.partition) != Some(&lost.from));
        self.counted.lost = claims.lost.iter().filter(passed).map(|lost| lost.records).sum();
        self.counted.read += self.counted.lost;
        let mut found = Counters::default();
        reached.iter().for_each(|lane| found.add(&lane.counters));
        let all_read = found.read <= self.counted.read && self.unverifiable.is_empty();
        let unread = if all_read { Counters::default() } else { found.beyond(&self.counted) };
        self.dead_letters = letters(unread.dead);
        self.unattributed = self.dead_letters.unread;
        // An unexplained row may be that of an unread record, unless there are more of them than such records have written.
        let rows = [&mut self.rows.unexpected, &mut self.rows.doubled];
        let unexplained: u64 = rows.iter().map(|finding| finding.count).sum();
        let earlier = claims.earlier.delivered.max(claims.earlier.rows_written);
        let of_unread = unread.delivered.max(unread.rows_written);
        if unexplained <= of_unread + if self.shared { 0 } else { earlier } {
            self.unattributed += unexplained;
            rows.into_iter().for_each(|finding| *finding = Finding::default());
            if unexplained > of_unread {
                self.cannot(format!(
                    "{unexplained} rows are of no record of generation {}, which alone is verified: they may be among the \
                     {earlier} that earlier ones have written",
                    self.generation
                ));
            }
        }
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
                "{more} of the records that the ledger counts can't be read now: they have expired, were \
                 changed, deleted or rotated away since, or never existed"
            ));
        }
        std::mem::take(&mut self.rows.unverifiable).into_iter().for_each(|reason| self.cannot(reason));
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
