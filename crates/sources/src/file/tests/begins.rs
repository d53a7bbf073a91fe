//! Positions that users name: places where a record begins, and no others.
use super::*;
use std::collections::BTreeMap;

/// Whether each place of a file may be named, as far as reading it tells.
async fn places(source: &FileSource, path: &Path, before: &Positions, at: std::ops::Range<usize>) -> Vec<usize> {
    let source = source.clone().build();
    let mut placed = Vec::new();
    for at in at {
        let named = BTreeMap::from([(path.to_str().unwrap().to_owned(), at.to_string())]);
        let answer = source.place(&context(), before, &named).await.unwrap();
        if let Err(problems) = &answer {
            assert_eq!(problems[0].code, "bad-position");
            assert!(problems[0].to_string().contains("in the middle of a record"), "{problems:?}");
        }
        placed.extend(answer.is_ok().then_some(at));
    }
    placed
}

#[tokio::test]
async fn a_position_is_where_a_record_begins() {
    let dir = tempfile::tempdir().unwrap();
    let csv = "id,name\n1,\"a\n2,b\"\n\n3,5\" c\n4,\"say \"\"hi\"\"\n\"\n";
    let json = "{\"a\":1}\n{}\n\n{\"a\":2}\n";
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    for (name, bytes, text, begins) in [
        ("a.csv", csv.as_bytes().to_vec(), csv, vec![0, 8, 18, 19, 26, 42]),
        ("a.csv.gz", gzip(csv), csv, vec![0, 8, 18, 19, 26, 42]),
        ("a.jsonl", json.as_bytes().to_vec(), json, vec![0, 8, 11, 12, 20]),
        ("a.jsonl.gz", gzip(json), json, vec![0, 8, 11, 12, 20]),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let source = source(&path, json!({}));
        let found = places(&source, &path, &Positions::new(), 0..text.len() + 1).await;
        assert_eq!(found, begins, "{name}");
    }
}

/// What is far from the beginning is told from the place that was reached, and not at all without one.
#[tokio::test]
async fn a_position_far_from_any_that_is_known_is_not_taken_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let mut text = "id,name\n".to_owned();
    (0..6_000).for_each(|row| text.push_str(&format!("{row:06},\"a\nb\"\n")));
    fs::write(&path, &text).unwrap();
    let source = source(&path, json!({"follow": true}));
    let known = text.len() - 13 * 100;
    let partition = path.to_str().unwrap().to_owned();
    let far = BTreeMap::from([(partition.clone(), known.to_string())]);
    let refused = source.clone().build().place(&context(), &Positions::new(), &far).await.unwrap_err();
    assert!(refused.to_string().contains("would have to be read"), "{refused}");
    let mut before = Positions::new();
    let mut cx = context();
    cx.batch.max_records = 100;
    let mut reader = source.clone().build().open(&cx, lane(&before)).await.unwrap();
    while before.values().next().and_then(Position::as_offset).unwrap_or(0) < known as u64 - 13_000 {
        let Read::Records(records) = reader.read().await.unwrap() else { panic!("no records") };
        before.insert(records.partition.clone(), records.to.clone());
    }
    assert_eq!(places(&source, &path, &before, known..known + 26).await, [known, known + 13]);
}
