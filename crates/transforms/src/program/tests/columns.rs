//! Columns for table sinks.
use super::*;

fn columns(transforms: Value, demand: &[Column], lines: &[&str]) -> Processed {
    program(&plan(spec(transforms, json!({})), Demand::Columns(demand.to_vec()))).process(records(lines))
}

#[test]
fn fields_and_computed_values_come_in_the_types_asked_for() {
    let demand = [
        column("id", Type::Bigint),
        column("name", Type::Text),
        column("total", Type::Decimal { precision: 10, scale: 2 }),
        column("raw", Type::Json),
        column("up", Type::Json),
        column("a.b", Type::Integer),
        column("nothing", Type::Date),
        column("sum", Type::Bigint),
    ];
    let transforms =
        json!([{"type": "map", "set": {"total": "price * 2", "up": "upper(name)", "sum": "price + price"}}]);
    let lines = [
        r#"{"id": 9007199254740993, "name": "ada", "price": 1.25, "raw": {"x": [1]}, "a": {"b": 7}}"#,
        r#"{"id": 2, "price": 2, "a.b": 8, "a": {"b": 9}}"#,
    ];
    let processed = columns(transforms, &demand, &lines);
    assert_eq!(table(&processed), ["2|-|4.00|-|-|8|-|4"]);
    assert_eq!(dead(&processed), ["0 sink type-mismatch: column sum (bigint): 2.50 does not fit"]);
}

#[test]
fn a_misfit_in_a_filtered_row_does_not_matter() {
    let demand = [column("age", Type::Smallint)];
    let lines = [r#"{"age": 19}"#, r#"{"age": 70000}"#, r#"{"age": -70000}"#, r#"{"age": "x"}"#];
    let processed = columns(json!([{"type": "filter", "condition": "age > 0"}]), &demand, &lines);
    assert_eq!(table(&processed), ["19"]);
    assert_eq!(processed.filtered, 1);
    insta::assert_snapshot!(dead(&processed).join("\n"));
}

#[test]
fn removed_and_unselected_fields_are_null() {
    let demand = [column("a", Type::Bigint), column("b", Type::Bigint)];
    let lines = [r#"{"a": 1, "b": 2}"#];
    assert_eq!(table(&columns(json!([{"type": "map", "remove": ["a"]}]), &demand, &lines)), ["-|2"]);
    assert_eq!(table(&columns(json!([{"type": "map", "select": ["a"]}]), &demand, &lines)), ["1|-"]);
    assert_eq!(
        table(&columns(json!([{"type": "sql", "query": "SELECT b AS a FROM input"}]), &demand, &lines)),
        ["2|-"]
    );
}

#[test]
fn all_columns_are_those_of_the_rows_that_come_through() {
    let transforms = json!([{"type": "filter", "condition": "age > 18"}, {"type": "map", "set": {"next": "age + 1", "street": "address.street"}, "remove": ["secret"]}]);
    let lines = [
        r#"{"age": 19, "name": "ada", "score": 1.5, "address": {"street": "x"}, "secret": 1}"#,
        r#"{"age": 20, "score": 2, "at": "2026-01-01", "flag": true, "none": null}"#,
        r#"{"age": 3, "name": 5, "filtered": 1}"#,
    ];
    let mut program = program(&plan(spec(transforms, json!({})), Demand::AllColumns));
    let found: Vec<String> =
        program.infer(&records(&lines)).columns.iter().map(|column| format!("{} {}", column.name, column.ty)).collect();
    insta::assert_snapshot!(found.join("\n"));
    assert_eq!(program.infer(&records(&[r#"{"age": 3}"#, "x"])).columns, []);
}

#[test]
fn unknown_fields_are_ignored_added_or_fatal() {
    let go = |rule, lines: &[&str]| {
        let mut plan = plan(
            spec(json!([{"type": "filter", "condition": "id > 0"}]), json!({})),
            Demand::Columns(vec![column("id", Type::Bigint)]),
        );
        plan.unknown_fields = Some(rule);
        program(&plan).process(records(lines))
    };
    let lines = [r#"{"id": 1, "b": "x"}"#, r#"{"id": 2}"#, r#"{"id": 0, "c": 1}"#, r#"{"id": 3, "b": "y", "d": 1.5}"#];
    let ignored = go(UnknownFields::Ignore, &lines);
    assert_eq!(table(&ignored), ["1", "2", "3"]);
    assert!(
        ignored
            .warnings
            .iter()
            .any(|warning| warning.code == "ignored-field" && warning.subject == "b" && warning.records == 2)
    );
    let dead_ones = go(UnknownFields::Dead, &lines);
    assert_eq!(table(&dead_ones), ["2"]);
    assert_eq!(
        dead(&dead_ones),
        ["0 sink unknown-field: the sink has no column b", "3 sink unknown-field: the sink has no column b"]
    );
    assert_eq!(dead_ones.filtered, 1);
    let added = go(UnknownFields::Add, &lines);
    assert_eq!(added.new_columns.columns, [column("b", Type::Text), column("d", Type::Number)]);
}
