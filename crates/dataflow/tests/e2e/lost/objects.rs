//! What becomes of objects around their publication: a server has given up their uploads, or readers take them away at once.
use super::Flow;
use crate::{
    objects,
    program::{count, is, output},
};
use dataflow_testkit::{bucket::Bucket, fault_points::VARIABLE, servers};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The ids of an object's rows, and how often each is there.
fn count_rows(object: &[u8], found: &mut BTreeMap<u64, u64>) {
    for line in std::str::from_utf8(object).unwrap().lines() {
        *found.entry(serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).or_default() += 1;
    }
}

async fn rows(bucket: &Bucket) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    bucket.objects().await.values().for_each(|object| count_rows(object, &mut found));
    found
}

/// One of three objects is gone before it was published, or all of them: each choice does what it says.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_expired_are_written_again_or_counted_as_lost() {
    if !servers::minio_is_up() {
        return;
    }
    for (number, (gone, again)) in [(1, true), (1, false), (3, true), (3, false)].into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = Bucket::fresh(&format!("expired-{number}")).await;
        let more = json!({"path": "part={cast(id % 3 as text)}", "roll": {"maxAge": "50ms"}});
        let sink = objects::sink(&bucket, folder.path(), &more);
        let data = folder.path().join("data");
        let node = objects::node(&data, &[]);
        let flow = Flow::new(&node, folder.path(), "expired", |_| sink.clone(), json!({})).await;
        flow.append(0..100);
        flow.delivered(100).await;
        flow.act("stop").await;
        flow.append(100..250);
        let input = flow.input();
        assert!(node.terminate().success());

        let mut node = objects::node(&data, &[(VARIABLE, "before:publish=kill")]);
        drop(node.try_request("POST", "/api/pipelines/expired/start?wait=0s", None).await);
        assert!(!node.ended().success());
        let uploads = bucket.uploads().await;
        assert_eq!(uploads.len(), 3, "{uploads:?}");
        for (key, upload) in &uploads[..gone] {
            bucket.abort(key, upload).await;
        }

        let node = objects::node(&data, &[]);
        let view = node.until("expired", "failed", is("failed")).await;
        let flow = Flow { node: &node, id: "expired".into(), folder: input.parent().unwrap().to_owned() };
        let error = &view["error"];
        assert_eq!(error["code"], "upload-lost", "{view:#}");
        let text = |name: &str| error[name].as_str().unwrap();
        assert!(text("message").starts_with(&format!("{gone} of 3")), "{error:#}");
        assert!(text("message").contains(&uploads[0].0), "{error:#}");
        assert_eq!(rows(&bucket).await.len(), 250 - gone * 50, "the others are published");
        if again {
            if let Some((_, rest)) = text("fix").split_once("names begin with ") {
                let begin = rest.split_once(' ').unwrap().0;
                let (all, _) = begin.rsplit_once('-').unwrap();
                for key in bucket.keys().await {
                    let name = key.rsplit('/').next().unwrap();
                    if name.starts_with(&format!("{all}-")) && name >= begin {
                        bucket.delete(&key).await;
                    }
                }
            }
            assert_eq!(rows(&bucket).await.len(), 100, "{error:#}");
            let to = text("fix").split_once("checkpoint to ").unwrap().1.split_once(';').unwrap().0;
            let (partition, position) = to.rsplit_once('=').unwrap();
            flow.choose(json!({"positions": [{"partition": partition, "position": position}]})).await;
        } else {
            flow.choose(json!("journal")).await;
        }
        flow.append(250..300);
        flow.act("start").await;
        let through = |view: &Value| is("running")(view) && count(view, "recordsInFlight") == 0 && rows_of(view) == 300;
        let view = flow.until("through", through).await;
        let lost = if again { 0 } else { gone as u64 * 50 };
        let found = rows(&bucket).await;
        assert!(found.values().all(|times| *times == 1), "none is doubled: {view:#}");
        assert_eq!(found.len() as u64, 300 - lost, "{view:#}");
        if !again {
            assert_eq!(count(&view, "recordsLost"), lost, "{view:#}");
        }
        bucket.remove().await;
    }
}

/// What becomes of the objects of a node that was killed around their publication, and restored from a backup of before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// They were only sealed.
    Sealed,
    /// Their user removes them, as the error says.
    Removed,
    /// Their user has removed them before the pipeline was started.
    RemovedBefore,
    /// Readers had taken them away by then.
    Taken,
}

