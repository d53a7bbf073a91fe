//! Faults of an expression and their places in its text.
use dataflow_sdk::Problem;
use datafusion_sql::sqlparser::tokenizer::Location;

/// A finding about an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Stable code, kebab-case.
    pub(crate) code: &'static str,
    /// The fault.
    pub(crate) message: String,
    /// The fix.
    pub(crate) fix: Option<String>,
    /// Line and column, from 1.
    pub(crate) at: Option<(u64, u64)>,
}

impl Finding {
    /// Creates a finding without a place.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fix: None, at: None }
    }
    /// Adds a fix.
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
    /// Adds a place, unless it is unknown.
    pub(crate) fn at(mut self, place: Location) -> Self {
        if place.line > 0 {
            self.at = Some((place.line, place.column));
        }
        self
    }
    /// Converts it to a problem of the field that holds the expression.
    pub(crate) fn problem(self, path: &str) -> Problem {
        let message = match self.at {
            Some((line, column)) => format!("line {line}, column {column}: {}", self.message),
            None => self.message,
        };
        Problem { path: path.into(), code: self.code.into(), message, fix: self.fix }
    }
}
