//! Servers that are busy, cut connections, alter answers or forget conditions.
use super::*;
use dataflow_testkit::api::{Api, Asked, Reply};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

const CONTENT: &str = "{\"n\":1}\n{\"n\":2}\n";

fn xml(body: impl ToString) -> Reply {
    Reply::json(body).header("content-type", "application/xml")
}

fn refused(status: u16, code: &str) -> Reply {
    let mut reply = xml(format!("<Error><Code>{code}</Code><Message>as the test says</Message></Error>"));
    reply.status = status;
    reply
}

fn list(keys: &[&str]) -> Reply {
    let entry = |key: &&str| {
        let size = CONTENT.len();
        format!(
            "<Contents><Key>{key}</Key><ETag>\"one\"</ETag><Size>{size}</Size><LastModified>2026-11-30T00:00:00.000Z</LastModified></Contents>"
        )
    };
    xml(format!("<ListBucketResult>{}</ListBucketResult>", keys.iter().map(entry).collect::<String>()))
}

/// The object, as it was asked for.
fn object(etag: &str) -> Reply {
    let last = CONTENT.len() - 1;
    let mut reply = xml(CONTENT).header("etag", format!("\"{etag}\""));
    reply = reply.header("content-range", format!("bytes 0-{last}/{}", CONTENT.len()));
    reply.status = 206;
    reply
}

fn is_list(asked: &Asked) -> bool {
    asked.query.contains_key("list-type")
}

/// A bucket on a server that answers so.
fn at(api: &Api, more: Value) -> Box<dyn Source> {
    let settings = json!({"bucket": "lake", "endpoint": api.url(""), "allowHttp": true, "accessKeyId": "id", "secretAccessKey": "secret"});
    of(settings, more).build()
}

/// What comes of a server that answers lists as they should be, and requests for objects so.
async fn with(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Result<Run, Error> {
    let mut answer = answer;
    let api = Api::new(move |asked| if is_list(asked) { list(&["a.jsonl"]) } else { answer(asked) });
    run(&*at(&api, nothing()), &context(), &Positions::new(), usize::MAX).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_or_cuts_connections_is_asked_again() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let api = Api::new(move |asked| match count.fetch_add(1, Ordering::Relaxed) {
        0 => refused(503, "SlowDown"),
        1 => refused(500, "InternalError"),
        2 => refused(400, "RequestTimeout"),
        _ if is_list(asked) => list(&["a.jsonl"]),
        4 => refused(503, "SlowDown"),
        5 => Reply { cut: true, ..object("one") },
        _ => object("one"),
    });
    let read = run(&*at(&api, nothing()), &context(), &Positions::new(), usize::MAX).await.unwrap();
    assert_eq!((read.texts().len(), asked.load(Ordering::Relaxed)), (2, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_demands_what_was_listed() {
    let read = with(|asked| {
        assert_eq!(asked.headers["if-match"], "\"one\"");
        assert_eq!(asked.headers["range"], format!("bytes=0-{}", CONTENT.len() - 1));
        assert!(asked.headers["authorization"].contains("if-match"), "it is signed");
        object("one")
    });
    assert_eq!(read.await.unwrap().texts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_what_was_asked_for_are_no_records() {
    let short = |_: &Asked| {
        let mut reply = object("one");
        reply.body.truncate(3);
        reply
    };
    let other_range = |_: &Asked| {
        let mut reply = object("one");
        reply.headers.retain(|(name, _)| name != "content-range");
        reply.header("content-range", format!("bytes 1-{}/99", CONTENT.len()))
    };
    assert_eq!(with(short).await.unwrap_err().code(), "unsupported");
    assert_eq!(with(other_range).await.unwrap_err().code(), "unsupported");
    let whole = |_: &Asked| xml(CONTENT).header("etag", "\"one\"");
    assert_eq!(with(whole).await.unwrap().texts().len(), 2, "a server without ranges sends all of it");
}

/// A server that does not know the condition says whose content it sends; the object is listed anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_is_ignored_is_looked_after() {
    let mut asked = 0;
    let read = with(move |_| {
        asked += 1;
        object(if asked == 1 { "two" } else { "one" })
    });
    assert_eq!(read.await.unwrap().texts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_object_does_not_stop_the_others() {
    let api = Api::new(|asked| match asked {
        asked if is_list(asked) => list(&["a.jsonl", "b.jsonl", "c.jsonl"]),
        asked if asked.path.ends_with("b.jsonl") => refused(403, "InvalidObjectState"),
        asked if asked.path.ends_with("c.jsonl") => refused(404, "NoSuchKey"),
        _ => object("one"),
    });
    let read = run(&*at(&api, nothing()), &context(), &Positions::new(), usize::MAX).await.unwrap();
    assert_eq!((read.texts().len(), read.codes()), (2, vec!["object-archived", "object-vanished"]));
    assert_eq!(read.positions.len(), 1, "what was not read is read later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_in_another_order_is_refused() {
    let api = Api::new(|_| list(&["b", "a"]));
    let error = run(&*at(&api, nothing()), &context(), &Positions::new(), usize::MAX).await.unwrap_err();
    assert_eq!(error.code(), "unsupported", "{error}");
}

/// Whoever looks away from a reader does not make it ask more often.
#[tokio::test(flavor = "multi_thread")]
async fn the_bucket_is_listed_no_more_often_than_it_may_be() {
    let lists = Arc::new(AtomicU32::new(0));
    let count = lists.clone();
    let api = Api::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        list(&[])
    });
    let source = at(&api, json!({"follow": true, "pollInterval": "1h"}));
    let mut reader = source.open(&context(), lane(&Positions::new())).await.unwrap();
    for _ in 0..20 {
        assert!(tokio::time::timeout(Duration::from_millis(20), reader.read()).await.is_err());
    }
    assert_eq!(lists.load(Ordering::Relaxed), 1);
}

/// What an object says of its encoding is for browsers.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_what_lies_in_the_bucket() {
    let read = with(|_| object("one").header("content-encoding", "gzip")).await;
    assert_eq!(read.unwrap().texts().len(), 2);
}

/// In the words of Amazon, whose servers alone know regions.
#[tokio::test(flavor = "multi_thread")]
async fn another_region_and_expired_credentials_are_told() {
    for (status, code, expected) in [
        (301, "PermanentRedirect", "wrong-region"),
        (400, "AuthorizationHeaderMalformed", "wrong-region"),
        (400, "ExpiredToken", "login-failed"),
        (403, "RequestTimeTooSkewed", "login-failed"),
        (403, "AccessDenied", "access-denied"),
    ] {
        let api = Api::new(move |_| refused(status, code));
        let error = run(&*at(&api, nothing()), &context(), &Positions::new(), usize::MAX).await.unwrap_err();
        assert_eq!(error.code(), expected, "{error}");
        assert!(error.to_string().contains("lake/") && error.to_string().contains(code), "{error}");
    }
}
