//! Runs the check that `DATAFLOW_FUZZ_TARGET` names under libFuzzer; see dev/fuzz.sh.
#![no_main]
#![allow(missing_docs, reason = "of what the macro makes")]
use dataflow_fuzz::{Check, TARGETS};
use std::sync::LazyLock;

static CHECK: LazyLock<Check> = LazyLock::new(|| {
    let name = std::env::var_os("DATAFLOW_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|(known, _)| name == *known);
    target.unwrap_or_else(|| panic!("DATAFLOW_FUZZ_TARGET is {name:?}, no target")).1
});

libfuzzer_sys::fuzz_target!(
    // Its hook would end the process at panics that are caught, too, as those of the expression engine are.
    init: drop(std::panic::take_hook()),
    |data: &[u8]| {
        if std::panic::catch_unwind(|| CHECK(data)).is_err() {
            std::process::abort();
        }
    }
);
