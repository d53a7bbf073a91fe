//! What a failed handshake means, for users.
use dataflow_sdk::Error;
use rustls::{AlertDescription as Alert, CertificateError as Refused, pki_types::UnixTime};
use std::io;

/// The failure of a handshake with `server` (`PostgreSQL at db:5432`), where that is what an error is about.
pub fn failure(server: &str, error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An error of an operation says what it wraps only so.
        let wrapped = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        let wrapped = wrapped.map(|error| error as &(dyn std::error::Error + 'static));
        let found = error.downcast_ref().or_else(|| wrapped?.downcast_ref::<rustls::Error>());
        if let Some(found) = found {
            return Some(of(server, found));
        }
        cause = wrapped.or_else(|| error.source());
    }
    None
}

fn of(server: &str, error: &rustls::Error) -> Error {
    let fatal = |code, message: String, fix: &str| Error::fatal(code, message).fix(fix);
    match error {
        rustls::Error::InvalidCertificate(refused) => of_certificate(server, refused),
        rustls::Error::AlertReceived(alert) => match alert {
            Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnsupportedCertificate
            | Alert::UnknownCA
            | Alert::AccessDenied => fatal(
                "client-certificate",
                format!("{server} refuses this client's certificate, or asks for one: {}", spoken(*alert)),
                "set `tls.cert` and `tls.key` to a certificate that an authority trusted by the server has issued for clients, and that has not expired",
            ),
            alert => fatal(
                "tls-failed",
                format!("{server} ended the TLS handshake: {}", spoken(*alert)),
                "see the server's log; if it asks for certificates of clients, set `tls.cert` and `tls.key`",
            ),
        },
        rustls::Error::InvalidMessage(_) => fatal(
            "tls-failed",
            format!("{server} does not speak TLS: {error}"),
            "name the server's port for TLS, or connect without TLS",
        ),
        error => fatal(
            "tls-failed",
            format!("there is no TLS with {server}: {error}"),
            "let the server offer TLS 1.2 or 1.3 with the usual ciphers",
        ),
    }
}

fn of_certificate(server: &str, refused: &Refused) -> Error {
    let fatal = |code, message: String, fix: &str| Error::fatal(code, message).fix(fix);
    let expired = "renew the certificate on the server; if it is valid, set the clock of this machine";
    match refused {
        Refused::Expired => fatal("certificate-expired", format!("the certificate of {server} has expired"), expired),
        Refused::ExpiredContext { not_after, .. } => fatal(
            "certificate-expired",
            format!("the certificate of {server} has expired on {}", day(*not_after)),
            expired,
        ),
        Refused::NotValidYet => {
            fatal("certificate-expired", format!("the certificate of {server} is not valid yet"), expired)
        }
        Refused::NotValidYetContext { not_before, .. } => fatal(
            "certificate-expired",
            format!("the certificate of {server} is valid from {}", day(*not_before)),
            expired,
        ),
        Refused::NotValidForName => {
            let message = format!("the certificate of {server} is for another host");
            fatal("certificate-name", message, "connect by a name that the certificate has")
        }
        Refused::NotValidForNameContext { expected, presented } => {
            let name = expected.to_str();
            let has = match presented.as_slice() {
                [] => "for no host: it has no subject alternative names".into(),
                names => format!("for {}", names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")),
            };
            fatal(
                "certificate-name",
                format!("the certificate of {server} is not for {name}, but {has}"),
                "connect by a name that the certificate has, or have it issued for this one, as a subject alternative name",
            )
        }
        Refused::UnknownIssuer => fatal(
            "certificate-unknown",
            format!("the certificate of {server} was issued by an authority that is not trusted here"),
            "if it is the right server, set `tls.ca` to a file with the certificate of that authority; the server has to send those in between",
        ),
        refused => fatal(
            "certificate-unknown",
            format!(
                "the certificate of {server} can't be trusted: {}",
                rustls::Error::InvalidCertificate(refused.clone())
            ),
            "have the server's certificate issued anew, for a server",
        ),
    }
}

/// `DnsName("db")` and `IpAddress(10.0.0.1)` without what they are.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

fn spoken(alert: Alert) -> String {
    let words = format!("{alert:?}");
    let mut text = String::new();
    for c in words.chars() {
        if c.is_ascii_uppercase() && text.ends_with(|c: char| c.is_ascii_lowercase()) {
            text.push(' ');
        }
        text.push(c);
    }
    format!("alert {}", text.to_ascii_lowercase())
}

fn day(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds}"), |time| time.to_string())
}
