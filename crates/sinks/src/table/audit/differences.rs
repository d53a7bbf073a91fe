//! What the queries found, on its way to findings.
use crate::table::Layout;
use dataflow_sdk::audit::{Difference, Example, Finding, Findings, MAX_EXAMPLES, Origin, Origins, shown};

/// Most lost and unexpected rows among which altered ones are looked for, where there is no key.
const MOST_PAIRS: usize = 1_000;

/// A row as the database gives it, as text.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its cells; none: NULL.
    pub cells: Vec<Option<String>>,
    /// Where it comes from.
    pub origin: Option<Origin>,
}

impl Row {
    /// A row, and its origin as [`Comparison`](super::Comparison)'s queries give it.
    pub fn new(cells: Vec<Option<String>>, origin: Option<&str>) -> Self {
        let parse = |text: &str| {
            let (partition, position) = text.split_once(':')?;
            Some(Origin { partition: partition.parse().ok()?, position: position.parse().ok()? })
        };
        Self { cells, origin: origin.and_then(parse) }
    }
}

/// Rows that are not as they should be, on their way to findings.
#[derive(Debug)]
pub struct Differences {
    names: Vec<String>,
    key: Vec<usize>,
    compared: Vec<usize>,
    origins: Origins,
    findings: Findings,
    /// Without a key: rows that may turn out to be altered ones.
    lost: Vec<Row>,
    unexpected: Vec<Row>,
}

impl Differences {
    /// Of a table with this layout.
    pub fn new(layout: &Layout, compared: &[usize], origins: Origins, expected: u64, found: u64) -> Self {
        Self {
            names: layout.slots.iter().map(|slot| slot.column.name.clone()).collect(),
            key: layout.key.clone(),
            compared: compared.to_vec(),
            origins,
            findings: Findings { expected, found, ..Findings::default() },
            lost: Vec::new(),
            unexpected: Vec::new(),
        }
    }

    /// A row that is not there.
    pub fn lost(&mut self, row: Row) {
        match self.key.is_empty() && self.lost.len() < MOST_PAIRS {
            true => self.lost.push(row),
            false => {
                let example = self.example(Some(&row), None);
                self.findings.lost.add(|| example);
            }
        }
    }

    /// A row that nothing explains.
    pub fn unexpected(&mut self, row: Row) {
        match self.key.is_empty() && self.unexpected.len() < MOST_PAIRS {
            true => self.unexpected.push(row),
            false => {
                let example = self.example(None, Some(&row));
                self.findings.unexpected.add(|| example);
            }
        }
    }

    /// A row that is there with other content.
    pub fn altered(&mut self, expected: &Row, found: &Row) {
        let example = self.example(Some(expected), Some(found));
        self.findings.altered.add(|| example);
    }

    /// A row of which there are `there` where there should be `wanted`.
    pub fn number(&mut self, row: Row, wanted: u64, there: u64) {
        if wanted == 0 {
            (0..there).for_each(|_| self.unexpected(row.clone()));
        }
        (there..wanted).for_each(|_| self.lost(row.clone()));
        for _ in wanted.max(1)..there {
            if wanted > 0 {
                let example = Example { expected: None, ..self.example(Some(&row), Some(&row)) };
                self.findings.doubled.add(|| example);
            }
        }
    }

    /// All of it. Without a key, a lost row and an unexpected one that have most in common are one that was altered.
    pub fn finish(mut self) -> Findings {
        let mut unexpected = std::mem::take(&mut self.unexpected);
        for row in std::mem::take(&mut self.lost) {
            let common = |other: &Row| self.compared.iter().filter(|at| row.cells[**at] == other.cells[**at]).count();
            let nearest = unexpected.iter().enumerate().max_by_key(|(_, other)| common(other));
            let enough = nearest.filter(|(_, other)| common(other) * 2 >= self.compared.len() && common(other) > 0);
            match enough.map(|(index, _)| index) {
                Some(index) => {
                    let other = unexpected.swap_remove(index);
                    self.altered(&row, &other);
                }
                None => {
                    let example = self.example(Some(&row), None);
                    self.findings.lost.add(|| example);
                }
            }
        }
        for row in unexpected {
            let example = self.example(None, Some(&row));
            self.findings.unexpected.add(|| example);
        }
        let first = |finding: &mut Finding| {
            finding.examples.sort_by(|a, b| (&a.partition, a.position).cmp(&(&b.partition, b.position)));
            finding.examples.truncate(MAX_EXAMPLES);
        };
        let Findings { lost, doubled, altered, unexpected, .. } = &mut self.findings;
        [lost, doubled, altered, unexpected].into_iter().for_each(first);
        self.findings
    }

    fn example(&self, expected: Option<&Row>, found: Option<&Row>) -> Example {
        let origin =
            expected.and_then(|row| row.origin).map_or_else(Example::default, |origin| self.origins.example(origin));
        let key = self
            .key
            .iter()
            .filter_map(|at| Some((at, found.or(expected)?.cells[*at].clone())))
            .map(|(at, cell)| format!("{} = {}", self.names[*at], value(cell.as_ref())));
        let key: Vec<String> = key.collect();
        let text = |row: &Row| {
            let cells =
                self.names.iter().zip(&row.cells).map(|(name, cell)| format!("{name} = {}", value(cell.as_ref())));
            cells.collect::<Vec<_>>().join(", ")
        };
        let fields = match (expected, found) {
            (Some(expected), Some(found)) => {
                let differing = self.compared.iter().filter(|at| expected.cells[**at] != found.cells[**at]);
                let difference = |at: &usize| Difference {
                    field: self.names[*at].clone(),
                    expected: Some(value(expected.cells[*at].as_ref())),
                    found: Some(value(found.cells[*at].as_ref())),
                };
                differing.map(difference).collect()
            }
            _ => Vec::new(),
        };
        Example {
            place: (!key.is_empty()).then(|| key.join(", ")),
            expected: expected.map(|row| shown(text(row).as_bytes())),
            found: found.map(|row| shown(text(row).as_bytes())),
            fields,
            ..origin
        }
    }
}

fn value(cell: Option<&String>) -> String {
    cell.map_or_else(|| "NULL".into(), |cell| shown(cell.as_bytes()))
}