/// What was sealed is written again, once; what was published, and taken away since, isn't.
#[tokio::test(flavor = "multi_thread")]
async fn objects_around_whose_publication_a_node_was_restored_from_a_backup() {
    if !servers::minio_is_up() {
        return;
    }
    for (number, then) in [Then::Sealed, Then::Removed, Then::RemovedBefore, Then::Taken].into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = Bucket::fresh(&format!("restored-{number}")).await;
        let more = json!({"path": "part={cast(id % 3 as text)}", "roll": {"maxAge": "50ms"}});
        let sink = objects::sink(&bucket, folder.path(), &more);
        let data = folder.path().join("data");
        let node = objects::node(&data, &[]);
        let flow = Flow::new(&node, folder.path(), "restored", |_| sink.clone(), json!({})).await;
        flow.append(0..100);
        flow.delivered(100).await;
        flow.act("stop").await;
        flow.append(100..250);
        let input = flow.input();
        assert!(node.terminate().success());
        let saved = folder.path().join("backup.db");
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (code, _, said) = output(&["backup", "--data-dir", &text(&data), &text(&saved)]);
        assert_eq!(code, 0, "{said}");

        let fault = if then == Then::Sealed { "before:publish=kill" } else { "after:publish=kill" };
        let mut node = objects::node(&data, &[(VARIABLE, fault)]);
        drop(node.try_request("POST", "/api/pipelines/restored/start?wait=0s", None).await);
        assert!(!node.ended().success());
        let published = if then == Then::Sealed { 100 } else { 250 };
        assert_eq!(rows(&bucket).await.len(), published);
        let mut taken = BTreeMap::new();
        let new: Vec<String> = {
            let objects = bucket.objects().await.into_iter();
            let is_new = |object: &[u8]| {
                let mut ids = BTreeMap::new();
                count_rows(object, &mut ids);
                ids.keys().all(|id| *id >= 100)
            };
            objects.filter(|(key, object)| !key.starts_with('_') && is_new(object)).map(|(key, _)| key).collect()
        };
        if matches!(then, Then::Taken | Then::RemovedBefore) {
            for key in &new {
                count_rows(&bucket.get(key).await.unwrap(), &mut taken);
                bucket.delete(key).await;
            }
        }
        if then == Then::RemovedBefore {
            taken.clear();
        }
        let (code, _, said) = output(&["restore", "--replace", "--data-dir", &text(&data), &text(&saved)]);
        assert_eq!(code, 0, "{said}");
        let node = objects::node(&data, &[]);
        let flow = Flow { node: &node, id: "restored".into(), folder: input.parent().unwrap().to_owned() };
        if then != Then::Sealed {
            let error = flow.fails("journal-behind").await;
            let fix = error["fix"].as_str().unwrap();
            match then {
                Then::Removed => {
                    for key in &new {
                        bucket.delete(key).await;
                    }
                }
                Then::Taken => {
                    let to = fix.split_once("checkpoint to ").unwrap().1.split_once(';').unwrap().0;
                    let (partition, position) = to.rsplit_once('=').unwrap();
                    let path = "/api/pipelines/restored/checkpoint";
                    let to = json!({"to": {"positions": [{"partition": partition, "position": position}]}});
                    let (status, answer) = node.request("PUT", path, Some(&to)).await;
                    assert_eq!(status, 200, "nothing is written twice: {answer}");
                }
                Then::RemovedBefore | Then::Sealed => assert!(fix.contains("start the pipeline again"), "{error}"),
            }
        }
        flow.append(250..300);
        flow.act("start").await;
        let view = flow.delivered(300).await;
        assert_eq!(count(&view, "recordsLost"), 0, "{then:?}: {view:#}");
        let mut found = rows(&bucket).await;
        taken.into_iter().for_each(|(id, times)| *found.entry(id).or_default() += times);
        assert!(found.values().all(|times| *times == 1), "{then:?}: none is doubled: {found:?}");
        assert_eq!(found.len(), 300, "{then:?}: none is lost");
        bucket.remove().await;
    }
}

/// The node is killed each time before it can journal what it has just published.
#[tokio::test(flavor = "multi_thread")]
async fn objects_may_be_taken_away_as_soon_as_they_appear() {
    if !servers::minio_is_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::fresh("taken").await;
    let taken = Arc::new(Mutex::new(BTreeMap::<u64, u64>::new()));
    #[expect(clippy::disallowed_methods, reason = "it is ended with the test")]
    let reader = tokio::spawn({
        let (bucket, taken) = (bucket.clone(), taken.clone());
        async move {
            loop {
                for (key, object) in bucket.objects().await {
                    count_rows(&object, &mut taken.lock().unwrap());
                    bucket.delete(&key).await;
                }
            }
        }
    });
    // It takes what there is; the sink's own records it leaves alone.
    let all_taken = async || {
        while bucket.keys().await.iter().any(|key| !key.starts_with('_')) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let more = json!({"path": "part={cast(id % 3 as text)}", "roll": {"maxAge": "50ms"}});
    let sink = objects::sink(&bucket, folder.path(), &more);
    let data = folder.path().join("data");
    let node = objects::node(&data, &[]);
    let flow = Flow::new(&node, folder.path(), "taken", |_| sink.clone(), json!({})).await;
    flow.append(0..100);
    flow.delivered(100).await;
    let at = flow.folder.clone();
    assert!(node.terminate().success());
    for round in 1..4 {
        let mut node = objects::node(&data, &[(VARIABLE, "after:publish=kill")]);
        Flow { node: &node, id: "taken".into(), folder: at.clone() }.append(round * 100..round * 100 + 100);
        assert!(!node.ended().success());
        all_taken().await;
    }
    let node = objects::node(&data, &[]);
    let flow = Flow { node: &node, id: "taken".into(), folder: at };
    let view = flow.delivered(400).await;
    assert!(is("running")(&view) && count(&view, "recordsLost") == 0, "{view:#}");
    all_taken().await;
    reader.abort();
    assert!(taken.lock().unwrap().values().all(|times| *times == 1), "none is doubled");
    assert_eq!(taken.lock().unwrap().len(), 400, "none is lost");
    bucket.remove().await;
}

/// Records that are done with, those of the last generation counted anew.
fn rows_of(view: &Value) -> u64 {
    300_u64.min(count(view, "recordsDelivered") + count(view, "recordsLost"))
}
