//! Interprets PostgreSQL's errors, as far as they are about rows.
use crate::table::Slot;
use arrow::array::{Array, AsArray};
pub(super) use dataflow_postgres::failure::words_of;
use dataflow_sdk::batch::Cells;
use tokio_postgres::error::{DbError, SqlState};

/// What precedes a value in the server's messages.
const QUOTES: [&str; 2] = [": ", "value "];

/// Returns whether the error may be about written rows: if a single row causes it again, it is that row's, whatever the
/// server calls it. Transient errors don't count, nor do those that end the session, unless a function raises them.
pub(super) fn may_be_of_rows(error: &tokio_postgres::Error) -> bool {
    let Some(db) = error.as_db_error() else { return false };
    let code = db.code().code();
    let passes = match &code[..2] {
        "08" | "28" | "40" | "53" | "58" => true,
        "57" => code != "57014",
        _ => matches!(code, "25006" | "25P03" | "55P03"),
    };
    !passes || is_raised(db)
}

/// Returns whether the error reports a time-out or a state of the server: it is one row's only if other rows of its
/// commit are accepted.
pub(super) fn may_be_of_the_server(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| matches!(db.code().code(), "57014" | "55000") && !is_raised(db))
}

/// Returns whether a user's function, such as a trigger's, raised the error.
fn is_raised(db: &DbError) -> bool {
    db.routine() == Some("exec_stmt_raise")
}

/// Returns whether all of `rows` rows can each have caused this error: data, constraints, limits of a row, errors
/// raised by triggers. For a single row, only an error about something missing in the table doesn't count.
pub(super) fn is_of_data(error: &tokio_postgres::Error, rows: usize) -> bool {
    let Some(code) = error.code().map(SqlState::code).filter(|_| !may_be_of_the_server(error)) else { return false };
    match &code[..2] {
        "0A" | "25" | "26" | "2F" | "34" | "38" | "39" | "3B" | "42" | "55" | "F0" | "HV" | "XX" => {
            rows == 1 && !matches!(code, "42P01" | "42703" | "42883" | "42704" | "3F000")
        }
        _ => true,
    }
}

/// The index of the row at which a COPY failed, from 0.
pub(super) fn copy_line(error: &tokio_postgres::Error) -> Option<usize> {
    let context = error.as_db_error()?.where_()?;
    let line = context.lines().find(|line| line.starts_with("COPY "))?.split(", line ").nth(1)?;
    line.split([',', ':']).next()?.trim().parse::<usize>().ok()?.checked_sub(1)
}

/// The column that the server's message is about, if it names none: the only one with the value that the message
/// quotes, or, if it quotes none, of a type that it names.
pub(super) fn column_of(words: &str, slots: &[Slot], cells: &Cells, row: usize) -> String {
    let text = |at: usize| cells.column(at).as_string_opt::<i32>().map(|texts| texts.value(row));
    let quoted = |at: usize| {
        text(at).is_some_and(|text| QUOTES.iter().any(|before| words.contains(&format!("{before}\"{text}\""))))
    };
    let quotes = QUOTES.iter().any(|before| words.contains(&format!("{before}\"")));
    let named = |at: usize| words.contains(&slots[at].declared);
    let given = (0..slots.len()).filter(|at| cells.column(*at).is_valid(row));
    let mut found: Vec<usize> = given.filter(|at| if quotes { quoted(*at) } else { named(*at) }).collect();
    if found.len() > 1 {
        found.retain(|at| named(*at));
    }
    match found.as_slice() {
        [only] if !words.contains("column ") => format!(" (column {})", slots[*only].column.name),
        _ => String::new(),
    }
}
