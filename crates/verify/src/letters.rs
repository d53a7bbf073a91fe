//! Compares the list of dead letters with the records that can't be processed: each must be listed once, and nothing
//! else.
use crate::{Claimant, Error, report::LetterFindings};
use dataflow_api_types::{Claims, DeadLetter};
use dataflow_core::position::Partition;
use dataflow_sdk::{Records, audit::Example, batch::Dead};
use std::collections::HashMap;

/// Dead letters by partition and position.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    listed: HashMap<Partition, HashMap<String, Listed>>,
    findings: LetterFindings,
}

/// The listed entries of one record.
#[derive(Debug)]
struct Listed {
    number: u64,
    stage: String,
    code: String,
    cause: String,
    id: String,
    length: u64,
    explained: bool,
    /// Whether its record was read again.
    read: bool,
}

impl Letters {
    /// Loads the list of the current generation: entries of earlier ones precede it.
    pub(crate) async fn load(claimant: &dyn Claimant, claims: &Claims) -> Result<Self, Error> {
        let mut letters = Self::default();
        let mut after = claims.earlier.dead;
        loop {
            let page = claimant.dead_letters(after).await?;
            let Some(last) = page.last() else { return Ok(letters) };
            after = last.number;
            page.into_iter().for_each(|letter| letters.list(letter));
        }
    }

    fn list(&mut self, letter: DeadLetter) {
        let DeadLetter { number, partition, position, record_id, stage, code, cause, length, .. } = letter;
        self.findings.found += 1;
        let place = place(number);
        if partition.is_empty() {
            // All that is left of a letter that the journal does not have.
            let example = Example { place, found: Some(cause), ..Example::default() };
            return self.findings.unexpected.add(|| example);
        }
        let of_partition = self.listed.entry(partition.as_str().into()).or_default();
        if of_partition.contains_key(&position) {
            let found = Some(format!("{stage} {code}: {cause}"));
            let example =
                Example { partition: Some(partition), position: Some(position), place, found, ..Example::default() };
            return self.findings.doubled.add(|| example);
        }
        of_partition.insert(
            position,
            Listed { number, stage, code, cause, id: record_id, length, explained: false, read: false },
        );
    }

    /// The listed cause of a record's rejection by the sink; `None` if no rejection is listed.
    pub(crate) fn turned_down(&self, records: &Records, row: u32) -> Option<&str> {
        let listed = self.of(records, row)?;
        (listed.stage == "sink" && matches!(listed.code.as_str(), "rejected" | "no-fields")).then_some(&listed.code)
    }

    /// Notes that these records were read again.
    pub(crate) fn read(&mut self, records: &Records) {
        let Some(listed) = self.listed.get_mut(&records.partition) else { return };
        for row in 0..records.len() {
            if let Some(listed) = listed.get_mut(&*records.before(row).at) {
                listed.read = true;
            }
        }
    }

    /// The cause that is listed for a record.
    pub(crate) fn cause(&self, records: &Records, row: u32) -> Option<&str> {
        Some(&self.of(records, row)?.cause)
    }

    fn of(&self, records: &Records, row: u32) -> Option<&Listed> {
        self.listed.get(&records.partition)?.get(&*records.before(row as usize).at)
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
        let listed = self.listed.get_mut(&records.partition).and_then(|of| of.get_mut(&*position));
        match listed {
            None if unlisted => {}
            None => {
                self.findings.expected += 1;
                self.findings.lost.add(|| example(None, expected, None));
            }
            Some(listed) => {
                self.findings.expected += 1;
                listed.explained = true;
                let same = listed.stage == dead.stage
                    && listed.code == dead.code
                    && listed.id == records.id(row)
                    && listed.length == length(records, dead.row);
                if !same {
                    let found = format!("{} {}: {}", listed.stage, listed.code, listed.cause);
                    self.findings.altered.add(|| example(Some(listed.number), expected, Some(found)));
                }
            }
        }
    }

    /// Reports listed entries that were not expected. Those of records that were not read again may be right, unless they
    /// are more than so many.
    pub(crate) fn finish(mut self, unread: u64) -> LetterFindings {
        let unexplained = |listed: &Listed| !listed.explained;
        let count = self.listed.values().flat_map(HashMap::values);
        let count = count.filter(|listed| unexplained(listed) && !listed.read).count() as u64;
        self.findings.unread = if count <= unread { count } else { 0 };
        for (partition, of_partition) in self.listed {
            let accused = |listed: &Listed| unexplained(listed) && (listed.read || count > unread);
            let mut rest: Vec<_> = of_partition.into_iter().filter(|(_, listed)| accused(listed)).collect();
            rest.sort_by_key(|(_, listed)| listed.number);
            for (position, Listed { number, stage, code, cause, .. }) in rest {
                self.findings.unexpected.add(|| Example {
                    partition: Some(partition.to_string()),
                    position: Some(position),
                    place: place(number),
                    found: Some(format!("{stage} {code}: {cause}")),
                    ..Example::default()
                });
            }
        }
        self.findings
    }
}

/// The length of a record, even if only its head is kept.
fn length(records: &Records, row: u32) -> u64 {
    let oversized = records.oversized.iter().find(|oversized| oversized.row == row).map(|oversized| oversized.length);
    oversized.unwrap_or_else(|| records.bytes(row as usize).map_or(0, |bytes| bytes.len() as u64))
}

fn place(number: u64) -> Option<String> {
    Some(format!("dead letter {number}"))
}
