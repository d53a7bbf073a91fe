//! Bad data costs what is bad, nothing else.
use super::*;

const ADULTS: &str = "age > 18";

#[test]
fn one_bad_value_among_many_is_one_dead_letter() {
    let mut lines: Vec<String> = (0..20_000).map(|n| format!("{{\"id\": {n}, \"age\": {}}}", n % 40)).collect();
    lines[12_345] = r#"{"id": 12345, "age": "old"}"#.into();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let processed = run(json!([{"type": "filter", "condition": ADULTS}]), &lines);
    let wanted = (0..20_000).filter(|n| n % 40 > 18 && *n != 12_345).count();
    assert_eq!(processed.output.len(), wanted);
    assert_eq!(processed.dead.len(), 1);
    assert_eq!(processed.filtered as usize, 20_000 - wanted - 1);
    insta::assert_snapshot!(dead(&processed).join("\n"));
}

#[test]
fn rows_that_an_expression_fails_on_are_found() {
    let mut lines: Vec<String> = (1..=5_000).map(|n| format!("{{\"n\": {n}}}")).collect();
    lines[7] = r#"{"n": 0}"#.into();
    lines[4_999] = r#"{"n": 0}"#.into();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let processed = run(json!([{"type": "map", "set": {"x": "10 / n"}}]), &lines);
    assert_eq!(processed.output.len(), 4_998);
    assert_eq!(
        dead(&processed),
        [
            "7 transforms[0] expression: 10 / n: divide by zero error",
            "4999 transforms[0] expression: 10 / n: divide by zero error"
        ]
    );
}

