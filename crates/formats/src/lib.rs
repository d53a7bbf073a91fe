//! Reading records into columns, and writing columns as records.
pub mod decode;
pub mod encode;
mod json;
pub mod pushed;

pub use json::MAX_DEPTH;
