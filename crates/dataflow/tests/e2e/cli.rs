//! The commands that talk to a node.
use crate::program::{dataflow, output, start};
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
    let listed = &ask(&["dead-letters", "list", "by-cli"])["items"][0];
    assert_eq!((&listed["number"], &listed["line"]), (&json!(1), &json!(2)), "{listed}");
    let (_, letter, _) = output(&["dead-letters", "get", "by-cli", "1", "--server", server]);
    assert!(letter.contains("no json"), "{letter}");
    let positions = ask(&["checkpoint", "get", "by-cli"]);
    assert_eq!(positions["positions"][0]["position"], records.len().to_string(), "{positions}");
    let (code, _, stderr) = output(&["checkpoint", "set", "by-cli", "--to", "beginning", "--server", server]);
    assert!(code == 1 && stderr.contains("3 record(s) of ") && stderr.contains("--force"), "{stderr}");
    let reason = ["--reason", "the feed was wrong: für Ärger"];
    let reset = ask(&[&["checkpoint", "set", "by-cli", "--to", "beginning", "--force"], &reason[..]].concat());
    assert!(reset["generation"].as_u64() > positions["generation"].as_u64(), "{reset}");
    let history = ask(&["pipeline", "history", "by-cli"]);
    assert!(history.to_string().contains("CheckpointReset"), "{history}");
    assert_eq!(history["items"][0]["actor"], "cli", "the history tells the command line from other clients");
    let items = history["items"].as_array().unwrap();
    let reset = items.iter().find(|item| item["event"] == "CheckpointReset").unwrap();
    assert_eq!(reset["reason"], "the feed was wrong: für Ärger");
    assert!(items.iter().all(|item| item["reason"].is_null() || item["number"] == reset["number"]), "{history}");
    // Each has its number in the pipeline's own life, which goes on by it.
    assert_eq!((items[0]["number"].as_u64(), items[1]["number"].as_u64()), (Some(1), Some(2)), "{history}");
    let after = items[1]["number"].to_string();
    let rest = ask(&["pipeline", "history", "by-cli", "--after", &after]);
    assert_eq!(rest["items"].as_array().unwrap(), &items[2..]);

    let mut changed = spec.clone();
    changed["name"] = json!("Changed");
    fs::write(file, changed.to_string()).unwrap();
    assert_eq!(ask(&["pipeline", "update", file])["name"], "Changed");
    assert_eq!(ask(&["pipeline", "restart", "by-cli"])["pipelineId"], "by-cli");
    assert_eq!(output(&["pipeline", "watch", "by-cli", "--server", server]).0, 3);
    let (code, _, stderr) = output(&["pipeline", "delete", "by-cli", "--server", server]);
    assert!(
        code == 1
            && stderr.contains("2 dead letter(s)")
            && stderr.contains("repeat with ?discard=true (`dataflow pipeline delete --discard`)"),
        "{code} {stderr}"
    );
    assert!(!stderr.contains("start the pipeline"), "nothing was pushed: {stderr}");
    assert_eq!(ask(&["dead-letters", "list", "by-cli"])["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(ask(&["pipeline", "delete", "by-cli", "--discard"])["status"], "deleted");
    let (code, _, stderr) = output(&["pipeline", "get", "by-cli", "--server", server]);
    assert_eq!(code, 1);
    assert!(stderr.contains("by-cli"), "{stderr}");
}

#[tokio::test]
async fn verbs_that_find_nothing_to_do_succeed_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let file = folder.path().join("endless.json");
    let mut spec = json!({
        "pipelineId": "endless", "sink": {"type": "blackhole"},
        "source": {"type": "generate", "rate": 10, "schema": {"id": {"type": "sequence"}}},
    });
    fs::write(&file, spec.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let ask = |args: &[&str]| output(&[&["pipeline"], args, &["--server", &node.url]].concat());
    let said = |args: &[&str], code: i32, words: &str| {
        let (ended, stdout, stderr) = ask(args);
        assert!(ended == code && (stdout + &stderr).contains(words), "{args:?}: {ended}, {stderr}");
    };
    said(&["create", file], 0, "created endless");
    said(&["create", file], 0, "already exists and matches the file");
    said(&["stop", "endless"], 0, "endless is not running (configured): nothing to do");
    said(&["create", file, "--start"], 0, "running");
    said(&["start", "endless"], 0, "endless is already running: nothing to do");
    let data = folder.path().join("data");
    let (code, _, stderr) = output(&["dead-letters", "list", "endless", "--data-dir", data.to_str().unwrap()]);
    assert!(code == 1 && stderr.contains("ask it, without --data-dir"), "{stderr}");
    said(&["create", file, "--start"], 0, "nothing to do");
    said(&["watch", "endless", "--timeout", "1s"], 124, "within 1s");
    said(&["stop", "endless"], 0, "stopped");
    said(&["stop", "endless"], 0, "endless is not running (stopped): nothing to do");
    said(&["watch", "endless"], 0, "the ledger balances");
    spec["name"] = json!("Other");
    fs::write(file, spec.to_string()).unwrap();
    said(&["create", file], 1, "dataflow pipeline update");
    said(&["delete", "endless"], 0, "deleted endless");
    said(&["delete", "endless"], 1, "no pipeline \"endless\"");
    said(&["delete", "endless", "--ignore-not-found"], 0, "nothing to do");
    said(&["start", "endless"], 1, "no pipeline \"endless\"");
}

#[tokio::test]
async fn a_pipeline_that_fails_is_watched_to_its_end_and_shown_with_lag_and_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let missing = folder.path().join("missing.jsonl");
    let spec = json!({
        "pipelineId": "failing", "source": {"type": "file", "path": missing}, "sink": {"type": "blackhole"},
        "restart": {"maxAttempts": 0},
    });
    let file = folder.path().join("failing.json");
    fs::write(&file, spec.to_string()).unwrap();
    let server = node.url.as_str();
    let (code, _, stderr) = output(&["pipeline", "create", file.to_str().unwrap(), "--start", "--server", server]);
    assert!(code == 1 && stderr.contains("missing.jsonl"), "{stderr}");
    let (code, _, stderr) = output(&["pipeline", "start", "failing", "--server", server]);
    assert!(code == 1 && stderr.contains("missing.jsonl"), "{stderr}");
    let (code, _, stderr) = output(&["pipeline", "watch", "failing", "--server", server, "--timeout", "1m"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("missing.jsonl"), "{stderr}");
    // As does one that is tried again and again, as only a person can mend it.
    let mut spec = spec;
    spec["pipelineId"] = json!("retried");
    spec["restart"] = json!({"maxAttempts": 1000, "initial": "10ms", "max": "10ms"});
    node.create_and_start(&spec).await;
    for format in ["table", "json"] {
        let watch = ["pipeline", "watch", "retried", "--server", server, "--patience", "300ms", "--output", format];
        let (code, _, stderr) = output(&watch);
        assert!(code == 1 && stderr.contains("missing.jsonl"), "{format}: {code} {stderr}");
    }
    let (_, stdout, _) = output(&["pipeline", "list", "--server", server]);
    let head: Vec<&str> = stdout.lines().next().unwrap().split_whitespace().collect();
    assert!(head.windows(2).any(|pair| pair == ["LAG", "WARNINGS"]), "{stdout}");
    let events = |order: &[&str]| -> Vec<u64> {
        let page =
            json_of(&[&["pipeline", "history", "failing", "--output", "json", "--server", server], order].concat());
        page["items"].as_array().unwrap().iter().map(|item| item["number"].as_u64().unwrap()).collect()
    };
    let (rising, mut falling) = (events(&[]), events(&["--newest-first"]));
    let newest = falling[0].to_string();
    assert_eq!(events(&["--newest-first", "--after", &newest]), falling[1..]);
    falling.reverse();
    assert!(rising.len() > 2 && rising == falling, "{rising:?} {falling:?}");
}

/// A start is through once source and sink are open.
#[tokio::test]
async fn a_start_waits_until_source_and_sink_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let database = folder.path().join("out.db");
    let spec = json!({
        "pipelineId": "slow", "source": {"type": "http"},
        "sink": {"type": "sqlite", "path": database, "table": "t", "columns": {"id": "bigint"}, "fenceTimeout": "2m"},
    });
    assert_eq!(node.request("POST", "/api/pipelines", Some(&spec)).await.0, 201);
    let ask = |args: &[&str]| output(&[&["pipeline"], args, &["slow", "--server", &node.url]].concat());
    let holder = rusqlite::Connection::open(&database).unwrap();
    holder.execute_batch("begin exclusive").unwrap();
    let (code, stdout, stderr) = ask(&["start", "--wait", "100ms"]);
    assert!(code == 0 && stderr.contains("slow is still opening its source and sink"), "{stdout}{stderr}");
    assert!(stdout.contains("running, opening its source and sink"), "{stdout}");
    let metrics = node.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("{pipeline=\"slow\",status=\"running\"} 1\n"), "{metrics}");
    holder.execute_batch("rollback").unwrap();
    node.until("slow", "open", |view| view["status"] == "running" && view["opening"].is_null()).await;
    let (code, stdout, stderr) = ask(&["restart"]);
    assert!(code == 0 && !stderr.contains("still") && !stdout.contains("opening"), "{stdout}{stderr}");
    let (status, view) = node.post("/api/pipelines/slow/restart?wait=30s").await;
    assert_eq!((status, &view["opening"]), (200, &Value::Null), "{view:#}");
}

