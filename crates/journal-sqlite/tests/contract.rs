//! The SQLite store passes the contract, alone and with injected faults.
use dataflow_journal::fault::{Chances, Faulty};
use dataflow_journal_sqlite::Sqlite;
use std::sync::Arc;
use tempfile::TempDir;

fn stores<S>(wrap: impl Fn(Sqlite, u64) -> S) -> (TempDir, Arc<S>, Arc<S>) {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Sqlite::open(&folder.path().join("journal.db")).expect("opened");
    let [one, other] = [42, 43].map(|seed| Arc::new(wrap(open(), seed)));
    (folder, one, other)
}

mod sqlite_passes {
    dataflow_journal::journal_contract!(super::stores(|sqlite, _| sqlite));
}

mod sqlite_passes_behind_faults {
    use super::*;
    dataflow_journal::journal_contract!(stores(|sqlite, seed| Faulty::seeded(sqlite, seed, Chances::default())));
}
