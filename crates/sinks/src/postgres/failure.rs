//! What PostgreSQL's errors mean.
use dataflow_sdk::Error;
use std::error::Error as _;
use tokio_postgres::error::{DbError, SqlState};

/// The class and words of an error. `doing` is what was tried, `server` where.
pub(super) fn classify(doing: &str, server: &str, error: &tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        if ["error serializing", "error deserializing", "error retrieving", "query returned"]
            .iter()
            .any(|own| error.to_string().starts_with(own))
        {
            let message = format!("can't {doing} PostgreSQL at {server}: {}", chain(error));
            return Error::fatal("internal", message).fix("report this; it is a defect of the sink");
        }
        // Whether what was sent took effect is not known: it is opened again, and the token tells.
        return Error::transient("unreachable", format!("can't {doing} PostgreSQL at {server}: {}", chain(error)));
    };
    let message = format!("can't {doing} PostgreSQL at {server}: {}", words(db));
    let code = db.code();
    match (code.code(), &code.code()[..2]) {
        _ if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED => {
            Error::transient("conflict", message)
        }
        _ if *code == SqlState::QUERY_CANCELED => Error::transient("timed-out", message).fix(
            "look for what makes the server slow; if it only takes that long, raise statement_timeout for the user of the url, \
             or lower maxRecords of the batch",
        ),
        _ if *code == SqlState::LOCK_NOT_AVAILABLE => Error::transient("locked", message),
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            Error::fatal("access-denied", message).fix("grant the user of the url what it needs, or use another user")
        }
        _ if *code == SqlState::INVALID_CATALOG_NAME => {
            Error::fatal("database-missing", message).fix("create the database, or name another one in the url")
        }
        _ if *code == SqlState::INVALID_SCHEMA_NAME => {
            Error::fatal("schema-missing", message).fix("create the schema, or name the table in another one")
        }
        _ if *code == SqlState::UNDEFINED_TABLE => {
            Error::fatal("table-missing", message).fix("restart the pipeline to make it again, or restore it")
        }
        _ if *code == SqlState::UNDEFINED_COLUMN => {
            Error::fatal("column-missing", message).fix("restart the pipeline to look at the table again")
        }
        (_, "28") => Error::fatal("access-denied", message)
            .fix("check user and password in the url, and pg_hba.conf of the server"),
        (_, "08") => Error::transient("unreachable", message),
        (_, "53" | "57" | "58") => Error::transient("unavailable", message),
        ("25006", _) => Error::transient("server-read-only", message).fix(
            "promote the standby, or name the primary in the url; of a user or database that is read-only, \
             reset default_transaction_read_only",
        ),
        ("55000" | "25P03", _) => Error::transient("unavailable", message),
        _ => Error::fatal("postgres", message),
    }
}

/// Whether the error may be about rows that were written: what a single one of them brings about again is that row's,
/// whatever the server calls it. Not so what passes, and what ends the session, unless a function raises it itself.
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

/// Whether the error says that the server took too long, or was not in the state for it: one row's only where others of its
/// commit are taken.
pub(super) fn may_be_of_the_server(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| matches!(db.code().code(), "57014" | "55000") && !is_raised(db))
}

/// Whether a function of the user, a trigger's for instance, says so with `raise`.
fn is_raised(db: &DbError) -> bool {
    db.routine() == Some("exec_stmt_raise")
}

/// Whether what all of so many rows share can be the matter of each of them: data, constraints, limits of a row, what
/// triggers raise. Of a single row, only what says that something of the table is missing is not.
pub(super) fn is_of_data(error: &tokio_postgres::Error, rows: usize) -> bool {
    let Some(code) = error.code().map(SqlState::code).filter(|_| !may_be_of_the_server(error)) else { return false };
    match &code[..2] {
        "0A" | "25" | "26" | "2F" | "34" | "38" | "39" | "3B" | "42" | "55" | "F0" | "HV" | "XX" => {
            rows == 1 && !matches!(code, "42P01" | "42703" | "42883" | "42704" | "3F000")
        }
        _ => true,
    }
}

/// The row that a COPY failed at, from 0.
pub(super) fn copy_line(error: &tokio_postgres::Error) -> Option<usize> {
    let context = error.as_db_error()?.where_()?;
    let line = context.lines().find(|line| line.starts_with("COPY "))?.split(", line ").nth(1)?;
    line.split([',', ':']).next()?.trim().parse::<usize>().ok()?.checked_sub(1)
}

/// Why a row was refused, in PostgreSQL's words: message, detail and column.
pub(super) fn words_of(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| chain(error), words)
}

fn words(db: &DbError) -> String {
    let mut text = db.message().to_string();
    if let Some(detail) = db.detail() {
        text = format!("{text}: {detail}");
    }
    // "COPY users, line 3, column age: "x"": the column, where neither message nor detail have it.
    let copied =
        db.where_().and_then(|context| context.split(", column ").nth(1)).and_then(|rest| rest.split(':').next());
    match db.column().or(copied.map(str::trim)) {
        Some(column) if !text.contains(column) => format!("{text} (column {column})"),
        _ => text,
    }
}

/// An error with its causes.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}
