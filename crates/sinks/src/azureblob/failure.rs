//! What Azure means by what it refuses.
use crate::objects::failure::{Doing, Refusal, Trouble};
use dataflow_sdk::Error;

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

pub(super) fn reads(refusal: &Refusal<'_>) -> Option<Trouble> {
    let Refusal { doing, code, status, message } = refusal;
    let fatal = |code, fix: &str| Some(Trouble::Failed(Error::fatal(code, message.clone()).fix(fix)));
    // Azurite says of a wrong key that it may not do this.
    let is_unknown = code.is_some_and(|code| UNKNOWN.contains(&code)) || message.contains("failed to authenticate");
    match (*code, status) {
        _ if is_unknown => fatal(
            "login-failed",
            "correct `account` and `accessKey` or `sasToken`, or renew them; the node's clock must be right, too",
        ),
        (Some("ContainerNotFound"), _) => {
            fatal("bucket-missing", "create the container, or correct `container` and `account`")
        }
        (Some("InvalidBlockList" | "InvalidBlockId" | "BlobNotFound"), _) => Some(Trouble::Gone),
        (Some("BlobAlreadyExists" | "ConditionNotMet" | "TargetConditionNotMet"), _) | (_, Some(412)) => {
            Some(Trouble::Changed)
        }
        (_, Some(401 | 403)) => fatal("access-denied", needed(*doing)),
        _ => None,
    }
}
