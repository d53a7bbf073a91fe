//! What a position in an object is known by: which content the object had, and whether that was read to its end.
use dataflow_core::position::Position;
use std::{fmt, str::FromStr};

/// What an object was when it was read. Stored with each position: see the golden file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// As the server calls its content; with the key it says which object that is.
    pub(super) etag: String,
    /// Its length in bytes.
    pub(super) size: u64,
    /// Whether it was read to its end.
    pub(super) ended: bool,
}

impl Known {
    /// What is known at a position, if anything is.
    pub(super) fn of(position: &Position) -> Option<Self> {
        position.identity.as_deref()?.parse().ok()
    }

    /// A place in it.
    pub(super) fn at(&self, at: u64) -> Position {
        Position::offset(at).of(&self.to_string())
    }

    pub(super) fn ending(self, ended: bool) -> Self {
        Self { ended, ..self }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = if self.ended { "end:" } else { "" };
        write!(f, "{ended}{}:{}", self.size, self.etag)
    }
}

impl FromStr for Known {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ended, text) = text.strip_prefix("end:").map_or((false, text), |rest| (true, rest));
        let (size, etag) = text.split_once(':').ok_or(())?;
        Ok(Self { etag: etag.into(), size: size.parse().map_err(|_| ())?, ended })
    }
}

/// The number in a position.
pub(super) fn offset(position: &Position) -> u64 {
    position.as_offset().unwrap_or(0)
}
