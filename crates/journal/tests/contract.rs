//! Every backend passes the contract, alone and behind faults.
use dataflow_journal::{
    Memory, Sqlite,
    fault::{Chances, Faulty},
};
use tempfile::TempDir;

fn memory() -> ((), Memory, Memory) {
    let memory = Memory::new();
    ((), memory.clone(), memory)
}

fn sqlite() -> (TempDir, Sqlite, Sqlite) {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Sqlite::open(&folder.path().join("journal.db")).expect("opened");
    let (one, other) = (open(), open());
    (folder, one, other)
}

fn faulty<K, J: dataflow_journal::Journal>((keep, one, other): (K, J, J)) -> (K, Faulty<J>, Faulty<J>) {
    (keep, Faulty::seeded(one, 42, Chances::default()), Faulty::seeded(other, 43, Chances::default()))
}

mod memory_passes {
    dataflow_journal::journal_contract!(super::memory());
}

mod memory_passes_behind_faults {
    dataflow_journal::journal_contract!(super::faulty(super::memory()));
}

mod sqlite_passes {
    dataflow_journal::journal_contract!(super::sqlite());
}

mod sqlite_passes_behind_faults {
    dataflow_journal::journal_contract!(super::faulty(super::sqlite()));
}
