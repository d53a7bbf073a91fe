//! Fields within objects, set and removed by `map`.
use super::*;

fn mapped(map: Value, line: &str) -> String {
    let mut map = map;
    map["type"] = json!("map");
    let transforms = json!([map]);
    let found = problems(transforms.clone());
    if !found.is_empty() {
        return found;
    }
    let processed = run(transforms, &[line]);
    match processed.dead.first() {
        Some(dead) => format!("dead: {}", dead.cause),
        None => documents(&processed)[0].clone(),
    }
}

#[test]
fn a_path_is_set_or_removed_and_nothing_else_changes() {
    let cases: &[(Value, &str, &str)] = &[
        (
            json!({"remove": ["user.email"]}),
            r#"{"a": 1.0, "user": {"email": "x", "name" : "Ada"}}"#,
            r#"{"a": 1.0, "user": {"name" : "Ada"}}"#,
        ),
        (json!({"remove": ["user.email"]}), r#"{"a":1}"#, r#"{"a":1}"#),
        (json!({"remove": ["user.email"]}), r#"{"user":null}"#, r#"{"user":null}"#),
        (json!({"remove": ["user.email"]}), r#"{"user":"x","user.email":1}"#, r#"{"user":"x","user.email":1}"#),
        (json!({"remove": ["\"user.email\""]}), r#"{"user":{"email":1},"user.email":1}"#, r#"{"user":{"email":1}}"#),
        (json!({"remove": ["a.b.c"]}), r#"{"a":{"b":{"c":1,"d":2}}}"#, r#"{"a":{"b":{"d":2}}}"#),
        (json!({"remove": ["a.b", "a.c"]}), r#"{"a":{"b":1,"c":2,"d":3}}"#, r#"{"a":{"d":3}}"#),
        (
            json!({"set": {"address.city": "upper(address.city)"}}),
            r#"{"address":{"city":"ulm","zip":"1"}}"#,
            r#"{"address":{"city":"ULM","zip":"1"}}"#,
        ),
        (json!({"set": {"address.city": "'x'"}}), r#"{"a":1}"#, r#"{"a":1,"address":{"city":"x"}}"#),
        (json!({"set": {"address.city": "null"}}), r#"{"address":{}}"#, r#"{"address":{"city":null}}"#),
        (
            json!({"set": {"address.city": "'x'"}}),
            r#"{"address":3}"#,
            "dead: city can't be set in a value that is not an object",
        ),
        (json!({"set": {"address.city": "town"}}), r#"{"a":1}"#, r#"{"a":1}"#),
        (json!({"set": {"address.city": "town"}}), r#"{"address":{"city":"x","zip":1}}"#, r#"{"address":{"zip":1}}"#),
        (
            json!({"set": {"address.city": "town.name"}}),
            r#"{"town":null,"address":{"city":"x"}}"#,
            r#"{"town":null,"address":{"city":null}}"#,
        ),
        (json!({"set": {"b": "address"}, "remove": ["b.city"]}), r#"{"a":1,"b":2}"#, r#"{"a":1}"#),
        (json!({"set": {"b": "a.c.d"}}), r#"{"a":{"c":{"d":null}}}"#, r#"{"a":{"c":{"d":null}},"b":null}"#),
        (json!({"set": {"b": "a.c.d"}}), r#"{"a":{"c":"x"}}"#, r#"{"a":{"c":"x"},"b":null}"#),
        (
            json!({"set": {"b": "a.c.d"}}),
            r#"{"a":{"c":{"d":1},"c":null},"b":1}"#,
            r#"{"a":{"c":{"d":1},"c":null},"b":null}"#,
        ),
        (json!({"set": {"b": "a.c.d"}}), r#"{"a":{"c":{}},"b":1}"#, r#"{"a":{"c":{}}}"#),
        (json!({"set": {"\"a.b\"": "1"}}), r#"{"a":{"b":2}}"#, r#"{"a":{"b":2},"a.b":1}"#),
        (
            json!({"set": {"a.n": "b", "c": "a.n"}}),
            r#"{"b":[1, 2.0],"a":{}}"#,
            r#"{"b":[1, 2.0],"a":{"n":[1, 2.0]},"c":[1, 2.0]}"#,
        ),
        (json!({"set": {"a.n": "a.n + 1", "c": "a.n * 2"}}), r#"{"a":{"n":1}}"#, r#"{"a":{"n":2},"c":4}"#),
        (json!({"set": {"first name": "1"}}), "{}", r#"{"first name":1}"#),
        (json!({"set": {"a.b": "1"}, "select": ["a"]}), r#"{"a":{"c":2},"d":3}"#, r#"{"a":{"c":2,"b":1}}"#),
    ];
    let mut wrong = Vec::new();
    for (map, line, expected) in cases {
        let got = mapped(map.clone(), line);
        if got != *expected {
            wrong.push(format!("{map} of {line}: {got}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_can_not_be_set_or_removed_is_said() {
    let maps = [
        json!({"remove": ["a..b"]}),
        json!({"remove": ["\"a"]}),
        json!({"set": {"\"a\"b": "1"}}),
        json!({"select": ["a.b"]}),
        json!({"set": {"a": "1", "a.b": "2"}}),
        json!({"remove": ["a", "a.b"]}),
        json!({"set": {"x.y": "1", "z": "x.y.w"}}),
    ];
    let found: Vec<String> = maps.into_iter().map(|map| mapped(map, "{}")).collect();
    insta::assert_snapshot!(found.join("\n"));
    let later = json!([{"type": "map", "remove": ["user.email"]}, {"type": "filter", "condition": "user.email = 'x'"}]);
    insta::assert_snapshot!("read_later", problems(later));
}

#[test]
fn removing_what_no_record_has_is_spoken_of() {
    let said = |name: &str, line: &str| {
        let processed = run(json!([{"type": "map", "remove": [name]}]), &[line]);
        processed
            .warnings
            .iter()
            .filter_map(Notice::holding)
            .map(|it| it.message.clone())
            .collect::<Vec<_>>()
            .join("\n")
    };
    let line = r#"{"email":1,"user":{"mail":2}}"#;
    assert_eq!(
        said("emial", line),
        "none of the first 1 records has a field emial: there is nothing to remove; did you mean email?"
    );
    assert_eq!(
        said("user.email", line),
        "none of the first 1 records has a field user.email: there is nothing to remove"
    );
    assert_eq!(said("email", line) + &said("user.mail", line), "");
}

#[test]
fn columns_of_a_table_are_those_of_the_changed_object() {
    let transforms = json!([{"type": "map", "set": {"a.n": "a.n + 1"}, "remove": ["a.secret"]}]);
    let columns = vec![
        column("a.n", Type::Bigint),
        column("a.secret", Type::Text),
        column("a.m", Type::Bigint),
        column("a", Type::Json),
    ];
    let mut program = program(&plan(spec(transforms, json!({})), Demand::Columns(columns)));
    let processed = program.process(records(&[r#"{"a":{"n":1,"m":5,"secret":"x"}}"#, "{}"])).unwrap();
    assert_eq!(table(&processed), [r#"2|-|5|{"n":2,"m":5}"#, r#"-|-|-|{"n":null}"#]);
}

#[test]
fn what_is_no_object_on_the_way_to_a_field_is_null_where_misfits_are() {
    let spec = spec(json!([{"type": "map", "set": {"a.b.c": "1"}}]), json!({"onTypeMismatch": "null"}));
    let lines = [r#"{"a":{"b":3,"d":4}}"#, r#"{"a":"x"}"#, r#"{"a":{"b":{}}}"#];
    let processed = program(&plan(spec, Demand::Documents)).process(records(&lines)).unwrap();
    let expected = [r#"{"a":{"b":{"c":1},"d":4}}"#, r#"{"a":{"b":{"c":1}}}"#, r#"{"a":{"b":{"c":1}}}"#];
    assert_eq!(documents(&processed), expected);
    let warned = processed.warnings.iter().filter_map(Notice::holding);
    let warned: Vec<(&str, u64)> = warned.map(|it| (it.code.as_str(), it.records)).collect();
    assert_eq!(warned, [("type-mismatch", 2)]);
    assert!(processed.dead.is_empty());
}

#[test]
fn a_field_that_is_set_in_vain_is_refused() {
    for (map, fate) in [
        (json!({"set": {"z": "1"}, "select": ["id"]}), "z is not selected"),
        (json!({"set": {"a.b": "1"}, "select": ["id"]}), "a.b is not selected"),
        (json!({"set": {"z": "z + 1"}, "select": ["id"]}), "z is not selected"),
        (json!({"set": {"z": "1"}, "remove": ["z"]}), "z is removed"),
        (json!({"set": {"a.b": "1"}, "remove": ["a"]}), "a.b is removed"),
        (json!({"set": {"\"z\"": "1", "z": "2"}}), "z is set again by set.z"),
        (json!({"set": {"a.b": "1", "a": "2"}}), "a.b is set again by set.a"),
        (json!({"set": {"t": "1", "u": "t + 1"}, "remove": ["t"]}), ""),
        (json!({"set": {"t": "id", "u": "t + 1"}, "select": ["u"]}), ""),
        (json!({"set": {"a": "id", "a.b": "2"}}), ""),
        (json!({"set": {"a.c": "2"}, "remove": ["a.b"]}), ""),
        (json!({"set": {"a.c": "2"}, "select": ["a"]}), ""),
    ] {
        let mut transform = map.clone();
        transform["type"] = json!("map");
        let found = problems(json!([transform]));
        match fate {
            "" => assert_eq!(found, "", "{map}"),
            fate => assert!(found.contains(fate), "{map}: {found}"),
        }
    }
}
