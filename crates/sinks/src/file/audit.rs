//! Auditing lines, of a file or of objects: by hash, against the rows that should be there.
//!
//! They are read first, 40 bytes of memory a line; then each row that should be there finds its line, or is kept as
//! an example while its text is at hand. Lines that no row has found are doubled, altered or unexpected.
use super::{
    FileSink, Format,
    handle::Handle,
    lines::documents,
    open::demand,
    ruled::{Line, Reading, Rule},
};
use crate::blocking;
use async_trait::async_trait;
use dataflow_sdk::{
    Error,
    audit::{Audit, Audited, Auditor, Example, Findings, Leftovers, MAX_EXAMPLES, Origin, Origins, shown},
    batch::{Demand, Output, Payload},
    sink::CommitError,
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Stands for "no partition" and "no line".
const NONE: u32 = u32::MAX;
const UNCLAIMED: Origin = Origin { partition: NONE, position: 0 };

/// Reads the file from where the generation began.
pub(super) fn open(config: &FileSink, audit: &Audit) -> Result<Audited, Error> {
    let handle = audit.lanes.iter().find_map(|lane| lane.handle.clone()).map(Handle::from_json).transpose()?;
    let reading = Reading::new(config, handle.as_ref());
    let header = reading.header()?;
    let columns = header.or_else(|| config.columns.clone()).unwrap_or_default();
    let csv = (config.format() == Format::Csv).then_some(config.csv());
    let demand = match csv {
        Some(_) => demand(&columns),
        None => Demand::Lines,
    };
    let rule = Rule { csv, columns, volatile: audit.volatile.clone() };
    auditor(Box::new(Written { reading, any: handle.is_some() }), rule, demand)
}

/// Reads all lines, to compare them with the rows that should be there.
pub(crate) fn auditor(text: Box<dyn Text>, rule: Rule, demand: Demand) -> Result<Audited, Error> {
    let mut hashes = Vec::new();
    let mut beyond = None;
    text.lines(&rule, &mut |line| {
        if line.beyond && beyond.is_none() {
            beyond = Some(hashes.len());
        }
        hashes.push(rule.fingerprint(&line));
    })?;
    let lines = u32::try_from(hashes.len()).ok().filter(|lines| *lines < NONE);
    let lines =
        lines.ok_or_else(|| Error::fatal("too-large", "the target has more lines than can be audited").for_user())?;
    let auditor = LineAuditor {
        claims: vec![UNCLAIMED; lines as usize],
        beyond: beyond.map_or(lines, |line| line as u32),
        hashes,
        groups: None,
        text,
        rule,
        origins: Origins::default(),
        last: HashMap::new(),
        leftovers: Leftovers::default(),
        missing: Vec::new(),
        texts: Vec::new(),
        expected: 0,
    };
    Ok(Audited { auditor: Box::new(auditor), demand, not_durable: Vec::new() })
}

/// Lines that were written.
pub(crate) trait Text: Send + Sync {
    /// Every line, first those that the journal counts, then those beyond.
    ///
    /// # Errors
    /// If they can't be read.
    fn lines(&self, rule: &Rule, each: &mut dyn FnMut(Line<'_>)) -> Result<(), Error>;
    /// Where a line is, as users find it.
    fn place(&self, line: u32) -> String;
}

/// The file, if the journal knows of one.
struct Written {
    reading: Reading,
    any: bool,
}

impl Text for Written {
    fn lines(&self, rule: &Rule, each: &mut dyn FnMut(Line<'_>)) -> Result<(), Error> {
        if self.any { self.reading.lines(rule, each) } else { Ok(()) }
    }
    fn place(&self, line: u32) -> String {
        format!("line {}", self.reading.number(line))
    }
}

/// Lines by hash. Made when a row is not on the line behind the one before it.
struct Groups {
    /// Lines by rising hash, then number.
    order: Vec<u32>,
    /// For the first line of each hash: how many of them are known to be claimed.
    claimed: Vec<u32>,
}

/// A row that has no line.
struct Missing {
    origin: Origin,
    /// The line of the row before it in its partition.
    after: u32,
}

struct LineAuditor {
    text: Box<dyn Text>,
    rule: Rule,
    origins: Origins,
    hashes: Vec<u128>,
    /// The row that each line is.
    claims: Vec<Origin>,
    /// The first line that the journal does not count.
    beyond: u32,
    groups: Option<Groups>,
    /// The last line of each partition.
    last: HashMap<u32, u32>,
    leftovers: Leftovers,
    missing: Vec<Missing>,
    /// The texts of the first of them.
    texts: Vec<Vec<u8>>,
    expected: u64,
}

impl LineAuditor {
    fn expect_row(&mut self, origin: Origin, document: &[u8]) {
        self.expected += 1;
        self.rule.leftovers(document, |field| self.leftovers.note(field, origin, &self.origins));
        let hash = self.rule.fingerprint_of(document);
        let last = self.last.get(&origin.partition).copied();
        let next = last.map_or(0, |last| last + 1) as usize;
        let follows = self.hashes.get(next) == Some(&hash) && self.claims[next] == UNCLAIMED;
        let line = if follows { Some(next as u32) } else { self.find(hash) };
        match line {
            Some(line) => {
                self.claims[line as usize] = origin;
                self.last.insert(origin.partition, line);
            }
            None => {
                self.missing.push(Missing { origin, after: last.unwrap_or(NONE) });
                if self.texts.len() < MAX_EXAMPLES {
                    self.texts.push(document.to_vec());
                }
            }
        }
    }

    /// The first line of this hash that no row has claimed.
    fn find(&mut self, hash: u128) -> Option<u32> {
        let hashes = &self.hashes;
        let groups = self.groups.get_or_insert_with(|| {
            let mut order: Vec<u32> = (0..hashes.len() as u32).collect();
            order.sort_unstable_by_key(|line| (hashes[*line as usize], *line));
            Groups { claimed: vec![0; order.len()], order }
        });
        let first = groups.order.partition_point(|line| hashes[*line as usize] < hash);
        loop {
            let skipped = *groups.claimed.get(first)?;
            let line = *groups.order.get(first + skipped as usize)?;
            if hashes[line as usize] != hash {
                return None;
            }
            if self.claims[line as usize] == UNCLAIMED {
                return Some(line);
            }
            groups.claimed[first] += 1;
        }
    }

    /// The rows that have the lines which no row has claimed: the same hash claimed elsewhere.
    fn doubles(&self) -> HashMap<u128, Origin> {
        let unclaimed: HashSet<u128> = self.unclaimed().map(|line| self.hashes[line]).collect();
        let lines = self.hashes.iter().zip(&self.claims);
        let claimed = lines.filter(|(hash, origin)| **origin != UNCLAIMED && unclaimed.contains(hash));
        claimed.map(|(hash, origin)| (*hash, *origin)).collect()
    }

    fn unclaimed(&self) -> impl Iterator<Item = usize> + '_ {
        self.claims.iter().enumerate().filter(|(_, origin)| **origin == UNCLAIMED).map(|(line, _)| line)
    }

    /// For each missing row the line that stands in its place, if one does: it comes behind the line of the row before,
    /// and before that of the next row of its partition.
    fn pair(&self, doubles: &HashMap<u128, Origin>) -> Vec<Option<u32>> {
        let mut taken = BTreeSet::new();
        let mut from: HashMap<u32, u32> = HashMap::new();
        let in_place = |missing: &Missing| -> Option<u32> {
            let start = if missing.after == NONE { 0 } else { missing.after + 1 };
            let start = start.max(from.get(&missing.origin.partition).copied().unwrap_or(0));
            let mut lines = (start..self.hashes.len() as u32)
                .take_while(|line| self.claims[*line as usize].partition != missing.origin.partition);
            let free = |line: &u32| {
                self.claims[*line as usize] == UNCLAIMED
                    && !doubles.contains_key(&self.hashes[*line as usize])
                    && !taken.contains(line)
            };
            let line = lines.find(free);
            if let Some(line) = line {
                taken.insert(line);
                from.insert(missing.origin.partition, line + 1);
            }
            line
        };
        self.missing.iter().map(in_place).collect()
    }

    fn found(&self) -> Result<Findings, Error> {
        let doubles = self.doubles();
        let pairs = self.pair(&doubles);
        let mut findings = Findings { expected: self.expected, found: self.hashes.len() as u64, ..Findings::default() };
        let altered: BTreeSet<u32> = pairs.iter().copied().flatten().collect();
        let mut shown_lines = BTreeSet::new();
        for ((number, missing), line) in self.missing.iter().enumerate().zip(pairs) {
            let kind = if line.is_some() { &mut findings.altered } else { &mut findings.lost };
            kind.add(|| {
                shown_lines.extend(line);
                let expected = self.texts.get(number).map(|text| shown(text));
                Example { expected, place: line.map(|line| line.to_string()), ..self.origins.example(missing.origin) }
            });
        }
        for line in self.unclaimed().filter(|line| !altered.contains(&(*line as u32))) {
            let double = doubles.get(&self.hashes[line]);
            let kind = if double.is_some() { &mut findings.doubled } else { &mut findings.unexpected };
            kind.add(|| {
                shown_lines.insert(line as u32);
                let from = double.map_or_else(Example::default, |origin| self.origins.example(*origin));
                Example { place: Some(line.to_string()), ..from }
            });
        }
        self.illustrate(&mut findings, &shown_lines)?;
        findings.unwritten = self.leftovers.clone().into_vec();
        Ok(findings)
    }

    /// Fills in what the lines of the examples hold: the file is read once more.
    fn illustrate(&self, findings: &mut Findings, wanted: &BTreeSet<u32>) -> Result<(), Error> {
        let mut texts: HashMap<u32, Vec<u8>> = HashMap::new();
        let mut number = 0;
        if !wanted.is_empty() {
            self.text.lines(&self.rule, &mut |line| {
                if wanted.contains(&number) {
                    texts.insert(number, line.text.to_vec());
                }
                number += 1;
            })?;
        }
        let Findings { doubled, altered, unexpected, .. } = findings;
        let examples = [doubled, altered, unexpected].into_iter().flat_map(|finding| &mut finding.examples);
        for example in examples {
            let Some(line) = example.place.take().and_then(|line| line.parse::<u32>().ok()) else { continue };
            let text = texts.get(&line).map(Vec::as_slice).unwrap_or_default();
            example.found = Some(shown(text));
            let beyond = if line >= self.beyond { ", beyond the length that the journal counts" } else { "" };
            example.place = Some(format!("{}{beyond}", self.text.place(line)));
            if let Some(expected) = &example.expected {
                let whole = self.texts.iter().find(|text| shown(text) == *expected);
                example.fields = self.rule.differences(whole.map_or(expected.as_bytes(), Vec::as_slice), text);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Auditor for LineAuditor {
    async fn expect(&mut self, rows: &Output) -> Result<(), Error> {
        let Payload::Documents { data, spans } = &rows.payload else { return Err(super::lines::misfit()) };
        for (span, origin) in spans.iter().zip(self.origins.of(rows)) {
            self.expect_row(origin, span.of(data));
        }
        Ok(())
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        let mut causes = vec![None; output.len()];
        let outputs = std::slice::from_ref(output);
        let refused = match self.rule.csv {
            Some(csv) => csv.rows(outputs).map(drop),
            None => documents(outputs).map(drop),
        };
        match refused {
            Ok(()) => {}
            Err(CommitError::Rejected(rows)) => rows.into_iter().for_each(|row| causes[row.row] = Some(row.cause)),
            Err(CommitError::Failed(error)) => return Err(error),
        }
        Ok(causes)
    }

    fn is_own_reason(&self, _: &str) -> bool {
        false
    }

    async fn finish(self: Box<Self>) -> Result<Findings, Error> {
        blocking::run(move || self.found()).await?
    }
}
