//! Describes why texts are not JSON.
use super::MAX_DEPTH;

/// The reason why a text is not JSON, and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The position in bytes from the start of the buffer.
    pub at: usize,
    /// The reason.
    pub what: What,
}

/// The reason why a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Something else was expected there.
    Expected(&'static str),
    /// A byte that must be escaped or can't occur there.
    Forbidden(&'static str),
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl Fault {
    /// Describes the fault, with its position relative to `start`.
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
