//! What every keyed sink has to keep.
use crate::target::{Target, on_each};
use dataflow_testkit::conformance;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_keyed_sink() {
    on_each(|url| async move {
        for more in [json!({}), json!({"gzip": true, "maxRequestBytes": 2_000})] {
            let fresh = || async {
                let mut more = more.clone();
                more["createIndex"] = json!({"mappings": {"properties": {"name": {"type": "keyword"}}}});
                Target::new(url, more)
            };
            conformance::sink(fresh).await;
        }
    })
    .await;
}
