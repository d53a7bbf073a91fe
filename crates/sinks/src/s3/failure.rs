//! What a server refuses, in its words and in ours.
use dataflow_sdk::Error;
use object_store::Error as StoreError;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Trouble {
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
    pub(super) fn error(self) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::Gone | Self::PartsGone => {
                Error::transient("conflict", "an object or an upload is gone while it is used")
            }
            Self::Changed => Error::transient("conflict", "an object was changed while it is used"),
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

/// A failure of doing something at a place (`bucket/key`) of a server.
pub(super) fn trouble(server: &str, doing: &str, place: &str, error: &StoreError) -> Trouble {
    if let Some(failure) = dataflow_tls::failure(server, error) {
        return Trouble::Failed(failure);
    }
    let text = chain(error);
    let (code, words) = (told(&text, "Code"), told(&text, "Message"));
    match (error, code) {
        (_, Some("NoSuchBucket")) => {}
        (_, Some("InvalidPart")) => return Trouble::PartsGone,
        (_, Some("NoSuchUpload" | "NoSuchKey")) | (StoreError::NotFound { .. }, _) => return Trouble::Gone,
        (StoreError::Precondition { .. } | StoreError::AlreadyExists { .. }, None)
        | (_, Some("PreconditionFailed" | "ConditionalRequestConflict")) => return Trouble::Changed,
        _ => {}
    }
    let said = match (code, words) {
        (Some(code), Some(words)) => format!("{code}: {}", words.trim_end_matches('.')),
        (Some(code), None) => code.to_owned(),
        _ => text.clone(),
    };
    let message = format!("can't {doing} {place}: {said}");
    Trouble::Failed(match (code, status(&text)) {
        (Some("NoSuchBucket"), _) => {
            let fix = "create the bucket, or correct `bucket` and `endpoint`";
            Error::fatal("bucket-missing", message).fix(fix)
        }
        (Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken"), _) => {
            Error::fatal("login-failed", message).fix("correct accessKeyId and secretAccessKey, or renew them")
        }
        (Some("RequestTimeTooSkewed"), _) => {
            Error::fatal("login-failed", message).fix("set the clock of the node's machine")
        }
        (Some("AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException"), _) => {
            Error::fatal("wrong-region", message).fix("set `region` to that of the bucket")
        }
        (Some("AccessDenied" | "AllAccessDisabled"), _) | (None, Some(401 | 403)) => {
            let fix = "allow this user s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket and s3:AbortMultipartUpload";
            Error::fatal("access-denied", message).fix(fix)
        }
        (_, Some(301 | 307 | 308)) => Error::fatal("wrong-region", message).fix("set `region` to that of the bucket"),
        (Some("XMinioStorageFull" | "QuotaExceeded" | "XMinioAdminBucketQuotaExceeded"), _) => {
            Error::transient("disk-full", message).fix("make room on the server, or raise the bucket's quota")
        }
        (_, Some(400..=499)) if !matches!(status(&text), Some(408 | 409 | 429)) => {
            Error::fatal("refused", message).fix("see what the server says")
        }
        _ => Error::transient("unreachable", message),
    })
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
