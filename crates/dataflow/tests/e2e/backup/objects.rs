//! Restores of a node whose sink writes objects, and of what it writes to: counted in the folder.
use super::{append, backup, from_file, restore};
use crate::program::{Node, start};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A node with a pipeline from a file to a folder of objects.
struct Lake {
    folder: tempfile::TempDir,
    written: u64,
}

impl Lake {
    /// The pipeline has begun, with five records.
    async fn new(lanes: u32) -> (Self, Node) {
        let mut lake = Self { folder: tempfile::tempdir().unwrap(), written: 0 };
        fs::create_dir(lake.path("lake")).unwrap();
        lake.append(5);
        let node = start(&lake.path("data"));
        node.create_and_start(&lake.spec(lanes)).await;
        lake.is_exact(&node).await;
        (lake, node)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spec(&self, lanes: u32) -> Value {
        let roll = json!({"maxRecords": 5, "maxAge": "50ms"});
        let mut spec =
            from_file(&self.path("in.jsonl"), json!({"type": "folder", "folder": self.path("lake"), "roll": roll}));
        spec["lanes"] = lanes.into();
        spec
    }

    fn append(&mut self, records: u64) {
        append(&self.path("in.jsonl"), self.written..self.written + records);
        self.written += records;
    }

    /// More records, each in the lake.
    async fn write(&mut self, node: &Node) {
        self.append(5);
        self.is_exact(node).await;
    }

    fn objects(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("lake")).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
    }

