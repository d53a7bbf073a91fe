//! What ends a run, or an attempt of it, and what is done about it.
use super::report::Refused;
use dataflow_core::{pipeline::event::Cause, problem::Problem};
use dataflow_sdk::Error;

/// What may pass.
#[derive(Clone, Debug)]
pub(crate) struct Passing {
    pub(crate) code: String,
    pub(crate) stage: String,
    pub(crate) lane: Option<u32>,
    pub(crate) message: String,
    pub(crate) fix: Option<String>,
}

impl From<Passing> for Cause {
    fn from(Passing { code, stage, lane, message, fix }: Passing) -> Self {
        let message = lane.map_or_else(|| message.clone(), |lane| format!("lane {lane}: {message}"));
        Self { code, stage, message, fix, retryable: true }
    }
}

/// What ends an attempt, or a lane.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// May pass: try again after a back-off.
    Transient(Passing),
    /// The pipeline fails.
    Fatal(Cause),
    /// The pipeline is no longer this run's.
    Over(Refused),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Over(refused)
    }
}

impl Failure {
    /// A failure of a connector at a stage.
    pub(crate) fn of(stage: &str, error: Error) -> Self {
        match error {
            Error::Transient { code, message, fix } => {
                Self::Transient(Passing { code: code.into(), stage: stage.into(), lane: None, message, fix })
            }
            Error::Fenced(message) => Self::Transient(Passing {
                code: "fenced".into(),
                stage: stage.into(),
                lane: None,
                message: format!("fenced: {message}"),
                fix: None,
            }),
            Error::Fatal { code, message, fix, retryable } => {
                Self::Fatal(Cause { code: code.into(), stage: stage.into(), message, fix, retryable })
            }
            Error::Contradicts { code, message, fix, .. } => Self::decide(code, stage, message, &fix),
            Error::PositionLost { partition, wanted, earliest, latest, reason } => Self::Fatal(Cause {
                code: "position-lost".into(),
                stage: stage.into(),
                message: format!(
                    "position {wanted} of {partition} no longer exists ({reason}); available are {earliest} to {latest}"
                ),
                fix: Some(
                    "choose where to continue: set the checkpoint to \"beginning\", \"end\" or a position, or set \
                        onPositionLost to \"earliest\" or \"latest\"; skipped records are counted as lost"
                        .into(),
                ),
                retryable: false,
            }),
        }
    }

    /// The same, in this lane.
    pub(crate) fn in_lane(mut self, number: u32) -> Self {
        if let Self::Transient(Passing { lane, .. }) = &mut self {
            *lane = Some(number);
        }
        self
    }

    /// Findings where a spec had none when it was accepted: a secret is gone, a connection was renamed.
    pub(crate) fn invalid(stage: &str, problems: &[Problem]) -> Self {
        // What to do about the first is said beside the message.
        let first = problems.first().map(|first| Problem { fix: None, ..first.clone() }.to_string());
        let all: Vec<String> = first.into_iter().chain(problems.iter().skip(1).map(ToString::to_string)).collect();
        Self::Fatal(Cause {
            code: problems.first().map_or_else(|| "invalid-value".into(), |problem| problem.code.clone()),
            stage: stage.into(),
            message: all.join("; "),
            fix: problems.first().and_then(|problem| problem.fix.clone()),
            retryable: true,
        })
    }

    /// The sink has seen a higher epoch than this node holds, though the journal knows of none: it will never be let in.
    pub(crate) fn outdated(message: &str) -> Self {
        Self::decide(
            Cause::FENCED,
            "sink",
            format!(
                "{message}, a higher epoch than this node's, but its journal knows of no other owner: another copy of the node is running or was, or the data folder is an older copy"
            ),
            "stop the other node for good; then stop this one, back it up, and restore that backup onto its own folder with \
             `dataflow restore --replace`, which raises its epochs (an older journal.db can be given like a backup)",
        )
    }

    /// A failure that a user must decide about.
    pub(crate) fn decide(code: &str, stage: &str, message: String, fix: &str) -> Self {
        Self::Fatal(Cause { code: code.into(), stage: stage.into(), message, fix: Some(fix.into()), retryable: false })
    }
}
