//! The REST client behind the commands that talk to a node.
use super::exit::{Failure, Kind};
use dataflow_api_types::PipelineView;
use dataflow_api_types::ProblemDocument;
use dataflow_core::{
    id::{CommandId, Reason},
    problem::Problem,
    spec::Millis,
};
use reqwest::{Method, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a connection may wait for the next request: less than the node keeps it.
const IDLE: Duration = Duration::from_secs(5);
/// Longest that an answer may take beyond the wait that was asked for.
const BEYOND_WAIT: Duration = Duration::from_secs(30);

/// Which node to talk to.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Server {
    /// The node's address.
    #[arg(long = "server", value_name = "URL", env = "DATAFLOW_SERVER", default_value = "http://127.0.0.1:8080")]
    url: String,
}

impl Server {
    /// A client for this node. Connects nowhere yet.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.url)
    }
}

/// Why something is to change.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Because {
    /// Why, in your own words: the history keeps it.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

/// The answer to a request that may find nothing to do.
#[derive(Debug)]
pub(super) struct Changed<T> {
    pub(super) body: T,
    /// What was asked for was so already.
    pub(super) unchanged: bool,
}

/// A client of one node.
#[derive(Clone, Debug)]
pub(super) struct Client {
    base: Url,
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::invalid(format!("{url:?} is not the address of a node: {why}"), Vec::new())
                .fix("write it like http://127.0.0.1:8080")
        };
        let mut base: Url = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        if base.scheme() != "http" || base.host().is_none() {
            return Err(wrong("it must begin with http:// and name a host"));
        }
        base.set_path("/api/");
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(dataflow_tls::unused())
            .connect_timeout(Duration::from_secs(5))
            .timeout(PATIENCE)
            .pool_idle_timeout(IDLE)
            .no_proxy()
            // The node tells by it who sent a command: the history has it as the actor.
            .user_agent(concat!("dataflow-cli/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::failed(format!("can't make an HTTP client: {error}")))?;
        Ok(Self { base, http })
    }

    /// The address of a resource under `/api`; each part is one segment, whatever is in it.
    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a request and reads the answer.
    pub(super) async fn send<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, Failure> {
        self.change(request).await.map(|answer| answer.body)
    }

    /// Sends a request that may find nothing to do.
    pub(super) async fn change<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<Changed<T>, Failure> {
        let url = self.url(request.path, request.query);
        let (text, unchanged) = self.exchange(request, url.clone()).await?;
        let body = serde_json::from_str(if text.is_empty() { "null" } else { &text })
            .map_err(|error| Failure::failed(format!("{url} did not answer like a DataFlow node: {error}")))?;
        Ok(Changed { body, unchanged })
    }

    async fn exchange(&self, request: Request<'_>, url: Url) -> Result<(String, bool), Failure> {
        let mut http = self.http.request(request.method.clone(), url.clone());
        if let Some(body) = request.body {
            http = http.json(body);
        }
        if let Some(version) = request.if_match {
            http = http.header(header::IF_MATCH, format!("\"{version}\""));
        }
        // A header can't have what these may not hold.
        let invalid = |error| Failure::invalid(error, Vec::new());
        if let Some(key) = request.idempotency_key.map(CommandId::try_from).transpose().map_err(invalid)? {
            http = http.header("Idempotency-Key", key.as_str());
        }
        if let Some(reason) = request.reason.map(Reason::try_from).transpose().map_err(invalid)? {
            http = http.header("Reason", reason.as_str().as_bytes());
        }
        if let Some(wait) = request.wait() {
            http = http.timeout(wait.saturating_add(BEYOND_WAIT));
        }
        let answer = http.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let unchanged = answer.headers().contains_key("dataflow-unchanged");
        let text = answer.text().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() { Ok((text, unchanged)) } else { Err(problem(status, &text, &url)) }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let node = self.base.origin().ascii_serialization();
        Failure::new(Kind::Unreachable, format!("the node at {node} can't be reached: {cause}"))
            .fix("start one with `dataflow serve`, or name another with --server URL (or DATAFLOW_SERVER)")
    }

    /// One pipeline as the node shows it.
    pub(super) async fn pipeline(&self, id: &str) -> Result<PipelineView, Failure> {
        self.send(Request::get(&["pipelines", id])).await
    }
}

fn problem(status: StatusCode, text: &str, url: &Url) -> Failure {
    let Ok(problem) = serde_json::from_str::<ProblemDocument>(text) else {
        return Failure::failed(format!("{url} answered {status}"));
    };
    let answer = Some(Box::new(problem.clone()));
    // What the findings say is not said twice.
    let mut problems: Vec<Problem> = problem.problems.into_iter().map(Into::into).collect();
    let summary = if problems.iter().any(|found| !found.path.is_empty()) { None } else { Some(problem.detail) };
    let message = summary.filter(|detail| !detail.is_empty()).unwrap_or(problem.title);
    let mut fix = None;
    // A single finding that says what the message says has only its fix to add.
    if let [only] = problems.as_mut_slice()
        && only.path.is_empty()
        && only.message == message
    {
        fix = only.fix.take();
        problems.clear();
    }
    Failure {
        kind: if matches!(status.as_u16(), 400 | 413 | 422) { Kind::Invalid } else { Kind::Failed },
        message: if message.is_empty() { format!("{url} answered {status}") } else { message },
        fix,
        problems,
        answer,
    }
}

/// A request to the API.
#[derive(Debug)]
pub(super) struct Request<'a> {
    method: Method,
    path: &'a [&'a str],
    query: &'a [(&'a str, String)],
    body: Option<&'a Value>,
    if_match: Option<u64>,
    idempotency_key: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> Request<'a> {
    fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self { method, path, query: &[], body: None, if_match: None, idempotency_key: None, reason: None }
    }
    pub(super) fn get(path: &'a [&'a str]) -> Self {
        Self::new(Method::GET, path)
    }
    pub(super) fn post(path: &'a [&'a str]) -> Self {
        Self::new(Method::POST, path)
    }
    pub(super) fn put(path: &'a [&'a str]) -> Self {
        Self::new(Method::PUT, path)
    }
    pub(super) fn delete(path: &'a [&'a str]) -> Self {
        Self::new(Method::DELETE, path)
    }
    pub(super) fn query(self, query: &'a [(&'a str, String)]) -> Self {
        Self { query, ..self }
    }
    /// How long the node is asked to wait before it answers. What is no duration, the node refuses at once.
    fn wait(&self) -> Option<Duration> {
        let (_, wait) = self.query.iter().find(|(name, _)| *name == "wait")?;
        wait.parse::<Millis>().ok().map(Into::into)
    }
    pub(super) fn body(self, body: &'a Value) -> Self {
        Self { body: Some(body), ..self }
    }
    /// Only if the pipeline is at this version.
    pub(super) fn if_match(self, version: Option<u64>) -> Self {
        Self { if_match: version, ..self }
    }
    /// A repeated request with the same key has no second effect.
    pub(super) fn idempotency_key(self, key: Option<&'a str>) -> Self {
        Self { idempotency_key: key, ..self }
    }
    /// Why it is sent.
    pub(super) fn because(self, because: &'a Because) -> Self {
        Self { reason: because.reason.as_deref(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_knows_how_long_it_waits() {
        let wait = |query: &[(&str, String)]| Request::post(&["pipelines", "p", "stop"]).query(query).wait();
        assert_eq!(wait(&[("wait", "5m".into())]), Some(Duration::from_secs(300)));
        assert_eq!(wait(&[("wait", "soon".into())]), None);
        assert_eq!(wait(&[]), None);
    }
}
