#![allow(clippy::unwrap_used)]
use super::{FileSink, mark::Mark};
use async_trait::async_trait;
use dataflow_core::{
    id::{Generation, Incarnation},
    ledger::Counters,
    pipeline::event::LaneProgress,
    token::Fence,
};
use dataflow_sdk::{
    Error, SinkConfig,
    sink::{CommitError, DeliveryMode, OpenLane, Opened, Seal, Sealed, Sink, TakeOver},
};
use dataflow_testkit::{
    conformance::{self, Subject},
    fixture::{context, fence, open_lane, output, token},
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    path::PathBuf,
};
use tempfile::TempDir;

/// One of a single history.
fn numbered(number: u64) -> Generation {
    Generation::new(number, if number == 1 { 0 } else { 7 })
}

struct Target {
    folder: TempDir,
    name: &'static str,
    more: Value,
}

impl Target {
    fn new(name: &'static str, more: Value) -> Self {
        Self { folder: TempDir::new().unwrap(), name, more }
    }
    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }
    fn text(&self) -> String {
        let bytes = std::fs::read(self.path()).unwrap();
        let mut text = String::new();
        if bytes.is_empty() {
            return text; // no frame was written yet
        }
        match self.path().extension().unwrap().to_str().unwrap() {
            "gz" => flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap(),
            "zst" => zstd::stream::Decoder::new(bytes.as_slice()).unwrap().read_to_string(&mut text).unwrap(),
            _ => bytes.as_slice().read_to_string(&mut text).unwrap(),
        };
        text
    }
    async fn try_open(&self, handle: Option<Value>) -> Result<Opened, Error> {
        self.open_in(1, handle).await
    }
    async fn open_in(&self, generation: u64, handle: Option<Value>) -> Result<Opened, Error> {
        let journalled = handle.map(|handle| LaneProgress {
            lane: 0,
            sequence: 1,
            positions: Default::default(),
            counters: Counters::default(),
            chunks: Vec::new(),
            warnings: Default::default(),
            handle: Some(handle),
        });
        let fence = Fence { generation: numbered(generation), ..fence("p", 1) };
        let known = (1..generation).map(numbered).collect();
        let lane = OpenLane { first: generation == 1, journalled, known, ..open_lane(&fence) };
        self.sink().open(&context("p"), lane).await
    }
    /// Adds what somebody else writes.
    fn append(&self, text: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.path()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    /// Writes one row and seals it; the handle.
    async fn write(&self, handle: Option<Value>, id: i64, name: &str) -> Value {
        let Opened { mut writer, demand, .. } = self.try_open(handle).await.unwrap();
        let demand = match demand {
            dataflow_sdk::batch::Demand::AllColumns => {
                let names = ["id", "name"].map(|name| dataflow_sdk::batch::Column {
                    name: name.into(),
                    ty: dataflow_core::types::Type::Text,
                });
                writer.define(&names).await.unwrap()
            }
            other => other,
        };
        writer
            .commit(&[output(&demand, 0, &[(Some(id), Some(name))])].into(), &token(&fence("p", 1), 1))
            .await
            .unwrap();
        let Sealed::Handle(handle) = writer.seal(Seal::Due).await.unwrap() else {
            panic!("a file is sealed at any time")
        };
        writer.publish(&handle, &token(&fence("p", 1), 1)).await.unwrap();
        handle
    }
}

/// Writes a row that no journal hears of.
async fn lose(target: &Target, handle: Option<Value>) {
    let Opened { mut writer, demand, .. } = target.try_open(handle).await.unwrap();
    writer.commit(&[output(&demand, 0, &[(Some(9), Some("lost"))])].into(), &token(&fence("p", 1), 1)).await.unwrap();
    writer.seal(Seal::Due).await.unwrap();
}

#[async_trait]
impl Subject for Target {
    fn sink(&self) -> Box<dyn Sink> {
        let mut config = json!({"path": self.path()});
        config.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        let sink: FileSink = serde_json::from_value(config).unwrap();
        assert!(sink.check().is_empty(), "{:?}", sink.check());
        sink.build()
    }
    fn delivery(&self) -> DeliveryMode {
        FileSink::DELIVERY
    }
    async fn rows(&self) -> Vec<(i64, String)> {
        if self.more["format"] == "csv" {
            let text = self.text();
            if text.is_empty() {
                return Vec::new();
            }
            let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
            assert_eq!(reader.headers().unwrap(), ["id", "name"].as_slice());
            return reader.deserialize().map(Result::unwrap).collect();
        }
        let rows = self.text();
        let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| (row["id"].as_i64().unwrap(), row["name"].as_str().unwrap().into())).collect()
    }
}

