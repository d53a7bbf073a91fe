//! What a server refuses, and what a user is told.
use crate::target::{Target, none, opened};
use dataflow_sdk::{Error, SinkConfig};
use dataflow_sinks::S3Sink;
use dataflow_testkit::{
    bucket::Bucket,
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
    let Some(target) = Target::new(none()).await else { return };
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
    let Some(target) = Target::new(none()).await else { return };
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

/// A user who lacks a right is told so, with what to allow; one who has what the guide lists can do all there is to do.
#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named() {
    const RIGHTS: [&str; 5] =
        ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:AbortMultipartUpload"];
    let Some(target) = Target::new(none()).await else { return };
    let allowed = Target::at(target.bucket.clone(), target.bucket.login_for(&RIGHTS).await);
    let mut lane = allowed.lane(1, None).await;
    lane.commit(1, &(0..200_000).collect::<Vec<_>>()).await;
    drop(lane);
    let left = target.bucket.uploads().await;
    assert_eq!(left.len(), 1);
    // What is left makes the next opening abort it.
    for lacking in ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"] {
        let rights: Vec<&str> = RIGHTS.into_iter().filter(|right| *right != lacking).collect();
        let error = opened(&target.bucket, target.bucket.login_for(&rights).await).await.unwrap_err();
        let Error::Fatal { code: "access-denied", message, fix: Some(fix), .. } = &error else { panic!("{error:?}") };
        assert!(message.contains(&target.bucket.name) && fix.contains(lacking), "{lacking}: {error:?}");
    }
    let mut lane = Target::at(target.bucket.clone(), target.bucket.login_for(&RIGHTS).await).lane(2, None).await;
    lane.write(1, &[1]).await;
    assert_eq!(target.ids().await, [1]);
    let expired = json!({"sessionToken": "none", "accessKeyId": "gone", "secretAccessKey": "gone"});
    let error = opened(&target.bucket, expired).await.unwrap_err();
    assert_eq!(error.code(), "login-failed", "{error:?}");
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
        let mut sink = json!({"bucket": "events"});
        sink.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config: S3Sink = serde_json::from_value(sink).unwrap();
        let problems = config.check();
        assert!(problems.iter().any(|problem| problem.path == path), "{more}: {problems:?}");
    }
}
