//! Collects rows that differ from the expectation, and turns them into findings.
use super::value::{ABSENT, Cell, shown};
use dataflow_sdk::audit::{self, Difference, Example, Finding, Findings, MAX_EXAMPLES, Origin, Origins};

/// Without a key: the most lost and unexpected rows that are searched for altered ones.
const MOST_PAIRS: usize = 1_000;

/// A row, its origin, and where in the target it is, if no key says that.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    pub(super) origin: Option<Origin>,
    pub(super) place: Option<String>,
}

/// Rows that differ from the expectation.
pub(super) struct Differences {
    names: Vec<String>,
    key: Vec<usize>,
    compared: Vec<usize>,
    pub(super) findings: Findings,
    /// Examples whose partition is still a number.
    examples: [Vec<(Option<Origin>, Example)>; 4],
    /// Without a key: rows that may turn out to be altered.
    lost: Vec<Row>,
    unexpected: Vec<Row>,
}

/// The finding that an example belongs to.
#[derive(Clone, Copy)]
enum Kind {
    Lost,
    Doubled,
    Altered,
    Unexpected,
}

impl Differences {
    pub(super) fn new(names: Vec<String>, key: Vec<usize>, compared: Vec<usize>) -> Self {
        let (findings, examples) = (Findings::default(), Default::default());
        Self { names, key, compared, findings, examples, lost: Vec::new(), unexpected: Vec::new() }
    }

    fn add(&mut self, kind: Kind, expected: Option<&Row>, found: Option<&Row>) {
        let Findings { lost, doubled, altered, unexpected, .. } = &mut self.findings;
        let finding = match kind {
            Kind::Lost => lost,
            Kind::Doubled => doubled,
            Kind::Altered => altered,
            Kind::Unexpected => unexpected,
        };
        finding.count += 1;
        if self.examples[kind as usize].len() < MAX_EXAMPLES {
            let example = self.example(expected, found);
            let origin = expected.or(found).and_then(|row| row.origin);
            self.examples[kind as usize].push((origin, example));
        }
    }

    /// Adds a missing row.
    pub(super) fn lost(&mut self, row: Row) {
        match self.key.is_empty() && self.lost.len() < MOST_PAIRS {
            true => self.lost.push(row),
            false => self.add(Kind::Lost, Some(&row), None),
        }
    }

    /// Adds an unexplained row.
    pub(super) fn unexpected(&mut self, row: Row) {
        match self.key.is_empty() && self.unexpected.len() < MOST_PAIRS {
            true => self.unexpected.push(row),
            false => self.add(Kind::Unexpected, None, Some(&row)),
        }
    }

    /// Adds a row that is there though the record of its origin deletes it.
    pub(super) fn undeleted(&mut self, row: &Row) {
        let at = self.examples[Kind::Unexpected as usize].len();
        self.add(Kind::Unexpected, None, Some(row));
        if let Some((_, example)) = self.examples[Kind::Unexpected as usize].get_mut(at) {
            example.expected = Some("no row: the record deletes it".into());
        }
    }

    /// Adds a row that is there once too often; its origin is that of its twin.
    pub(super) fn doubled(&mut self, row: &Row) {
        self.add(Kind::Doubled, None, Some(row));
    }

    /// Adds a row with other content than expected.
    pub(super) fn altered(&mut self, expected: &Row, found: &Row) {
        self.add(Kind::Altered, Some(expected), Some(found));
    }

    /// Returns all findings. Without a key, the lost and the unexpected row with most in common count as one altered
    /// row.
    pub(super) fn finish(mut self, origins: &Origins) -> Findings {
        let mut unexpected = std::mem::take(&mut self.unexpected);
        for row in std::mem::take(&mut self.lost) {
            let common =
                |other: &Row| self.compared.iter().filter(|at| same(&row.cells[**at], &other.cells[**at])).count();
            let nearest = unexpected.iter().enumerate().max_by_key(|(_, other)| common(other));
            let enough = nearest.filter(|(_, other)| common(other) * 2 >= self.compared.len() && common(other) > 0);
            match enough.map(|(index, _)| index) {
                Some(index) => {
                    let other = unexpected.swap_remove(index);
                    self.add(Kind::Altered, Some(&row), Some(&other));
                }
                None => self.add(Kind::Lost, Some(&row), None),
            }
        }
        for row in unexpected {
            self.add(Kind::Unexpected, None, Some(&row));
        }
        let mut findings = self.findings;
        let Findings { lost, doubled, altered, unexpected, .. } = &mut findings;
        let all: [&mut Finding; 4] = [lost, doubled, altered, unexpected];
        for (finding, mut examples) in all.into_iter().zip(self.examples) {
            examples.sort_by_key(|(origin, _)| *origin);
            let located = examples.into_iter().map(|(origin, example)| {
                let from = origin.map_or_else(Example::default, |origin| origins.example(origin));
                Example { partition: from.partition, position: from.position, ..example }
            });
            finding.examples = located.collect();
        }
        findings
    }

    fn example(&self, expected: Option<&Row>, found: Option<&Row>) -> Example {
        let key = self.key.iter().filter_map(|at| Some((at, found.or(expected)?.cells[*at].as_deref())));
        let key: Vec<String> = key.map(|(at, cell)| format!("{} = {}", self.names[*at], shown(cell))).collect();
        let text = |row: &Row| {
            let cells = self.names.iter().zip(&row.cells).filter(|(_, cell)| cell.as_deref() != Some(ABSENT));
            let cells: Vec<String> = cells.map(|(name, cell)| format!("{name} = {}", shown(cell.as_deref()))).collect();
            audit::shown(cells.join(", ").as_bytes())
        };
        let fields = match (expected, found) {
            (Some(expected), Some(found)) => {
                let differing = self.compared.iter().filter(|at| !same(&expected.cells[**at], &found.cells[**at]));
                let difference = |at: &usize| {
                    let (expected, found) = (expected.cells[*at].as_deref(), found.cells[*at].as_deref());
                    // The same text in another type.
                    let alike = shown(expected) == shown(found);
                    let words = |cell: Option<&str>| match cell.and_then(|cell| cell.chars().next()).filter(|_| alike) {
                        Some('n') => format!("the number {}", shown(cell)),
                        Some('t') => format!("the text {:?}", shown(cell)),
                        Some('j') => format!("the JSON {}", shown(cell)),
                        Some('x') => format!("the bytes {}", shown(cell)),
                        _ => shown(cell),
                    };
                    Difference {
                        field: self.names[*at].clone(),
                        expected: Some(words(expected)),
                        found: Some(words(found)),
                    }
                };
                differing.map(difference).collect()
            }
            _ => Vec::new(),
        };
        Example {
            place: (!key.is_empty()).then(|| key.join(", ")).or_else(|| found?.place.clone()),
            expected: expected.map(text),
            found: found.map(text),
            fields,
            ..Example::default()
        }
    }
}

/// Returns whether a cell matches; a field that the record lacks may have any value.
fn same(expected: &Cell, found: &Cell) -> bool {
    expected == found || expected.as_deref() == Some(ABSENT)
}
