//! A value against a JSON Schema as schemars makes it from a config struct.
use super::{
    Problem,
    nearest::hint,
    value::{count, ill_formed, mismatch, out_of_range, shown, unknown, unknown_value, wrong_type},
};
use schemars::Schema;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// All findings about a value, by the schema of the type that it is to become. `path` is where the value stands.
///
/// Knows what schemars generates: `$ref`, `properties`, `required`, `additionalProperties`, `type`, `enum`, `const`,
/// `anyOf`, `oneOf`, `allOf`, `items`, and limits of numbers, lengths and counts.
pub fn against_schema(value: &Value, schema: &Schema, path: &str) -> Vec<Problem> {
    let root = schema.as_value();
    Checker { root }.value(value, root, path, 0)
}

/// Deeper than any config; ends a schema that refers to itself without going deeper into the value.
const MAX_DEPTH: usize = 100;

struct Checker<'a> {
    root: &'a Value,
}

impl<'a> Checker<'a> {
    fn value(&self, value: &Value, schema: &'a Value, path: &str, depth: usize) -> Vec<Problem> {
        let mut problems = Vec::new();
        let Some(rules) = schema.as_object() else {
            if schema == &Value::Bool(false) {
                problems.push(Problem::new(path, "unknown-field", "is not allowed here"));
            }
            return problems;
        };
        if depth > MAX_DEPTH {
            return problems;
        }
        if let Some(target) = rules.get("$ref").and_then(|name| self.resolve(name)) {
            problems.extend(self.value(value, target, path, depth + 1));
        }
        if let Some(finding) = wrong_type(value, rules, path).or_else(|| unknown_value(value, rules, path)) {
            problems.push(finding);
            return problems;
        }
        for part in branches(rules, "allOf") {
            problems.extend(self.value(value, part, path, depth + 1));
        }
        for key in ["anyOf", "oneOf"] {
            let branches = branches(rules, key);
            if !branches.is_empty() {
                problems.extend(self.one_of(value, branches, path, depth));
            }
        }
        match value {
            Value::Object(fields) => problems.extend(self.object(fields, rules, path, depth)),
            Value::Array(items) => problems.extend(self.array(items, rules, path, depth)),
            Value::Number(number) => problems.extend(out_of_range(number, rules, path)),
            Value::String(text) => {
                let length = text.chars().count() as u64;
                let found = count(length, rules, ["minLength", "maxLength"], "character(s)", path).into_iter();
                // YAML reads a backslash as itself, but within double quotes.
                problems.extend(found.map(|found| match text.strip_prefix('\\') {
                    Some(rest) if rest.len() == 1 => found.fix(format!("write \"{text}\", in double quotes")),
                    _ => found,
                }));
                problems.extend(ill_formed(text, rules, path));
            }
            Value::Null | Value::Bool(_) => {}
        }
        problems
    }