    fn lines(&self) -> Vec<String> {
        let text = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        self.objects().into_iter().flat_map(|path| text(path).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// Each record is there, once.
    async fn is_exact(&self, node: &Node) {
        let written = self.written;
        node.until("numbers", &format!("{written} published"), |_| self.lines().len() as u64 >= written).await;
        let lines = self.lines();
        let ids: BTreeSet<&String> = lines.iter().collect();
        assert_eq!((lines.len() as u64, ids.len() as u64), (written, written));
    }

    fn backup(&self, name: &str) {
        backup(&self.path("data"), &self.path(name));
    }

    /// The node after a restore.
    fn restored(&self, node: Node, name: &str) -> Node {
        node.kill();
        let (code, _, why) = restore(&self.path(name), &self.path("data"), &["--replace"]);
        assert_eq!(code, 0, "{why}");
        start(&self.path("data"))
    }

    /// Removes the objects that a fix names.
    fn remove(&self, fix: &str) {
        let names = fix.split_once("names begin with ").unwrap().1;
        let names = names.split_once(';').or_else(|| names.split_once(", also")).unwrap().0;
        for name in names.split(", and with ") {
            let (all, first) = match name.strip_suffix(" or a greater number") {
                Some(first) => (&first[..first.len() - 10], first),
                None => (name, ""),
            };
            for object in self.objects() {
                let name = object.file_name().unwrap().to_str().unwrap();
                if name.starts_with(all) && name >= first {
                    fs::remove_file(&object).unwrap();
                }
            }
        }
    }

    /// Does what errors of older journals say until there are no more.
    async fn follow(&self, node: &Node) {
        let mut view = node.until("numbers", "failed", |view| view["status"] == "failed").await;
        for _ in 0..8 {
            if view["status"] != "failed" {
                break;
            }
            assert_eq!(view["error"]["code"], "journal-behind", "{view:#}");
            self.remove(view["error"]["fix"].as_str().unwrap());
            node.start("numbers").await;
            let over = |view: &Value| view["status"] == "failed" || self.lines().len() as u64 >= self.written;
            view = node.until("numbers", "failed again, or as far as before", over).await;
        }
        self.is_exact(node).await;
    }
}

async fn failed(node: &Node, code: &str) -> String {
    let view = node.until("numbers", "failed", |view| view["status"] == "failed").await;
    assert_eq!(view["error"]["code"], code, "{view:#}");
    view["error"]["fix"].as_str().unwrap().to_owned()
}

async fn choose(node: &Node, to: Value) {
    let path = "/api/pipelines/numbers/checkpoint?force=true";
    let (status, body) = node.request("PUT", path, Some(&json!({"to": to}))).await;
    assert_eq!(status, 200, "{body}");
    node.start("numbers").await;
}

/// Generations that were started after the backup take each other's place in the records of the sink; what each of them has published
/// is still told, and written again once it is removed.
#[tokio::test(flavor = "multi_thread")]
async fn objects_of_later_generations_are_not_written_twice() {
    // Each number of lanes is another generation's, and whether it has published something.
    let later: [(u32, &[(u32, bool)]); 6] = [
        (1, &[(1, false)]),
        (1, &[(1, true)]),
        (1, &[(1, true), (1, true)]),
        (1, &[(1, true), (1, true), (1, false)]),
        (2, &[(4, true), (1, true)]),
        (2, &[(1, true), (2, true)]),
    ];
    for (lanes, generations) in later {
        let (mut lake, node) = Lake::new(lanes).await;
        lake.backup("a.db");
        lake.write(&node).await;
        for (lanes, publishes) in generations {
            assert_eq!(node.post("/api/pipelines/numbers/stop").await.0, 200);
            let (status, body) = node.request("PUT", "/api/pipelines/numbers", Some(&lake.spec(*lanes))).await;
            assert_eq!(status, 200, "{body}");
            choose(&node, json!("journal")).await;
            if *publishes {
                lake.write(&node).await;
            }
        }
        let node = lake.restored(node, "a.db");
        lake.follow(&node).await;
        lake.write(&node).await;
    }
}

/// An older journal and a newer one have given the same numbers to other objects: who goes back to the newer one is told, and can
/// have all written again.
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_back_to_the_newer_journal_is_told() {
    let (mut lake, node) = Lake::new(1).await;
    lake.backup("a.db");
    for _ in 0..3 {
        lake.write(&node).await;
    }
    lake.backup("b.db");
    // Once more from the same backup: exact as before. Each time the numbers are others' than before.
    let mut node = node;
    for name in ["c.db", "d.db"] {
        node = lake.restored(node, "a.db");
        lake.follow(&node).await;
        lake.write(&node).await;
        lake.backup(name);
    }
    node = lake.restored(node, "b.db");
    failed(&node, "journal-forked").await;
    node = lake.restored(node, "c.db");
    let fix = failed(&node, "journal-forked").await;
    lake.remove(&fix);
    assert_eq!(lake.lines().len(), 5, "what was there before the fork stays");
    let to = fix.split_once("checkpoint to ").unwrap().1.split_once(' ').unwrap().0;
    let (partition, position) = to.rsplit_once('=').unwrap();
    choose(&node, json!({"positions": [{"partition": partition, "position": position}]})).await;
    lake.is_exact(&node).await;
    lake.write(&node).await;
}

/// What was published is not there any more, though nobody has read it and taken it away.
#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_lacks_what_was_published_is_noticed() {
    for (code, is_copied) in [("token-behind", true), ("token-missing", false)] {
        let (mut lake, node) = Lake::new(1).await;
        let copied = |from: &Path, to: &Path| {
            let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
            assert!(status.success());
        };
        assert_eq!(node.post("/api/pipelines/numbers/stop").await.0, 200);
        copied(&lake.path("lake"), &lake.path("copy"));
        node.start("numbers").await;
        lake.write(&node).await;
        assert_eq!(node.post("/api/pipelines/numbers/stop").await.0, 200);
        fs::rename(lake.path("lake"), lake.path("newer")).unwrap();
        if is_copied {
            copied(&lake.path("copy"), &lake.path("lake"));
        } else {
            fs::create_dir(lake.path("lake")).unwrap();
        }
        node.start("numbers").await;
        failed(&node, code).await;
        // With the newer one it goes on.
        fs::remove_dir_all(lake.path("lake")).unwrap();
        copied(&lake.path("newer"), &lake.path("lake"));
        node.start("numbers").await;
        lake.write(&node).await;
        // Or without, if a user says so.
        assert_eq!(node.post("/api/pipelines/numbers/stop").await.0, 200);
        fs::remove_dir_all(lake.path("lake")).unwrap();
        fs::create_dir(lake.path("lake")).unwrap();
        node.start("numbers").await;
        failed(&node, "token-missing").await;
        choose(&node, json!("journal")).await;
        lake.append(5);
        node.until("numbers", "the rest", |_| lake.lines().len() == 5).await;
    }
}
