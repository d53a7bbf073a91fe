//! How a command ends: its exit code, and what it says about a failure.
use super::{output::Output, say};
use crate::signals::Signal;
use dataflow_api_types::ProblemDocument;
use dataflow_core::problem::Problem;
use std::{fmt::Display, future::Future, process::ExitCode};

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All well.
    Done,
    /// Done, but some records are dead letters.
    DeadLetters,
    /// Done, but not with all dead letters: it is said with which not.
    LeftOut,
    /// Done, and what was to be proven is not.
    NotProven,
    /// Stopped by a signal before its end, with everything settled.
    Stopped(Signal),
}

impl Outcome {
    /// The outcome of a pipeline that is through.
    pub(super) fn of_dead(dead: u64) -> Self {
        if dead == 0 { Self::Done } else { Self::DeadLetters }
    }

    pub(super) fn code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::DeadLetters | Self::LeftOut => ExitCode::from(3),
            Self::NotProven => ExitCode::FAILURE,
            // As shells have it for a program that a signal ends: 128 and the signal's number.
            Self::Stopped(Signal::Interrupt) => ExitCode::from(130),
            Self::Stopped(Signal::Terminate) => ExitCode::from(143),
        }
    }
}

/// What kind of failure it is: it decides the exit code, and the code and status of the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The user's input is wrong.
    Invalid,
    /// The command line is wrong.
    Usage,
    /// Something failed.
    Failed,
    /// The node can't be reached.
    Unreachable,
    /// It was not over in time.
    TimedOut,
}

impl Kind {
    /// Stable code, the HTTP status that says the same, and title.
    fn described(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Invalid => ("invalid", 400, "the input is not valid"),
            Self::Usage => ("usage", 400, "the command line is not valid"),
            Self::Failed => ("failed", 500, "the command failed"),
            Self::Unreachable => ("unreachable", 503, "the node can't be reached"),
            Self::TimedOut => ("timed-out", 504, "not finished in time"),
        }
    }
}

/// Why a command failed: a summary, and findings where there are any.
#[derive(Debug)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: Kind,
    /// What failed, where and why.
    pub message: String,
    /// What to do about it.
    pub fix: Option<String>,
    /// All that is wrong with the input.
    pub problems: Vec<Problem>,
    /// What the node answered, if it was a node that failed.
    pub answer: Option<Box<ProblemDocument>>,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: Kind, message: impl Display) -> Self {
        Self { kind, message: message.to_string(), fix: None, problems: Vec::new(), answer: None }
    }

    /// Something failed.
    pub fn failed(message: impl Display) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The input is wrong.
    pub fn invalid(message: impl Display, problems: Vec<Problem>) -> Self {
        Self { problems, ..Self::new(Kind::Invalid, message) }
    }

    /// A pipeline whose sinks have these names has none of the name that was asked for.
    pub(super) fn unknown_sink<N: Display>(asked: &str, names: impl IntoIterator<Item = N>) -> Self {
        let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
        let failure = Self::new(Kind::Usage, format!("the pipeline has no sink {asked:?}"));
        failure.fix(match names[..] {
            [] => "leave --sink out: the pipeline has one sink, without a name".into(),
            _ => format!("name one of its sinks with --sink: {}", names.join(", ")),
        })
    }

    /// The same failure, with what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Invalid | Kind::Usage => 2,
            Kind::Failed | Kind::Unreachable => 1,
            // As timeout(1) has it.
            Kind::TimedOut => 124,
        })
    }

    /// Prints the failure to stderr.
    pub(super) fn print(self, output: Output) {
        match output {
            Output::Table => say::text(&self.to_string()),
            Output::Json => {
                let document = serde_json::to_string(&self.document());
                say!("{}", document.unwrap_or_else(|error| format!("{{\"detail\":\"{error}\"}}")));
            }
        }
    }

    /// The failure as the API would answer with it; that of a node is passed on as it came.
    fn document(self) -> ProblemDocument {
        if let Some(answer) = self.answer {
            return *answer;
        }
        let (code, status, title) = self.kind.described();
        let mut problems = self.problems;
        problems.extend(self.fix.map(|fix| Problem::new("", code, self.message.clone()).fix(fix)));
        ProblemDocument {
            kind: "about:blank".into(),
            title: title.into(),
            status,
            code: code.into(),
            detail: self.message,
            problems: problems.into_iter().map(Into::into).collect(),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        for problem in &self.problems {
            finding(f, problem)?;
        }
        if let Some(fix) = &self.fix {
            writeln!(f, "fix: {fix}")?;
        }
        Ok(())
    }
}

/// One finding as people read it.
pub(super) fn finding(to: &mut dyn std::fmt::Write, problem: &Problem) -> std::fmt::Result {
    match problem.path.as_str() {
        "" => writeln!(to, "  - {} [{}]", problem.message, problem.code)?,
        path => writeln!(to, "  - {path}: {} [{}]", problem.message, problem.code)?,
    }
    match &problem.fix {
        Some(fix) => writeln!(to, "    fix: {fix}"),
        None => Ok(()),
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
