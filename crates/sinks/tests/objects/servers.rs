//! A server of the test's own: what it shows of itself, and what becomes of a lane when it goes away.
use crate::target::{Target, opened};
use dataflow_core::pipeline::event::LaneProgress;
use dataflow_sdk::{Error, sink::CommitError};
use dataflow_testkit::{
    bucket::Bucket,
    own::{Authority, Completing, Identity, Minio},
};
use serde_json::{Value, json};

/// Settings, and the error that they lead to; empty: none.
type Tries = [(Value, &'static str)];

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_authority_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (ca, other_ca) = (put("ca.pem", &ours.pem()), put("other.pem", &others.pem()));
    let tls = |ca: &str| json!({"tls": {"ca": ca}});
    let cases: [(&str, Identity, &Tries); 3] = [
        (
            "good",
            ours.issue(&["localhost", "127.0.0.1"]),
            &[
                (tls(&ca), ""),
                (tls(&other_ca), "certificate-unknown"),
                (json!({}), "certificate-unknown"),
                (tls("/nowhere/ca.pem"), "certificate-unreadable"),
            ],
        ),
        ("another name", ours.issue(&["elsewhere.example"]), &[(tls(&ca), "certificate-name")]),
        ("expired", ours.issue_expired(&["localhost"]), &[(tls(&ca), "certificate-expired")]),
    ];
    for (name, identity, cases) in cases {
        let Some(server) = Minio::start(Some(&identity)) else { return };
        let bucket = Bucket::fresh_at(&server.endpoint(), "tls").await;
        for (more, code) in cases {
            let mut more = more.clone();
            more["endpoint"] = json!(server.endpoint_by("localhost"));
            let begun = std::time::Instant::now();
            let said = opened(&bucket, more.clone()).await;
            assert!(begun.elapsed().as_secs() < 15, "{name}: a refused certificate is not tried again");
            match said {
                Ok(()) => assert_eq!(*code, "", "{name}: {more}"),
                Err(error) => {
                    assert_eq!(error.code(), *code, "{name}: {error:?}");
                    assert!(error.to_string().contains(if more["tls"]["ca"] == "/nowhere/ca.pem" {
                        "/nowhere"
                    } else {
                        "localhost"
                    }));
                }
            }
        }
    }
    // TLS where there is none.
    let Some(plain) = Minio::start(None) else { return };
    let bucket = Bucket::fresh_at(&plain.endpoint(), "tls").await;
    let error = opened(&bucket, json!({"endpoint": plain.endpoint().replace("http:", "https:")})).await.unwrap_err();
    assert_eq!(error.code(), "tls-failed", "{error:?}");
}

/// Killed with parts on their way, with all of it sealed, and between journal and publication: the next opening goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_goes_on_where_it_was() {
    let Some(mut server) = Minio::start(None) else { return };
    let target = Target::at(Bucket::fresh_at(&server.endpoint(), "restarts").await, json!({}));
    let many = |from: i64| (from..from + 200_000).collect::<Vec<_>>();
    let mut lane = target.lane(1, None).await;
    let first = lane.write(1, &[1]).await;
    lane.commit(2, &many(1_000)).await;
    server.kill();
    let error = lane.try_commit(3, &many(300_000), &[]).await.unwrap_err();
    assert!(matches!(&error, CommitError::Failed(Error::Transient { code: "unreachable", .. })), "{error:?}");
    drop(lane);
    server.start_again();

    let mut lane = target.lane(2, Some(&first)).await;
    lane.commit(2, &many(1_000)).await;
    let sealed = lane.seal(2).await;
    server.kill();
    server.start_again();
    lane.publish(&sealed).await;
    drop(lane);
    let expected = [vec![1], many(1_000)].concat();
    assert_eq!(target.ids().await, expected);

    let mut lane = target.lane(3, Some(&sealed)).await;
    lane.commit(3, &many(300_000)).await;
    let sealed = lane.seal(3).await;
    server.kill();
    let error = lane.try_publish(&sealed).await.unwrap_err();
    assert!(matches!(&error, Error::Transient { code: "unreachable", .. }), "{error:?}");
    drop(lane);
    server.start_again();
    target.lane(4, Some(&sealed)).await;
    assert_eq!(target.ids().await, [expected, many(300_000)].concat());
}

/// MinIO, killed while it completes an upload, forgets the upload's parts.
#[tokio::test(flavor = "multi_thread")]
async fn parts_that_a_server_forgets_are_put_again() {
    let Some(server) = Minio::start(None) else { return };
    let more = json!({"path": "part={cast(id % 3 as text)}", "roll": {"maxRecords": 2}});
    let target = Target::at(Bucket::fresh_at(&server.endpoint(), "forgets").await, more);
    let mut lane = target.lane(1, None).await;
    lane.commit(1, &[1, 2, 3, 4, 5]).await;
    let sealed = lane.seal(1).await;
    server.killed_while(Completing::Forgotten);
    let first = lane.publish(&sealed).await;
    assert_eq!(target.ids().await, [1, 2, 3, 4, 5]);
    // Also by the next opening, and after some were published.
    lane.commit(2, &[6, 7, 8]).await;
    let sealed = LaneProgress { handle: lane.seal(2).await.handle, ..first };
    drop(lane);
    target.lane(2, Some(&sealed)).await;
    server.killed_while(Completing::Forgotten);
    let mut lane = target.lane(3, Some(&sealed)).await;
    assert_eq!(target.ids().await, [1, 2, 3, 4, 5, 6, 7, 8]);
    let copies = || {
        let files = std::fs::read_dir(target.scratch.path().join("s3/orders/0"));
        files.into_iter().flatten().map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    assert!(copies().is_empty(), "of what is published: {:?}", copies());

    // Killed a moment later, it has a folder where the object is to be, and refuses to complete that upload for ever.
    lane.commit(3, &[9]).await;
    let sealed = lane.seal(3).await;
    let key = sealed.handle.as_ref().unwrap()["objects"][0]["key"].as_str().unwrap();
    server.killed_while(Completing::Moved(&format!("{}/{key}", target.bucket.name)));
    lane.publish(&sealed).await;
    assert_eq!(target.ids().await, [1, 2, 3, 4, 5, 6, 7, 8, 9]);

    // Or it has emptied the upload's description, and knows of no such upload.
    lane.commit(4, &[10]).await;
    let sealed = lane.seal(4).await;
    server.killed_while(Completing::Rewriting);
    lane.publish(&sealed).await;
    assert_eq!(target.ids().await, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);

    // A copy of other bytes, as a crash of the machine may leave it, never becomes an object.
    lane.commit(5, &[11]).await;
    let sealed = lane.seal(5).await;
    let [copy] = &copies()[..] else { panic!("{:?}", copies()) };
    let mut bytes = std::fs::read(copy).unwrap();
    bytes[0] ^= 1;
    std::fs::write(copy, bytes).unwrap();
    server.killed_while(Completing::Forgotten);
    let error = lane.try_publish(&sealed).await.unwrap_err();
    assert_eq!(error.code(), "upload-lost", "{error}");
    assert_eq!(target.ids().await, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
}
