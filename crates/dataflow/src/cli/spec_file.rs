//! Pipelines in files: one JSON or YAML object, as `POST /api/pipelines` takes it.
use super::exit::Failure;
use dataflow_core::spec::{self, Unique};
use serde_json::Value;
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// Reads a file (`-`: stdin) that holds one object. `.json` is read as JSON, anything else as JSON or YAML.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let name = path.display();
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| Failure::invalid(format!("can't read {name}: {error}"), Vec::new()))?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    match of_text(&text, extension) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(Failure::invalid(format!("{name} must hold one object"), Vec::new())),
        Err(why) => Err(Failure::invalid(format!("{name} {why}"), Vec::new())),
    }
}

/// The value that a file with this extension holds, or what is wrong with it.
fn of_text(text: &str, extension: Option<&str>) -> Result<Value, String> {
    match extension {
        Some("toml") => Err("is TOML by its name, but a pipeline is written in JSON or YAML".into()),
        Some("json") => spec::from_json(text.as_bytes()).map_err(|error| format!("is not valid JSON: {error}")),
        _ => from_yaml(text).map_err(|error| format!("is not valid YAML: {error}")),
    }
}

fn from_yaml(text: &str) -> Result<Value, serde_yaml_ng::Error> {
    let text = text.trim_start_matches('\u{feff}');
    // JSON has escapes and indentation by tabs that YAML doesn't.
    if text.trim_start().starts_with('{')
        && let Ok(spec) = spec::from_json(text.as_bytes())
    {
        return Ok(spec);
    }
    let Unique(mut spec) = serde_yaml_ng::from_str(text)?;
    // YAML reads a bare null as nothing; here it is the name of a choice.
    if let Some(choice @ Value::Null) = spec.get_mut("onTypeMismatch") {
        *choice = "null".into();
    }
    Ok(spec)
}

/// The `pipelineId` of a spec, if it has one.
pub(super) fn id_in(spec: &Value) -> Option<&str> {
    spec.get("pipelineId").and_then(Value::as_str)
}

