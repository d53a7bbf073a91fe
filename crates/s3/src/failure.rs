//! What a server refuses, in its words and in ours.
use dataflow_sdk::Error;
use std::error::Error as StdError;

/// Why a request failed.
#[derive(Debug)]
pub enum Trouble {
    /// What it is about is not there: an object, or an upload.
    Gone,
    /// The upload is there, but not its parts.
    PartsGone,
    /// The object is not as the condition says.
    Changed,
    /// The object is in an archive, from which it has to be restored before it can be read.
    Archived,
    /// Anything else.
    Failed(Error),
}

impl Trouble {
    /// As the engine takes it, where nothing is made of it.
    pub fn error(self) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::Gone | Self::PartsGone => {
                Error::transient("conflict", "an object or an upload is gone while it is used")
            }
            Self::Changed => Error::transient("conflict", "an object was changed while it is used"),
            Self::Archived => Error::fatal("object-archived", "an object is in an archive").fix("restore it"),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What is known of a request that failed.
#[derive(Debug)]
pub struct Failed<'a> {
    error: Option<&'a (dyn StdError + 'static)>,
    /// All that was said, of which codes and words are parts.
    text: String,
    status: Option<u16>,
}

impl<'a> Failed<'a> {
    /// A failure that a client returned.
    pub fn of(error: &'a (dyn StdError + 'static)) -> Self {
        let text = chain(error);
        Self { error: Some(error), status: status(&text), text }
    }

    /// An answer that says no.
    pub fn answered(status: u16, body: &[u8]) -> Failed<'static> {
        let said = String::from_utf8_lossy(body);
        let text = if said.trim().is_empty() { format!("status code: {status}") } else { said.into_owned() };
        Failed { error: None, text, status: Some(status) }
    }

    /// What is wrong with the server's certificate, or TLS with it, if that is why.
    pub fn of_tls(&self, server: &str) -> Option<Error> {
        self.error.and_then(|error| dataflow_tls::failure(server, error))
    }

    /// What `object_store` takes it for.
    pub fn store(&self) -> Option<&object_store::Error> {
        self.error.and_then(|error| error.downcast_ref::<object_store::Error>())
    }

    /// The server's word for why.
    pub fn code(&self) -> Option<&str> {
        told(&self.text, "Code")
    }

    /// The status of its answer.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// What it said, for users.
    pub fn said(&self) -> String {
        let words = told(&self.text, "Message").and_then(|words| words.lines().next());
        match (self.code(), words) {
            (Some(code), Some(words)) => format!("{code}: {}", words.trim_end_matches('.')),
            (Some(code), None) => code.to_owned(),
            _ => self.text.chars().take(SHOWN).collect(),
        }
    }
}

/// What stands between `<tag>` and `</tag>`.
fn told<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(&format!("<{tag}>"))?;
    after.split_once(&format!("</{tag}>")).map(|(told, _)| told)
}

/// The status in `…status code: 403 Forbidden…`.
fn status(text: &str) -> Option<u16> {
    text.split_once("status code: ")?.1.get(..3)?.parse().ok()
}

/// Most of what a server says that an error shows.
const SHOWN: usize = 300;

/// A failure of doing something at a place (`bucket/key`) of a server, for which a user needs some rights.
pub(crate) fn trouble(server: &str, doing: &str, place: &str, rights: &str, failed: &Failed<'_>) -> Trouble {
    if let Some(failure) = failed.of_tls(server) {
        return Trouble::Failed(failure);
    }
    let (store, code) = (failed.store(), failed.code());
    match (store, code) {
        (_, Some("NoSuchBucket")) => {}
        (_, Some("InvalidPart")) => return Trouble::PartsGone,
        (_, Some("InvalidObjectState")) => return Trouble::Archived,
        (_, Some("NoSuchUpload" | "NoSuchKey")) | (Some(object_store::Error::NotFound { .. }), _) => {
            return Trouble::Gone;
        }
        (Some(object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. }), None)
        | (_, Some("PreconditionFailed" | "ConditionalRequestConflict" | "InvalidRange")) => return Trouble::Changed,
        (None, None) if failed.status == Some(404) => return Trouble::Gone,
        (None, None) if matches!(failed.status, Some(412 | 416)) => return Trouble::Changed,
        _ => {}
    }
    let message = format!("can't {doing} {place}: {}", failed.said());
    Trouble::Failed(match (code, failed.status) {
        (Some("NoSuchBucket"), _) => {
            let fix = "create the bucket, or correct `bucket` and `endpoint`";
            Error::fatal("bucket-missing", message).fix(fix)
        }
        (
            Some(
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "InvalidTokenId"
                | "ExpiredToken"
                | "TokenRefreshRequired",
            ),
            _,
        ) => Error::fatal("login-failed", message)
            .fix("correct accessKeyId and secretAccessKey, or renew them; the user may be disabled, too"),
        (Some("RequestTimeTooSkewed"), _) => {
            Error::fatal("login-failed", message).fix("set the clock of the node's machine")
        }
        (Some("AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException"), _) => {
            Error::fatal("wrong-region", message).fix("set `region` to that of the bucket")
        }
        (Some("AccessDenied" | "AllAccessDisabled"), _) | (None, Some(401 | 403)) => {
            Error::fatal("access-denied", message).fix(format!("allow this user {rights}"))
        }
        (_, Some(301 | 307 | 308)) => Error::fatal("wrong-region", message).fix("set `region` to that of the bucket"),
        (Some("XMinioStorageFull" | "QuotaExceeded" | "XMinioAdminBucketQuotaExceeded"), _) => {
            Error::transient("disk-full", message).fix("make room on the server, or raise the bucket's quota")
        }
        (Some("SlowDown" | "SlowDownRead" | "SlowDownWrite" | "TooManyRequests"), _) | (_, Some(429)) => {
            Error::transient("busy", message)
        }
        // With the status 400.
        (Some("RequestTimeout"), _) => Error::transient("timed-out", message),
        (_, Some(400..=499)) if !matches!(failed.status, Some(408 | 409)) => {
            Error::fatal("refused", message).fix("see what the server says")
        }
        _ => Error::transient("unreachable", message),
    })
}

/// An error with its causes: the outermost alone often says nothing.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}
