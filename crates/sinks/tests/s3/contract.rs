//! What every staged sink has to keep.
use crate::target::Target;
use dataflow_testkit::{conformance, servers};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_staged_sink() {
    if !servers::minio_is_up() {
        return;
    }
    for more in [
        json!({"path": "a/b"}),
        json!({"format": "csv", "compression": "gzip"}),
        json!({"format": "parquet"}),
        json!({"format": "avro"}),
        json!({"compression": "zstd", "conditionalWrites": false}),
    ] {
        let settings = || {
            let mut settings = more.clone();
            settings["roll"] = json!({"maxRecords": 3});
            settings
        };
        conformance::sink(|| async { Target::new(settings()).await.unwrap() }).await;
    }
}
