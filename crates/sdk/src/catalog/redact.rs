//! Secrets that stand in a spec literally: found by the check, hidden in views.
use super::{Connector, secrets};
use crate::check::{Problem, join};
use dataflow_core::spec::Component;
use serde_json::{Map, Value};

/// What is shown in the place of a secret.
pub const REDACTED: &str = "***";

/// Findings about secrets that a component holds literally: they would be stored in events.
pub(super) fn literals(connector: &Connector, component: &Component) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut config = Value::Object(component.config.clone());
    visit(
        &mut config,
        Some(connector.schema.as_value()),
        connector.schema.as_value(),
        "",
        false,
        &mut |path, text, what| {
            if secrets::malformed(text) {
                return; // said already
            }
            let from = match connector.connection {
                Some(kind) => format!(", or a connection of the node's settings (connections.{kind}.<name>)"),
                None => String::new(),
            };
            problems.push(
                Problem::new(
                    path,
                    "literal-secret",
                    format!("{what} is written out and would be stored with the pipeline"),
                )
                .fix(format!("use ${{env:NAME}} or ${{file:path}}{from}")),
            );
        },
    );
    problems
}

/// The same component with its literal secrets hidden.
pub(super) fn redact(connector: Option<&Connector>, component: &Component) -> Component {
    let mut config = Value::Object(component.config.clone());
    let schema = connector.map(|connector| connector.schema.as_value());
    let nothing = Value::Null;
    visit(&mut config, schema, schema.unwrap_or(&nothing), "", false, &mut |_, text, _| *text = hidden(text));
    match config {
        Value::Object(config) => Component { kind: component.kind.clone(), config },
        _ => Component { kind: component.kind.clone(), config: Map::new() },
    }
}

/// A URL without its password; anything else as a whole.
fn hidden(text: &str) -> String {
    match password(text) {
        Some(password) => format!("{}{REDACTED}{}", &text[..password.start], &text[password.end..]),
        None => REDACTED.into(),
    }
}

/// Where the password is in `scheme://user:password@host`.
fn password(text: &str) -> Option<std::ops::Range<usize>> {
    let scheme = text.find("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if scheme == 0 || !text[..scheme].chars().all(plain) {
        return None;
    }
    let start = scheme + 3;
    // A reference inside may hold a slash of its own, so it is passed over.
    let end = start + end_of_authority(&text[start..]);
    let at = start + text[start..end].rfind('@')?;
    let colon = start + text[start..at].find(':')?;
    (colon + 1 < at).then_some(colon + 1..at)
}

fn end_of_authority(text: &str) -> usize {
    let mut inside = false;
    for (index, c) in text.char_indices() {
        match c {
            '{' if text[..index].ends_with('$') => inside = true,
            '}' => inside = false,
            '/' | '?' | '#' if !inside => return index,
            _ => {}
        }
    }
    text.len()
}

/// Whether a free key is one that secrets are kept under.
fn named_like_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "secret", "token", "apikey", "api_key", "api-key", "api.key", "credentials"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

/// Visits every text that holds a secret literally, with its path and what it is.
fn visit(
    value: &mut Value,
    schema: Option<&Value>,
    root: &Value,
    path: &str,
    secret: bool,
    found: &mut impl FnMut(&str, &mut String, &str),
) {
    let schema = schema.map(|schema| follow(schema, root));
    let secret = secret || schema.is_some_and(|schema| schema.get("x-secret") == Some(&Value::Bool(true)));
    match value {
        Value::String(text) => {
            let password = password(text).map(|range| text[range].to_owned());
            match password {
                Some(password) if !secrets::refers(&password) => found(path, text, "the password in this URL"),
                None if secret && !text.is_empty() && !secrets::refers(text) => found(path, text, "this secret"),
                _ => {}
            }
        }
        Value::Array(items) => {
            let schema = schema.and_then(|schema| schema.get("items"));
            for (index, item) in items.iter_mut().enumerate() {
                visit(item, schema, root, &format!("{path}[{index}]"), secret, found);
            }
        }
        Value::Object(fields) => {
            let known = schema.and_then(|schema| schema.get("properties"));
            for (name, value) in fields.iter_mut() {
                let field = known.and_then(|known| known.get(name));
                let free = field.is_none() && named_like_a_secret(name);
                visit(value, field, root, &join(path, name), secret || free, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a schema refers to, also where it is optional (`anyOf: [it, null]`). The reference's own marks are kept in sight.
fn follow<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    if schema.get("x-secret").is_some() {
        return schema;
    }
    if let Some(target) =
        schema.get("$ref").and_then(Value::as_str).and_then(|name| root.pointer(name.strip_prefix('#')?))
    {
        return target;
    }
    let branches = schema.get("anyOf").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match branches {
        [branch, null] if null.get("type").is_some_and(|ty| ty == "null") => branch
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|name| root.pointer(name.strip_prefix('#')?))
            .unwrap_or(branch),
        _ => schema,
    }
}
