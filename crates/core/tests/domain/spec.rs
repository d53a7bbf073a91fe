use dataflow_core::{
    limits,
    pipeline::testing::{from_json, samples, spec},
    spec::{BatchSpec, Millis, PipelineSpec, RestartPolicy, check},
    types::Type,
};
use serde_json::json;

#[test]
fn durations_are_read_and_written_as_people_do() {
    for (text, ms) in [("0ms", 0), ("50ms", 50), ("1s", 1_000), ("90s", 90_000), ("5m", 300_000), ("2h", 7_200_000)] {
        assert_eq!(text.parse(), Ok(Millis(ms)));
        assert_eq!(serde_json::from_value::<Millis>(json!(text)).unwrap(), Millis(ms));
        assert_eq!(Millis(ms).to_string().parse(), Ok(Millis(ms)));
    }
    assert_eq!(Millis(300_000).to_string(), "5m");
    assert_eq!(Millis(90_000).to_string(), "90s");
    for bad in [
        json!("5"),
        json!(5),
        json!("-1s"),
        json!("1.5s"),
        json!("s"),
        json!("1 s"),
        json!("99999999999999999999h"),
        json!(-1),
        json!(true),
    ] {
        assert!(serde_json::from_value::<Millis>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_small_spec_stays_small() {
    let small = json!({
        "name": "User Events",
        "source": {"type": "kafka", "topic": "user-events"},
        "transforms": [{"type": "filter", "condition": "age > 18"}],
        "sink": {"type": "postgres", "table": "users"}
    });
    let read: PipelineSpec = from_json(small.clone());
    assert_eq!(serde_json::to_value(&read).unwrap(), small);
    assert_eq!(check(&read), []);
}

#[test]
fn a_full_spec_comes_back_as_it_was() {
    let dataflow_core::pipeline::Event::PipelineCreated { spec, .. } = &samples()[0].event else {
        panic!("no creation")
    };
    let json = serde_json::to_value(spec).unwrap();
    assert_eq!(serde_json::from_value::<PipelineSpec>(json).unwrap(), **spec);
    assert_eq!(check(spec), []);
}

#[test]
fn unknown_fields_are_errors() {
    let mut json = serde_json::to_value(spec()).unwrap();
    json["checkpointIntervall"] = json!("1s");
    let error = serde_json::from_value::<PipelineSpec>(json).unwrap_err().to_string();
    assert!(error.contains("checkpointIntervall"), "{error}");
}

#[test]
fn limits_are_checked_and_named() {
    let found = |spec: PipelineSpec| check(&spec).into_iter().map(|problem| problem.path).collect::<Vec<_>>();
    let labels = (0..=limits::MAX_LABELS).map(|n| (n.to_string(), String::new())).collect();
    let transforms = vec![spec().transforms.remove(0); limits::MAX_TRANSFORMS + 1];
    assert_eq!(found(PipelineSpec { description: "d".repeat(4_097), ..spec() }), ["description"]);
    assert_eq!(found(PipelineSpec { name: "ä".repeat(256), ..spec() }), [""; 0]);
    assert_eq!(found(PipelineSpec { labels, ..spec() }), ["labels"]);
    assert_eq!(found(PipelineSpec { transforms, ..spec() }), ["transforms"]);
    assert_eq!(found(PipelineSpec { lanes: Some(65), ..spec() }), ["lanes"]);
    assert_eq!(found(PipelineSpec { lanes: Some(0), ..spec() }), ["lanes"]);
    let none = BatchSpec { max_records: 0, max_bytes: 0, linger: Millis(0) };
    assert_eq!(found(PipelineSpec { batch: none, ..spec() }), ["batch.maxRecords", "batch.maxBytes"]);
    let huge = BatchSpec { max_records: u32::MAX, max_bytes: u64::MAX, linger: Millis(0) };
    assert_eq!(found(PipelineSpec { batch: huge, ..spec() }), ["batch.maxRecords", "batch.maxBytes"]);
    let zeros = PipelineSpec {
        checkpoint_interval: Millis(0),
        stop_timeout: Millis(0),
        max_record_bytes: 0,
        max_in_flight_bytes: 0,
        restart: RestartPolicy { initial: Millis(0), ..RestartPolicy::default() },
        ..spec()
    };
    assert_eq!(
        found(zeros),
        ["checkpointInterval", "stopTimeout", "maxRecordBytes", "maxInFlightBytes", "restart.initial"]
    );
}

#[test]
fn types_are_written_as_texts() {
    for text in Type::names().chain(["decimal(10,2)", "decimal(38,38)"]) {
        assert_eq!(text.parse::<Type>().map(|ty| ty.to_string()).as_deref(), Ok(text));
        assert_eq!(from_json::<Type>(json!(text)), text.parse().unwrap());
    }
    assert_eq!("decimal(10, 2)".parse(), "decimal(10,2)".parse::<Type>());
    for bad in [
        json!("int"),
        json!("decimal"),
        json!("decimal(0,0)"),
        json!("decimal(39,0)"),
        json!("decimal(2,3)"),
        json!("Bigint"),
        json!({"decimal": {"precision": 10, "scale": 2}}),
    ] {
        assert!(serde_json::from_value::<Type>(bad.clone()).is_err(), "{bad}");
    }
    for (other, ours) in
        [("INT", "integer"), ("numeric(8, 3)", "decimal(8,3)"), ("varchar(20)", "text"), ("decimal", "decimal(10,2)")]
    {
        assert_eq!(Type::called_elsewhere(other).as_deref(), Some(ours));
    }
    assert_eq!(Type::called_elsewhere("thing"), None);
}

#[test]
fn restarts_back_off() {
    let policy = RestartPolicy { max_attempts: Some(12), initial: Millis(1_000), max: Millis(300_000) };
    let waits: Vec<_> = (0..13).map(|attempt| policy.wait_ms(attempt)).collect();
    assert_eq!(waits[..3], [Some(1_000), Some(2_000), Some(4_000)]);
    assert_eq!(waits[10..], [Some(300_000), Some(300_000), None]);
    assert_eq!(RestartPolicy::default().wait_ms(u32::MAX), Some(300_000));
    assert_eq!(RestartPolicy { max_attempts: Some(0), ..policy }.wait_ms(0), None);
}

/// The rows of a table of the fields of a schema: name, default, what it is.
fn rows(schema: &serde_json::Value) -> Vec<String> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let row = |(name, field): (&String, &serde_json::Value)| {
        let default = match &field["default"] {
            _ if required.contains(&json!(name)) => "(needed)".into(),
            serde_json::Value::Null => "".into(),
            serde_json::Value::String(text) if text.is_empty() => "".into(),
            serde_json::Value::Array(items) if items.is_empty() => "".into(),
            serde_json::Value::Object(fields) if name != "labels" && !fields.is_empty() => "see below".into(),
            serde_json::Value::Object(_) => "".into(),
            serde_json::Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        format!("| `{name}` | {default} | {} |", field["description"].as_str().unwrap().replace('\n', " "))
    };
    schema["properties"].as_object().unwrap().iter().map(row).collect()
}

/// `UPDATE=1` writes the tables of the guide anew.
#[test]
fn the_guide_lists_each_field_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/spec.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let schema = schemars::schema_for!(PipelineSpec).to_value();
    let part = |name: &str| schema["$defs"][name].clone();
    let mut expected = guide.clone();
    for (mark, schema) in [("fields", schema.clone()), ("batch", part("BatchSpec")), ("restart", part("RestartPolicy"))]
    {
        let table =
            ["| field | default | what |".to_owned(), "|---|---|---|".to_owned()].into_iter().chain(rows(&schema));
        let begin = expected.find(&format!("<!-- {mark} -->")).unwrap();
        let end = begin + expected[begin..].find("\n\n").unwrap();
        expected.replace_range(begin..end, &format!("<!-- {mark} -->\n{}", table.collect::<Vec<_>>().join("\n")));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    assert!(guide == expected, "docs/guides/spec.md is not what the spec is: run this test with UPDATE=1");
}

#[test]
fn defaults_of_the_schema_are_those_that_are_taken() {
    let minimal = json!({"source": {"type": "http"}, "sink": {"type": "stdout"}});
    let spec: PipelineSpec = from_json(minimal.clone());
    let schema = schemars::schema_for!(PipelineSpec).to_value();
    let mut told = minimal;
    for (name, field) in schema["properties"].as_object().unwrap() {
        if let Some(default) = field.get("default").filter(|default| !default.is_null()) {
            told[name] = default.clone();
        }
    }
    assert!(told.get("stopTimeout").is_some() && told.get("batch").is_some(), "{told}");
    assert_eq!(from_json::<PipelineSpec>(told), spec);
}
