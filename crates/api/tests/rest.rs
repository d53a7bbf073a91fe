//! The REST door, on a region that holds pipelines in a map.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]
mod fake;

use axum::{body::Body, http::Request};
use fake::{Answer, call, door, send};
use futures::StreamExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

fn pipeline(id: &str) -> Value {
    json!({
        "pipelineId": id, "labels": {"team": id},
        "source": {"type": "lines", "path": "in"},
        "transforms": [{"type": "filter", "condition": "age > 18"}],
        "sink": {"type": "lines", "path": "out"}
    })
}

/// Every answer that is no success is a problem as RFC 9457 has it.
fn is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.body["status"], status);
    assert!(
        answer.body["title"].is_string() && answer.body["detail"].is_string() && answer.body["problems"].is_array()
    );
}

#[tokio::test]
async fn a_pipeline_is_made_shown_changed_and_deleted() {
    let door = door();
    let made = call(&door, "POST", "/api/pipelines", pipeline("p")).await;
    assert_eq!(
        (made.status.as_u16(), made.header("location"), made.header("etag")),
        (201, "/api/pipelines/p", "\"1\"")
    );
    assert_eq!((&made.body["status"], &made.body["pipelineId"]), (&json!("created"), &json!("p")));
    let shown = call(&door, "GET", "/api/pipelines/p", Value::Null).await;
    assert_eq!((shown.status.as_u16(), shown.header("etag")), (200, "\"1\""));
    assert_eq!(shown.body, made.body["pipeline"]);
    assert_eq!(shown.body["name"], "p", "the id is its name if it has none");
    assert_eq!(shown.body["metrics"]["recordsInFlight"], 0);
    is_problem(&call(&door, "POST", "/api/pipelines", pipeline("p")).await, 409, "already-exists");

    let mut changed = pipeline("p");
    changed["name"] = "P".into();
    let path = "/api/pipelines/p";
    let stale = send(&door, "PUT", path, &[("if-match", "\"7\"")], changed.to_string()).await;
    is_problem(&stale, 412, "version-mismatch");
    let updated = send(&door, "PUT", path, &[("if-match", "\"1\"")], changed.to_string()).await;
    assert_eq!((updated.status.as_u16(), &updated.body["name"]), (200, &json!("P")));
    changed["pipelineId"] = "other".into();
    let moved = call(&door, "PUT", path, changed).await;
    is_problem(&moved, 400, "invalid");
    assert_eq!(moved.body["problems"][0]["code"], "id-mismatch");

    let gone = call(&door, "DELETE", path, Value::Null).await;
    assert_eq!((gone.status.as_u16(), gone.body), (200, json!({"status": "deleted", "pipelineId": "p"})));
    is_problem(&call(&door, "GET", path, Value::Null).await, 404, "not-found");
}

#[tokio::test]
async fn what_get_shows_may_be_changed_and_put_back() {
    let door = door();
    call(&door, "POST", "/api/pipelines", pipeline("p")).await;
    let mut shown = call(&door, "GET", "/api/pipelines/p", Value::Null).await.body;
    shown["name"] = "P".into();
    let back = call(&door, "PUT", "/api/pipelines/p", shown.clone()).await;
    assert_eq!((back.status.as_u16(), &back.body["name"]), (200, &json!("P")), "{back:?}");
    assert_eq!(back.body["status"], "configured");

    // Who makes a pipeline is told what can't be set: "status": "running" would not start it.
    shown["pipelineId"] = "copy".into();
    let made = call(&door, "POST", "/api/pipelines", shown).await;
    is_problem(&made, 400, "invalid");
    let status = made.body["problems"].as_array().unwrap().iter().find(|p| p["path"] == "status").unwrap();
    assert_eq!(status["fix"], "leave it out: GET shows it, but it can't be set");
}

