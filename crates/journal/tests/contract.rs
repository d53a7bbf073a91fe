//! The store in memory passes the contract, alone and with injected faults.
use dataflow_journal::{
    Memory,
    fault::{Chances, Faulty},
};
use std::sync::Arc;

fn memory() -> ((), Arc<Memory>, Arc<Memory>) {
    let memory = Arc::new(Memory::new());
    ((), memory.clone(), memory)
}

fn faulty() -> ((), Arc<Faulty<Memory>>, Arc<Faulty<Memory>>) {
    let memory = Memory::new();
    let [one, other] = [42, 43].map(|seed| Arc::new(Faulty::seeded(memory.clone(), seed, Chances::default())));
    ((), one, other)
}

mod memory_passes {
    dataflow_journal::journal_contract!(super::memory());
}

mod memory_passes_behind_faults {
    dataflow_journal::journal_contract!(super::faulty());
}
