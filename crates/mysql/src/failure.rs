//! What an error means.
use crate::fields::Fields;
use dataflow_sdk::Error;
use std::io;

/// An error that a server has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: u16,
    message: String,
}

impl Refusal {
    /// Reads a packet that begins with 0xff.
    pub(crate) fn read(packet: &[u8]) -> Self {
        let mut fields = Fields(packet.get(1..).unwrap_or_default());
        let code = fields.number(2).unwrap_or_default() as u16;
        if fields.0.first() == Some(&b'#') {
            fields.take(6);
        }
        Self { code, message: String::from_utf8_lossy(fields.0).into_owned() }
    }

    /// What it means. `doing`: what failed; `server`: `MariaDB at host:port/database`.
    pub(crate) fn classify(&self, doing: &str, server: &str) -> Error {
        let message = format!("can't {doing} {server}: {}", self.message);
        match self.code {
            1044 | 1142 | 1143 | 1227 | 1370 | 1698 => Error::fatal("access-denied", message)
                .fix("grant the user of the url what is missing, or use another user"),
            1045 => Error::fatal("access-denied", message)
                .fix("check user and password in the url, whether the user needs TLS or a certificate (show create user), and from which hosts it may connect"),
            1862 | 1820 => Error::fatal("access-denied", message).fix("give the user a new password (alter user), and put it where the url has it from"),
            3159 => Error::fatal("access-denied", message).fix("connect with TLS (sslMode=VERIFY_IDENTITY in the url)"),
            1130 => Error::fatal("access-denied", message).fix("let the user connect from this host (create user … @…)"),
            1049 => Error::fatal("database-missing", message).fix("create the database, or name another one in the url"),
            1146 => Error::fatal("table-missing", message).fix("create it, or name one that is there"),
            1054 => Error::fatal("column-missing", message).fix("restart the pipeline to read the table's columns again"),
            1205 => Error::transient("locked", message),
            1213 => Error::transient("conflict", message),
            1412 => Error::transient("definition-changed", message),
            1040 | 1203 | 1226 => Error::transient("busy", message)
                .fix("raise max_connections (or the user's limit), or close sessions that nobody needs"),
            1317 | 1969 | 3024 => Error::transient("timed-out", message)
                .fix("find out what slows the server down, or raise its limit for statements (max_statement_time, max_execution_time)"),
            1037 | 1038 | 1041 | 1042 | 1053 | 1077 | 1080 | 1152..=1161 | 1184 | 1927 => {
                Error::transient("unavailable", message)
            }
            _ => Error::fatal("mysql", message),
        }
    }
}

/// The connection has failed.
pub(crate) fn of_connection(doing: &str, server: &str, error: &io::Error) -> Error {
    if let Some(failure) = dataflow_tls::failure(server, error) {
        return failure;
    }
    let words = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the connection was closed".into(),
        _ => error.to_string(),
    };
    unreachable(format!("can't {doing} {server}: {words}"))
}

/// The server does not answer.
pub(crate) fn unreachable(message: String) -> Error {
    Error::transient("unreachable", message).fix(
        "see whether the server runs, and whether the url names it; the pipeline goes on by itself once it answers",
    )
}

/// The server says what nobody understands.
pub(crate) fn garbled(doing: &str, server: &str) -> Error {
    unreachable(format!("can't {doing} {server}: its answer is no one of MySQL's protocol"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_and_has_a_class() {
        let refusal = Refusal::read(b"\xff\xb5\x04#HY000Lock wait timeout exceeded");
        assert_eq!(refusal, Refusal { code: 1205, message: "Lock wait timeout exceeded".into() });
        let error = refusal.classify("read t of", "MariaDB at h:1/d");
        assert!(matches!(error, Error::Transient { .. }) && error.code() == "locked", "{error:?}");
        assert_eq!(Refusal::read(b"\xff"), Refusal { code: 0, message: String::new() });
    }
}
