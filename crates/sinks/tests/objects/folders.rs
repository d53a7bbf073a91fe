//! A folder: what somebody else puts there, and where it may be.
use crate::target::{Target, none, opened};
use dataflow_sdk::{Error, Paths, SinkConfig, sink::CommitError};
use dataflow_sinks::FolderSink;
use dataflow_testkit::{
    bucket::Kind,
    fixture::{context, fence, open_lane},
};
use serde_json::json;
use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc};

/// Files that are not the sink's own records, with what is staged among them.
fn files(folder: &Path) -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap().map(|entry| entry.unwrap()) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    files
}

/// A link below the folder leads nowhere: what would be written there is not.
#[tokio::test(flavor = "multi_thread")]
async fn links_lead_nowhere() {
    let target = Target::new(Kind::Folder, json!({"path": "c={country}"})).await.unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), Path::new(&target.bucket.name).join("c=DE")).unwrap();
    let mut lane = target.lane(1, None).await;
    lane.try_commit(1, &[1], &[&|_| Some("DE".into())]).await.unwrap();
    let sealed = lane.seal(1).await;
    let error = lane.try_publish(&sealed).await.unwrap_err();
    assert!(matches!(&error, Error::Fatal { code: "path-not-allowed", .. }), "{error:?}");
    assert!(error.to_string().contains("c=DE"), "{error}");
    assert!(files(outside.path()).is_empty());
    // Who removes it has it go on.
    fs::remove_file(Path::new(&target.bucket.name).join("c=DE")).unwrap();
    lane.publish(&sealed).await;
    assert_eq!(target.ids().await, [1]);

    // Nor does one where the sink keeps what is its own.
    let target = Target::new(Kind::Folder, none()).await.unwrap();
    symlink(outside.path(), Path::new(&target.bucket.name).join("_dataflow")).unwrap();
    let error = opened(&target.bucket, none()).await.unwrap_err();
    assert_eq!(error.code(), "path-not-allowed", "{error}");
    assert!(files(outside.path()).is_empty());
    target.bucket.remove().await;
}

/// Values that look like ways out are names.
#[tokio::test(flavor = "multi_thread")]
async fn values_lead_nowhere() {
    let target = Target::new(Kind::Folder, json!({"path": "{country}/x"})).await.unwrap();
    let values = ["..", ".", "../../up", "/etc", "", ".staged", "_dataflow", "a\u{0}b"];
    let mut lane = target.lane(1, None).await;
    let ids: Vec<i64> = (0..values.len() as i64).collect();
    lane.try_commit(1, &ids, &[&|id| Some(values[id as usize].to_owned())]).await.unwrap();
    let sealed = lane.seal(1).await;
    lane.publish(&sealed).await;
    let files = files(Path::new(&target.bucket.name));
    assert_eq!(
        files.iter().filter(|file| file.ends_with(".json") && !file.starts_with("_dataflow")).count(),
        ids.len()
    );
    target.bucket.remove().await;
}

/// `paths.allow` holds, by where the folder really is; and the node's own files are nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_allowed_is_refused() {
    let (allowed, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let inside = allowed.path().join("out");
    fs::create_dir(&inside).unwrap();
    symlink(other.path(), allowed.path().join("link")).unwrap();
    let own = inside.join("own");
    fs::create_dir(&own).unwrap();
    let paths = Paths { allowed: Some(vec![allowed.path().into()]), own: vec![own.clone()], ..Paths::default() };
    let cases = [
        (inside.clone(), ""),
        (other.path().to_owned(), "path-not-allowed"),
        (allowed.path().join("link"), "path-not-allowed"),
        (allowed.path().join("out/../../").join(other.path().file_name().unwrap()), "path-not-allowed"),
        (own, "own-file"),
        (allowed.path().join("nowhere"), "folder-missing"),
    ];
    for (folder, code) in cases {
        let config: FolderSink = serde_json::from_value(json!({"folder": folder, "path": "{country}"})).unwrap();
        let cx = dataflow_sdk::Context { paths: Arc::new(paths.clone()), ..context("orders") };
        let opened = config.build().open(&cx, open_lane(&fence("orders", 1))).await;
        match opened {
            Ok(_) => assert_eq!(code, "", "{}", folder.display()),
            Err(error) => assert_eq!(error.code(), code, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_replaced_and_nothing_is_left() {
    let target = Target::new(Kind::Folder, json!({"roll": {"maxRecords": 2}})).await.unwrap();
    let folder = Path::new(&target.bucket.name);
    let mut lane = target.lane(1, None).await;
    lane.commit(1, &[1, 2, 3]).await;
    let sealed = lane.seal(1).await;
    let (key, _) = &crate::target::uploads(&sealed)[0];
    fs::write(folder.join(key), "somebody else's").unwrap();
    let error = lane.try_publish(&sealed).await.unwrap_err();
    assert_eq!(error.code(), "object-changed", "{error}");
    assert_eq!(fs::read_to_string(folder.join(key)).unwrap(), "somebody else's");
    fs::remove_file(folder.join(key)).unwrap();
    lane.publish(&sealed).await;
    assert_eq!(target.ids().await, [1, 2, 3]);
    lane.commit(2, &(10..20).collect::<Vec<_>>()).await;
    let staged = files(&folder.join("_dataflow/.staged"));
    assert_eq!(staged.iter().filter(|file| !file.starts_with('.')).count(), 5, "{staged:?}");
    drop(lane);
    target.lane(2, Some(&sealed)).await;
    let staged = files(&folder.join("_dataflow/.staged"));
    assert!(staged.iter().all(|file| file.starts_with('.')), "what was never sealed is removed: {staged:?}");
    target.bucket.remove().await;
}

/// The folder goes away while a lane is open: it is not made anew by what is written next.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_goes_is_told_of() {
    let target = Target::new(Kind::Folder, none()).await.unwrap();
    let mut lane = target.lane(1, None).await;
    target.bucket.remove().await;
    let error = lane.try_commit(1, &(0..200_000).collect::<Vec<_>>(), &[]).await.unwrap_err();
    assert!(matches!(&error, CommitError::Failed(Error::Fatal { code: "folder-missing", .. })), "{error:?}");
    assert!(!Path::new(&target.bucket.name).exists());
}
