//! What requests are for, and what their failures mean.
pub(crate) use dataflow_s3::Trouble;

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

impl Doing {
    /// It in a sentence: can't … this object.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Begin => "begin the upload of",
            Self::Put => "upload a part of",
            Self::Complete => "complete the upload of",
            Self::Abort => "abort the upload of",
            Self::Look => "look at",
            Self::Read => "read",
            Self::Write => "write",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}
