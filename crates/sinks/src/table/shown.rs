//! Values in messages.

/// The most characters shown of a value.
const MOST: usize = 64;

/// Returns the beginning of a text.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
