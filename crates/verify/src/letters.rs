//! Compares the list of dead letters with the records that can't be processed: each must be listed once, and nothing
//! else.
use crate::{Claimant, Error, report::LetterFindings};
use dataflow_api_types::{Claims, DeadLetter};
use dataflow_core::position::Partition;
use dataflow_sdk::{
    Records,
    audit::{Example, Finding},
    batch::Dead,
};
use std::collections::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

/// Dead letters by position: a file may have another name by now than the one that its letters were listed under.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    listed: HashMap<String, Vec<Listed>>,
    /// Whether the source [renames](dataflow_sdk::source::Source::renames) its partitions.
    renamed: bool,
    /// Letters of which only the number is left: the journal is older than the target that counts them.
    bodiless: Vec<Example>,
    findings: LetterFindings,
}

/// A listed entry.
#[derive(Debug)]
struct Listed {
    number: u64,
    partition: Partition,
    stage: String,
    code: String,
    cause: String,
    id: String,
    length: u64,
    hash: Option<String>,
    explained: bool,
    /// Whether its record was read again.
    read: bool,
}

impl Listed {
    /// Whether it may be the entry of a record which is in a file that was renamed since.
    fn is_of_another_name(&self, records: &Records, row: usize) -> bool {
        let place = |partition: &Partition| format!("{partition}/{}", records.before(row).at);
        let may_be_moved = self.id == place(&self.partition) && records.id(row) == place(&records.partition);
        may_be_moved && self.partition != records.partition && self.hash.is_some() && self.hash == hash(records, row)
    }
}

impl Letters {
    /// Loads the list of the current generation: entries of earlier ones precede it.
    pub(crate) async fn load(claimant: &dyn Claimant, claims: &Claims, renamed: bool) -> Result<Self, Error> {
        let mut letters = Self { renamed, ..Self::default() };
        let mut after = claims.earlier.dead;
        loop {
            let page = claimant.dead_letters(after).await?;
            let Some(last) = page.last() else { return Ok(letters) };
            after = last.number;
            page.into_iter().for_each(|letter| letters.list(letter));
        }
    }

    fn list(&mut self, letter: DeadLetter) {
        let DeadLetter { number, partition, position, record_id, stage, code, cause, length, hash, .. } = letter;
        self.findings.found += 1;
        let (Some(partition), Some(position)) = (partition, position) else {
            return self.bodiless.push(Example { place: place(number), found: Some(cause), ..Example::default() });
        };
        let (partition, id) = (Partition::from(partition.as_str()), record_id.unwrap_or_default());
        let listed = Listed { number, partition, stage, code, cause, id, length, hash, explained: false, read: false };
        self.listed.entry(position).or_default().push(listed);
    }

    /// Whether the sink may have rejected a record whose letter has no body.
    pub(crate) fn has_bodiless(&self) -> bool {
        !self.bodiless.is_empty()
    }

    /// The code of a record's rejection by the sink, by what it was then; `None` if no such rejection is listed.
    pub(crate) fn turned_down(&self, records: &Records, row: u32) -> Option<&str> {
        let is_refusal = |listed: &&Listed| {
            listed.stage == "sink" && matches!(listed.code.as_str(), "rejected" | "no-fields" | "type-mismatch")
        };
        self.of(records, row).find(is_refusal).map(|listed| listed.code.as_str())
    }

    /// Notes that these records were read again.
    pub(crate) fn read(&mut self, records: &Records) {
        let renamed = self.renamed;
        for row in 0..records.len() {
            let Some(listed) = self.listed.get_mut(&*records.before(row).at) else { continue };
            // A file of the same name may have come since, of which another record is there.
            let is_it = |listed: &Listed| !renamed || listed.hash.is_none() || listed.hash == hash(records, row);
            let own = listed.iter_mut().filter(|listed| listed.partition == records.partition && is_it(listed));
            own.for_each(|listed| listed.read = true);
        }
    }

    /// Whether no dead letter is listed for a record.
    pub(crate) fn has_none(&self, records: &Records, row: u32) -> bool {
        self.of(records, row).next().is_none()
    }

    /// The cause that is listed for a record.
    pub(crate) fn cause(&self, records: &Records, row: u32) -> Option<&str> {
        self.of(records, row).next().map(|listed| listed.cause.as_str())
    }

    /// The entries that may be a record's, those of its own partition first.
    fn of(&self, records: &Records, row: u32) -> impl Iterator<Item = &Listed> {
        let row = row as usize;
        let at = self.listed.get(&*records.before(row).at).map(Vec::as_slice).unwrap_or_default();
        let own = at.iter().filter(|listed| listed.partition == records.partition);
        own.chain(at.iter().filter(move |listed| self.renamed && listed.is_of_another_name(records, row)))
    }

