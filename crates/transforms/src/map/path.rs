//! Names of fields, as `map` takes them: written as in expressions.
use crate::expression::Finding;

/// The path of a name: a point goes into an object, and a name between double quotes is one key, whatever is in it.
pub(super) fn path(text: &str) -> Result<Vec<String>, Finding> {
    let invalid = |why: &str| {
        let finding = Finding::new("syntax", format!("{text:?} is no name of a field: {why}"));
        finding.fix("write a.b for field b of the object a, \"a.b\" in double quotes for a key with a point")
    };
    let mut path = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (name, after) = unquoted(quoted).ok_or_else(|| invalid("a quote is not closed"))?;
                if !after.is_empty() && !after.starts_with('.') {
                    return Err(invalid("a point or nothing has to follow a quote"));
                }
                (name, after)
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                if end == 0 && !(text.is_empty()) {
                    return Err(invalid("a part of it is empty"));
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        path.push(name);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return Ok(path),
        }
    }
}

/// What stands before a closing quote, doubled ones undoubled, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                name.push('"');
                rest = next;
            }
            None => return Some((name, after)),
        }
    }
}
