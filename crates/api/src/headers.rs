//! Headers that commands come with: `Idempotency-Key`, `If-Match`, and who asks.
use crate::{error::Error, state::ApiState};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use dataflow_core::{
    id::{Actor, CommandId, PipelineId},
    problem::Problem,
};
use dataflow_engine::region::{Action, Message, ShardingEnvelope, UserCommand};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// How the command line names itself in `User-Agent`.
const CLI_AGENT: &str = "dataflow-cli";

/// What the headers of a command say.
#[derive(Debug)]
pub(crate) struct Command {
    id: CommandId,
    actor: Actor,
    expected_version: Option<u64>,
}

impl Command {
    /// The command as the region takes it.
    pub(crate) fn envelope(self, pipeline: &PipelineId, action: Action) -> ShardingEnvelope {
        let Self { id, actor, expected_version } = self;
        let message = Message::Command(UserCommand { id, actor, expected_version, action });
        ShardingEnvelope { pipeline: pipeline.clone(), message }
    }
}

impl FromRequestParts<ApiState> for Command {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let id = text(&parts.headers, &IDEMPOTENCY_KEY, &mut problems).and_then(|key| match CommandId::try_from(key) {
            Ok(id) => Some(id),
            Err(error) => {
                problems.push(Problem::new("Idempotency-Key", "invalid-value", error.to_string()));
                None
            }
        });
        let expected_version = text(&parts.headers, &header::IF_MATCH, &mut problems).and_then(|tag| {
            if tag.trim() == "*" {
                return None; // any version that exists: what the command asks for anyway
            }
            let version = tag.trim().trim_start_matches("W/").trim_matches('"').parse().ok();
            if version.is_none() {
                let message = format!("{tag:?} is no version");
                let fix = "give the ETag of the pipeline as GET sent it, like \"3\"";
                problems.push(Problem::new("If-Match", "invalid-value", message).fix(fix));
            }
            version
        });
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let actor = if agent.is_some_and(|agent| agent.starts_with(CLI_AGENT)) { "cli" } else { "api" };
        let actor = Actor::try_from(actor).unwrap_or_else(|error| unreachable!("{actor} is an actor: {error}"));
        Ok(Self { id: id.unwrap_or_else(|| (state.command_id)()), actor, expected_version })
    }
}

fn text(headers: &HeaderMap, name: &HeaderName, problems: &mut Vec<Problem>) -> Option<String> {
    match headers.get(name)?.to_str() {
        Ok(text) => Some(text.to_owned()),
        Err(_) => {
            problems.push(Problem::new(name.as_str(), "invalid-value", "must be printable ASCII"));
            None
        }
    }
}
