//! Whether numbers and times are given out in the order in which they become visible: otherwise rows could be missed.
//!
//! SQLite has one writer at a time. What it gives out itself while it has the lock, a row number or the time, is therefore in the order of the
//! commits; what a program brings along is not.
use super::{
    clock,
    origin::{Numbers, Origin},
};
use crate::jdbc::JdbcSource;

/// Why rows could be missed: nothing, if they can't.
pub(super) fn reasons(source: &JdbcSource, number: Option<&Origin>, time: Option<&Origin>) -> Vec<String> {
    if source.delay.is_some() {
        return Vec::new();
    }
    match source.mode.is_timed() {
        true => of_times(source.timestamp_column.as_deref().unwrap_or_default(), time),
        false => of_numbers(source.incrementing_column.as_deref().unwrap_or_default(), number),
    }
}

fn of_numbers(column: &str, origin: Option<&Origin>) -> Vec<String> {
    let reason = match origin.map(|origin| origin.numbers) {
        Some(Numbers::Rising) => return Vec::new(),
        Some(Numbers::AboveHighest) => format!(
            "{column:?} is not declared `integer primary key autoincrement`: after the row with the highest number is deleted, the next row gets that number again"
        ),
        Some(Numbers::Given) => format!(
            "the values of {column:?} are not given out by SQLite, as those of an `integer primary key autoincrement` are, but by whoever writes"
        ),
        None => format!("the values of {column:?} are computed, or come from several tables"),
    };
    vec![reason]
}

fn of_times(column: &str, origin: Option<&Origin>) -> Vec<String> {
    let reason = match origin {
        Some(origin) if clock::of(origin).is_some() => return Vec::new(),
        Some(_) => format!(
            "{column:?} has no default of SQLite's clock whose values rise, such as current_timestamp or strftime('%Y-%m-%d %H:%M:%f', 'now'): whoever writes gives the time"
        ),
        None => format!("the values of {column:?} are computed, or come from several tables"),
    };
    vec![reason]
}
