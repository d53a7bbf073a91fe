//! What a server refuses, in its words and in ours.
use dataflow_sdk::Error;
use object_store::Error as StoreError;
use std::fmt;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// What it is about is not there: an object, or an upload.
    Gone,
    /// The upload is there, but not its parts.
    PartsGone,
    /// The object is not as the condition says.
    Changed,
    /// Anything else.
    Failed(Error),
}

impl Trouble {
    /// As the engine takes it, where nothing is made of it.
    pub(crate) fn error(self) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::Gone | Self::PartsGone => {
                Error::transient("conflict", "an object or an upload is gone while it is used")
            }
            Self::Changed => Error::transient("conflict", "an object was changed while it is used"),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What a request is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Begin,
    Put,
    Complete,
    Abort,
    Look,
    Read,
    Write,
    List,
    Delete,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begin => "begin the upload of",
            Self::Put => "upload a part of",
            Self::Complete => "complete the upload of",
            Self::Abort => "abort the upload of",
            Self::Look => "look at",
            Self::Read => "read",
            Self::Write => "write",
            Self::List => "list",
            Self::Delete => "delete",
        })
    }
}

/// A request that a server has refused.
pub(crate) struct Refusal<'a> {
    pub(crate) doing: Doing,
    /// The server's word for why.
    pub(crate) code: Option<&'a str>,
    pub(crate) status: Option<u16>,
    /// All of it, for users.
    pub(crate) message: String,
}

/// What a kind of server means by a refusal; none: what is so everywhere.
pub(crate) type Reads = fn(&Refusal<'_>) -> Option<Trouble>;

/// What stands between `<tag>` and `</tag>`.
fn told<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(&format!("<{tag}>"))?;
    after.split_once(&format!("</{tag}>")).map(|(told, _)| told)
}

/// The status in `…status code: 403 Forbidden…`.
fn status(text: &str) -> Option<u16> {
    text.split_once("status code: ")?.1.get(..3)?.parse().ok()
}

/// A failure of doing something at a place (`bucket/key`) of a server.
pub(crate) fn trouble(reads: Reads, server: &str, doing: Doing, place: &str, error: &StoreError) -> Trouble {
    if let Some(failure) = dataflow_tls::failure(server, error) {
        return Trouble::Failed(failure);
    }
    let text = chain(error);
    let refusal = refusal(doing, place, &text, status(&text));
    if let Some(trouble) = reads(&refusal) {
        return trouble;
    }
    match (error, refusal.code) {
        (StoreError::NotFound { .. }, _) => Trouble::Gone,
        (StoreError::Precondition { .. } | StoreError::AlreadyExists { .. }, None) => Trouble::Changed,
        _ => Trouble::Failed(plain(refusal)),
    }
}

/// A refusal by what the server has answered.
pub(crate) fn refusal<'a>(doing: Doing, place: &str, text: &'a str, status: Option<u16>) -> Refusal<'a> {
    let (code, words) = (told(text, "Code"), told(text, "Message"));
    let said = match (code, words.and_then(|words| words.lines().next())) {
        (Some(code), Some(words)) => format!("{code}: {}", words.trim_end_matches('.')),
        (Some(code), None) => code.to_owned(),
        _ => text.to_owned(),
    };
    Refusal { doing, code, status, message: format!("can't {doing} {place}: {said}") }
}

/// What a refusal means that says nothing of its own kind of server.
pub(crate) fn plain(refusal: Refusal<'_>) -> Error {
    let Refusal { status, message, .. } = refusal;
    match status {
        Some(400..=499) if !matches!(status, Some(408 | 409 | 429)) => {
            Error::fatal("refused", message).fix("see what the server says")
        }
        _ => Error::transient("unreachable", message),
    }
}

/// An error with its causes: the outermost alone often says nothing.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}
