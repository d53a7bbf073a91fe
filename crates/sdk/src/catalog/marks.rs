//! Classifies each text of a config by its connector's schema: a secret, a server's address, a path.
use super::passwords::{SecretSpan, Written, named_like_a_secret, places};
use crate::check::join;
use serde_json::Value;

/// What a text is, by the marks of its field and of those around it (`x-secret`, `x-address`, `x-path`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// A secret as a whole.
    pub(super) secret: bool,
    /// Says which server to speak to; a password may be part of it, unless the mark is `"host"`.
    pub(super) address: bool,
    /// A file of the node's machine, or a pattern of some.
    pub(super) path: bool,
    /// Only read, never written.
    pub(super) read: bool,
}

impl Mark {
    fn of(schema: &Value) -> Self {
        let marked = |name: &str| schema.get(name) == Some(&Value::Bool(true));
        let path = schema.get("x-path");
        Self {
            secret: marked("x-secret"),
            address: schema.get("x-address").is_some(),
            path: path.is_some(),
            read: path.is_some_and(|how| how == "read"),
        }
    }

    fn or(self, inner: Self) -> Self {
        Self {
            secret: self.secret || inner.secret,
            address: self.address || inner.address,
            path: self.path || inner.path,
            read: self.read || inner.read,
        }
    }

    fn any(self) -> bool {
        self != Self::default()
    }

    /// Where a secret may stand in a text that is marked so, and be referred to.
    pub(super) fn secret_places(self, text: &str) -> Vec<SecretSpan> {
        match self {
            Self { secret: true, .. } => vec![SecretSpan { range: 0..text.len(), written: Written::Plain }],
            Self { address: true, .. } => places(text),
            _ => Vec::new(),
        }
    }
}

/// Visits every text of a config with its path and marks.
pub(super) fn visit(config: &mut Value, schema: Option<&Value>, found: &mut impl FnMut(&str, &mut String, Mark)) {
    let nothing = Value::Null;
    walk(config, schema, schema.unwrap_or(&nothing), "", Mark::default(), found);
}

/// Whether a top-level field of a schema is marked as a server's address.
pub(super) fn is_address(schema: &Value, field: &str) -> bool {
    of_field(schema, field).is_some_and(|mark| mark.address)
}

/// Whether it is marked as a server's address, or as a secret.
pub(super) fn is_of_connection(schema: &Value, field: &str) -> bool {
    of_field(schema, field).is_some_and(|mark| mark.address || mark.secret)
}

fn of_field(schema: &Value, field: &str) -> Option<Mark> {
    schema.get("properties").and_then(|fields| fields.get(field)).map(Mark::of)
}

/// The fields of a schema that take references, for users to read.
pub(super) fn fields_for_secrets(schema: &Value) -> Vec<String> {
    let mut described = Vec::new();
    describe(schema, schema, "", &mut described);
    described
}

fn describe(schema: &Value, root: &Value, path: &str, described: &mut Vec<String>) {
    for branch in branches(schema, root, 0) {
        for (name, field) in branch.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = join(path, name);
            match Mark::of(field) {
                Mark { secret: true, .. } => described.push(format!("`{path}`")),
                Mark { address: true, .. } if field["x-address"] != "host" => {
                    described.push(format!("the password in `{path}`"));
                }
                // No setting with secrets lies deeper than in a setting of its own.
                _ if !path.contains('.') => describe(field, root, &path, described),
                _ => {}
            }
        }
    }
}

fn walk(
    value: &mut Value,
    schema: Option<&Value>,
    root: &Value,
    path: &str,
    around: Mark,
    found: &mut impl FnMut(&str, &mut String, Mark),
) {
    let schema = schema.map(|schema| part(schema, root, value));
    let mark = around.or(schema.map(Mark::of).unwrap_or_default());
    match value {
        Value::String(text) => found(path, text, mark),
        Value::Array(items) => {
            let schema = schema.and_then(|schema| schema.get("items"));
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, schema, root, &format!("{path}[{index}]"), mark, found);
            }
        }
        Value::Object(fields) => {
            let known = schema.and_then(|schema| schema.get("properties"));
            let free = schema.and_then(|schema| schema.get("additionalProperties")).filter(|rest| rest.is_object());
            for (name, value) in fields.iter_mut() {
                let field = known.and_then(|known| known.get(name)).or(free);
                let by_name =
                    value.is_string() && named_like_a_secret(name) && field.is_none_or(|field| any_text(field, root));
                let mark = Mark { secret: mark.secret || by_name, ..mark };
                walk(value, field, root, &join(path, name), mark, found);
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
    // A mark stands beside a reference, not inside its target.
    if Mark::of(schema).any() {
        return schema;
    }
    branches(schema, root, 0).into_iter().find(|branch| takes(branch, ty)).unwrap_or(schema)
}

/// Resolves a schema: references followed, alternatives side by side.
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
