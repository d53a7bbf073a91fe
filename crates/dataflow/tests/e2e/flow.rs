//! From create to completed over REST: a file through a filter into SQLite.
use crate::program::{assert_balanced, count, is, query, start};
use serde_json::json;
use std::time::Duration;

const USERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/users.jsonl");

#[tokio::test]
async fn a_file_flows_through_a_filter_into_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("users.db");
    let node = start(&folder.path().join("data"));
    let spec = json!({
        "pipelineId": "adults",
        "source": {"type": "file", "path": USERS},
        "transforms": [{"type": "filter", "condition": "age > 18"}],
        "sink": {"type": "sqlite", "path": database, "table": "users", "key": ["id"]},
    });

    let (status, created) = node.request("POST", "/api/pipelines", Some(&spec)).await;
    assert_eq!(status, 201, "{created}");
    assert_eq!((&created["status"], &created["pipelineId"]), (&json!("created"), &json!("adults")));
    assert_eq!(created["pipeline"]["status"], "configured");
    let (status, problem) = node.request("POST", "/api/pipelines", Some(&spec)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("already-exists")));

    let (status, started) = node.post("/api/pipelines/adults/start").await;
    assert_eq!((status, &started["pipelineId"]), (200, &json!("adults")));
    let done = node.until("adults", "completed", is("completed")).await;
    assert_balanced(&done);
    assert_eq!(count(&done, "recordsRead"), 10_000);
    assert_eq!(count(&done, "recordsInFlight"), 0);
    let dead = count(&done, "recordsDead");
    assert!(dead > 0 && dead < 20, "{done:#}");

    let rows = query(&database, "SELECT count(*) FROM users");
    assert_eq!(u64::try_from(rows).unwrap(), count(&done, "recordsDelivered"));
    assert_eq!(query(&database, "SELECT count(*) FROM users WHERE age <= 18 OR age IS NULL"), 0);
    assert_eq!(query(&database, "SELECT min(id) > 9007199254740993 FROM users"), 1, "no digit is lost");

    let letters = node.get("/api/pipelines/adults/dead-letters").await;
    assert_eq!(letters["items"].as_array().unwrap().len() as u64, dead);
    let first = node.get("/api/pipelines/adults/dead-letters/1").await;
    assert!(first["original"].as_str().unwrap().contains("900719925470"), "{first}");
    let history = node.get("/api/pipelines/adults/history").await;
    let events: Vec<_> = history["items"].as_array().unwrap().iter().map(|item| item["event"].clone()).collect();
    for expected in ["PipelineCreated", "PipelineStarted", "PipelineCompleted"] {
        assert!(events.contains(&json!(expected)), "{events:?}");
    }

    let metrics = node.get("/metrics").await;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("dataflow_records_read_total") && metrics.contains("pipeline=\"adults\""), "{metrics}");
    assert!(metrics.contains("# HELP dataflow_records_read_total "), "{metrics}");
    for (status, is) in [("completed", 1), ("running", 0), ("failed", 0)] {
        let series = format!("\ndataflow_pipeline_status{{pipeline=\"adults\",status=\"{status}\"}} {is}\n");
        assert!(metrics.contains(&series), "{metrics}");
    }
    assert_eq!(node.get("/health/ready").await["status"], "ready");

    // The ledger survives the node.
    assert!(node.terminate().success());
    let node = start(&folder.path().join("data"));
    let again = node.get("/api/pipelines/adults").await;
    assert_eq!(count(&again, "recordsRead"), 10_000);
    assert_eq!(again["status"], "completed");

    // Of what is deleted, nothing is counted any more.
    let of_adults = async || node.get("/metrics").await.as_str().unwrap().contains("_total{pipeline=\"adults\"");
    let twice = json!({
        "pipelineId": "twice", "source": {"type": "generate", "count": 10}, "sink": {"type": "blackhole"}
    });
    for _ in 0..2 {
        node.create_and_start(&twice).await;
        node.until("twice", "completed", is("completed")).await;
        let metrics = node.get("/metrics").await;
        assert!(
            metrics.as_str().unwrap().contains("dataflow_records_read_total{pipeline=\"twice\"} 10\n"),
            "{metrics}"
        );
        assert_eq!(node.request("DELETE", "/api/pipelines/twice", None).await.0, 200);
        assert!(!node.get("/metrics").await.as_str().unwrap().contains("twice"));
    }
    assert!(!of_adults().await, "it has not run on this node");
}

