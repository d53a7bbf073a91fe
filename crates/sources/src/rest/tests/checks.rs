//! What is wrong with settings, all at once.
use super::*;
use dataflow_core::spec::Component;
use dataflow_sdk::catalog::{Catalog, Connections, Role};

fn findings(config: Value) -> Vec<String> {
    let component: Component = serde_json::from_value(config).unwrap();
    let catalog = Catalog::new().source::<RestSource>();
    let problems = catalog.check_component(Role::Source, &component, &Connections::default(), "source");
    problems.iter().map(|problem| format!("{} {}", problem.path, problem.code)).collect()
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let wrong = json!({
        "type": "rest", "url": "https://me:pw@example.com/", "method": "GET", "body": {},
        "headers": {"Cookie": "a", "bad name": "x"}, "query": {"a": [1]}, "records": "$.items",
        "auth": {"type": "apiKey", "name": "a b", "user": "me"},
        "pagination": {"type": "cursor", "parameter": "/after", "more": "more"},
        "follow": true, "incremental": {"parameter": "", "field": "at", "start": true},
        "requestsPerSecond": 0, "requestTimeout": "0s", "maxPageBytes": 5,
    });
    let mut config: RestSource = {
        let mut plain = wrong.clone();
        plain.as_object_mut().unwrap().remove("type");
        serde_json::from_value(plain).unwrap()
    };
    let said: Vec<String> =
        config.check().iter().map(|problem| format!("{}: {}", problem.path, problem.code)).collect();
    assert_eq!(
        said,
        [
            "url: invalid-value",
            "auth.user: not-applicable",
            "auth.key: missing-field",
            "auth.name: invalid-value",
            "headers.Cookie: not-applicable",
            "headers.bad name: invalid-value",
            "query.a: invalid-value",
            "body: not-applicable",
            "records: invalid-value",
            "pagination.parameter: not-applicable",
            "pagination.more: invalid-value",
            "pagination.next: missing-field",
            "pollInterval: missing-field",
            "follow: contradiction",
            "incremental.parameter: invalid-value",
            "incremental.field: invalid-value",
            "incremental.start: invalid-value",
            "requestsPerSecond: out-of-range",
            "requestTimeout: out-of-range",
            "maxPageBytes: out-of-range",
        ]
    );
    assert!(config.check().iter().all(|problem| !problem.to_string().contains("pw")));
    config.pagination = serde_json::from_value(json!({"type": "page"})).unwrap();
    assert!(config.check().iter().any(|problem| problem.path == "follow"));
}

#[test]
fn secrets_are_references_in_their_places_only() {
    let url = "https://example.com/";
    for (config, expected) in [
        (
            json!({"type": "rest", "url": url, "auth": {"type": "bearer", "token": "abc"}}),
            vec!["source.auth.token literal-secret"],
        ),
        (json!({"type": "rest", "url": url, "auth": {"type": "bearer", "token": "${env:TOKEN}"}}), vec![]),
        (
            json!({"type": "rest", "url": url, "auth": {"type": "oauth2", "tokenUrl": url, "clientId": "a", "clientSecret": "b"}}),
            vec!["source.auth.clientSecret literal-secret"],
        ),
        (json!({"type": "rest", "url": url, "headers": {"X-Api-Key": "${env:KEY}"}}), vec![]),
        (
            json!({"type": "rest", "url": url, "query": {"key": "${env:KEY}"}}),
            vec!["source.query.key reference-not-allowed"],
        ),
    ] {
        assert_eq!(findings(config.clone()), expected, "{config}");
    }
}

#[tokio::test]
async fn positions_that_name_no_page_are_refused() {
    let api = Api::new(|_| Reply::json("[1]"));
    let source = source(&api, json!({}));
    let named = |at: &str| [("rest".to_owned(), at.to_owned())].into();
    let at: Positions = [("rest".into(), Position { at: "0.3.2".into(), identity: Some("{}".into()) })].into();
    for (text, is_good) in [("0.0.0", true), ("0.3.2", true), ("0.3.1", false), ("7", false), ("", false)] {
        let placed = source.place(&context(), &at, &named(text)).await.unwrap();
        assert_eq!(placed.is_ok(), is_good, "{text}");
    }
    let positions: Positions = [("rest".into(), Position { at: "0.3.1".into(), identity: None })].into();
    let refused = source.open(&context(), lane(&positions)).await.err().unwrap();
    assert_eq!(refused.code(), "bad-position");
}

#[tokio::test]
async fn polls_cannot_be_read_again() {
    let api = Api::new(|_| Reply::json("[1]"));
    let mut cx = context();
    cx.again = true;
    let source = source(&api, json!({"pollInterval": "1m"}));
    let lost = source.open(&cx, lane(&Positions::new())).await.err().unwrap();
    assert!(matches!(lost, Error::PositionLost { .. }), "{lost}");
}
