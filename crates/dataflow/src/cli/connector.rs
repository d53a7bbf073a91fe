//! `dataflow connector`: the sources, transforms and sinks of this build, and their settings.
use super::{
    Outcome,
    exit::Failure,
    output::{self, Output},
};
use crate::plugins;
use clap::Subcommand;
use dataflow_sdk::catalog::Role;
use schemars::Schema;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List them.
    List,
    /// Show one with all its settings.
    Show {
        /// `source`, `transform` or `sink`.
        kind: Kind,
        /// Its type: `kafka`, `filter`, `postgres`, …
        #[arg(value_name = "TYPE")]
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Source,
    Transform,
    Sink,
}

/// What is known of a connector or transform.
struct Entry {
    kind: &'static str,
    ty: &'static str,
    summary: &'static str,
    guarantee: Option<&'static str>,
    schema: Schema,
}

pub(super) fn main(command: &Command, output: Output) -> Result<Outcome, Failure> {
    let entries = entries();
    match command {
        Command::List => list(&entries, output),
        Command::Show { kind, name } => {
            let kind = match kind {
                Kind::Source => "source",
                Kind::Transform => "transform",
                Kind::Sink => "sink",
            };
            show(&entries, kind, name, output)?;
        }
    }
    Ok(Outcome::Done)
}

fn entries() -> Vec<Entry> {
    let catalog = Arc::new(plugins::catalog());
    let compiler = plugins::compiler();
    let connectors = catalog.connectors().iter().map(|connector| Entry {
        kind: match connector.role {
            Role::Source => "source",
            Role::Sink => "sink",
        },
        ty: connector.ty,
        summary: connector.summary,
        guarantee: Some(connector.guarantee),
        schema: connector.schema(),
    });
    let transforms = compiler.catalog().into_iter().map(|(ty, summary, schema)| Entry {
        kind: "transform",
        ty,
        summary,
        guarantee: None,
        schema,
    });
    let mut entries: Vec<_> = connectors.chain(transforms).collect();
    // In the order in which records meet them; within a kind, as they are registered.
    entries.sort_by_key(|entry| match entry.kind {
        "source" => 0,
        "transform" => 1,
        _ => 2,
    });
    entries
}

fn list(entries: &[Entry], output: Output) {
    match output {
        Output::Json => {
            let items: Vec<_> = entries
                .iter()
                .map(|e| json!({"kind": e.kind, "type": e.ty, "summary": e.summary, "guarantee": e.guarantee}))
                .collect();
            output::json(&items);
        }
        Output::Table => {
            let rows: Vec<_> =
                entries.iter().map(|e| [e.kind.to_owned(), e.ty.to_owned(), e.summary.to_owned()]).collect();
            output::print(&output::table(["KIND", "TYPE", "WHAT IT DOES"], &rows));
        }
    }
}

fn show(entries: &[Entry], kind: &str, name: &str, output: Output) -> Result<(), Failure> {
    let Some(entry) = entries.iter().find(|entry| entry.kind == kind && entry.ty == name) else {
        let known: Vec<_> = entries.iter().filter(|entry| entry.kind == kind).map(|entry| entry.ty).collect();
        return Err(Failure::invalid(format!("there is no {kind} of type {name:?}"), Vec::new())
            .fix(format!("known: {}", known.join(", "))));
    };
    match output {
        Output::Json => output::json(&json!({
            "kind": entry.kind, "type": entry.ty, "summary": entry.summary, "guarantee": entry.guarantee,
            "schema": entry.schema,
        })),
        Output::Table => output::print(&manual(entry, output::terminal_width())),
    }
    Ok(())
}

/// What there is to know of it, in lines of at most `width`: its settings with type and default, each with its meaning below.
fn manual(entry: &Entry, width: usize) -> String {
    let mut text = output::wrapped(&format!("{} {}: {}", entry.kind, entry.ty, entry.summary), width, 0);
    if let Some(guarantee) = entry.guarantee {
        text.push_str(&format!("\n{}", output::wrapped(guarantee, width, 0)));
    }
    text.push_str("\nSettings (* must be given):\n");
    for [name, ty, default, meaning] in fields("", entry.schema.as_value(), entry.schema.as_value()) {
        let default = if default.is_empty() { default } else { format!(", default {default}") };
        text.push_str(&format!("\n{}", output::wrapped(&format!("{name}  {ty}{default}"), width, 2)));
        text.push_str(&output::wrapped(&meaning, width, 6));
    }
    text
}

/// The fields of a schema, those of objects in it after each: name (`*`: required), type, default, description.
fn fields(of: &str, schema: &Value, root: &Value) -> Vec<[String; 4]> {
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let mark = if required.contains(&name.as_str()) { "*" } else { "" };
        let default = field.get("default").filter(|value| !value.is_null()).map_or(String::new(), Value::to_string);
        let meaning = field["description"].as_str().unwrap_or_default().replace('\n', " ");
        fields.push([format!("{of}{name}{mark}"), type_of(field, root), default, meaning]);
        for inner in objects(field, root, 0) {
            // One of several, which its type tells from the others.
            let of = match inner["properties"]["type"]["const"].as_str() {
                Some(ty) => format!("{of}{name}({ty})."),
                None => format!("{of}{name}."),
            };
            fields.extend(self::fields(&of, inner, root));
        }
    }
    fields
}

/// The objects with settings of their own that a setting may be.
fn objects<'a>(field: &'a Value, root: &'a Value, depth: usize) -> Vec<&'a Value> {
    if depth > 4 {
        return Vec::new();
    }
    let target = field["$ref"].as_str().and_then(|name| root.pointer(name.trim_start_matches('#')));
    let alternatives = ["anyOf", "oneOf"].iter().filter_map(|key| field[*key].as_array()).flatten();
    match field["properties"].is_object() {
        true => vec![field],
        false => target.into_iter().chain(alternatives).flat_map(|inner| objects(inner, root, depth + 1)).collect(),
    }
}

fn type_of(field: &Value, root: &Value) -> String {
    if let Some(target) = field["$ref"].as_str().and_then(|name| root.pointer(name.trim_start_matches('#'))) {
        return type_of(target, root);
    }
    if let Some(values) = field["enum"].as_array() {
        return values
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), Into::into))
            .collect::<Vec<_>>()
            .join(" | ");
    }
    if let Some(value) = field.get("const") {
        return value.as_str().map_or_else(|| value.to_string(), Into::into);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(branches) = field[key].as_array() {
            let mut types: Vec<_> = branches.iter().map(|branch| type_of(branch, root)).collect();
            types.retain(|ty| ty != "null");
            types.dedup();
            return types.join(" | ");
        }
    }
    match &field["type"] {
        Value::String(ty) if ty == "array" => format!("list of {}", type_of(&field["items"], root)),
        Value::String(ty) => ty.clone(),
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).filter(|ty| *ty != "null").collect::<Vec<_>>().join(" | ")
        }
        _ => "any".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manual_fits_the_terminal() {
        for entry in entries() {
            for width in [60, 80, 120] {
                for line in manual(&entry, width).lines() {
                    // A word that is longer than a line can't be broken.
                    let fits = line.chars().count() <= width || line.split_whitespace().count() == 1;
                    assert!(fits, "{} {}: {line:?}", entry.kind, entry.ty);
                }
            }
        }
    }
}