#[tokio::test]
async fn a_wrong_pipeline_gets_all_findings_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path());
    let spec = json!({
        "pipelineId": "wrong",
        "source": {"type": "fil", "path": "x"},
        "transforms": [{"type": "filter", "condition": "age >"}],
        "sink": {"type": "sqlite", "path": "x.db", "tabel": "users"},
    });
    let (status, problem) = node.request("POST", "/api/pipelines", Some(&spec)).await;
    assert_eq!(status, 400, "{problem}");
    let paths: Vec<_> =
        problem["problems"].as_array().unwrap().iter().map(|found| found["path"].as_str().unwrap()).collect();
    for expected in ["source.type", "transforms[0].condition", "sink.tabel", "sink.table"] {
        assert!(paths.contains(&expected), "{expected} is not in {paths:?}");
    }
    assert_eq!(node.get("/api/pipelines").await["items"], json!([]));
}

/// The example that needs a node, with its table where the test keeps its files.
#[tokio::test]
async fn the_http_example_takes_what_is_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let example = include_str!("../../../../examples/http-to-sqlite.yaml");
    let mut spec: serde_json::Value = serde_yaml_ng::from_str(example).unwrap();
    let orders = folder.path().join("orders.db");
    spec["sink"]["path"] = json!(orders);
    node.create_and_start(&spec).await;
    let order = |amount: i64| json!({"orderId": "a", "amount": amount});
    let records = [order(5), order(-1), order(7)].map(|data| json!({"data": data}));
    let batch = json!({"batchId": "b1", "records": records});
    let path = "/api/pipelines/pushed-orders/batches?wait=delivered";
    let (status, answer) = node.request("POST", path, Some(&batch)).await;
    assert_eq!((status, &answer["delivered"]), (200, &json!(true)), "{answer}");
    assert_eq!(query(&orders, "SELECT count(*) FROM orders"), 1);
    assert_eq!(query(&orders, "SELECT amount FROM orders"), 7, "a later record of an order wins");
}

/// A pusher that waits for a sink holds up nobody: the bodies under way are bounded until they are durable, no longer.
#[tokio::test]
async fn who_waits_for_a_delivery_keeps_nobody_from_pushing() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    // Never started: nothing is delivered.
    let spec = json!({"pipelineId": "p", "source": {"type": "http", "maxPendingBytes": 1 << 30}, "sink": {"type": "blackhole"}});
    let (status, created) = node.request("POST", "/api/pipelines", Some(&spec)).await;
    assert_eq!(status, 201, "{created}");
    let text = "x".repeat(8 << 20);
    let push = async |batch: usize| {
        let body = json!({"batchId": batch.to_string(), "records": [{"data": {"text": text[..text.len() - 1_000]}}]});
        node.request("POST", "/api/pipelines/p/batches?wait=delivered&timeout=10m", Some(&body)).await
    };
    let first = json!({"batchId": "first", "records": [{"data": {}}]});
    assert_eq!(node.request("POST", "/api/pipelines/p/batches", Some(&first)).await.0, 200);
    // Together they are more than what may be under way.
    let pushes = futures::future::join_all((0..9).map(push));
    let all_received = async {
        // The refusal to delete them says how many there are.
        let undelivered = async || node.request("DELETE", "/api/pipelines/p", None).await.1["detail"].to_string();
        while !undelivered().await.contains("10 ") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        answers = pushes => panic!("answered before anything was delivered: {answers:?}"),
        () = all_received => {}
    }
}