    fn resolve(&self, name: &Value) -> Option<&'a Value> {
        self.root.pointer(name.as_str()?.strip_prefix('#')?)
    }

    /// The findings of the branch that fits best: none if one fits.
    fn one_of(&self, value: &Value, branches: &'a [Value], path: &str, depth: usize) -> Vec<Problem> {
        let mut tried: Vec<(&'a Value, Vec<Problem>)> = Vec::new();
        for branch in branches {
            let problems = self.value(value, branch, path, depth + 1);
            if problems.is_empty() {
                return problems;
            }
            tried.push((branch, problems));
        }
        // Whoever writes something doesn't mean "nothing".
        tried.retain(|(branch, _)| branch.get("type").is_none_or(|ty| ty != "null"));
        let fixed: Vec<&Value> = tried.iter().flat_map(|(branch, _)| self.allowed(branch)).collect();
        if let Value::String(text) = value
            && !fixed.is_empty()
        {
            let names: Vec<&str> = fixed.iter().filter_map(|value| value.as_str()).collect();
            return vec![unknown(text, &names, path)];
        }
        let misses = |problems: &[Problem]| problems.iter().any(|p| p.path == path && p.code == "type-mismatch");
        if tried.len() > 1 && tried.iter().all(|(_, problems)| misses(problems)) {
            let mut types: Vec<String> = tried.iter().flat_map(|(branch, _)| self.types(branch)).collect();
            types.dedup();
            types.retain(|ty| ty != "null");
            return vec![Problem::new(path, "type-mismatch", mismatch(&types, value))];
        }
        if let Some(tag) = branches.iter().flat_map(|branch| self.tags(branch)).map(|(name, _)| name).next()
            && let Some(given) = value.get(tag).and_then(Value::as_str)
        {
            let known: Vec<&str> = branches.iter().filter_map(|branch| self.tag(branch, tag)).collect();
            if !known.contains(&given) {
                return vec![unknown(given, &known, &join(path, tag))];
            }
            tried.retain(|(branch, _)| self.tag(branch, tag) == Some(given));
        }
        let best = tried.into_iter().map(|(_, problems)| problems);
        best.min_by_key(|problems| (misses(problems), problems.len())).unwrap_or_default()
    }

    /// Fields with a fixed text, which tell a variant from others.
    fn tags(&self, branch: &'a Value) -> impl Iterator<Item = (&'a str, &'a str)> {
        let properties = self.follow(branch).get("properties").and_then(Value::as_object);
        let fixed = |(name, schema): (&'a String, &'a Value)| Some((name.as_str(), schema.get("const")?.as_str()?));
        properties.into_iter().flatten().filter_map(fixed)
    }

    fn tag(&self, branch: &'a Value, name: &str) -> Option<&'a str> {
        self.tags(branch).find(|(tag, _)| *tag == name).map(|(_, value)| value)
    }

    fn follow(&self, schema: &'a Value) -> &'a Value {
        schema.get("$ref").and_then(|name| self.resolve(name)).unwrap_or(schema)
    }

    /// Fixed values that a schema allows.
    fn allowed(&self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.follow(schema);
        match (schema.get("const"), schema.get("enum").and_then(Value::as_array)) {
            (Some(value), _) => vec![value],
            (None, Some(values)) => values.iter().collect(),
            (None, None) => {
                let nested = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
                nested.flat_map(|branch| self.allowed(branch)).collect()
            }
        }
    }

    fn types(&self, schema: &'a Value) -> Vec<String> {
        let schema = self.follow(schema);
        let mut types: Vec<String> = match schema.get("type") {
            Some(Value::String(ty)) => vec![ty.clone()],
            Some(Value::Array(types)) => types.iter().filter_map(|ty| ty.as_str().map(String::from)).collect(),
            _ => Vec::new(),
        };
        for key in ["anyOf", "oneOf"] {
            let nested = schema.get(key).and_then(Value::as_array).into_iter().flatten();
            types.extend(nested.flat_map(|branch| self.types(branch)));
        }
        types
    }

    fn object(
        &self,
        fields: &Map<String, Value>,
        rules: &'a Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let properties = rules.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            if let Some(value) = fields.get(name) {
                problems.extend(self.value(value, schema, &join(path, name), depth + 1));
            }
        }
        for name in rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                let what = properties.and_then(|all| all.get(name)).and_then(|schema| self.describe(schema));
                let finding = Problem::new(join(path, name), "missing-field", "is missing");
                problems.push(match what {
                    Some(what) => finding.fix(format!("give {name:?}: {what}")),
                    None => finding.fix(format!("give {name:?}")),
                });
            }
        }
        let rest = rules.get("additionalProperties").or_else(|| rules.get("unevaluatedProperties"));
        let known = self.known_fields(rules, 0);
        for (name, value) in fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            match rest {
                Some(Value::Bool(false)) => {
                    let finding =
                        Problem::new(join(path, name), "unknown-field", format!("there is no field {:?}", shown(name)));
                    let replaced = rules.get("x-replaced").and_then(|all| all.get(name)).and_then(Value::as_str);
                    let replaced = replaced.map(|by| format!("write {by} instead"));
                    problems.push(match replaced.or_else(|| hint(name, &known)) {
                        Some(hint) => finding.fix(hint),
                        None => finding.fix("leave it out"),
                    });
                }
                Some(schema) => problems.extend(self.value(value, schema, &join(path, name), depth + 1)),
                None => {}
            }
        }
        problems.extend(count(fields.len() as u64, rules, ["minProperties", "maxProperties"], "field(s)", path));
        problems
    }

    /// Every field that some part of the schema knows.
    fn known_fields(&self, rules: &'a Map<String, Value>, depth: usize) -> Vec<&'a str> {
        let properties = rules.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut known: Vec<&str> = properties.map(|(name, _)| name.as_str()).collect();
        if depth < 8 {
            let referred = rules.get("$ref").and_then(|name| self.resolve(name)).into_iter();
            let parts = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|key| branches(rules, key)).chain(referred);
            for part in parts.filter_map(Value::as_object) {
                known.extend(self.known_fields(part, depth + 1));
            }
        }
        known
    }

    /// The first sentence of a schema's description.
    fn describe(&self, schema: &'a Value) -> Option<&'a str> {
        let text = schema.get("description").or_else(|| self.follow(schema).get("description"))?.as_str()?;
        let text = text.split("\n\n").next().unwrap_or(text);
        Some(text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.'))
    }

    fn array(&self, items: &[Value], rules: &'a Map<String, Value>, path: &str, depth: usize) -> Vec<Problem> {
        let mut problems = count(items.len() as u64, rules, ["minItems", "maxItems"], "entries", path);
        let first = branches(rules, "prefixItems");
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or_else(|| rules.get("items")) {
                problems.extend(self.value(item, schema, &format!("{path}[{index}]"), depth + 1));
            }
        }
        if rules.get("uniqueItems") == Some(&Value::Bool(true))
            && let Some(index) = {
                let mut seen = HashSet::new();
                items.iter().position(|item| !seen.insert(item))
            }
        {
            problems.push(Problem::new(format!("{path}[{index}]"), "duplicate", "is given twice"));
        }
        problems
    }
}

fn branches<'a>(rules: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    rules.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The path of a field: `a.b`, or `a["b c"]` where the name is no plain one.
pub(crate) fn join(path: &str, name: &str) -> String {
    // A path is made for everything below it: it must not be long.
    let name = &*shown(name);
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    match (path, plain) {
        ("", true) => name.into(),
        (_, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[{name:?}]"),
    }
}
