//! Sources whose records are gone: truncated, replaced, expired, made anew.
use super::{Flow, rows, sqlite, times};
use crate::{
    program::{count, is, start},
    topic::{BROKERS, Topic},
};
use dataflow_testkit::servers;
use serde_json::json;
use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

/// What is done to a file.
type Change<'a> = &'a dyn Fn(&Path);

#[tokio::test]
async fn a_source_file_that_is_truncated_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let truncate = |path: &Path| OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    let replace = |path: &Path| {
        fs::write(path.with_extension("new"), "").unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let changes: [(&str, Change<'_>); 2] = [("truncated", &truncate), ("replaced", &replace)];
    for (name, change) in changes {
        let choices = [
            ("fail", times(&[(0..100, 1), (200..230, 1)]), 0),
            ("earliest", times(&[(0..100, 1), (200..230, 1)]), 0),
            ("latest", times(&[(0..100, 1), (220..230, 1)]), 20),
        ];
        for (choice, expected, lost) in choices {
            let more = json!({"onPositionLost": choice});
            let flow = Flow::new(&node, folder.path(), &format!("{name}-{choice}"), sqlite, more).await;
            flow.append(0..100);
            flow.delivered(100).await;
            flow.act("stop").await;
            let at = flow.position().await;
            change(&flow.input());
            flow.append(200..220);
            if choice == "fail" {
                let error = flow.fails("position-lost").await;
                let (message, end) = (error["message"].as_str().unwrap(), fs::metadata(flow.input()).unwrap().len());
                assert!(message.contains(&format!("position {at} of")), "{message}");
                assert!(message.contains(&format!("available are 0 to {end}")), "{message}");
                flow.choose(json!("beginning")).await;
            }
            flow.act("start").await;
            if choice == "latest" {
                flow.until("past what is lost", |view| count(view, "recordsLost") == lost).await;
            }
            flow.append(220..230);
            let view = flow.delivered(expected.len() as u64).await;
            assert_eq!(count(&view, "recordsLost"), lost, "{name}: {choice}");
            if choice != "fail" {
                let event = flow.assert_in_history("RecordsLost", "system").await;
                assert_eq!(event["detail"]["records"], lost, "{event}");
                assert!(event["detail"]["from"].to_string().contains(&at.to_string()), "{event}");
            }
            flow.act("stop").await;
            assert_eq!(rows(&flow.folder), expected, "{name}: {choice}");
        }
    }
}

/// A file that was overwritten in place holds nothing of what was read, also where it is shorter: what a user passes over counts.
#[tokio::test]
async fn what_is_passed_over_of_an_overwritten_file_counts() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    for choice in ["end", "positions"] {
        let flow = Flow::new(&node, folder.path(), &format!("overwritten-{choice}"), sqlite, json!({})).await;
        flow.append(0..100);
        flow.delivered(100).await;
        flow.act("stop").await;
        fs::write(flow.input(), "").unwrap();
        flow.append(200..220);
        let end = fs::metadata(flow.input()).unwrap().len();
        let to = match choice {
            "end" => json!("end"),
            _ => json!({"positions": [{"partition": flow.input(), "position": end.to_string()}]}),
        };
        let view = flow.choose(to).await;
        assert_eq!(count(&view, "recordsLost"), 20, "{choice}: {view}");
        flow.act("start").await;
        flow.append(220..230);
        flow.delivered(110).await;
        flow.act("stop").await;
        assert_eq!(rows(&flow.folder), times(&[(0..100, 1), (220..230, 1)]), "{choice}");
    }
}

/// Found, and gone before anything of it was read: it is not forgotten, however it goes on.
#[tokio::test]
async fn a_source_file_that_is_removed_unread() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    for choice in ["beginning", "end", "positions", "changed"] {
        let id = format!("unread-{choice}");
        let source = json!({"type": "file", "path": folder.path().join(&id).join("in*.jsonl")});
        let flow = Flow::from(&node, folder.path(), &id, source, sqlite).await;
        flow.until("completed", is("completed")).await;
        // What lies between the two can't be read.
        let (between, unread) = (flow.folder.join("in1.jsonl"), flow.folder.join("in2.jsonl"));
        std::os::unix::fs::symlink("nowhere", &between).unwrap();
        flow.append(0..100);
        fs::write(&unread, "{\"id\":500}\n").unwrap();
        flow.act("start").await;
        flow.until("failed", |view| is("failed")(view) && view["error"]["code"] == "file-missing").await;
        fs::remove_file(between).unwrap();
        fs::remove_file(&unread).unwrap();
        for _ in 0..2 {
            let error = flow.fails("position-lost").await;
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(unread.to_str().unwrap()), "{message}");
            assert!(message.contains("11 of its 11 bytes were not read"), "{message}");
        }
        match choice {
            "changed" => flow.change_source("onPositionLost", json!("earliest")).await,
            "positions" => {
                flow.choose(json!({"positions": [{"partition": flow.input(), "position": "0"}]})).await;
            }
            named => {
                flow.choose(json!(named)).await;
            }
        }
        flow.act("start").await;
        let view = flow.until("completed", is("completed")).await;
        assert_eq!(count(&view, "bytesLost"), 11, "{view:#}");
        assert!(view["warnings"].to_string().contains("in2.jsonl"), "{view:#}");
        let event = flow.assert_in_history("RecordsLost", "system").await;
        assert_eq!((&event["detail"]["from"], &event["detail"]["to"]), (&json!("0"), &json!("11")), "{event}");
        let twice = if ["beginning", "positions"].contains(&choice) { 2 } else { 1 };
        assert_eq!(rows(&flow.folder), times(&[(0..100, twice)]), "{choice}");
        flow.act("start").await;
        let view = flow.until("completed", is("completed")).await;
        assert_eq!(count(&view, "bytesLost"), 11, "said once: {view:#}");
    }
}

