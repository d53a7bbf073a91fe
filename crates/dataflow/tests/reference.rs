//! The reference of all connectors, `docs/connectors/`, is what their config structs say: GOLDEN=write writes it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod servers;

use dataflow::plugins::{self, Connectors};
use dataflow_core::spec::Component;
use dataflow_sdk::catalog::Connector;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An example of a connector: the first one of `examples/` that has it, and where that is; otherwise its type alone.
fn example(connector: &Connector) -> (Map<String, Value>, Option<String>) {
    let mut files: Vec<_> = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "json" || end == "yaml")) {
        let spec: Value = serde_yaml_ng::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let component = &spec[connector.role.to_string()];
        if component["type"] == connector.ty {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            return (component.as_object().unwrap().clone(), Some(name));
        }
    }
    (json!({"type": connector.ty}).as_object().unwrap().clone(), None)
}

/// A schema with its reference followed, what stands beside it kept.
fn followed(schema: &Value, root: &Value) -> Value {
    let mut whole = schema.clone();
    if let Some(name) = schema["$ref"].as_str() {
        let target = followed(root.pointer(name.strip_prefix('#').unwrap()).unwrap(), root);
        for (name, value) in target.as_object().unwrap() {
            whole.as_object_mut().unwrap().entry(name).or_insert(value.clone());
        }
    }
    whole
}

fn branches(schema: &Value) -> Vec<Value> {
    ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten().cloned().collect()
}

/// The type of a value, for readers.
fn ty(schema: &Value, root: &Value) -> String {
    let schema = followed(schema, root);
    let quoted = |value: &Value| format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().filter(|value| !value.is_null()).map(quoted).collect::<Vec<_>>().join(", ");
    }
    if let Some(value) = schema.get("const") {
        return quoted(value);
    }
    let branches = branches(&schema);
    if !branches.is_empty() {
        let mut types: Vec<String> =
            branches.iter().map(|branch| ty(branch, root)).filter(|ty| !ty.is_empty()).collect();
        types.dedup();
        let fixed = types.iter().all(|ty| ty.starts_with('`'));
        return types.join(if fixed { ", " } else { " or " });
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => {
            return if schema.as_object().is_some_and(|rules| rules.contains_key("properties")) {
                "object".into()
            } else {
                "any".into()
            };
        }
    };
    let names = names.into_iter().filter(|name| *name != "null").map(|name| match name {
        "string" => "text".to_owned(),
        "boolean" => "true or false".into(),
        "integer" => "whole number".into(),
        "array" => format!("list of {}", ty(&schema["items"], root)),
        "object" => match schema.get("additionalProperties").filter(|rest| rest.is_object()) {
            Some(rest) => format!("object of names, each with {}", ty(rest, root)),
            None => "object".into(),
        },
        other => other.into(),
    });
    names.collect::<Vec<_>>().join(" or ")
}

/// The only setting of an object that is one choice among others: `{"timestamp": …}`.
fn choice(schema: &Value) -> Option<&str> {
    let mut settings = schema["properties"].as_object()?.iter();
    let (name, rules) = settings.next().filter(|_| settings.next().is_none())?;
    (rules.get("const").is_none() && schema["required"] == json!([name])).then_some(name)
}

/// The objects that a setting may be, whose own settings are listed, too.
fn nested(schema: &Value, root: &Value) -> Vec<Value> {
    let schema = followed(schema, root);
    if branches(&schema).iter().any(|branch| choice(branch).is_some()) {
        return Vec::new(); // they are described as choices
    }
    if schema.get("properties").is_some() {
        return vec![schema];
    }
    branches(&schema).iter().flat_map(|branch| nested(branch, root)).collect()
}

