//! Repeats all cells until each has passed its trials.
use super::{
    cell::{Cell, Strike},
    results::{Outcome, Results},
    trial::{Clean, Trial, database},
};
use crate::{
    flow::{Databases, Pair, Place, source_database},
    program::Program,
};
use futures::FutureExt;
use std::{
    fs,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The scope of a campaign, and the place of its results.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The program, built with fault points.
    pub program: PathBuf,
    /// The folder of results and of failed trials.
    pub folder: PathBuf,
    /// The cells.
    pub cells: Vec<Cell>,
    /// The number of trials of each fault point, of restarts and of SIGTERM.
    pub kills: u64,
    /// The number of trials of random moments.
    pub random: u64,
    /// The number of trials of a frozen node.
    pub freezes: u64,
    /// The number of records of each flow.
    pub records: u64,
    /// How long a node stays frozen.
    pub freeze: Duration,
    /// The only seed to try.
    pub seed: Option<u64>,
}

impl Campaign {
    /// Runs the missing trials; returns all results.
    pub async fn run(&self) -> Results {
        fs::create_dir_all(&self.folder).expect("the folder of the results can be made");
        let mut results = self.results();
        let mut pairs: Vec<Pair> = Vec::new();
        self.cells.iter().filter(|cell| self.is_due(**cell, &results)).for_each(|cell| {
            if !pairs.contains(&cell.pair) {
                pairs.push(cell.pair);
            }
        });
        for pair in pairs {
            let database = pair.sinks.contains(&Place::Postgres).then(|| database(pair));
            let source = (pair.source == Place::Jdbc).then(|| source_database(&self::database(pair)));
            let _goes_with_the_pair = Databases(database.into_iter().chain(source).collect());
            let clean = self.clean(pair).await;
            println!("{pair}: {:?} when nothing befalls it", clean.length);
            self.prove(pair, &clean, &mut results).await;
        }
        results
    }

    /// All existing results.
    pub fn results(&self) -> Results {
        Results::open(&self.folder.join("results.jsonl"), &self.program)
    }

    async fn prove(&self, pair: Pair, clean: &Clean, results: &mut Results) {
        let cells: Vec<_> = self.cells.iter().copied().filter(|cell| cell.pair == pair).collect();
        // This bounds the trials of a cell, however many of them fail.
        for _ in 0..self.kills.max(self.random) {
            for cell in cells.iter().filter(|cell| self.is_due(**cell, results)).copied().collect::<Vec<_>>() {
                let (passed, failed) = results.of(cell);
                let seed = self.seed.unwrap_or(passed + failed);
                let outcome = self.attempt(&results.program, cell, seed, clean).await;
                println!(
                    "{} seed {seed}: {} ({} ms)",
                    cell,
                    outcome.error.as_deref().unwrap_or("passed"),
                    outcome.millis
                );
                results.add(outcome);
            }
            if self.seed.is_some() {
                return;
            }
        }
    }

    fn is_due(&self, cell: Cell, results: &Results) -> bool {
        let wanted = match cell.strike {
            Strike::Random => self.random,
            Strike::Freeze => self.freezes,
            _ => self.kills,
        };
        self.seed.is_some() || results.of(cell).0 < wanted
    }

    async fn clean(&self, pair: Pair) -> Clean {
        let folder = fresh(&self.folder.join(pair.to_string()));
        let program = Program::at(&self.program).log_to(folder.join("node.log"));
        let clean = Clean::run(&program, pair, self.records, &folder).await;
        fs::remove_dir_all(&folder).expect("the folder can be removed");
        clean
    }

    async fn attempt(&self, program: &str, cell: Cell, seed: u64, clean: &Clean) -> Outcome {
        let trial = Trial { cell, records: self.records, seed, freeze: self.freeze };
        let folder = fresh(&self.folder.join(format!("{cell}-{seed}").replace(['/', ':'], "-")));
        let begun = Instant::now();
        let told = AssertUnwindSafe(trial.run(&Program::at(&self.program), clean, &folder)).catch_unwind().await;
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let outcome = Outcome {
            program: program.to_owned(),
            cell: cell.to_string(),
            seed,
            records: self.records,
            done: String::new(),
            error: None,
            millis,
        };
        match told {
            Ok(done) => {
                fs::remove_dir_all(&folder).expect("the folder can be removed");
                Outcome { done, ..outcome }
            }
            Err(panic) => {
                let message = panic.downcast_ref::<String>().map(String::as_str);
                let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                Outcome { error: Some(format!("{message} (kept: {})", folder.display())), ..outcome }
            }
        }
    }
}

/// Creates an empty folder.
fn fresh(folder: &Path) -> PathBuf {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("the folder can be removed");
    }
    fs::create_dir_all(folder).expect("the folder can be made");
    folder.to_owned()
}
