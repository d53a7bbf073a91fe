//! Pipelines in files: one JSON or YAML object, as `POST /api/pipelines` takes it.
use super::exit::Failure;
use dataflow_core::spec::Unique;
use serde_json::Value;
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// Reads a file (`-`: stdin) that holds one object. `.json` is read as JSON, anything else as YAML, of which JSON is a part.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let name = path.display();
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| Failure::invalid(format!("can't read {name}: {error}"), Vec::new()))?;
    let value: Value = if path.extension().is_some_and(|extension| extension == "json") {
        dataflow_core::spec::from_json(text.as_bytes())
            .map_err(|error| Failure::invalid(format!("{name} is not valid JSON: {error}"), Vec::new()))?
    } else {
        from_yaml(&text).map_err(|error| Failure::invalid(format!("{name} is not valid YAML: {error}"), Vec::new()))?
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(Failure::invalid(format!("{name} must hold one object"), Vec::new()))
    }
}

fn from_yaml(text: &str) -> Result<Value, serde_yaml_ng::Error> {
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
    fn anything_else_is_read_as_it_is() {
        let text = "a: &x {b: 1, c: [1.5, -2, ~, true, 'x', 18446744073709551615]}\nd: *x\n1: one\ntrue: yes\nt: 2024-01-01\nm: |\n  x\n";
        let expected: serde_json::Value = serde_yaml_ng::from_str(text).unwrap();
        assert_eq!(super::from_yaml(text).unwrap(), expected);
    }
}