#[tokio::test]
async fn it_conforms_in_every_format_and_compression() {
    for name in ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"] {
        conformance::sink(|| async { Target::new(name, json!({})) }).await;
    }
    for name in ["out.csv", "out.csv.gz"] {
        conformance::sink(|| async { Target::new(name, json!({"format": "csv"})) }).await;
    }
    conformance::sink(|| async { Target::new("out.csv", json!({"format": "csv", "columns": ["id", "name"]})) }).await;
}

#[tokio::test]
async fn what_is_there_at_first_is_kept_replaced_or_refused() {
    for (if_exists, expected) in
        [("append", "old\n{\"id\":1,\"name\":\"a\"}\n"), ("replace", "{\"id\":1,\"name\":\"a\"}\n")]
    {
        let target = Target::new("out.txt", json!({"ifExists": if_exists}));
        std::fs::write(target.path(), "old\n").unwrap();
        let begun = target.try_open(None).await.unwrap().handle;
        assert!(begun.is_some(), "the length at the beginning is journalled before the first commit");
        lose(&target, begun.clone()).await;
        target.write(begun, 1, "a").await;
        assert_eq!(target.text(), expected);
    }
    let target = Target::new("out.txt", json!({}));
    std::fs::write(target.path(), "a line without an end").unwrap();
    let handle = target.write(None, 1, "a").await;
    target.write(Some(handle), 2, "b").await;
    assert_eq!(target.text(), "a line without an end\n{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":\"b\"}\n");
    let target = Target::new("out.txt", json!({"ifExists": "fail"}));
    target.try_open(None).await.unwrap();
    let handle = target.write(None, 1, "a").await; // it made the file itself
    target.try_open(Some(handle)).await.unwrap();
    let other = open_lane(&fence("other", 1));
    assert_eq!(target.sink().open(&context("other"), other).await.unwrap_err().code(), "file-exists");
}

#[tokio::test]
async fn what_the_pipeline_wrote_stays_when_a_generation_starts() {
    for if_exists in ["append", "fail", "replace"] {
        let target = Target::new("out.txt", json!({"ifExists": if_exists}));
        target.write(None, 1, "a").await;
        let written = target.text();
        for generation in [2, 3] {
            target.open_in(generation, None).await.unwrap();
            assert_eq!(target.text(), written, "{if_exists} in generation {generation}");
        }
        // Put back by hand, it is not known as the pipeline's any more: nothing is emptied.
        std::fs::copy(target.path(), target.folder.path().join("copy")).unwrap();
        std::fs::rename(target.folder.path().join("copy"), target.path()).unwrap();
        let opened = target.open_in(4, None).await;
        assert_eq!(opened.is_ok(), if_exists == "append");
        assert_eq!(target.text(), written, "{if_exists} after a copy");
    }
}

/// Whatever generation that is: a user may have changed the pipeline before its first start.
#[tokio::test]
async fn a_file_is_replaced_only_where_the_pipeline_was_never_opened() {
    for (first, generation, replaced) in [(true, 1, true), (true, 2, true), (false, 1, false), (false, 2, false)] {
        let target = Target::new("out.txt", json!({"ifExists": "replace"}));
        std::fs::write(target.path(), "old\n").unwrap();
        let fence = Fence { generation: numbered(generation), ..fence("p", 1) };
        let opened = target.sink().open(&context("p"), OpenLane { first, ..open_lane(&fence) }).await;
        assert_eq!(opened.map(drop).map_err(|error| error.code()), if replaced { Ok(()) } else { Err("file-exists") });
        assert_eq!(target.text(), if replaced { "" } else { "old\n" });
    }
}

#[tokio::test]
async fn a_file_that_keeps_no_mark_is_warned_of() {
    // A regular file of a file system without extended attributes.
    let sink: FileSink = serde_json::from_value(json!({"path": "/proc/self/comm"})).unwrap();
    let opened = sink.build().open(&context("p"), open_lane(&fence("p", 1))).await.unwrap();
    assert_eq!(opened.warnings[0].code, "no-mark");
    let marked = Target::new("out.txt", json!({}));
    assert_eq!(marked.try_open(None).await.unwrap().warnings, []);
}

