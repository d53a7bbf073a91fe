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

pub(super) fn reads(refusal: &Refusal<'_>) -> Option<Trouble> {
    let Refusal { doing, code, status, message } = refusal;
    let fatal = |code, fix: &str| Some(Trouble::Failed(Error::fatal(code, message.clone()).fix(fix)));
    match (*code, status) {
        (Some("ContainerNotFound"), _) => {
            fatal("bucket-missing", "create the container, or correct `container` and `account`")
        }
        (Some("InvalidBlockList" | "InvalidBlockId" | "BlobNotFound"), _) => Some(Trouble::Gone),
        (Some("BlobAlreadyExists" | "ConditionNotMet" | "TargetConditionNotMet"), _) | (_, Some(412)) => {
            Some(Trouble::Changed)
        }
        (
            Some(
                "AuthenticationFailed"
                | "InvalidAuthenticationInfo"
                | "NoAuthenticationInformation"
                | "AccountIsDisabled",
            ),
            _,
        ) => fatal(
            "login-failed",
            "correct `account` and `accessKey` or `sasToken`, or renew them; the node's clock must be right, too",
        ),
        (
            Some(
                "AuthorizationFailure"
                | "AuthorizationPermissionMismatch"
                | "AuthorizationResourceTypeMismatch"
                | "AuthorizationServiceMismatch"
                | "AuthorizationProtocolMismatch"
                | "AuthorizationSourceIPMismatch"
                | "InsufficientAccountPermissions",
            ),
            _,
        )
        | (_, Some(401 | 403)) => fatal("access-denied", needed(*doing)),
        _ => None,
    }
}
