#![allow(clippy::unwrap_used)]
use super::FileSource;
use crate::testing::{context, lane, read_all, texts};
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{
    Context, Error, Paths, Records, SourceConfig,
    batch::Notice,
    records::Layout,
    source::{Edge, Read, Reader},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{fs, io::Write, path::Path, time::Duration};

mod anew;
mod apart;
mod begins;
mod lines;
mod mended;
mod missed;
mod model;
mod names;
mod once;
mod packed;
mod replaced;
mod rotations;
mod same;
mod shifts;
mod tables;

/// Longest wait for what surely comes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may come until it is believed that nothing does.
const QUIET: Duration = Duration::from_millis(300);

fn source(path: &Path, more: Value) -> FileSource {
    let mut config = json!({"path": path.to_str().unwrap()});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let source: FileSource = serde_json::from_value(config).unwrap();
    assert_eq!(source.check(), []);
    source
}

async fn open(source: &FileSource, positions: &Positions) -> Result<Box<dyn Reader>, Error> {
    source.clone().build().open(&context(), lane(positions)).await
}

async fn all(source: &FileSource, positions: &Positions) -> Vec<Records> {
    read_all(&mut *open(source, positions).await.unwrap()).await.unwrap()
}

/// Reads everything in a file with this name and these bytes.
async fn of(name: &str, bytes: &[u8], more: Value) -> Vec<Records> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    all(&source(&path, more), &Positions::new()).await
}

#[tokio::test]
async fn lines_are_records() {
    let batches = of("a.jsonl", b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"a\":2}\n{\"a\":3}", json!({})).await;
    assert_eq!(texts(&batches), ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
    assert_eq!(batches.iter().flat_map(|batch| batch.offsets.clone()).collect::<Vec<_>>(), [3, 16, 24]);
    assert_eq!(batches.last().unwrap().to.at.as_ref(), "31");
    assert_eq!(batches.iter().map(|batch| batch.bytes_read).sum::<u64>(), 31);
    assert_eq!(batches[0].shared[0].0, "file");
}

#[tokio::test]
async fn an_empty_file_ends_at_once() {
    assert!(of("a.json", b"", json!({})).await.is_empty());
    assert!(of("a.csv", b"", json!({})).await.is_empty());
    assert!(of("a.json.gz", b"", json!({})).await.is_empty());
    // A header is read, too, and that it was is said.
    let header = of("a.csv", b"a,b\n", json!({})).await;
    assert_eq!((header.len(), header[0].len(), &*header[0].to.at), (1, 0, "4"));
}

#[tokio::test]
async fn csv_records_hold_line_breaks_in_quotes() {
    let text = "\u{feff}id,\"the \"\"name\"\"\"\r\n1,\"a\nb\"\r\n\n2,\"say \"\"hi\"\"\n\"\"x\"\"\"\n3,5\" wide\n4,last";
    let batches = of("a.csv", text.as_bytes(), json!({})).await;
    assert_eq!(texts(&batches), ["1,\"a\nb\"", "2,\"say \"\"hi\"\"\n\"\"x\"\"\"", "3,5\" wide", "4,last"]);
    let Layout::Csv(layout) = &batches[0].layout else { panic!("no csv") };
    assert_eq!(layout.columns, ["id", "the \"name\""]);
    assert_eq!(layout.null_values, [""]);
    assert_eq!(batches[0].from.at.as_ref(), "0");
}

#[tokio::test]
async fn csv_without_header_takes_the_names_given() {
    let more = json!({"header": false, "columns": ["a", "b"], "delimiter": ";", "quote": "'", "nullValues": ["-"]});
    let batches = of("a.csv.1", b"1;'x\n;y'\n2;-\n", more).await;
    assert_eq!(texts(&batches), ["1;'x\n;y'", "2;-"]);
    let Layout::Csv(layout) = &batches[0].layout else { panic!("no csv") };
    assert_eq!((layout.delimiter, layout.quote), (b';', b'\''));
    assert_eq!(layout.columns, ["a", "b"]);
}

#[tokio::test]
async fn each_field_of_csv_has_a_name_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    fs::write(&path, "id,,a,a\n1,2,3,4\n").unwrap();
    for more in [json!({}), json!({"follow": true})] {
        let mut reader = open(&source(&path, more), &Positions::new()).await.unwrap();
        let Read::Records(records) = reader.read().await.unwrap() else { panic!("no records") };
        let Layout::Csv(layout) = &records.layout else { panic!("no csv") };
        assert_eq!(layout.columns, ["id", "column2", "a", "a_2"]);
        let warnings = reader.warnings();
        let [Notice::Holds(warned)] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(warned.message.contains("column2 (field 2), a_2 (field 4)"), "{}", warned.message);
    }
}

