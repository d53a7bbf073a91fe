#![allow(clippy::unwrap_used)]
use super::*;

fn codes(body: &str) -> Vec<(String, String)> {
    check(body.as_bytes()).unwrap_err().into_iter().map(|problem| (problem.path, problem.code)).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(path, code)| ((*path).into(), (*code).into())).collect()
}

#[test]
fn a_good_body_is_summed_up_and_read() {
    let body = Bytes::from_static(
        br#" { "batchId" : "b-1", "records": [ {"data":{"a":1}}, {"id":"k\n1","metadata":{"x":"y"},"data":"text"},
        {"data":null,"id":null,"metadata":null}, {"d\u0061ta":[1,2]} ] } "#,
    );
    let summary = check(&body).unwrap();
    assert_eq!((summary.batch_id.as_str(), summary.records, summary.hash.len()), ("b-1", 4, 32));
    let records = read(&body, 0).unwrap();
    let data: Vec<&[u8]> = records.iter().map(|record| record.data.of(&body)).collect();
    assert_eq!(data, [&b"{\"a\":1}"[..], b"\"text\"", b"", b"[1,2]"]);
    assert!(records[2].data.is_null());
    assert_eq!(records[1].id.as_deref(), Some("k\n1"));
    assert_eq!(records[1].metadata.unwrap().of(&body), b"{\"x\":\"y\"}");
    assert_eq!((&records[2].id, records[2].metadata), (&None, None));
    assert_eq!(read(&body, 3).unwrap(), records[3..]);
    assert_eq!(read(&body, 9).unwrap(), []);
}

#[test]
fn the_hash_is_of_the_records_alone() {
    let hash = |body: &str| check(body.as_bytes()).unwrap().hash;
    let one = hash(r#"{"batchId":"a","records":[{"data":1}]}"#);
    assert_eq!(one, hash(r#"{ "records": [{"data":1}], "batchId":"b" }"#));
    assert_ne!(one, hash(r#"{"batchId":"a","records":[{"data":2}]}"#));
    assert_eq!(one, format!("{:032x}", xxhash_rust::xxh3::xxh3_128(br#"[{"data":1}]"#)));
}

#[test]
fn all_findings_are_told() {
    assert_eq!(codes("{}"), pairs(&[("batchId", "missing-field"), ("records", "missing-field")]));
    assert_eq!(
        codes(r#"{"batchID":"x","batchId":7,"records":[{"data":1},{},{"Data":1,"id":5,"metadata":[]},3]}"#),
        pairs(&[
            ("batchID", "unknown-field"),
            ("batchId", "invalid-value"),
            ("records[1].data", "missing-field"),
            ("records[2].Data", "unknown-field"),
            ("records[2].data", "missing-field"),
            ("records[2].id", "invalid-value"),
            ("records[2].metadata", "invalid-value"),
            ("records[3]", "invalid-value"),
        ])
    );
    assert_eq!(
        codes(r#"{"batchId":"","records":{}}"#),
        pairs(&[("batchId", "invalid-value"), ("records", "invalid-value")])
    );
    assert_eq!(codes(r#"{"batchId":"a","batchId":"a","records":[{"data":1,"data":2}]}"#).len(), 2);
    assert_eq!(codes("[1]"), pairs(&[("", "not-object")]));
    assert_eq!(codes(r#"{"batchId":"a","records":[{"data":1,}]}"#), pairs(&[("", "not-json")]));
    assert_eq!(check(b"{\"batchId\":\"\xff\"}").unwrap_err()[0].code, "not-utf8");
    let problems = check(br#"{"batchId":"a","recods":[]}"#).unwrap_err();
    assert!(problems[0].fix.as_ref().unwrap().contains("\"records\""), "{problems:?}");
}

#[test]
fn findings_have_an_end() {
    let body = format!(r#"{{"batchId":"a","records":[{}{{}}]}}"#, "{},".repeat(1_000));
    assert_eq!(codes(&body).len(), MAX_FINDINGS);
    assert!(read(&body.into(), 0).is_err());
}

/// Who sends records as they lie in a file, or as other programs take them, is told how they are sent here.
#[test]
fn a_body_of_another_form_is_told_what_to_send() {
    let cases = [
        (r#"[{"a":1},{"a":2}]"#, "is an array", "each element"),
        ("{\"a\":1}\n{\"a\":2}\n", "lines of JSON", "each line"),
        ("[1]\r\n[2]", "lines of JSON", "each line"),
        ("7", "not a JSON object", "\"records\": [{\"data\""),
        ("", "not JSON", "\"records\": [{\"data\""),
        ("a,b\n1,2\n", "not JSON", "\"records\": [{\"data\""),
        (r#"{"batchId":7,"records":[]}"#, "batchId is not a string", "quotes"),
        (r#"{"batchId":"a","records":{"data":1}}"#, "not an array", "[{\"data\""),
        (r#"{"batchId":"a","records":[[1]]}"#, "not an object", "{\"data\": …}"),
    ];
    for (body, message, fix) in cases {
        let problem = check(body.as_bytes()).unwrap_err().swap_remove(0);
        assert!(problem.message.contains(message), "{body}: {problem:?}");
        assert!(problem.fix.as_ref().is_some_and(|told| told.contains(fix)), "{body}: {problem:?}");
    }
    let bare = check(br#"{"batchId":"a","records":[{"age":1}]}"#).unwrap_err();
    assert!(bare.iter().any(|problem| problem.fix.as_ref().is_some_and(|fix| fix.contains("into data"))), "{bare:?}");
}
