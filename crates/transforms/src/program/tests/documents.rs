//! What becomes of documents.
use super::*;

#[test]
fn what_nothing_changed_leaves_as_it_came() {
    let lines = [r#"{"age": 19, "x": 1.50}"#, r#"{"age":18}"#, r#" {"age":20,"n":null} "#];
    let input = records(&lines);
    let processed =
        program(&plan(spec(json!([{"type": "filter", "condition": "age > 18"}]), json!({})), Demand::Documents))
            .process(input.clone())
            .unwrap();
    assert_eq!(documents(&processed), [lines[0], lines[2]]);
    let Payload::Documents { data, .. } = &processed.output.payload else { panic!() };
    assert_eq!(data.as_ptr(), input.data.as_ptr(), "not a byte is copied");
    assert_eq!((processed.output.rows.clone(), processed.filtered, processed.dead.len()), (vec![0, 2], 1, 0));
}

#[test]
fn line_breaks_between_tokens_become_spaces_on_lines_only() {
    let lines = ["\n{\n\"a\":\r\n1}\n", "{\"b\":\"x\\ny\"}"];
    let set = json!([{"type": "map", "set": {"c": "1"}}]);
    let cases = [
        (json!([]), lines, [" { \"a\":  1} ", lines[1]]),
        (
            set,
            ["\n{\n\"a\":\r\n1,\"c\":1}\n", "{\"b\":\"x\\ny\",\"c\":1}"],
            [" { \"a\":  1,\"c\":1} ", "{\"b\":\"x\\ny\",\"c\":1}"],
        ),
    ];
    for (transforms, whole, on_lines) in cases {
        for (demand, expected) in [(Demand::Documents, whole), (Demand::Lines, on_lines)] {
            let plan = plan(spec(transforms.clone(), json!({})), demand);
            let processed = program(&plan).process(records(&lines)).unwrap();
            assert_eq!(documents(&processed), expected, "{transforms} {:?}", plan.demand);
        }
    }
}

#[test]
fn a_map_changes_what_it_names_and_nothing_else() {
    let line = r#"{"a": 1.50, "b" : {"c": [1, "}"]}, "d": "x,\"y", "a b": null}"#;
    let map = |map: Value| documents(&run(json!([map]), &[line])).remove(0);
    assert_eq!(
        map(json!({"type": "map", "set": {"a": "a * 2", "z": "upper(d)"}, "remove": ["b"]})),
        r#"{"a": 3, "d": "x,\"y", "a b": null,"z":"X,\"Y"}"#
    );
    assert_eq!(map(json!({"type": "map", "remove": ["a", "a b"]})), r#"{"b" : {"c": [1, "}"]}, "d": "x,\"y"}"#);
    assert_eq!(map(json!({"type": "map", "select": ["d", "a", "missing"]})), r#"{"d":"x,\"y","a":1.50}"#);
    assert_eq!(
        map(json!({"type": "map", "set": {"e": "b.c", "f": "b"}, "select": ["e", "f"]})),
        r#"{"e":[1, "}"],"f":{"c": [1, "}"]}}"#
    );
    assert_eq!(map(json!({"type": "map", "set": {"n": "1", "m": "n + 1"}, "select": ["n", "m"]})), r#"{"n":1,"m":2}"#);
}

#[test]
fn transforms_see_what_those_before_them_made() {
    let transforms = json!([
        {"type": "map", "set": {"total": "price * quantity"}, "remove": ["price"]},
        {"type": "filter", "condition": "total > 5"},
        {"type": "map", "set": {"total": "total + 1", "who": "name"}},
        {"type": "sql", "query": "SELECT total, who, total * 2 AS twice FROM input WHERE who <> 'eve'"},
        {"type": "filter", "condition": "twice > 20"},
    ]);
    let lines = [
        r#"{"price": 2.5, "quantity": 4, "name": "ada"}"#,
        r#"{"price": 1, "quantity": 4, "name": "bob"}"#,
        r#"{"price": 10, "quantity": 4, "name": "eve"}"#,
        r#"{"price": 1, "quantity": 7, "name": "joe"}"#,
    ];
    let processed = run(transforms, &lines);
    assert_eq!(documents(&processed), [r#"{"total":11,"who":"ada","twice":22}"#]);
    assert_eq!((processed.filtered, processed.output.rows.clone()), (3, vec![0]));
}

#[test]
fn a_query_selects() {
    let line = r#"{"a": 1.0, "b": {"c": "x"}, "d": null}"#;
    let select = |query: &str| documents(&run(json!([{"type": "sql", "query": query}]), &[line])).remove(0);
    assert_eq!(select("SELECT * FROM input"), line);
    assert_eq!(select("select a, b.c, upper(b.c) as up from input"), r#"{"a":1.0,"c":"x","up":"X"}"#);
    assert_eq!(select("SELECT *, a + 1 AS e FROM input"), r#"{"a": 1.0, "b": {"c": "x"}, "d": null,"e":2}"#);
    assert_eq!(select("SELECT * EXCLUDE (a, d) FROM input"), r#"{"b": {"c": "x"}}"#);
    assert_eq!(select("SELECT * EXCLUDE (a), a FROM input"), line);
    assert_eq!(select("SELECT a, * EXCLUDE (a, b) FROM input"), r#"{"a": 1.0, "d": null}"#);
    assert_eq!(select("SELECT * EXCLUDE (a), d AS a FROM input"), r#"{"a": null, "b": {"c": "x"}, "d": null}"#);
    assert_eq!(select("SELECT * EXCEPT (b) FROM input"), r#"{"a": 1.0, "d": null}"#);
    assert_eq!(select("SELECT * REPLACE (a * 2 AS a) FROM input"), r#"{"a": 2, "b": {"c": "x"}, "d": null}"#);
    assert_eq!(select("SELECT i.a, input FROM input AS i;"), r#"{"a":1.0}"#);
    assert_eq!(select("SELECT input.b.c AS x, meta.offset AS o FROM input"), r#"{"x":"x","o":100}"#);
    assert_eq!(select("SELECT b AS a, a AS b FROM input"), r#"{"a":{"c": "x"},"b":1.0}"#);
}

#[test]
fn unnest_makes_a_row_of_each_element() {
    let transforms = json!([{"type": "sql", "query": "SELECT id, unnest(tags) AS tag, id * 2 AS twice FROM input WHERE id > 0"},
        {"type": "filter", "condition": "tag <> 'c'"}]);
    let lines = [
        r#"{"id": 1, "tags": ["a", "b"]}"#,
        r#"{"id": 2, "tags": []}"#,
        r#"{"id": 3}"#,
        r#"{"id": 4, "tags": "x"}"#,
        r#"{"id": 5, "tags": ["c"]}"#,
        r#"{"id": 6, "tags": ["d"]}"#,
        r#"{"id": 0, "tags": ["d"]}"#,
    ];
    let processed = run(transforms, &lines);
    assert_eq!(
        documents(&processed),
        [r#"{"id":1,"tag":"a","twice":2}"#, r#"{"id":1,"tag":"b","twice":2}"#, r#"{"id":6,"tag":"d","twice":12}"#]
    );
    assert_eq!(processed.output.rows, [0, 0, 5]);
    assert_eq!((processed.filtered, processed.output.records_delivered()), (4, 2));
    assert_eq!(dead(&processed), ["3 transforms[0] type-mismatch: unnest takes a list, but found \"x\""]);
    let objects = run(
        json!([{"type": "sql", "query": "SELECT unnest(items) AS item FROM input"}]),
        &[r#"{"items": [{"a": 1}, 2, null]}"#],
    );
    assert_eq!(documents(&objects), [r#"{"item":{"a": 1}}"#, r#"{"item":2}"#, r#"{"item":null}"#]);
}

/// Lists of objects are what most have to unfold.
#[test]
fn what_is_in_an_element_is_taken_like_a_field() {
    let unnest = |more: Value| json!([{"type": "sql", "query": "SELECT id, unnest(items) AS item FROM input"}, more]);
    let select = |query: &str| json!({"type": "sql", "query": query});
    let lines = [
        r#"{"id": 1, "items": [{"sku": "x", "qty": 2, "at": {"city": "B"}}, {"sku": "y", "qty": 1.50}]}"#,
        r#"{"id": 2, "items": [{"sku": "z", "qty": "3"}, {"qty": 4}]}"#,
        r#"{"id": 3, "items": [5, null, {"sku": null}]}"#,
    ];
    let plain = run(unnest(select("SELECT id, item.sku, item.at.city FROM input")), &lines);
    assert_eq!(
        documents(&plain),
        [
            r#"{"id":1,"sku":"x","city":"B"}"#,
            r#"{"id":1,"sku":"y"}"#,
            r#"{"id":2,"sku":"z"}"#,
            r#"{"id":2}"#,
            r#"{"id":3,"sku":null,"city":null}"#,
            r#"{"id":3,"sku":null,"city":null}"#,
            r#"{"id":3,"sku":null}"#,
        ]
    );
    let computed = run(unnest(select("SELECT id, item.qty * 2 AS q, upper(item.sku) AS s FROM input")), &lines);
    assert_eq!(documents(&computed)[..2], [r#"{"id":1,"q":4,"s":"X"}"#, r#"{"id":1,"q":3,"s":"Y"}"#]);
    assert_eq!(
        dead(&computed),
        [
            "1 transforms[1] type-mismatch: field \"item.qty\" has the string \"3\", a number was asked for; use cast(item.qty as decimal(38, 10))"
        ]
    );
    // What a filter drops is asked for nothing.
    let filtered = run(unnest(select("SELECT item.qty + 1 AS q FROM input WHERE item.sku = 'x'")), &lines);
    assert_eq!((documents(&filtered), dead(&filtered)), (vec![r#"{"q":3}"#.into()], vec![]));
    // In a later transform, too, also under another name.
    let later = json!([{"type": "sql", "query": "SELECT unnest(items) AS item FROM input"},
        {"type": "map", "set": {"at": "item.at"}, "remove": ["item"]},
        {"type": "filter", "condition": "at.city = 'B'"}]);
    assert_eq!(documents(&run(later, &lines)), [r#"{"at":{"city": "B"}}"#]);
}

#[test]
fn elements_that_are_no_objects_are_taken_like_fields() {
    let twice = json!([{"type": "sql", "query": "SELECT unnest(n) AS n FROM input"},
        {"type": "sql", "query": "SELECT n * 2 AS n FROM input WHERE n > 1"}]);
    let processed = run(twice, &[r#"{"n": [1, 2, 3.5, null]}"#, r#"{"n": ["x"]}"#, r#"{"n": []}"#]);
    assert_eq!(documents(&processed), [r#"{"n":4}"#, r#"{"n":7}"#]);
    assert_eq!(dead(&processed).len(), 1);
}

/// What no type holds is not made NULL on its way.
#[test]
fn an_element_that_can_not_be_held_is_a_dead_letter() {
    for element in [r#""\ud800""#, "1e400", "12345678901234567890123456789012345678901234567890"] {
        let line = format!(r#"{{"l": ["a", {element}]}}"#);
        let unnest = json!([{"type": "sql", "query": "SELECT unnest(l) AS e FROM input"}]);
        let processed = run(unnest, &[&line, r#"{"l": ["b"]}"#]);
        assert_eq!(documents(&processed), [r#"{"e":"b"}"#]);
        assert_eq!(dead(&processed).len(), 1, "{element}");
    }
}

#[test]
fn a_field_that_no_element_has_is_spoken_of() {
    let unnest = json!([{"type": "sql", "query": "SELECT unnest(l) AS e FROM input"},
        {"type": "filter", "condition": "e.skuu = 'x'"}]);
    let processed = run(unnest, &[r#"{"l": [{"sku": "x"}, {"sku": "y"}]}"#]);
    let told: Vec<&str> = processed.warnings.iter().filter_map(Notice::holding).map(|it| it.message.as_str()).collect();
    assert_eq!(told, ["none of the first 2 records has a field e.skuu: it is taken as NULL"]);
}

#[test]
fn what_is_computed_has_no_fields() {
    let told = problems(json!([{"type": "map", "set": {"x": "a * 2"}}, {"type": "filter", "condition": "x.y = 1"}]));
    assert!(told.contains("x is computed by an earlier transform and has no fields"), "{told}");
}

#[test]
fn csv_records_become_documents() {
    let layout = CsvLayout {
        delimiter: b',',
        quote: b'"',
        columns: vec!["id".into(), "name".into()],
        null_values: vec!["".into()],
        header: None,
    };
    let mut input = (*records(&["1,ada", "2,\"b,\"\"c\"", "3,"])).clone();
    input.layout = Layout::Csv(Arc::new(layout));
    let input = Arc::new(input);
    let go = |transforms, more| {
        documents(&program(&plan(spec(transforms, more), Demand::Documents)).process(input.clone()).unwrap())
    };
    assert_eq!(
        go(json!([]), json!({})),
        [r#"{"id":"1","name":"ada"}"#, r#"{"id":"2","name":"b,\"c"}"#, r#"{"id":"3","name":null}"#]
    );
    let more = json!({"schema": {"id": "bigint", "name": "bigint"}, "source": {"type": "file", "format": "csv"}});
    let selected = json!([{"type": "map", "set": {"x": "id"}, "select": ["x"]}]);
    assert_eq!(go(selected, more.clone()), [r#"{"x":1}"#, r#"{"x":2}"#, r#"{"x":3}"#]);
    assert_eq!(go(json!([]), more), [r#"{"id":3,"name":null}"#], "a name is no bigint");
    let filter =
        json!([{"type": "filter", "condition": "id > 1"}, {"type": "map", "set": {"n": "id + 1"}, "remove": ["name"]}]);
    assert_eq!(go(filter, json!({"schema": {"id": "bigint"}})), [r#"{"id":2,"n":3}"#, r#"{"id":3,"n":4}"#]);
}

#[test]
fn of_csv_columns_with_the_same_name_the_last_one_wins() {
    let layout = CsvLayout {
        delimiter: b',',
        quote: b'"',
        columns: vec!["a".into(), "b".into(), "a".into()],
        null_values: Vec::new(),
        header: None,
    };
    let mut input = (*records(&["1,x,2"])).clone();
    input.layout = Layout::Csv(Arc::new(layout));
    let more = json!({"schema": {"a": "bigint"}, "source": {"type": "file", "format": "csv"}});
    let made = program(&plan(spec(json!([]), more), Demand::Documents)).process(Arc::new(input)).unwrap();
    assert_eq!(documents(&made), [r#"{"b":"x","a":2}"#]);
}

/// Each row has the whole record, or a text of it, again.
#[test]
fn unnest_that_would_make_too_much_is_a_dead_letter() {
    let (text, list) = ("x".repeat(70_000), vec!["1"; 1_000].join(","));
    let line = format!("{{\"id\":1,\"text\":\"{text}\",\"list\":[{list}]}}");
    for query in
        ["SELECT *, unnest(list) AS item FROM input", "SELECT upper(text) AS t, unnest(list) AS item FROM input"]
    {
        let made = run(json!([{"type": "sql", "query": query}]), &[&line, r#"{"id":2,"text":"y","list":[1]}"#]);
        assert_eq!(documents(&made).len(), 1, "{query}");
        let told = dead(&made).remove(0);
        assert!(told.starts_with("0 transforms[0] too-large: unnest would make 1000 rows"), "{told}");
    }
    let few = run(json!([{"type": "sql", "query": "SELECT id, unnest(list) AS item FROM input"}]), &[&line]);
    assert_eq!(documents(&few).len(), 1_000);
}

/// The decoder goes on from batch to batch, and marks fields in each.
#[test]
fn a_map_goes_on_over_batches_and_bad_records() {
    let transforms = json!([{"type": "map", "set": {"b": "a"}, "remove": ["c"]}]);
    let mut chain = program(&plan(spec(transforms, json!({})), Demand::Documents));
    let first = chain.process(records(&["{\"c\":1,\"a\":", r#"{"a":1,"b":2,"c":3}"#])).unwrap();
    assert_eq!((documents(&first), first.dead.len()), (vec![r#"{"a":1,"b":1}"#.to_owned()], 1));
    let second = chain.process(records(&[r#"{"c":3,"d":4,"c":5}"#, r#"{"b":[],"a":"x"}"#])).unwrap();
    assert_eq!(documents(&second), [r#"{"d":4}"#, r#"{"b":"x","a":"x"}"#]);
    // More names than are kept: those that are marked still are.
    let many: String = (0..10_001).map(|n| format!("\"k{n}\":0,")).collect();
    let third = chain.process(records(&[&format!("{{{many}\"c\":1,\"a\":7}}")])).unwrap();
    assert!(documents(&third)[0].ends_with("\"k10000\":0,\"a\":7,\"b\":7}"));
    let fourth = chain.process(records(&[r#"{"c":3,"a":8}"#])).unwrap();
    assert_eq!(documents(&fourth), [r#"{"a":8,"b":8}"#]);
}

#[test]
fn own_metadata_is_read() {
    let mut input = (*records(&["{}", "{}", "{}"])).clone();
    let (data, spans) =
        (&br#"{"tenant":"x","n":1}{"tenant":"y","n":2}"#[..], vec![Span::new(0, 20), Span::new(20, 40), Span::NULL]);
    input.metadata = Some(Slices { data: data.into(), spans });
    input.keys =
        Some(Slices { data: (&b"k1k2"[..]).into(), spans: vec![Span::new(0, 2), Span::NULL, Span::new(2, 4)] });
    let transforms = json!([{"type": "map", "set": {"t": "upper(meta.tenant)", "n": "meta.n + 1", "k": "meta.key", "at": "meta.timestamp"}}]);
    let processed = program(&plan(spec(transforms, json!({})), Demand::Documents)).process(Arc::new(input)).unwrap();
    assert_eq!(
        documents(&processed),
        [
            r#"{"t":"X","n":2,"k":"k1","at":"2023-11-14T22:13:20Z"}"#,
            r#"{"t":"Y","n":3,"k":null,"at":"2023-11-14T22:13:21Z"}"#,
            r#"{"t":null,"n":null,"k":"k2","at":"2023-11-14T22:13:22Z"}"#
        ]
    );
}
