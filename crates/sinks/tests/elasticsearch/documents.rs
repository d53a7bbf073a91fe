//! A document arrives as the very bytes that it is, or its record is a dead letter with the server's own words.
use crate::target::{Target, on_each};
use dataflow_testkit::fixture::context;
use serde_json::json;

/// Documents that must arrive as they are.
const KEPT: &[&str] = &[
    r#"{"n":1}"#,
    r#"{"n":null}"#,
    r#"{}"#,
    r#"{ "spaces" : [ 1 , 2 ] }"#,
    r#"{"text":"\ud83d\ude00 ä \u0000 \" \\ /"}"#,
    r#"{"half":"\ud800"}"#,
    r#"{"double":0.1234567890123456789}"#,
    r#"{"double":1.0}"#,
    r#"{"double":48.053808600000004}"#,
    r#"{"long":9223372036854775807}"#,
    r#"{"a.b":1}"#,
    r#"{"c":{"d":1},"c.e":2}"#,
    r#"{"list":[]}"#,
    r#"{"list":[null]}"#,
    r#"{"object":{}}"#,
    r#"{"when":"2026-01-31"}"#,
    r#"{"lines":"a\r\nb\u2028c"}"#,
    r#"{"index":{"_id":"other"}}"#,
    r#"{"very":{"deep":{"down":{"it":{"goes":[[[{"x":1}]]]}}}}}"#,
];

/// Documents that no server takes.
const REFUSED: &[&str] = &[
    "[1]",
    "7",
    "\"text\"",
    "null",
    "true",
    r#"{"":1}"#,
    r#"{"twice":1,"twice":2}"#,
    r#"{"_id":"x"}"#,
    r#"{"_source":1}"#,
    r#"{"a":{"x":1},"a":{"y":2}}"#,
    "{\"cut\":",
    "   ",
    "not json",
    r#"{"nan":NaN}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_document_arrives_as_it_is_or_is_refused() {
    on_each(|url| async move {
        let target = Target::new(url, json!({}));
        let ids: Vec<String> = (0..KEPT.len() + REFUSED.len()).map(|number| format!("{number:03}")).collect();
        let documents = KEPT.iter().chain(REFUSED).map(|document| Some(*document));
        let rows: Vec<_> = ids.iter().map(|id| Some(id.as_str())).zip(documents).collect();
        let refused = target.write(rows.clone()).await;
        let found = target.documents().await;
        let wanted = rows.iter().enumerate().filter(|(row, _)| !refused.contains_key(row));
        let wanted: Vec<(&str, &str)> = wanted.map(|(_, row)| (row.0.unwrap(), row.1.unwrap())).collect();
        let there: Vec<(&str, &str)> = found.iter().map(|doc| (doc.id.as_str(), doc.source.as_str())).collect();
        assert_eq!(there, wanted, "{url}");
        let places: Vec<usize> = refused.keys().copied().collect();
        assert_eq!(places, (KEPT.len()..rows.len()).collect::<Vec<_>>(), "{url}: {refused:#?}");
        // What was taken is found to be as it should be; without it, lost; with another one, unexpected.
        let audit = async |rows: &[(Option<&str>, Option<&str>)]| {
            let mut auditor = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap().auditor;
            auditor.expect(&crate::target::output(rows)).await.unwrap();
            let found = auditor.finish().await.unwrap();
            [found.expected, found.found, found.lost.count, found.altered.count, found.unexpected.count]
        };
        let mut expected: Vec<_> = wanted.iter().map(|(id, document)| (Some(*id), Some(*document))).collect();
        let all = expected.len() as u64;
        assert_eq!(audit(&expected).await, [all, all, 0, 0, 0], "{url}");
        expected[0].1 = Some(r#"{"n":2}"#);
        expected[1].0 = Some("elsewhere");
        expected.push((Some("002"), None));
        assert_eq!(audit(&expected).await, [all - 1, all, 1, 1, 2], "{url}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_mapping_does_not_take_is_a_dead_letter() {
    on_each(|url| async move {
        let properties = json!({
            "n": {"type": "long"}, "when": {"type": "date"}, "ip": {"type": "ip"}, "flag": {"type": "boolean"},
            "small": {"type": "byte"}, "point": {"type": "geo_point"}, "o": {"properties": {"x": {"type": "keyword"}}},
            "also": {"type": "alias", "path": "n"}, "pipeline with id [": {"type": "long"},
        });
        let index = json!({"mappings": {"dynamic": "strict", "properties": properties}, "settings": {"index.mapping.depth.limit": 3}});
        let target = Target::new(url, json!({"createIndex": index}));
        let cases = [
            (r#"{"n":1}"#, None),
            (r#"{"n":"x"}"#, Some("[n]")),
            (r#"{"n":123456789012345678901234567890}"#, Some("[n]")),
            (r#"{"n":{"deep":1}}"#, Some("[n]")),
            (r#"{"when":"yesterday"}"#, Some("[when]")),
            (r#"{"ip":"1.2.3"}"#, Some("[ip]")),
            (r#"{"flag":"yes"}"#, Some("[flag]")),
            (r#"{"small":300}"#, Some("[small]")),
            (r#"{"point":"nowhere"}"#, Some("[point]")),
            (r#"{"o":1}"#, Some("[o]")),
            (r#"{"new":1}"#, Some("[new]")),
            (r#"{"also":1}"#, Some("[also]")),
            (r#"{"pipeline with id [":"no write index is defined for alias ["}"#, Some("pipeline with id [")),
            (r#"{"n":2}"#, None),
        ];
        let ids: Vec<String> = (0..cases.len()).map(|number| number.to_string()).collect();
        let rows = ids.iter().zip(&cases).map(|(id, (document, _))| (Some(id.as_str()), Some(*document)));
        let refused = target.write(rows.collect()).await;
        for (row, (document, field)) in cases.iter().enumerate() {
            match field {
                None => assert!(!refused.contains_key(&row), "{url}: {document}: {refused:#?}"),
                Some(field) => {
                    let cause = refused.get(&row).unwrap_or_else(|| panic!("{url}: {document} was taken"));
                    assert!(cause.contains(field), "{url}: {document}: {cause}");
                }
            }
        }
        assert_eq!(target.documents().await.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_fields_are_dead_letters() {
    on_each(|url| async move {
        let target = Target::new(url, json!({"createIndex": {"settings": {"index.mapping.total_fields.limit": 20}}}));
        let many: Vec<String> = (0..30).map(|n| format!("\"f{n}\":{n}")).collect();
        let many = format!("{{{}}}", many.join(","));
        let refused = target
            .write(vec![(Some("a"), Some(r#"{"x":1}"#)), (Some("b"), Some(&many)), (Some("c"), Some(r#"{"x":2}"#))])
            .await;
        assert_eq!(refused.keys().collect::<Vec<_>>(), [&1], "{refused:?}");
        assert!(refused[&1].contains("total fields"), "{refused:?}");
        assert_eq!(target.documents().await.len(), 2);
    })
    .await;
}
