//! Reading records into columns, and writing columns as records.
pub mod decode;
pub mod encode;
pub mod pushed;
