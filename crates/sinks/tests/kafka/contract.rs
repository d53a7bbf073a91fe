//! What every transactional sink has to keep.
use crate::target::Target;
use dataflow_testkit::{conformance, servers};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_transactional_sink() {
    if servers::are_up() {
        conformance::sink(|| async { Target::new(&[], json!({})).await.unwrap() }).await;
    }
}
