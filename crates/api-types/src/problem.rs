//! Errors and findings.
use dataflow_core::problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error as users get it (RFC 9457), with content type `application/problem+json`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDocument {
    /// Where this kind of error is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of error in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable code, kebab-case.
    pub code: String,
    /// What happened here.
    pub detail: String,
    /// All findings, with where and what to do.
    pub problems: Vec<Problem>,
}

/// One finding of a check. The same for REST, CLI and web page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Where, as a path into what was checked: `transforms[0].condition`. Empty: the whole.
    pub path: String,
    /// Stable code, in kebab-case: `unknown-field`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl From<problem::Problem> for Problem {
    fn from(problem::Problem { path, code, message, fix }: problem::Problem) -> Self {
        Self { path, code, message, fix }
    }
}

impl From<Problem> for problem::Problem {
    fn from(Problem { path, code, message, fix }: Problem) -> Self {
        Self { path, code, message, fix }
    }
}

/// All findings about a spec.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Findings {
    /// Whether there are none.
    pub valid: bool,
    /// The findings.
    pub problems: Vec<Problem>,
    /// Things worth knowing.
    pub warnings: Vec<Problem>,
}