/// As by `copytruncate`: again and again, while what writes it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_file_that_is_truncated_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let flow = Flow::new(&node, folder.path(), "under-load", sqlite, json!({"onPositionLost": "earliest"})).await;
    let (written, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut file = OpenOptions::new().append(true).open(flow.input()).unwrap();
    let writing = || {
        while !enough.load(Ordering::SeqCst) {
            let id = written.load(Ordering::SeqCst);
            let text: String = (id..id + 20).map(|id| format!("{{\"id\":{id}}}\n")).collect();
            file.write_all(text.as_bytes()).unwrap();
            written.store(id + 20, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let truncating = async {
        for nth in 1..=4 {
            let far = flow.until("further", |view| count(view, "recordsDelivered") > nth * 500).await;
            assert_eq!(far["status"], "running", "{far:#}");
            OpenOptions::new().write(true).open(flow.input()).unwrap().set_len(0).unwrap();
            while flow.history("RecordsLost").await.len() < nth as usize {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        enough.store(true, Ordering::SeqCst);
    };
    std::thread::scope(|scope| {
        scope.spawn(writing);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(truncating));
    });
    let left = fs::read_to_string(flow.input()).unwrap();
    let left: Vec<u64> = left.lines().map(|line| line[6..line.len() - 1].parse().unwrap()).collect();
    let last = (flow.input(), fs::metadata(flow.input()).unwrap().len().to_string());
    flow.until("through", |view| {
        let at = &view["checkpoint"]["positions"][0];
        (at["partition"].as_str(), at["position"].as_str()) == (last.0.to_str(), Some(&last.1))
    })
    .await;
    flow.act("stop").await;
    let rows = rows(&flow.folder);
    assert!(rows.values().all(|times| *times == 1), "some came twice");
    assert!(left.iter().all(|id| rows.contains_key(id)), "what is there was read");
    assert!(rows.keys().all(|id| *id < written.load(Ordering::SeqCst)), "nothing else was read");
    let events = flow.history("RecordsLost").await;
    assert_eq!(events.len(), 4, "{events:#?}");
    assert!(events.iter().all(|event| event["detail"]["to"].to_string().contains("\"0\"")), "{events:#?}");
    // Of each part that was truncated nothing can be said; what was read after the last time is compared.
    let report = flow.verify();
    assert_eq!((&report["lost"]["count"], &report["doubled"]["count"]), (&json!(0), &json!(0)), "{report:#}");
    let gone: Vec<_> = report["unverifiable"].as_array().unwrap().iter().map(|gone| gone["to"].clone()).collect();
    let truncated: Vec<_> = events.iter().map(|event| event["detail"]["from"].clone()).collect();
    assert_eq!(gone, truncated, "{report:#}");
}

/// Its records expire, or it is made anew: each choice, on the ledger and in the history.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_lost_the_position() {
    if !servers::are_up() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = start(&folder.path().join("data"));
    let line = |id| format!("{{\"id\":{id}}}");
    for anew in [false, true] {
        // Behind what was read: 50 records, of which 30 expire; or 20 in another topic of that name.
        let there = if anew { 200..220 } else { 130..150 };
        let expired = if anew { 0 } else { 30 };
        let later = there.end..there.end + 10;
        let all = times(&[(0..100, 1), (there.clone(), 1), (later.clone(), 1)]);
        let half = times(&[(0..100, 1), (there.start + 10..there.end, 1), (later.clone(), 1)]);
        let new = times(&[(0..100, 1), (later.clone(), 1)]);
        // What `onPositionLost` says; otherwise the user's choice, once it has failed.
        for (choice, expected, lost) in [
            ("beginning", all.clone(), expired),
            ("positions", half, expired + 10),
            ("end", new.clone(), expired + 20),
            ("changed", all.clone(), expired),
            ("earliest", all, expired),
            ("latest", new, expired + 20),
        ] {
            let id = format!("{}-{choice}", if anew { "anew" } else { "expired" });
            let mut topic = Topic::new(&format!("lost-{id}"), 1).await;
            let chosen = ["earliest", "latest"].contains(&choice);
            let source = json!({
                "type": "kafka", "brokers": BROKERS, "topic": topic.name, "start": "earliest",
                "onPositionLost": if chosen { choice } else { "fail" },
            });
            let flow = Flow::from(&node, folder.path(), &id, source, sqlite).await;
            topic.send(0..100, line);
            flow.delivered(100).await;
            flow.act("stop").await;
            if anew {
                topic.make_anew().await;
            } else {
                topic.send(100..there.start, line);
                topic.expire_before(130).await;
            }
            topic.send(there.clone(), line);
            let (earliest, latest) = if anew { (0, 20) } else { (130, 150) };
            if !chosen {
                let error = flow.fails("position-lost").await;
                let message = error["message"].as_str().unwrap();
                assert!(message.contains("position 100") && message.contains(&topic.name), "{message}");
                assert!(message.contains(&format!("available are {earliest} to")), "{message}");
                assert!(message.contains(&format!(" to {latest}")), "{message}");
                assert!(error["fix"].as_str().unwrap().contains("onPositionLost"), "{error}");
                match choice {
                    "changed" => flow.change_source("onPositionLost", json!("earliest")).await,
                    "positions" => {
                        let half = json!([{"partition": format!("{}/0", topic.name), "position": (earliest + 10).to_string()}]);
                        flow.choose(json!({"positions": half})).await;
                    }
                    named => {
                        flow.choose(json!(named)).await;
                    }
                }
            }
            flow.act("start").await;
            if ["latest", "end"].contains(&choice) {
                flow.until("past what is lost", |view| {
                    view["status"] == "running" && count(view, "recordsLost") == lost
                })
                .await;
            }
            topic.send(later.clone(), line);
            let view = flow.delivered(expected.len() as u64).await;
            assert_eq!(count(&view, "recordsLost"), lost, "{id}");
            if chosen || choice == "changed" {
                let event = flow.assert_in_history("RecordsLost", "system").await;
                assert_eq!(event["detail"]["records"], lost, "{event}");
                assert!(event["detail"]["from"].to_string().contains("100"), "{event}");
            }
            flow.act("stop").await;
            assert_eq!(rows(&flow.folder), expected, "{id}");
            if chosen {
                // Of what is there no longer nothing can be said; the rest is counted once.
                let report = flow.verify();
                assert_eq!(report["lost"]["count"], 0, "{id}: {report:#}");
                let gone: Vec<_> = report["unverifiable"].as_array().unwrap().iter().map(|gone| &gone["to"]).collect();
                assert_eq!(gone, [&json!("100")], "{id}: {report:#}");
                for (counter, gone) in [("read", 100), ("delivered", 100), ("lost", 0)] {
                    let ledger = |side: &str| report["ledger"][counter][side].as_u64().unwrap();
                    assert_eq!(ledger("expected") + gone, ledger("found"), "{id}: {counter}: {report:#}");
                }
            }
            topic.remove().await;
        }
    }
}
