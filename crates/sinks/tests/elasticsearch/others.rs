//! Other writers of the same documents, and servers that refuse whatever they are sent.
use crate::target::{Target, ask, on_each, output, write, write_as};
use arrow::array::StringArray;
use dataflow_sdk::{
    Error,
    sink::{OpenLane, Reserved},
};
use dataflow_testkit::fixture::{fence, open_lane, token};
use dataflow_testkit::own::gate::{self, Rules};
use serde_json::{Value, json};
use std::sync::Arc;

const ONE: Option<&str> = Some(r#"{"n":1}"#);
const TWO: Option<&str> = Some(r#"{"n":2}"#);

/// Versions of two commits are far enough apart that `_update`, which adds one, leads from none to the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_raised_is_not_taken_for_written() {
    on_each(|url| async move {
        let target = Target::new(url, json!({}));
        let first = token(&fence("p", 1), 1).version;
        let reserved = Reserved::up_to(first + 1);
        let lane = || OpenLane { reserved: reserved.clone(), ..open_lane(&fence("p", 1)) };
        let mut slow = target.open_as(lane()).await.unwrap().writer;
        let mut fast = target.open_as(lane()).await.unwrap().writer;
        let update = async |id: &str| {
            for value in 0..5 {
                ask("POST", &target.at(&format!("/_update/{id}")), json!({"doc": {"theirs": value}})).await;
            }
        };
        // Written by a lane, changed by somebody, written by another lane, to which a later commit was given.
        write(&mut *slow, output(&[(Some("a"), ONE), (Some("b"), ONE)]), 1).await.unwrap();
        update("a").await;
        write(&mut *fast, output(&[(Some("a"), TWO), (Some("b"), TWO)]), 2).await.unwrap();
        assert_eq!(target.documents().await[0].source, r#"{"n":2}"#, "{url}");
        // An earlier commit, late: what has refused it is a later record, whoever has changed that since.
        update("b").await;
        let before = target.documents().await;
        write(&mut *slow, output(&[(Some("a"), ONE), (Some("b"), ONE)]), 1).await.unwrap();
        assert_eq!(target.documents().await, before, "{url}");

        // A version that no commit of this run was given, though the journal has reserved it.
        reserved.raise(first + 1_000);
        let version = (first + 500) * 1_024;
        ask("PUT", &target.at(&format!("/_doc/a?version={version}&version_type=external")), json!({"n": 3})).await;
        let error = write(&mut *fast, output(&[(Some("a"), TWO)]), 3).await.unwrap_err();
        assert!(matches!(&error, Error::Fenced(message) if message.contains(&version.to_string())), "{url}: {error:?}");
        // The lane is opened again, with versions after all that are reserved.
        let mut next = target.open_as(open_lane(&fence("p", 2))).await.unwrap().writer;
        write_as(&mut *next, output(&[(Some("a"), TWO)]), &token(&fence("p", 2), 2)).await.unwrap();
        assert_eq!(target.documents().await[0].source, r#"{"n":2}"#, "{url}");
        // Above all that are reserved: opening it again, and writing over it, is not for the pipeline to decide.
        ask("PUT", &target.at("/_doc/c?version=900000000000&version_type=external"), json!({"n": 3})).await;
        let error = write_as(&mut *next, output(&[(Some("c"), ONE)]), &token(&fence("p", 2), 3)).await.unwrap_err();
        assert!(
            matches!(&error, Error::Fatal { code: "fenced", fix: Some(_), retryable: false, .. }),
            "{url}: {error:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_refused_as_such_make_no_dead_letters() {
    let refusal = r#"{"error":{"type":"illegal_argument_exception","reason":"not today"},"status":400}"#;
    on_each(|url| async move {
        let behind = async |part| {
            let rules = Rules { spoilt: Some((part, refusal)), ..Rules::default() };
            Target::new(url, json!({"url": gate::open(url, Arc::new(rules)).await}))
        };
        let all = behind("").await;
        let mut writer = all.open().await.unwrap().writer;
        let rows = output(&[(Some("a"), ONE), (Some("b"), ONE), (Some("c"), ONE)]);
        let error = write(&mut *writer, rows, 1).await.unwrap_err();
        assert!(error.code() == "index-refused" && error.to_string().contains("not today"), "{url}: {error}");
        // Also where each commit has but one.
        let mut writer = all.open().await.unwrap().writer;
        let (_, refused) = write(&mut *writer, output(&[(Some("a"), ONE)]), 1).await.unwrap();
        assert_eq!(refused.len(), 1, "{url}: it may be this document");
        let error = write(&mut *writer, output(&[(Some("b"), ONE)]), 2).await.unwrap_err();
        assert_eq!(error.code(), "index-refused", "{url}: {error}");
        // One that spoils them is found.
        let one = behind(r#""n":2"#).await;
        let refused = one.write(vec![(Some("a"), ONE), (Some("b"), TWO), (Some("c"), ONE), (Some("d"), TWO)]).await;
        assert_eq!(refused.keys().copied().collect::<Vec<_>>(), [1, 3], "{url}: {refused:?}");
        assert_eq!(one.documents().await.len(), 2, "{url}");
        let said =
            r#"{"error":{"type":"illegal_argument_exception","reason":"explicit index in bulk is not allowed"}}"#;
        let rules = Rules { spoilt: Some(("", said)), ..Rules::default() };
        let target = Target::new(url, json!({"url": gate::open(url, Arc::new(rules)).await}));
        let mut writer = target.open().await.unwrap().writer;
        let error = write(&mut *writer, output(&[(Some("a"), ONE)]), 1).await.unwrap_err();
        assert_eq!(error.code(), "index-refused", "{url}: {error}");
    })
    .await;
}

/// To the server these would be calculations with dates, many indices, or none that can be written to.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_name_no_index_are_dead_letters() {
    on_each(|url| async move {
        let (there, other, alias) =
            (Target::new(url, json!({})), Target::new(url, json!({})), Target::new(url, json!({})));
        for index in [&there, &other] {
            ask("PUT", &index.at(""), json!({"aliases": {alias.index.as_str(): {}}})).await;
        }
        let target = Target::new(url, json!({"index": "{index}"}));
        let dates = format!("<{}-{{now/d}}>", there.index);
        let all = format!("{}*", there.index);
        let names = [dates.as_str(), &all, &alias.index, &there.index, "_all", "a,b", "a/b"];
        let keys: Vec<String> = (0..names.len()).map(|key| key.to_string()).collect();
        let rows: Vec<_> = keys.iter().map(|key| (Some(key.as_str()), ONE)).collect();
        let mut rows = output(&rows);
        rows.side = vec![Arc::new(StringArray::from_iter_values(names))];
        let mut writer = target.open().await.unwrap().writer;
        let (_, refused) = write(&mut *writer, rows, 1).await.unwrap();
        assert_eq!(refused.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6], "{url}: {refused:?}");
        assert!(refused[&2].contains("alias") && refused[&0].starts_with("index: "), "{url}: {refused:?}");
        assert_eq!((there.documents().await.len(), other.documents().await.len()), (1, 0), "{url}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_nothing_refreshes_is_named_where_commits_wait_for_it() {
    on_each(|url| async move {
        let target = Target::new(url, json!({"refresh": true, "requestTimeout": "1s"}));
        ask("PUT", &target.at(""), json!({"settings": {"index.refresh_interval": "-1"}})).await;
        let mut writer = target.open().await.unwrap().writer;
        let error = write(&mut *writer, output(&[(Some("a"), ONE)]), 1).await.unwrap_err();
        let Error::Transient { code: "timed-out", fix: Some(fix), .. } = &error else { panic!("{url}: {error:?}") };
        assert!(fix.contains("index.refresh_interval"), "{url}: {fix}");
        ask("PUT", &target.at("/_settings"), json!({"index.refresh_interval": Value::Null})).await;
    })
    .await;
}
