//! How far a pipeline lags while its sink takes nothing: all that the source has after the last commit.
use super::{Flow, rows, sqlite, times};
use crate::program::{count, start};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_while_the_sink_is_down_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let sink = |folder: &Path| {
        let mut sink = sqlite(folder);
        sink["fenceTimeout"] = json!("100ms");
        sink
    };
    for source in ["file", "http"] {
        let flow = match source {
            "file" => Flow::new(&node, folder.path(), source, sink, json!({})).await,
            _ => Flow::from(&node, folder.path(), source, json!({"type": "http"}), sink).await,
        };
        let give = async |ids: std::ops::Range<u64>| match source {
            "file" => flow.append(ids),
            _ => {
                let records: Vec<_> = ids.clone().map(|id| json!({"data": {"id": id}})).collect();
                let body = json!({"batchId": format!("{ids:?}"), "records": records});
                let (status, answer) = node.request("POST", "/api/pipelines/http/batches", Some(&body)).await;
                assert!(status < 300, "{answer}");
            }
        };
        // Bytes of lines of two digits, or records.
        let unit = if source == "file" { 10 } else { 1 };
        let lags = async |lag: u64| {
            let fits = |view: &Value| view["metrics"]["lag"] == lag;
            flow.until(&format!("{source}: to lag by {lag}"), fits).await;
            let list = node.get("/api/pipelines").await;
            let listed = list["items"].as_array().unwrap().iter().find(|item| item["pipelineId"] == source).unwrap();
            assert_eq!(listed["metrics"]["lag"], lag, "{listed:#}");
            let unit = if source == "file" { "bytes" } else { "records" };
            let metrics = node.get("/metrics").await;
            let series = format!("\ndataflow_source_lag_{unit}{{pipeline=\"{source}\"}} {lag}\n");
            assert!(metrics.as_str().unwrap().contains(&series), "{series}: {metrics}");
        };
        give(10..20).await;
        flow.delivered(10).await;
        let holder = Connection::open(flow.folder.join("out.db")).unwrap();
        holder.execute_batch("begin exclusive").unwrap();
        give(20..50).await;
        flow.until("in trouble", |view| view["error"].is_object()).await;
        lags(30 * unit).await;
        give(50..60).await;
        lags(40 * unit).await;
        // Nor was it ever open in this run.
        flow.act("stop").await;
        flow.act("start").await;
        lags(40 * unit).await;
        holder.execute_batch("rollback").unwrap();
        let view = flow.delivered(50).await;
        assert_eq!(count(&view, "recordsLost"), 0);
        lags(0).await;
        assert_eq!(rows(&flow.folder), times(&[(10..60, 1)]));
    }
}
