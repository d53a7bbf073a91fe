//! The template of an object's folder: fixed text, and expressions in braces whose values stand in their places.
use std::fmt::Write;

/// What stands for null and for an empty text, as Hive and what follows it has it.
pub(super) const NULL: &str = "__HIVE_DEFAULT_PARTITION__";
/// The longest part of a path between two slashes: no file system takes more, nor does a server on one.
const MOST_OF_A_PART: usize = 255;
/// The longest key of an object, in bytes.
const MOST_OF_A_KEY: usize = 1024;
/// What is left of that for the object's own name.
pub(super) const MOST_OF_A_NAME: usize = 224;

/// A template that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The value of the next expression.
    Expression(String),
}

impl Template {
    /// Reads a template; or why it is none. `{{` and `}}` stand for braces.
    pub(super) fn parse(template: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                text.push_str(brace);
                rest = after;
            } else if brace == "}" {
                return Err("a } without a { before it; }} stands for the character itself".into());
            } else {
                let end = end_of_expression(rest).ok_or("a { without its }; {{ stands for the character itself")?;
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                let expression = rest[..end].trim();
                if expression.is_empty() {
                    return Err("nothing between { and }".into());
                }
                pieces.push(Piece::Expression(expression.into()));
                rest = &rest[end + 1..];
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        let read = Self { pieces };
        read.check().map(|()| read)
    }

    /// The fixed text must leave a path, whatever the values are: they are never empty, and never end a part.
    fn check(&self) -> Result<(), String> {
        let shape: String = self
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Expression(_) => "x",
            })
            .collect();
        if let Some(odd) = shape.chars().find(|char| char.is_control() || *char == '\\') {
            return Err(format!("the character {odd:?}"));
        }
        let parts = shape.trim_matches('/');
        match parts.split('/').find(|part| part.is_empty() || matches!(*part, "." | "..")) {
            Some("") if !parts.is_empty() => Err("two slashes with nothing between them".into()),
            Some(dots) if !parts.is_empty() => Err(format!("a part that is {dots:?}")),
            _ if parts.split('/').any(|part| part == super::record::FOLDER) => {
                Err(format!("{} holds the sink's own records", super::record::FOLDER))
            }
            _ => Ok(()),
        }
    }

    /// Its expressions, in order.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Expression(text) => Some(text.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The folder that all objects are in, whatever the values are: with a slash at the end, or nothing.
    pub(super) fn root(&self) -> String {
        let first = match self.pieces.first() {
            Some(Piece::Text(text)) => text.trim_start_matches('/'),
            _ => "",
        };
        match (self.pieces.len(), first.trim_end_matches('/')) {
            (_, "") => String::new(),
            (0 | 1, whole) => format!("{whole}/"),
            _ => first.rfind('/').map_or_else(String::new, |slash| first[..=slash].to_owned()),
        }
    }

    /// The folder of a row with these values: with a slash at the end, or nothing. Why there is none for it.
    pub(super) fn folder<'a>(&self, values: impl Iterator<Item = Option<&'a str>>) -> Result<String, String> {
        let mut values = values;
        let mut folder = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => folder.push_str(text),
                Piece::Expression(_) => match values.next().flatten().unwrap_or_default() {
                    "" => folder.push_str(NULL),
                    NULL => folder.push_str(&NULL.replacen('_', "%5F", 1)),
                    value => put(&mut folder, value),
                },
            }
        }
        let parts = folder.trim_matches('/');
        if parts.is_empty() {
            return Ok(String::new());
        }
        let mut path = String::with_capacity(parts.len() + 1);
        for part in parts.split('/') {
            if part.len() > MOST_OF_A_PART {
                let part: String = part.chars().take(40).collect();
                return Err(format!("path: the part {part}… is longer than {MOST_OF_A_PART} bytes"));
            }
            match part {
                "." | ".." => path.push_str(&part.replace('.', "%2E")),
                super::record::FOLDER => path.push_str(&part.replace('_', "%5F")),
                part => path.push_str(part),
            }
            path.push('/');
        }
        if path.len() > MOST_OF_A_KEY - MOST_OF_A_NAME {
            let most = MOST_OF_A_KEY - MOST_OF_A_NAME;
            return Err(format!("path: it has {} bytes, more than the {most} that leave room for a name", path.len()));
        }
        Ok(path)
    }
}

