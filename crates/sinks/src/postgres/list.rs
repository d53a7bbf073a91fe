//! Converts JSON arrays to PostgreSQL's: `[1, null, "a"]` to `{1,NULL,"a"}`.
use super::{exact::Exact, types::Base};
use crate::table::{decimal::Decimal, shown::shown};
use serde_json::value::RawValue;

/// The most digits of an integer.
const INTEGER_DIGITS: usize = 20;
/// The most dimensions of an array.
const DIMENSIONS: usize = 6;

/// The elements of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) element: Element,
    pub(super) exact: Exact,
    /// What is between elements.
    pub(super) between: char,
}

/// The JSON values that become elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Boolean,
    Integer,
    Number,
    Text,
    Json,
}

impl Element {
    /// The conversion for elements of this type; `None` if they can't be written.
    pub(super) fn of(base: &Base) -> Option<Self> {
        Some(match base.name.as_str() {
            "bool" => Self::Boolean,
            "int2" | "int4" | "int8" | "oid" => Self::Integer,
            "float4" | "float8" | "numeric" => Self::Number,
            "json" | "jsonb" => Self::Json,
            // Their text differs from their JSON form, or depends on the server's locale.
            "bytea" | "money" | "int2vector" | "oidvector" => return None,
            _ if matches!(base.class, 'b' | 'e' | 'r' | 'm') => Self::Text,
            _ => return None,
        })
    }

    fn words(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Json => "JSON",
        }
    }
}

impl List {
    /// Returns an array in PostgreSQL's text form.
    pub(super) fn write(self, json: &str) -> Result<String, String> {
        let mut out = String::with_capacity(json.len() + 8);
        self.array(json, &mut out, 1)?;
        Ok(out)
    }

    fn array(self, json: &str, out: &mut String, depth: usize) -> Result<(), String> {
        let elements: Vec<&RawValue> =
            serde_json::from_str(json).map_err(|_| format!("expected an array, found {}", shown(json)))?;
        // PostgreSQL would read `[[]]` as `[]`.
        if depth > 1 && elements.is_empty() || depth > DIMENSIONS {
            return Err("an array of empty arrays, or of more than 6 dimensions, can't be stored unchanged".into());
        }
        out.push('{');
        for (index, element) in elements.into_iter().enumerate() {
            if index > 0 {
                out.push(self.between);
            }
            let element = element.get();
            match element.as_bytes().first() {
                Some(b'n') => out.push_str("NULL"),
                Some(b'[') if self.element != Element::Json => self.array(element, out, depth + 1)?,
                _ => self.element(element, out)?,
            }
        }
        out.push('}');
        Ok(())
    }

    fn element(self, json: &str, out: &mut String) -> Result<(), String> {
        let other = || format!("its element {} is not {}", shown(json), self.element.words());
        let number = || Decimal::of(json).ok_or_else(other);
        let text = match self.element {
            Element::Boolean if json == "true" || json == "false" => json.into(),
            Element::Boolean => return Err(other()),
            Element::Integer => number()?.integer(INTEGER_DIGITS).ok_or_else(other)?,
            Element::Number => number().map(|_| json.to_owned())?,
            Element::Text => serde_json::from_str::<String>(json).map_err(|_| other())?,
            Element::Json => json.into(),
        };
        if text.contains('\0') {
            return Err("it contains the character U+0000, which PostgreSQL can't store".into());
        }
        let text = self.exact.read(&text).map_err(|why| format!("its element {why}"))?;
        out.push('"');
        for letter in text.chars() {
            if matches!(letter, '"' | '\\') {
                out.push('\\');
            }
            out.push(letter);
        }
        out.push('"');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_written_as_postgresql_reads_them() {
        for (element, json, expected) in [
            (Element::Integer, "[1, 2.0, null, -3e1]", Some(r#"{"1","2",NULL,"-30"}"#)),
            (Element::Integer, "[1.5]", None),
            (Element::Text, r#"["a,b", "\"{}\\", "", "NULL", null]"#, Some(r#"{"a,b","\"{}\\","","NULL",NULL}"#)),
            (Element::Text, "[1]", None),
            (Element::Number, "[[1.50], [2]]", Some(r#"{{"1.50"},{"2"}}"#)),
            (Element::Boolean, "[true]", Some(r#"{"true"}"#)),
            (Element::Json, r#"[{"a": [1]}, [2]]"#, Some(r#"{"{\"a\": [1]}","[2]"}"#)),
            (Element::Text, "[]", Some("{}")),
            (Element::Text, "[[]]", None),
            (Element::Text, "\"a\"", None),
        ] {
            let list = List { element, exact: Exact::Any, between: ',' };
            assert_eq!(list.write(json).ok().as_deref(), expected, "{json}");
        }
    }
}
