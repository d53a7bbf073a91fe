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

/// A URL without user and password, whether they are written out or refer to secrets; anything else as it is.
pub(super) fn without_login(text: &str) -> String {
    let Some(start) = text.find("://").map(|scheme| scheme + 3) else { return text.into() };
    let end = start + end_of_authority(&text[start..]);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}{}", &text[..start], &text[start + at + 1..]),
        None => text.into(),
    }
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

/// Whether a name is one that secrets are kept under, also where its schema doesn't mark it: settings passed through to
/// a client library have no schema of their own.
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
    let schema = schema.map(|schema| part(schema, root, value));
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
            let free = schema.and_then(|schema| schema.get("additionalProperties")).filter(|rest| rest.is_object());
            for (name, value) in fields.iter_mut() {
                let field = known.and_then(|known| known.get(name)).or(free);
                let by_name =
                    value.is_string() && named_like_a_secret(name) && field.is_none_or(|field| any_text(field, root));
                visit(value, field, root, &join(path, name), secret || by_name, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a schema takes any text, and not only some (the type of a column that is called `password`).
fn any_text(schema: &Value, root: &Value) -> bool {
    let some = ["pattern", "enum", "const", "format"];
    let plain = |schema: &&Value| some.iter().all(|key| schema.get(key).is_none()) && takes(schema, "string");
    branches(schema, root, 0).iter().any(plain)
}

fn takes(schema: &Value, ty: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == ty,
        Some(Value::Array(types)) => types.iter().any(|one| one == ty),
        _ => false,
    }
}

/// The part of a schema that a value is read by.
fn part<'a>(schema: &'a Value, root: &'a Value, value: &Value) -> &'a Value {
    let ty = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Null | Value::Bool(_) | Value::Number(_) => return schema,
    };
    // A mark stands beside a reference, not behind it.
    if schema.get("x-secret").is_some() {
        return schema;
    }
    branches(schema, root, 0).into_iter().find(|branch| takes(branch, ty)).unwrap_or(schema)
}

/// What a schema comes down to: references followed, alternatives side by side.
fn branches<'a>(schema: &'a Value, root: &'a Value, depth: usize) -> Vec<&'a Value> {
    if depth > 8 {
        return Vec::new();
    }
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| root.pointer(name.strip_prefix('#')?));
    let alternatives = ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let mut all = vec![schema];
    all.extend(target.into_iter().chain(alternatives).flat_map(|branch| branches(branch, root, depth + 1)));
    all
}
