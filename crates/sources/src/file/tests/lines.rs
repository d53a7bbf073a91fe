//! Which lines records are.
use super::*;
use dataflow_sdk::source::Placed;

#[tokio::test]
async fn a_record_is_found_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let text = "\u{feff}{\"a\":1}\n\n{\"a\":22}\r\n{\"a\":3}";
    fs::write(&path, text).unwrap();
    let lines = async |more: Value, places: &[(u64, &str)]| {
        let placed = places.iter().map(|(offset, bytes)| Placed {
            partition: path.to_str().unwrap().into(),
            position: Position::offset(*offset),
            bytes: bytes.as_bytes().to_vec(),
        });
        source(&path, more).build().lines(&context(), placed.collect()).await
    };
    let at = |record: &str| text.find(record).unwrap() as u64;
    let [one, two, three] = ["{\"a\":1}", "{\"a\":22}", "{\"a\":3}"].map(|record| (at(record), record));
    assert_eq!(lines(json!({}), &[three, one, two, one]).await, [Some(4), Some(1), Some(3), Some(1)]);
    // Whatever else is there by now, or isn't.
    let (elsewhere, beyond) = ((two.0, "{\"a\":99}"), (1_000, "{\"a\":1}"));
    assert_eq!(lines(json!({}), &[elsewhere, one, beyond, (u64::MAX, "x")]).await, [None, Some(1), None, None]);
    assert_eq!(lines(json!({"compression": "gzip"}), &[one]).await, [None]);
    fs::remove_file(&path).unwrap();
    assert_eq!(lines(json!({}), &[one]).await, [None]);
}