/// Where the brace is that ends an expression: braces inside it come in pairs, and those in quotes are text.
fn end_of_expression(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, char) in text.char_indices() {
        match (quote, char) {
            (Some(open), char) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(char),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Writes a value as Hive and Spark write that of a partition: what would be read as something else goes as `%XX`.
fn put(folder: &mut String, value: &str) {
    for char in value.chars() {
        let escaped = char.is_control()
            || matches!(
                char,
                '"' | '#'
                    | '%'
                    | '\''
                    | '*'
                    | '/'
                    | ':'
                    | '='
                    | '?'
                    | '\\'
                    | '{'
                    | '}'
                    | '['
                    | ']'
                    | '^'
                    | '<'
                    | '>'
                    | '|'
            );
        if !escaped {
            folder.push(char);
            continue;
        }
        let mut bytes = [0; 4];
        for byte in char.encode_utf8(&mut bytes).bytes() {
            write!(folder, "%{byte:02X}").unwrap_or_else(|_| unreachable!("a text takes more text"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{NULL, Template};
    use proptest::prelude::*;

    fn folder(template: &str, values: &[Option<&str>]) -> Result<String, String> {
        Template::parse(template).unwrap().folder(values.iter().copied())
    }

    #[test]
    fn expressions_are_found() {
        let cases: [(&str, &[&str], &str); 8] = [
            ("", &[], ""),
            ("/", &[], ""),
            ("events", &[], "events/"),
            ("/events/all/", &[], "events/all/"),
            (
                "events/dt={to_char(ts, '%Y-%m-%d')}/country={country}",
                &["to_char(ts, '%Y-%m-%d')", "country"],
                "events/",
            ),
            ("{a}", &["a"], ""),
            ("x-{ '}' || {a: {b: 1}} }/y", &["'}' || {a: {b: 1}}"], ""),
            ("a/{{b}}/{c}", &["c"], "a/{b}/"),
        ];
        for (text, expressions, root) in cases {
            let template = Template::parse(text).unwrap();
            assert_eq!(
                (template.expressions().collect::<Vec<_>>(), template.root().as_str()),
                (expressions.to_vec(), root),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["a{", "a}", "{}", "{ }", "a//b", "a/../b", "./a", "a\nb", "a\\b", "{'}", "a/_dataflow/{b}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_stand_in_their_places() {
        let cases: [(&str, &[Option<&str>], String); 13] = [
            ("", &[], String::new()),
            ("a/b", &[], "a/b/".into()),
            ("c={c}", &[Some("DE")], "c=DE/".into()),
            ("c={c}", &[None], format!("c={NULL}/")),
            ("c={c}", &[Some("")], format!("c={NULL}/")),
            ("c={c}", &[Some(NULL)], "c=%5F_HIVE_DEFAULT_PARTITION__/".into()),
            ("c={c}", &[Some("a/b")], "c=a%2Fb/".into()),
            ("{c}", &[Some("..")], "%2E%2E/".into()),
            ("{c}{d}", &[Some("."), Some(".")], "%2E%2E/".into()),
            ("{c}/x", &[Some("_dataflow")], "%5Fdataflow/x/".into()),
            ("{c}", &[Some("a\n%=\u{85}")], "a%0A%25%3D%C2%85/".into()),
            ("{c}", &[Some("Köln 😀")], "Köln 😀/".into()),
            ("{a}/{b}", &[Some("1"), Some("2")], "1/2/".into()),
        ];
        for (template, values, expected) in cases {
            assert_eq!(folder(template, values).unwrap(), expected, "{template} {values:?}");
        }
    }

    #[test]
    fn a_path_that_is_too_long_is_none() {
        assert!(folder("{a}", &[Some(&"x".repeat(255))]).is_ok());
        assert!(folder("{a}", &[Some(&"x".repeat(256))]).is_err());
        assert!(folder("{a}", &[Some(&"ä".repeat(128))]).is_err(), "bytes count");
        let x = "x".repeat(250);
        assert!(folder("{a}/{b}/{c}/{d}", &[Some(x.as_str()); 4]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_the_values_are_the_path_stays_in_its_folder(a in ".*", b in ".*") {
            if let Ok(folder) = folder("root/a={a}/{b}", &[Some(&a), Some(&b)]) {
                prop_assert!(folder.starts_with("root/a="), "{folder}");
                prop_assert_eq!(folder.matches('/').count(), 3);
                prop_assert!(folder.split('/').all(|part| part != "." && part != ".."));
                let key = folder.clone() + "x";
                prop_assert!(object_store::path::Path::parse(&key).is_ok());
            }
        }

        #[test]
        fn other_values_give_other_paths(a in ".+", b in ".+") {
            let paths = (folder("{a}", &[Some(&a)]), folder("{a}", &[Some(&b)]));
            if let (Ok(one), Ok(other)) = paths {
                prop_assert_eq!(one == other, a == b);
            }
        }
    }
}
