//! What a server refuses is said: what, where, and what to do.
use super::*;

async fn error(source: &dyn Source) -> (Error, String) {
    let error = run(source, &context(), &Positions::new(), usize::MAX).await.unwrap_err();
    let fix = match &error {
        Error::Fatal { fix, .. } | Error::Transient { fix, .. } => fix.clone().unwrap_or_default(),
        _ => String::new(),
    };
    (error, fix)
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named() {
    let Some(bucket) = bucket().await else { return };
    bucket.put("a.jsonl", lines("a", 1)).await;
    let both = bucket.login_for(&["s3:GetObject", "s3:ListBucket"]).await;
    assert_eq!(all(&*source(&bucket, both), &Positions::new()).await.texts().len(), 1, "no other right is needed");
    for (right, lacking) in [("s3:GetObject", "s3:ListBucket"), ("s3:ListBucket", "s3:GetObject")] {
        let (error, fix) = error(&*source(&bucket, bucket.login_for(&[right]).await)).await;
        assert_eq!(error.code(), "access-denied", "{error:?}");
        assert!(error.to_string().contains(&bucket.name) && fix.contains(lacking), "{error} {fix}");
    }
    let gone = json!({"accessKeyId": "gone", "secretAccessKey": "gone"});
    assert_eq!(error(&*source(&bucket, gone)).await.0.code(), "login-failed");
    let wrong = json!({"secretAccessKey": "wrong-secret"});
    let (wrong, _) = error(&*source(&bucket, wrong)).await;
    assert_eq!(wrong.code(), "login-failed");
    assert!(!wrong.to_string().contains("wrong-secret"));
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told() {
    let Some(bucket) = bucket().await else { return };
    let (nothing, fix) = error(&*source(&bucket, json!({"path": "in"}))).await;
    assert_eq!(nothing.code(), "no-match", "{nothing:?}");
    assert!(nothing.to_string().contains(&format!("s3://{}/in", bucket.name)) && fix.contains("folder/"), "{fix}");
    let (missing, _) = error(&*source(&bucket, json!({"bucket": "there-is-none"}))).await;
    assert_eq!(missing.code(), "bucket-missing", "{missing:?}");
    bucket.remove().await;
}

#[test]
fn settings_that_cannot_be_are_found_at_once() {
    let cases = [
        (json!({"bucket": "a/b"}), "bucket"),
        (json!({"path": "s3://lake/a"}), "path"),
        (json!({"path": "a[/b"}), "path"),
        (json!({"endpoint": "minio:9000"}), "endpoint"),
        (json!({"endpoint": "http://minio:9000"}), "endpoint"),
        (json!({"accessKeyId": "a"}), "secretAccessKey"),
        (json!({"format": "csv", "header": false}), "columns"),
        (json!({"format": "csv", "columns": ["a"]}), "columns"),
        (json!({"columns": ["a"]}), "columns"),
        (json!({"format": "parquet", "compression": "gzip"}), "compression"),
        (json!({"delimiter": "ü"}), "delimiter"),
        (json!({"pollInterval": "0s"}), "pollInterval"),
    ];
    for (more, expected) in cases {
        let mut settings = json!({"bucket": "lake"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let source: S3Source = serde_json::from_value(settings).unwrap();
        assert_eq!(
            source.check().iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(),
            [expected],
            "{more}"
        );
    }
}
