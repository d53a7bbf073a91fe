//! Parquet and Avro: files that other tools wrote are read as these read them (`tests/tables/make.py`), from any row on, and none
//! is shorter without a word.
use super::{rotations::look, *};
use crate::{ahead::Work, file::follow::Follow};
use dataflow_core::types::Type;
use dataflow_testkit::conformance;
use std::{collections::BTreeMap, path::PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables")
}

fn expected(name: &str) -> Vec<String> {
    fs::read_to_string(folder().join(format!("{name}.jsonl"))).unwrap().lines().map(str::to_owned).collect()
}

async fn parts(source: &FileSource, at: &Positions, records: u32, bytes: u64) -> Result<Vec<Records>, Error> {
    let mut cx = context();
    (cx.batch.max_records, cx.batch.max_bytes) = (records, bytes);
    read_all(&mut *source.clone().build().open(&cx, lane(at)).await?).await
}

fn types(records: &Records) -> BTreeMap<String, Type> {
    let Layout::Columns(columns) = &records.layout else { panic!("no columns") };
    columns.columns.iter().map(|column| (column.name.clone(), column.ty)).collect()
}

#[tokio::test]
async fn files_of_other_tools_are_read_as_these_read_them() {
    let mut tried = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".parquet") && !name.ends_with(".avro") {
            continue;
        }
        tried += 1;
        let read = parts(&source(&path, json!({})), &Positions::new(), 8192, 8 << 20).await;
        if matches!(name.as_str(), "bzip2.avro" | "xz.avro") {
            let error = read.unwrap_err();
            assert_eq!(error.code(), "unsupported");
            assert!(error.to_string().contains("its codec is"), "{error}");
            continue;
        }
        let (found, expected) = (texts(&read.unwrap()), expected(&name));
        for (nth, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "row {nth} of {name}");
        }
        assert_eq!(found.len(), expected.len(), "{name}");
    }
    assert!(tried > 20);
}

#[tokio::test]
async fn the_types_of_a_file_are_those_of_its_columns() {
    let mut shown = String::new();
    for name in
        ["scalars.parquet", "decimals.parquet", "nested.parquet", "int96.parquet", "duckdb.parquet", "types.avro"]
    {
        let read = all(&source(&folder().join(name), json!({})), &Positions::new()).await;
        let types = types(&read[0]).into_iter().map(|(name, ty)| format!("{name} {ty}")).collect::<Vec<_>>();
        shown += &format!("{name}: {}\n", types.join(", "));
    }
    let golden = include_str!("../../../tests/tables/types.txt");
    assert_eq!(shown, golden, "{shown}");
}

#[tokio::test]
async fn reading_goes_on_at_any_row() {
    for name in ["groups.parquet", "blocks.avro", "int96.parquet"] {
        let (source, expected) = (source(&folder().join(name), json!({})), expected(name));
        let batches = parts(&source, &Positions::new(), 37, 8 << 20).await.unwrap();
        assert_eq!(texts(&batches), expected);
        assert!(batches.iter().all(|batch| batch.len() <= 37));
        let mut rows = 0;
        for batch in &batches {
            assert_eq!(batch.offsets, (rows..rows + batch.len() as u64).collect::<Vec<_>>());
            rows += batch.len() as u64;
            assert_eq!(batch.to.as_offset(), Some(rows));
            let at = [(batch.partition.clone(), batch.to.clone())].into();
            let rest = parts(&source, &at, 8192, 8 << 20).await.unwrap();
            assert_eq!(texts(&rest), expected[rows as usize..], "{name} after row {rows}");
        }
        // A position within a batch, and one that a user gives.
        for row in [0, 1, 99, 100, 101, expected.len()].into_iter().filter(|row| *row <= expected.len()) {
            let at = [(batches[0].partition.clone(), Position::offset(row as u64))].into();
            assert_eq!(texts(&parts(&source, &at, 8192, 8 << 20).await.unwrap()), expected[row..], "{name} from {row}");
        }
        // However few bytes a batch may have, it has a row.
        assert_eq!(texts(&parts(&source, &Positions::new(), 8192, 1).await.unwrap()), expected);
    }
}

