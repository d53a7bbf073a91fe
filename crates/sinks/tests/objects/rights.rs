//! Users of MinIO who may do less than everything: what they lack is named, or not needed.
use crate::target::{Target, none, opened};
use dataflow_sdk::Error;
use dataflow_testkit::bucket::Kind;
use serde_json::json;

/// What the guide says that a user needs.
const RIGHTS: [&str; 5] =
    ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:AbortMultipartUpload"];

fn without(lacking: &str) -> Vec<&'static str> {
    RIGHTS.into_iter().filter(|right| *right != lacking).collect()
}

fn denied(error: &Error, bucket: &str, lacking: &str) {
    let Error::Fatal { code: "access-denied", message, fix: Some(fix), .. } = error else { panic!("{error:?}") };
    assert!(message.contains(bucket) && fix.contains(lacking), "{lacking}: {error:?}");
    let others = RIGHTS.iter().filter(|right| **right != lacking && fix.contains(**right));
    assert!(others.count() <= 1, "it names what is missing, not everything: {fix}");
}

/// What a user who lacks a right is told when a pipeline starts that has never run.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_names_what_is_missing() {
    let Some(target) = Target::new(Kind::S3, none()).await else { return };
    let bucket = &target.bucket;
    for lacking in ["s3:GetObject", "s3:PutObject", "s3:ListBucket"] {
        let error = opened(bucket, bucket.login_for(&without(lacking)).await).await.unwrap_err();
        denied(&error, &bucket.name, lacking);
        assert!(bucket.keys().await.is_empty(), "{lacking}: nothing was written");
    }
    let only = [("s3:PutObject", "s3:GetObject"), ("s3:GetObject", "s3:ListBucket"), ("s3:ListBucket", "s3:GetObject")];
    for (right, lacking) in only {
        let error = opened(bucket, bucket.login_for(&[right]).await).await.unwrap_err();
        denied(&error, &bucket.name, lacking);
    }
    // Who may only read.
    let error = opened(bucket, bucket.login_for(&["s3:GetObject", "s3:ListBucket"]).await).await.unwrap_err();
    denied(&error, &bucket.name, "s3:PutObject");
    bucket.remove().await;
}

/// Without the right to abort or delete a pipeline runs, until there is something to abort or delete.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_rarely_needed_is_missed_when_it_is() {
    let Some(target) = Target::new(Kind::S3, none()).await else { return };
    let bucket = &target.bucket;
    let enough = bucket.login_for(&["s3:GetObject", "s3:PutObject", "s3:ListBucket"]).await;
    let mut lane = Target::at(bucket.clone(), enough).lane(1, None).await;
    let written = lane.write(1, &[1]).await;
    lane.commit(2, &(1_000..200_000).collect::<Vec<_>>()).await;
    drop(lane);
    assert_eq!(bucket.uploads().await.len(), 1, "left behind");
    let login = bucket.login_for(&without("s3:AbortMultipartUpload")).await;
    let (lacking, open) = (Target::at(bucket.clone(), login), crate::target::journalled(&written, 2));
    denied(&lacking.open(open).await.err().unwrap(), &bucket.name, "s3:AbortMultipartUpload");
    let mut lane = Target::at(bucket.clone(), bucket.login_for(&RIGHTS).await).lane(3, Some(&written)).await;
    lane.write(2, &[2]).await;
    assert_eq!(target.ids().await, [1, 2]);
    bucket.remove().await;
}

/// Users that the server has, and no longer serves.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_over_is_told_of() {
    let Some(target) = Target::new(Kind::S3, none()).await else { return };
    let bucket = &target.bucket;
    opened(bucket, bucket.user(&RIGHTS, "enabled").await).await.unwrap();
    let nobody = json!({"sessionToken": "none", "accessKeyId": "gone", "secretAccessKey": "gone"});
    for login in [bucket.user(&RIGHTS, "disabled").await, bucket.expired_login().await, nobody] {
        let error = opened(bucket, login.clone()).await.unwrap_err();
        assert!(matches!(&error, Error::Fatal { code: "login-failed", fix: Some(_), .. }), "{login}: {error:?}");
        assert!(error.to_string().contains(&bucket.name), "{error}");
    }
    bucket.remove().await;
}
