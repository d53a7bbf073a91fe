//! Indices that somebody deletes, makes anew or points elsewhere while a run writes to them: the server makes one that is
//! missing, so that it would not be noticed.
use crate::target::{Target, ask, on_each, output, write};
use arrow::array::StringArray;
use dataflow_core::pipeline::event::LaneProgress;
use dataflow_sdk::{
    Error,
    batch::Output,
    sink::{OpenLane, Writer},
};
use dataflow_testkit::{
    fixture::{context, fence, open_lane, token},
    servers,
};
use serde_json::{Value, json};
use std::sync::Arc;

const ONE: Option<&str> = Some(r#"{"n":1}"#);

fn rows_to(names: &[&str]) -> Output {
    let keys: Vec<String> = (0..names.len()).map(|key| key.to_string()).collect();
    let rows: Vec<_> = keys.iter().map(|key| (Some(key.as_str()), ONE)).collect();
    let mut rows = output(&rows);
    rows.side = vec![Arc::new(StringArray::from_iter_values(names))];
    rows
}

fn warned(writer: &mut dyn Writer) -> Vec<(&'static str, String)> {
    writer.warnings().into_iter().map(|warning| (warning.code, warning.subject)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_deleted_under_a_run_ends_it() {
    on_each(|url| async move {
        for (more, made_by) in [(json!({}), "the server"), (json!({"createIndex": {}}), "somebody")] {
            let target = Target::new(url, more);
            let opened = target.open().await.unwrap();
            let (mut writer, handle) = (opened.writer, opened.handle.unwrap());
            write(&mut *writer, output(&[(Some("a"), ONE)]), 1).await.unwrap();
            ask("DELETE", &target.at(""), Value::Null).await;
            if made_by == "somebody" {
                ask("PUT", &target.at(""), json!({"settings": {"number_of_shards": 3}})).await;
            }
            let error = write(&mut *writer, output(&[(Some("b"), ONE)]), 2).await.unwrap_err();
            assert!(matches!(error, Error::Contradicts { code: "index-replaced", .. }), "{url} {made_by}: {error:?}");
            // The journal has what was written before; the next opening says the same, until a user has decided.
            let counters = token(&fence("p", 1), 1).with_rows(1).counters;
            let progress =
                LaneProgress { sequence: 1, counters, handle: Some(handle.clone()), ..LaneProgress::default() };
            let again = OpenLane { first: false, journalled: Some(progress), ..open_lane(&fence("p", 2)) };
            let error = target.open_as(again).await.unwrap_err();
            assert!(matches!(error, Error::Contradicts { code: "index-replaced", .. }), "{url}: {error:?}");
            let missing = async || target.sink().missing(&context("p"), &handle, 7).await.unwrap();
            assert_eq!(missing().await, None, "{url}: it may have been restored");
            ask("DELETE", &target.at(""), Value::Null).await;
            assert_eq!(missing().await, Some(7), "{url}: what was written is gone");
        }
        let target = Target::new(url, json!({}));
        let handle = target.open().await.unwrap().handle.unwrap();
        assert_eq!(target.sink().missing(&context("p"), &handle, 7).await.unwrap(), Some(0), "{url}");
    })
    .await;
}

/// A retention deletes indices of past days, so a late record is no reason to stop; what happened is said.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_a_record_that_is_deleted_under_a_run_is_told_of() {
    on_each(|url| async move {
        let (one, two) = (Target::new(url, json!({})), Target::new(url, json!({})));
        let target = Target::new(url, json!({"index": "{index}"}));
        let mut writer = target.open().await.unwrap().writer;
        write(&mut *writer, rows_to(&[&one.index, &two.index]), 1).await.unwrap();
        assert_eq!(warned(&mut *writer), [], "{url}");
        ask("DELETE", &two.at(""), Value::Null).await;
        write(&mut *writer, rows_to(&[&one.index, &two.index]), 2).await.unwrap();
        assert_eq!(warned(&mut *writer), [("index-replaced", two.index.clone())], "{url}");
        write(&mut *writer, rows_to(&[&two.index]), 3).await.unwrap();
        assert_eq!(warned(&mut *writer), [], "{url}: once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_is_pointed_elsewhere_under_a_run_is_told_of() {
    on_each(|url| async move {
        let (old, new, alias) = (Target::new(url, json!({})), Target::new(url, json!({})), Target::new(url, json!({})));
        for index in [&old, &new] {
            ask("PUT", &index.at(""), json!({})).await;
        }
        let point = |verb: &str, to: &Target| json!({verb: {"index": to.index, "alias": alias.index}});
        ask("POST", &format!("{url}/_aliases"), json!({"actions": [point("add", &old)]})).await;
        let mut writer = alias.open().await.unwrap().writer;
        write(&mut *writer, output(&[(Some("a"), ONE)]), 1).await.unwrap();
        assert_eq!(warned(&mut *writer), [], "{url}");
        let moved = json!({"actions": [point("remove", &old), point("add", &new)]});
        ask("POST", &format!("{url}/_aliases"), moved).await;
        write(&mut *writer, output(&[(Some("b"), ONE)]), 2).await.unwrap();
        assert_eq!(warned(&mut *writer), [("index-replaced", alias.index.clone())], "{url}");
        assert_eq!((old.documents().await.len(), new.documents().await.len()), (1, 1), "{url}");
    })
    .await;
}

/// As much is said of an index that a record names as of one that the spec names.
#[tokio::test(flavor = "multi_thread")]
async fn indices_that_records_name_are_looked_at() {
    on_each(|url| async move {
        let (lax, altered) = (Target::new(url, json!({})), Target::new(url, json!({})));
        ask("PUT", &lax.at(""), json!({"settings": {"index.translog.durability": "async"}})).await;
        let target = Target::new(url, json!({"index": "{index}"}));
        let mut writer = target.open().await.unwrap().writer;
        write(&mut *writer, rows_to(&[&lax.index]), 1).await.unwrap();
        assert_eq!(warned(&mut *writer), [("not-durable", lax.index.clone())], "{url}");
        // The OpenSearch of the tests has no node that runs ingest pipelines.
        if url != servers::ELASTICSEARCH {
            return;
        }
        let pipeline = format!("{url}/_ingest/pipeline/{}", altered.index);
        ask("PUT", &pipeline, json!({"processors": []})).await;
        ask("PUT", &altered.at(""), json!({"settings": {"index.final_pipeline": altered.index}})).await;
        write(&mut *writer, rows_to(&[&lax.index, &altered.index]), 2).await.unwrap();
        assert_eq!(warned(&mut *writer), [("may-be-altered", altered.index.clone())], "{url}");
        ask("PUT", &altered.at("/_settings"), json!({"index.final_pipeline": "_none"})).await;
        ask("DELETE", &pipeline, Value::Null).await;
    })
    .await;
}

/// Two pipelines may write to indices whose names overlap, and each makes them as it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_two_pipelines_may_overlap() {
    on_each(|url| async move {
        let base = Target::new(url, json!({}));
        let mapping = |ty: &str| json!({"mappings": {"properties": {"n": {"type": ty}}}});
        for (pattern, day, ty) in [("{day}", "1", "keyword"), ("2{day}", "2", "long"), ("{day}%", "3", "double")] {
            let index = format!("{}-{pattern}", base.index);
            let target = Target::new(url, json!({"index": index, "createIndex": mapping(ty)}));
            let mut writer = target.open().await.unwrap().writer;
            write(&mut *writer, rows_to(&[day]), 1).await.unwrap();
            let name = index.replace("{day}", day).replace('%', "%25");
            let found = ask("GET", &format!("{url}/{name}/_mapping"), Value::Null).await;
            assert!(found.to_string().contains(ty), "{url} {name}: {found}");
        }
    })
    .await;
}
