//! A scanner for JSON texts (RFC 8259, nothing else): checks every byte, keeps no values, allocates nothing.
mod escape;
mod fault;
mod scanner;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use escape::{unescape, write_content, write_string};
pub(crate) use fault::{Fault, What};
pub(crate) use scanner::{NOTHING_MORE, Scanner};

/// The deepest nesting of objects and arrays that is read. Deeper records are dead letters.
pub const MAX_DEPTH: usize = 1_024;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    /// A number in RFC 8259's form.
    Number,
    /// A string without escapes.
    String,
    /// A string with escapes.
    Escaped,
    Object,
    Array,
}

/// A value's kind and location. For strings, the span excludes the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Checks that a text is one JSON value.
pub(crate) fn validate(text: &[u8]) -> Result<Token, Fault> {
    let mut scanner = Scanner::new(text, 0);
    scanner.blank();
    let token = scanner.value()?;
    scanner.end()?;
    Ok(token)
}
