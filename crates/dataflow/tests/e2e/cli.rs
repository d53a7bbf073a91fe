//! The commands that talk to a node.
use crate::program::{output, start};
use serde_json::{Value, json};
use std::fs;

fn json_of(args: &[&str]) -> Value {
    let (code, stdout, stderr) = output(args);
    assert_eq!(code, 0, "{args:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?} printed no JSON ({error}): {stdout}"))
}

#[tokio::test]
async fn a_pipeline_lives_its_life_by_cli() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let server = node.url.as_str();
    let records = "{\"id\":1,\"age\":20}\nno json\n{\"id\":2,\"age\":5}\n";
    fs::write(folder.path().join("in.jsonl"), records).unwrap();
    let spec = json!({
        "pipelineId": "by-cli", "labels": {"team": "blue"},
        "source": {"type": "file", "path": folder.path().join("in.jsonl")},
        "transforms": [{"type": "filter", "condition": "age > 18"}],
        "sink": {"type": "sqlite", "path": folder.path().join("out.db"), "table": "users", "mode": "append"},
    });
    let file = folder.path().join("by-cli.json");
    let file = file.to_str().unwrap();
    fs::write(file, spec.to_string()).unwrap();
    let json = ["--output", "json", "--server", server];
    let ask = |args: &[&str]| json_of(&[args, &json[..]].concat());

    assert_eq!(ask(&["pipeline", "validate", file])["valid"], true);
    assert_eq!(ask(&["pipeline", "create", file])["status"], "created");
    assert_eq!(ask(&["pipeline", "get", "by-cli"])["status"], "configured");
    assert_eq!(ask(&["pipeline", "start", "by-cli"])["pipelineId"], "by-cli");
    let (code, stdout, stderr) = output(&["pipeline", "watch", "by-cli", "--server", server]);
    assert_eq!(code, 3, "done with dead letters: {stderr}");
    assert!(stdout.contains("completed") && stdout.contains("the ledger balances"), "{stdout}");

    assert_eq!(ask(&["pipeline", "list", "--label", "team=blue"])["items"][0]["pipelineId"], "by-cli");
    assert_eq!(ask(&["pipeline", "list", "--label", "team=red"])["items"], json!([]));
    assert_eq!(ask(&["dead-letters", "list", "by-cli"])["items"][0]["number"], 1);
    let (_, letter, _) = output(&["dead-letters", "get", "by-cli", "1", "--server", server]);
    assert!(letter.contains("no json"), "{letter}");
    let positions = ask(&["checkpoint", "get", "by-cli"]);
    assert_eq!(positions["positions"][0]["position"], records.len().to_string(), "{positions}");
    let reset = ask(&["checkpoint", "set", "by-cli", "--to", "beginning"]);
    assert!(reset["generation"].as_u64() > positions["generation"].as_u64(), "{reset}");
    let history = ask(&["pipeline", "history", "by-cli"]);
    assert!(history.to_string().contains("CheckpointReset"), "{history}");
    assert_eq!(history["items"][0]["actor"], "cli", "the history tells the command line from other clients");

    let mut changed = spec.clone();
    changed["name"] = json!("Changed");
    fs::write(file, changed.to_string()).unwrap();
    assert_eq!(ask(&["pipeline", "update", file])["name"], "Changed");
    assert_eq!(ask(&["pipeline", "restart", "by-cli"])["pipelineId"], "by-cli");
    assert_eq!(output(&["pipeline", "watch", "by-cli", "--server", server]).0, 3);
    assert_eq!(ask(&["pipeline", "delete", "by-cli"])["status"], "deleted");
    let (code, _, stderr) = output(&["pipeline", "get", "by-cli", "--server", server]);
    assert_eq!(code, 1);
    assert!(stderr.contains("by-cli"), "{stderr}");
}

#[tokio::test]
async fn findings_of_the_node_are_printed_and_end_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let file = folder.path().join("wrong.yaml");
    fs::write(&file, "pipelineId: x\nsource: {type: fil}\nsink: {type: stdout}\n").unwrap();
    for action in ["create", "validate"] {
        let (code, _, stderr) = output(&["pipeline", action, file.to_str().unwrap(), "--server", &node.url]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("source.type") && stderr.contains("did you mean \"file\""), "{stderr}");
    }
}

#[test]
fn a_node_that_is_not_there_is_told_with_what_to_do() {
    let (code, _, stderr) = output(&["pipeline", "list", "--server", "http://127.0.0.1:9"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("http://127.0.0.1:9") && stderr.contains("dataflow serve"), "{stderr}");
    assert_eq!(output(&["pipeline", "list", "--server", "ftp://x"]).0, 2);
    assert_eq!(output(&["pipeline", "lst"]).0, 2);
}

#[test]
fn connectors_are_listed_and_shown_without_a_node() {
    let (code, stdout, _) = output(&["connector", "list"]);
    assert_eq!(code, 0);
    for expected in
        ["kafka", "file", "http", "generate", "filter", "map", "sql", "postgres", "sqlite", "stdout", "blackhole"]
    {
        assert!(stdout.contains(expected), "{expected} is not in\n{stdout}");
    }
    let schema = json_of(&["connector", "show", "sink", "postgres", "--output", "json"]);
    assert!(schema["schema"]["properties"]["table"].is_object(), "{schema}");
    let (code, stdout, _) = output(&["connector", "show", "source", "kafka"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("topic"), "{stdout}");
    assert_eq!(output(&["connector", "show", "source", "kafk"]).0, 2);
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, stdout, _) = output(&["completions", shell]);
        assert!(code == 0 && stdout.contains("dead-letters"), "{shell}");
    }
}
