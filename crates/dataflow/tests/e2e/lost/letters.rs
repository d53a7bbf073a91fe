//! Dead letters whose file was renamed, or whose bodies a restored journal has not: `verify` accuses nobody of either.
use super::{Flow, rows, sqlite, times};
use crate::program::{count, output, start};
use serde_json::{Value, json};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
};

fn write(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// One that no transform can read, and one that the sink doesn't take.
const BAD: &str = "{\"id\":\n{\"id\":77,\"n\":\"x\"}\n";

fn typed(folder: &Path) -> Value {
    let setup = "create table if not exists rows (id integer, n integer) strict";
    rusqlite::Connection::open(folder.join("out.db")).unwrap().execute_batch(setup).unwrap();
    sqlite(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_log_that_was_rotated_since_are_those_of_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    for (name, path) in [("all", "in.jsonl*"), ("newest", "in.jsonl")] {
        let path = folder.path().join(name).join(path);
        let source = json!({"type": "file", "path": path, "follow": true, "pollInterval": "20ms", "format": "json"});
        let flow = Flow::from(&node, folder.path(), name, source, typed).await;
        let rotated = |number: u64| match number {
            0 => flow.input(),
            number => flow.folder.join(format!("in.jsonl.{number}")),
        };
        let (mut dead, mut delivered) = (0, 0);
        for generation in 0..3_u64 {
            // The same bytes at the same place of each file, but for the last one.
            flow.append(10..20);
            if generation < 2 {
                write(&flow.input(), BAD);
                dead += 2;
            }
            flow.append(20..20 + generation);
            delivered += 10 + generation;
            let all = |view: &Value| (count(view, "recordsDelivered"), count(view, "recordsDead")) == (delivered, dead);
            flow.until("read", all).await;
            if generation < 2 {
                (0..=generation).rev().for_each(|old| fs::rename(rotated(old), rotated(old + 1)).unwrap());
            }
        }
        flow.act("stop").await;
        assert_eq!(rows(&flow.folder), times(&[(10..20, 3), (20..21, 2), (21..22, 1)]));
        let report = flow.verify();
        let letters = &report["deadLetters"];
        for accused in ["lost", "doubled", "altered", "unexpected"] {
            assert_eq!(letters[accused]["count"], 0, "{name}: {report:#}");
        }
        assert_eq!(report["verified"], name == "all", "{report:#}");
        assert_eq!(letters["expected"], if name == "all" { dead } else { 0 }, "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_a_restored_journal_lacks_are_counted_and_nobody_is_accused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, saved) = (folder.path().join("data"), folder.path().join("saved.db"));
    let mut node = start(&data);
    let (data_dir, to) = (data.to_str().unwrap(), saved.to_str().unwrap());
    let flow = Flow::new(&node, folder.path(), "restored", typed, json!({})).await;
    flow.append(0..10);
    write(&flow.input(), BAD);
    let dead = |dead: u64| move |view: &Value| count(view, "recordsDead") == dead;
    flow.until("at 2 dead letters", dead(2)).await;
    flow.delivered(10).await;
    flow.act("stop").await;
    assert_eq!(output(&["backup", "--data-dir", data_dir, to]).0, 0);
    flow.act("start").await;
    write(&flow.input(), BAD);
    flow.append(10..20);
    flow.until("at 4 dead letters", dead(4)).await;
    flow.delivered(20).await;
    let at = flow.folder.clone();
    node.kill();
    assert_eq!(output(&["restore", "--replace", "--data-dir", data_dir, to]).0, 0);
    node = start(&data);
    let flow = Flow { node: &node, id: "restored".into(), folder: at };
    flow.act("start").await;
    flow.append(20..30);
    flow.delivered(30).await;
    flow.act("stop").await;
    let letters = node.get("/api/pipelines/restored/dead-letters").await;
    let items = letters["items"].as_array().unwrap();
    let missing: Vec<_> = items.iter().filter(|letter| letter["code"] == "letter-missing").collect();
    assert_eq!((items.len(), missing.len()), (4, 2), "{letters:#}");
    for letter in missing {
        for unknown in ["at", "partition", "position", "recordId"] {
            assert!(letter.get(unknown).is_none(), "{unknown}: {letter:#}");
        }
    }
    let report = flow.verify();
    assert_eq!(report["verified"], true, "{report:#}");
    assert_eq!(report["deadLetters"]["bodiless"], 2, "{report:#}");
    assert_eq!(rows(&flow.folder), times(&[(0..30, 1)]));
}
