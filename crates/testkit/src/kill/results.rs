//! The outcomes of all trials: one line of JSON each, in a file that later campaigns extend.
use super::cell::{Cell, Strike};
use crate::flow::Pair;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::xxh3_64;

/// The outcome of a trial.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The build of the program, as a hash of its bytes.
    #[serde(default)]
    pub program: String,
    /// The cell.
    pub cell: String,
    /// The seed.
    pub seed: u64,
    /// The number of records of the flow.
    pub records: u64,
    /// The strike in detail.
    #[serde(default)]
    pub done: String,
    /// The failure; `None` if everything was as expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took.
    pub millis: u64,
}

/// The outcomes of all trials of one build. Those of other builds stay in the file, and prove nothing about this one.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    /// The build, as its outcomes name it.
    pub program: String,
    outcomes: Vec<Outcome>,
}

impl Results {
    /// Opens the results of a program in a file, if it exists.
    pub fn open(path: &Path, program: &Path) -> Self {
        let bytes = fs::read(program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let program = format!("{:016x}", xxh3_64(&bytes));
        let text = fs::read_to_string(path).unwrap_or_default();
        let outcomes = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .filter(|outcome: &Outcome| outcome.program == program);
        Self { outcomes: outcomes.collect(), path: path.to_owned(), program }
    }

    /// Adds an outcome durably.
    pub fn add(&mut self, outcome: Outcome) {
        let line = serde_json::to_string(&outcome).expect("it is JSON") + "\n";
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_data()));
        written.unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        self.outcomes.push(outcome);
    }

    /// The numbers of passed and failed trials of a cell.
    pub fn of(&self, cell: Cell) -> (u64, u64) {
        let name = cell.to_string();
        let of_cell = || self.outcomes.iter().filter(|outcome| outcome.cell == name);
        let failed = of_cell().filter(|outcome| outcome.error.is_some()).count() as u64;
        (of_cell().count() as u64 - failed, failed)
    }

    /// Failed trials.
    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.error.is_some())
    }

    /// Passed trials by strike and pair as a Markdown table, with failed ones after a minus.
    pub fn table(&self) -> String {
        let mut rows: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
        for pair in Pair::ALL {
            for cell in Cell::of(pair) {
                rows.entry((!matches!(cell.strike, Strike::At(_)), cell.strike.to_string())).or_default();
            }
        }
        for ((_, strike), cells) in &mut rows {
            for pair in Pair::ALL {
                let cell = Cell::of(pair).find(|cell| cell.strike.to_string() == *strike);
                cells.push(match cell.map(|cell| self.of(cell)) {
                    None => "–".into(),
                    Some((passed, 0)) => passed.to_string(),
                    Some((passed, failed)) => format!("{passed} − {failed}"),
                });
            }
        }
        let mut table = format!(
            "| |{}\n|---|{}\n",
            Pair::ALL.map(|pair| format!(" {pair} |")).concat(),
            "---:|".repeat(Pair::ALL.len())
        );
        for ((_, strike), cells) in rows {
            writeln!(table, "| {strike} | {} |", cells.join(" | ")).expect("a String takes it");
        }
        table
    }
}
