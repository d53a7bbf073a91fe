//! References to secrets: `${env:NAME}` and `${file:path}`, looked up only when a connector is built.
use super::{
    Reach,
    marks::{self, Mark},
    passwords::{Written, write},
};
use crate::check::{Problem, join};
use serde_json::Value;
use std::{
    io,
    path::{Path, PathBuf},
};

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

/// Most bytes of a secret that is looked up, and of all texts of a component in which secrets may stand: every piece of a
/// secret is looked for in every way of writing it.
const MOST_BYTES: usize = 8 << 10;

/// A finding about the text that is too much for the places of secrets, looked up or not.
pub(super) fn too_long(config: &Value, schema: &Value) -> Option<Problem> {
    let (mut bytes, mut problem) = (0, None);
    marks::visit(&mut config.clone(), Some(schema), &mut |path, text, mark| {
        if mark.secret || mark.address {
            bytes += text.len();
            if bytes > MOST_BYTES && problem.is_none() {
                let message = format!("makes the addresses and secrets here longer than {MOST_BYTES} bytes in all");
                problem = Some(Problem::new(path, "too-long", message).fix("shorten it"));
            }
        }
    });
    problem
}

/// A piece of a text with references.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Env(&'a str),
    File(&'a str),
}

/// The pieces of a text. `$${` stands for `${` itself.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, &'static str> {
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
            return Err("a reference has no closing brace");
        };
        let reference = &rest[at + 2..at + end];
        pieces.push(match reference.split_once(':') {
            Some((_, "")) => return Err("a reference names nothing"),
            Some(("env", name)) => Piece::Env(name),
            Some(("file", path)) => Piece::File(path),
            _ => return Err("a reference names neither a variable nor a file"),
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

/// Whether a text refers to secrets, and says nothing of one itself.
pub(super) fn only_refers(text: &str) -> bool {
    refers(text)
        && pieces(text).is_ok_and(|pieces| {
            pieces.iter().all(|piece| matches!(piece, Piece::Text("")) || !matches!(piece, Piece::Text(_)))
        })
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

/// Finds text that looks like a reference where references are not resolved.
fn misplaced(text: &str) -> Option<&str> {
    let starts = |kind: &str| text.find(&format!("${{{kind}:"));
    let at = starts("env").into_iter().chain(starts("file")).min()?;
    let end = text[at..].find('}')?;
    Some(&text[at..=at + end])
}

fn not_here(path: &str, reference: &str, fix: String) -> Problem {
    let message = format!("{reference} is a reference to a secret, which is not resolved here");
    Problem::new(path, "reference-not-allowed", message).fix(fix)
}

/// Findings about references in what is not a source or sink: none is looked up there, neither in values nor in names.
pub(crate) fn none(value: &Value, path: &str) -> Vec<Problem> {
    const FIX: &str = "write the value itself; references are for the secret fields of a source or sink, and the password in \
        its URL";
    let finding = |path: &str, text: &str| misplaced(text).map(|reference| not_here(path, reference, FIX.into()));
    match value {
        Value::String(text) => finding(path, text).into_iter().collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| none(item, &format!("{path}[{index}]"))).collect()
        }
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| finding(path, name).into_iter().chain(none(value, &join(path, name))))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// Findings about the references of a component's own config: how they are written, where they stand, and whether a
/// pipeline may refer to what they name.
pub(super) fn check(config: &Value, schema: &Value, reach: &Reach) -> Vec<Problem> {
    let mut problems = Vec::new();
    marks::visit(&mut config.clone(), Some(schema), &mut |path, text, mark| {
        let mut open = String::new();
        let mut shown = 0;
        for place in mark.secret_places(text) {
            open.push_str(&text[shown..place.range.start]);
            shown = place.range.end;
            problems.extend(check_secret(&text[place.range], reach).into_iter().map(|problem| problem.under(path)));
        }
        open.push_str(&text[shown..]);
        if let Some(reference) = misplaced(&open) {
            let fix = match marks::fields_for_secrets(schema).as_slice() {
                [] => "write the value itself; this connector has no fields for secrets".into(),
                fields => format!("write the value itself; references are for {}", fields.join(", ")),
            };
            problems.push(not_here(path, reference, fix));
        }
    });
    problems
}

/// Findings about how the references of a connection of the settings are written.
pub(super) fn check_unlimited(config: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    marks::visit(&mut config.clone(), None, &mut |path, text, _| {
        problems.extend(pieces(text).err().map(|message| invalid(message).under(path)));
    });
    problems
}

fn invalid(message: &str) -> Problem {
    let fix = "write ${env:NAME} or ${file:path}; $${ stands for ${ itself";
    Problem::new("", "invalid-reference", message).fix(fix)
}

fn check_secret(text: &str, reach: &Reach) -> Vec<Problem> {
    let pieces = match pieces(text) {
        Ok(pieces) => pieces,
        Err(message) => return vec![invalid(message)],
    };
    let refused = pieces.into_iter().filter_map(|piece| match piece {
        Piece::Text(_) => None,
        Piece::Env(name) => reach.env(name).err(),
        Piece::File(path) => reach.file(Path::new(path)).err(),
    });
    refused.collect()
}

/// Files that the references of a value name.
pub(super) fn files(value: &Value) -> Vec<PathBuf> {
    let mut files = Vec::new();
    marks::visit(&mut value.clone(), None, &mut |_, text, _| {
        let named = pieces(text).unwrap_or_default().into_iter().filter_map(|piece| match piece {
            Piece::File(path) => Some(PathBuf::from(path)),
            Piece::Text(_) | Piece::Env(_) => None,
        });
        files.extend(named);
    });
    files
}

/// Looks up what references stand for.
pub(super) struct Lookup<'a> {
    pub(super) secrets: &'a dyn Secrets,
    /// The references that are allowed; `None`: the operator's own, which have no limits.
    pub(super) reach: Option<&'a Reach>,
    /// What was found.
    pub(super) found: Vec<String>,
    /// What could not be looked up.
    pub(super) problems: Vec<Problem>,
}

impl Lookup<'_> {
    /// Replaces the references of a component's own config, where they may stand.
    pub(super) fn in_places(&mut self, config: &mut Value, schema: &Value) {
        marks::visit(config, Some(schema), &mut |path, text, mark| {
            for place in mark.secret_places(text).into_iter().rev() {
                let looked_up = self.text(&text[place.range.clone()], path, place.written);
                text.replace_range(place.range, &looked_up);
            }
        });
    }

    /// Replaces the references of a connection of the settings, wherever they stand.
    pub(super) fn everywhere(&mut self, config: &mut Value, schema: &Value) {
        self.in_places(config, schema);
        marks::visit(config, Some(schema), &mut |path, text, mark| {
            if mark.secret {
                return; // done
            }
            let before = self.found.len();
            *text = self.outside(text, path, mark);
            // Of an address, only the password is a secret.
            if mark.address || mark.path {
                self.found.truncate(before);
            }
        });
    }

    /// Replaces references outside the places of passwords: those are done, and may already hold any text.
    fn outside(&mut self, text: &str, path: &str, mark: Mark) -> String {
        let (mut whole, mut shown) = (String::new(), 0);
        for place in mark.secret_places(text) {
            whole.push_str(&self.text(&text[shown..place.range.start], path, Written::Plain));
            whole.push_str(&text[place.range.clone()]);
            shown = place.range.end;
        }
        whole.push_str(&self.text(&text[shown..], path, Written::Plain));
        whole
    }

    fn text(&mut self, text: &str, path: &str, written: Written) -> String {
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(message) => {
                self.problems.push(invalid(message).under(path));
                return String::new();
            }
        };
        let mut whole = String::new();
        for piece in pieces {
            let secret = match piece {
                Piece::Text(text) => {
                    whole.push_str(text);
                    continue;
                }
                Piece::Env(name) => self.env(name),
                Piece::File(file) => self.file(Path::new(file)),
            };
            match secret {
                Ok(secret) if secret.len() > MOST_BYTES => {
                    let message = format!("the secret has {} bytes, more than {MOST_BYTES}", secret.len());
                    self.problems.push(Problem::new(path, "too-long", message).fix("refer to the secret alone"));
                }
                Ok(secret) => {
                    whole.push_str(&write(&secret, written));
                    self.found.push(secret);
                }
                Err(problem) => self.problems.push(problem.under(path)),
            }
        }
        whole
    }

    fn env(&self, name: &str) -> Result<String, Problem> {
        self.reach.map_or(Ok(()), |reach| reach.env(name))?;
        self.secrets.env(name).ok_or_else(|| {
            Problem::new("", "secret-missing", format!("the environment variable {name} is not set"))
                .fix(format!("set {name} in the environment of the process"))
        })
    }

    fn file(&self, path: &Path) -> Result<String, Problem> {
        let place = self.reach.map_or(Ok(path.to_owned()), |reach| reach.file(path))?;
        let text = self.secrets.file(&place).map_err(|error| {
            let message = format!("the file {} can't be read: {error}", path.display());
            Problem::new("", "secret-missing", message)
                .fix("put the secret there, readable by the user that runs the process")
        })?;
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}

/// The value with every reference looked up, for settings that are the operator's own.
///
/// # Errors
/// What could not be looked up.
pub fn look_up(mut value: Value, secrets: &dyn Secrets) -> Result<Value, Vec<Problem>> {
    let mut lookup = Lookup { secrets, reach: None, found: Vec::new(), problems: Vec::new() };
    lookup.everywhere(&mut value, &Value::Null);
    if lookup.problems.is_empty() { Ok(value) } else { Err(lookup.problems) }
}
