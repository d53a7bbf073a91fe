//! What is said of texts that are not JSON.
use super::MAX_DEPTH;

/// Why a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where, in bytes from the start of the buffer.
    pub at: usize,
    /// What is wrong there.
    pub what: What,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Something else should be there.
    Expected(&'static str),
    /// A byte that may not stand there as it is.
    Forbidden(&'static str),
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl Fault {
    /// In words, with the place counted from `start`.
    pub(crate) fn describe(&self, bytes: &[u8], start: usize) -> String {
        let offset = self.at.saturating_sub(start);
        match self.what {
            What::TooDeep => format!("nested deeper than {MAX_DEPTH} levels at byte {offset}"),
            What::Forbidden(what) => format!("{what} at byte {offset}"),
            What::Expected(what) => match bytes.get(self.at..).filter(|rest| !rest.is_empty()) {
                None => format!("expected {what} at byte {offset}, but the record ends there"),
                Some(rest) => {
                    let found: String = String::from_utf8_lossy(&rest[..rest.len().min(24)]).chars().take(12).collect();
                    format!("expected {what} at byte {offset}, found {found:?}")
                }
            },
        }
    }
}