#[tokio::test]
async fn a_journal_that_is_older_than_the_file_is_refused() {
    let target = Target::new("out.txt", json!({}));
    let begun = target.try_open(None).await.unwrap().handle;
    let old = target.write(begun.clone(), 1, "a").await;
    let old_length = std::fs::metadata(target.path()).unwrap().len();
    let new = target.write(Some(old.clone()), 2, "b").await;
    let written = target.text();
    // In the journal before the newer commit, before the first one, and before the pipeline was ever started.
    for journalled in [Some(old.clone()), begun, None] {
        assert_eq!(target.open_in(1, journalled).await.unwrap_err().code(), "journal-behind");
        assert_eq!(target.text(), written);
    }
    target.try_open(Some(new)).await.unwrap();
    // A generation has started since.
    target.open_in(2, None).await.unwrap();
    for journalled in [Some(old.clone()), None] {
        let error = target.try_open(journalled).await.unwrap_err();
        assert!(
            matches!(&error, Error::Contradicts { code: "journal-behind", begins, .. } if begins.keys().eq(&[numbered(2)])),
            "{error:?}"
        );
        assert_eq!(target.text(), written);
    }
    // The user has cut off what the journal does not know.
    std::fs::OpenOptions::new().write(true).open(target.path()).unwrap().set_len(old_length).unwrap();
    target.try_open(Some(old)).await.unwrap();
}

/// Whichever generation the journal that opens is in, and even if it knows the one that has counted more.
#[tokio::test]
async fn nothing_that_a_journal_counts_is_cut_off() {
    let target = Target::new("out.txt", json!({}));
    let old = target.write(None, 1, "a").await;
    target.write(Some(old.clone()), 2, "b").await;
    let written = target.text();
    let fence = Fence { generation: numbered(2), ..fence("p", 1) };
    let lane = || OpenLane { first: false, known: vec![numbered(1)], ..open_lane(&fence) };
    let journalled = LaneProgress { handle: Some(old.clone()), ..LaneProgress::default() };
    for lane in [OpenLane { earlier: Some(old), ..lane() }, OpenLane { journalled: Some(journalled), ..lane() }] {
        let error = target.sink().open(&context("p"), lane).await.unwrap_err();
        assert_eq!(error.code(), "journal-behind", "{error}");
        assert_eq!(target.text(), written);
    }
}

/// Two copies of one journal have each started a generation of the same number.
#[tokio::test]
async fn what_another_history_of_the_pipeline_wrote_is_told_of() {
    let target = Target::new("out.txt", json!({}));
    target.write(None, 1, "a").await;
    let opening = |nonce| {
        let fence = Fence { generation: Generation::new(2, nonce), ..fence("p", 1) };
        OpenLane { first: false, known: vec![numbered(1)], ..open_lane(&fence) }
    };
    let mut opened = target.sink().open(&context("p"), opening(7)).await.unwrap();
    opened
        .writer
        .commit(&[output(&opened.demand, 0, &[(Some(2), Some("b"))])].into(), &token(&opening(7).fence, 1))
        .await
        .unwrap();
    opened.writer.seal(Seal::Due).await.unwrap();
    opened.writer.close().await;
    let written = target.text();
    for known in [vec![numbered(1)], vec![numbered(1), Generation::new(2, 9)]] {
        let error = target.sink().open(&context("p"), OpenLane { known, ..opening(8) }).await.unwrap_err();
        let met = [Generation::new(2, 7)];
        assert!(
            matches!(&error, Error::Contradicts { code: "journal-behind", begins, .. } if begins.keys().eq(&met)),
            "{error:?}"
        );
        assert_eq!(target.text(), written);
    }
}