#[tokio::test]
async fn a_header_of_another_delimiter_is_warned_of() {
    for (text, more, told) in [
        ("id;name\n1;a\n", json!({}), "set delimiter: ';'"),
        ("id\tname\n1\ta\n", json!({}), "set delimiter: '\\t'"),
        ("id,name\n1,a\n", json!({"delimiter": ";"}), "set delimiter: ','"),
        ("sep=;\nid;name\n1;a\n", json!({}), "tail -n +2"),
        ("sep=;\nid;name\n1;a\n", json!({"delimiter": ";"}), "tail -n +2"),
        ("id\n1\n", json!({}), ""),
        ("id,a;b\n1,2\n", json!({}), ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        fs::write(&path, text).unwrap();
        let mut reader = open(&source(&path, more), &Positions::new()).await.unwrap();
        reader.read().await.unwrap();
        let warnings: Vec<String> =
            reader.warnings().iter().filter_map(Notice::holding).map(|it| it.message.clone()).collect();
        let fits = if told.is_empty() { warnings.is_empty() } else { warnings.concat().contains(told) };
        assert!(fits, "{text:?}: {warnings:?}");
    }
}

#[tokio::test]
async fn a_header_in_another_encoding_says_how_to_convert_it() {
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let to = "iconv -f UTF-16 -t UTF-8";
    for (bytes, told) in [
        (utf16("\u{feff}id,näme\n1,a\n", u16::to_le_bytes), to),
        (utf16("\u{feff}id,name\r\n1,a\r\n", u16::to_le_bytes), to),
        (utf16("\u{feff}id,name\r\n1,a\r\n", u16::to_be_bytes), to),
        (utf16("id,name\r\n1,a\r\n", u16::to_le_bytes), to),
        (utf16("id,name\n1,a\n", u16::to_be_bytes), to),
        (b"id,n\xe4me\n1,a\n".to_vec(), "iconv -f WINDOWS-1252 -t UTF-8"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        fs::write(&path, bytes).unwrap();
        let mut reader = open(&source(&path, json!({})), &Positions::new()).await.unwrap();
        let error = read_all(&mut *reader).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error:?}");
    }
}

#[tokio::test]
async fn csv_whose_lines_have_no_line_feed_is_no_empty_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    fs::write(&path, "a,b\r1,2\r3,4\r").unwrap();
    let mut reader = open(&source(&path, json!({})), &Positions::new()).await.unwrap();
    let error = read_all(&mut *reader).await.unwrap_err();
    assert_eq!(error.code(), "bad-header");
    assert!(error.to_string().contains("carriage returns"), "{error:?}");
}

