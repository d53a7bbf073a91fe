//! What is wrong with an expression, and where in its text.
use dataflow_sdk::Problem;
use datafusion_sql::sqlparser::tokenizer::Location;

/// A finding about an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Stable code, kebab-case.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) fix: Option<String>,
    /// Line and column, from 1.
    pub(crate) at: Option<(u64, u64)>,
}

impl Finding {
    /// A finding at no place yet.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fix: None, at: None }
    }
    /// The same with what to do about it.
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
    /// The same at a place; one that is not known is left out.
    pub(crate) fn at(mut self, place: Location) -> Self {
        if place.line > 0 {
            self.at = Some((place.line, place.column));
        }
        self
    }
    /// As a problem of the field that holds the expression.
    pub(crate) fn problem(self, path: &str) -> Problem {
        let message = match self.at {
            Some((line, column)) => format!("line {line}, column {column}: {}", self.message),
            None => self.message,
        };
        Problem { path: path.into(), code: self.code.into(), message, fix: self.fix }
    }
}