/// Every failure that JSON is asked for has the shape that the API's have, on stderr.
#[tokio::test]
async fn failures_for_programs_have_the_shape_of_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("broken.json"), "{").unwrap();
    fs::write(path("wrong.json"), r#"{"pipelineId":"x","source":{"type":"fil"},"sink":{"type":"stdout"}}"#).unwrap();
    fs::write(path("config.toml"), "listn = 1").unwrap();
    let (broken, wrong, config, none) = (path("broken.json"), path("wrong.json"), path("config.toml"), path("none"));
    let (up, away) = (node.url.as_str(), "http://127.0.0.1:9");
    let cases: &[(&[&str], i32, &str, u64)] = &[
        (&["pipeline", "lst"], 2, "usage", 400),
        (&["pipeline", "get"], 2, "usage", 400),
        (&["pipeline", "watch", "x", "--timeout", "soon"], 2, "usage", 400),
        (&["--nope"], 2, "usage", 400),
        (&["pipeline", "stop", "x", "--reason", "a\nb", "--server", up], 2, "invalid", 400),
        (&["pipeline", "stop", "x", "--reason", "", "--server", away], 2, "invalid", 400),
        (&["pipeline", "stop", "x", "--idempotency-key", "a\nb", "--server", up], 2, "invalid", 400),
        (&["pipeline", "list", "--server", away], 1, "unreachable", 503),
        (&["pipeline", "list", "--server", "ftp://x"], 2, "invalid", 400),
        (&["dead-letters", "list", "x", "--server", away], 1, "unreachable", 503),
        (&["checkpoint", "set", "x", "--to", "a=1,b", "--server", up], 2, "invalid", 400),
        (&["pipeline", "get", "none", "--server", up], 1, "not-found", 404),
        (&["pipeline", "get", "a b", "--server", up], 2, "invalid", 400),
        (&["pipeline", "create", &wrong, "--server", up], 2, "invalid", 400),
        (&["pipeline", "create", &broken, "--server", up], 2, "invalid", 400),
        (&["pipeline", "validate", &wrong], 2, "invalid", 400),
        (&["pipeline", "update", &none, "--server", up], 2, "invalid", 400),
        (&["run", &wrong], 2, "invalid", 400),
        (&["run", &broken], 2, "invalid", 400),
        (&["serve", "--config", &config], 2, "invalid", 400),
        (&["verify", "none", "--server", away], 1, "unreachable", 503),
        (&["connector", "show", "sink", "nope"], 2, "invalid", 400),
        (&["dead-letters", "list", "x", "--data-dir", &none], 1, "failed", 500),
        (&["completions", "nosh"], 2, "usage", 400),
    ];
    for (args, code, problem, status) in cases {
        let (ended, stdout, stderr) = output(&[args, &["--output", "json"][..]].concat());
        assert_eq!((ended, stdout.as_str()), (*code, ""), "{args:?}: {stderr}");
        let document: Value =
            serde_json::from_str(&stderr).unwrap_or_else(|error| panic!("{args:?}: {error}: {stderr}"));
        assert_eq!((&document["code"], &document["status"]), (&json!(problem), &json!(status)), "{args:?}: {stderr}");
        let fields: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["type", "title", "status", "code", "detail", "problems"], "{args:?}");
        for found in document["problems"].as_array().unwrap() {
            assert!(found["path"].is_string() && found["code"].is_string() && found["message"].is_string(), "{found}");
        }
    }
}

