//! Records that delete: those without data, and those of which the sink's `op` says so.
use super::*;
use dataflow_sdk::batch::{Inferred, Notice, Operation, Operations};

/// A plan for a table sink that is known by `id`.
fn keyed(transforms: Value, op: Option<&str>, demand: Demand) -> Plan {
    let mut plan = plan(spec(transforms, json!({"sink": {"type": "table", "key": "id"}})), demand);
    let sink = &mut plan.declared.sink;
    (sink.tombstones, sink.op) = (true, op.map(String::from));
    sink.unknown_fields = Some(UnknownFields::Ignore);
    plan
}

fn columns() -> Demand {
    Demand::Columns(vec![column("id", Type::Bigint), column("n", Type::Bigint)])
}

/// The same records, of which some have no data, all with these keys.
fn with_keys(records: &Arc<Records>, without_data: &[usize], keys: &[&str]) -> Arc<Records> {
    let mut records = Records::clone(records);
    without_data.iter().for_each(|row| records.spans[*row] = Span::NULL);
    let mut data = Vec::new();
    let spans = keys.iter().map(|key| {
        data.extend_from_slice(key.as_bytes());
        Span::new(data.len() - key.len(), data.len())
    });
    let spans = spans.collect();
    records.keys = Some(Slices { data: data.into(), spans });
    Arc::new(records)
}

fn deletes(processed: &Processed) -> Vec<bool> {
    (0..processed.output.len()).map(|row| processed.output.operation(row) == Operation::Delete).collect()
}

