//! What Azure means by what it refuses.
use crate::objects::failure::{Doing, Trouble};
use dataflow_s3::Failed;
use dataflow_sdk::Error;
use object_store::Error as StoreError;

/// What a login has to permit for a request.
fn needed(doing: Doing) -> &'static str {
    match doing {
        Doing::Look | Doing::Read => {
            "let the login read blobs (r of a shared access signature; role Storage Blob Data Contributor)"
        }
        Doing::Begin | Doing::Put | Doing::Complete | Doing::Write | Doing::Abort => {
            "let the login create and write blobs (c and w of a shared access signature; role Storage Blob Data Contributor)"
        }
        Doing::List => "let the login list blobs (l of a shared access signature; role Storage Blob Data Contributor)",
        Doing::Delete => {
            "let the login delete blobs (d of a shared access signature; role Storage Blob Data Contributor)"
        }
    }
}

/// Who it is isn't known.
const UNKNOWN: [&str; 4] =
    ["AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation", "AccountIsDisabled"];

/// A failure of doing something at a place (`container/key`) of a server.
pub(super) fn trouble(server: &str, doing: Doing, place: &str, failed: &Failed<'_>) -> Trouble {
    if let Some(failure) = failed.of_tls(server) {
        return Trouble::Failed(failure);
    }
    let (code, status) = (failed.code(), failed.status());
    let message = format!("can't {} {place}: {}", doing.words(), failed.said());
    // Azurite says of a wrong key that it may not do this.
    let is_unknown = code.is_some_and(|code| UNKNOWN.contains(&code)) || message.contains("failed to authenticate");
    let fatal = |code, fix: &str| Trouble::Failed(Error::fatal(code, message.clone()).fix(fix));
    match (code, status) {
        _ if is_unknown => fatal(
            "login-failed",
            "correct `account` and `accessKey` or `sasToken`, or renew them; the node's clock must be right, too",
        ),
        (Some("ContainerNotFound"), _) => {
            fatal("bucket-missing", "create the container, or correct `container` and `account`")
        }
        (Some("InvalidBlockList" | "InvalidBlockId" | "BlobNotFound"), _) => Trouble::Gone,
        (Some("BlobAlreadyExists" | "ConditionNotMet" | "TargetConditionNotMet"), _) | (_, Some(412)) => {
            Trouble::Changed
        }
        (_, Some(401 | 403)) => fatal("access-denied", needed(doing)),
        _ if matches!(failed.store(), Some(StoreError::NotFound { .. })) => Trouble::Gone,
        (None, _) if matches!(failed.store(), Some(StoreError::AlreadyExists { .. })) => Trouble::Changed,
        (_, Some(400..=499)) if !matches!(status, Some(408 | 409 | 429)) => {
            fatal("refused", "see what the server says")
        }
        _ => Trouble::Failed(Error::transient("unreachable", message)),
    }
}
