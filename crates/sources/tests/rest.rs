//! The `rest` source before the APIs of Elasticsearch and OpenSearch, plain and over TLS.
#![allow(clippy::unwrap_used, missing_docs)]
use dataflow_sdk::{
    Error, SourceConfig,
    source::{Assignment, Source},
};
use dataflow_sources::rest::RestSource;
use dataflow_testkit::{
    conformance, fixture,
    own::{Authority, gate},
    servers,
};
use serde_json::{Value, json, value::RawValue};
use std::sync::Arc;

const DOCUMENTS: u64 = 20;

/// An index of documents with what a JSON parser might alter; it goes with the test.
struct Index {
    http: reqwest::Client,
    url: String,
}

impl Index {
    async fn filled(server: &str) -> Self {
        let http =
            reqwest::Client::builder().tls_backend_preconfigured(dataflow_tls::unused()).no_proxy().build().unwrap();
        let index = Self { http, url: format!("{server}/rest-source-{}", std::process::id()) };
        let document = |id: u64| {
            let id = (1 << 53) + 2 * id + 1;
            format!("{{\"index\":{{}}}}\n{{\"id\": {id}, \"price\":1.10,  \"text\":\"\\u00fc ü\"}}\n")
        };
        let bulk = (0..DOCUMENTS).map(document).collect();
        index.post("_bulk?refresh=true", "application/x-ndjson", bulk).await;
        index
    }

    async fn post(&self, path: &str, kind: &str, body: String) -> String {
        let asked = self.http.post(format!("{}/{path}", self.url)).header("content-type", kind).body(body);
        asked.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }

    /// What one search finds, as it is.
    async fn hits(&self) -> Vec<String> {
        #[derive(serde::Deserialize)]
        struct Hits<'a> {
            #[serde(borrow)]
            hits: Vec<&'a RawValue>,
        }
        #[derive(serde::Deserialize)]
        struct Found<'a> {
            #[serde(borrow)]
            hits: Hits<'a>,
        }
        let found = self.post("_search", "application/json", search(1_000).to_string()).await;
        let found: Found<'_> = serde_json::from_str(&found).unwrap();
        found.hits.hits.iter().map(|hit| hit.get().to_owned()).collect()
    }
}

fn search(size: u64) -> Value {
    json!({"size": size, "sort": [{"id": "asc"}], "query": {"range": {"id": {"gte": 0}}}})
}

/// Pages of seven, each after the last document of the one before.
fn source(url: &str, more: &Value) -> Box<dyn Source> {
    let mut config = json!({
        "url": format!("{url}/_search"), "method": "POST", "body": search(7), "records": "/hits/hits",
        "pagination": {"type": "cursor", "parameter": "/search_after", "field": "/sort"},
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: RestSource = serde_json::from_value(config).unwrap();
    assert_eq!(config.check(), Vec::new());
    config.build()
}

async fn failure(source: &dyn Source) -> Error {
    let lane = Assignment {
        lane: 0,
        lanes: 1,
        positions: Default::default(),
        plan: Default::default(),
        passed: Default::default(),
    };
    source.open(&fixture::context("rest"), lane).await.unwrap().read().await.unwrap_err()
}

#[tokio::test]
async fn a_search_is_read_page_by_page() {
    for server in servers::search() {
        let index = Index::filled(server).await;
        let hits = index.hits().await;
        assert_eq!(hits.len() as u64, DOCUMENTS);
        assert!(hits[0].contains("{\"id\": 9007199254740993, \"price\":1.10,  \"text\":\"\\u00fc ü\"}"), "{}", hits[0]);
        conformance::source(&*source(&index.url, &json!({})), &hits).await;

        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str, authority: &Authority| {
            let path = folder.path().join(name);
            std::fs::write(&path, authority.pem()).unwrap();
            json!({"tls": {"ca": path}})
        };
        let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
        let port = gate::secured(server, Arc::default(), &authority.issue(&["localhost"]), None).await;
        let secured = index.url.replace(server, &format!("https://localhost:{port}"));
        conformance::source(&*source(&secured, &written("ours.pem", &authority)), &hits).await;
        let refused = failure(&*source(&secured, &written("theirs.pem", &other))).await;
        assert_eq!(refused.code(), "certificate-unknown", "{refused}");

        // A search that the server refuses, in its own words.
        let wrong = source(&index.url, &json!({"body": {"size": 7, "sort": [{"nothing": "asc"}]}}));
        let refused = failure(&*wrong).await;
        assert!(refused.code() == "request-refused" && refused.to_string().contains("nothing"), "{refused}");
        index.http.delete(&index.url).send().await.unwrap();
    }
}