/// The journal alone says what the pipeline wrote in earlier generations; what comes after that is its own, uncommitted.
#[tokio::test]
async fn a_generation_begins_after_the_last_one_also_without_marks() {
    for if_exists in ["append", "fail", "replace"] {
        let target = Target::new("out.txt", json!({"ifExists": if_exists}));
        let mut old = target.write(None, 1, "a").await;
        let written = target.text();
        old["marked"] = json!(false);
        let mut file = std::fs::OpenOptions::new().append(true).open(target.path()).unwrap();
        rustix::fs::fremovexattr(&file, "user.dataflow").unwrap();
        file.write_all(b"{\"id\":2,").unwrap();
        let fence = Fence { generation: numbered(2), ..fence("p", 2) };
        let lane = OpenLane { first: false, earlier: Some(old), known: vec![numbered(1)], ..open_lane(&fence) };
        target.sink().open(&context("p"), lane).await.unwrap_or_else(|error| panic!("{if_exists}: {error}"));
        assert_eq!(target.text(), written, "{if_exists}");
    }
}

/// Whoever has removed the attribute, or written the file anew in its place.
#[tokio::test]
async fn nothing_is_cut_off_a_file_that_has_lost_its_mark() {
    let target = Target::new("out.txt", json!({}));
    let old = target.write(None, 1, "a").await;
    let new = target.write(Some(old.clone()), 2, "b").await;
    let written = target.text();
    let file = std::fs::OpenOptions::new().write(true).open(target.path()).unwrap();
    rustix::fs::fremovexattr(&file, "user.dataflow").unwrap();
    let error = target.try_open(Some(old.clone())).await.unwrap_err();
    assert!(error.code() == "file-changed" && error.to_string().contains("extended attribute"), "{error}");
    assert_eq!(target.text(), written);
    // The user goes on after it, or the journal counts all of it.
    target.open_in(2, None).await.unwrap();
    rustix::fs::fremovexattr(&file, "user.dataflow").unwrap();
    lose(&target, Some(new.clone())).await;
    target.try_open(Some(new)).await.unwrap();
    assert_eq!(target.text(), written, "what no journal counts is cut off a file that has a mark again");
}

/// It was frozen while it opened the file; the journal counts what the later owner has written, though the file doesn't say so yet.
#[tokio::test]
async fn an_owner_of_before_neither_cuts_nor_writes() {
    let target = Target::new("out.txt", json!({}));
    let old = target.write(None, 1, "a").await;
    let opening = |epoch, opening| {
        let fence = Fence { opening, ..fence("p", epoch) };
        let journalled = Some(LaneProgress { handle: Some(old.clone()), ..LaneProgress::default() });
        OpenLane { first: false, journalled, ..open_lane(&fence) }
    };
    let later = opening(2, 5);
    let mut opened = target.sink().open(&context("p"), later.clone()).await.unwrap();
    let rows = [output(&opened.demand, 0, &[(Some(2), Some("b"))])];
    opened.writer.commit(&rows.clone().into(), &token(&later.fence, 1)).await.unwrap();
    opened.writer.seal(Seal::Due).await.unwrap();
    opened.writer.close().await;
    let written = target.text();
    for lane in [opening(1, 9), opening(2, 4)] {
        let error = target.sink().open(&context("p"), lane).await.unwrap_err();
        assert!(matches!(&error, Error::Fenced(message) if message.contains("epoch 2")), "{error}");
        assert_eq!(target.text(), written);
    }
    target.sink().open(&context("p"), opening(2, 6)).await.unwrap();
}

/// A pipeline that a restored journal has forgotten, and that was created and started since.
#[tokio::test]
async fn what_a_forgotten_pipeline_delivered_is_not_replaced() {
    let target = Target::new("out.txt", json!({"ifExists": "replace"}));
    target.write(None, 1, "a").await;
    let written = target.text();
    let anew = Fence { incarnation: Incarnation::try_from("0-before").unwrap(), ..fence("p", 1) };
    let lane = || OpenLane { take_over: TakeOver::Nobody, ..open_lane(&anew) };
    let error = target.sink().open(&context("p"), lane()).await.unwrap_err();
    assert_eq!(error.code(), "journal-behind", "{error}");
    assert_eq!(target.text(), written);
    let chosen = OpenLane { take_over: TakeOver::Later, ..lane() };
    target.sink().open(&context("p"), chosen).await.unwrap();
    assert_eq!(target.text(), written, "it goes on after it");
}

