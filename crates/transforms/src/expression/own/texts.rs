//! Functions of texts.
use super::Own;
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    datatypes::{
        DataType::{Int32, Int64, Utf8},
        Int32Type, Int64Type,
    },
};
use datafusion_common::{Result, exec_err};
use datafusion_expr::ScalarUDF;
use std::sync::Arc;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        Own::of("chr", &[&[Int64]], Utf8, |columns| {
            let made = columns[0].as_primitive::<Int64Type>().iter().map(|code| code.map(chr).transpose());
            Ok(Arc::new(made.collect::<Result<StringArray>>()?) as ArrayRef)
        }),
        Own::of("split_part", &[&[Utf8, Utf8, Int64]], Utf8, |columns| {
            let (texts, separators) = (strings(&columns[0]).iter(), strings(&columns[1]).iter());
            let rows = texts.zip(separators).zip(columns[2].as_primitive::<Int64Type>());
            let made = rows.map(|((text, separator), number)| match (text, separator, number) {
                (Some(text), Some(separator), Some(number)) => part(text, separator, number).map(Some),
                _ => Ok(None),
            });
            Ok(Arc::new(made.collect::<Result<StringArray>>()?) as ArrayRef)
        }),
        // A negative number has as many digits as its type.
        Own::of("to_hex", &[&[Int32], &[Int64]], Utf8, |columns| {
            let made: StringArray = match columns[0].as_primitive_opt::<Int32Type>() {
                Some(numbers) => numbers.iter().map(|number| number.map(|number| format!("{number:x}"))).collect(),
                None => {
                    let numbers = columns[0].as_primitive::<Int64Type>().iter();
                    numbers.map(|number| number.map(|number| format!("{number:x}"))).collect()
                }
            };
            Ok(Arc::new(made) as ArrayRef)
        }),
        Own::of("initcap", &[&[Utf8]], Utf8, |columns| each(&columns[0], |text| Ok(initcap(text)))),
    ]
}

/// Capitalizes words. Each character stays one character: there is no capital sharp s.
fn initcap(text: &str) -> String {
    fn single(letter: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
        if mapped.len() == 1 { mapped.next().unwrap_or(letter) } else { letter }
    }
    let mut within = false;
    let word = |letter: char| {
        let first = !std::mem::replace(&mut within, letter.is_alphanumeric());
        if first { single(letter, letter.to_uppercase()) } else { letter.to_lowercase().next().unwrap_or(letter) }
    };
    text.chars().map(word).collect()
}

fn chr(code: i64) -> Result<String> {
    match u32::try_from(code).ok().filter(|code| *code != 0).and_then(char::from_u32) {
        Some(made) => Ok(made.into()),
        None => exec_err!("there is no character {code}"),
    }
}

/// Returns a part by its number, counted from the end if negative. A text without the separator is one part.
fn part<'a>(text: &'a str, separator: &str, number: i64) -> Result<&'a str> {
    let at = match usize::try_from(number.unsigned_abs()) {
        Ok(0) => return exec_err!("field position must not be zero"),
        Ok(number) => number - 1,
        Err(_) => return Ok(""),
    };
    let found = match (separator.is_empty(), number > 0) {
        (true, _) => Some(text).filter(|_| at == 0),
        (false, true) => text.split(separator).nth(at),
        (false, false) => {
            let last = text.split(separator).count() - 1;
            last.checked_sub(at).and_then(|at| text.split(separator).nth(at))
        }
    };
    Ok(found.unwrap_or_default())
}

/// Returns the texts of a column.
pub(super) fn strings(column: &ArrayRef) -> &StringArray {
    column.as_string::<i32>()
}

/// Maps the texts of a column.
pub(super) fn each(column: &ArrayRef, of: impl Fn(&str) -> Result<String>) -> Result<ArrayRef> {
    let made = strings(column).iter().map(|text| text.map(&of).transpose());
    let made: StringArray = made.collect::<Result<_>>()?;
    debug_assert_eq!(made.len(), column.len());
    Ok(Arc::new(made))
}
