//! What can't be read is said so, and is not lost.
use crate::target::{Target, ask, on_each, output};
use dataflow_sdk::{Error, audit::Findings};
use dataflow_testkit::fixture::context;
use dataflow_testkit::own::gate::{self, Rules};
use serde_json::{Value, json};
use std::sync::Arc;

const ONE: Option<&str> = Some(r#"{"n":1}"#);

async fn audit(target: &Target, rows: &[(Option<&str>, Option<&str>)]) -> Result<Findings, Error> {
    let mut auditor = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap().auditor;
    auditor.expect(&output(rows)).await.unwrap();
    auditor.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_closed_or_keeps_no_documents_is_not_lost() {
    on_each(|url| async move {
        let rows = [(Some("a"), ONE)];
        let target = Target::new(url, json!({}));
        target.write(rows.to_vec()).await;
        ask("POST", &target.at("/_close"), Value::Null).await;
        let error = audit(&target, &rows).await.expect_err(url);
        assert!(error.to_string().contains("closed"), "{url}: {error}");
        ask("POST", &target.at("/_open"), Value::Null).await;

        for source in [json!({"enabled": false}), json!({"excludes": ["n"]})] {
            let target = Target::new(url, json!({"createIndex": {"mappings": {"_source": source}}}));
            target.write(rows.to_vec()).await;
            let error = audit(&target, &rows).await.expect_err(url);
            assert!(error.code() == "unsupported" && error.to_string().contains("_source"), "{url}: {error}");
        }
        let gone = Target::new(url, json!({}));
        assert_eq!(audit(&gone, &rows).await.unwrap().lost.count, 1, "{url}: it is gone with its index");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_too_much_become_smaller() {
    on_each(|url| async move {
        let rules = Rules { page: Some((70, 2.into())), ..Rules::default() };
        let target = Target::new(url, json!({"url": gate::open(url, Arc::new(rules)).await}));
        let ids: Vec<String> = (0..300).map(|id| format!("{id:03}")).collect();
        let rows: Vec<_> = ids.iter().map(|id| (Some(id.as_str()), ONE)).collect();
        target.write(rows.clone()).await;
        let found = audit(&target, &rows[1..]).await.unwrap();
        let counts = [found.expected, found.found, found.lost.count, found.altered.count, found.unexpected.count];
        assert_eq!(counts, [299, 300, 0, 0, 1], "{url}");
    })
    .await;
}
