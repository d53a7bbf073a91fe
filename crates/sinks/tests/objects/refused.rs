//! What a server refuses, and what a user is told.
use crate::target::{Target, none, opened};
use dataflow_sdk::{Error, SinkConfig};
use dataflow_sinks::{AzureBlobSink, FolderSink, S3Sink};
use dataflow_testkit::{
    bucket::{Bucket, Kind},
    proxy::{Mode, Proxy},
    servers,
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_used_is_named() {
    if !servers::minio_is_up() {
        return;
    }
    let bucket = Bucket::fresh("sink-test").await;
    let cases = [
        (json!({"bucket": "there-is-none-of-this-name"}), "bucket-missing", "there-is-none-of-this-name"),
        (json!({"secretAccessKey": "wrong"}), "login-failed", "SignatureDoesNotMatch"),
        (json!({"accessKeyId": "nobody"}), "login-failed", "InvalidAccessKeyId"),
    ];
    for (more, code, word) in cases {
        let error = opened(&bucket, more.clone()).await.unwrap_err();
        assert_eq!(error.code(), code, "{more}: {error}");
        assert!(error.to_string().contains(word) && !error.to_string().contains("minioadmin"), "{error}");
    }
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_waited_for() {
    let Some(target) = Target::new(Kind::S3, none()).await else { return };
    let proxy = Proxy::start("127.0.0.1:9000".parse().unwrap()).unwrap();
    let through = json!({"endpoint": format!("http://{}", proxy.address())});
    opened(&target.bucket, through.clone()).await.unwrap();
    drop(proxy);
    let error = opened(&target.bucket, through.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Transient { code: "unreachable", .. }), "{error}");
    target.bucket.remove().await;
}

/// A server that is out of reach while parts are sent, and comes back before anybody gives up.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_sent_what_is_left() {
    let Some(target) = Target::new(Kind::S3, none()).await else { return };
    let proxy = Proxy::start("127.0.0.1:9000".parse().unwrap()).unwrap();
    let through = Target::at(target.bucket.clone(), json!({"endpoint": format!("http://{}", proxy.address())}));
    let ids: Vec<i64> = (0..200_000).collect();
    let mut lane = through.lane(1, None).await;
    proxy.set(Mode::HoldAfter(3 << 20));
    let cut = async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        proxy.set(Mode::Pass);
        proxy.cut();
    };
    tokio::join!(lane.commit(1, &ids), cut);
    // The answers to the requests that complete the upload and write the record are lost.
    let sealed = lane.seal(1).await;
    proxy.set(Mode::LoseAnswer);
    lane.publish(&sealed).await;
    assert_eq!(proxy.mode(), Mode::Pass, "an answer was lost");
    assert_eq!(target.ids().await, ids);
    target.bucket.remove().await;
}

#[test]
fn settings_that_cannot_be_are_found_at_once() {
    let cases = [
        (json!({"bucket": "a/b"}), "bucket"),
        (json!({"path": "a/{"}), "path"),
        (json!({"endpoint": "minio:9000"}), "endpoint"),
        (json!({"endpoint": "http://minio:9000"}), "endpoint"),
        (json!({"endpoint": "http://minio:9000", "allowHttp": true, "tls": {}}), "tls"),
        (json!({"tls": {"cert": "client.pem"}}), "tls.key"),
        (json!({"accessKeyId": "a"}), "secretAccessKey"),
        (json!({"compression": "snappy"}), "compression"),
        (json!({"columns": ["a"]}), "columns"),
        (json!({"roll": {"maxRecords": 0}}), "roll.maxRecords"),
        (json!({"roll": {"maxBytes": 0}}), "roll.maxBytes"),
        (json!({"roll": {"maxAge": "0ms"}}), "roll.maxAge"),
        (json!({"maxOpenBytes": 1}), "maxOpenBytes"),
        (json!({"maxOpenObjects": 0}), "maxOpenObjects"),
    ];
    for (more, path) in cases {
        finds::<S3Sink>(json!({"bucket": "events"}), more, path);
    }
    for (more, path) in [
        (json!({"container": "a_b"}), "container"),
        (json!({"accessKey": "a", "sasToken": "b"}), "sasToken"),
        (json!({"endpoint": "http://azurite:10000"}), "endpoint"),
        (json!({"path": "a/../b"}), "path"),
        (json!({"roll": {"maxAge": "168h"}}), "roll.maxAge"),
    ] {
        finds::<AzureBlobSink>(json!({"container": "events"}), more, path);
    }
    for (more, path) in [(json!({"folder": ""}), "folder"), (json!({"roll": {"maxRecords": 0}}), "roll.maxRecords")] {
        finds::<FolderSink>(json!({"folder": "events"}), more, path);
    }
}

fn finds<C: SinkConfig>(mut sink: serde_json::Value, more: serde_json::Value, path: &str) {
    sink.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: C = serde_json::from_value(sink).unwrap();
    let problems = config.check();
    assert!(problems.iter().any(|problem| problem.path == path), "{more}: {problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_cannot_be_used_is_named() {
    if !Kind::Azure.is_up() {
        return;
    }
    let bucket = Bucket::fresh_of(Kind::Azure, "sink-test").await;
    let wrong = "d3Jvbmc=";
    let cases = [
        (json!({"container": "there-is-none-of-this-name"}), "bucket-missing", "there-is-none-of-this-name"),
        (json!({"accessKey": wrong}), "login-failed", "Auth"),
    ];
    for (more, code, word) in cases {
        let error = opened(&bucket, more.clone()).await.unwrap_err();
        assert_eq!(error.code(), code, "{more}: {error}");
        assert!(error.to_string().contains(word) && !error.to_string().contains(wrong), "{error}");
    }
    bucket.remove().await;
}
