//! Each way of paging, through the requirements for all sources.
use super::*;
use dataflow_testkit::conformance;

const RECORDS: usize = 23;
const SIZE: usize = 5;

/// The records from one on that a page has.
fn page(from: usize) -> Vec<String> {
    records(from..(from + SIZE).min(RECORDS))
}

fn by_number(asked: &Asked) -> Reply {
    Reply::json(list(&page((number(asked, "page").unwrap() - 1) * SIZE)))
}

fn by_offset(asked: &Asked) -> Reply {
    let from = number(asked, "skip").unwrap();
    Reply::json(format!("{{\"data\":{}, \"more\": {}}}", list(&page(from)), from + SIZE < RECORDS))
}

/// Every second page is empty, and the cursor is a text with all that has to be encoded.
fn by_cursor(asked: &Asked) -> Reply {
    let at: usize = asked.query.get("after").map_or(0, |cursor| cursor.trim_start_matches("c&=+ü/").parse().unwrap());
    let has_records = at.is_multiple_of(2);
    let (from, items) = if has_records { (at / 2 * SIZE, page(at / 2 * SIZE)) } else { (0, Vec::new()) };
    let next = if has_records && from + SIZE >= RECORDS { Value::Null } else { json!(format!("c&=+ü/{}", at + 1)) };
    Reply::json(format!("{{\"meta\":{{\"next\":{next}}},\"data\":{{\"items\":{}}}}}", list(&items)))
}

fn by_last_record(asked: &Asked) -> Reply {
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(body["size"], SIZE);
    let from = body["search_after"].as_u64().map_or(0, |last| last as usize + 1);
    Reply::json(format!("{{\"hits\":{}}}", list(&page(from.min(RECORDS)))))
}

fn by_link(asked: &Asked) -> Reply {
    let from = number(asked, "from").unwrap_or(0);
    let reply = Reply::json(list(&page(from))).header("link", "</items?from=0>; rel=\"first\"");
    match from + SIZE < RECORDS {
        true => reply.header("link", format!("</items?from={}&key=secret>; rel=next", from + SIZE)),
        false => reply,
    }
}

fn by_next_url(asked: &Asked) -> Reply {
    let from = number(asked, "from").unwrap_or(0);
    let host = &asked.headers["host"];
    let next =
        if from + SIZE < RECORDS { json!(format!("http://{host}/items?from={}", from + SIZE)) } else { json!("") };
    Reply::json(format!("{{\"items\":{},\"@next\":{next}}}", list(&page(from))))
}

#[tokio::test]
async fn every_way_of_paging_goes_on_from_every_position() {
    let post = json!({"method": "POST", "body": {"size": SIZE}, "records": "/hits", "pagination": {
        "type": "cursor", "parameter": "/search_after", "field": "/id",
    }});
    type Case = (fn(&Asked) -> Reply, Value);
    let cases: [Case; 6] = [
        (by_number, json!({"pagination": {"type": "page"}})),
        (
            by_offset,
            json!({"records": "/data", "pagination": {"type": "offset", "parameter": "skip", "more": "/more"}}),
        ),
        (
            by_cursor,
            json!({"records": "/data/items", "pagination": {"type": "cursor", "parameter": "after", "next": "/meta/next"}}),
        ),
        (by_last_record, post),
        (
            by_link,
            json!({"pagination": {"type": "link"}, "auth": {"type": "apiKey", "name": "key", "in": "query", "key": "secret"}}),
        ),
        (by_next_url, json!({"records": "/items", "pagination": {"type": "nextUrl", "next": "/@next"}})),
    ];
    for (answer, more) in cases {
        let api = Api::new(answer);
        conformance::source(&*source(&api, more), &records(0..RECORDS)).await;
    }
}

#[tokio::test]
async fn a_key_in_an_address_is_in_no_position() {
    let api = Api::new(by_link);
    let more = json!({"pagination": {"type": "link"}, "auth": {"type": "apiKey", "name": "key", "in": "query", "key": "secret"}});
    let (batches, ..) = read_from(&*source(&api, more), None).await;
    assert!(batches.iter().all(|batch| !format!("{:?}{:?}", batch.to, batch.shared).contains("secret")));
    assert!(api.asked().iter().all(|asked| asked.query["key"] == "secret"));
}

