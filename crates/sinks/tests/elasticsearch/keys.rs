//! Ids, deletes and names of indices.
use crate::target::{Target, ask, on_each, output, write, write_as};
use arrow::array::{ArrayRef, StringArray};
use dataflow_core::position::Position;
use dataflow_sdk::{
    Records,
    batch::{Operation, Operations},
};
use dataflow_testkit::fixture::{context, fence, token};
use serde_json::{Value, json};
use std::sync::Arc;

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from_iter(values.iter().copied()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_any_text_of_up_to_512_bytes() {
    on_each(|url| async move {
        let target = Target::new(url, json!({"id": "x"}));
        let (long, longer) = ("ä".repeat(256), "x".repeat(513));
        let ids = [
            Some("a"),
            Some(""),
            None,
            Some(&long),
            Some(&longer),
            Some("/ ? # \" \\ ä \n \u{1}"),
            Some("_x"),
            Some("a"),
        ];
        let rows: Vec<_> = (0..ids.len()).map(|_| (None, Some(r#"{"n":1}"#))).collect();
        let mut output = output(&rows);
        output.side = vec![texts(&ids)];
        let mut writer = target.open().await.unwrap().writer;
        let (_, refused) = write(&mut *writer, output, 1).await.unwrap();
        assert_eq!(refused.keys().copied().collect::<Vec<_>>(), [1, 2, 4], "{refused:?}");
        assert!(refused.values().all(|cause| cause.starts_with("id: ")), "{refused:?}");
        let mut expected: Vec<&str> = [0, 3, 5, 6].iter().map(|row| ids[*row].unwrap()).collect();
        expected.sort_unstable();
        let there = target.documents().await;
        assert_eq!(there.iter().map(|doc| doc.id.as_str()).collect::<Vec<_>>(), expected, "{url}");
    })
    .await;
}

/// After a rotation another line is where it was: one document would silently take the other's place.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_an_id_only_in_a_log() {
    on_each(|url| async move {
        let target = Target::new(url, json!({}));
        let rows = [(Some("a"), Some(r#"{"n":1}"#)), (None, Some(r#"{"n":2}"#))];
        let mut writer = target.open().await.unwrap().writer;
        let (_, refused) = write(&mut *writer, output(&rows), 1).await.unwrap();
        assert!(refused[&1].contains("set `id`"), "{refused:?}");
        let mut logged = output(&rows);
        logged.records = logged.records.map(|records| Arc::new(Records { keyless: true, ..(*records).clone() }));
        let (_, refused) = write(&mut *writer, logged, 2).await.unwrap();
        assert!(refused.is_empty(), "{refused:?}");
        assert_eq!(target.documents().await.len(), 2);
    })
    .await;
}

/// Without an id of its own, one row would silently take the other's place.
#[tokio::test(flavor = "multi_thread")]
async fn several_rows_of_a_record_need_ids() {
    on_each(|url| async move {
        let target = Target::new(url, json!({}));
        let mut several = output(&[
            (Some("a"), Some(r#"{"n":1}"#)),
            (Some("b"), Some(r#"{"n":2}"#)),
            (Some("c"), Some(r#"{"n":3}"#)),
        ]);
        several.rows = vec![0, 0, 2];
        let mut writer = target.open().await.unwrap().writer;
        let (_, refused) = write(&mut *writer, several, 1).await.unwrap();
        assert!(refused[&0].contains("set `id`"), "{refused:?}");
        assert_eq!(target.documents().await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_are_by_tombstone_or_by_op() {
    on_each(|url| async move {
        let target = Target::new(url, json!({}));
        let mut writer = target.open().await.unwrap().writer;
        let one = Some(r#"{"n":1}"#);
        let rows = [(Some("a"), one), (Some("b"), one), (Some("c"), one), (Some("a"), None), (Some("never"), None)];
        let (committed, refused) = write(&mut *writer, output(&rows), 1).await.unwrap();
        assert_eq!((committed.rows_written, refused.len()), (5, 0));
        // The last row of a key within a commit holds, whichever it is.
        let rows = [(Some("b"), None), (Some("b"), one), (Some("c"), one), (Some("c"), None)];
        write(&mut *writer, output(&rows), 2).await.unwrap();
        let there = target.documents().await;
        assert_eq!(there.iter().map(|doc| doc.id.as_str()).collect::<Vec<_>>(), ["b"], "{url}");
        // Older than the delete: it stays deleted.
        let late = token(&fence("p", 1), 1);
        write_as(&mut *writer, output(&[(Some("c"), one)]), &late).await.unwrap();
        assert_eq!(target.documents().await.len(), 1, "{url}");

        let by_op = Target::new(url, json!({"op": "op"}));
        let mut writer = by_op.open().await.unwrap().writer;
        let deletes = [false, false, false, true, true, false];
        let rows: Vec<_> = ["a", "b", "c", "a", "b", "f"].iter().map(|key| (Some(*key), one)).collect();
        let mut output = output(&rows);
        let operation = |deletes| if deletes { Operation::Delete } else { Operation::Upsert };
        output.operations = Operations::Each(deletes.map(operation).to_vec());
        let (_, refused) = write(&mut *writer, output, 1).await.unwrap();
        assert!(refused.is_empty(), "{refused:?}");
        let there = by_op.documents().await;
        assert_eq!(there.iter().map(|doc| doc.id.as_str()).collect::<Vec<_>>(), ["c", "f"], "{url}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_goes_to_the_index_of_its_date() {
    on_each(|url| async move {
        let base = Target::new(url, json!({}));
        let mapping = json!({"mappings": {"properties": {"n": {"type": "keyword"}}}});
        let target = Target::new(url, json!({"index": format!("{}-{{day}}", base.index), "createIndex": mapping}));
        let mut writer = target.open().await.unwrap().writer;
        let days = [Some("2026.01.01"), Some("2026.01.02"), None, Some("UPPER"), Some("2026.01.01")];
        let rows: Vec<_> = ["a", "a", "c", "d", "a"].iter().map(|key| (Some(*key), Some(r#"{"n":1}"#))).collect();
        let mut said = output(&rows);
        said.side = vec![texts(&days)];
        let (_, refused) = write(&mut *writer, said.clone(), 1).await.unwrap();
        assert_eq!(refused.keys().copied().collect::<Vec<_>>(), [2, 3], "{refused:?}");
        assert!(refused[&2].starts_with("index: "), "{refused:?}");
        for (day, id) in [("2026.01.01", "a"), ("2026.01.02", "a")] {
            let index = format!("{url}/{}-{day}", base.index);
            let found = ask("GET", &format!("{index}/_doc/{id}"), Value::Null).await;
            assert_eq!(found["_source"], json!({"n": 1}), "{found}");
            let mapping = ask("GET", &format!("{index}/_mapping"), Value::Null).await;
            assert!(mapping.to_string().contains(r#""n":{"type":"keyword"}"#), "{mapping}");
        }
        let mut auditor = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap().auditor;
        auditor.expect(&said.retain(|row| row < 2)).await.unwrap();
        let found = auditor.finish().await.unwrap();
        assert_eq!([found.expected, found.found, found.lost.count, found.unexpected.count], [2, 2, 0, 0], "{found:?}");
        let templates = ask("GET", &format!("{url}/_index_template/dataflow-*"), Value::Null).await;
        assert!(
            !templates.to_string().contains(&base.index),
            "{url}: nothing of it stays with the server: {templates}"
        );
    })
    .await;
}

/// A topic made anew begins at 0 again, and another partition has its own offsets.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_commit_holds_whatever_its_offsets() {
    on_each(|url| async move {
        let target = Target::new(url, json!({}));
        let mut writer = target.open().await.unwrap().writer;
        for (sequence, (partition, offset)) in [("p/0", 900), ("p/1", 3), ("p/0", 0)].into_iter().enumerate() {
            let sent = format!(r#"{{"n":{sequence}}}"#);
            let mut rows = output(&[(Some("a"), Some(&sent))]);
            rows.records = rows.records.map(|records| {
                let (from, to) = (Position::offset(offset), Position::offset(offset + 1));
                Arc::new(Records { partition: partition.into(), from, to, ..(*records).clone() })
            });
            write(&mut *writer, rows, 1 + sequence as u64).await.unwrap();
            assert_eq!(target.documents().await[0].source, sent, "{url}");
        }
    })
    .await;
}
