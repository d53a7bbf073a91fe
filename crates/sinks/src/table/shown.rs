//! Values in messages.

/// Most characters of a value that are shown.
const MOST: usize = 64;

/// The beginning of a text.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
