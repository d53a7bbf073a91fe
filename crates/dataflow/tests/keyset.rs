//! A source whose positions are texts, as those of a query that goes on after the last key it has seen: whatever looks at a position asks the
//! source. Run, restart, crash, seek, dead letters and verify.
#![allow(clippy::unwrap_used)]
mod case;

use case::Case;
use dataflow_core::pipeline::Rejected;
use dataflow_engine::region::{Action, AskError, Reply, ResetPoint};
use dataflow_testkit::memory::{self, feed, keyset::key};
use dataflow_verify::Claimant;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

const TABLE: &str = "orders";

impl Case {
    async fn reopen(&mut self) {
        self.node.take().unwrap().shutdown(Duration::from_secs(60)).await.unwrap();
        self.open().await;
    }

    async fn seek(&mut self, to: u64, force: bool) -> Result<Reply, AskError> {
        let to = ResetPoint::Positions([(TABLE.to_owned(), key(to).to_string())].into());
        self.act(Action::ResetCheckpoint { to, sink: None, force, take_over: false }).await
    }
}

/// Every tenth is filtered, every seventh can't be processed.
fn records(from: u64, to: u64) -> Vec<String> {
    let age = |n: u64| if n % 7 == 3 { json!("old") } else { json!(n) };
    (from..to).map(|n| json!({"n": n, "age": age(n), "keep": n % 10 != 0}).to_string()).collect()
}

fn dead(records: u64) -> u64 {
    (0..records).filter(|n| n % 7 == 3 && n % 10 != 0).count() as u64
}

/// `spoil` takes record 5 from the target, and returns what brings it back.
async fn runs_and_is_proven<Mend: FnOnce()>(name: &str, sink: Value, spoil: impl FnOnce() -> Mend) {
    memory::forget(name);
    let feed = feed(name);
    feed.push(TABLE, records(0, 100));
    let mut case = Case::new(name, Default::default());
    case.open().await;
    let spec = json!({
        "source": {"type": "memoryKeyset", "feed": name},
        "transforms": [
            {"type": "filter", "condition": "keep"},
            {"type": "map", "set": {"age": "age + 1", "at": "meta.position"}}
        ],
        "sink": sink,
        "batch": {"maxRecords": 8},
        "checkpointInterval": "10ms"
    });
    case.act(Action::Create(Box::new(serde_json::from_value(spec).unwrap()))).await.unwrap();
    case.act(Action::Start { sink: None }).await.unwrap();
    case.until_read(100).await;
    // It goes on where it was, whether it was stopped or its node was.
    case.reopen().await;
    feed.push(TABLE, records(100, 150));
    case.until_read(150).await;
    case.stop().await;
    feed.push(TABLE, records(150, 200));
    case.act(Action::Start { sink: None }).await.unwrap();
    let view = case.until_read(200).await;
    case.stop().await;
    assert_eq!((view.counters.read, view.counters.dead), (200, dead(200)));

    let letters = case.dead_letters(0).await.unwrap();
    assert_eq!(letters.len() as u64, dead(200));
    let place = (letters[0].position.clone(), letters[0].record_id.clone());
    assert_eq!(place, (Some(key(3).to_string()), Some(format!("{TABLE}/{}", key(3)))));
    let report = case.verify(false).await;
    assert!(report.verified, "{report:#?}");
    assert_eq!((report.ledger["read"].expected, report.ledger["dead"].expected), (200, dead(200)));
    let mend = spoil();
    let report = case.verify(false).await;
    let lost = &report.rows.lost.examples;
    assert_eq!((report.verified, lost.len(), lost[0].position.as_deref()), (false, 1, Some(&*key(5))), "{report:#?}");

    mend();
    // What is passed over counts as lost; back again it is read, and what the target has is asked about.
    feed.push(TABLE, records(200, 260));
    case.seek(250, false).await.unwrap();
    let view = case.until_read(250).await;
    assert_eq!((view.counters.read, view.counters.lost), (250, 50));
    let refused = case.seek(180, false).await;
    let Err(AskError::Rejected(Rejected::SinkAhead { places, .. })) = refused else { panic!("{refused:?}") };
    assert_eq!(
        (&*places[0].from.at, &*places[0].to.at, places[0].records),
        (&*key(180), &*key(200), Some(20)),
        "{places:?}"
    );
    let refused = case.seek(1_000, false).await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::Invalid { .. }))), "{refused:?}");
    case.seek(200, false).await.unwrap();
    case.act(Action::Start { sink: None }).await.unwrap();
    let view = case.until_read(260).await;
    case.stop().await;
    assert_eq!((view.counters.read, view.counters.lost), (260, 0));
    let report = case.verify(true).await;
    assert!(report.verified, "{report:#?}");
    assert_eq!(report.ledger["read"].expected, 60);
    memory::forget(name);
}

fn target(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn positions_may_be_texts_before_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = target(folder.path(), "out.jsonl");
    let sink = json!({"type": "file", "path": path});
    let of_mend = path.clone();
    runs_and_is_proven("keyset-file", sink, || {
        let text = std::fs::read_to_string(&path).unwrap();
        let fifth = text.lines().find(|line| line.contains("\"n\":5,")).unwrap();
        std::fs::write(&path, text.replace(&format!("{fifth}\n"), "")).unwrap();
        move || std::fs::write(&of_mend, text).unwrap()
    })
    .await;
}

#[tokio::test]
async fn positions_may_be_texts_before_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = target(folder.path(), "out.db");
    let sink = json!({"type": "sqlite", "path": path, "table": "orders", "createTable": true});
    runs_and_is_proven("keyset-table", sink, || {
        rusqlite::Connection::open(&path).unwrap().execute("DELETE FROM orders WHERE n = 5", []).unwrap();
        || {}
    })
    .await;
}
