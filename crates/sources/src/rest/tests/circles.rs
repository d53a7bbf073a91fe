//! Lists that never end are errors that name the page.
use super::*;

async fn fails(answer: impl FnMut(&Asked) -> Reply + Send + 'static, more: Value) -> (usize, Error) {
    let api = Api::new(answer);
    let (read, error) = failure(&*source(&api, more)).await;
    assert!(error.to_string().contains("page "), "{error}");
    // Tried again by itself, it would double some pages each time.
    assert!(error.code() == "bad-data" || matches!(error, Error::Fatal { retryable: false, .. }), "{error:?}");
    (read.len(), error)
}

fn by_cursor() -> Value {
    json!({"records": "/items", "pagination": {"type": "cursor", "parameter": "c", "next": "/next"}})
}

#[tokio::test]
async fn cursors_that_come_back() {
    let always = |_: &Asked| Reply::json(json!({"items": [1], "next": "same"}));
    let (_, error) = fails(always, by_cursor()).await;
    assert_eq!(error.code(), "cursor-repeated");
    assert!(error.to_string().starts_with("page 1 of http"), "{error}");
    let round = |asked: &Asked| {
        let next = match asked.query.get("c").map(String::as_str) {
            None | Some("c") => "a",
            Some("a") => "b",
            _ => "c",
        };
        Reply::json(json!({"items": [1], "next": next}))
    };
    let (_, error) = fails(round, by_cursor()).await;
    assert!(error.to_string().starts_with("page 3 of http") && error.code() == "cursor-repeated", "{error}");
    // A server that does not know the parameter.
    let ignores = |_: &Asked| Reply::json(json!([{"id": 1}, {"id": 2}]));
    let more = json!({"pagination": {"type": "cursor", "parameter": "starting_after", "field": "/id"}});
    assert_eq!(fails(ignores, more).await.1.code(), "cursor-repeated");
}

#[tokio::test]
async fn addresses_that_stay_the_same() {
    let body =
        |asked: &Asked| Reply::json(json!({"items": [1], "next": format!("http://{}/items", asked.headers["host"])}));
    let more = json!({"records": "/items", "pagination": {"type": "nextUrl", "next": "/next"}});
    assert_eq!(fails(body, more).await.1.code(), "cursor-repeated");
    let link = |_: &Asked| Reply::json("[1]").header("link", "<?p=2>; rel=next");
    assert_eq!(fails(link, json!({"pagination": {"type": "link"}})).await.1.code(), "cursor-repeated");
}

#[tokio::test]
async fn pages_that_stay_the_same() {
    let same = |_: &Asked| Reply::json(list(&records(0..3)));
    for more in [json!({"pagination": {"type": "page"}}), json!({"pagination": {"type": "offset"}})] {
        let (read, error) = fails(same, more).await;
        assert_eq!((read, error.code()), (6, "page-repeated"), "{error}");
        assert!(error.to_string().starts_with("page 2 of"), "{error}");
    }
}

#[tokio::test]
async fn empty_pages_without_end() {
    let mut number = 0;
    let empty = move |_: &Asked| {
        number += 1;
        Reply::json(json!({"items": [], "next": number}))
    };
    let mut more = by_cursor();
    more["maxEmptyPages"] = json!(7);
    let (_, error) = fails(empty, more).await;
    assert_eq!(error.code(), "pages-empty");
    assert!(error.to_string().starts_with("page 7 of"), "{error}");
}

#[tokio::test]
async fn what_names_the_next_page_is_missing_or_too_long() {
    let api = |_: &Asked| Reply::json(json!([{"id": 1}, {"idd": 2}]));
    let more = json!({"pagination": {"type": "cursor", "parameter": "after", "field": "/id"}});
    let (_, error) = fails(api, more).await;
    assert!(error.to_string().contains("nothing at /id") && error.to_string().contains("row 1"), "{error}");
    let long = |_: &Asked| Reply::json(json!({"items": [1], "next": "x".repeat(9_000)}));
    assert_eq!(fails(long, by_cursor()).await.1.code(), "cursor-too-long");
}
