//! Functions of texts.
use super::Own;
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    datatypes::{
        DataType::{Int64, Utf8},
        Int64Type,
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
        Own::of("initcap", &[&[Utf8]], Utf8, |columns| each(&columns[0], |text| Ok(initcap(text)))),
    ]
}

/// Words begin with a capital. A character stays one: there is no capital sharp s.
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

/// The texts of a column.
pub(super) fn strings(column: &ArrayRef) -> &StringArray {
    column.as_string::<i32>()
}

/// Texts made of the texts of one column.
pub(super) fn each(column: &ArrayRef, of: impl Fn(&str) -> Result<String>) -> Result<ArrayRef> {
    let made = strings(column).iter().map(|text| text.map(&of).transpose());
    let made: StringArray = made.collect::<Result<_>>()?;
    debug_assert_eq!(made.len(), column.len());
    Ok(Arc::new(made))
}