#[tokio::test]
async fn each_format_is_a_source_as_it_should_be() {
    for name in ["none.parquet", "nested.parquet", "snappy.avro", "types.avro"] {
        conformance::source(&*source(&folder().join(name), json!({})).build(), &expected(name)).await;
    }
}

#[tokio::test]
async fn places_are_rows() {
    for name in ["groups.parquet", "blocks.avro"] {
        let path = folder().join(name);
        let (built, partition) = (source(&path, json!({})).build(), path.to_str().unwrap().to_owned());
        let end = built.resolve(&context(), &Edge::End).await.unwrap();
        assert_eq!(end.values().next().unwrap().as_offset(), Some(1000));
        let counted = built.count(&context(), &Positions::new(), &end).await.unwrap();
        assert_eq!(counted.into_values().collect::<Vec<_>>(), [1000]);
        for (at, fits) in [("0", true), ("999", true), ("1000", true), ("1001", false)] {
            let named = [(partition.clone(), at.to_owned())].into();
            let placed = built.place(&context(), &Positions::new(), &named).await.unwrap();
            assert_eq!(placed.is_ok(), fits, "{name} {at}: {placed:?}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_cut_is_never_shorter_without_a_word() {
    for name in ["none.parquet", "snappy.parquet", "deflate.avro", "null.avro", "types.avro"] {
        let bytes = fs::read(folder().join(name)).unwrap();
        let (dir, expected) = (tempfile::tempdir().unwrap(), expected(name));
        let path = dir.path().join(name);
        let mut whole = 0;
        for length in 1..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            match parts(&source(&path, json!({})), &Positions::new(), 8192, 8 << 20).await {
                // Nothing ends an Avro file: one that is cut between two blocks is whole.
                Ok(read) => {
                    assert!(name.ends_with(".avro") && texts(&read).is_empty(), "{name}, {length} bytes");
                    whole += 1;
                }
                Err(error) => {
                    assert_eq!(error.code(), "file-cut-short", "{name}, {length} bytes: {error}");
                    assert!(error.to_string().contains(name), "{error}");
                }
            }
        }
        assert_eq!(whole, usize::from(name.ends_with(".avro")), "{name}");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(texts(&all(&source(&path, json!({})), &Positions::new()).await), expected);
    }
}

#[tokio::test]
async fn a_file_that_is_altered_is_an_error_or_other_records() {
    for name in ["none.parquet", "gzip.parquet", "encodings.parquet", "snappy.avro", "types.avro"] {
        let bytes = fs::read(folder().join(name)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 0xff;
            fs::write(&path, &altered).unwrap();
            let Err(error) = parts(&source(&path, json!({})), &Positions::new(), 8192, 8 << 20).await else { continue };
            let known = ["file-damaged", "file-corrupt", "file-cut-short", "unsupported"];
            assert!(known.contains(&error.code()), "{name}, byte {at}: {} {error}", error.code());
        }
    }
}

#[tokio::test]
async fn a_checksum_that_is_wrong_is_told() {
    let (dir, bytes) = (tempfile::tempdir().unwrap(), fs::read(folder().join("groups.parquet")).unwrap());
    let path = dir.path().join("a.parquet");
    let (mut wrong, mut tried) = (0, 0);
    // The pages lie before the footer, which is of about a third.
    for at in (200..bytes.len() / 2).step_by(97) {
        let mut altered = bytes.clone();
        altered[at] ^= 0x10;
        fs::write(&path, &altered).unwrap();
        tried += 1;
        let read = parts(&source(&path, json!({})), &Positions::new(), 8192, 8 << 20).await;
        match read {
            Err(error) => {
                assert_eq!(error.code(), "file-damaged");
                assert!(error.to_string().contains("in row group"), "{error}");
                wrong += 1;
            }
            // What a page's header says beside its length, as of statistics, is not looked at.
            Ok(read) => assert_eq!(texts(&read), expected("groups.parquet"), "byte {at}"),
        }
    }
    assert!(wrong * 2 > tried, "{wrong} of {tried}");
}

#[tokio::test]
async fn another_file_in_its_place_is_a_lost_position() {
    for (name, other) in [("none.parquet", "zstd.parquet"), ("deflate.avro", "null.avro")] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::copy(folder().join(name), &path).unwrap();
        let reads = source(&path, json!({}));
        let read = parts(&reads, &Positions::new(), 10, 8 << 20).await.unwrap();
        let at: Positions = [(read[0].partition.clone(), read[0].to.clone())].into();
        let done: Positions = [(read[0].partition.clone(), read.last().unwrap().to.clone())].into();
        assert!(parts(&reads, &done, 10, 8 << 20).await.unwrap().is_empty());
        fs::copy(folder().join(other), dir.path().join("new")).unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        for at in [&at, &done] {
            let error = parts(&reads, at, 10, 8 << 20).await.unwrap_err();
            assert!(matches!(error, Error::PositionLost { .. }), "{name}: {error}");
        }
        let again = source(&path, json!({"onPositionLost": "earliest"}));
        assert_eq!(texts(&parts(&again, &at, 100, 8 << 20).await.unwrap()), expected(other));
    }
}

/// What comes until nothing does.
async fn some(reader: &mut dyn Reader) -> Vec<Records> {
    let mut batches = Vec::new();
    while let Ok(read) = tokio::time::timeout(QUIET, reader.read()).await {
        let Read::Records(records) = read.unwrap() else { panic!("it has ended") };
        batches.push(records);
    }
    batches
}

#[tokio::test]
async fn a_file_that_is_being_written_is_waited_for() {
    for (name, half) in [("groups.parquet", 9_000), ("types.avro", 1_000)] {
        let (dir, bytes) = (tempfile::tempdir().unwrap(), fs::read(folder().join(name)).unwrap());
        let path = dir.path().join(name);
        fs::write(&path, &bytes[..half]).unwrap();
        let mut reader = open(&source(&path, json!({"follow": true})), &Positions::new()).await.unwrap();
        assert!(texts(&some(&mut *reader).await).is_empty());
        let told = reader.warnings();
        let told: Vec<_> = told.iter().filter_map(Notice::holding).map(|warning| warning.code.clone()).collect();
        assert_eq!(told, ["file-unfinished"]);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&bytes[half..]).unwrap();
        let mut read = Vec::new();
        while read.len() < expected(name).len() {
            let next = tokio::time::timeout(PATIENCE, reader.read()).await.unwrap().unwrap();
            let Read::Records(records) = next else { panic!("it has ended") };
            read.extend(texts(&[records]));
        }
        assert_eq!(read, expected(name));
        let over = reader.warnings();
        assert!(over.iter().any(|notice| notice.holding().is_none()), "{over:?}");
        reader.close().await;
    }
}

