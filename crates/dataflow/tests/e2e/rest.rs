//! A REST API as a source: its example, what `verify` says of it, and what a node says of its login.
use crate::program::{Node, count, dataflow, is, program, query};
use dataflow_testkit::api::{Api, Asked, Reply};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

const TOKEN: &str = "hush-Quuxly-Zyxwvut";

type Orders = Arc<Mutex<Vec<Value>>>;

fn order(id: u64, amount: i64, second: u64) -> Value {
    json!({"id": id, "amount": amount, "updatedAt": format!("2026-02-01T00:00:{second:02}Z")})
}

/// Orders in pages of three, by a cursor, since a time; for whoever has the token.
fn api(orders: &Orders) -> Api {
    let orders = orders.clone();
    Api::new(move |asked: &Asked| {
        if asked.headers.get("authorization") != Some(&format!("Bearer {TOKEN}")) {
            let body = format!("nobody has {:?}", asked.headers.get("authorization")).into();
            return Reply { body, ..Reply::status(401) };
        }
        let since = asked.query.get("updated_since").cloned().unwrap_or_default();
        let mut all: Vec<Value> = orders.lock().unwrap().clone();
        all.retain(|order| order["updatedAt"].as_str().unwrap() >= &*since);
        let from: usize = asked.query.get("after").map_or(0, |after| after.parse().unwrap());
        let to = (from + 3).min(all.len());
        let next = (to < all.len()).then(|| to.to_string());
        Reply::json(json!({"data": all[from..to], "paging": {"next": next}}))
    })
}

/// The example, with the address of this server, its files in this folder, and a short pause.
fn example(api: &Api, folder: &Path) -> Value {
    let mut spec: Value = serde_yaml_ng::from_str(include_str!("../../../../examples/rest-to-sqlite.yaml")).unwrap();
    spec["source"]["url"] = json!(api.url("/v1/orders"));
    spec["source"]["auth"]["token"] = json!(format!("${{file:{}}}", folder.join("secrets/token").display()));
    spec["source"]["pollInterval"] = json!("20ms");
    spec["sink"]["path"] = json!(folder.join("orders.db"));
    spec
}

fn verify(node: &Node, pipeline: &str) -> Value {
    let done = tokio::task::block_in_place(|| {
        dataflow(&["verify", pipeline, "--server", &node.url, "--output", "json"]).output().unwrap()
    });
    serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_example_reads_what_is_new_and_shows_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("secrets")).unwrap();
    fs::write(at("secrets/token"), TOKEN).unwrap();
    let orders: Orders = Arc::new(Mutex::new((0..10).map(|id| order(id, 5, id / 2)).collect()));
    let api = api(&orders);
    let secrets = at("secrets").display().to_string();
    let node = program().log_to(at("log")).log_level("debug").node_with(
        &at("data"),
        &[],
        &[("DATAFLOW_SECRETS_FILES", &*secrets)],
    );
    node.create_and_start(&example(&api, folder.path())).await;
    let through =
        |records: u64| move |view: &Value| count(view, "recordsRead") == records && count(view, "recordsInFlight") == 0;
    node.until("api-orders", "read", through(10)).await;
    // New ones, of the last second and later, and one that has changed.
    orders.lock().unwrap().extend([order(10, 5, 4), order(11, -5, 6), order(3, 7, 7)]);
    node.until("api-orders", "read what is new", through(13)).await;
    node.post("/api/pipelines/api-orders/stop").await;
    assert_eq!(query(&at("orders.db"), "SELECT count(*) FROM orders"), 11);
    assert_eq!(query(&at("orders.db"), "SELECT amount FROM orders WHERE id = 3"), 7);

    let report = verify(&node, "api-orders");
    assert_eq!(report["verified"], false, "{report:#}");
    let reason = report["unverifiable"].to_string();
    assert!(reason.contains("polls of a REST API can't be repeated"), "{report:#}");

    fs::write(at("secrets/token"), "hush-another-Zyxwvut").unwrap();
    node.post("/api/pipelines/api-orders/start?wait=0s").await;
    let view = node.until("api-orders", "refused", |view| view["error"]["code"] == "login-failed").await;
    assert!(view["error"]["message"].as_str().unwrap().contains("nobody has Some(\"Bearer ***"), "{view:#}");
    let mut said = view.to_string();
    for path in ["/history", "/checkpoint", "/recovery", "/claims"] {
        said += &node.request("GET", &format!("/api/pipelines/api-orders{path}"), None).await.1.to_string();
    }
    assert!(node.terminate().success());
    said += &fs::read_to_string(at("log")).unwrap();
    assert!(!said.contains("Quuxly") && !said.contains("Zyxwvut"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_was_read_once_is_proven() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("secrets")).unwrap();
    fs::write(at("secrets/token"), TOKEN).unwrap();
    let orders: Orders = Arc::new(Mutex::new((0..10).map(|id| order(id, 5, id)).collect()));
    let api = api(&orders);
    let mut spec = example(&api, folder.path());
    for field in ["pollInterval", "incremental"] {
        spec["source"].as_object_mut().unwrap().remove(field);
    }
    let secrets = at("secrets").display().to_string();
    let node = program().node_with(&at("data"), &[], &[("DATAFLOW_SECRETS_FILES", &*secrets)]);
    node.create_and_start(&spec).await;
    node.until("api-orders", "completed", is("completed")).await;
    // What has come since was not read, and is not missed.
    orders.lock().unwrap().push(order(10, 5, 10));
    let report = verify(&node, "api-orders");
    assert_eq!((&report["verified"], &report["expected"]), (&json!(true), &json!(10)), "{report:#}");
    orders.lock().unwrap()[4] = order(4, 6, 4);
    let report = verify(&node, "api-orders");
    assert_eq!((&report["verified"], &report["altered"]["count"]), (&json!(false), &json!(1)), "{report:#}");
}

/// Each page is refused once: more often in all than any one page is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_an_api_that_fails_now_and_then_is_proven() {
    let folder = tempfile::tempdir().unwrap();
    let pages: usize = 8;
    let refused: Arc<Mutex<Option<BTreeSet<usize>>>> = Arc::default();
    let refusing = refused.clone();
    let api = Api::new(move |asked: &Asked| {
        let page: usize = asked.query.get("after").map_or(0, |after| after.parse().unwrap());
        if refusing.lock().unwrap().as_mut().is_some_and(|refused| refused.insert(page)) {
            return Reply::status(503);
        }
        let next = (page + 1 < pages).then(|| (page + 1).to_string());
        Reply::json(json!({"data": [order(page as u64, 1, 0)], "paging": {"next": next}}))
    });
    let mut spec = example(&api, folder.path());
    for field in ["pollInterval", "incremental", "auth"] {
        spec["source"].as_object_mut().unwrap().remove(field);
    }
    let node = program().node(&folder.path().join("data"));
    node.create_and_start(&spec).await;
    node.until("api-orders", "completed", is("completed")).await;
    *refused.lock().unwrap() = Some(BTreeSet::new());
    let report = verify(&node, "api-orders");
    assert_eq!((&report["verified"], &report["expected"]), (&json!(true), &json!(pages)), "{report:#}");
    assert_eq!(refused.lock().unwrap().as_ref().map(BTreeSet::len), Some(pages));
}
