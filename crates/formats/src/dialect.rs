//! The settings of CSV that every connector has: the characters between and around fields.
use dataflow_sdk::Problem;

/// The delimiter where none is given.
pub fn comma() -> char {
    ','
}

/// The quote where none is given.
pub fn quotation_mark() -> char {
    '"'
}

/// Findings about the settings `delimiter` and `quote`.
pub fn check(delimiter: char, quote: char) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, char) in [("delimiter", delimiter), ("quote", quote)] {
        if !char.is_ascii() || matches!(char, '\n' | '\r' | '\0') {
            let message = format!("{name} must be one ASCII character other than a line break, not {char:?}");
            problems.push(Problem::new(name, "invalid-value", message));
        }
    }
    if delimiter == quote {
        problems.push(Problem::new("quote", "invalid-value", "quote and delimiter are the same character"));
    }
    problems
}
