//! References to secrets: `${env:NAME}` and `${file:path}`, looked up only when a connector is built.
use crate::check::{Problem, join};
use serde_json::Value;
use std::{io, path::Path};

/// Where secrets are looked up. The binary gives the real one.
pub trait Secrets: Send + Sync + std::fmt::Debug {
    /// An environment variable; none if it is not set.
    fn env(&self, name: &str) -> Option<String>;

    /// The text of a file.
    ///
    /// # Errors
    /// If it can't be read.
    fn file(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// No environment variables; files are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

/// A piece of a text with references.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Env(&'a str),
    File(&'a str),
}

/// The pieces of a text. `$${` stands for `${` itself.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            pieces.push(Piece::Text(&rest[..at - 1]));
            pieces.push(Piece::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        pieces.push(Piece::Text(&rest[..at]));
        let Some(end) = rest[at..].find('}') else {
            return Err(format!("the reference {:?} has no closing brace", &rest[at..]));
        };
        let reference = &rest[at + 2..at + end];
        pieces.push(match reference.split_once(':') {
            Some((_, "")) => return Err(format!("the reference \"${{{reference}}}\" names nothing")),
            Some(("env", name)) => Piece::Env(name),
            Some(("file", path)) => Piece::File(path),
            _ => return Err(format!("\"${{{reference}}}\" is no reference that is known")),
        });
        rest = &rest[at + end + 1..];
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// Whether a text refers to a secret.
pub(super) fn refers(text: &str) -> bool {
    pieces(text).is_ok_and(|pieces| pieces.iter().any(|piece| !matches!(piece, Piece::Text(_))))
}

/// Whether a text has a reference that can't be read.
pub(super) fn malformed(text: &str) -> bool {
    pieces(text).is_err()
}

/// Whether a secret is referred to anywhere in a value.
pub(super) fn any(value: &Value) -> bool {
    match value {
        Value::String(text) => refers(text),
        Value::Array(items) => items.iter().any(any),
        Value::Object(fields) => fields.values().any(any),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Findings about how references are written.
pub(super) fn check(value: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    each_text(value, "", &mut |path, text| {
        if let Err(message) = pieces(text) {
            let fix = "write ${env:NAME} or ${file:path}; $${ stands for ${ itself";
            problems.push(Problem::new(path, "invalid-reference", message).fix(fix));
        }
    });
    problems
}

fn each_text(value: &Value, path: &str, visit: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(path, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each_text(item, &format!("{path}[{index}]"), visit);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                each_text(value, &join(path, name), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What references stood for, so that it can be kept out of messages.
#[derive(Default)]
pub(super) struct Found(Vec<String>);

impl Found {
    /// The same finding without any secret in it.
    pub(super) fn hide(&self, mut problem: Problem) -> Problem {
        for secret in self.0.iter().filter(|secret| !secret.is_empty()) {
            problem.message = problem.message.replace(secret.as_str(), super::REDACTED);
            problem.fix = problem.fix.map(|fix| fix.replace(secret.as_str(), super::REDACTED));
        }
        problem
    }
}

/// The value with every reference replaced by what it stands for.
pub(super) fn resolve(value: &Value, secrets: &dyn Secrets) -> Result<(Value, Found), Vec<Problem>> {
    let (mut found, mut problems) = (Found::default(), Vec::new());
    let resolved = walk(value, "", secrets, &mut found, &mut problems);
    if problems.is_empty() { Ok((resolved, found)) } else { Err(problems) }
}

fn walk(value: &Value, path: &str, secrets: &dyn Secrets, found: &mut Found, problems: &mut Vec<Problem>) -> Value {
    match value {
        Value::String(text) => match text_of(text, secrets, found) {
            Ok(text) => Value::String(text),
            Err(problem) => {
                problems.push(problem.under(path));
                Value::Null
            }
        },
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.map(|(index, item)| walk(item, &format!("{path}[{index}]"), secrets, found, problems)).collect()
        }
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), walk(value, &join(path, name), secrets, found, problems)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn text_of(text: &str, secrets: &dyn Secrets, found: &mut Found) -> Result<String, Problem> {
    let pieces = pieces(text).map_err(|message| Problem::new("", "invalid-reference", message))?;
    let mut whole = String::new();
    for piece in pieces {
        let secret = match piece {
            Piece::Text(text) => {
                whole.push_str(text);
                continue;
            }
            Piece::Env(name) => secrets.env(name).ok_or_else(|| {
                Problem::new("", "secret-missing", format!("the environment variable {name} is not set"))
                    .fix(format!("set {name} in the environment of the node and start it again"))
            })?,
            Piece::File(path) => match secrets.file(Path::new(path)) {
                Ok(text) => text.trim_end_matches(['\n', '\r']).to_owned(),
                Err(error) => {
                    let problem = Problem::new("", "secret-missing", format!("the file {path} can't be read: {error}"));
                    return Err(problem.fix("put the secret there, readable by the node"));
                }
            },
        };
        whole.push_str(&secret);
        found.0.push(secret);
    }
    Ok(whole)
}
