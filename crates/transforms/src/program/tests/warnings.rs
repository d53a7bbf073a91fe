//! What a user ought to know.
use super::*;

fn warned(condition: &str, lines: &[&str]) -> String {
    let processed = run(json!([{"type": "filter", "condition": condition}]), lines);
    let warned = processed.warnings.iter().filter_map(Notice::holding);
    warned.map(|it| format!("{} {}: {}", it.code, it.subject, it.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_field_that_no_record_has_is_spoken_of() {
    insta::assert_snapshot!(
        [
            warned("username = 'x'", &[r#"{"userName": "x"}"#]),
            warned("agee > 3 and x.y = 1", &[r#"{"age": 1, "x": {"z": 1}}"#]),
            warned("nothing = 3", &[r#"{"age": 1}"#]),
        ]
        .join("\n")
    );
    assert_eq!(warned("a = 1 or b = 2", &[r#"{"a": 1}"#, r#"{"b": null}"#]), "");
}

#[test]
fn it_is_said_once() {
    let mut program =
        program(&plan(spec(json!([{"type": "filter", "condition": "b = 1"}]), json!({})), Demand::Documents));
    assert_eq!(program.process(records(&[r#"{"a": 1}"#])).unwrap().warnings.len(), 1);
    assert_eq!(program.process(records(&[r#"{"a": 1}"#])).unwrap().warnings.len(), 0);
}

#[test]
fn it_is_taken_back_once_a_record_has_the_field() {
    let transforms = json!([{"type": "filter", "condition": "b = 1 and c.d = 2"}]);
    let mut program = program(&plan(spec(transforms, json!({})), Demand::Documents));
    let mut told = |line: &str| -> Vec<(String, bool)> {
        let warnings = program.process(records(&[line])).unwrap().warnings;
        warnings.into_iter().map(|warning| (warning.key().1.to_owned(), warning.is_over())).collect()
    };
    let of = |subject: &str, over| (subject.to_owned(), over);
    assert_eq!(told(r#"{"a": 1}"#), [of("b", false), of("c.d", false)]);
    assert_eq!(told(r#"{"a": 1}"#), []);
    assert_eq!(told(r#"{"b": null}"#), [of("b", true)]);
    assert_eq!(told(r#"{"b": 1, "c": {"d": 2}}"#), [of("c.d", true)]);
    assert_eq!(told(r#"{"a": 1}"#), []);
}

#[test]
fn a_field_that_most_records_write_in_another_case_is_spoken_of() {
    let lines = [r#"{"Age": 1}"#, r#"{"age": 20}"#, r#"{"age": 30}"#];
    assert_eq!(
        warned("Age > 18", &lines),
        "unknown-field Age: 1 of the first 3 records have a field Age, but 2 have age: names are case-sensitive"
    );
    assert_eq!(warned("age > 18", &lines), "");
}

#[test]
fn of_two_names_that_are_as_near_the_one_in_the_same_case_is_named() {
    let said = warned("agee > 18", &[r#"{"Age": 1, "age": 2}"#]);
    assert!(said.ends_with("did you mean age?"), "{said}");
}

#[test]
fn a_key_with_a_dot_in_it_is_named_as_it_has_to_be_written() {
    let said = warned("user.name = 'x'", &[r#"{"user.name": "x", "user": {}}"#]);
    assert!(said.ends_with("did you mean \"user.name\"?"), "{said}");
}

#[test]
fn a_field_that_is_left_out_and_that_no_record_has_is_spoken_of() {
    for excluded in ["* exclude (agee)", "* except (agee)", "*, age as a", "* exclude age"] {
        let query = format!("select {excluded} from input");
        let processed = run(json!([{"type": "sql", "query": query}]), &[r#"{"age": 1}"#]);
        assert_eq!(processed.warnings.len(), usize::from(excluded.contains("agee")), "{query}");
    }
    let twice = json!([{"type": "sql", "query": "select a from input"}, {"type": "sql", "query": "select * exclude (b) from input"}]);
    assert!(problems(twice).contains("there is no field b to leave out"));
}

#[test]
fn values_without_a_type_in_common_are_told_with_the_first_odd_one() {
    let csv = |lines: &[&str]| csv(lines, &["a"]);
    let json = |lines: &[&str]| records(lines);
    let untyped = json!({"source": {"type": "file", "format": "csv"}});
    let twice = json!([{"type": "map", "set": {"b": "coalesce(a, a)"}, "select": ["b"]}]);
    let none = json!([]);
    for (transforms, more, records, odd) in [
        (
            &none,
            &json!({}),
            json(&[r#"{"a": 1}"#, r#"{"a": 2.5}"#, r#"{"a": "n/a"}"#, r#"{"a": "x"}"#]),
            Some("\"n/a\""),
        ),
        (&none, &json!({}), json(&[r#"{"a": "n/a"}"#, r#"{"a": null}"#, r#"{"a": 7}"#]), Some("7")),
        (&none, &json!({}), json(&[r#"{"a": true}"#, r#"{"a": 0}"#]), Some("0")),
        (&none, &json!({}), json(&[r#"{"a": 1}"#, r#"{"a": 2.5}"#, r#"{"a": null}"#, r#"{"a": 1e300}"#]), None),
        (&none, &json!({}), json(&[r#"{"a": {"b": 1}}"#, r#"{"a": [1]}"#]), None),
        (&none, &json!({"schema": {"a": "bigint"}}), json(&[r#"{"a": 1}"#, r#"{"a": "n/a"}"#]), None),
        (&none, &untyped, csv(&["1", "2", "n/a"]), Some("n/a")),
        (&none, &untyped, csv(&["1", "2.50"]), None),
        (&twice, &json!({}), json(&[r#"{"a": 1}"#, r#"{"a": "n/a"}"#]), Some("\"n/a\"")),
    ] {
        let found = program(&plan(spec(transforms.clone(), more.clone()), Demand::AllColumns)).infer(&records);
        let told: Vec<&str> = found.as_ref().unwrap().warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(told.len(), usize::from(odd.is_some()), "{odd:?} {told:?}");
        assert!(odd.is_none_or(|odd| told[0].contains(&format!("the first odd one is {odd};"))), "{odd:?} {told:?}");
    }
}

/// Every setting that names fields: a name that no record has is told with the nearest, once.
#[test]
fn a_setting_that_names_a_field_that_no_record_has_is_spoken_of() {
    let sink = |more: Value| {
        let mut sink = json!({"type": "sqlite", "path": "a.db", "table": "t"});
        sink.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"sink": sink})
    };
    let map = json!([{"type": "map", "set": {"total": "1"}}]);
    let select = json!([{"type": "map", "set": {"nickname": "username"}, "select": ["id", "nickname"]}]);
    let cases = [
        (json!([]), sink(json!({"columns": ["id", "usrname"]})), "usrname", "did you mean username?"),
        (
            json!([]),
            sink(json!({"columns": {"id": "bigint", "usrname": "text"}})),
            "usrname",
            "nothing fills that column",
        ),
        (json!([]), sink(json!({"key": "idd"})), "idd", "part of the sink's key; did you mean id?"),
        (json!([]), sink(json!({"key": ["id", "usrname"], "columns": ["usrname"]})), "usrname", "sink's key"),
        (json!([]), json!({"schema": {"id": "bigint", "usrname": "text"}}), "usrname", "schema is no field's; did you"),
        (json!([]), sink(json!({"columns": ["id", "Username"]})), "Username", "there is username: names are case"),
        (json!([]), sink(json!({"columns": ["id", "address.street"]})), "address.street", "nothing fills"),
        (
            json!([]),
            sink(json!({"columns": ["id", "address.city", "a.b", "nothing"], "key": "id"})),
            "nothing",
            "nothing fills",
        ),
        (map, sink(json!({"columns": ["total", "id"], "key": "total"})), "", ""),
        (select, sink(json!({"columns": ["nickname", "id"]})), "", ""),
    ];
    for (transforms, more, subject, says) in cases {
        let spec = spec(transforms, more.clone());
        let columns = match spec.sink.config.get("columns") {
            Some(Value::Array(names)) => names.iter().map(|name| name.as_str().unwrap()).collect(),
            Some(Value::Object(types)) => types.keys().map(String::as_str).collect(),
            _ => vec!["id"],
        };
        let columns = columns.into_iter().map(|name| column(name, Type::Text)).collect();
        let mut program = program(&plan(spec.clone(), Demand::Columns(columns)));
        let lines = [r#"{"id": 1, "username": "x", "address": {"city": "y"}, "a.b": 1}"#];
        let warnings = program.process(records(&lines)).unwrap().warnings;
        let told: Vec<_> =
            warnings.iter().filter_map(Notice::holding).filter(|warning| warning.code == "unknown-field").collect();
        assert_eq!(told.len(), usize::from(!subject.is_empty()), "{more}: {told:?}");
        assert!(told.iter().all(|told| told.subject == subject && told.message.contains(says)), "{more}: {told:?}");
        assert!(
            program.process(records(&lines)).unwrap().warnings.iter().all(|warning| warning.key().0 != "unknown-field")
        );
    }
}

/// A program that goes on in place of another, because the sink has more columns now, has seen what the other has.
#[test]
fn what_was_seen_before_more_columns_came_counts() {
    let transforms = json!([{"type": "filter", "condition": "age is null or age > 0"}]);
    let demand = |columns: &[&str]| Demand::Growing(columns.iter().map(|name| column(name, Type::Bigint)).collect());
    let mut first = plan(spec(transforms, json!({})), demand(&["id"]));
    let mut before = program(&first);
    let said = |processed: Processed| -> Vec<(bool, String)> {
        let all = processed.warnings.iter();
        all.map(|notice| (notice.holding().is_some(), notice.key().1.to_owned())).collect()
    };
    assert_eq!(before.missed(), None);
    assert_eq!(said(before.process(records(&[r#"{"id": 1}"#])).unwrap()), [(true, "age".to_owned())]);
    let asked = before.process(records(&[r#"{"id": 2, "age": 3}"#])).unwrap();
    assert_eq!((asked.new_columns.columns.len(), said(asked)), (1, Vec::new()));
    first.demand = demand(&["id", "age"]);
    first.so_far.missed = before.missed();
    let mut after = program(&first);
    assert_eq!(said(after.process(records(&[r#"{"id": 2, "age": 3}"#])).unwrap()), [(false, "age".to_owned())]);
    first.so_far.missed = after.missed();
    assert_eq!(said(program(&first).process(records(&[r#"{"id": 3}"#])).unwrap()), []);
}
