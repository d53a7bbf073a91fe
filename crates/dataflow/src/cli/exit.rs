//! How a command ends: its exit code, and what it says about a failure.
use super::output::Output;
use dataflow_core::problem::Problem;
use serde_json::json;
use std::{fmt::Display, future::Future, process::ExitCode};

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All well.
    Done,
    /// Done, but some records are dead letters.
    DeadLetters,
    /// Done, and what was to be proven is not.
    NotProven,
}

impl Outcome {
    /// The outcome of a pipeline that is through.
    pub(super) fn of_dead(dead: u64) -> Self {
        if dead == 0 { Self::Done } else { Self::DeadLetters }
    }

    pub(super) fn code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::DeadLetters => ExitCode::from(3),
            Self::NotProven => ExitCode::FAILURE,
        }
    }
}

/// Why a command failed: a summary, and findings where there are any.
#[derive(Debug)]
pub struct Failure {
    /// Whether the user's input is wrong (exit code 2), or something else failed (1).
    pub invalid: bool,
    /// What failed, where and why.
    pub message: String,
    /// What to do about it.
    pub fix: Option<String>,
    /// All that is wrong with the input.
    pub problems: Vec<Problem>,
}

impl Failure {
    /// Something failed.
    pub fn failed(message: impl Display) -> Self {
        Self { invalid: false, message: message.to_string(), fix: None, problems: Vec::new() }
    }

    /// The input is wrong.
    pub fn invalid(message: impl Display, problems: Vec<Problem>) -> Self {
        Self { invalid: true, message: message.to_string(), fix: None, problems }
    }

    /// The same failure, with what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(if self.invalid { 2 } else { 1 })
    }

    /// Prints the failure to stderr.
    pub(super) fn print(&self, output: Output) {
        match output {
            Output::Table => eprint!("{self}"),
            Output::Json => eprintln!(
                "{}",
                json!({"error": self.message, "fix": self.fix, "problems": self.problems, "invalid": self.invalid})
            ),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        for problem in &self.problems {
            match problem.path.as_str() {
                "" => writeln!(f, "  - {} [{}]", problem.message, problem.code)?,
                path => writeln!(f, "  - {path}: {} [{}]", problem.message, problem.code)?,
            }
            if let Some(fix) = &problem.fix {
                writeln!(f, "    fix: {fix}")?;
            }
        }
        if let Some(fix) = &self.fix {
            writeln!(f, "fix: {fix}")?;
        }
        Ok(())
    }
}

/// Runs a client's command on a runtime of one thread.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("can't start: {error}")))?
        .block_on(work)
}