/// A file with a pipeline.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SpecFile {
    /// JSON or YAML file with the pipeline; `-` reads stdin.
    #[arg(value_name = "FILE")]
    pub(super) path: PathBuf,
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bare_null_is_the_choice_of_that_name() {
        for text in ["onTypeMismatch: null", "onTypeMismatch: \"null\"", "onTypeMismatch:"] {
            assert_eq!(
                super::from_yaml(text).map(|spec| spec["onTypeMismatch"].clone()).ok(),
                Some("null".into()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_that_is_given_twice_is_refused_wherever_it_stands() {
        for text in [
            "transforms: [{type: filter, condition: a}]\ntransforms: []",
            "sink: {table: a, table: b}",
            "sink:\n  table: a\n  'table': a",
            "transforms:\n- set: {a: b, c: d}\n- set: {a: b, \"\\x61\": c}",
            "onTypeMismatch: null\nonTypeMismatch: dead",
        ] {
            let found = super::from_yaml(text).map_err(|error| error.to_string());
            assert!(found.as_ref().is_err_and(|why| why.contains("is given twice")), "{text}: {found:?}");
        }
    }

    #[test]
    fn json_and_yaml_mean_the_same_or_are_refused() {
        use super::of_text;
        // In YAML, in JSON, and what they are; none: refused, for this reason.
        let cases: &[(&str, &str, Result<&str, &str>)] = &[
            ("a: 5", r#"{"a": 5}"#, Ok("5")),
            ("a: -0", r#"{"a": -0}"#, Ok("0")),
            ("a: 1e3", r#"{"a": 1e3}"#, Ok("1000.0")),
            ("a: 1.50", r#"{"a": 1.50}"#, Ok("1.5")),
            ("a: 0x10", r#"{"a": 16}"#, Ok("16")),
            ("a: 0o17", r#"{"a": 15}"#, Ok("15")),
            ("a: 010", r#"{"a": "010"}"#, Ok("\"010\"")),
            ("a: 1_000", r#"{"a": "1_000"}"#, Ok("\"1_000\"")),
            ("a: 18446744073709551615", r#"{"a": 18446744073709551615}"#, Ok("18446744073709551615")),
            ("a: 18446744073709551616", r#"{"a": 18446744073709551616}"#, Ok("1.8446744073709552e19")),
            ("a: -9223372036854775809", r#"{"a": -9223372036854775809}"#, Ok("-9.223372036854775808e18")),
            ("a: .nan", r#"{"a": NaN}"#, Err("NaN is not a finite number")),
            ("a: -.inf", r#"{"a": -Infinity}"#, Err("-inf is not a finite number")),
            ("a: True", r#"{"a": true}"#, Ok("true")),
            ("a: yes", r#"{"a": "yes"}"#, Ok("\"yes\"")),
            ("a: off", r#"{"a": "off"}"#, Ok("\"off\"")),
            ("a: '5'", r#"{"a": "5"}"#, Ok("\"5\"")),
            ("a: ~", r#"{"a": null}"#, Ok("null")),
            ("a:", r#"{"a": null}"#, Ok("null")),
            ("a: 2026-01-02", r#"{"a": "2026-01-02"}"#, Ok("\"2026-01-02\"")),
            ("\u{feff}a: 1", "\u{feff}{\"a\": 1}", Ok("1")),
            ("\t{\"a\":\n\t\"\\ud83d\\ude00 b\\/c\"}", "\t{\"a\":\n\t\"\\ud83d\\ude00 b\\/c\"}", Ok("\"😀 b/c\"")),
            ("b: &x 1\na: *x", r#"{"b": 1, "a": 1}"#, Ok("1")),
            ("b: &x {c: 1}\na: {<<: *x}", r#"{"a": {"<<": {"c": 1}}}"#, Err("objects are not merged (<<)")),
            ("a: !x 5", r#"{"a": !x 5}"#, Err("a tag (!…) means nothing here")),
            ("a: 1\na: 2", r#"{"a": 1, "a": 2}"#, Err("\"a\" is given twice")),
            ("a: {'1': x, 1: y}", r#"{"a": {"1": "x", "1": "y"}}"#, Err("\"1\" is given twice")),
            ("a:\n\tb: 1", r#"{"a": {"b" 1}}"#, Err("line 2 column 1")),
            ("a: 1\n---\na: 2", r#"{"a": 1} {"a": 2}"#, Err("more than one document")),
        ];
        for (yaml, json, expected) in cases {
            let (yaml_is, json_is) = (of_text(yaml, Some("yaml")), of_text(json, Some("json")));
            match expected {
                Ok(value) => {
                    let value: serde_json::Value = serde_json::from_str(value).unwrap();
                    for found in [&yaml_is, &json_is, &of_text(json, None)] {
                        assert_eq!(found.as_ref().map(|spec| &spec["a"]), Ok(&value), "{yaml}");
                    }
                }
                Err(why) => {
                    assert!(yaml_is.as_ref().is_err_and(|said| said.contains(why)), "{yaml}: {yaml_is:?}");
                    assert!(json_is.is_err(), "{json}: {json_is:?}");
                }
            }
        }
        assert_eq!(of_text("", None), Ok(serde_json::Value::Null));
        assert!(of_text("a = 1", Some("toml")).is_err_and(|why| why.contains("JSON or YAML")));
    }

    #[test]
    fn anything_else_is_read_as_it_is() {
        let text = "a: &x {b: 1, c: [1.5, -2, ~, true, 'x', 18446744073709551615]}\nd: *x\n1: one\ntrue: yes\nt: 2024-01-01\nm: |\n  x\n";
        let expected: serde_json::Value = serde_yaml_ng::from_str(text).unwrap();
        assert_eq!(super::from_yaml(text).unwrap(), expected);
    }
}