#[tokio::test]
async fn the_lifecycle_answers_with_the_pipeline() {
    let door = door();
    for id in ["p", "slow"] {
        call(&door, "POST", "/api/pipelines", pipeline(id)).await;
    }
    let to = async |path: &str| call(&door, "POST", &format!("/api/pipelines/{path}"), Value::Null).await;
    is_problem(&to("p/stop").await, 409, "not-allowed");
    let started = to("p/start").await;
    assert_eq!((started.status.as_u16(), &started.body["status"]), (200, &json!("running")));
    is_problem(&to("p/start").await, 409, "not-allowed");
    assert_eq!(to("p/start").await.body["problems"][0]["fix"], "stop it first");
    assert_eq!(to("p/restart?wait=500ms").await.status, 200);
    assert_eq!(to("p/stop?wait=1s").await.body["status"], "stopped");
    to("slow/start").await;
    let stopping = to("slow/stop").await;
    assert_eq!((stopping.status.as_u16(), &stopping.body["stopping"]), (202, &json!(true)));
    let updating = call(&door, "PUT", "/api/pipelines/slow?wait=1s", pipeline("slow")).await;
    assert_eq!((updating.status.as_u16(), &updating.body["updating"]), (202, &json!(true)));
    is_problem(&to("none/start").await, 404, "not-found");
    is_problem(&to("p/stop?wait=soon").await, 400, "invalid");
    is_problem(&to("p/stop?wait=1h").await, 400, "invalid");
}

#[tokio::test]
async fn what_is_so_already_is_no_conflict_for_who_says_so() {
    let door = door();
    let ask =
        async |method: &str, path: &str, body: Value| call(&door, method, &format!("/api/pipelines{path}"), body).await;
    let unchanged = |answer: &Answer| {
        assert_eq!((answer.status.as_u16(), answer.header("dataflow-unchanged")), (200, "true"), "{answer:?}");
    };
    let said = |answer: &Answer, status: u16| {
        assert_eq!((answer.status.as_u16(), answer.header("dataflow-unchanged")), (status, ""), "{answer:?}");
    };
    said(&ask("POST", "?idempotent=true", pipeline("p")).await, 201);
    let again = ask("POST", "?idempotent=true", pipeline("p")).await;
    unchanged(&again);
    assert_eq!((&again.body["status"], &again.body["pipeline"]["version"]), (&json!("unchanged"), &json!(1)));
    let mut other = pipeline("p");
    other["name"] = "P".into();
    is_problem(&ask("POST", "?idempotent=true", other).await, 409, "already-exists");
    is_problem(&ask("POST", "", pipeline("p")).await, 409, "already-exists");

    unchanged(&ask("POST", "/p/stop?idempotent=true", Value::Null).await);
    said(&ask("POST", "/p/start?idempotent=true", Value::Null).await, 200);
    unchanged(&ask("POST", "/p/start?idempotent", Value::Null).await);
    is_problem(&ask("POST", "/p/start?idempotent=false", Value::Null).await, 409, "not-allowed");
    said(&ask("POST", "/p/stop?idempotent=true", Value::Null).await, 200);
    is_problem(&ask("POST", "/none/start?idempotent=true", Value::Null).await, 404, "not-found");
    is_problem(&ask("POST", "/away/start?idempotent=true", Value::Null).await, 503, "unavailable");

    said(&ask("DELETE", "/p?idempotent=true", Value::Null).await, 200);
    let absent = ask("DELETE", "/p?idempotent=true", Value::Null).await;
    unchanged(&absent);
    assert_eq!(absent.body, json!({"status": "absent", "pipelineId": "p"}));
    is_problem(&ask("DELETE", "/p", Value::Null).await, 404, "not-found");
}

