//! Credentials, redirects, and servers that don't answer.
use super::*;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

#[tokio::test]
async fn credentials_are_sent_as_the_api_wants_them() {
    let basic = json!({"type": "basic", "user": "Aladdin", "password": "open sesame"});
    let cases = [
        (basic, "authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        (json!({"type": "bearer", "token": "abc"}), "authorization", "Bearer abc"),
        (json!({"type": "apiKey", "name": "X-Key", "key": "k1"}), "x-key", "k1"),
    ];
    for (auth, header, value) in cases {
        let api = Api::new(|_| Reply::json("[]"));
        read(&*source(&api, json!({"auth": auth, "headers": {"X-More": "1"}, "query": {"size": 5, "q": "a&b"}}))).await;
        let asked = &api.asked()[0];
        assert_eq!((&*asked.headers[header], &*asked.headers["x-more"]), (value, "1"));
        assert_eq!((&*asked.query["size"], &*asked.query["q"]), ("5", "a&b"));
    }
}

/// Of two servers, the first one redirects to the other.
#[tokio::test]
async fn no_credential_follows_a_redirect_to_another_server() {
    let other = Api::new(|_| Reply::json("[7]"));
    let target = other.url("/moved");
    let api = Api::new(move |asked| match &*asked.path {
        "/items" => Reply::status(302).header("location", "/here"),
        _ => Reply::status(307).header("location", &target),
    });
    for auth in [
        json!({"type": "bearer", "token": "abc"}),
        json!({"type": "apiKey", "name": "X-Key", "key": "k1"}),
        json!({"type": "apiKey", "name": "key", "in": "query", "key": "k1"}),
    ] {
        assert_eq!(read(&*source(&api, json!({"auth": auth, "headers": {"X-More": "1"}}))).await, ["7"]);
    }
    let sent = |asked: &Asked| format!("{:?}{:?}", asked.headers, asked.query);
    for asked in other.asked() {
        let sent = sent(&asked);
        assert!(!["abc", "k1", "x-more"].iter().any(|secret| sent.contains(secret)), "{sent}");
    }
    assert!(api.asked().iter().all(|asked| ["abc", "k1"].iter().any(|secret| sent(asked).contains(secret))));
}

#[tokio::test]
async fn redirects_end() {
    let api = Api::new(|_| Reply::status(301).header("location", "/items"));
    let (_, error) = failure(&*source(&api, json!({}))).await;
    assert!(error.to_string().contains("redirects more than 5 times"), "{error}");
    // What is posted is posted once.
    let (_, error) = failure(&*source(&api, json!({"method": "POST"}))).await;
    assert_eq!(error.code(), "bad-property");
}

#[tokio::test]
async fn a_next_page_elsewhere_is_not_asked() {
    let other = Api::new(|_| Reply::json("[7]"));
    let target = other.url("/items");
    let api = Api::new(move |_| Reply::json(json!({"items": [1], "next": target})));
    let more = json!({"records": "/items", "pagination": {"type": "nextUrl", "next": "/next"}, "auth": {"type": "bearer", "token": "abc"}});
    let (_, error) = failure(&*source(&api, more)).await;
    assert_eq!((error.code(), other.asked().len()), ("next-elsewhere", 0), "{error}");
}

/// Tokens end in the middle of the pages, once before their time.
#[tokio::test]
async fn tokens_are_issued_anew() {
    let issued = Arc::new(AtomicUsize::new(0));
    let counter = issued.clone();
    let api = Api::new(move |asked| {
        if asked.path == "/token" {
            let form: std::collections::BTreeMap<_, _> = form_urlencoded::parse(&asked.body).into_owned().collect();
            assert_eq!(
                (&*form["grant_type"], &*form["scope"], &*form["audience"]),
                ("client_credentials", "read all", "api")
            );
            assert_eq!(asked.headers["authorization"], "Basic aWQ6cyUyNmM="); // id:s%26c
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            // The first ones are over at once; from the third on, they last.
            let life = if number < 3 { json!("0") } else { json!(3_600) };
            return Reply::json(json!({"access_token": format!("t{number}"), "expires_in": life}));
        }
        let page = number(asked, "page").unwrap();
        let token = &asked.headers["authorization"];
        // The third token is revoked at page 5.
        if *token == "Bearer t3" && page >= 5 {
            return Reply::status(401);
        }
        Reply::json(list(&records(page - 1..page.min(8))))
    });
    let auth = json!({"type": "oauth2", "tokenUrl": api.url("/token"), "clientId": "id", "clientSecret": "s&c", "scope": "read all", "parameters": {"audience": "api"}});
    let read = read(&*source(&api, json!({"auth": auth, "pagination": {"type": "page"}}))).await;
    assert_eq!((read, issued.load(Ordering::SeqCst)), (records(0..8), 4));
}

/// What was sent comes back in what is refused.
#[tokio::test]
async fn a_token_that_was_issued_is_not_shown() {
    let api = Api::new(|asked| match &*asked.path {
        "/token" => Reply::json(json!({"access_token": "issued-and-secret"})),
        _ => Reply { body: format!("no {}", asked.headers["authorization"]).into(), ..Reply::status(403) },
    });
    let auth = json!({"type": "oauth2", "tokenUrl": api.url("/token"), "clientId": "id", "clientSecret": "s"});
    let (_, error) = failure(&*source(&api, json!({"auth": auth}))).await;
    assert!(error.to_string().contains("no Bearer ***"), "{error}");
    // What was sent to get one, too: by the RFC, it is encoded twice.
    let api =
        Api::new(|asked| Reply { body: format!("no {}", asked.headers["authorization"]).into(), ..Reply::status(401) });
    let auth = json!({"type": "oauth2", "tokenUrl": api.url("/token"), "clientId": "c", "clientSecret": "abc+def/="});
    let (_, error) = failure(&*source(&api, json!({"auth": auth}))).await;
    assert!(error.to_string().contains("no Basic ***"), "{error}");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let status = Arc::new(AtomicUsize::new(0));
    let now = status.clone();
    let api = Api::new(move |_| {
        let body = format!("because\n  {}", "x".repeat(1_000)).into();
        Reply { body, ..Reply::status(now.load(Ordering::SeqCst) as u16) }
    });
    for (code, expected, is_transient) in [
        (202, "unavailable", true),
        (206, "request-refused", false),
        (400, "request-refused", false),
        (401, "login-failed", false),
        (403, "access-denied", false),
        (404, "not-found", false),
        (408, "timed-out", true),
        (429, "busy", true),
        (500, "unavailable", true),
        (503, "unavailable", true),
    ] {
        status.store(code, Ordering::SeqCst);
        let (_, error) = failure(&*source(&api, json!({}))).await;
        let text = error.to_string();
        assert_eq!((error.code(), matches!(error, Error::Transient { .. })), (expected, is_transient), "{text}");
        assert!(text.starts_with("page 0 of http://") && text.contains("because x") && text.len() < 500, "{text}");
    }
    // A token that can't be had says so, and never what the server said instead of one.
    let auth = json!({"type": "oauth2", "tokenUrl": api.url("/token"), "clientId": "id", "clientSecret": "s"});
    status.store(400, Ordering::SeqCst);
    let (_, error) = failure(&*source(&api, json!({"auth": auth}))).await;
    assert!(error.code() == "login-failed" && error.to_string().starts_with("a token from http"), "{error}");
}

#[tokio::test]
async fn answers_that_break_off_are_asked_for_again() {
    for reply in [
        Reply { cut: true, ..Reply::json(list(&records(0..9))) },
        Reply { cut: true, body: b"[".into(), ..Reply::status(200) },
    ] {
        let api = Api::new(move |_| reply.clone());
        let (read, error) = failure(&*source(&api, json!({}))).await;
        assert!(read.is_empty() && matches!(error, Error::Transient { code: "unavailable", .. }), "{error:?}");
    }
    let closed = Api::new(|_| Reply::json("[]"));
    let source = source(&closed, json!({}));
    drop(closed);
    let (_, error) = failure(&*source).await;
    assert!(matches!(error, Error::Transient { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_takes_no_longer_than_it_may() {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let api = Api::new(move |_| {
        held.recv().unwrap_err();
        Reply::json("[]")
    });
    let (_, error) = failure(&*source(&api, json!({"requestTimeout": "50ms"}))).await;
    assert!(matches!(error, Error::Transient { code: "timed-out", .. }), "{error:?}");
    drop(hold);
}

#[tokio::test]
async fn a_server_that_wants_a_pause_gets_it() {
    let mut calls = 0;
    let api = Api::new(move |_| {
        calls += 1;
        match calls {
            1 => Reply::status(429).header("retry-after", 1),
            2 => Reply::status(503).header("retry-after", 1),
            _ => Reply::json("[1]"),
        }
    });
    let begun = std::time::Instant::now();
    let (batches, failed, warnings) = read_from(&*source(&api, json!({})), None).await;
    assert!(failed.is_none() && begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(texts(&batches), ["1"]);
    assert!(
        warnings.last().unwrap().is_over() && warnings[0].holding().unwrap().message.contains("429"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn requests_keep_to_the_rate() {
    let api = Api::new(|asked| Reply::json(list(&records(0..3)[number(asked, "offset").unwrap()..])));
    let begun = std::time::Instant::now();
    let more = json!({"pagination": {"type": "offset"}, "requestsPerSecond": 10});
    read(&*source(&api, more)).await;
    assert!(api.asked().len() == 2 && begun.elapsed() >= Duration::from_millis(100));
}
