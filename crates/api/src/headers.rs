//! Which pipeline a request is about, who asks, and the headers that commands come with: `Idempotency-Key`, `If-Match`,
//! `Reason`, `traceparent`.
use crate::{error::Error, path, state::ApiState};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use dataflow_core::{
    id::{Actor, CommandId, PipelineId, Reason, TraceParent},
    problem::Problem,
};
use dataflow_engine::{
    client::PipelineClient,
    region::{Action, UserCommand},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Why, in the user's words, as UTF-8.
const REASON: HeaderName = HeaderName::from_static("reason");
/// <https://www.w3.org/TR/trace-context/#traceparent-header>
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// How the command line names itself in `User-Agent`.
const CLI_AGENT: &str = "dataflow-cli";

/// The headers that every command may have, for the description of the API.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "Command reads them; this describes them")]
pub(crate) struct Described {
    /// A repeated request with the same key has no second effect; another request with that key is answered with 422
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// Why, in the user's words; kept in the history
    #[param(rename = "Reason")]
    reason: Option<String>,
}

/// What the headers of a command say.
#[derive(Debug)]
pub(crate) struct Command {
    id: CommandId,
    actor: Actor,
    reason: Option<Reason>,
    trace: Option<TraceParent>,
    expected_version: Option<u64>,
}

impl Command {
    /// The command as the region takes it.
    pub(crate) fn of(self, action: Action) -> UserCommand {
        let Self { id, actor, reason, trace, expected_version } = self;
        UserCommand { id, actor, reason, trace, expected_version, action }
    }

    /// The pipeline of this id, as who sends the command sees it.
    pub(crate) fn pipeline(&self, state: &ApiState, id: PipelineId) -> PipelineClient {
        PipelineClient::new(state.region.clone(), id, self.actor.clone())
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
                let message = format!("{tag:?} is not a version");
                let fix = "give the pipeline's ETag as returned by GET, like \"3\"";
                problems.push(Problem::new("If-Match", "invalid-value", message).fix(fix));
            }
            version
        });
        let reason = parts.headers.get(REASON).and_then(|reason| {
            let reason = std::str::from_utf8(reason.as_bytes()).map_err(|_| "must be UTF-8".to_owned());
            match reason.and_then(|reason| Reason::try_from(reason).map_err(|error| error.to_string())) {
                Ok(reason) => Some(reason),
                Err(error) => {
                    problems.push(Problem::new("Reason", "invalid-value", error));
                    None
                }
            }
        });
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        // One that is not understood is as good as none, says its standard.
        let trace = parts.headers.get(TRACEPARENT).and_then(|trace| TraceParent::try_from(trace.to_str().ok()?).ok());
        let (id, actor) = (id.unwrap_or_else(|| (state.command_id)()), actor(&parts.headers));
        Ok(Self { id, actor, reason, trace, expected_version })
    }
}

/// The pipeline that a request is about, as who sends it sees it.
#[derive(Debug)]
pub(crate) struct Asked(pub(crate) PipelineClient);

impl FromRequestParts<ApiState> for Asked {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Error> {
        let path::Pipeline(id) = path::Pipeline::from_request_parts(parts, state).await?;
        Ok(Self(PipelineClient::new(state.region.clone(), id, actor(&parts.headers))))
    }
}

fn actor(headers: &HeaderMap) -> Actor {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let actor = if agent.is_some_and(|agent| agent.starts_with(CLI_AGENT)) { "cli" } else { "api" };
    Actor::try_from(actor).unwrap_or_else(|error| unreachable!("{actor} is an actor: {error}"))
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
