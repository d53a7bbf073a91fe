//! Sets or removes one field of a JSON object; every other byte stays as it is.
use super::overlay::drop_comma;
use crate::json::{Kind, Scanner, Token, unescape, write_string};
use std::ops::Range;

/// Returns a JSON text with the field at a path set to a JSON text, or removed. Missing and null objects on the path
/// are created; if `lenient`, they also replace values that are not objects.
///
/// # Errors
/// A value on the path to a field that is set is not an object.
pub fn edited(text: &str, path: &[String], value: Option<&str>, lenient: bool) -> Result<String, String> {
    let mut made = Vec::with_capacity(text.len() + value.map_or(0, str::len));
    edit(text, path, value, lenient, &mut made)?;
    String::from_utf8(made).map_err(|_| "the text is not UTF-8".into())
}

/// The location of an object's member and of its value.
struct Member {
    whole: Range<usize>,
    value: Range<usize>,
    named: bool,
}

fn edit(text: &str, path: &[String], value: Option<&str>, lenient: bool, made: &mut Vec<u8>) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else {
        made.extend_from_slice(value.unwrap_or("null").as_bytes());
        return Ok(());
    };
    if !text.trim_start().starts_with('{') {
        return match value {
            None => {
                made.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Some(value) if lenient || text.trim() == "null" => {
                nested(path, value, made);
                Ok(())
            }
            Some(_) => Err(format!("{name} can't be set in a value that is not an object")),
        };
    }
    let members = members(text, name).ok_or("the text is not JSON")?;
    let removes = value.is_none() && rest.is_empty() && members.iter().any(|member| member.named);
    if removes {
        let mut from = 0;
        for (at, member) in members.iter().enumerate().filter(|(_, member)| member.named) {
            made.extend_from_slice(&text.as_bytes()[from..member.whole.start]);
            from = members.get(at + 1).map_or(member.whole.end, |next| next.whole.start);
        }
        if members.last().is_some_and(|last| last.named) {
            drop_comma(made);
        }
        made.extend_from_slice(&text.as_bytes()[from..]);
        return Ok(());
    }
    let mut from = 0;
    for member in members.iter().filter(|member| member.named) {
        made.extend_from_slice(&text.as_bytes()[from..member.value.start]);
        edit(&text[member.value.clone()], rest, value, lenient, made)?;
        from = member.value.end;
    }
    match value {
        Some(value) if !members.iter().any(|member| member.named) => {
            let end = members.last().map_or_else(|| text.find('{').map_or(0, |at| at + 1), |last| last.whole.end);
            made.extend_from_slice(&text.as_bytes()[..end]);
            if !members.is_empty() {
                made.push(b',');
            }
            field(path, value, made);
            made.extend_from_slice(&text.as_bytes()[end..]);
        }
        _ => made.extend_from_slice(&text.as_bytes()[from..]),
    }
    Ok(())
}

/// Writes an object with one field at a path.
fn nested(path: &[String], value: &str, made: &mut Vec<u8>) {
    if path.is_empty() {
        return made.extend_from_slice(value.as_bytes());
    }
    made.push(b'{');
    field(path, value, made);
    made.push(b'}');
}

fn field(path: &[String], value: &str, made: &mut Vec<u8>) {
    if let Some((name, rest)) = path.split_first() {
        write_string(name, made);
        made.push(b':');
        nested(rest, value, made);
    }
}

/// Returns the members of an object; `None` if the text is not JSON.
fn members(text: &str, name: &str) -> Option<Vec<Member>> {
    let mut scanner = Scanner::new(text.as_bytes(), text.find('{')? + 1);
    let mut members = Vec::new();
    if scanner.blank() == b'}' {
        return Some(members);
    }
    loop {
        scanner.blank();
        let start = scanner.at();
        scanner.open_key().ok()?;
        let key = scanner.string().ok()?;
        scanner.colon().ok()?;
        let value = scanner.at();
        scanner.value().ok()?;
        let end = scanner.at();
        members.push(Member { whole: start..end, value: value..end, named: is(text, key, name) });
        if !scanner.next_member().ok()? {
            return Some(members);
        }
    }
}

fn is(text: &str, key: Token, name: &str) -> bool {
    let raw = &text[key.start..key.end];
    if key.kind != Kind::Escaped {
        return raw == name;
    }
    let mut plain = String::new();
    unescape(raw, &mut plain) && plain == name
}

#[cfg(test)]
mod tests {
    use super::edited;

    fn edit(text: &str, path: &[&str], value: Option<&str>) -> String {
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        edited(text, &path, value, false).unwrap_or_else(|why| why)
    }

    #[test]
    fn only_the_field_at_the_path_changes() {
        let cases: &[(&str, &[&str], Option<&str>, &str)] = &[
            (r#"{"a": 1.0, "b" :2}"#, &["a"], None, r#"{"b" :2}"#),
            (r#"{"a":1}"#, &["a"], None, "{}"),
            (r#"{"b": 1.50 }"#, &["a"], None, r#"{"b": 1.50 }"#),
            ("{\n \"a\": 1,\n \"b\": 2 ,\n\"c\": 3}", &["a"], None, "{\n \"b\": 2 ,\n\"c\": 3}"),
            (r#"{"b": 2, "a": 1, "c" : 3,"a":4, "a": 5 }"#, &["a"], None, r#"{"b": 2, "c" : 3 }"#),
            (r#"{"b": {"a": 1, "c":1e3}, "d": 2}"#, &["b", "a"], None, r#"{"b": {"c":1e3}, "d": 2}"#),
            (r#"{"a":1,"\u0061":2,"b":3}"#, &["a"], None, r#"{"b":3}"#),
            ("[1]", &["a"], None, "[1]"),
            (r#"{"a": 1, "b": 2.0}"#, &["a"], Some("\"x\""), r#"{"a": "x", "b": 2.0}"#),
            (r#"{ "b": 2.0 }"#, &["a"], Some("1"), r#"{ "b": 2.0,"a":1 }"#),
            ("{ }", &["a", "b"], Some("1"), r#"{"a":{"b":1} }"#),
            ("null", &["a", "b"], Some("1"), r#"{"a":{"b":1}}"#),
            (r#"{"a": null}"#, &["a", "b"], Some("1"), r#"{"a": {"b":1}}"#),
            (r#"{"a": 3}"#, &["a", "b"], Some("1"), "b can't be set in a value that is not an object"),
            (r#"{"a": 3}"#, &["a", "b"], None, r#"{"a": 3}"#),
        ];
        for (text, path, value, expected) in cases {
            assert_eq!(edit(text, path, *value), *expected, "{text} {path:?} {value:?}");
        }
    }
}
