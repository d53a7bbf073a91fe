//! Interprets PostgreSQL's errors.
use dataflow_sdk::Error;
use std::error::Error as _;
use tokio_postgres::error::{DbError, SqlState};

/// What writing takes.
const WRITES: &str = "insert (for an upsert also select and update, for a delete select and delete)";
/// The table in which a sink keeps its progress.
const TOKENS: &str = "dataflow_tokens";

/// Classifies an error. `doing` is the attempted operation, `server` its place.
pub fn classify(doing: &str, server: &str, error: &tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        if ["error serializing", "error deserializing", "error retrieving", "query returned"]
            .iter()
            .any(|own| error.to_string().starts_with(own))
        {
            let message = format!("can't {doing} PostgreSQL at {server}: {}", chain(error));
            return Error::fatal("internal", message).fix("report this; it is a defect of the connector");
        }
        if let Some(failure) = dataflow_tls::failure(&format!("PostgreSQL at {server}"), error) {
            return failure;
        }
        if chain(error).contains("server does not support TLS") {
            return Error::fatal("tls-failed", format!("PostgreSQL at {server} does not offer TLS"))
                .fix("set ssl = on in postgresql.conf, or connect without TLS (sslmode=disable)");
        }
        // Whether the request took effect is unknown: the sink is reopened, and the token shows it.
        return unreachable(format!("can't {doing} PostgreSQL at {server}: {}", chain(error)));
    };
    let message = format!("can't {doing} PostgreSQL at {server}: {}", words(db));
    let code = db.code();
    match (code.code(), &code.code()[..2]) {
        _ if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED => {
            Error::transient("conflict", message)
        }
        _ if *code == SqlState::QUERY_CANCELED => Error::transient("timed-out", message).fix(
            "find out what slows the server down; if the statement just needs that long, raise statement_timeout for the user of the url, \
             or lower maxRecords of the batch",
        ),
        _ if *code == SqlState::LOCK_NOT_AVAILABLE => Error::transient("locked", message),
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            Error::fatal("access-denied", message).fix(match missing(doing, db.message()) {
                Some(grant) => format!("{grant} to the user of the url, or use another user"),
                None => "grant the user of the url the missing privilege, or use another user".into(),
            })
        }
        _ if *code == SqlState::INVALID_CATALOG_NAME => {
            Error::fatal("database-missing", message).fix("create the database, or name another one in the url")
        }
        _ if *code == SqlState::INVALID_SCHEMA_NAME => {
            Error::fatal("schema-missing", message).fix("create the schema, or name the table in another one")
        }
        _ if *code == SqlState::UNDEFINED_TABLE => {
            Error::fatal("table-missing", message).fix("restart the pipeline to create it again, or restore it")
        }
        _ if *code == SqlState::UNDEFINED_COLUMN => {
            Error::fatal("column-missing", message).fix("restart the pipeline to read the table's columns again")
        }
        (_, "28") if db.message().contains("client certificate") => Error::fatal("client-certificate", message)
            .fix("set `tls.cert` and `tls.key` to a certificate of an authority that the server trusts"),
        (_, "28") if db.message().contains("no encryption") => Error::fatal("access-denied", message)
            .fix("connect with TLS (sslmode=verify-full in the url), or change pg_hba.conf of the server"),
        (_, "28") => Error::fatal("access-denied", message).fix(
            "check user and password in the url, whether the password has expired (\\du shows until when it is valid), and pg_hba.conf of the server",
        ),
        (_, "08") => unreachable(message),
        (_, "53" | "57" | "58") => Error::transient("unavailable", message),
        ("25006", _) => Error::transient("server-read-only", message).fix(
            "promote the standby, or name the primary in the url; for a read-only user or database, \
             reset default_transaction_read_only",
        ),
        ("55000" | "25P03", _) => Error::transient("unavailable", message),
        _ => Error::fatal("postgres", message),
    }
}

/// The server does not answer.
pub fn unreachable(message: String) -> Error {
    Error::transient("unreachable", message).fix(
        "see whether the server runs, and whether the url names it; the pipeline goes on by itself once it answers",
    )
}

/// The grant that is missing, as far as the operation and the server's words tell.
fn missing(doing: &str, words: &str) -> Option<String> {
    let object = words.strip_prefix("permission denied for ")?;
    let (kind, name) = object.split_once(' ')?;
    let is_own = || doing.split([' ', '.']).any(|word| word == name);
    let privileges = match kind {
        "schema" if doing.starts_with("create") => "usage and create",
        "schema" | "sequence" => "usage",
        "function" => "execute",
        "table" | "view" if name == TOKENS => "select, insert and update",
        // A trigger may have touched another table.
        "table" | "view" if doing.starts_with("write") && is_own() => WRITES,
        "table" | "view" if doing.starts_with("audit") || doing.starts_with("read") => "select",
        _ => return None,
    };
    Some(format!("grant {privileges} on {object}"))
}

/// The reason for rejecting a row, in PostgreSQL's words: message, detail and column.
pub fn words_of(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| chain(error), words)
}

fn words(db: &DbError) -> String {
    let mut text = db.message().to_string();
    if let Some(detail) = db.detail() {
        text = format!("{text}: {detail}");
    }
    // "COPY users, line 3, column age: "x"": the column, if neither message nor detail name it.
    let copied =
        db.where_().and_then(|context| context.split(", column ").nth(1)).and_then(|rest| rest.split(':').next());
    match db.column().or(copied.map(str::trim)) {
        Some(column) if !text.contains(column) => format!("{text} (column {column})"),
        _ => text,
    }
}

/// Formats an error with its causes.
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

#[cfg(test)]
mod tests {
    use super::{WRITES, missing};

    #[test]
    fn a_missing_privilege_is_named_where_it_is_known() {
        for (doing, object, privileges) in [
            ("create the table dataflow_tokens in", "schema s", "usage and create"),
            ("look at the table in", "schema s", "usage"),
            ("keep progress (table dataflow_tokens) in", "table dataflow_tokens", "select, insert and update"),
            ("write to table s.users in", "table users", WRITES),
            ("write to table users in", "view users", WRITES),
            ("write to table users in", "sequence users_id_seq", "usage"),
            ("write to table users in", "table audit", ""),
            ("write to table users in", "table user", ""),
            ("audit a table in", "table users", "select"),
            ("read orders of", "table users", "select"),
            ("look at the table in", "database d", ""),
        ] {
            let expected = (!privileges.is_empty()).then(|| format!("grant {privileges} on {object}"));
            assert_eq!(missing(doing, &format!("permission denied for {object}")), expected, "{doing}");
        }
        assert_eq!(missing("write to table users in", "must be owner of table users"), None);
    }
}
