//! Every pipeline in `examples/` is valid, and those that need no server do what they say.
#![allow(clippy::unwrap_used)]
mod servers;

use dataflow::{plugins, plugins::Connectors};
use serde_json::Value;
use std::{path::PathBuf, process::Command};

fn examples() -> Vec<(PathBuf, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut examples = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json" || extension == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let spec = serde_yaml_ng::from_str(&text).unwrap();
            examples.push((path, spec));
        }
    }
    assert!(examples.len() >= 6);
    examples
}

#[test]
fn every_example_is_valid() {
    let connectors = Connectors::new(servers::connections()).unwrap();
    for (path, spec) in examples() {
        let problems = plugins::check_new(&connectors, &spec).err().unwrap_or_default();
        assert!(problems.is_empty(), "{}: {problems:#?}", path.display());
    }
}

#[test]
fn examples_that_need_no_server_run() {
    for (path, spec) in examples() {
        if ["jdbc", "kafka", "http", "rest", "s3"].contains(&spec["source"]["type"].as_str().unwrap()) {
            continue;
        }
        // From a folder of its own, where the paths in the examples lead to copies.
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("examples")).unwrap();
        for name in ["users.jsonl", "products.csv", "products.parquet"] {
            std::fs::copy(path.with_file_name(name), folder.path().join("examples").join(name)).unwrap();
        }
        let run = Command::new(env!("CARGO_BIN_EXE_dataflow"))
            .arg("run")
            .arg(&path)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        let dirty = spec["source"]["path"] == "examples/users.jsonl";
        assert_eq!(run.status.code(), Some(if dirty { 3 } else { 0 }), "{}: {said}", path.display());
        assert!(said.contains("the ledger balances"), "{}: {said}", path.display());
    }
}
