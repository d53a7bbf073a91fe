//! Fault points: the process dies or stands still exactly where a test wants it to.
use crate::{
    program::{count, dataflow, is, output, program, query, start},
    server::Postgres,
};
use dataflow_testkit::fault_points::{METRIC, Passing, VARIABLE};
use serde_json::json;
use std::process::Stdio;

#[test]
fn a_fault_that_is_none_is_told_with_all_points() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = dataflow(&["serve", "--listen", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()]);
    let output = serve.env(VARIABLE, "after:sink-comit@2=kill").stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("no point \"after:sink-comit\""), "{stderr}");
    assert!(stderr.contains("after:sink-commit"), "{stderr}");
}

#[test]
fn the_points_are_listed() {
    let (code, stdout, stderr) = output(&["fault-points"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.lines().map(str::to_owned).eq(Passing::all().map(|passing| passing.to_string())), "{stdout}");
}

#[tokio::test]
async fn it_dies_at_the_nth_passing_and_goes_on_without_the_fault() {
    let folder = tempfile::tempdir().unwrap();
    let (database, data) = (folder.path().join("numbers.db"), folder.path().join("data"));
    let spec = json!({
        "pipelineId": "numbers",
        "source": {"type": "generate", "count": 2_000, "schema": {"id": {"type": "sequence"}}},
        "sink": {"type": "sqlite", "path": database, "table": "numbers", "mode": "append"},
        "batch": {"maxRecords": 10},
    });
    let mut node = program().node_with(&data, &[], &[(VARIABLE, "after:sink-commit@3=kill")]);
    node.create_and_start(&spec).await;
    assert!(!node.ended().success());
    let written = query(&database, "SELECT count(*) FROM numbers");
    assert!(written > 0 && written < 2_000, "{written} rows behind the third commit");
    let node = program().node_with(&data, &[], &[(VARIABLE, "count")]);
    node.until("numbers", "completed", is("completed")).await;
    assert_eq!(query(&database, "SELECT count(DISTINCT id) FROM numbers"), 2_000);
    assert_eq!(query(&database, "SELECT count(*) FROM numbers"), 2_000);
    let metrics = node.get("/metrics").await;
    let counted = format!("{METRIC}{{point=\"after:sink-commit\"}} ");
    assert!(metrics.as_str().unwrap().lines().any(|line| line.starts_with(&counted)), "{metrics}");
}

/// Rows that a trigger has skipped are told of, also where the node dies before it can journal the commit.
#[tokio::test]
async fn what_a_sink_says_of_its_last_commit_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.db");
    let triggered = "create table numbers (id integer); create trigger odd before insert on numbers when new.id % 2 = 1 \
        begin select raise(ignore); end";
    rusqlite::Connection::open(&path).unwrap().execute_batch(triggered).unwrap();
    let mut sinks = vec![json!({"type": "sqlite", "path": path, "table": "numbers", "mode": "append"})];
    let postgres = Postgres::start().await;
    if let Some(postgres) = &postgres {
        let triggered = "create table numbers (id bigint); \
            create function skip() returns trigger language plpgsql as 'begin if new.id % 2 = 1 then return null; end if; return new; end'; \
            create trigger odd before insert on numbers for each row execute function skip()";
        postgres.client().await.batch_execute(triggered).await.unwrap();
        let url = format!("postgres://dataflow@{}/postgres", postgres.address);
        sinks.push(json!({"type": "postgres", "url": url, "table": "numbers", "mode": "append"}));
    }
    for (number, sink) in sinks.into_iter().enumerate() {
        let data = folder.path().join(format!("data-{number}"));
        let spec = json!({
            "pipelineId": "numbers",
            "source": {"type": "generate", "count": 300, "rate": 400, "schema": {"id": {"type": "sequence"}}},
            "sink": sink,
            "batch": {"maxRecords": 10, "linger": "5ms"},
            "checkpointInterval": "1h",
        });
        // Nothing of it is journalled before the last one.
        let mut node = program().node_with(&data, &[], &[(VARIABLE, "after:sink-commit@4=kill")]);
        node.create_and_start(&spec).await;
        assert!(!node.ended().success());
        // A part of it is in the journal, and in the token what came since.
        // It resumes by itself, and may be that far before it listens.
        let node = program().try_node(&data, &[], &[(VARIABLE, "after:sink-commit@3=kill")]);
        assert!(!node.map_or_else(|status| status, |mut node| node.ended()).success());
        let node = start(&data);
        let view = node.until("numbers", "completed", is("completed")).await;
        let told: Vec<_> =
            view["warnings"].as_array().unwrap().iter().filter(|it| it["code"] == "rows-swallowed").collect();
        assert_eq!((told.len(), &told[0]["records"]), (1, &json!(150)), "{view:#}");
        assert_eq!((count(&view, "recordsDelivered"), count(&view, "rowsWritten")), (300, 150), "{view:#}");
    }
}

#[tokio::test]
async fn two_nodes_share_a_folder_only_if_a_test_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let _one = start(folder.path());
    let other = program().node_with(folder.path(), &[], &[(VARIABLE, "no-folder-lock")]);
    assert_eq!(other.get("/health/live").await["status"], "live");
}
