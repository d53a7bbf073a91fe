//! Functions and operators that match texts with patterns.
use super::{
    Own,
    regex::{Syntax, compiled},
};
use arrow::{
    array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray},
    datatypes::DataType::{Boolean, Int64, Utf8},
};
use datafusion_common::{
    Result,
    cast::{as_int64_array, as_string_array},
    exec_err,
};
use datafusion_expr::ScalarUDF;
use regex::{Captures, Regex};
use std::sync::Arc;

/// `text ~ pattern`, with flags. Users can't call a name that contains a blank.
pub(in crate::expression) const MATCHES: &str = "regular match";

/// `text SIMILAR TO pattern ESCAPE escape`.
pub(in crate::expression) const SIMILAR: &str = "similar match";

/// Rewrites a pattern of LIKE and its escape character with a backslash as the escape.
pub(in crate::expression) const WITH_BACKSLASH: &str = "pattern with backslash";

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let two = [Utf8, Utf8];
    let three = [Utf8, Utf8, Utf8];
    vec![
        Own::of(MATCHES, &[&three], Boolean, |columns| matches(columns, Syntax::Regular)),
        Own::of("regexp_like", &[&two, &three], Boolean, |columns| matches(columns, Syntax::Regular)),
        Own::of(SIMILAR, &[&three], Boolean, similar),
        Own::of(WITH_BACKSLASH, &[&two], Utf8, written),
        Own::of("regexp_replace", &[&three, &[Utf8, Utf8, Utf8, Utf8]], Utf8, replace),
        Own::of("regexp_count", &[&two, &[Utf8, Utf8, Int64], &[Utf8, Utf8, Int64, Utf8]], Int64, count),
        Own::of("regexp_substr", &[&two], Utf8, substr),
        Own::of("regexp_instr", &[&two], Int64, position),
    ]
}

/// Returns the fault of a constant pattern.
pub(in crate::expression) fn wrong(pattern: &str, flags: &str) -> Option<String> {
    compiled(pattern, flags, Syntax::Regular).err().map(|error| error.message().into_owned())
}

/// Returns the fault of a constant pattern of SIMILAR TO.
pub(in crate::expression) fn wrong_similar(pattern: &str, escape: Option<char>) -> Option<String> {
    compiled(pattern, "", Syntax::Similar(escape)).err().map(|error| error.message().into_owned())
}

/// The texts of each row; `None` if one of them is NULL.
fn texts<const N: usize>(columns: &[ArrayRef]) -> Result<impl Iterator<Item = Option<[&str; N]>>> {
    let columns: Vec<&StringArray> =
        columns.iter().take(N).map(|column| as_string_array(column)).collect::<Result<_>>()?;
    let rows = columns.first().map_or(0, |column| column.len());
    Ok((0..rows).map(move |row| {
        let mut texts = [""; N];
        for (text, column) in texts.iter_mut().zip(&columns) {
            if column.is_null(row) {
                return None;
            }
            *text = column.value(row);
        }
        Some(texts)
    }))
}

fn matches(columns: &[ArrayRef], syntax: Syntax) -> Result<ArrayRef> {
    let found: BooleanArray = match columns.len() {
        2 => texts::<2>(columns)?
            .map(|row| row.map(|[text, pattern]| Ok(compiled(pattern, "", syntax)?.is_match(text))).transpose())
            .collect::<Result<_>>()?,
        _ => texts::<3>(columns)?
            .map(|row| {
                row.map(|[text, pattern, flags]| Ok(compiled(pattern, flags, syntax)?.is_match(text))).transpose()
            })
            .collect::<Result<_>>()?,
    };
    Ok(Arc::new(found))
}

fn similar(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let found = texts::<3>(columns)?.map(|row| {
        let Some([text, pattern, escape]) = row else { return Ok(None) };
        let syntax = Syntax::Similar(escape.chars().next());
        Ok(Some(compiled(pattern, "", syntax)?.is_match(text)))
    });
    Ok(Arc::new(found.collect::<Result<BooleanArray>>()?))
}

