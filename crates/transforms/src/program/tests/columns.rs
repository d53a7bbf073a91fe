//! Columns for table sinks.
use super::*;
use std::collections::BTreeMap;

fn columns(transforms: Value, demand: &[Column], lines: &[&str]) -> Processed {
    program(&plan(spec(transforms, json!({})), Demand::Columns(demand.to_vec()))).process(records(lines)).unwrap()
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
    assert_eq!(dead(&processed), ["0 sink type-mismatch: column sum (bigint): 2.5 does not fit"]);
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
    let found: Vec<String> = program
        .infer(&records(&lines))
        .unwrap()
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.ty))
        .collect();
    insta::assert_snapshot!(found.join("\n"));
    assert_eq!(program.infer(&records(&[r#"{"age": 3}"#, "x"])).unwrap().columns, []);
}

#[test]
fn unknown_fields_are_ignored_added_or_fatal() {
    let go = |rule, lines: &[&str]| {
        let mut plan = plan(
            spec(json!([{"type": "filter", "condition": "id > 0"}]), json!({})),
            Demand::Columns(vec![column("id", Type::Bigint)]),
        );
        plan.declared.sink.unknown_fields = Some(rule);
        program(&plan).process(records(lines)).unwrap()
    };
    let lines = [r#"{"id": 1, "b": "x"}"#, r#"{"id": 2}"#, r#"{"id": 0, "c": 1}"#, r#"{"id": 3, "b": "y", "d": 1.5}"#];
    let ignored = go(UnknownFields::Ignore, &lines);
    assert_eq!(table(&ignored), ["1", "2", "3"]);
    assert!(
        ignored
            .warnings
            .iter()
            .filter_map(Notice::holding)
            .any(|warning| warning.code == "ignored-field" && warning.subject == "b" && warning.records == 2)
    );
    let dead_ones = go(UnknownFields::Dead, &lines);
    assert_eq!(table(&dead_ones), ["2"]);
    assert_eq!(
        dead(&dead_ones),
        [
            "0 sink unknown-field: the sink has no column b that records can fill",
            "3 sink unknown-field: the sink has no column b that records can fill"
        ]
    );
    assert_eq!(dead_ones.filtered, 1);
    let added = go(UnknownFields::Add, &lines);
    assert_eq!(added.new_columns.columns, [column("b", Type::Text), column("d", Type::Number)]);
}

#[test]
fn a_table_of_its_own_gets_every_field_but_those_it_turned_down() {
    let mut plan = plan(spec(json!([]), json!({})), Demand::Growing(vec![column("id", Type::Bigint)]));
    let lines = [r#"{"id": 1, "b": "x", "no": 2}"#, r#"{"b": null}"#, r#"{"no": 3}"#, "{}", r#"{"id": 2, "c": null}"#];
    let asked = program(&plan).process(records(&lines)).unwrap();
    assert_eq!(asked.new_columns.columns, [column("b", Type::Text), column("no", Type::Bigint)]);
    plan.demand = Demand::Growing(vec![column("id", Type::Bigint), column("b", Type::Text)]);
    plan.so_far.turned_down = ["no".to_owned()].into();
    let all = program(&plan).process(records(&lines)).unwrap();
    assert_eq!(all.new_columns.columns, []);
    assert_eq!(table(&all), ["1|x", "-|-", "2|-"]);
    let left_out = all.warnings.iter().filter_map(Notice::holding);
    let left_out: Vec<_> = left_out.map(|it| (it.code.as_ref(), it.subject.as_str(), it.records)).collect();
    assert_eq!(left_out, [("ignored-field", "no", 1)], "the other one is a dead letter");
    let none = dead(&all);
    assert_eq!(none[0], "2 sink no-fields: the sink has no column for any field of the record (no)");
    assert_eq!(none[1..], ["3 sink no-fields: the record has no fields"]);
}

/// Names of the columns that each row has no field for.
fn absent(processed: &Processed) -> Vec<String> {
    let Payload::Columns(cells) = &processed.output.payload else { panic!("no columns") };
    let schema = cells.schema();
    let of_row = |row: usize| {
        let names = schema.fields().iter().enumerate().filter(|(column, _)| cells.is_absent(*column, row));
        names.map(|(_, field)| field.name().as_str()).collect::<Vec<_>>().join(",")
    };
    (0..cells.num_rows()).map(of_row).collect()
}

#[test]
fn a_field_that_is_missing_is_told_from_null() {
    let transforms = json!([{"type": "filter", "condition": "id > 0"}, {"type": "map", "set": {"full": "name", "twice": "age * 2", "made.age": "age"}, "remove": ["secret"]}]);
    let columns =
        ["id", "name", "full", "twice", "secret", "a.b", "made", "nobody"].map(|name| column(name, Type::Json));
    let lines = [
        r#"{"id": 1, "name": null, "age": 1, "secret": 1, "a": {"b": null}}"#,
        r#"{"id": 0}"#,
        r#"{"id": 2, "a.b": 1}"#,
        r#"{"id": 3, "name": "x", "a": {"c": 1}}"#,
        r#"{"id": 4, "name": "x", "a": null, "age": null}"#,
    ];
    let found =
        program(&plan(spec(transforms, json!({})), Demand::Columns(columns.into()))).process(records(&lines)).unwrap();
    assert_eq!(
        absent(&found),
        ["secret,nobody", "name,full,secret,made,nobody", "secret,a.b,made,nobody", "secret,nobody"]
    );
    let whole = [column("id", Type::Bigint)];
    let found =
        program(&plan(spec(json!([]), json!({})), Demand::Columns(whole.into()))).process(records(&lines)).unwrap();
    let Payload::Columns(cells) = &found.output.payload else { panic!("no columns") };
    assert!(cells.is_whole());
}

/// A field that is null has a value: only where it is missing does the path of its name count.
#[test]
fn a_dotted_name_that_is_null_is_not_missing() {
    let lines = [
        r#"{"id": 1, "a.b": null, "a": {"b": 5}}"#,
        r#"{"id": 2, "a.b": 4, "a": {"b": 5}}"#,
        r#"{"id": 3, "a": {"b": 5}}"#,
        r#"{"id": 4, "a": {"b": null}}"#,
        r#"{"id": 5}"#,
    ];
    let of = |lines: &[&str]| columns(json!([]), &[column("id", Type::Bigint), column("a.b", Type::Bigint)], lines);
    assert_eq!(table(&of(&lines)), ["1|-", "2|4", "3|5", "4|-", "5|-"]);
    assert_eq!(absent(&of(&lines)), ["", "", "", "", "a.b"]);
    // All have it, or none.
    assert_eq!(table(&of(&lines[..2])), ["1|-", "2|4"]);
    assert_eq!(table(&of(&lines[2..])), ["3|5", "4|-", "5|-"]);
    // Of the rows that a filter leaves, too.
    let transforms = json!([{"type": "filter", "condition": "id > 1"}]);
    let found = columns(transforms, &[column("id", Type::Bigint), column("a.b", Type::Bigint)], &lines);
    assert_eq!(table(&found), ["2|4", "3|5", "4|-", "5|-"]);
}

#[test]
fn a_record_of_which_nothing_would_be_written_is_a_dead_letter() {
    let keyed = |rule, transforms, key: &[&str]| {
        let mut plan = plan(
            spec(transforms, json!({})),
            Demand::Columns(vec![column("userId", Type::Bigint), column("Name", Type::Text)]),
        );
        plan.declared.sink.unknown_fields = Some(rule);
        plan.declared.sink.key = key.iter().map(ToString::to_string).collect();
        let lines = [r#"{"userid": 1, "name": "x"}"#, r#"{"userId": 2}"#, "{}", r#"{"Name": null, "other": 1}"#];
        program(&plan).process(records(&lines)).unwrap()
    };
    let go = |rule, transforms| keyed(rule, transforms, &[]);
    let found = go(UnknownFields::Ignore, json!([]));
    assert_eq!(
        dead(&found),
        [
            "0 sink no-fields: the sink has no column for any field of the record (userid: there is userId, and names are case-sensitive; name: there is Name, and names are case-sensitive)",
            "2 sink no-fields: the record has no fields"
        ]
    );
    assert_eq!(table(&found), ["2|-", "-|-"]);
    // The letter says it of a field of its own.
    let ignored = found.warnings.iter().filter_map(Notice::holding);
    let ignored: Vec<_> = ignored.map(|warning| (warning.subject.as_str(), warning.records)).collect();
    assert_eq!(ignored, [("other", 1)]);
    // Without a key it is what the sink calls a record without a key that has other fields.
    let found = keyed(UnknownFields::Ignore, json!([]), &["userId"]);
    assert_eq!(dead(&found), [0, 2].map(|row| format!("{row} sink rejected: key column userId is missing")));
    // What is computed is always there.
    let computed = go(UnknownFields::Ignore, json!([{"type": "map", "set": {"Name": "upper(name)"}}]));
    assert_eq!(computed.dead, []);
    let failing = go(UnknownFields::Fail, json!([]));
    assert_eq!(
        failing.new_columns.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(),
        ["userid", "name", "other"]
    );
}

/// Which columns were made of records before it makes no difference to a record.
#[test]
fn a_value_of_a_declared_type_is_judged_before_there_are_columns() {
    let (i, n) = (column("i", Type::Bigint), column("n", Type::Double));
    let demands = [
        Demand::AllColumns,
        Demand::Columns(vec![]),
        Demand::Columns(vec![i.clone()]),
        Demand::Columns(vec![n.clone(), i.clone()]),
        Demand::Growing(vec![]),
        Demand::Growing(vec![i.clone()]),
        Demand::Growing(vec![i, n]),
        Demand::Documents,
        Demand::Lines,
    ];
    for demand in demands {
        let go = |more: Value| {
            let mut plan = plan(spec(json!([]), more), demand.clone());
            plan.declared.sink.unknown_fields = Some(UnknownFields::Ignore);
            program(&plan).process(records(&[r#"{"i": 1, "n": "x", "d": "y"}"#])).unwrap()
        };
        // Of several values that don't fit, the letter names the same one.
        let cause = r#"schema n (double): field "n" has the string "x", a number (double) was asked for"#;
        let found = go(json!({"schema": {"n": "double", "d": "date"}}));
        assert_eq!(dead(&found), [format!("0 sink type-mismatch: {cause}")], "{demand:?}");
        let found = go(json!({"schema": {"n": "double"}, "onTypeMismatch": "null"}));
        let taken = found.warnings.iter().filter_map(Notice::holding).filter(|of| of.code == "type-mismatch");
        let taken: Vec<_> = taken.map(|it| (it.subject.as_str(), it.message.as_str(), it.records)).collect();
        assert_eq!(taken, [("n", &*format!("taken as NULL: {cause}"), 1)], "{demand:?}");
    }
}

/// An ignored field is counted of the records that go to the sink, whatever became of others: filtered, unreadable, or of a
/// value that doesn't fit; and once of each that was made several rows of.
#[test]
fn ignored_fields_are_counted_of_the_records_that_go_to_the_sink() {
    let lines = [
        r#"{"id": 1, "all": 1, "some": 1, "list": [1, 2]}"#,
        r#"{"id": 2, "all": 1, "list": [3]}"#,
        r#"{"id": 3, "all": 1, "some": 1, "list": []}"#,
        r#"{"id": "x", "all": 1, "some": 1, "list": [4]}"#,
        r#"{"id": 5, "all": 1, "some": 1"#,
        r#"{"id": 6, "all": 1, "some": null, "list": [5, 6], "late": 1}"#,
        r#"{"id": -7, "all": 1, "some": 1, "list": [7], "gone": 1}"#,
    ];
    let filter = json!({"type": "filter", "condition": "id is null or id > 0"});
    let unnest = json!({"type": "sql", "query": "select id, unnest(list) as a from input"});
    let set = json!({"type": "map", "set": {"made": "1"}});
    let all = |transforms: Value, records: Arc<Records>| {
        let mut plan = plan(spec(transforms, json!({})), Demand::Columns(vec![column("id", Type::Bigint)]));
        plan.declared.sink.unknown_fields = Some(UnknownFields::Ignore);
        let processed = program(&plan).process(records).unwrap();
        let ignored =
            processed.warnings.iter().filter_map(Notice::holding).filter(|warning| warning.code == "ignored-field");
        ignored.map(|warning| (warning.subject.clone(), warning.records)).collect::<BTreeMap<_, _>>()
    };
    let counts = |counts: &[(&str, u64)]| counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(
        all(json!([]), records(&lines)),
        counts(&[("all", 5), ("some", 4), ("list", 5), ("late", 1), ("gone", 1)])
    );
    let after = all(json!([filter]), records(&lines));
    assert_eq!(after, counts(&[("all", 4), ("some", 3), ("list", 4), ("late", 1)]));
    assert_eq!(all(json!([filter, set]), records(&lines))["made"], 4);
    assert_eq!(all(json!([filter, unnest]), records(&lines)), counts(&[("a", 3)]));
    let csv = csv(&["1,x", "-2,x", "n,x", "4,x"], &["id", "b"]);
    assert_eq!(all(json!([filter]), csv), counts(&[("b", 2)]));
}

#[test]
fn why_a_record_with_an_unknown_field_is_dead_depends_on_no_other() {
    let many: Vec<String> = (0..10_001).map(|n| format!("\"f{n}\": 1")).collect();
    let many = format!("{{{}}}", many.join(", "));
    let lines = [
        r#"{"id": 1, "z": 1, "b": 2}"#,
        r#"{"id": 2, "b": 1, "z": 1}"#,
        r#"{"id": 3, "c": 1}"#,
        &many,
        r#"{"id": 4}"#,
        r#"{"z": null, "id": 5, "late": 1, "b": 1}"#,
    ];
    let go = |lines: &[&str]| {
        let mut plan = plan(spec(json!([]), json!({})), Demand::Columns(vec![column("id", Type::Bigint)]));
        plan.declared.sink.unknown_fields = Some(UnknownFields::Dead);
        let processed = program(&plan).process(records(lines)).unwrap();
        (table(&processed), processed.dead)
    };
    let causes = |lines: &[&str]| go(lines).1.into_iter().map(|dead| dead.cause).collect::<Vec<_>>();
    let alone: Vec<String> = lines.iter().flat_map(|line| causes(&[line])).collect();
    let backwards: Vec<&str> = lines.iter().rev().copied().collect();
    assert_eq!(causes(&lines), alone);
    assert_eq!(causes(&backwards), alone.into_iter().rev().collect::<Vec<_>>());
    assert_eq!((go(&lines).0, go(&backwards).0), (vec!["4".to_owned()], vec!["4".to_owned()]));
    // A name that is not tracked is unknown like any other.
    let (rows, dead) = go(&[&many, r#"{"id": 4}"#]);
    assert_eq!((rows, dead.len()), (vec!["4".to_owned()], 1));
}