/// A header is read as strictly as a record is.
#[tokio::test]
async fn a_header_that_is_no_csv_names_no_fields() {
    for header in ["id,\"na\"me", "id,\"name\" ", "\"id\" ,name"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        fs::write(&path, format!("{header}\n1,a\n")).unwrap();
        let mut reader = open(&source(&path, json!({})), &Positions::new()).await.unwrap();
        let error = read_all(&mut *reader).await.unwrap_err();
        assert_eq!(error.code(), "bad-header");
        assert!(error.to_string().contains("continues after its closing quote"), "{error:?}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A digit that was flipped on a disk: all that says so is the checksum at the end.
#[tokio::test]
async fn records_before_a_wrong_checksum_are_held_back_and_what_was_delivered_is_told() {
    for (lines, delivered) in [(5, false), (100_000, true)] {
        let content: String = (0..lines).map(|n| format!("{{\"n\":{}}}\n", 100_000 + n)).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(content.as_bytes()).unwrap();
        let mut bytes = encoder.finish().unwrap();
        let last = bytes.iter().rposition(|byte| *byte == b'}').unwrap() - 1;
        bytes[last] ^= 1;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json.gz");
        fs::write(&path, &bytes).unwrap();
        let mut reader = open(&source(&path, json!({})), &Positions::new()).await.unwrap();
        let mut records = 0;
        let error = loop {
            match reader.read().await {
                Ok(Read::Records(batch)) => records += batch.len(),
                Ok(_) => panic!("no error after {records} records"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), "file-damaged", "{error}");
        assert!(
            error.to_string().contains("may be altered") && format!("{error:?}").contains("beginning"),
            "{error:?}"
        );
        assert_eq!(records > 0, delivered, "{records}");
        assert!(records < lines, "the altered one is not delivered");
    }
}

#[tokio::test]
async fn compressed_files_may_have_several_members() {
    for (name, pack) in [("a.json.gz", gzip as fn(&[u8]) -> Vec<u8>), ("a.json.zst", zstd)] {
        let bytes = [pack(b"{\"a\":1}\n{\"a"), pack(b"\":2}\n{\"a\":3}\n")].concat();
        let batches = of(name, &bytes, json!({})).await;
        assert_eq!(texts(&batches), ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"], "{name}");
        // Resumed in the middle, by the decompressed offset.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, &bytes).unwrap();
        let partition = path.to_str().unwrap().into();
        let resumed = all(&source(&path, json!({})), &Positions::from([(partition, Position::offset(8))])).await;
        assert_eq!(texts(&resumed), ["{\"a\":2}", "{\"a\":3}"]);
        // A position behind the content.
        let lost = Positions::from([(path.to_str().unwrap().into(), Position::offset(100))]);
        let mut reader = open(&source(&path, json!({})), &lost).await.unwrap();
        assert!(matches!(reader.read().await, Err(Error::PositionLost { .. })));
        // Broken behind what is still good.
        let lines = b"{\"a\":1}\n".repeat(100_000);
        let whole = pack(&lines);
        fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut reader = open(&source(&path, json!({})), &Positions::new()).await.unwrap();
        let error = loop {
            match reader.read().await {
                Ok(Read::Records(_)) => {}
                Ok(Read::End) => panic!("no error in {name}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), "file-cut-short", "{error}");
    }
}

/// What a name says is no reason to wait for more of it.
#[tokio::test]
async fn a_file_that_is_not_compressed_as_its_name_says_is_told_so() {
    let short: &[u8] = b"{\"a\":1}\n";
    let long = b"{\"a\":1}\n".repeat(1000);
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, format) in [
        ("a.json.gz", short, "gzip"),
        ("a.csv.gz", b"a\n1\n", "gzip"),
        ("a.json.zst", short, "zstd"),
        ("a.json.zst", b"1\n", "zstd"),
        ("a.json.gz", &long, "gzip"),
        ("a.json.zst", &long, "zstd"),
        ("a.json.gz", &zstd(&long), "gzip"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        for follow in [false, true] {
            let mut reader = open(&source(&path, json!({"follow": follow})), &Positions::new()).await.unwrap();
            let error = reader.read().await.unwrap_err();
            assert_eq!(error.code(), "file-corrupt", "{name}: {error}");
            assert!(error.to_string().contains(&format!("should be {format}")), "{name}: {error}");
            assert!(format!("{error:?}").contains("compression: none"), "{name}: {error:?}");
        }
        let plain = all(&source(&path, json!({"compression": "none", "format": "json"})), &Positions::new()).await;
        assert!(!texts(&plain).is_empty());
    }
    // One that is being written may be any.
    for (name, packed) in [("a.json.gz", gzip(short)), ("a.json.zst", zstd(short))] {
        for length in 1..packed.len() {
            fs::write(dir.path().join(name), &packed[..length]).unwrap();
            let mut reader = open(&source(&dir.path().join(name), json!({})), &Positions::new()).await.unwrap();
            let error = read_all(&mut *reader).await.unwrap_err();
            assert_eq!(error.code(), "file-cut-short", "{name}, {length}: {error}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_path_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let code = async |path: &Path| open(&source(path, json!({})), &Positions::new()).await.err().unwrap().code();
    assert_eq!(code(&dir.path().join("a.json")).await, "file-missing");
    assert_eq!(code(&dir.path().join("*.json")).await, "no-match");
    assert_eq!(code(dir.path()).await, "is-a-directory");
    assert_eq!(code(Path::new("/dev/null")).await, "not-a-file");
}

#[tokio::test]
async fn files_come_in_the_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b", "a", "c"] {
        fs::write(dir.path().join(format!("{name}.json")), format!("\"{name}\"\n")).unwrap();
    }
    let source = source(&dir.path().join("*.json"), json!({}));
    let batches = all(&source, &Positions::new()).await;
    assert_eq!(texts(&batches), ["\"a\"", "\"b\"", "\"c\""]);
    let positions: Positions = batches.iter().map(|batch| (batch.partition.clone(), batch.to.clone())).collect();
    assert!(all(&source, &positions).await.is_empty());
    fs::write(dir.path().join("d.json"), "\"d\"\n").unwrap();
    assert_eq!(texts(&all(&source, &positions).await), ["\"d\""]);
    let ends = source.clone().build().resolve(&context(), &Edge::End).await.unwrap();
    assert_eq!(ends.len(), 4);
    assert!(all(&source, &ends).await.is_empty());
}

#[tokio::test]
async fn a_truncated_or_replaced_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    fs::write(&path, "{\"a\":1}\n{\"a\":2}\n").unwrap();
    let strict = source(&path, json!({}));
    let batches = all(&strict, &Positions::new()).await;
    let positions = Positions::from([(batches[0].partition.clone(), batches.last().unwrap().to.clone())]);

    // Grown: goes on.
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"a\":3}\n").unwrap();
    assert_eq!(texts(&all(&strict, &positions).await), ["{\"a\":3}"]);

    fs::write(&path, "{\"a\":1}\n").unwrap(); // the same inode, shorter
    let error = open(&strict, &positions).await.unwrap().read().await.unwrap_err();
    let Error::PositionLost { wanted, latest, .. } = &error else { panic!("{error}") };
    assert_eq!((wanted.at.as_ref(), latest.at.as_ref()), ("16", "8"));

    let other = dir.path().join("b");
    fs::write(&other, "{\"b\":1}\n{\"b\":2}\n{\"b\":3}\n").unwrap();
    fs::rename(&other, &path).unwrap();
    let error = open(&strict, &positions).await.unwrap().read().await.unwrap_err();
    assert!(error.to_string().contains("another file"), "{error}");

    let earliest = all(&source(&path, json!({"onPositionLost": "earliest"})), &positions).await;
    assert_eq!(earliest[0].from, positions[&earliest[0].partition]);
    assert!(earliest[0].lost.is_some() && earliest[0].is_empty());
    assert_eq!(earliest[1].from, earliest[0].to);
    assert_eq!(texts(&earliest), ["{\"b\":1}", "{\"b\":2}", "{\"b\":3}"]);
    let latest = all(&source(&path, json!({"onPositionLost": "latest"})), &positions).await;
    assert_eq!(latest.len(), 1);
    assert_eq!(latest[0].to.at.as_ref(), "24");
    assert_eq!(latest[0].lost.as_ref().unwrap().records, 3);

    // A line that is not finished yet is not passed over.
    append(&path, "{\"b\":");
    let follow = source(&path, json!({"onPositionLost": "latest", "follow": true, "pollInterval": "10ms"}));
    let mut reader = open(&follow, &positions).await.unwrap();
    let passed = some(&mut *reader, 1).await;
    assert_eq!(passed[0].lost.as_ref().map(|lost| (lost.records, &*lost.to.at)), Some((3, "24")));
    append(&path, "4}\n");
    assert_eq!(texts(&some(&mut *reader, 1).await), ["{\"b\":4}"]);
}

#[tokio::test]
async fn a_record_over_the_limit_is_kept_by_its_head() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    for (limit, size) in [(100_000, 5_000_000), (2_000_000, 2_500_000), (1_000, 1_001), (100, 70_000)] {
        let long = "x".repeat(size);
        fs::write(&path, format!("\"a\"\n{long}\r\n\"b\"\n{long}")).unwrap();
        let mut cx = context();
        cx.max_record_bytes = limit;
        let mut reader = source(&path, json!({})).build().open(&cx, lane(&Positions::new())).await.unwrap();
        let batches = read_all(&mut *reader).await.unwrap();
        let texts = texts(&batches);
        assert_eq!(texts.len(), 4);
        assert_eq!((texts[0].as_str(), texts[2].as_str()), ("\"a\"", "\"b\""));
        assert_eq!(texts[1].len(), size.min(64 << 10));
        let over: Vec<_> = batches.iter().flat_map(|batch| batch.oversized.clone()).collect();
        assert_eq!(over.len(), 2);
        for over in over {
            assert_eq!(over.length, size as u64);
            assert_eq!(over.hash, format!("{:016x}", xxhash_rust::xxh3::xxh3_64(long.as_bytes())));
        }
        assert!(batches.windows(2).all(|pair| pair[0].to == pair[1].from));
    }
}

#[tokio::test]
async fn an_own_file_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut cx = context();
    cx.paths = dataflow_sdk::Paths { own: vec![file.path().into()], ..Default::default() }.into();
    let opened = source(file.path(), json!({})).build().open(&cx, lane(&Positions::new())).await;
    assert_eq!(opened.err().unwrap().code(), "own-file");
}

/// Whatever leads to it: a file that was rotated away is looked for among those beside it.
#[tokio::test]
async fn a_link_to_an_own_file_is_no_older_generation() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let cx = Context { paths: Paths { own: vec![path("own")], ..Default::default() }.into(), ..context() };
    for pattern in ["app.log", "app.log*"] {
        append(&path("app.log"), "1\n");
        let source = source(&path(pattern), json!({"follow": true, "pollInterval": "10ms"}));
        let mut reader = source.build().open(&cx, lane(&Positions::new())).await.unwrap();
        let mut read = some(&mut *reader, 1).await;
        append(&path("own"), "secret\n");
        fs::hard_link(path("own"), path("app.log.1")).unwrap();
        std::thread::sleep(Duration::from_millis(20)); // more than a tick of the file system's clock
        append(&path("new"), "2\n");
        fs::rename(path("app.log"), path("kept")).unwrap();
        fs::rename(path("new"), path("app.log")).unwrap();
        loop {
            match tokio::time::timeout(PATIENCE, reader.read()).await.unwrap() {
                Ok(Read::Records(records)) => read.push(records),
                Ok(Read::End) => panic!("a followed file has no end"),
                Err(error) => {
                    assert_eq!((error.code(), pattern), ("own-file", "app.log*"));
                    break;
                }
            }
            if texts(&read).len() == 2 {
                break;
            }
        }
        assert!(!texts(&read).contains(&"secret".to_owned()), "{pattern}: {:?}", texts(&read));
        for name in ["app.log", "app.log.1", "own"] {
            fs::remove_file(path(name)).unwrap();
        }
    }
}

#[test]
fn findings_name_field_and_fix() {
    let check = |config: Value| {
        let source: FileSource = serde_json::from_value(config).unwrap();
        source.check().into_iter().map(|problem| problem.path).collect::<Vec<_>>()
    };
    assert_eq!(check(json!({"path": "a.csv"})), Vec::<String>::new());
    assert_eq!(check(json!({"path": "a.csv", "header": false})), ["columns"]);
    let columns = json!(["a", "", "a"]);
    assert_eq!(check(json!({"path": "a.csv", "header": false, "columns": columns})), ["columns[1]", "columns[2]"]);
    assert_eq!(check(json!({"path": "a.json", "columns": ["a"]})), ["columns"]);
    assert_eq!(check(json!({"path": "", "delimiter": "é", "quote": "\n"})), ["path", "delimiter", "quote"]);
    assert_eq!(check(json!({"path": "a", "follow": true, "compression": "gzip"})), ["follow"]);
    assert_eq!(check(json!({"path": "a***"})), ["path"]);
}

/// Reads until so many records and losses have come, however long it takes, and what more comes within a while.
async fn some(reader: &mut dyn Reader, expected: usize) -> Vec<Records> {
    let mut batches = Vec::new();
    let mut come = 0;
    loop {
        let patience = if come < expected { PATIENCE } else { QUIET };
        match tokio::time::timeout(patience, reader.read()).await {
            Ok(Ok(Read::Records(records))) => {
                come += records.len() + usize::from(records.lost.is_some());
                batches.push(records);
            }
            Ok(Ok(Read::End)) => panic!("a followed file has no end"),
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => break,
        }
    }
    batches
}

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn remember(positions: &mut Positions, batches: &[Records]) {
    for batch in batches {
        if let Some(at) = positions.get(&batch.partition) {
            assert_eq!(&batch.from, at, "goes on where {} was left", batch.partition);
        }
        positions.extend(batch.beside.clone());
        positions.insert(batch.partition.clone(), batch.to.clone());
    }
}

#[tokio::test]
async fn a_growing_file_is_followed_across_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    append(&path, "1\n2\nhal");
    let source = source(&path, json!({"follow": true, "pollInterval": "10ms"}));
    let mut positions = Positions::new();
    let mut reader = open(&source, &positions).await.unwrap();
    let mut seen = async |reader: &mut dyn Reader, expected| {
        let batches = some(reader, expected).await;
        remember(&mut positions, &batches);
        texts(&batches)
    };
    assert_eq!(seen(&mut *reader, 2).await, ["1", "2"]);
    append(&path, "f\n");
    assert_eq!(seen(&mut *reader, 1).await, ["half"]);
    append(&path, "3\nend");
    fs::rename(&path, dir.path().join("app.log.1")).unwrap();
    append(&path, "4\n");
    assert_eq!(seen(&mut *reader, 3).await, ["3", "end", "4"]);
    append(&path, "5\n");
    assert_eq!(seen(&mut *reader, 1).await, ["5"]);

    // The writer goes on with the old file for a while.
    let mut old = fs::OpenOptions::new().append(true).open(&path).unwrap();
    fs::rename(&path, dir.path().join("app.log.0")).unwrap();
    append(&path, "");
    assert_eq!(seen(&mut *reader, 0).await, Vec::<String>::new());
    old.write_all(b"old\n").unwrap();
    append(&path, "new\n");
    old.write_all(b"late\n").unwrap();
    assert_eq!(seen(&mut *reader, 3).await, ["old", "late", "new"]);
    drop(reader);

    // Rotated while nobody looked: the old file is found by its inode.
    append(&path, "6\n");
    fs::rename(&path, dir.path().join("app.log.2")).unwrap();
    append(&path, "7\n");
    let mut reader = open(&source, &positions).await.unwrap();
    let batches = some(&mut *reader, 2).await;
    remember(&mut positions, &batches);
    assert_eq!(texts(&batches), ["6", "7"]);
}

/// Between two looks, with and without a reader, and by either way to name what is rotated.
#[tokio::test]
async fn files_that_came_and_went_unseen_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (path, named) = (dir.path().join("app.log"), |name: &str| dir.path().join(name));
    let pause = || std::thread::sleep(Duration::from_millis(20)); // rotations are further apart than a file system's clock ticks
    append(&named("app.log.7"), "long ago\n");
    pause();
    append(&path, "1\n");
    let source = source(&path, json!({"follow": true, "pollInterval": "100ms"}));
    let mut positions = Positions::new();
    let mut reader = open(&source, &positions).await.unwrap();
    let batches = some(&mut *reader, 1).await;
    remember(&mut positions, &batches);
    // Somebody keeps a copy of what is there, which is no generation.
    fs::copy(&path, named("app.log.8")).unwrap();
    append(&named("app.log.gz"), "no generation\n");
    append(&path, "2\n");
    pause();
    let rotate = |old: &str, text: &str| {
        fs::rename(&path, named(old)).unwrap();
        append(&path, text);
        pause();
    };
    rotate("app.log.3", "3\n");
    rotate("app.log.2", "4\n4b\n");
    rotate("app.log.1", "5\n");
    let batches = some(&mut *reader, 5).await;
    remember(&mut positions, &batches);
    assert_eq!(texts(&batches), ["2", "3", "4", "4b", "5"]);
    drop(reader);

    rotate("app-20261231.log", "6\n");
    rotate("app-20270101.log", "7\n");
    let mut reader = open(&source, &positions).await.unwrap();
    let batches = some(&mut *reader, 2).await;
    assert_eq!(texts(&batches), ["6", "7"]);
    assert!(batches.iter().all(|batch| batch.lost.is_none()));
}

#[tokio::test]
async fn a_pattern_that_matches_rotated_names_reads_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    append(&path("app.log"), "1\n");
    let source = source(&path("app.log*"), json!({"follow": true, "pollInterval": "10ms"}));
    let mut positions = Positions::new();
    let mut reader = open(&source, &positions).await.unwrap();
    let mut all = Vec::new();
    for (round, expected) in [1, 2, 0].into_iter().enumerate() {
        let batches = some(&mut *reader, expected).await;
        remember(&mut positions, &batches);
        all.extend(texts(&batches));
        append(&path("app.log"), &format!("a{round}\n"));
        for (from, to) in [("app.log.2", "app.log.3"), ("app.log.1", "app.log.2"), ("app.log", "app.log.1")] {
            if path(from).exists() {
                fs::rename(path(from), path(to)).unwrap();
            }
        }
        append(&path("app.log"), &format!("b{round}\n"));
        if round == 1 {
            let batches = some(&mut *reader, 2).await;
            remember(&mut positions, &batches);
            all.extend(texts(&batches));
            reader = open(&source, &positions).await.unwrap();
        }
    }
    let batches = some(&mut *reader, 2).await;
    remember(&mut positions, &batches);
    all.extend(texts(&batches));
    all.sort();
    assert_eq!(all, ["1", "a0", "a1", "a2", "b0", "b1", "b2"]);
}

#[tokio::test]
async fn a_file_truncated_while_followed_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    append(&path, "1\n2\n");
    let mut reader =
        open(&source(&path, json!({"follow": true, "pollInterval": "10ms"})), &Positions::new()).await.unwrap();
    assert_eq!(texts(&some(&mut *reader, 2).await), ["1", "2"]);
    // Read to its end: it goes on, and that it was truncated is said.
    fs::write(&path, "3\n").unwrap();
    let batches = some(&mut *reader, 2).await;
    assert_eq!((texts(&batches), batches[0].lost.as_ref().map(|lost| lost.records)), (vec!["3".to_owned()], Some(0)));
    append(&path, "hal");
    assert!(some(&mut *reader, 0).await.is_empty());
    fs::write(&path, "").unwrap();
    let error = tokio::time::timeout(PATIENCE, reader.read()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "position-lost");

    fs::write(&path, "1\n2\n").unwrap();
    let lenient = source(&path, json!({"follow": true, "pollInterval": "10ms", "onPositionLost": "earliest"}));
    let mut reader = open(&lenient, &Positions::new()).await.unwrap();
    let mut positions = Positions::new();
    remember(&mut positions, &some(&mut *reader, 2).await);
    fs::write(&path, "").unwrap();
    let batches = some(&mut *reader, 1).await;
    remember(&mut positions, &batches);
    assert!(batches[0].lost.is_some());
    append(&path, "3\n");
    let batches = some(&mut *reader, 1).await;
    remember(&mut positions, &batches);
    assert_eq!(texts(&batches), ["3"]);
}

