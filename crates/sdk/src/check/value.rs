//! Checks a value against its schema, without looking into it.
use super::Problem;
use dataflow_core::{spec::Millis, types::Type};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Most characters of a wrong value that are repeated.
const MAX_SHOWN: usize = 100;

/// A wrong value, as much of it as is worth repeating.
pub(crate) fn shown(given: &str) -> Cow<'_, str> {
    match given.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &given[..end])),
        None => Cow::Borrowed(given),
    }
}

fn type_name(ty: &str) -> &str {
    match ty {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "object" => "an object",
        "array" => "an array",
        other => other,
    }
}

pub(super) fn mismatch(types: &[String], value: &Value) -> String {
    let names: Vec<&str> = types.iter().map(|ty| type_name(ty)).collect();
    let is = match value {
        Value::Null => "null",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("must be {}, is {is}", names.join(" or "))
}

pub(super) fn wrong_type(value: &Value, rules: &Map<String, Value>, path: &str) -> Option<Problem> {
    let types: Vec<String> = match rules.get("type")? {
        Value::String(ty) => vec![ty.clone()],
        Value::Array(types) => types.iter().filter_map(|ty| ty.as_str().map(String::from)).collect(),
        _ => return None,
    };
    let fits = |ty: &String| match ty.as_str() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        _ => true,
    };
    if types.iter().any(fits) {
        return None;
    }
    let named: Vec<String> = types.into_iter().filter(|ty| ty != "null").collect();
    let finding = Problem::new(path, "type-mismatch", mismatch(&named, value));
    Some(match (rules.get("format").and_then(Value::as_str), value) {
        (Some(DURATION), Value::Number(number)) => {
            finding.fix(format!("give it a unit: \"{number}s\" or \"{number}ms\""))
        }
        (Some(TYPE), _) => finding.fix("write it as text: \"bigint\", \"decimal(10,2)\""),
        (Some(DURATION), _) => finding,
        _ => match named.iter().find_map(|ty| meant(value, ty)) {
            Some(fix) => finding.fix(fix),
            None => finding,
        },
    })
}

/// How to write a value of another type that was probably meant as one of this.
fn meant(value: &Value, ty: &str) -> Option<String> {
    let whole = |number: f64| number.fract() == 0.0 && number.abs() < 1e15;
    match (ty, value) {
        ("integer", Value::Number(number)) => {
            number.as_f64().filter(|number| whole(*number)).map(|number| format!("write {number}"))
        }
        ("integer" | "number", Value::String(text)) => {
            let number: serde_json::Number = text.parse().ok()?;
            (ty == "number" || number.is_i64() || number.is_u64()).then(|| format!("write {text}, without quotes"))
        }
        ("boolean", Value::String(text)) => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Some("write true, without quotes".into()),
            "false" | "no" | "off" | "n" => Some("write false, without quotes".into()),
            _ => None,
        },
        ("boolean", Value::Number(number)) => match number.as_u64()? {
            0 => Some("write false".into()),
            1 => Some("write true".into()),
            _ => None,
        },
        ("string", Value::Number(_) | Value::Bool(_)) => Some("put it in quotes".into()),
        (_, Value::Null) => Some("give a value, or leave it out".into()),
        _ => None,
    }
}

/// Formats of texts in schemas.
const DURATION: &str = "duration";
const TYPE: &str = "column-type";

/// The fault of a text that should be a duration or a type.
pub(super) fn ill_formed(text: &str, rules: &Map<String, Value>, path: &str) -> Option<Problem> {
    // What a reference stands for is known only when it is looked up.
    let refers = text.contains("${");
    match rules.get("format").and_then(Value::as_str).filter(|_| !refers)? {
        DURATION => text.parse::<Millis>().err().map(|why| Problem::new(path, "invalid-value", why)),
        TYPE if text.parse::<Type>().is_err() => {
            let known = format!("types: {} and decimal(10,2)", Type::names().collect::<Vec<_>>().join(", "));
            let near = Type::called_elsewhere(text).or_else(|| super::nearest(text, Type::names()).map(Into::into));
            let finding = Problem::new(path, "unknown-value", format!("{:?} is not a type", shown(text)));
            Some(match near {
                Some(near) => finding.fix(format!("did you mean {near:?}? {known}")),
                None => finding.fix(known),
            })
        }
        _ => None,
    }
}

pub(super) fn unknown_value(value: &Value, rules: &Map<String, Value>, path: &str) -> Option<Problem> {
    let allowed: Vec<&Value> = match (rules.get("const"), rules.get("enum")) {
        (Some(only), _) => vec![only],
        (None, Some(Value::Array(values))) => values.iter().collect(),
        _ => return None,
    };
    if allowed.contains(&value) {
        return None;
    }
    let names: Vec<&str> = allowed.iter().filter_map(|value| value.as_str()).collect();
    Some(match value {
        Value::String(text) if !names.is_empty() => unknown(text, &names, path),
        _ => {
            let all: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            Problem::new(path, "unknown-value", format!("must be {}", all.join(" or ")))
        }
    })
}

pub(super) fn unknown(given: &str, known: &[&str], path: &str) -> Problem {
    let shown: String =
        given.chars().take(MAX_SHOWN).chain((given.chars().count() > MAX_SHOWN).then_some('…')).collect();
    let finding = Problem::new(path, "unknown-value", format!("{shown:?} is not one of {}", known.join(", ")));
    match super::nearest(given, known.iter().copied()) {
        Some(name) => finding.fix(format!("did you mean {name:?}?")),
        None => finding.fix("write one of these"),
    }
}

pub(super) fn out_of_range(number: &serde_json::Number, rules: &Map<String, Value>, path: &str) -> Option<Problem> {
    let value = number.as_f64()?;
    let limit = |key: &str| rules.get(key).and_then(Value::as_f64);
    let (low, high) = match rules.get("format").and_then(Value::as_str) {
        Some("uint8") => (Some(0.0), Some(f64::from(u8::MAX))),
        Some("uint16") => (Some(0.0), Some(f64::from(u16::MAX))),
        Some("uint32") => (Some(0.0), Some(f64::from(u32::MAX))),
        Some("int8") => (Some(f64::from(i8::MIN)), Some(f64::from(i8::MAX))),
        Some("int16") => (Some(f64::from(i16::MIN)), Some(f64::from(i16::MAX))),
        Some("int32") => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
        _ => (None, None),
    };
    let message = match (limit("minimum").or(low), limit("maximum").or(high)) {
        (Some(least), _) if value < least => format!("must be at least {least}, is {number}"),
        (_, Some(most)) if value > most => format!("must be at most {most}, is {number}"),
        _ => match (limit("exclusiveMinimum"), limit("exclusiveMaximum")) {
            (Some(bound), _) if value <= bound => format!("must be greater than {bound}, is {number}"),
            (_, Some(bound)) if value >= bound => format!("must be less than {bound}, is {number}"),
            _ => return None,
        },
    };
    Some(Problem::new(path, "out-of-range", message))
}

pub(super) fn count(
    value: u64,
    rules: &Map<String, Value>,
    [least, most]: [&str; 2],
    what: &str,
    path: &str,
) -> Vec<Problem> {
    let limit = |key: &str| rules.get(key).and_then(Value::as_u64);
    match (limit(least), limit(most)) {
        (Some(least), _) if value < least => {
            vec![Problem::new(path, "too-few", format!("has {value} {what}, but needs at least {least}"))]
        }
        (_, Some(most)) if value > most => {
            vec![Problem::new(path, "too-many", format!("has {value} {what}, but at most {most} are allowed"))]
        }
        _ => Vec::new(),
    }
}
