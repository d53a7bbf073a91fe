//! What a sink wants to know of each row beside what it writes.
use super::*;
use arrow::array::ArrayRef;
use dataflow_sdk::declared::SideExpression;

/// A plan for a sink with these side expressions, each `(path, text, type)`.
fn plan_with(transforms: Value, demand: Demand, side: &[(&str, &str, Type)]) -> Plan {
    let mut plan = plan(spec(transforms, json!({})), demand);
    let side =
        side.iter().map(|(path, text, ty)| SideExpression { path: (*path).into(), text: (*text).into(), ty: *ty });
    plan.declared.sink.side = side.collect();
    plan
}

/// The side values of each row, separated by `|`, NULL as `-`.
fn side(processed: &Processed) -> Vec<String> {
    let options = FormatOptions::new().with_null("-");
    let value = |column: &ArrayRef, row| ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string();
    let row = |row| processed.output.side.iter().map(|column| value(column, row)).collect::<Vec<_>>().join("|");
    (0..processed.output.len()).map(row).collect()
}

fn check(plan: &Plan) -> Vec<String> {
    let problems = COMPILER.check(&plan.spec, &plan.declared);
    problems.into_iter().map(|problem| format!("{} {}", problem.path, problem.code)).collect()
}

#[test]
fn they_are_of_the_rows_as_they_leave_the_transforms() {
    let transforms = json!([
        {"type": "filter", "condition": "id <> 2"},
        {"type": "map", "set": {"name": "upper(name)"}, "remove": ["age"]},
    ]);
    let wanted = [
        ("key", "id", Type::Text),
        ("headers.who", "name || '@' || meta.topic", Type::Text),
        ("partition", "id % 4", Type::Bigint),
        ("when", "id > 2", Type::Boolean),
    ];
    let lines =
        [r#"{"id":1,"name":"a","age":3}"#, r#"{"id":2,"name":"b"}"#, r#"{"id":"x7","name":null}"#, r#"{"id":7}"#];
    let documents = Demand::Documents;
    let columns = Demand::Columns(vec![column("name", Type::Text)]);
    for demand in [documents, columns] {
        let processed = program(&plan_with(transforms.clone(), demand, &wanted[..2])).process(records(&lines)).unwrap();
        assert_eq!(side(&processed), ["1|A@events", "7|-"], "{processed:?}");
        assert!(dead(&processed)[0].starts_with("2 transforms[0]"), "{:?}", dead(&processed));
    }
    let processed = program(&plan_with(transforms, Demand::Documents, &wanted)).process(records(&lines)).unwrap();
    assert_eq!(side(&processed), ["1|A@events|1|false", "7|-|3|true"]);
}

/// A text is the text of whatever value it is; another type takes what fits it, and what does not is a dead letter.
#[test]
fn what_does_not_fit_is_a_dead_letter_with_all_its_rows() {
    let wanted = [("key", "k", Type::Text), ("partition", "p", Type::Bigint)];
    let lines = [
        r#"{"k":1.50,"p":1}"#,
        r#"{"k":true,"p":2}"#,
        r#"{"k":{"a": [1]},"p":3}"#,
        r#"{"k":"x","p":1.5}"#,
        r#"{"k":"y","p":"1"}"#,
        r#"{"p":4}"#,
    ];
    let processed = program(&plan_with(json!([]), Demand::Documents, &wanted)).process(records(&lines)).unwrap();
    assert_eq!(side(&processed), ["1.50|1", "true|2", "{\"a\": [1]}|3", "-|4"]);
    assert_eq!(documents(&processed).len(), 4);
    let dead = dead(&processed);
    assert!(dead.iter().all(|dead| dead[1..].starts_with(" sink type-mismatch: ")), "{dead:?}");
    assert!(dead[0].contains("side expression partition (bigint): 1.5 does not fit"), "{dead:?}");
    assert!(dead[1].contains(r#"field "p" has the string "1""#), "{dead:?}");
}

#[test]
fn rows_that_the_sink_cannot_take_leave_no_side_values_behind() {
    let columns = Demand::Columns(vec![column("n", Type::Bigint)]);
    let wanted = [("key", "meta.offset", Type::Text)];
    let lines = [r#"{"n":1}"#, r#"{"n":"x"}"#, r#"{"n":3}"#];
    let processed = program(&plan_with(json!([]), columns, &wanted)).process(records(&lines)).unwrap();
    assert_eq!((table(&processed), side(&processed)), (vec!["1".into(), "3".into()], vec!["100".into(), "102".into()]));
    let kept = processed.output.retain(|row| row == 1);
    assert_eq!((kept.rows, kept.side[0].len()), (vec![2], 1));
    let list = json!([{"type": "sql", "query": "select unnest(list) as n from input"}]);
    let unnested = program(&plan_with(list, Demand::Documents, &[("key", "n", Type::Text)]));
    let processed = { unnested }.process(records(&[r#"{"list":[5,6]}"#, r#"{"list":[]}"#, r#"{"list":[7]}"#])).unwrap();
    assert_eq!((side(&processed), processed.output.rows), (vec!["5".into(), "6".into(), "7".into()], vec![0, 0, 2]));
}

#[test]
fn they_are_checked_as_all_expressions_are() {
    let plan =
        |text: &str, ty| plan_with(json!([{"type": "map", "select": ["id"]}]), Demand::Documents, &[("key", text, ty)]);
    let mut said = Vec::new();
    for (text, ty) in [
        ("id", Type::Text),
        ("nope", Type::Text),
        ("id +", Type::Text),
        ("", Type::Text),
        ("random()", Type::Text),
        ("id || uuid()", Type::Text),
        ("id > 3", Type::Bigint),
        ("id", Type::Boolean),
        ("count(id)", Type::Text),
        ("fn(id)", Type::Text),
    ] {
        said.push(format!("{text} ({ty}): {}", check(&plan(text, ty)).join(", ")));
    }
    insta::assert_snapshot!(said.join("\n"));
    let read = plan("meta.topc || meta.offset", Type::Text);
    let read = COMPILER.metadata(&read.spec, &read.declared);
    assert_eq!(read, [("sink.key".to_owned(), "topc".to_owned()), ("sink.key".to_owned(), "offset".to_owned())]);
}
