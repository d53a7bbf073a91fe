//! What must hold whatever bytes come from outside. Each check panics where it doesn't hold.
//!
//! `tests/corpora.rs` runs them on all that is kept in `corpus/`.
#![allow(clippy::unwrap_used)] // panicking is what a check does
pub mod csv;
pub mod event;
pub mod expression;
pub mod json;
pub mod pushed;
mod records;
pub mod spec;
pub mod split;

/// Panics if something doesn't hold for these bytes.
pub type Check = fn(&[u8]);

/// All checks, by the names that their corpora have.
pub const TARGETS: [(&str, Check); 7] = [
    ("csv", csv::check),
    ("event", event::check),
    ("expression", expression::check),
    ("json", json::check),
    ("pushed", pushed::check),
    ("spec", spec::check),
    ("split", split::check),
];