#[tokio::test]
async fn blocks_that_are_appended_are_read() {
    let (dir, bytes) = (tempfile::tempdir().unwrap(), fs::read(folder().join("blocks.avro")).unwrap());
    let path = dir.path().join("a.avro");
    let mut reader = None;
    let (mut read, mut at) = (Vec::new(), Positions::new());
    for (nth, part) in bytes.chunks(1_000).enumerate() {
        fs::OpenOptions::new().create(true).append(true).open(&path).unwrap().write_all(part).unwrap();
        // Every other part is read by who comes later.
        let source = source(&path, json!({"follow": true}));
        let mut open = match reader.take() {
            Some(reader) => reader,
            None => source.clone().build().open(&context(), lane(&at)).await.unwrap(),
        };
        for records in some(&mut *open).await {
            at.extend(records.beside.clone());
            at.insert(records.partition.clone(), records.to.clone());
            read.extend(texts(&[records]));
        }
        if nth % 2 == 0 {
            reader = Some(open);
        }
    }
    assert_eq!(read, expected("blocks.avro"));
}

#[test]
fn compression_is_within() {
    let check = |more: Value| {
        let mut config = json!({"path": "in/*.parquet"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value::<FileSource>(config).unwrap().check().len()
    };
    assert_eq!(check(json!({})), 0);
    assert_eq!(check(json!({"compression": "zstd"})), 1);
    assert_eq!(check(json!({"columns": ["a"]})), 1);
    assert_eq!(check(json!({"path": "in/*.avro.gz"})), 1);
}

/// Blocks that come to a rotated file after its end are not read, which is said.
#[tokio::test(start_paused = true)]
async fn blocks_that_come_late_are_said() {
    let (dir, bytes) = (tempfile::tempdir().unwrap(), fs::read(folder().join("blocks.avro")).unwrap());
    let path = |name: &str| dir.path().join(name);
    fs::write(path("a.avro"), &bytes).unwrap();
    let source = source(&path("a.avro"), json!({"follow": true, "pollInterval": "1s"}));
    let mut work = Follow::new(source, &context(), Positions::new()).unwrap();
    assert_eq!(look(&mut work), expected("blocks.avro"));
    fs::rename(path("a.avro"), path("a.avro.1")).unwrap();
    std::thread::sleep(Duration::from_millis(10)); // more than a file system's clock ticks
    fs::copy(folder().join("snappy.avro"), path("a.avro")).unwrap();
    let mut read = Vec::new();
    let wait = async |read: &mut Vec<String>, work: &mut Follow| {
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(1)).await;
            read.extend(look(work));
        }
    };
    wait(&mut read, &mut work).await;
    assert_eq!(read, expected("snappy.avro"));
    assert!(work.warnings().iter().all(|notice| notice.holding().is_none()));
    fs::OpenOptions::new().append(true).open(path("a.avro.1")).unwrap().write_all(b"a block").unwrap();
    wait(&mut read, &mut work).await;
    let codes: Vec<_> =
        work.warnings().iter().filter_map(Notice::holding).map(|warning| warning.code.clone()).collect();
    assert_eq!(codes, ["written-late"]);
}

