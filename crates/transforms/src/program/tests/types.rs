//! Types: of values in expressions, of literals beside them, of the columns that a sink makes.
use super::*;
use dataflow_core::types::Type::{Bigint, Boolean, Datetime, Decimal, Double, Integer, Number, Real, Text, Timestamp};

#[test]
fn a_neighbour_changes_no_cent() {
    let map = json!([{"type": "map", "set": {"x": "cast(balance * 100 as bigint)"}, "select": ["x"]}]);
    let lines = [r#"{"balance": 0.123456789}"#, r#"{"balance": 19.99}"#, r#"{"balance": 1e300}"#, r#"{"balance": 5}"#];
    let together = run(map.clone(), &lines);
    assert_eq!(documents(&together), [r#"{"x":12}"#, r#"{"x":1999}"#, r#"{"x":500}"#]);
    assert_eq!(documents(&run(map, &lines[1..2])), [r#"{"x":1999}"#]);
}

#[test]
fn a_decimal_beside_a_double_is_a_double() {
    let more = json!({"schema": {"x": "double"}});
    for condition in [
        "x > 0.0",
        "x in (1e-20, 2e15, 0.5)",
        "x between 0.0 and 2000000000000000.5",
        "case x when 0.0 then false else true end",
        "coalesce(x, 0.5) > 0.25 - 0.25",
        "x + 0.5 > 0.25 - x",
        "greatest(x, 0.0) > 0.0",
        "x * 0.5 > n * 0.0",
    ] {
        let filter = json!([{"type": "filter", "condition": condition}]);
        let lines = [r#"{"x": 1e-20, "n": 1.5}"#, r#"{"x": 2e15, "n": 3}"#];
        let processed = program(&plan(spec(filter, more.clone()), Demand::Documents)).process(records(&lines)).unwrap();
        assert_eq!((documents(&processed).len(), dead(&processed)), (2, vec![]), "{condition}");
    }
}

#[test]
fn only_the_record_without_a_time_lacks_it() {
    let mut timed = Arc::unwrap_or_clone(records(&["{}", "{}", "{}"]));
    timed.timestamps.as_mut().unwrap()[1] = None;
    let timed = Arc::new(timed);
    let go = |condition: &str| {
        let filter = json!([{"type": "filter", "condition": condition}]);
        let processed = program(&plan(spec(filter, json!({})), Demand::Documents)).process(timed.clone()).unwrap();
        (processed.output.rows.clone(), processed.filtered, dead(&processed))
    };
    assert_eq!(go("meta.timestamp >= '2020-01-01'"), (vec![0, 2], 1, vec![]));
    let (passed, filtered, dead) = go("now() >= '2020-01-01'");
    assert_eq!((passed, filtered), (vec![0, 2], 0));
    assert_eq!(dead.len(), 1);
    assert!(dead[0].starts_with("1 transforms[0] type-mismatch: the record has no time at its source"), "{dead:?}");
}

#[test]
fn a_record_whose_time_is_outside_the_years_1_to_9999_is_dead_where_it_is_asked_for() {
    let mut timed = Arc::unwrap_or_clone(records(&["{}", "{}", "{}", "{}"]));
    timed.timestamps = Some(vec![Some(253_402_300_800_000), Some(253_402_300_799_999), Some(i64::MAX), None]);
    let timed = Arc::new(timed);
    let go = |transforms| {
        let processed = program(&plan(spec(transforms, json!({})), Demand::Documents)).process(timed.clone()).unwrap();
        (processed.output.rows.clone(), dead(&processed))
    };
    for (of, passed) in [("meta.timestamp", &[1, 3][..]), ("now()", &[1]), ("cast(meta.timestamp as text)", &[1, 3])] {
        let (rows, dead) = go(json!([{"type": "map", "set": {"x": of}}]));
        assert_eq!(rows, passed, "{of}: {dead:?}");
        assert!(dead[0].contains("the record's time at its source is outside the years 1 to 9999"), "{dead:?}");
    }
    assert_eq!(go(json!([])).0, [0, 1, 2, 3]);
}

#[test]
fn numbers_that_were_calculated_are_written_without_needless_zeros() {
    let map = json!([{"type": "map", "set": {"x": "cast(a * 2 as text)", "y": "concat('EUR ', a * 2)",
        "z": "cast(cast(a as decimal(10, 2)) as text)"}, "select": ["x", "y", "z"]}]);
    let processed = run(map, &[r#"{"a": 1.5}"#, r#"{"a": 1.125}"#, r#"{"a": 7}"#]);
    let expected = [
        r#"{"x":"3","y":"EUR 3","z":"1.50"}"#,
        r#"{"x":"2.25","y":"EUR 2.25","z":"1.13"}"#,
        r#"{"x":"14","y":"EUR 14","z":"7.00"}"#,
    ];
    assert_eq!(documents(&processed), expected);
}

#[test]
fn what_is_computed_is_never_rounded_into_a_column() {
    let decimal = Decimal { precision: 10, scale: 2 };
    for (expression, ty, fits) in [
        ("a * 1", decimal, false),
        ("a + 0.001", decimal, true),
        ("cast(0.1 as double) + 0.2", decimal, false),
        ("cast(1.1 as double)", decimal, true),
        ("cast(0.1 as double)", Real, true),
        ("cast(0.1 as double) + 0.2", Real, false),
        ("a * 1", Double, true),
        ("id + 0", Double, false),
        ("a * 1", Bigint, false),
        ("fine + interval '1 second'", Timestamp, false),
        ("t", Timestamp, true),
        ("coalesce(nothing, null)", Bigint, true),
        ("case when a > 1 then nothing end", decimal, true),
        ("'12' || '5'", Bigint, false),
        ("'12' || 'x'", Number, false),
    ] {
        let map = json!([{"type": "map", "set": {"x": expression}}]);
        let found = checked(&spec(map.clone(), json!({})));
        assert!(found.is_empty(), "{}", all(&found));
        let demand = Demand::Columns(vec![column("x", ty)]);
        let line = r#"{"a": 1.239, "id": 9007199254740993, "t": "2026-01-02T03:04:05Z", "fine": "2026-01-02T03:04:05.123456789Z"}"#;
        let processed = program(&plan(spec(map, json!({})), demand)).process(records(&[line])).unwrap();
        assert_eq!(dead(&processed).is_empty(), fits, "{expression} as {ty}: {:?}", dead(&processed));
    }
}

/// What a sink's table is made of.
fn inferred(transforms: Value, more: Value, records: &Arc<Records>) -> (Vec<Column>, InferredTypes) {
    let found = program(&plan(spec(transforms, more), Demand::AllColumns)).infer(records).unwrap();
    (found.columns, found.learned)
}

#[test]
fn declared_types_come_first_then_those_of_sql_then_the_data() {
    let map = json!([{"type": "map", "set": {"i": "cast(age as integer)", "at": "cast(t as timestamptz)", "local": "cast(t as timestamp)",
        "up": "upper(name)", "none": "cast(nothing as decimal(12, 3))", "sum": "age + 1", "null": "null", "seen": "age > 3"}}]);
    let lines = records(&[r#"{"age": 1, "t": "2026-01-02T03:04:05Z", "zip": "01067", "price": 1.5, "empty": null}"#]);
    let (columns, learned) = inferred(map, json!({"schema": {"zip": "text", "price": "double"}}), &lines);
    let expected = [
        column("age", Bigint),
        column("t", Text),
        column("zip", Text),
        column("price", Double),
        column("i", Integer),
        column("at", Timestamp),
        column("local", Datetime),
        column("up", Text),
        column("none", Decimal { precision: 12, scale: 3 }),
        column("sum", Bigint),
        column("seen", Boolean),
    ];
    assert_eq!(columns, expected);
    let of_data: Vec<(&str, Option<Type>)> = learned.0.iter().map(|(name, ty)| (name.as_str(), *ty)).collect();
    assert_eq!(
        of_data,
        [("age", Some(Bigint)), ("empty", None), ("null", None), ("sum", Some(Bigint)), ("t", Some(Text))]
    );
}

#[test]
fn a_field_of_nulls_waits_for_a_value() {
    let empty = json!([]);
    let (columns, learned) = inferred(empty.clone(), json!({}), &records(&[r#"{"id": 1, "amount": null}"#]));
    assert_eq!(columns, [column("id", Bigint)]);
    let mut plan = plan(spec(empty, json!({})), Demand::Columns(columns));
    (plan.declared.sink.unknown_fields, plan.learned) = (Some(UnknownFields::Ignore), learned);
    let still = program(&plan).process(records(&[r#"{"id": 2, "amount": null, "other": 1}"#])).unwrap();
    assert_eq!((still.new_columns.columns, still.dead), (vec![], vec![]));
    let now = program(&plan).process(records(&[r#"{"id": 2, "amount": 6.5, "other": 1}"#])).unwrap();
    assert_eq!(now.new_columns.columns, [column("amount", Number)], "other is ignored, as before");
    assert_eq!(now.new_columns.learned.0, [("amount".to_owned(), Some(Number))].into());
}

#[test]
fn an_untyped_value_goes_into_a_column_only_as_it_is_written() {
    let header = ["id", "zip", "phone"];
    let more = json!({"source": {"type": "file", "format": "csv"}});
    let first = csv(&["1,10115,49301"], &header);
    let (columns, learned) = inferred(json!([]), more.clone(), &first);
    assert_eq!(columns, [column("id", Bigint), column("zip", Bigint), column("phone", Bigint)]);
    let go = |more: &Value, columns: &[Column]| {
        let mut plan = plan(spec(json!([]), more.clone()), Demand::Columns(columns.to_vec()));
        plan.learned = learned.clone();
        program(&plan).process(csv(&["2,01067,+49351", "3,5,6"], &header)).unwrap()
    };
    let strict = go(&more, &columns);
    assert_eq!(table(&strict), ["3|5|6"]);
    assert!(dead(&strict)[0].ends_with(r#"its type in schema, as in "zip": "text""#), "{:?}", dead(&strict));
    let declared = json!({"source": more["source"], "schema": {"zip": "text"}});
    let (columns, _) = inferred(json!([]), declared, &first);
    assert_eq!(columns[1], column("zip", Text));
    let named = json!({"source": more["source"], "sink": {"type": "stdout", "columns": {"id": "bigint", "zip": "bigint", "phone": "bigint"}}});
    let columns = [column("zip", Bigint), column("phone", Bigint)];
    assert_eq!(table(&go(&named, &columns)), ["5|6"], "the type of a column says nothing of what a text stands for");
    let declared = json!({"source": more["source"], "schema": {"zip": "integer", "phone": "bigint"}});
    assert_eq!(table(&go(&declared, &columns)), ["1067|49351", "5|6"], "a declared type does");
}

#[test]
fn every_value_has_a_column_that_keeps_it_or_says_why_not() {
    let digits = "1234567890".repeat(5);
    for (value, ty) in [
        ("1e400", Number),
        ("1e309", Number),
        ("1e-324", Number),
        ("1e-400", Number),
        ("1e300", Number),
        ("9007199254740993e300", Number),
        (digits.as_str(), Number),
        ("0.1234567890123456789012345", Number),
        ("-0", Bigint),
        (r#""\ud800""#, Text),
    ] {
        let line = format!(r#"{{"id": 1, "f": {value}}}"#);
        let (columns, learned) = inferred(json!([]), json!({}), &records(&[&line]));
        assert_eq!(columns, [column("id", Bigint), column("f", ty)], "{value}");
        for rule in [UnknownFields::Ignore, UnknownFields::Add, UnknownFields::Dead, UnknownFields::Fail] {
            let mut plan = plan(spec(json!([]), json!({})), Demand::Columns(columns.clone()));
            (plan.declared.sink.unknown_fields, plan.learned) = (Some(rule), learned.clone());
            let processed = program(&plan).process(records(&[&line])).unwrap();
            match ty {
                Text => assert!(dead(&processed)[0].contains(r#"field "f" has the string "\ud800""#), "{processed:?}"),
                _ => assert_eq!(table(&processed), [format!("1|{}", if value == "-0" { "0" } else { value })]),
            }
        }
    }
}

#[test]
fn no_value_beside_others_takes_room_from_what_comes() {
    let first =
        records(&[r#"{"n": 12, "m": 1.5}"#, r#"{"n": 0.1234567890123456789012345, "m": 1e300}"#, r#"{"n": 1e30}"#]);
    let (columns, _) = inferred(json!([]), json!({}), &first);
    assert_eq!(columns, [column("n", Number), column("m", Number)]);
    let more = json!({"source": {"type": "file", "format": "csv"}});
    let (columns, _) = inferred(json!([]), more, &csv(&["1.50", "1.0", "-0", "0.1234567890123456789012345"], &["n"]));
    assert_eq!(columns, [column("n", Number)]);
}

#[test]
fn a_field_whose_name_is_not_tracked_follows_the_rule() {
    let long = "n".repeat(1_025);
    let lines = [format!(r#"{{"id": 1, "{long}": 5}}"#), r#"{"id": 2, "\ud800": 5}"#.into(), r#"{"id": 3}"#.into()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let go = |rule| {
        let mut plan = plan(spec(json!([]), json!({})), Demand::Columns(vec![column("id", Bigint)]));
        plan.declared.sink.unknown_fields = Some(rule);
        program(&plan).process(records(&lines)).unwrap()
    };
    for rule in [UnknownFields::Ignore, UnknownFields::Add] {
        let warnings = go(rule).warnings;
        assert!(
            warnings.iter().filter_map(Notice::holding).any(|it| it.code == "ignored-field" && it.records == 2),
            "{warnings:?}"
        );
    }
    let processed = go(UnknownFields::Dead);
    assert_eq!(table(&processed), ["3"]);
    assert!(dead(&processed)[0].contains("1025 bytes") && dead(&processed)[1].contains("surrogate"), "{processed:?}");
    assert_eq!(go(UnknownFields::Fail).new_columns.columns.len(), 1);
    let mut plan =
        plan(spec(json!([{"type": "map", "remove": [long]}]), json!({})), Demand::Columns(vec![column("id", Bigint)]));
    plan.declared.sink.unknown_fields = Some(UnknownFields::Dead);
    assert_eq!(table(&program(&plan).process(records(&lines)).unwrap()), ["1", "3"]);
}
