//! What S3, and what speaks its protocol, means by what it refuses.
use crate::objects::failure::{Doing, Refusal, Trouble};
use dataflow_sdk::Error;

/// What a user has to be allowed for a request, and why a server may ask for more.
fn needed(doing: Doing) -> &'static str {
    match doing {
        Doing::Begin | Doing::Put | Doing::Complete | Doing::Write => {
            "allow this user s3:PutObject on the bucket's objects"
        }
        Doing::Abort => "allow this user s3:AbortMultipartUpload on the bucket's objects",
        Doing::Look | Doing::Read => {
            "allow this user s3:GetObject on the bucket's objects and s3:ListBucket on the bucket: without the latter a server says \
             so also of an object that is not there"
        }
        Doing::List => "allow this user s3:ListBucket on the bucket",
        Doing::Delete => "allow this user s3:DeleteObject on the bucket's objects",
    }
}

pub(super) fn reads(refusal: &Refusal<'_>) -> Option<Trouble> {
    let Refusal { doing, code, status, message } = refusal;
    let fatal = |code, fix: &str| Some(Trouble::Failed(Error::fatal(code, message.clone()).fix(fix)));
    match (*code, status) {
        (Some("NoSuchBucket"), _) => fatal("bucket-missing", "create the bucket, or correct `bucket` and `endpoint`"),
        (Some("InvalidPart"), _) => Some(Trouble::PartsGone),
        (Some("NoSuchUpload" | "NoSuchKey"), _) => Some(Trouble::Gone),
        (Some("PreconditionFailed" | "ConditionalRequestConflict"), _) => Some(Trouble::Changed),
        (
            Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "InvalidTokenId" | "ExpiredToken"),
            _,
        ) => fatal(
            "login-failed",
            "correct accessKeyId and secretAccessKey, or renew them; the user may be disabled, too",
        ),
        (Some("RequestTimeTooSkewed"), _) => fatal("login-failed", "set the clock of the node's machine"),
        (Some("AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException"), _)
        | (_, Some(301 | 307 | 308)) => fatal("wrong-region", "set `region` to that of the bucket"),
        (Some("AccessDenied" | "AllAccessDisabled"), _) | (None, Some(401 | 403)) => {
            fatal("access-denied", needed(*doing))
        }
        (Some("XMinioStorageFull" | "QuotaExceeded" | "XMinioAdminBucketQuotaExceeded"), _) => {
            let full = Error::transient("disk-full", message.clone());
            Some(Trouble::Failed(full.fix("make room on the server, or raise the bucket's quota")))
        }
        _ => None,
    }
}
