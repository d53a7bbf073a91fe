//! Runs every check on its corpus.
#![allow(clippy::unwrap_used)]
use dataflow_fuzz::TARGETS;
use std::path::Path;

#[test]
fn what_was_found_stays_repaired() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, check) in TARGETS {
        let files: Vec<_> = std::fs::read_dir(corpora.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let data = std::fs::read(&file).unwrap();
            if let Err(panic) = std::panic::catch_unwind(|| check(&data)) {
                eprintln!("{}", file.display());
                std::panic::resume_unwind(panic);
            }
        }
    }
}
