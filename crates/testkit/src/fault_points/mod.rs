//! Named fault points of a node: places around its operations on journal, sink and source, at which a test has the
//! process killed or frozen. They wrap a node's [`Parts`], so no production code knows of them; the program contains
//! them only when built with the feature `fault-points`.
//!
//! The variable [`VARIABLE`] selects the faults, separated by commas:
//!
//! | fault | meaning |
//! |---|---|
//! | `before:sink-commit@17=kill` | SIGKILL to itself just before the 17th commit to the sink since the process began |
//! | `after:checkpoint=stop` | SIGSTOP to itself right after the first checkpoint; SIGCONT wakes it |
//! | `before:sink-commit@3=kill+5ms` | SIGKILL 5 ms after the point, in the middle of the operation |
//! | `no-folder-lock` | two nodes may share a data folder, for tests of zombies |
//! | `late-seals` | a staged sink declines two of three checkpoints, like one that rolls late |
//! | `count` | only counts |
//!
//! `before` counts every call, `after` only successful ones. With the variable set, `GET /metrics` has how often each
//! point was passed: `dataflow_fault_points_passed_total`.
mod journal;
mod plan;
mod plugins;
mod point;

pub use plan::{Action, Fault, Invalid};
pub use point::{Passing, Point, When};

use dataflow_engine::parts::Parts;
use dataflow_sdk::sink::Seal;
use signal_hook::{
    consts::{SIGKILL, SIGSTOP},
    low_level,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The variable that selects the faults.
pub const VARIABLE: &str = "DATAFLOW_FAULT";

/// The metric that counts how often each point was passed.
pub const METRIC: &str = "dataflow_fault_points_passed_total";

/// The faults of a process, and how often it has passed each point.
#[derive(Debug)]
pub struct Faults {
    plan: Vec<Fault>,
    folder_lock: bool,
    late_seals: bool,
    /// Counts the checkpoints that asked a staged sink to seal.
    seals: AtomicU64,
    passed: [[AtomicU64; 2]; Point::ALL.len()],
}

impl Faults {
    /// Parses the variable.
    ///
    /// # Errors
    /// If it is malformed or names an unknown point.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let plan::Plan { faults, folder_lock, late_seals } = text.parse()?;
        Ok(Self { plan: faults, folder_lock, late_seals, seals: AtomicU64::new(0), passed: Default::default() })
    }

    /// Whether the data folder is locked as usual.
    pub fn folder_lock(&self) -> bool {
        self.folder_lock
    }

    /// Wraps the journal and the connectors of these parts in fault points.
    pub fn around(self, parts: Parts) -> Parts {
        let faults = Arc::new(self);
        Parts {
            journal: parts.journal.wrapped(|inner| Arc::new(journal::Watched { inner, faults: faults.clone() })),
            plugins: Arc::new(plugins::Watched { inner: parts.plugins, faults }),
            ..parts
        }
    }

    /// Whether a staged sink declines this request to seal.
    fn seals_later(&self, how_much: Seal) -> bool {
        self.late_seals && how_much == Seal::Due && !(self.seals.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(3)
    }

    /// Passes a point, and runs the fault planned for it.
    fn pass(&self, when: When, point: Point) {
        let passing = Passing { when, point };
        metrics::counter!(METRIC, "point" => passing.to_string()).increment(1);
        let nth = self.passed[point as usize][when as usize].fetch_add(1, Ordering::Relaxed) + 1;
        for fault in self.plan.iter().filter(|fault| fault.passing == passing && fault.nth == nth) {
            eprintln!("fault point {fault}");
            strike(fault.action, fault.delay);
        }
    }

    /// Passes a point before a call, and after it if it succeeds.
    async fn with<T, E>(&self, point: Point, call: impl Future<Output = Result<T, E>> + Send) -> Result<T, E> {
        self.pass(When::Before, point);
        let done = call.await?;
        self.pass(When::After, point);
        Ok(done)
    }
}

fn strike(action: Action, delay: Duration) {
    if delay.is_zero() {
        return raise(action);
    }
    std::thread::spawn(move || {
        std::thread::sleep(delay);
        raise(action);
    });
}

/// The signal is delivered before this returns.
fn raise(action: Action) {
    let signal = match action {
        Action::Kill => SIGKILL,
        Action::Stop => SIGSTOP,
    };
    if let Err(error) = low_level::raise(signal) {
        eprintln!("can't send a signal to itself: {error}");
    }
}
