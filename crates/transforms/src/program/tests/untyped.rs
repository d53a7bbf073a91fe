//! Untyped texts, as those of CSV: texts among themselves, what another type asks for beside it, and JSON where it is declared.
use super::*;

fn of_csv(schema: Value) -> Value {
    json!({"source": {"type": "file", "format": "csv"}, "schema": schema})
}

/// What comes out of lines of `a,b`: the same together as one by one. No record is a dead letter.
fn made(transforms: &Value, lines: &[&str]) -> Vec<String> {
    let go = |lines: &[&str]| {
        let spec = spec(transforms.clone(), of_csv(json!({})));
        let processed = program(&plan(spec, Demand::Documents)).process(csv(lines, &["a", "b"])).unwrap();
        assert_eq!(dead(&processed), [""; 0], "{transforms}");
        documents(&processed)
    };
    let alone: Vec<String> = lines.iter().flat_map(|line| go(&[line])).collect();
    assert_eq!(go(lines), alone, "{transforms}");
    alone
}

#[test]
fn texts_that_nothing_gives_a_type_are_compared_as_texts() {
    let lines = ["01,1", "1.0,1", "1,1", "010,5", "x,y", "x,5", "true,1", "2,10"];
    for (condition, kept) in [
        ("a = b", &["1,1"][..]),
        ("a <> b", &["01,1", "1.0,1", "010,5", "x,y", "x,5", "true,1", "2,10"]),
        ("a < b", &["01,1", "010,5", "x,y"]),
        ("a >= b", &["1.0,1", "1,1", "x,5", "true,1", "2,10"]),
        ("a in (b, 'x')", &["1,1", "x,y", "x,5"]),
        ("a between b and b", &["1,1"]),
        ("a is not distinct from b", &["1,1"]),
        ("nullif(a, b) is null", &["1,1"]),
        ("greatest(a, b) = a", &["1.0,1", "1,1", "x,5", "true,1", "2,10"]),
        ("case a when b then true else false end", &["1,1"]),
        ("coalesce(a, b) = b", &["1,1"]),
        ("(case when a = 'x' then a else b end) = b", &["01,1", "1.0,1", "1,1", "010,5", "true,1", "2,10"]),
    ] {
        let transforms = json!([{"type": "filter", "condition": condition}]);
        let expected = kept.iter().map(|line| {
            let (a, b) = line.split_once(',').unwrap();
            json!({"a": a, "b": b}).to_string()
        });
        assert_eq!(made(&transforms, &lines), expected.collect::<Vec<_>>(), "{condition}");
    }
}

/// A literal, a declared field or arithmetic beside it asks for a type.
#[test]
fn another_type_beside_an_untyped_text_is_what_it_is_read_as() {
    let spec =
        |condition: &str| spec(json!([{"type": "filter", "condition": condition}]), of_csv(json!({"n": "bigint"})));
    let lines = ["01,1,1", "1.0,1,1", "010,5,9"];
    for (condition, kept) in [
        ("a = 1", 2),
        ("a = n", 2),
        ("a = b + 0", 2),
        ("a > b + 0", 1),
        ("a in (b, n)", 2),
        ("a between b and n + 1", 3),
        ("coalesce(a, b) < n", 0),
        ("greatest(a, b) > 5", 1),
        ("a = '01'", 1),
    ] {
        let processed =
            program(&plan(spec(condition), Demand::Documents)).process(csv(&lines, &["a", "b", "n"])).unwrap();
        assert_eq!((documents(&processed).len(), dead(&processed).len()), (kept, 0), "{condition}");
    }
}

#[test]
fn a_choice_between_untyped_texts_is_one_of_them() {
    let lines = ["007,x", ",1.50", "true,"];
    for (expression, values) in [
        ("coalesce(a, b)", ["007", "1.50", "true"]),
        ("case when a is null then b else a end", ["007", "1.50", "true"]),
        ("nvl2(a, a, b)", ["007", "1.50", "true"]),
        ("ifnull(a, b)", ["007", "1.50", "true"]),
        ("greatest(a, b)", ["x", "1.50", "true"]),
        ("least(a, b)", ["007", "1.50", "true"]),
    ] {
        let map = json!([{"type": "map", "set": {"v": expression}, "select": ["v"]}]);
        let expected = values.map(|value| json!({"v": value}).to_string());
        assert_eq!(made(&map, &lines), expected, "{expression}");
    }
    // A table that the sink makes has columns for it as for a field.
    let map = json!([{"type": "map", "set": {"v": "coalesce(a, b)"}}]);
    let found = |line| {
        let mut program = program(&plan(spec(map.clone(), of_csv(json!({}))), Demand::AllColumns));
        let found = program.infer(&csv(&[line], &["a", "b"])).unwrap();
        found.columns.into_iter().find(|column| column.name == "v").unwrap().ty
    };
    assert_eq!([found("5,x"), found("007,x"), found(",1.5")], [Type::Bigint, Type::Text, Type::Number]);
}

/// Lines of `id,j`, with the quotes of CSV around the JSON.
fn quoted(texts: &[&str]) -> Vec<String> {
    texts.iter().enumerate().map(|(id, text)| format!("{id},\"{}\"", text.replace('"', "\"\""))).collect()
}

