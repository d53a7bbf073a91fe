#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    catalog::{Connections, tests::catalog},
    declared::Declared,
    transform::{Compiler, Plan, Program},
};
use dataflow_core::spec::PipelineSpec;
use proptest::prelude::*;
use schemars::{JsonSchema, Schema, schema_for};
use serde_json::{Value, json};

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
struct Config {
    /// Names of topics. More about them.
    #[schemars(length(min = 1))]
    topics: Vec<String>,
    mode: Mode,
    #[schemars(range(min = 1, max = 10))]
    level: Option<u8>,
    wait: Option<dataflow_core::spec::Millis>,
    shape: Option<Shape>,
    nested: Option<Box<Config>>,
    #[serde(default)]
    numbers: std::collections::BTreeMap<String, u16>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum Mode {
    /// Adds.
    Append,
    /// Replaces.
    Upsert,
}

#[derive(JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[allow(dead_code)]
enum Shape {
    Round { radius: f64 },
    Square { side: f64, colour: String },
}

fn said(value: &Value) -> Vec<String> {
    let problems = against_schema(value, &schema_for!(Config), "source");
    problems.iter().map(|problem| format!("[{}] {problem}", problem.code)).collect()
}

#[test]
fn what_fits_has_no_findings() {
    let value = json!({
        "topics": ["a"], "mode": "upsert", "level": 10, "wait": "5s", "shape": {"type": "round", "radius": 1},
        "nested": {"topics": ["b"], "mode": "append", "wait": "5s", "level": null}, "numbers": {"x y": 1}
    });
    assert_eq!(said(&value), Vec::<String>::new());
}

#[test]
fn all_findings_come_at_once() {
    let said = [
        json!({}),
        json!([]),
        json!({"topic": ["a"], "mode": "upsrt", "level": 11, "wait": true}),
        json!({"topics": [], "mode": 5, "level": 0}),
        json!({"topics": [1, "a", null], "mode": "append", "level": "5", "wait": 30, "numbers": {"x y": 70000}}),
        json!({"topics": ["a"], "mode": "append", "shape": {"type": "squrae"}}),
        json!({"topics": ["a"], "mode": "append", "shape": {"type": "square", "side": "x", "color": "red"}}),
        json!({"topics": ["a"], "mode": "append", "nested": {"topics": ["a"], "mode": "append", "Level": 1}}),
        json!({"topics": "a", "mode": "append", "shape": "round"}),
    ]
    .map(|value| format!("{value}\n  {}", said(&value).join("\n  ")))
    .join("\n");
    insta::assert_snapshot!(said);
}

#[test]
fn a_scalar_of_another_type_is_told_how_to_be_written() {
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Scalars {
        int: Option<u64>,
        float: Option<f64>,
        truth: Option<bool>,
        text: Option<String>,
    }
    for (name, value, fix) in [
        ("int", json!("5"), Some("write 5, without quotes")),
        ("int", json!(1e3), Some("write 1000")),
        ("int", json!("1_000"), None),
        ("int", json!("010"), None),
        ("int", json!(1.5), None),
        ("int", json!("1.5"), None),
        ("float", json!("1.5"), Some("write 1.5, without quotes")),
        ("truth", json!("yes"), Some("write true, without quotes")),
        ("truth", json!("Off"), Some("write false, without quotes")),
        ("truth", json!(1), Some("write true")),
        ("truth", json!(2), None),
        ("text", json!(1.10), Some("put it in quotes")),
        ("text", json!(true), Some("put it in quotes")),
        ("text", json!([]), None),
    ] {
        let found = against_schema(&json!({name: value}), &schema_for!(Scalars), "");
        assert!(found.len() == 1 && found[0].code == "type-mismatch", "{name} {value}: {found:?}");
        assert_eq!(found[0].fix.as_deref(), fix, "{name} {value}");
    }
}

/// Knows one transform, `keep`, which needs a condition.
#[derive(Debug)]
struct Keep;

impl Compiler for Keep {
    fn check(&self, spec: &PipelineSpec, _: &Declared) -> Vec<Problem> {
        let wrong =
            spec.transforms.iter().enumerate().filter(|(_, transform)| !transform.config.contains_key("condition"));
        wrong.map(|(n, _)| Problem::new(format!("transforms[{n}].condition"), "missing-field", "is missing")).collect()
    }
    fn catalog(&self) -> Vec<(&'static str, &'static str, Schema)> {
        Vec::new()
    }
    fn compile(&self, _: &Plan) -> Result<Box<dyn Program>, Vec<Problem>> {
        Err(Vec::new())
    }
}

fn spec(value: &Value) -> Result<PipelineSpec, Vec<Problem>> {
    check_spec(value, &catalog(), &Connections::default(), &Keep)
}

#[test]
fn a_spec_is_checked_as_a_whole() {
    let lines = |value: &Value| match check_new(value, &catalog(), &Connections::default(), &Keep) {
        Ok((id, _)) => format!("ok: {id}"),
        Err(problems) => problems.iter().map(|p| format!("[{}] {p}", p.code)).collect::<Vec<_>>().join("\n  "),
    };
    let source = json!({"type": "table", "url": "db://x", "table": "t"});
    let sink = json!({"type": "lines", "path": "out"});
    let said =
        [
            json!({"pipelineId": "p", "source": source, "sink": sink}),
            json!({}),
            json!(5),
            json!({"pipelineId": "a b", "source": source, "sink": sink}),
            json!({"pipelineID": "p", "source": source, "sink": sink}),
            json!({"pipelineId": "p", "source": "table", "sinks": sink, "transforms": [{"type": "keep"}]}),
            json!({"pipelineId": "p", "source": {"type": "table"}, "sink": {"type": "lines", "pth": 1}, "transforms": [{}, {"type": "keep"}]}),
            json!({"pipelineId": "p", "source": source, "sink": sink, "lanes": 4, "batch": {"linger": "soon", "maxRecord": 1}}),
            json!({"pipelineId": "p", "source": source, "sink": sink, "lanes": 4, "checkpointInterval": "1 day"}),
            json!({"pipelineId": "p", "source": source, "sink": sink, "lanes": 4, "restart": {"initial": "1h"}}),
            json!({"pipelineId": "p", "source": source, "sink": sink, "schema": {"a": "bigint", "b": "bigit", "c": {"decimal": {"precision": 5}}, "d": "int", "e": "numeric(8,3)", "f": "decimal(10,2)", "g": "thing"}}),
        ]
        .map(|value| format!("{value}\n  {}", lines(&value)))
        .join("\n");
    insta::assert_snapshot!(said);
}

#[test]
fn each_of_several_sinks_is_checked_as_if_it_were_the_only_one() {
    let source = json!({"type": "table", "url": "db://x", "table": "t"});
    let found = |sinks: Value| {
        let found =
            spec(&json!({"source": source, "transforms": [{"type": "keep", "condition": "c"}], "sinks": sinks}));
        let line = |problem: &Problem| format!("{} {}", problem.path, problem.code);
        found.err().unwrap_or_default().iter().map(line).collect::<Vec<_>>()
    };
    let (a, b) =
        (json!({"name": "a", "type": "lines", "path": "a"}), json!({"name": "b", "type": "lines", "path": "b"}));
    let with = |sink: &Value, name: &str, value: Value| {
        let mut sink = sink.clone();
        sink[name] = value;
        sink
    };
    for (sinks, expected) in [
        (json!([a, b]), &[][..]),
        (json!([a, with(&b, "when", json!("x > 1"))]), &[]),
        (json!([]), &["sink missing-field"]),
        (json!([a, with(&b, "pth", json!(1))]), &["sinks[1].pth unknown-field"]),
        (json!([a, with(&b, "type", json!("line"))]), &["sinks[1].type unknown-type"]),
        (json!([a, with(&b, "name", json!("a"))]), &["sinks[1].name duplicate"]),
        (json!([a, with(&b, "path", json!("a"))]), &[]), // it keeps nothing
        (json!([a, {"type": "lines", "path": "b"}]), &["sinks[1].name missing-field"]),
        (json!([a, with(&b, "when", json!(5))]), &["sinks[1].when type-mismatch"]),
    ] {
        assert_eq!(found(sinks.clone()), expected, "{sinks}");
    }
    // What is wrong with what they share is said once.
    let shared = json!({"source": source, "transforms": [{"type": "keep"}], "sinks": [a, b]});
    let paths: Vec<_> = spec(&shared).unwrap_err().into_iter().map(|problem| problem.path).collect();
    assert_eq!(paths, ["transforms[0].condition"]);
    let both = json!({"source": source, "sink": {"type": "lines", "path": "c"}, "sinks": [a]});
    assert_eq!(spec(&both).unwrap_err()[0].code, "contradiction");
    let wrong = |plan: &str| json!({"source": source, "sinks": [a, with(&b, "when", json!(plan))]});
    assert!(spec(&wrong("c")).is_ok());
}

#[test]
fn a_field_that_cannot_be_read_hides_no_other_finding() {
    let wrong = json!({
        "labels": {"team": 1}, "source": {"type": "table", "table": "t"}, "sink": {"type": "table", "table": "t"},
        "batch": {"maxRecords": 0, "linger": "x"}, "lanes": 0, "stopTimeout": "soon"
    });
    let paths: Vec<_> = spec(&wrong).unwrap_err().into_iter().map(|problem| problem.path).collect();
    for path in ["labels.team", "batch.linger", "batch.maxRecords", "lanes", "stopTimeout"] {
        assert!(paths.iter().any(|found| found == path), "{path} is not in {paths:?}");
    }
}

#[test]
fn an_id_that_may_be_left_out_has_a_nearest_name_as_well() {
    let value = json!({"pipelineID": "p", "source": {"type": "table", "url": "db://x", "table": "t"}, "sink": {"type": "lines", "path": "out"}});
    let found: Vec<String> = spec(&value).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(found, [r#"pipelineID: there is no field "pipelineID" (did you mean "pipelineId"?)"#]);
}

/// A text of two characters where one was meant says how one is written.
#[test]
fn a_character_in_single_quotes_has_a_fix() {
    let schema = schemars::schema_for!(char);
    let said = |text: &str| {
        against_schema(&json!(text), &schema, "delimiter").iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        said("\\t"),
        [r#"delimiter: has 2 character(s), but at most 1 are allowed (write "\t", in double quotes)"#]
    );
    assert_eq!(said("\t"), Vec::<String>::new());
    assert_eq!(said("ab"), ["delimiter: has 2 character(s), but at most 1 are allowed"]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(vec!["table", "lines", "keep", "5s", "${env:X}", "${", "db://a:b@c", "bigint", "null"])
            .prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "pipelineId",
        "name",
        "source",
        "sink",
        "transforms",
        "type",
        "url",
        "table",
        "path",
        "lanes",
        "batch",
        "schema",
        "linger",
        "restart",
        "max",
        "labels",
        "connection",
        "condition",
        "options",
        "password",
        "a",
        "",
    ]);
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone().prop_map(String::from), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_the_check_panic(value in any_json()) {
        if let Err(problems) = spec(&value) {
            prop_assert!(!problems.is_empty());
        }
        if let Err(problems) = check_new(&value, &catalog(), &Connections::default(), &Keep) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn an_accepted_spec_is_read_again_as_it_was_written(
        name in ".{0,20}",
        labels in prop::collection::btree_map("[a-z]{1,3}", ".{0,5}", 0..3),
        lanes in prop::option::of(0_u32..3),
        linger in prop_oneof![(0_u64..100_000).prop_map(Value::from), "[0-9]{1,3}(ms|s|m|h|x)".prop_map(Value::from)],
        records in prop::option::of(0_u64..2_000_000),
        transforms in prop::collection::vec(any_json(), 0..2),
    ) {
        let mut value = json!({
            "name": name, "labels": labels, "batch": {"linger": linger},
            "source": {"type": "table", "url": "db://x", "table": name}, "sink": {"type": "lines", "path": "out"},
            "transforms": transforms.iter().map(|x| json!({"type": "keep", "condition": x})).collect::<Vec<_>>(),
        });
        if let Some(lanes) = lanes { value["lanes"] = lanes.into(); }
        if let Some(records) = records { value["batch"]["maxRecords"] = records.into(); }
        if let Ok(accepted) = spec(&value) {
            let written = serde_json::to_value(&accepted).unwrap();
            prop_assert_eq!(spec(&written), Ok(accepted));
        }
    }
}