#[tokio::test]
async fn a_history_is_paged_in_both_orders() {
    let door = door();
    call(&door, "POST", "/api/pipelines", pipeline("p")).await;
    for (order, expected) in [("", [1, 2]), ("order=asc&", [1, 2]), ("order=desc&", [2, 1])] {
        let (mut numbers, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/pipelines/p/history?{order}limit=1{after}");
            let page = call(&door, "GET", &path, Value::Null).await.body;
            numbers.extend(page["items"].as_array().unwrap().iter().map(|item| item["number"].as_u64().unwrap()));
            match page["next"].as_u64() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(numbers, expected, "{order}");
    }
    is_problem(&call(&door, "GET", "/api/pipelines/p/history?order=up", Value::Null).await, 400, "invalid");
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let door = door();
    for id in ["a", "b", "c"] {
        call(&door, "POST", "/api/pipelines", pipeline(id)).await;
    }
    call(&door, "POST", "/api/pipelines/b/start", Value::Null).await;
    let get = async |query: &str| call(&door, "GET", &format!("/api/pipelines{query}"), Value::Null).await;
    let ids = |answer: &Answer| -> Vec<String> {
        let items = answer.body["items"].as_array().unwrap();
        items.iter().map(|item| item["pipelineId"].as_str().unwrap().to_owned()).collect()
    };
    let first = get("?limit=2").await;
    assert_eq!((ids(&first), &first.body["next"]), (vec!["a".into(), "b".into()], &json!("b")));
    let last = get("?limit=2&after=b").await;
    assert_eq!((ids(&last), &last.body["next"]), (vec!["c".into()], &Value::Null));
    assert_eq!(ids(&get("?status=running").await), ["b"]);
    assert_eq!(ids(&get("?label=team:c").await), ["c"]);
    assert_eq!(ids(&get("?label=team=c").await), ["c"]);
    assert_eq!(ids(&get("?label=team:c&label=team%3Ac&status=running").await), Vec::<String>::new());
    let wrong = get("?limit=0&stauts=running&status=runing&label=x").await;
    is_problem(&wrong, 400, "invalid");
    insta::assert_json_snapshot!(wrong.body["problems"]);
}

#[tokio::test]
async fn findings_come_all_at_once_and_validate_tells_the_same() {
    let door = door();
    let wrong = json!({
        "pipelineId": "x y", "source": {"type": "lines", "path": "in", "password": "hunter2"},
        "sink": {"type": "line"}, "transforms": [{"type": "fliter"}], "batch": {"maxRecord": 1}
    });
    let refused = call(&door, "POST", "/api/pipelines", wrong.clone()).await;
    is_problem(&refused, 400, "invalid");
    insta::assert_json_snapshot!(refused.body);
    let validated = call(&door, "POST", "/api/pipelines/validate", wrong).await;
    assert_eq!((validated.status.as_u16(), &validated.body["valid"]), (200, &json!(false)));
    assert_eq!(validated.body["problems"], refused.body["problems"]);
    let fine = call(&door, "POST", "/api/pipelines/validate", pipeline("p")).await;
    assert_eq!((&fine.body["valid"], &fine.body["problems"]), (&json!(true), &json!([])));
    assert_eq!(fine.body["warnings"][0]["code"], "at-least-once");
    let mut reserved = pipeline("p");
    reserved["pipelineId"] = "validate".into();
    for path in ["/api/pipelines", "/api/pipelines/validate"] {
        assert_eq!(call(&door, "POST", path, reserved.clone()).await.body["problems"][0]["code"], "reserved", "{path}");
    }
}

#[tokio::test]
async fn malformed_bodies_are_told_with_their_place() {
    let door = door();
    let cut = send(&door, "POST", "/api/pipelines", &[("content-type", "text/plain")], "{\n  \"pipelineId\": }").await;
    is_problem(&cut, 400, "malformed-json");
    assert_eq!(cut.body["detail"], "expected value at line 2 column 17");
    is_problem(&send(&door, "POST", "/api/pipelines", &[], "").await, 400, "malformed-json");
    is_problem(&send(&door, "POST", "/api/pipelines", &[], vec![b' '; 2 << 20]).await, 413, "too-large");
    is_problem(&send(&door, "POST", "/api/pipelines", &[], vec![0xff]).await, 400, "malformed-json");
}

#[tokio::test]
async fn compressed_bodies_are_told_what_to_send() {
    let door = door();
    call(&door, "POST", "/api/pipelines", pipeline("p")).await;
    let (plain, packed) = (b"{}".to_vec(), b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec());
    for path in ["/api/pipelines", "/api/pipelines/p/batches"] {
        for (encoding, body) in [("gzip", &packed), ("gzip", &plain), ("br", &plain), ("identity", &packed)] {
            let answer = send(&door, "POST", path, &[("content-encoding", encoding)], body.clone()).await;
            is_problem(&answer, 415, "compressed");
            let fix = answer.body["problems"][0]["fix"].as_str().unwrap();
            assert!(fix.contains("uncompressed"), "{fix}");
        }
        let answer = send(&door, "POST", path, &[("content-encoding", "Identity")], plain.clone()).await;
        is_problem(&answer, 400, "invalid");
    }
}

#[tokio::test]
async fn pushed_batches_have_one_effect() {
    let door = door();
    call(&door, "POST", "/api/pipelines", pipeline("p")).await;
    let push =
        async |query: &str, body: Value| call(&door, "POST", &format!("/api/pipelines/p/batches{query}"), body).await;
    let batch = json!({"batchId": "b1", "records": [{"data": {"a": 1}}, {"id": "x", "data": {"a": 2}, "metadata": {"k": "v"}}]});
    let first = push("", batch.clone()).await;
    assert_eq!((first.status.as_u16(), &first.body), (200, &json!({"batchId": "b1", "accepted": 2, "position": "2"})));
    assert_eq!(push("", batch).await.body, first.body);
    is_problem(&push("", json!({"batchId": "b1", "records": []})).await, 422, "batch-id-reused");
    let delivered = push("?wait=delivered", json!({"batchId": "b2", "records": []})).await;
    assert_eq!((delivered.status.as_u16(), &delivered.body["delivered"]), (200, &json!(true)));
    let not_yet = push("?wait=delivered&timeout=0ms", json!({"batchId": "b3", "records": []})).await;
    assert_eq!((not_yet.status.as_u16(), &not_yet.body["delivered"]), (202, &json!(false)));
    is_problem(&push("?wait=delivred", json!({"batchId": "b4", "records": []})).await, 400, "invalid");
    is_problem(&push("", json!({"batchId": 5, "record": []})).await, 400, "invalid");
    let cut = send(&door, "POST", "/api/pipelines/p/batches", &[], r#"{"batchId": "b5", "records": ["#).await;
    is_problem(&cut, 400, "malformed-json");
    let large = send(&door, "POST", "/api/pipelines/p/batches", &[], vec![b' '; (8 << 20) + 1]).await;
    is_problem(&large, 413, "too-large");
    let busy = call(&door, "POST", "/api/pipelines/busy/batches", json!({"batchId": "b", "records": []})).await;
    is_problem(&busy, 429, "overloaded");
    assert_eq!(busy.header("retry-after"), "1");
}

#[tokio::test]
async fn dead_letters_are_listed_shown_and_given_as_they_came() {
    let door = door();
    call(&door, "POST", "/api/pipelines", pipeline("p")).await;
    let get = async |path: &str| call(&door, "GET", &format!("/api/pipelines/p/dead-letters{path}"), Value::Null).await;
    assert_eq!(get("?after=1").await.body["items"][0]["number"], 2);
    assert_eq!(get("/1").await.body["original"], "{,}");
    let raw = get("/1?raw").await;
    assert_eq!((raw.header("content-type"), &raw.body), ("application/octet-stream", &json!("{,}")));
    assert_eq!(get("/2?raw=true").await.headers["content-length"], "2");
    let missing = get("/3").await;
    is_problem(&missing, 404, "not-found");
    assert_eq!(missing.body["detail"], "the pipeline \"p\" has no dead letter 3");
    is_problem(&get("/x").await, 400, "invalid");
    let other = call(&door, "GET", "/api/pipelines/none/dead-letters/1", Value::Null).await;
    assert_eq!(other.body["detail"], "there is no pipeline \"none\"");
}

#[tokio::test]
async fn checkpoints_are_shown_and_reset() {
    let door = door();
    call(&door, "POST", "/api/pipelines", pipeline("p")).await;
    let put = async |body: Value| call(&door, "PUT", "/api/pipelines/p/checkpoint", body).await;
    for to in ["beginning", "end", "sink-token", "journal"] {
        assert_eq!(put(json!({"to": to})).await.status, 200);
    }
    let positions = json!([{"partition": "t/0", "position": "5"}]);
    let reset = put(json!({"to": {"positions": positions}})).await;
    assert_eq!(reset.body, json!({"generation": 5, "at": null, "positions": positions}));
    let shown = call(&door, "GET", "/api/pipelines/p/checkpoint", Value::Null).await;
    assert_eq!((&shown.body, shown.header("etag")), (&reset.body, reset.header("etag")));
    let wrong = [
        json!({}),
        json!({"to": "begining"}),
        json!({"to": 5}),
        json!({"to": "t/0=5"}),
        json!({"to": {"positions": {"t/0": "5"}}}),
        json!({"to": {"position": []}}),
        json!({"to": {"positions": []}}),
        json!({"to": {"positions": [{"partition": "t/0", "position": 5}, {"partition": "t/1"}]}}),
        json!({"to": {"positions": [{"partition": "a", "position": "1"}, {"partition": "a", "position": "2"}]}}),
    ];
    let mut said = String::new();
    for body in wrong {
        let answer = put(body.clone()).await;
        is_problem(&answer, 400, "invalid");
        said += &format!("{body}\n");
        for problem in answer.body["problems"].as_array().unwrap() {
            said += &format!("  {problem}\n");
        }
    }
    insta::assert_snapshot!(said);
}

#[tokio::test]
async fn secrets_do_not_leave_the_house() {
    let door = door();
    call(&door, "POST", "/api/pipelines", pipeline("p")).await;
    let history = call(&door, "GET", "/api/pipelines/p/history", Value::Null).await;
    assert_eq!(history.body["items"][0]["detail"]["spec"]["sink"]["apiToken"], "***");
    let claims = call(&door, "GET", "/api/pipelines/p/claims", Value::Null).await;
    for spec in [&claims.body["spec"], &claims.body["stretches"][0]["spec"]] {
        assert_eq!(spec["sink"]["apiToken"], "***", "{:#}", claims.body);
    }
    assert_eq!(call(&door, "GET", "/api/pipelines/p/recovery", Value::Null).await.body["generation"], 0);
}

#[tokio::test]
async fn the_catalogue_has_schemas() {
    let door = door();
    let get = async |path: &str| call(&door, "GET", &format!("/api/connectors{path}"), Value::Null).await;
    insta::assert_json_snapshot!(get("").await.body);
    assert_eq!(get("/source/lines").await.body["schema"]["properties"]["type"]["const"], "lines");
    assert_eq!(get("/sink/lines").await.body["promise"], "unfenced");
    assert_eq!(get("/transform/filter").await.body["schema"]["type"], "object");
    let missing = get("/sink/line").await;
    is_problem(&missing, 404, "not-found");
    assert_eq!(missing.body["detail"], "there is no sink of type \"line\"");
    assert_eq!(missing.body["problems"][0]["fix"], "did you mean \"lines\"?");
    is_problem(&get("/sinks/lines").await, 400, "invalid");
}

#[tokio::test]
async fn the_node_tells_how_it_is() {
    let door = door();
    let get = async |path: &str| call(&door, "GET", path, Value::Null).await;
    assert_eq!(get("/api/system").await.body["region"]["shardsOwned"], 256);
    let metrics = get("/metrics").await.body;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.starts_with("dataflow_runs 0\n# HELP dataflow_records_read_total "), "{metrics}");
    assert!(metrics.ends_with("dataflow_pipelines{status=\"completed\"} 0\n"), "{metrics}");
    call(&door, "POST", "/api/pipelines", pipeline("p")).await;
    let metrics = get("/metrics").await.body;
    let of_p = metrics.as_str().unwrap().lines().filter(|line| line.contains("pipeline=\"p\""));
    let configured = "dataflow_pipeline_status{pipeline=\"p\",status=\"configured\"} 1";
    assert_eq!(of_p.filter(|line| !line.ends_with(" 0")).collect::<Vec<_>>(), [configured]);
    assert_eq!(get("/health/live").await.body, json!({"status": "live"}));
    let ready = get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), ready.body), (503, json!({"status": "not-ready", "reason": "starting"})));
    for page in ["/", "/api/docs"] {
        let answer = get(page).await;
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert!(!answer.body.as_str().unwrap().contains("https://"), "{page} loads nothing from elsewhere");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_a_problem_too() {
    let door = door();
    is_problem(&call(&door, "GET", "/api/nothing", Value::Null).await, 404, "unknown-path");
    let wrong = call(&door, "PATCH", "/api/pipelines/p", Value::Null).await;
    is_problem(&wrong, 405, "method-not-allowed");
    assert!(wrong.header("allow").contains("PUT"), "{wrong:?}");
    is_problem(&call(&door, "GET", "/api/pipelines/broken", Value::Null).await, 500, "internal");
    let away = call(&door, "GET", "/api/pipelines/away", Value::Null).await;
    is_problem(&away, 503, "unavailable");
    assert_eq!(away.header("retry-after"), "1");
    is_problem(&call(&door, "GET", "/api/pipelines/a%20b", Value::Null).await, 400, "invalid");
    is_problem(&call(&door, "GET", "/api/pipelines/%ff", Value::Null).await, 400, "invalid");
    let long = "x".repeat(300);
    is_problem(&send(&door, "POST", "/api/pipelines/p/start", &[("idempotency-key", &long)], "").await, 400, "invalid");
    is_problem(&send(&door, "POST", "/api/pipelines/p/start", &[("if-match", "new")], "").await, 400, "invalid");
    is_problem(&send(&door, "POST", "/api/pipelines/p/start", &[("reason", "")], "").await, 400, "invalid");
    is_problem(
        &send(&door, "POST", "/api/pipelines/p/start", &[("reason", &"x".repeat(1_001))], "").await,
        400,
        "invalid",
    );
    let mut unsettled = pipeline("p");
    call(&door, "POST", "/api/pipelines", unsettled.clone()).await;
    unsettled["name"] = "unsettled".into();
    is_problem(&call(&door, "PUT", "/api/pipelines/p", unsettled.clone()).await, 409, "unsettled");
    assert_eq!(call(&door, "PUT", "/api/pipelines/p?force=true", unsettled).await.status, 200);
}

#[tokio::test]
async fn only_this_machine_may_call_and_no_foreign_page() {
    let door = door();
    let live = async |host: &str| send(&door, "GET", "/health/live", &[("host", host)], "").await;
    for host in ["localhost:8080", "127.0.0.1", "127.0.0.2:1", "[::1]:8080", "LOCALHOST", "dataflow.test:80"] {
        assert_eq!(live(host).await.status, 200, "{host}");
    }
    for host in ["evil.test", "evil.test:8080", "10.0.0.1", "127.0.0.1.evil.test", "[2001:db8::1]:8080", ""] {
        is_problem(&live(host).await, 403, "host-not-allowed");
    }
    let twice = [("host", "localhost"), ("host", "localhost")];
    is_problem(&send(&door, "GET", "/health/live", &twice, "").await, 400, "invalid");
    let none = Request::builder().uri("/health/live").body(Body::empty()).unwrap();
    assert_eq!(door.clone().oneshot(none).await.unwrap().status(), 400);
    for target in ["http://evil.test/health/live", "http://localhost@evil.test/health/live", "http://a:b@localhost/x"] {
        is_problem(&send(&door, "GET", target, &[("host", "localhost")], "").await, 403, "host-not-allowed");
    }
    assert_eq!(send(&door, "GET", "http://localhost/health/live", &[("host", "localhost")], "").await.status, 200);
    let start = async |origin: &str| {
        let headers = [("host", "localhost:8080"), ("origin", origin)];
        send(&door, "POST", "/api/pipelines/p/start", &headers, Body::empty()).await
    };
    is_problem(&start("http://localhost:8080").await, 404, "not-found");
    is_problem(&start("https://dataflow.test").await, 404, "not-found");
    for origin in ["https://evil.test", "http://localhost:3000", "null"] {
        is_problem(&start(origin).await, 403, "origin-not-allowed");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_still_gets_its_answer() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = async {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let length = (8 << 20) + 1;
        let head =
            format!("POST /api/pipelines/p/batches HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&vec![b' '; length]).await.unwrap();
        let mut answer = vec![0; 64];
        socket.read_exact(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
    };
    tokio::select! {
        served = axum::serve(listener, door()) => panic!("{served:?}"),
        () = client => {}
    }
}

/// Each may have 8 MiB, and all together 64 MiB, of which a little is lost: one of eight has to wait.
#[tokio::test(start_paused = true)]
async fn a_batch_is_not_read_while_those_under_way_may_fill_the_memory() {
    let door = door();
    call(&door, "POST", "/api/pipelines", pipeline("p")).await;
    let (events, mut happened) = tokio::sync::mpsc::channel(16);
    let pushes = (0..8).map(async |_| {
        let read = events.clone();
        // The beginning of a body is read by itself: so much of each there may be.
        let beginning = futures::stream::once(async { Ok::<_, std::io::Error>(vec![b' '; 65 << 10]) });
        let body = beginning.chain(futures::stream::once(async move {
            read.try_send(1).unwrap();
            std::future::pending().await
        }));
        let answer = send(&door, "POST", "/api/pipelines/p/batches", &[], Body::from_stream(body)).await;
        is_problem(&answer, 408, "too-slow");
        events.try_send(-1).unwrap();
    });
    futures::future::join_all(pushes).await;
    drop(events);
    let (mut under_way, mut most) = (0, 0);
    while let Some(change) = happened.recv().await {
        under_way += change;
        most = most.max(under_way);
    }
    assert!(under_way == 0 && most < 8, "{most} were read at once");
}

#[tokio::test]
async fn the_description_has_every_path_and_every_path_is_there() {
    let door = door();
    let api = call(&door, "GET", "/api/openapi.json", Value::Null).await.body;
    let mut ids = std::collections::BTreeSet::new();
    let mut said = vec![format!("openapi {}", api["openapi"].as_str().unwrap())];
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let [id, summary] = ["operationId", "summary"].map(|key| operation[key].as_str().unwrap());
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            said.push(format!("{method} {path} ({id}): {summary}"));
            let path = path.replace("{number}", "1").replace("{kind}", "source").replace("{type}", "lines");
            let answer = call(&door, &method.to_uppercase(), &path.replace("{id}", "p"), Value::Null).await;
            assert!(!["unknown-path", "method-not-allowed"].contains(&answer.code()), "{method} {path}");
        }
    }
    insta::assert_snapshot!(said.join("\n"));
    // Every reference leads somewhere.
    let text = api.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(api.pointer(reference).is_some(), "{reference}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_door_fail(
        body in prop_oneof![
            ".{0,60}",
            r#"\{"(pipelineId|source|to|batchId|records)":("x"|5|null|\[\]|\[5\]|\{"type":"lines"\}|\{"positions":5\})(,"(sink|lanes|schema|x y)":(9|"t"|\{\}|\[\{\}\]))?\}"#,
        ],
        path in prop::sample::select(vec![
            ("POST", ""), ("POST", "/validate"), ("PUT", "/p"), ("POST", "/p/batches"), ("PUT", "/p/checkpoint"),
        ]),
        query in "(\\?[a-z=&%+0-9]{0,12})?",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (method, path) = path;
        let answer = runtime.block_on(async {
            let door = door();
            call(&door, "POST", "/api/pipelines", pipeline("p")).await;
            send(&door, method, &format!("/api/pipelines{path}{query}"), &[], body).await
        });
        prop_assert!(answer.status.as_u16() < 500, "{answer:?}");
    }
}
