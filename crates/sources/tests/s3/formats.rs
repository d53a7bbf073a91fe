//! Objects of each format and compression, from any position on; keys of all kinds; more than a page of them.
use super::*;
use dataflow_testkit::conformance;
use futures::{StreamExt, stream};
use std::{fs, io::Write, path::Path};

const COUNT: u32 = 23;

fn gzip(text: &str) -> Vec<u8> {
    // In members, as `cat a.gz b.gz` makes it.
    let middle = text.len() / 2;
    let packed = |part: &str| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(part.as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    [packed(&text[..middle]), packed(&text[middle..])].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_goes_on_from_every_position() {
    let Some(bucket) = bucket().await else { return };
    let text = lines("a", COUNT);
    let csv: Vec<String> = (0..COUNT).map(|n| format!("{n},\"x\n{n}\"")).collect();
    let table = |name: &str| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(name)).unwrap();
    let rows =
        |name: &str| String::from_utf8(table(&format!("{name}.jsonl"))).unwrap().lines().map(str::to_owned).collect();
    let cases: [(&str, Vec<u8>, Vec<String>); 10] = [
        ("a.jsonl", text.clone().into(), expected("a", COUNT)),
        ("no-line-break.jsonl", text.trim_end().into(), expected("a", COUNT)),
        ("a.json.gz", gzip(&text), expected("a", COUNT)),
        ("a.json.zst", zstd::encode_all(text.as_bytes(), 0).unwrap(), expected("a", COUNT)),
        ("a.csv", format!("n,text\n{}\n", csv.join("\n")).into(), csv.clone()),
        ("a.csv.gz", gzip(&format!("n,text\n{}\n", csv.join("\n"))), csv),
        ("scalars.parquet", table("scalars.parquet"), rows("scalars.parquet")),
        ("types.avro", table("types.avro"), rows("types.avro")),
        ("empty.jsonl", Vec::new(), Vec::new()),
        ("header-alone.csv", "n,text\n".into(), Vec::new()),
    ];
    for (key, content, expected) in cases {
        bucket.put(key, content).await;
        conformance::source(&*source(&bucket, json!({"path": key})), &expected).await;
    }
    bucket.remove().await;
}

/// Files that are larger than the blocks in which objects are read.
#[tokio::test(flavor = "multi_thread")]
async fn large_objects_are_read_in_blocks() {
    let Some(bucket) = bucket().await else { return };
    let text = lines("large", 400_000);
    assert!(text.len() > 9 << 20);
    bucket.put("large.jsonl", text.clone()).await;
    bucket.put("large.json.gz", gzip(&text)).await;
    for key in ["large.jsonl", "large.json.gz"] {
        let source = source(&bucket, json!({"path": key}));
        let read = all(&*source, &Positions::new()).await;
        assert!(read.texts().iter().map(String::as_str).eq(text.lines()), "{key}");
        let middle = read.batches[read.batches.len() / 2].to.clone();
        let before: usize = read.batches[..=read.batches.len() / 2].iter().map(Records::len).sum();
        let rest = all(&*source, &[(partition(&bucket, key), middle)].into()).await;
        assert_eq!(rest.texts().len() + before, 400_000, "{key}");
        assert_eq!(
            source.count(&context(), &Positions::new(), &read.positions).await.unwrap().into_values().sum::<u64>(),
            400_000
        );
    }
    bucket.remove().await;
}

/// Files of columns that are read here and there are read as from a disk.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_columns_are_read_as_from_a_disk() {
    let Some(bucket) = bucket().await else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables");
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let is_table = name.ends_with(".parquet") || name.ends_with(".avro");
        if !is_table || matches!(name.as_str(), "bzip2.avro" | "xz.avro") {
            continue;
        }
        bucket.put(&name, fs::read(&path).unwrap()).await;
        let read =
            run(&*source(&bucket, json!({"path": name})), &small(100), &Positions::new(), usize::MAX).await.unwrap();
        let expected = fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
        assert!(read.texts().iter().map(String::as_str).eq(expected.lines()), "{name}");
    }
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_have_any_character() {
    let Some(bucket) = bucket().await else { return };
    let keys = [
        "in/a b.jsonl",
        "in/a+b.jsonl",
        "in/a%20b.jsonl",
        "in/a%2Bb.jsonl",
        "in/ü/日本.jsonl",
        "in/a&b=c?d#e.jsonl",
        "in/(a)'b'!*~,;:@$.jsonl",
        "in/dt=2026-11-30/part-0.jsonl",
        "in/[a]{b}|<c>\"d\".jsonl",
    ];
    for key in keys {
        bucket.put(key, lines(key, 1).replace('"', "'")).await;
    }
    let source = source(&bucket, json!({"path": "in/"}));
    let read = all(&*source, &Positions::new()).await;
    let mut found: Vec<String> = read.positions.keys().map(|partition| partition.to_string()).collect();
    found.sort();
    let mut expected: Vec<String> = keys.iter().map(|key| partition(&bucket, key).to_string()).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(read.texts().len(), keys.len());
    assert!(all(&*source, &read.positions).await.batches.is_empty(), "each is read once");
    for key in keys.into_iter().filter(|key| !key.contains(['*', '?', '['])) {
        let alone = all(&*super::source(&bucket, json!({"path": key})), &Positions::new()).await;
        assert_eq!(alone.positions.len(), 1, "{key} by itself");
    }
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_are_read_and_what_is_found_later_whatever_its_key() {
    let Some(bucket) = bucket().await else { return };
    let put = |n: u32| {
        let bucket = &bucket;
        async move { bucket.put(&format!("in/{n:05}.jsonl"), lines(&n.to_string(), 1)).await }
    };
    stream::iter((1..=2_300).map(put)).buffer_unordered(32).for_each(|()| async {}).await;
    let source = source(&bucket, json!({"path": "in/*.jsonl"}));
    let read = all(&*source, &Positions::new()).await;
    assert_eq!((read.texts().len(), read.positions.len()), (2_300, 2_300));
    // Lower than all others, in the middle, and greater.
    for key in ["in/00000.jsonl", "in/01000a.jsonl", "in/99999.jsonl"] {
        bucket.put(key, lines(key, 2)).await;
    }
    let more = all(&*source, &read.positions).await;
    assert_eq!(more.positions.len(), 2_303);
    assert_eq!(more.texts().len(), 6);
    assert_eq!(source.lag(&context(), &more.positions).await.unwrap(), Some(0));
    let longest = more.positions.values().map(|at| at.identity.as_ref().unwrap().len()).max();
    assert!(longest <= Some(48), "{longest:?} bytes for each object");
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_data_is_left_out() {
    let Some(bucket) = bucket().await else { return };
    for key in ["in/a.jsonl", "in/_SUCCESS", "in/_temporary/b.jsonl", "in/_dataflow/p.json", "in/c=_x/d.jsonl"] {
        bucket.put(key, lines("x", 1)).await;
    }
    bucket.put("in/empty.jsonl", "").await;
    let read = all(&*source(&bucket, json!({"path": "in/"})), &Positions::new()).await;
    assert_eq!((read.texts().len(), read.positions.len()), (2, 3));
    assert_eq!(read.codes(), ["object-hidden"]);
    let named = all(&*source(&bucket, json!({"path": "in/_*"})), &Positions::new()).await;
    assert_eq!((named.texts().len(), named.codes().len()), (1, 0));
    bucket.remove().await;
}

/// Each object is read in one of several lanes.
#[tokio::test(flavor = "multi_thread")]
async fn lanes_share_the_objects() {
    let Some(bucket) = bucket().await else { return };
    for n in 0..20 {
        bucket.put(&format!("{n}.jsonl"), lines(&n.to_string(), 1)).await;
    }
    let source = source(&bucket, nothing());
    let mut texts = Vec::new();
    for number in 0..3 {
        let lane = Assignment { lane: number, lanes: 3, ..lane(&Positions::new()) };
        let mut reader = source.open(&context(), lane).await.unwrap();
        let mut own = 0;
        while let Read::Records(records) = reader.read().await.unwrap() {
            own += records.len();
            texts.extend((0..records.len()).map(|row| records.bytes(row).unwrap().to_vec()));
        }
        assert!(own > 0, "lane {number}");
        reader.close().await;
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 20);
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_say_where_they_are_from() {
    let Some(bucket) = bucket().await else { return };
    bucket.put("in/a.jsonl", "{}\n{\"b\":1}\n").await;
    let read = all(&*source(&bucket, json!({"path": "in/a.jsonl"})), &Positions::new()).await;
    let records = &read.batches[0];
    let said = |name: &str| records.shared.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert_eq!(said("file"), format!("s3://{}/in/a.jsonl", bucket.name));
    assert_eq!((said("bucket"), said("object")), (bucket.name.clone(), "in/a.jsonl".into()));
    assert!(said("modified").starts_with("20") && said("etag").len() == 32, "{:?}", records.shared);
    assert_eq!(records.place(1), format!("s3://{}/in/a.jsonl/3", bucket.name));
    bucket.remove().await;
}