/// What is appended to a file while nobody looks is not read yet, also if it was rotated since.
#[tokio::test]
async fn blocks_that_were_appended_meanwhile_are_read() {
    let (dir, bytes) = (tempfile::tempdir().unwrap(), fs::read(folder().join("blocks.avro")).unwrap());
    let path = |name: &str| dir.path().join(name);
    let source = source(&path("a.avro"), json!({"follow": true, "pollInterval": "5ms"}));
    // After the first whole blocks.
    let (mut read, mut at, mut begun) = (Vec::new(), Positions::new(), 0);
    for (nth, end) in [bytes.len() / 2, bytes.len()].into_iter().enumerate() {
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path("a.avro"))
            .unwrap()
            .write_all(&bytes[begun..end])
            .unwrap();
        begun = end;
        if nth == 1 {
            let lag = source.clone().build().lag(&context(), &at).await.unwrap();
            assert!(lag >= Some((bytes.len() - bytes.len() / 2) as u64), "{lag:?}");
            fs::rename(path("a.avro"), path("a.avro.1")).unwrap();
            fs::copy(folder().join("snappy.avro"), path("a.avro")).unwrap();
        }
        let mut reader = open(&source, &at).await.unwrap();
        for records in some(&mut *reader).await {
            at.extend(records.beside.clone());
            at.insert(records.partition.clone(), records.to.clone());
            read.extend(texts(&[records]));
        }
        reader.close().await;
    }
    assert_eq!(read, [expected("blocks.avro"), expected("snappy.avro")].concat());
}

/// The end of a file that is not whole yet is its beginning: none of it can be read before it is.
#[tokio::test]
async fn the_end_of_what_is_being_written_is_its_beginning() {
    let (dir, bytes) = (tempfile::tempdir().unwrap(), fs::read(folder().join("groups.parquet")).unwrap());
    let path = dir.path().join("a.parquet");
    fs::write(&path, &bytes[..9_000]).unwrap();
    let source = source(&path, json!({"follow": true}));
    let at = source.clone().build().resolve(&context(), &Edge::End).await.unwrap();
    fs::write(&path, &bytes).unwrap();
    let mut reader = open(&source, &at).await.unwrap();
    assert_eq!(texts(&some(&mut *reader).await), expected("groups.parquet"));
    reader.close().await;
}