#[tokio::test]
async fn what_a_page_may_be() {
    let gzip = |text: &str| {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        let mut reply = Reply::json("").header("content-encoding", "gzip");
        reply.body = encoder.finish().unwrap();
        reply
    };
    let latin =
        |body: &[u8], kind: &str| Reply { body: body.into(), ..Reply::status(200).header("content-type", kind) };
    type Case = (Reply, Value, Result<&'static [&'static str], &'static str>);
    let cases: [Case; 17] = [
        (Reply::json(" [1, \"a\" ,null]"), json!({}), Ok(&["1", "\"a\"", "null"])),
        (Reply::json("{\"a\":1}"), json!({}), Ok(&["{\"a\":1}"])),
        (Reply::json("[]"), json!({}), Ok(&[])),
        (Reply::json("{\"items\":null}"), json!({"records": "/items"}), Ok(&[])),
        (Reply::json("{\"a\":1}"), json!({"records": "/items", "onMissingRecords": "empty"}), Ok(&[])),
        (
            Reply::json("{\"a\":1,\"error\":2}"),
            json!({"records": "/items"}),
            Err("page 0 of http://HOST/items has nothing at /items (`records`), but /a, /error"),
        ),
        (Reply::json("{\"items\":7}"), json!({"records": "/items"}), Err("has neither a list nor an object")),
        (Reply::json("\u{feff}[1]"), json!({}), Ok(&["1"])),
        (Reply::status(204), json!({}), Ok(&[])),
        (Reply::status(200), json!({}), Err("is not JSON: EOF while parsing")),
        (gzip("[1,2]"), json!({}), Ok(&["1", "2"])),
        (Reply::json("[1,2").header("content-encoding", "br"), json!({}), Err("answered with the encoding \"br\"")),
        (
            Reply::json("<html>"),
            json!({}),
            Err("is not JSON (its type is application/json): expected value at line 1 column 1"),
        ),
        (Reply::json("[1]\n[2]"), json!({}), Err("is not JSON")),
        (latin(b"[\"caf\xe9\"]", "application/json; charset=ISO-8859-1"), json!({}), Err("is written in ISO-8859-1")),
        (latin(b"[\"caf\xe9\"]", "application/json"), json!({}), Err("is not UTF-8 at byte 5")),
        (latin(b"[\"cafe\"]", "application/json; charset=latin1"), json!({}), Ok(&["\"cafe\""])),
    ];
    for (reply, more, expected) in cases {
        let api = Api::new(move |_| reply.clone());
        let (batches, failed, _) = read_from(&*source(&api, more.clone()), None).await;
        match expected {
            Ok(records) => assert_eq!(
                (texts(&batches), failed.map(|error| error.to_string())),
                (records.iter().map(|record| (*record).to_owned()).collect(), None),
                "{more}"
            ),
            Err(why) => {
                let error = failed.expect(why);
                let host = api.url("").trim_start_matches("http://").to_owned();
                assert!(error.to_string().contains(&why.replace("HOST", &host)), "{error}");
                assert_eq!(error.code(), "bad-data");
            }
        }
    }
}

#[tokio::test]
async fn a_page_is_no_larger_than_it_may_be() {
    let body = format!("[\"{}\"]", "x".repeat(5_000));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, body.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1_024);
    let plain = Reply::json(&body);
    let bomb = Reply { body: packed, ..Reply::json("").header("content-encoding", "gzip") };
    for reply in [plain, bomb] {
        let api = Api::new(move |_| reply.clone());
        let (_, error) = failure(&*source(&api, json!({"maxPageBytes": 4_096}))).await;
        assert_eq!(error.code(), "page-too-large", "{error}");
    }
}

/// Inserted before what is read next: a page repeats what the one before had.
#[tokio::test]
async fn shifted_pages_are_told() {
    let api = Api::new(|asked| {
        let (page, inserted) = (number(asked, "page").unwrap(), 2);
        let from = (page - 1) * SIZE;
        let from = if page == 2 { from - inserted } else { from };
        Reply::json(list(&records(from.min(20)..(from + SIZE).min(20))))
    });
    let (_, failed, warnings) = read_from(&*source(&api, json!({"pagination": {"type": "page"}})), None).await;
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!(codes(&warnings), ["pages-shifted"], "{warnings:?}");
    let said = warnings[0].holding().unwrap().message.clone();
    assert!(said.starts_with("2 records of page 1 of http"), "{said}");
}

/// By as many as a page has: that is no list that goes on for ever.
#[tokio::test]
async fn a_page_may_be_the_same_as_the_one_before() {
    let mut inserted = 0;
    let api = Api::new(move |asked| {
        let from = number(asked, "offset").unwrap() - inserted;
        inserted = SIZE;
        Reply::json(list(&records(from.min(12)..(from + SIZE).min(12))))
    });
    let (batches, failed, warnings) = read_from(&*source(&api, json!({"pagination": {"type": "offset"}})), None).await;
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!((texts(&batches).len(), codes(&warnings)), (12 + SIZE, vec!["pages-shifted"]));
}

#[tokio::test]
async fn a_page_that_has_changed_since_is_told() {
    let mut calls = 0;
    let api = Api::new(move |_| {
        calls += 1;
        Reply::json(list(&records(calls - 1..calls + 9)))
    });
    let source = source(&api, json!({}));
    let mut cx = context();
    cx.batch.max_records = 4;
    let mut reader = source.open(&cx, lane(&Positions::new())).await.unwrap();
    let first = next(&mut *reader).await;
    let (batches, failed, warnings) = read_from(&*source, Some(first.to)).await;
    assert!(failed.is_none());
    assert_eq!((texts(&batches), codes(&warnings)), (records(5..11), vec!["page-changed"]));
}

#[tokio::test]
async fn a_record_over_the_limit_is_kept_in_part() {
    let large = format!("\"{}\"", "x".repeat(200_000));
    let all = [record(0), large.clone(), record(2)];
    let api = Api::new(move |_| Reply::json(list(&all)));
    let mut cx = context();
    cx.max_record_bytes = 100_000;
    let mut reader = source(&api, json!({})).open(&cx, lane(&Positions::new())).await.unwrap();
    let batch = next(&mut *reader).await;
    assert_eq!(
        (batch.len(), batch.oversized.len(), batch.oversized[0].row, batch.oversized[0].length),
        (3, 1, 1, 200_002)
    );
    assert_eq!(batch.bytes(1).unwrap().len(), 64 << 10);
    assert_eq!(batch.bytes(2).unwrap(), record(2).as_bytes());
}

/// A page without records may lie between others where the API says itself whether there is more.
#[tokio::test]
async fn an_empty_page_ends_no_list_that_goes_on() {
    let api = |asked: &Asked| {
        let page = number(asked, "page").unwrap();
        let items = if page == 2 { Vec::new() } else { records(page * 2..page * 2 + 2) };
        Reply::json(format!("{{\"data\":{}, \"more\": {}}}", list(&items), page < 4))
    };
    let api = Api::new(api);
    let more = json!({"records": "/data", "pagination": {"type": "page", "more": "/more"}});
    assert_eq!(read(&*source(&api, more)).await, [records(2..4), records(6..10)].concat());
}