#[tokio::test]
async fn what_others_wrote_is_not_cut() {
    let target = Target::new("out.txt", json!({}));
    let handle = target.write(None, 1, "a").await;
    target.append("theirs\n");
    for _ in 0..2 {
        let error = target.try_open(Some(handle.clone())).await.unwrap_err();
        assert_eq!(error.code(), "file-changed", "{error}");
        assert_eq!(target.text(), "{\"id\":1,\"name\":\"a\"}\ntheirs\n");
    }
    // The choice to go on after it.
    target.open_in(2, None).await.unwrap();
    assert!(target.text().ends_with("theirs\n"));

    // Another pipeline.
    let target = Target::new("out.txt", json!({}));
    let handle = target.write(None, 1, "a").await;
    let mut other = target.sink().open(&context("other"), open_lane(&fence("other", 1))).await.unwrap();
    other
        .writer
        .commit(&[output(&other.demand, 0, &[(Some(2), Some("b"))])].into(), &token(&fence("other", 1), 1))
        .await
        .unwrap();
    drop(other);
    let error = target.try_open(Some(handle)).await.unwrap_err();
    assert!(error.code() == "file-changed" && error.to_string().contains("pipeline other"), "{error}");

    // The same length, other bytes.
    let target = Target::new("out.txt", json!({}));
    let handle = target.write(None, 1, "a").await;
    std::fs::write(target.path(), target.text().replace('a', "b")).unwrap();
    assert_eq!(target.try_open(Some(handle)).await.unwrap_err().code(), "file-changed");
}

#[tokio::test]
async fn what_is_done_to_a_file_under_its_writer_is_noticed() {
    type Done = fn(&Target);
    let cases: [(&str, Done); 5] = [
        ("file-missing", |target| std::fs::remove_file(target.path()).unwrap()),
        ("file-missing", |target| std::fs::rename(target.path(), target.folder.path().join("elsewhere")).unwrap()),
        ("file-replaced", |target| {
            let copy = target.folder.path().join("copy");
            std::fs::copy(target.path(), &copy).unwrap();
            std::fs::rename(copy, target.path()).unwrap();
        }),
        ("file-too-short", |target| std::fs::write(target.path(), "").unwrap()),
        ("file-changed", |target| target.append("theirs\n")),
    ];
    for (code, done) in cases {
        let target = Target::new("out.txt", json!({}));
        let Opened { mut writer, demand, .. } = target.try_open(None).await.unwrap();
        let rows = [output(&demand, 0, &[(Some(1), Some("a"))])];
        writer.commit(&rows.clone().into(), &token(&fence("p", 1), 1)).await.unwrap();
        let Sealed::Handle(handle) = writer.seal(Seal::Due).await.unwrap() else {
            panic!("a file is sealed at any time")
        };
        writer.publish(&handle, &token(&fence("p", 1), 1)).await.unwrap();
        done(&target);
        let before = std::fs::read(target.path()).ok();
        let error = writer.commit(&rows.clone().into(), &token(&fence("p", 1), 2)).await.unwrap_err();
        assert!(matches!(&error, CommitError::Failed(error) if error.code() == code), "{code}: {error}");
        assert_eq!(writer.seal(Seal::Due).await.unwrap_err().code(), code);
        drop(writer);
        assert_eq!(target.try_open(Some(handle)).await.unwrap_err().code(), code);
        assert_eq!(std::fs::read(target.path()).ok(), before, "{code}: and nothing is done to it");
    }
}

/// What is sealed by the time that the journal counts an earlier commit is not counted with it.
#[tokio::test]
async fn its_mark_says_what_the_journal_counts_and_no_more() {
    let target = Target::new("out.txt", json!({}));
    let Opened { mut writer, demand, .. } = target.try_open(None).await.unwrap();
    let (mut handles, tokens) = (Vec::new(), [1, 2].map(|sequence| token(&fence("p", 1), sequence)));
    for token in &tokens {
        writer.commit(&[output(&demand, 0, &[(Some(1), Some("a"))])].into(), token).await.unwrap();
        let Sealed::Handle(handle) = writer.seal(Seal::Due).await.unwrap() else {
            panic!("a file is sealed at any time")
        };
        handles.push(handle);
    }
    for (handle, token) in handles.iter().zip(&tokens) {
        writer.publish(handle, token).await.unwrap();
        let mark = Mark::read(&std::fs::File::open(target.path()).unwrap()).unwrap();
        assert_eq!(mark.counted, handle["length"].as_u64().unwrap());
        assert_eq!(mark.ledger.delivered, token.counters.delivered);
    }
}