/// What is left of it was read, unless it is only the header; one that was emptied holds nothing that was.
#[tokio::test]
async fn a_followed_file_that_is_cut_is_a_lost_position_and_one_that_is_emptied_is_none() {
    for (name, text, left, then, lost) in [
        ("a.json", "1\n2\n3\n", 4, "", true),
        ("a.json", "1\n2\n3\n", 3, "", true),
        ("a.json", "1\n2\n3\n", 2, "4\n", true),
        ("a.json", "1\n2\n3\n", 0, "4\n", false),
        ("a.csv", "id\n1\n2\n3\n", 5, "", true),
        ("a.csv", "id\n1\n2\n3\n", 0, "id\n4\n", false),
    ] {
        let what = format!("{name}: {text:?} cut to {left}, then {then:?}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        append(&path, text);
        let mut reader =
            open(&source(&path, json!({"follow": true, "pollInterval": "10ms"})), &Positions::new()).await.unwrap();
        assert_eq!(texts(&some(&mut *reader, 3).await).len(), 3, "{what}");
        // As one change, so that no look comes in between.
        let new = [&text.as_bytes()[..left], then.as_bytes()].concat();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &new, 0).unwrap();
        file.set_len(new.len() as u64).unwrap();
        if lost {
            let error = tokio::time::timeout(PATIENCE, reader.read()).await.unwrap().unwrap_err();
            assert_eq!(error.code(), "position-lost", "{what}");
        } else {
            let batches = some(&mut *reader, 2).await;
            assert_eq!(texts(&batches), ["4"], "{what}");
        }
    }
}

