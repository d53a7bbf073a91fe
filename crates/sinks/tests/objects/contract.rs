//! What every staged sink has to keep.
use crate::target::Target;
use dataflow_testkit::{bucket::Kind, conformance};
use serde_json::json;

for_each_store! { it_is_a_staged_sink }

async fn it_is_a_staged_sink(kind: Kind) {
    if !kind.is_up() {
        return;
    }
    for more in [
        json!({"path": "a/b"}),
        json!({"format": "csv", "compression": "gzip"}),
        json!({"format": "parquet"}),
        json!({"format": "avro"}),
        json!({"compression": "zstd", "conditionalWrites": false}),
    ] {
        if more["conditionalWrites"] == false && kind != Kind::S3 {
            continue;
        }
        let settings = || {
            let mut settings = more.clone();
            settings["roll"] = json!({"maxRecords": 3});
            settings
        };
        conformance::sink(|| async { Target::new(kind, settings()).await.unwrap() }).await;
    }
}