fn replace(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let replaced = |text: &str, pattern: &str, by: &str, flags: &str| {
        let regex = compiled(pattern, flags, Syntax::Regular)?;
        let most = if flags.contains('g') { usize::MAX } else { 1 };
        let mut made = String::with_capacity(text.len());
        let mut last = 0;
        for found in all_of(&regex, text).take(most) {
            let Some(whole) = found.get(0) else { continue };
            made.push_str(&text[last..whole.start()]);
            expand(&found, by, &mut made);
            last = whole.end();
        }
        made.push_str(&text[last..]);
        Ok(made)
    };
    let made: StringArray = match columns.len() {
        3 => texts::<3>(columns)?
            .map(|row| row.map(|[text, pattern, by]| replaced(text, pattern, by, "")).transpose())
            .collect::<Result<_>>()?,
        _ => texts::<4>(columns)?
            .map(|row| row.map(|[text, pattern, by, flags]| replaced(text, pattern, by, flags)).transpose())
            .collect::<Result<_>>()?,
    };
    Ok(Arc::new(made))
}

/// Iterates over all matches. An empty match may directly follow another match.
fn all_of<'t>(regex: &Regex, text: &'t str) -> impl Iterator<Item = Captures<'t>> {
    let mut from = Some(0);
    std::iter::from_fn(move || {
        let found = regex.captures_at(text, from?)?;
        let whole = found.get(0)?;
        from = match whole.is_empty() {
            true => text[whole.end()..].chars().next().map(|next| whole.end() + next.len_utf8()),
            false => Some(whole.end()),
        };
        Some(found)
    })
}

/// Expands a replacement: `\1` is the first group, `\&` the whole match.
fn expand(found: &Captures<'_>, by: &str, made: &mut String) {
    let group = |number: usize| found.get(number).map_or("", |group| group.as_str());
    let mut chars = by.chars().peekable();
    while let Some(next) = chars.next() {
        match (next, chars.peek().copied()) {
            ('\\', Some('&')) => made.push_str(group(0)),
            ('\\', Some(digit @ '1'..='9')) => made.push_str(group(digit as usize - '0' as usize)),
            ('\\', Some('\\')) => made.push('\\'),
            _ => {
                made.push(next);
                continue;
            }
        }
        chars.next();
    }
}

fn count(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let start = columns.get(2).map(|starts| as_int64_array(starts)).transpose()?;
    let flags = columns.get(3).map(|flags| as_string_array(flags)).transpose()?;
    let counts = texts::<2>(columns)?.enumerate().map(|(row, found)| {
        let Some([text, pattern]) = found else { return Ok(None) };
        let null = start.is_some_and(|start| start.is_null(row)) || flags.is_some_and(|flags| flags.is_null(row));
        if null {
            return Ok(None);
        }
        let start = start.map_or(1, |start| start.value(row));
        if start < 1 {
            return exec_err!("a search starts at 1 or later, not at {start}");
        }
        let flags = flags.map_or("", |flags| flags.value(row));
        let regex = compiled(pattern, flags, Syntax::Regular)?;
        let skipped = usize::try_from(start - 1).unwrap_or(usize::MAX);
        let Some((at, _)) = text.char_indices().chain([(text.len(), ' ')]).nth(skipped) else { return Ok(Some(0)) };
        Ok(Some(all_of(&regex, &text[at..]).count() as i64))
    });
    Ok(Arc::new(counts.collect::<Result<Int64Array>>()?))
}

fn substr(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let found = texts::<2>(columns)?.map(|row| {
        let Some([text, pattern]) = row else { return Ok(None) };
        Ok(compiled(pattern, "", Syntax::Regular)?.find(text).map(|found| found.as_str()))
    });
    Ok(Arc::new(found.collect::<Result<StringArray>>()?))
}

fn position(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let found = texts::<2>(columns)?.map(|row| {
        let Some([text, pattern]) = row else { return Ok(None) };
        let found = compiled(pattern, "", Syntax::Regular)?.find(text);
        Ok(Some(found.map_or(0, |found| text[..found.start()].chars().count() as i64 + 1)))
    });
    Ok(Arc::new(found.collect::<Result<Int64Array>>()?))
}

fn written(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let made = texts::<2>(columns)?.map(|row| {
        let Some([pattern, escape]) = row else { return Ok(None) };
        match with_backslash(pattern, escape.chars().next()) {
            Some(made) => Ok(Some(made)),
            None => exec_err!("{pattern:?} is not a pattern: it ends with the escape character"),
        }
    });
    Ok(Arc::new(made.collect::<Result<StringArray>>()?))
}

/// Rewrites the pattern with a backslash as the escape; `None` if it ends with the escape character.
pub(in crate::expression) fn with_backslash(pattern: &str, escape: Option<char>) -> Option<String> {
    let mut made = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(next) = chars.next() {
        if Some(next) == escape {
            made.push('\\');
            made.push(chars.next()?);
        } else if next == '\\' {
            made.push_str("\\\\");
        } else {
            made.push(next);
        }
    }
    Some(made)
}