#[test]
fn what_can_not_be_read_is_dead_at_once() {
    let processed =
        run(json!([{"type": "filter", "condition": ADULTS}]), &[r#"{"age": 20"#, "[1]", "", r#"{"age": 20}"#]);
    assert_eq!(documents(&processed), [r#"{"age": 20}"#]);
    assert_eq!(processed.dead.iter().map(|dead| dead.stage.as_str()).collect::<Vec<_>>(), ["decode"; 3]);
    assert_eq!(processed.filtered, 0);
}

#[test]
fn rows_already_filtered_are_not_looked_at() {
    let transforms = json!([{"type": "filter", "condition": "kind = 'a'"}, {"type": "map", "set": {"x": "10 / n"}}, {"type": "filter", "condition": "x > 1"}]);
    let lines = [r#"{"kind": "b", "n": 0}"#, r#"{"kind": "b", "n": "x"}"#, r#"{"kind": "a", "n": 5}"#];
    let processed = run(transforms, &lines);
    assert_eq!((processed.output.len(), processed.dead.len(), processed.filtered), (1, 0, 2));
}

#[test]
fn misfits_can_be_taken_as_null() {
    let spec =
        spec(json!([{"type": "filter", "condition": "age > 18 or age is null"}]), json!({"onTypeMismatch": "null"}));
    let lines = [r#"{"age": "x"}"#, r#"{"age": 20}"#, r#"{"id": 1}"#];
    let processed =
        program(&plan(spec, Demand::Columns(vec![column("age", Type::Bigint)]))).process(records(&lines)).unwrap();
    assert_eq!(table(&processed), ["20", "-"]);
    assert_eq!((processed.dead.len(), processed.filtered), (0, 1));
    let mut warned = processed.warnings.iter().filter_map(Notice::holding);
    assert!(warned.any(|warning| warning.code == "type-mismatch" && warning.records == 1));
}

#[test]
fn a_number_may_have_another_type_from_batch_to_batch() {
    let mut program = program(&plan(
        spec(json!([{"type": "map", "set": {"x": "a + 1"}, "select": ["x"]}]), json!({})),
        Demand::Documents,
    ));
    assert_eq!(documents(&program.process(records(&[r#"{"a": 1}"#])).unwrap()), [r#"{"x":2}"#]);
    let wider = program.process(records(&[r#"{"a": 1.5}"#, r#"{"a": 2}"#])).unwrap();
    assert_eq!(documents(&wider), [r#"{"x":2.5}"#, r#"{"x":3}"#]);
    assert_eq!(documents(&program.process(records(&[r#"{"a": 1e300}"#])).unwrap()), [r#"{"x":1e+300}"#]);
}

#[test]
fn nothing_comes_of_nothing() {
    let processed = run(json!([{"type": "map", "set": {"x": "a + 1"}}, {"type": "filter", "condition": "x > 1"}]), &[]);
    assert_eq!((processed.output.len(), processed.filtered), (0, 0));
    let all_gone = run(
        json!([{"type": "filter", "condition": "false"}, {"type": "sql", "query": "SELECT unnest(a) AS x, b + 1 AS y FROM input"}, {"type": "filter", "condition": "x = 3 and y > 1"}]),
        &["{}"],
    );
    assert_eq!((all_gone.output.len(), all_gone.filtered), (0, 1));
}

/// A sink may take them.
#[test]
fn a_tombstone_stays_one() {
    let mut records = Arc::unwrap_or_clone(records(&["{}", r#"{"age":20}"#, "{}"]));
    (records.spans[0], records.spans[2]) = (Span::NULL, Span::NULL);
    let records = Arc::new(records);
    let after = |transforms: Value| {
        let mut plan = plan(spec(transforms, json!({})), Demand::Documents);
        plan.declared.sink.tombstones = true;
        let processed = program(&plan).process(records.clone()).unwrap();
        assert_eq!(processed.dead, []);
        let document = |(row, text)| (!processed.output.deletes(row)).then_some(text);
        documents(&processed).into_iter().enumerate().map(document).collect::<Vec<_>>()
    };
    assert_eq!(after(json!([])), [None, Some(r#"{"age":20}"#.into()), None]);
    let set = json!([{"type": "map", "set": {"x": "coalesce(age, 7)"}}]);
    assert_eq!(after(set), [None, Some(r#"{"age":20,"x":20}"#.into()), None]);
    assert_eq!(after(json!([{"type": "filter", "condition": "age > 18 or age is null"}])).len(), 3);
    assert_eq!(after(json!([{"type": "filter", "condition": "age > 18"}])), [Some(r#"{"age":20}"#.into())]);
}

#[test]
fn a_tombstone_is_a_dead_letter_only_if_no_filter_drops_it() {
    let mut records = Arc::unwrap_or_clone(records(&["{}", r#"{"age": 20}"#, "[1]"]));
    records.spans[0] = Span::NULL;
    let records = Arc::new(records);
    let after = |transforms: Value| {
        let processed =
            program(&plan(spec(transforms, json!({})), Demand::Documents)).process(records.clone()).unwrap();
        let codes: Vec<&str> = processed.dead.iter().map(|dead| dead.code).collect();
        (processed.filtered, codes.join(" "), processed.output.len())
    };
    let (tombstone, array) = ("tombstone not-object", "not-object");
    assert_eq!(after(json!([])), (0, tombstone.into(), 1));
    assert_eq!(after(json!([{"type": "filter", "condition": "meta.offset > 100"}])), (1, array.into(), 1));
    assert_eq!(after(json!([{"type": "filter", "condition": ADULTS}])), (1, array.into(), 1));
    assert_eq!(after(json!([{"type": "filter", "condition": "age is null"}])), (1, tombstone.into(), 0));
    assert_eq!(after(json!([{"type": "map", "set": {"x": "upper(name)"}}])), (0, tombstone.into(), 1));
    let unnested = json!([{"type": "sql", "query": "SELECT unnest(items) AS item FROM input"}]);
    assert_eq!(after(unnested), (1, tombstone.into(), 0));
}

/// The number of a row within its batch is no place: it depends on how batches are cut.
#[test]
fn a_record_whose_place_is_a_text_has_no_offset() {
    let mut records = Arc::unwrap_or_clone(records(&["{}", "{}"]));
    records.positions = Some(vec!["id=1".into(), "id=2".into()]);
    let set = json!([{"type": "map", "set": {"o": "meta.offset", "p": "meta.position"}}]);
    let all = program(&plan(spec(set, json!({})), Demand::Documents)).process(Arc::new(records)).unwrap();
    assert_eq!(documents(&all), [r#"{"o":null,"p":"events/0/id=1"}"#, r#"{"o":null,"p":"events/0/id=2"}"#]);
}
