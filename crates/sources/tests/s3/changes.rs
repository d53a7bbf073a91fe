//! Objects that are overwritten or deleted, before and after they were read.
use super::*;
use std::time::Duration;

/// A run that has read three of ten records of an object, and where it is.
async fn begun(bucket: &Bucket, more: Value) -> (Box<dyn Source>, Positions) {
    bucket.put("in/a.jsonl", lines("a", 10)).await;
    bucket.put("in/b.jsonl", lines("b", 2)).await;
    let source = source(bucket, more);
    let read = run(&*source, &small(3), &Positions::new(), 1).await.unwrap();
    assert_eq!(read.texts(), &expected("a", 10)[..3]);
    (source, read.positions)
}

fn path(on_lost: &str) -> Value {
    json!({"path": "in/", "onPositionLost": on_lost})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_overwritten_before_its_end_is_told() {
    let Some(bucket) = bucket().await else { return };
    let (source, at) = begun(&bucket, path("fail")).await;
    bucket.put("in/a.jsonl", lines("new", 4)).await;
    let error = run(&*source, &context(), &at, usize::MAX).await.unwrap_err();
    let Error::PositionLost { partition: lost, wanted, earliest, reason, .. } = error else { panic!("{error:?}") };
    assert_eq!((&lost, &wanted), (&partition(&bucket, "in/a.jsonl"), &at[&lost]));
    assert_eq!(&*earliest.at, "0");
    assert!(reason.contains("overwritten") && reason.contains("bytes were not read"), "{reason}");
    for (choice, records) in [("earliest", ["new", "new", "new", "new", "b", "b"].as_slice()), ("latest", &["b", "b"])]
    {
        let source = config(&bucket, path(choice)).build();
        let read = run(&*source, &context(), &at, usize::MAX).await.unwrap();
        let of = |text: &String| serde_json::from_str::<Value>(text).unwrap()["object"].as_str().unwrap().to_owned();
        assert_eq!(read.texts().iter().map(of).collect::<Vec<_>>(), records, "{choice}");
        let left = lines("a", 10).len() - lines("a", 3).len();
        assert_eq!(read.lost().iter().map(|(bytes, _)| *bytes).collect::<Vec<_>>(), [left as u64]);
        assert!(all(&*source, &read.positions).await.batches.is_empty());
    }
    bucket.remove().await;
}

/// The reader has the object open, and holds some of it.
#[tokio::test(flavor = "multi_thread")]
async fn contents_are_never_mixed() {
    let Some(bucket) = bucket().await else { return };
    // Three blocks: the second is there when the first is read.
    bucket.put("a.jsonl", lines("old", 500_000)).await;
    let source = source(&bucket, nothing());
    let mut reader = source.open(&context(), lane(&Positions::new())).await.unwrap();
    let Read::Records(first) = reader.read().await.unwrap() else { panic!("nothing came") };
    bucket.put("a.jsonl", lines("new", 500_000)).await;
    let mut read = first.len();
    let error = loop {
        match reader.read().await {
            Ok(Read::Records(records)) => {
                assert!((0..records.len()).all(|row| records.bytes(row).unwrap().starts_with(b"{\"object\":\"old\"")));
                read += records.len();
            }
            Ok(Read::End) => panic!("{read} records were all"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::PositionLost { .. }), "{error:?}");
    assert!(read < 500_000);
    reader.close().await;
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_before_its_end_is_told() {
    let Some(bucket) = bucket().await else { return };
    let (source, at) = begun(&bucket, path("fail")).await;
    bucket.delete("in/a.jsonl").await;
    let error = run(&*source, &context(), &at, usize::MAX).await.unwrap_err();
    let Error::PositionLost { reason, latest, partition: lost, .. } = error else { panic!("{error:?}") };
    assert!(reason.contains("deleted"), "{reason}");
    assert_eq!(latest.at, at[&lost].at);
    let earliest = config(&bucket, path("earliest")).build();
    let read = run(&*earliest, &context(), &at, usize::MAX).await.unwrap();
    assert_eq!(read.texts(), expected("b", 2));
    let left = lines("a", 10).len() - lines("a", 3).len();
    assert_eq!(read.lost()[0].0, left as u64);
    assert!(all(&*earliest, &read.positions).await.batches.is_empty(), "it is said once");
    // It comes back as it was: nothing of it is read twice, nor what was given up.
    bucket.put("in/a.jsonl", lines("a", 10)).await;
    assert!(all(&*earliest, &read.positions).await.batches.is_empty());
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_overwritten_after_its_end_is_another_one() {
    let Some(bucket) = bucket().await else { return };
    bucket.put("a.jsonl", lines("one", 5)).await;
    let source = source(&bucket, nothing());
    let read = all(&*source, &Positions::new()).await;
    bucket.put("a.jsonl", lines("one", 5)).await;
    assert!(all(&*source, &read.positions).await.batches.is_empty(), "the same content is the same object");
    bucket.put("a.jsonl", lines("two", 3)).await;
    assert_eq!(source.lag(&context(), &read.positions).await.unwrap(), Some(lines("two", 3).len() as u64));
    let again = all(&*source, &read.positions).await;
    assert_eq!((again.texts(), again.codes()), (expected("two", 3), vec!["object-overwritten"]));
    assert!(again.lost().is_empty());
    bucket.delete("a.jsonl").await;
    assert!(all(&*source, &again.positions).await.batches.is_empty(), "what was read may go");
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_objects_are_followed() {
    let Some(bucket) = bucket().await else { return };
    let source = source(&bucket, json!({"path": "in/", "follow": true, "pollInterval": "20ms"}));
    let mut reader = source.open(&context(), lane(&Positions::new())).await.unwrap();
    // Nobody waits for ever, nor is that an error.
    assert!(tokio::time::timeout(Duration::from_millis(200), reader.read()).await.is_err());
    for key in ["in/b.jsonl", "in/a.jsonl", "in/c.jsonl"] {
        bucket.put(key, lines(key, 2)).await;
        let Read::Records(records) = reader.read().await.unwrap() else { panic!("it ended") };
        assert_eq!((records.partition.clone(), records.len()), (partition(&bucket, key), 2));
    }
    assert_eq!(reader.lag(), Some(0));
    reader.close().await;
    bucket.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_that_a_user_names_are_tried() {
    let Some(bucket) = bucket().await else { return };
    bucket.put("a.jsonl", "{\"n\":1}\n{\"n\":2}\n").await;
    let source = source(&bucket, nothing());
    let name = partition(&bucket, "a.jsonl").to_string();
    let place = async |at: &str| {
        let named = [(name.clone(), at.to_owned())].into();
        source.place(&context(), &Positions::new(), &named).await.unwrap()
    };
    for (at, left) in [("0", 2), ("8", 1), ("16", 0)] {
        let placed = place(at).await.unwrap();
        assert_eq!(all(&*source, &placed).await.texts().len(), left, "{at}");
    }
    for at in ["3", "17", "x", "-1"] {
        assert_eq!(place(at).await.unwrap_err()[0].code, "bad-position", "{at}");
    }
    let other = [(partition(&bucket, "b").to_string(), "0".to_owned())].into();
    let problems = source.place(&context(), &Positions::new(), &other).await.unwrap().unwrap_err();
    assert_eq!(problems[0].code, "unknown-partition");
    bucket.remove().await;
}

/// A place before the first record is one, too: what was found and is gone is told.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_before_its_first_record_is_told() {
    let Some(bucket) = bucket().await else { return };
    for key in ["a.jsonl", "b.jsonl"] {
        bucket.put(key, lines(key, 2)).await;
    }
    let source = source(&bucket, nothing());
    let at = source.resolve(&context(), &dataflow_sdk::source::Edge::Beginning).await.unwrap();
    let end = source.resolve(&context(), &dataflow_sdk::source::Edge::End).await.unwrap();
    assert_eq!(all(&*source, &at).await.texts().len(), 4);
    assert!(all(&*source, &end).await.batches.is_empty());
    bucket.delete("a.jsonl").await;
    let error = run(&*source, &context(), &at, usize::MAX).await.unwrap_err();
    assert!(error.to_string().contains("a.jsonl") && error.code() == "position-lost", "{error}");
    let read = all(&*config(&bucket, json!({"onPositionLost": "latest"})).build(), &at).await;
    assert_eq!(read.texts(), expected("b.jsonl", 2));
    assert_eq!(read.lost()[0].0, lines("a.jsonl", 2).len() as u64);
    // Who reads again what a run has read knows it by its end.
    let mut cx = context();
    cx.again = true;
    let begin = |at: &Position| Position { at: "0".into(), ..at.clone() };
    let again: Positions = read.positions.iter().map(|(name, at)| (name.clone(), begin(at))).collect();
    assert_eq!(run(&*source, &cx, &again, usize::MAX).await.unwrap().texts(), expected("b.jsonl", 2));
    bucket.put("b.jsonl", "{}").await;
    assert_eq!(run(&*source, &cx, &again, usize::MAX).await.unwrap_err().code(), "position-lost");
    bucket.remove().await;
}