#[tokio::test]
async fn new_files_are_found_and_empty_ones_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    append(&path("a.csv"), "");
    let mut reader = open(&source(&path("*.csv"), json!({"follow": true, "pollInterval": "10ms"})), &Positions::new())
        .await
        .unwrap();
    assert!(texts(&some(&mut *reader, 0).await).is_empty());
    append(&path("a.csv"), "id,na");
    assert!(texts(&some(&mut *reader, 0).await).is_empty());
    append(&path("a.csv"), "me\n1,x\n");
    append(&path("b.csv"), "id\n7\n");
    assert_eq!(texts(&some(&mut *reader, 2).await), ["1,x", "7"]);
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z\", ]{0,12}",
        "[a-z]{1,4},\"([a-z,\n]|\"\"){0,8}\"",
        Just("x".repeat(300)),
        "[a-z]{1,4}\r",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn wherever_it_is_cut_the_same_records_follow(
        lines in prop::collection::vec(line(), 0..40),
        csv in any::<bool>(),
        pack in 0..3usize,
        max_records in 1..6u32,
        max_bytes in 1..200u64,
        last_break in any::<bool>(),
        limit in 100..400u64,
    ) {
        let mut text = lines.join("\n");
        if last_break { text.push('\n'); }
        let name = ["a", "a.gz", "a.zst"][pack];
        let bytes = [<[u8]>::to_vec as fn(&[u8]) -> Vec<u8>, gzip, zstd][pack](text.as_bytes());
        let more = if csv { json!({"format": "csv", "header": false, "columns": ["a"]}) } else { json!({}) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            let source = source(&path, more);
            let mut cx = context();
            cx.max_record_bytes = limit;
            let read = async |cx: &dataflow_sdk::Context, positions: &Positions| {
                let mut reader = source.clone().build().open(cx, lane(positions)).await.unwrap();
                read_all(&mut *reader).await.unwrap()
            };
            let records = |batches: &[Records]| {
                let offsets: Vec<u64> = batches.iter().flat_map(|batch| batch.offsets.clone()).collect();
                offsets.into_iter().zip(texts(batches)).collect::<Vec<_>>()
            };
            let whole = read(&cx, &Positions::new()).await;
            cx.batch.max_records = max_records;
            cx.batch.max_bytes = max_bytes;
            let cut = read(&cx, &Positions::new()).await;
            assert_eq!(records(&whole), records(&cut));
            assert!(cut.windows(2).all(|pair| pair[0].to == pair[1].from));
            for (i, batch) in cut.iter().enumerate() {
                let positions = Positions::from([(batch.partition.clone(), batch.to.clone())]);
                assert_eq!(records(&read(&cx, &positions).await), records(&cut[i + 1..]));
            }
        });
    }
}