/// Another program cuts the file and fills it up again, so that only its content tells.
#[tokio::test]
async fn a_file_that_is_refilled_to_its_length_under_its_writer_is_noticed() {
    for name in ["out.txt", "out.csv", "out.json.gz", "out.json.zst"] {
        for (kept, sealed, rows) in [(0, true, 1), (7, false, 1), (2, false, 2_000)] {
            let target = Target::new(name, json!({}));
            let text = "abcdefghij".repeat(20);
            let mut opened = target.try_open(Some(target.write(None, 1, "a").await)).await.unwrap();
            let rows: Vec<_> = (0..rows).map(|id| (Some(id), Some(text.as_str()))).collect();
            let rows = [output(&opened.demand, 0, &rows)];
            opened.writer.commit(&rows.clone().into(), &token(&fence("p", 1), 2)).await.unwrap();
            if sealed {
                opened.writer.seal(Seal::Due).await.unwrap();
            }
            let written = std::fs::read(target.path()).unwrap();
            let theirs: Vec<u8> = written.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at >= kept)).collect();
            std::fs::write(target.path(), &theirs).unwrap();
            let error = opened.writer.commit(&rows.clone().into(), &token(&fence("p", 1), 3)).await.unwrap_err();
            assert!(matches!(&error, CommitError::Failed(error) if error.code() == "file-changed"), "{name}: {error}");
            assert_eq!(opened.writer.seal(Seal::Due).await.unwrap_err().code(), "file-changed", "{name}");
            assert_eq!(std::fs::read(target.path()).unwrap(), theirs, "{name}: and nothing is done to it");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_not_as_it_was_left_is_refused() {
    let target = Target::new("out.txt", json!({}));
    let handle = target.write(None, 1, "a").await;
    let file = std::fs::OpenOptions::new().write(true).open(target.path()).unwrap();
    file.set_len(3).unwrap();
    assert_eq!(target.try_open(Some(handle.clone())).await.unwrap_err().code(), "file-too-short");
    std::fs::rename(target.path(), target.folder.path().join("elsewhere")).unwrap();
    assert_eq!(target.try_open(Some(handle.clone())).await.unwrap_err().code(), "file-missing");
    std::fs::write(target.path(), "x".repeat(100)).unwrap();
    assert_eq!(target.try_open(Some(handle)).await.unwrap_err().code(), "file-replaced");
    assert_eq!(std::fs::metadata(target.path()).unwrap().len(), 100, "and nothing is done to it");
}

/// By the lines that are there, whatever was done to the file.
#[tokio::test]
async fn rows_that_a_file_holds_no_longer_are_counted() {
    for (name, more, before) in [
        ("out.jsonl", json!({}), ""),
        ("out.jsonl", json!({}), "of others\nunended"),
        ("out.jsonl.gz", json!({}), ""),
        ("out.jsonl.zst", json!({}), ""),
        ("out.csv", json!({"format": "csv"}), ""),
        ("out.csv.gz", json!({"format": "csv"}), ""),
    ] {
        let target = Target::new(name, more);
        if !before.is_empty() {
            std::fs::write(target.path(), before).unwrap();
        }
        let (mut handle, mut ends) = (None, Vec::new());
        for (id, name) in [(1, "a"), (2, "b\n\"c"), (3, "d"), (4, "e")] {
            handle = Some(target.write(handle, id, name).await);
            ends.push(std::fs::metadata(target.path()).unwrap().len() as usize);
        }
        let whole = std::fs::read(target.path()).unwrap();
        let handle = handle.unwrap();
        let missing = async |what: &str, expected: u64| {
            let missing = target.sink().missing(&context("p"), &handle, 4).await.unwrap();
            assert_eq!(missing, Some(expected), "{name} {before:?}: {what}");
        };
        missing("as it was", 0).await;
        let file = std::fs::OpenOptions::new().append(true).open(target.path()).unwrap();
        (&file).write_all(b"{}\n").unwrap();
        missing("longer", 0).await;
        for (left, expected) in
            [(ends[3], 0), (ends[2], 1), (ends[2] - 1, 2), (ends[1] + 1, 2), (before.len(), 4), (0, 4)]
        {
            // Of half a frame nobody can say how much can be read.
            let packed = name.ends_with("gz") || name.ends_with("zst");
            if packed && left > 0 && !ends.contains(&left) {
                continue;
            }
            file.set_len(0).unwrap();
            (&file).write_all(&whole[..left]).unwrap();
            missing(&format!("cut to {left} bytes"), expected).await;
            std::fs::write(target.folder.path().join("copy"), &whole[..left]).unwrap();
            let original = target.folder.path().join("original");
            std::fs::rename(target.path(), &original).unwrap();
            std::fs::rename(target.folder.path().join("copy"), target.path()).unwrap();
            // One that ends before what a copy is known by is not known.
            if left == before.len() || left >= ends[1] {
                missing(&format!("a copy of {left} bytes"), expected).await;
            }
            std::fs::write(target.path(), "x\n".repeat(200)).unwrap();
            missing("another file", 4).await;
            std::fs::remove_file(target.path()).unwrap();
            missing("gone", 4).await;
            std::fs::rename(original, target.path()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_file_has_one_writer() {
    let target = Target::new("out.txt", json!({}));
    let first = target.try_open(None).await.unwrap();
    let error = target.try_open(None).await.unwrap_err();
    assert!(
        matches!(&error, Error::Transient { code: "locked", message, .. } if message.contains("out.txt") && message.contains("this node")),
        "{error:?}"
    );
    drop(first);
    target.try_open(None).await.unwrap();
}

#[tokio::test]
async fn an_opening_that_comes_too_late_cuts_nothing_back() {
    let target = Target::new("out.txt", json!({}));
    let old = target.write(None, 1, "a").await;
    target.write(Some(old.clone()), 2, "b").await;
    let written = target.text();
    let config: FileSink = serde_json::from_value(json!({"path": target.path()})).unwrap();
    let nobody = std::sync::Weak::new();
    let journalled = Some(LaneProgress { handle: Some(old), ..LaneProgress::default() });
    let lane = OpenLane { journalled, ..open_lane(&fence("p", 1)) };
    let error = super::open::open(&config, &Default::default(), &lane, &nobody).unwrap_err();
    assert_eq!(error.code(), "dropped");
    assert_eq!(target.text(), written);
}

#[tokio::test]
async fn paths_that_can_not_be_written_are_named() {
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
    for (path, code) in [
        (folder.path().join("link"), "dangling-link"),
        (folder.path().join("a/b"), "folder-missing"),
        (folder.path().into(), "is-a-directory"),
        ("/dev/null".into(), "not-a-file"),
    ] {
        let sink: FileSink = serde_json::from_value(json!({"path": path})).unwrap();
        let error = sink.build().open(&context("p"), open_lane(&fence("p", 1))).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}

#[tokio::test]
async fn a_header_that_is_there_names_the_columns() {
    let target = Target::new("out.csv", json!({"format": "csv"}));
    std::fs::write(target.path(), "name,other,id\n").unwrap();
    target.write(None, 7, "x \"y\", z").await;
    assert_eq!(target.text(), "name,other,id\n\"x \"\"y\"\", z\",,7\n");
    let target = Target { more: json!({"format": "csv", "columns": ["id"]}), ..target };
    assert_eq!(target.open_in(2, None).await.unwrap_err().code(), "columns-differ");
}

/// The header is the first line that is not blank; one that names no column, or one twice, is refused.
#[tokio::test]
async fn a_header_after_blank_lines_is_one_and_an_ambiguous_one_is_none() {
    for (there, found) in [
        ("\nid,name\n", Some(2)),
        ("  \n\t\nid,name\n", Some(2)),
        ("\r\nid,name\r\n", Some(2)),
        ("id,name,\n", Some(3)),
        ("id,,name,\n", Some(4)),
        ("\n", None),
        (" \n\n", None),
        (",,\n", None),
        ("id,name,id\n", None),
        ("id,\"name\",name\n", None),
    ] {
        let target = Target::new("out.csv", json!({"format": "csv"}));
        std::fs::write(target.path(), there).unwrap();
        match (found, target.try_open(None).await) {
            (Some(columns), Ok(opened)) => {
                let dataflow_sdk::batch::Demand::Columns(demanded) = opened.demand else { panic!("{there:?}") };
                assert_eq!(demanded.len(), columns, "{there:?}");
            }
            (None, Err(Error::Fatal { code: "bad-header", fix: Some(_), .. })) => assert_eq!(target.text(), there),
            (_, opened) => panic!("{there:?}: {:?}", opened.err()),
        }
    }
}

#[test]
fn findings_need_no_file() {
    let check = |config: Value| {
        let problems = serde_json::from_value::<FileSink>(config).unwrap().check();
        problems.into_iter().map(|problem| format!("{}:{}", problem.path, problem.code)).collect::<Vec<_>>()
    };
    assert_eq!(
        check(json!({"path": "", "delimiter": "\u{e4}", "columns": ["a"]})),
        ["path:missing-field", "delimiter:invalid-value", "columns:not-applicable"]
    );
    assert_eq!(check(json!({"path": "a", "format": "csv", "header": false})), ["columns:missing-field"]);
    // The name says how records are written, unless the spec does.
    for (path, format, found) in [
        ("a.CSV", None, 0),
        ("a.csv.gz", None, 0),
        ("a.csv", Some("json"), 1),
        ("a.jsonl", None, 1),
        ("a.csv.txt", None, 1),
    ] {
        assert_eq!(check(json!({"path": path, "format": format, "columns": ["a"]})).len(), found, "{path} {format:?}");
    }
    assert_eq!(check(json!({"path": "a", "unknownFields": "dead"})), ["unknownFields:not-applicable"]);
    assert_eq!(check(json!({"path": "a", "format": "csv", "unknownFields": "add"})), ["unknownFields:unsupported"]);
    assert!(check(json!({"path": "a", "format": "csv", "unknownFields": "dead"})).is_empty());
}

#[tokio::test]
async fn a_null_alone_on_its_line_is_told_from_an_empty_text() {
    let target = Target::new("out.csv", json!({"format": "csv", "columns": ["name"]}));
    let Opened { mut writer, demand, .. } = target.try_open(None).await.unwrap();
    let outputs = [output(&demand, 0, &[(Some(1), Some("")), (Some(2), None)])];
    let error = writer.commit(&outputs.clone().into(), &token(&fence("p", 1), 1)).await.unwrap_err();
    let CommitError::Rejected(rows) = &error else { panic!("{error:?}") };
    assert!(rows.len() == 1 && rows[0].row == 1 && rows[0].cause.contains("column name"), "{rows:?}");
}

#[tokio::test]
async fn nothing_is_written_after_half_a_frame() {
    for name in ["out.json.gz", "out.json.zst"] {
        let target = Target::new(name, json!({"ifExists": "append"}));
        target.write(None, 1, "a").await;
        let path = target.path();
        let written = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &written[..written.len() - 3]).unwrap();
        let error = target.try_open(None).await.unwrap_err();
        assert_eq!(error.code(), "not-whole", "{error}");
        std::fs::write(&path, &written).unwrap();
        assert!(target.try_open(None).await.is_ok(), "a whole one goes on");
    }
}

#[tokio::test]
async fn what_earlier_generations_wrote_must_still_be_there() {
    type Done = fn(&Target);
    let cases: [(&str, Done); 4] = [
        ("file-missing", |target| std::fs::remove_file(target.path()).unwrap()),
        ("file-replaced", |target| {
            std::fs::copy(target.path(), target.folder.path().join("copy")).unwrap();
            std::fs::rename(target.folder.path().join("copy"), target.path()).unwrap();
        }),
        ("file-too-short", |target| std::fs::write(target.path(), "").unwrap()),
        ("file-changed", |target| std::fs::write(target.path(), target.text().replace('a', "b")).unwrap()),
    ];
    for (code, done) in cases {
        let target = Target::new("out.txt", json!({}));
        let earlier = Some(target.write(None, 1, "a").await);
        let fence = Fence { generation: numbered(2), ..fence("p", 1) };
        let known = vec![numbered(1)];
        let lane = || OpenLane { first: false, known: known.clone(), earlier: earlier.clone(), ..open_lane(&fence) };
        target.sink().open(&context("p"), lane()).await.unwrap();
        done(&target);
        let error = target.sink().open(&context("p"), lane()).await.unwrap_err();
        assert!(matches!(&error, Error::Contradicts { code: found, .. } if *found == code), "{code}: {error:?}");
        // The user has decided.
        target.sink().open(&context("p"), OpenLane { earlier: None, ..lane() }).await.unwrap();
    }
}
