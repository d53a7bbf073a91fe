//! What commands say on stderr, beside their result.
use std::io::Write;

/// Says a text; a reader that has gone away (`2>&1 | head`) changes nothing, least of all the exit code.
pub(crate) fn text(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

/// Says a line, as `eprintln!` would, which panics if nobody reads it.
macro_rules! say {
    ($($said:tt)*) => { $crate::cli::say::text(&format!("{}\n", format_args!($($said)*))) };
}