#[test]
fn a_tombstone_deletes_the_row_whose_key_is_computed() {
    let records = with_keys(&records(&[r#"{"n":1}"#, "{}", r#"{"n":2}"#]), &[1], &["5", "6", "7"]);
    let by_key = json!([{"type": "map", "set": {"id": "cast(meta.key as bigint)"}}]);
    let processed = program(&keyed(by_key.clone(), None, columns())).process(records.clone()).unwrap();
    assert_eq!(table(&processed), ["5|1", "6|-", "7|2"]);
    assert_eq!((deletes(&processed), dead(&processed)), (vec![false, true, false], vec![]));
    // As whole documents, for a comparison.
    let processed = program(&keyed(by_key.clone(), None, Demand::Lines)).process(records.clone()).unwrap();
    assert_eq!(documents(&processed), [r#"{"n":1,"id":5}"#, r#"{"id":6}"#, r#"{"n":2,"id":7}"#]);
    assert_eq!(deletes(&processed), [false, true, false]);
    // A filter drops it, and a record that nothing was computed for says nothing of a row.
    let filter = json!([{"type": "filter", "condition": "n > 0"}]);
    let processed = program(&keyed(filter, None, columns())).process(records.clone()).unwrap();
    assert_eq!((processed.filtered, processed.dead.len(), processed.output.len()), (1, 0, 2));
    for transforms in [json!([]), json!([{"type": "map", "set": {"n": "coalesce(n, 9)"}}])] {
        let processed = program(&keyed(transforms, None, columns())).process(records.clone()).unwrap();
        let dead = dead(&processed);
        assert!(dead.len() == 1 && dead[0].starts_with("1 decode tombstone: "), "{dead:?}");
        assert!(dead[0].contains("meta.key"), "{dead:?}");
    }
    // Of a sink that has no use for them they are dead letters.
    let mut plan = keyed(by_key, None, columns());
    plan.declared.sink.tombstones = false;
    let processed = program(&plan).process(records).unwrap();
    assert_eq!((dead(&processed).len(), processed.output.operations), (1, Operations::Upserts));
}

#[test]
fn the_word_of_op_says_what_becomes_of_a_row() {
    let lines = [
        r#"{"op":"c","id":1}"#,
        r#"{"op":"U","id":2}"#,
        r#"{"op":"DELETE","id":3}"#,
        r#"{"op":"d","id":4}"#,
        r#"{"op":null,"id":5}"#,
        r#"{"id":6}"#,
        r#"{"op":"truncate","id":7}"#,
        r#"{"op":"r","id":8}"#,
    ];
    for demand in [columns(), Demand::Documents] {
        let processed = program(&keyed(json!([]), Some("op"), demand)).process(records(&lines)).unwrap();
        assert_eq!(deletes(&processed), [false, false, true, true, false, false, false]);
        assert_eq!(dead(&processed), [r#"6 sink unknown-op: op: "truncate" is neither delete nor another operation"#]);
    }
    // A tombstone is a delete whatever else is said.
    let records = with_keys(&records(&[r#"{"id":1}"#, "{}"]), &[1], &["1", "2"]);
    let by_key = json!([{"type": "map", "set": {"id": "cast(meta.key as bigint)"}}]);
    for op in ["'nonsense'", "'u'"] {
        let op = format!("case when meta.key = '2' then {op} end");
        let processed = program(&keyed(by_key.clone(), Some(&op), columns())).process(records.clone()).unwrap();
        assert_eq!((deletes(&processed), dead(&processed)), (vec![false, true], vec![]), "{op}");
    }
    let checked = |op: &str| {
        let plan = keyed(json!([]), Some(op), columns());
        let problems = COMPILER.check(&plan.spec, &plan.declared);
        problems.into_iter().map(|problem| format!("{} {}", problem.path, problem.code)).collect::<Vec<_>>()
    };
    assert_eq!(checked("op ="), ["sink.op syntax"]);
    assert_eq!(checked("case when random() > 0.5 then 'd' end"), ["sink.op volatile-key"]);
}

/// Of a delete nothing but the key is looked at: neither values that don't fit, nor fields that nobody has a column for.
#[test]
fn of_a_delete_only_the_key_counts() {
    let lines = [
        r#"{"op":"d","id":1,"n":"no number","more":1}"#,
        r#"{"op":"u","id":2,"n":2}"#,
        r#"{"op":"d","id":"no number","n":3}"#,
        r#"{"op":"d","id":4}"#,
        r#"{"op":"u","id":5,"n":"no number"}"#,
    ];
    let all = |rule: UnknownFields, transforms: &Value| {
        let mut plan = keyed(transforms.clone(), Some("op"), columns());
        plan.declared.sink.unknown_fields = Some(rule);
        let processed = program(&plan).process(records(&lines)).unwrap();
        let rows: Vec<u32> = processed.dead.iter().map(|dead| dead.row).collect();
        (table(&processed), deletes(&processed), rows, processed)
    };
    let computed = json!([{"type": "map", "set": {"n": "coalesce(n, n)"}}]);
    for transforms in [json!([]), computed] {
        for rule in [UnknownFields::Ignore, UnknownFields::Add, UnknownFields::Fail] {
            let (rows, deletes, dead, processed) = all(rule, &transforms);
            assert_eq!(rows, ["1|-", "2|2", "4|-"], "{rule:?}");
            assert_eq!((deletes, dead), (vec![true, false, true], vec![2, 4]), "{rule:?}");
            let unknown: Vec<&str> = processed.new_columns.columns.iter().map(|column| &*column.name).collect();
            assert!(!unknown.contains(&"more"), "{unknown:?}");
            assert!(
                processed.warnings.iter().filter_map(Notice::holding).all(|warning| warning.subject != "more"),
                "{:?}",
                processed.warnings
            );
        }
    }
    let lines = [r#"{"op":"d","id":1,"more":1}"#, r#"{"id":2,"more":1}"#];
    let mut plan = keyed(json!([]), Some("op"), columns());
    plan.declared.sink.unknown_fields = Some(UnknownFields::Dead);
    let processed = program(&plan).process(records(&lines)).unwrap();
    assert_eq!((table(&processed), processed.dead.len()), (vec!["1|-".into()], 1), "{:?}", processed.dead);
}

/// They do not say which columns a table is to have.
#[test]
fn deletes_make_no_columns() {
    let lines = [r#"{"op":"d","id":1,"n":"x","more":1}"#, r#"{"op":"u","id":2,"n":2}"#];
    let found = program(&keyed(json!([]), Some("op"), Demand::AllColumns)).infer(&records(&lines)).unwrap();
    let columns: Vec<_> = found.columns.iter().map(|column| (&*column.name, column.ty)).collect();
    assert_eq!(columns, [("op", Type::Text), ("id", Type::Bigint), ("n", Type::Bigint)]);
    let found = program(&keyed(json!([]), Some("op"), Demand::AllColumns)).infer(&records(&lines[..1])).unwrap();
    assert_eq!(found.columns, []);
    let tombstones = with_keys(&records(&["{}"]), &[0], &["1"]);
    let by_key = json!([{"type": "map", "set": {"id": "meta.key"}}]);
    let found = program(&keyed(by_key, None, Demand::AllColumns)).infer(&tombstones).unwrap();
    assert_eq!(found.columns, []);
}

/// Nor do records that the sink will refuse, as they have no key.
#[test]
fn records_without_a_key_make_no_columns() {
    let lines = [r#"{"n":"x","more":1}"#, r#"{"id":null,"n":"y"}"#, r#"{"id":2,"n":2}"#];
    let infer = |lines: &[&str]| program(&keyed(json!([]), None, Demand::AllColumns)).infer(&records(lines)).unwrap();
    let columns = |found: Inferred| found.columns.into_iter().map(|column| (column.name, column.ty));
    assert!(columns(infer(&lines)).eq([("id".to_owned(), Type::Bigint), ("n".to_owned(), Type::Bigint)]));
    assert_eq!(infer(&lines[..2]), Inferred::default());
}