    /// Expects a dead letter for a record that can't be processed. `unlisted`: the journal does not know of it yet, so
    /// the list can't contain it.
    pub(crate) fn expect(&mut self, records: &Records, dead: &Dead, unlisted: bool) {
        let row = dead.row as usize;
        let position = records.before(row).at;
        let expected = format!("{} {}: {}", dead.stage, dead.code, dead.cause);
        let example = |number: Option<u64>, expected, found| Example {
            partition: Some(records.partition.to_string()),
            position: Some(position.to_string()),
            place: number.and_then(place),
            expected: Some(expected),
            found,
            ..Example::default()
        };
        let is_same = |listed: &Listed| {
            listed.stage == dead.stage && listed.code == dead.code && listed.length == length(records, row)
        };
        let renamed = self.renamed;
        let is_own = |listed: &Listed| listed.partition == records.partition;
        let at = self.listed.get_mut(&*position).map(Vec::as_mut_slice).unwrap_or_default();
        let open = |fits: &dyn Fn(&Listed) -> bool| at.iter().position(|listed| !listed.explained && fits(listed));
        let found = open(&|listed| is_own(listed) && is_same(listed) && listed.id == records.id(row))
            .or_else(|| open(&|listed| renamed && listed.is_of_another_name(records, row) && is_same(listed)))
            .or_else(|| open(&is_own));
        match found.map(|found| &mut at[found]) {
            None if unlisted => {}
            None => {
                self.findings.expected += 1;
                self.findings.lost.add(|| example(None, expected, None));
            }
            Some(listed) => {
                self.findings.expected += 1;
                listed.explained = true;
                if !is_same(listed) || is_own(listed) && listed.id != records.id(row) {
                    let mut found = format!("{} {}: {}", listed.stage, listed.code, listed.cause);
                    let mut expected = expected;
                    // What says the same of another record.
                    if listed.length != length(records, row) {
                        expected.push_str(&format!("; of a record of {} bytes", length(records, row)));
                        found.push_str(&format!("; of a record of {} bytes", listed.length));
                    }
                    if is_own(listed) && listed.id != records.id(row) {
                        expected.push_str(&format!("; of the record with id {}", records.id(row)));
                        found.push_str(&format!("; of the record with id {}", listed.id));
                    }
                    self.findings.altered.add(|| example(Some(listed.number), expected, Some(found)));
                }
            }
        }
    }

    /// Reports listed entries that were not expected. Those of records that were not read again may be right, unless they
    /// are more than so many. Each letter without a body stands for one that is missing in the list.
    pub(crate) fn finish(mut self, unread: u64) -> LetterFindings {
        let findings = &mut self.findings;
        findings.bodiless = self.bodiless.len() as u64;
        let unexplained =
            self.listed.values().flatten().filter(|listed| !listed.explained && !listed.read).count() as u64;
        let count = unexplained + findings.bodiless.saturating_sub(findings.lost.count);
        findings.unread = if count <= unread { count } else { 0 };
        if findings.lost.count <= findings.bodiless {
            if count > unread {
                let rest = self.bodiless.into_iter().skip(findings.lost.count as usize);
                rest.for_each(|example| findings.unexpected.add(|| example));
            }
            findings.lost = Finding::default();
        }
        let mut accused: Vec<(String, Listed, bool)> = Vec::new();
        for (position, listed) in self.listed {
            let mut of: HashSet<Partition> = HashSet::new();
            for listed in listed {
                let again = !of.insert(listed.partition.clone());
                if !listed.explained && (listed.read || count > unread) {
                    accused.push((position.clone(), listed, again));
                }
            }
        }
        accused.sort_by_key(|(_, listed, _)| listed.number);
        for (position, Listed { number, partition, stage, code, cause, .. }, again) in accused {
            let finding = if again { &mut findings.doubled } else { &mut findings.unexpected };
            finding.add(|| Example {
                partition: Some(partition.to_string()),
                position: Some(position),
                place: place(number),
                found: Some(format!("{stage} {code}: {cause}")),
                ..Example::default()
            });
        }
        self.findings
    }
}

/// The length of a record, even if only its head is kept.
fn length(records: &Records, row: usize) -> u64 {
    let oversized = records.oversized.iter().find(|oversized| oversized.row as usize == row);
    let whole = || records.bytes(row).map_or(0, |bytes| bytes.len() as u64);
    oversized.map_or_else(whole, |oversized| oversized.length)
}

/// The hash of a record, even if only its head is kept.
fn hash(records: &Records, row: usize) -> Option<String> {
    let oversized = records.oversized.iter().find(|oversized| oversized.row as usize == row);
    let whole = || records.bytes(row).map(|bytes| format!("{:016x}", xxh3_64(bytes)));
    oversized.map_or_else(whole, |oversized| Some(oversized.hash.clone()))
}

fn place(number: u64) -> Option<String> {
    Some(format!("dead letter {number}"))
}