/// What a field declared as JSON holds is what a JSON record would have there.
#[test]
fn a_path_goes_into_a_csv_field_that_is_declared_as_json() {
    let texts = [
        r#"{"a": 1.0, "b": {"c": "x\"y"}, "list": [1, {"k": 2}]}"#,
        r#"{"a": null, "b": {"c": "ü"}}"#,
        r#"{"b": 3, "list": []}"#,
        "[1]",
        "null",
        r#""text""#,
        r#"{"a": "7"}"#,
    ];
    let header = ["id", "j"];
    let (as_csv, schema) = (quoted(&texts), json!({"id": "bigint", "j": "json"}));
    let as_json: Vec<String> =
        texts.iter().enumerate().map(|(id, text)| format!("{{\"id\":{id},\"j\":{text}}}")).collect();
    for transforms in [
        json!([{"type": "filter", "condition": "j.a is not null"}]),
        json!([{"type": "filter", "condition": "j.a = 1"}]),
        json!([{"type": "filter", "condition": "j.b.c like '%y'"}]),
        json!([{"type": "map", "set": {"x": "j.a", "y": "j.b.c", "z": "j.b"}, "select": ["id", "x", "y", "z"]}]),
        json!([{"type": "map", "set": {"x": "coalesce(j.a, 0) + 1"}, "select": ["id", "x"]}]),
        json!([{"type": "map", "set": {"x": "cast(j.a as text)"}, "select": ["id", "x"]}]),
        json!([{"type": "map", "set": {"k": "j"}}, {"type": "filter", "condition": "k.b.c is not null"}, {"type": "map", "select": ["id"]}]),
        json!([{"type": "map", "set": {"j.a": "id", "j.n": "'t'"}}]),
        json!([{"type": "map", "remove": ["j.b"]}]),
        json!([{"type": "sql", "query": "select id, j.a as a, j.b.c as c from input where j.b is not null"}]),
        json!([{"type": "sql", "query": "select id, unnest(j.list) as item from input"}, {"type": "map", "set": {"k": "item.k"}}]),
    ] {
        let go = |records: Arc<Records>, more: Value| {
            let processed = program(&plan(spec(transforms.clone(), more), Demand::Documents)).process(records).unwrap();
            let documents = documents(&processed)
                .iter()
                .map(|text| serde_json::from_str::<Value>(text).unwrap())
                .collect::<Vec<_>>();
            let dead: Vec<u32> = processed.dead.iter().map(|dead| dead.row).collect();
            (documents, dead)
        };
        let lines: Vec<&str> = as_csv.iter().map(String::as_str).collect();
        let of_csv = go(csv(&lines, &header), of_csv(schema.clone()));
        let lines: Vec<&str> = as_json.iter().map(String::as_str).collect();
        assert_eq!(of_csv, go(records(&lines), json!({"schema": schema})), "{transforms}");
    }
}

#[test]
fn a_path_into_a_csv_field_that_is_no_json_is_refused_or_its_record_is_dead() {
    for transforms in [
        json!([{"type": "filter", "condition": "j.a is not null"}]),
        json!([{"type": "map", "set": {"x": "j.a"}}]),
        json!([{"type": "map", "set": {"x": "upper(j.a)"}}]),
        json!([{"type": "map", "set": {"j.a": "1"}}]),
        json!([{"type": "map", "remove": ["j.a"]}]),
        json!([{"type": "sql", "query": "select j.a from input"}]),
        json!([{"type": "sql", "query": "select unnest(j.a) as item from input"}]),
    ] {
        let found = checked(&spec(transforms.clone(), of_csv(json!({}))));
        assert_eq!(found.len(), 1, "{transforms}: {}", all(&found));
        let fix = found[0].fix.as_deref().unwrap();
        assert!(fix.contains(r#"declare it in schema: {"j": "json"}"#) && fix.contains(r#""j.a""#), "{fix}");
        let declared = checked(&spec(transforms.clone(), of_csv(json!({"j": "json"}))));
        assert_eq!(all(&declared), "", "{transforms}");
        let mut program = program(&plan(spec(transforms.clone(), of_csv(json!({"j": "json"}))), Demand::Documents));
        let odd = program.process(csv(&["1,{a}"], &["id", "j"])).unwrap();
        let cause = r#"field "j" has the value "{a}" which is not JSON"#;
        assert!(dead(&odd).len() == 1 && dead(&odd)[0].contains(cause), "{transforms}: {:?}", dead(&odd));
    }
    // A name with a point in it is no path.
    let named = spec(json!([{"type": "filter", "condition": "\"j.a\" = 'x'"}]), of_csv(json!({})));
    let kept = program(&plan(named, Demand::Documents)).process(csv(&["x", "y"], &["j.a"])).unwrap();
    assert_eq!(documents(&kept), [r#"{"j.a":"x"}"#]);
}

/// A JSON null is what it is in a JSON record.
#[test]
fn a_json_null_in_a_csv_field_is_null() {
    let lines = ["1,null", "2,\" null \"", "3,", "4,\"\"\"null\"\"\""];
    let demand = |ty| Demand::Columns(vec![column("id", Type::Bigint), column("j", ty)]);
    for (schema, ty) in [(json!({"j": "json"}), Type::Json), (json!({}), Type::Json)] {
        let made =
            program(&plan(spec(json!([]), of_csv(schema)), demand(ty))).process(csv(&lines, &["id", "j"])).unwrap();
        assert_eq!(table(&made), ["1|-", "2|-", "3|-", "4|\"null\""]);
    }
    let mut program = program(&plan(spec(json!([]), of_csv(json!({"j": "json"}))), Demand::Documents));
    let made = program.process(csv(&lines, &["id", "j"])).unwrap();
    let nulls = documents(&made).iter().filter(|document| document.ends_with(r#""j":null}"#)).count();
    assert_eq!(nulls, 3, "{:?}", documents(&made));
    assert_eq!(&*made.output.typed, ["j".to_owned()]);
}