#[test]
fn a_file_is_checked_without_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipeline.yaml");
    let path = file.to_str().unwrap();
    fs::write(&file, "pipelineId: x\nsource: {type: fil}\nsink: {type: stdot}\n").unwrap();
    let (code, _, stderr) = output(&["pipeline", "validate", path]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("did you mean \"file\"") && stderr.contains("did you mean \"stdout\""), "{stderr}");
    fs::write(&file, "pipelineId: x\nsource: {type: file, path: in.jsonl}\nsink: {type: stdout}\n").unwrap();
    let (code, stdout, stderr) = output(&["pipeline", "validate", path]);
    assert!(code == 0 && stdout.contains("is valid"), "{stdout}{stderr}");
}

#[tokio::test]
async fn findings_of_the_node_are_printed_and_end_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let file = folder.path().join("wrong.yaml");
    fs::write(&file, "pipelineId: x\nsource: {type: fil}\nsink: {type: stdout}\n").unwrap();
    let file = file.to_str().unwrap();
    // Validated where the variable says, too, unless it is to be checked here.
    let validated = |args: &[&str], url: &str| {
        let args = [&["pipeline", "validate", file], args].concat();
        dataflow(&args).env("DATAFLOW_SERVER", url).output().unwrap().status.code()
    };
    fs::write(folder.path().join("config.toml"), "").unwrap();
    let config = folder.path().join("config.toml");
    assert_eq!(validated(&["--server", "http://127.0.0.1:9"], &node.url), Some(1));
    // What the variable names may be down: what can be checked without it is.
    assert_eq!(validated(&[], "http://127.0.0.1:9"), Some(2));
    let right = folder.path().join("right.yaml");
    for sink in ["{type: stdout}", "{type: postgres, table: t}", "{type: postgres, table: t, connection: there}"] {
        fs::write(&right, format!("pipelineId: x\nsource: {{type: generate}}\nsink: {sink}\n")).unwrap();
        let checked = dataflow(&["pipeline", "validate", right.to_str().unwrap()])
            .env("DATAFLOW_SERVER", "http://127.0.0.1:9")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && stderr.contains("only the node knows"), "{sink}: {stderr}");
    }
    assert_eq!(validated(&["--config", config.to_str().unwrap()], "http://127.0.0.1:9"), Some(2));
    assert_eq!(validated(&["--server", &node.url], "http://127.0.0.1:9"), Some(2));
    for action in ["create", "validate"] {
        let (code, _, stderr) = output(&["pipeline", action, file, "--server", &node.url]);
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

/// Who stops reading what a command says does not change how it ends.
#[test]
fn a_reader_that_has_gone_away_changes_no_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.yaml");
    fs::write(&bad, "pipelineId: one\nsource: {type: nothing}\nsink: {type: nothing}\n").unwrap();
    let (bad, data) = (bad.display().to_string(), folder.path().join("data").display().to_string());
    for (args, expected) in [
        (&["pipeline", "validate", &bad][..], 2),
        (&["pipeline", "validate", "--output", "json", &bad], 2),
        (&["run", "--data-dir", &data, &bad], 2),
        (
            &["pipeline", "get", "one", "--server", "http://127.0.0.1:1"],
            output(&["pipeline", "get", "one", "--server", "http://127.0.0.1:1"]).0,
        ),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = dataflow(args).stdout(std::process::Stdio::null()).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(expected), "{args:?}");
    }
}