fn described(schema: &Value, root: &Value) -> String {
    let whole = followed(schema, root);
    let mut text = whole["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
    let choices = branches(&whole).into_iter().filter_map(|branch| {
        let name = branch.get("const").and_then(Value::as_str).or_else(|| choice(&branch))?;
        Some(format!("`{name}`: {}", branch["description"].as_str()?.replace('\n', " ")))
    });
    for choice in choices {
        write!(text, " {}", choice.replace('|', "\\|")).unwrap();
    }
    if schema["x-secret"] == true {
        text += " *A secret.*";
    }
    if schema.get("x-path").is_some() {
        text += " *A file of the node's machine.*";
    }
    text
}

/// The settings of an object, those of objects in it after its own.
fn settings(text: &mut String, of: &str, schema: &Value, root: &Value, depth: usize) {
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    text.push_str("| setting | type | default | |\n|---|---|---|---|\n");
    let mut inner = Vec::new();
    for (name, rules) in schema["properties"].as_object().unwrap() {
        let default = match followed(rules, root).get("default") {
            _ if required.contains(name.as_str()) => "required".to_owned(),
            None | Some(Value::Null) => String::new(),
            Some(value) => format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        };
        writeln!(text, "| `{of}{name}` | {} | {default} | {} |", ty(rules, root), described(rules, root)).unwrap();
        inner.extend(nested(rules, root).into_iter().map(|schema| (format!("{of}{name}."), schema)));
    }
    for (of, schema) in inner.into_iter().filter(|_| depth < 3) {
        // One of several, which its type tells from the others.
        let (which, what) = match schema["properties"]["type"]["const"].as_str() {
            Some(ty) => {
                (format!(", `type: {ty}`"), format!("{}\n\n", schema["description"].as_str().unwrap_or_default()))
            }
            None => Default::default(),
        };
        write!(text, "\n### `{}`{which}\n\n{what}", of.trim_end_matches('.')).unwrap();
        settings(text, &of, &schema, root, depth + 1);
    }
}

fn page(connector: &Connector) -> String {
    let (config, file) = example(connector);
    let schema = connector.schema();
    let mut text = String::new();
    let words = connector.guarantee.split_whitespace().collect::<Vec<_>>().join(" ");
    writeln!(text, "# The {} `{}`\n\n{}\n", connector.role, connector.ty, connector.summary).unwrap();
    writeln!(text, "Generated from the program (`crates/dataflow/tests/reference.rs`); `dataflow connector show {} {}` has the same.\n", connector.role, connector.ty).unwrap();
    writeln!(text, "## Guarantee\n\n{words}\n").unwrap();
    let from = file.map_or_else(String::new, |file| format!("From [{file}](../../examples/{file}):\n\n"));
    writeln!(text, "## Example\n\n{from}```json\n{}\n```\n", serde_json::to_string_pretty(&config).unwrap()).unwrap();
    text.push_str("## Settings\n\n");
    settings(&mut text, "", schema.as_value(), schema.as_value(), 0);
    text
}

#[test]
fn the_reference_is_what_the_program_says() {
    let folder = root().join("docs/connectors");
    let mut pages: BTreeMap<String, String> = BTreeMap::new();
    let mut index = "# Connectors\n\nEvery setting of every source and sink, generated from the program. The guides say more: [guides](../guides).\n\n| | | |\n|---|---|---|\n".to_owned();
    for connector in plugins::catalog().connectors() {
        let name = format!("{}-{}.md", connector.role, connector.ty);
        writeln!(index, "| {} | [`{}`]({name}) | {} |", connector.role, connector.ty, connector.summary).unwrap();
        pages.insert(name, page(connector));
    }
    pages.insert("README.md".into(), index);
    if std::env::var_os("GOLDEN").is_some_and(|how| how == "write") {
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        pages.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }
    let stored = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let stored: BTreeMap<String, String> = stored
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    let differ: Vec<&String> =
        pages.keys().chain(stored.keys()).filter(|name| pages.get(*name) != stored.get(*name)).collect();
    assert!(differ.is_empty(), "docs/connectors is not what the program says (GOLDEN=write writes it): {differ:?}");
}

#[test]
fn each_example_of_the_reference_is_valid() {
    let connectors = Connectors::new(servers::connections()).unwrap();
    for connector in connectors.catalog.connectors() {
        let component: Component = serde_json::from_value(Value::Object(example(connector).0)).unwrap();
        let problems = connectors.catalog.check_component(connector.role, &component, &connectors.connections, "");
        assert!(problems.is_empty(), "{} {}: {problems:?}", connector.role, connector.ty);
    }
}
