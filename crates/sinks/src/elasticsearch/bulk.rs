//! Bulk requests: what is sent, and what is answered.
use super::{
    client::{Answer, Body, Client},
    failure,
    rows::Action,
    target::in_path,
    verdict::{Item, words},
};
use dataflow_core::spec::Millis;
use dataflow_sdk::Error;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where bulk requests go.
pub(super) struct Bulk<'a> {
    pub(super) client: &'a Client,
    /// The index of all actions that name none.
    pub(super) index: Option<&'a str>,
    pub(super) refresh: bool,
    /// How long the server may wait for shards: it says what it waited for while the client still listens.
    pub(super) patience: Millis,
}

/// Versions between those of two commits. Who changes a document without a version of its own (`_update`) adds 1 to it: it
/// stays below that of the next commit, so that it is not taken for one.
const STEP: u64 = 1 << 10;

/// The version of the documents of a commit.
fn version_of(commit: u64) -> u64 {
    commit.saturating_mul(STEP)
}

/// The highest version of a document of this commit, or an earlier one, whoever has changed it since.
pub(super) fn highest_of(commit: u64) -> u64 {
    version_of(commit).saturating_add(STEP - 1)
}

/// Actions that are sent together.
#[derive(Default)]
pub(super) struct Actions {
    lines: Vec<u8>,
    count: usize,
    /// The indices that they name, or none of a name, and what is asked of each at the end.
    asked: BTreeMap<String, String>,
    /// Bytes of these questions.
    asking: usize,
}

/// What became of a request.
pub(super) enum Sent {
    /// The answers, one for each action, and one for each index that they name.
    Items(Vec<Item>, Vec<(String, Item)>),
    /// Nothing was applied, and why.
    Whole(Whole, String),
    /// The server was too busy to do any of it.
    Busy(String),
}

/// Why a request was refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// All of it is too much for the server.
    TooLarge,
    /// One of its actions spoils it.
    Spoilt,
}

impl Actions {
    /// Appends an action of a commit, unless there are some already and it would be more than so many bytes.
    pub(super) fn push(&mut self, action: &Action<'_>, commit: u64, limit: usize) -> bool {
        let (before, version) = (self.lines.len(), version_of(commit));
        let operation = if action.document.is_some() { "index" } else { "delete" };
        let head = head(operation, action.index.as_deref(), &action.id);
        let version = format!("{head}\"version\":{version},\"version_type\":\"external_gte\"}}}}\n");
        self.lines.extend_from_slice(version.as_bytes());
        if let Some(document) = action.document {
            self.lines.extend_from_slice(document);
            self.lines.push(b'\n');
        }
        let is_first = match &action.index {
            Some(index) => !self.asked.contains_key(index),
            None => self.asked.is_empty(),
        };
        let question = is_first.then(|| question(action.index.as_deref()));
        let more = question.as_ref().map_or(0, String::len);
        if self.lines.len() + self.asking + more > limit && self.count > 0 {
            self.lines.truncate(before);
            return false;
        }
        self.asking += more;
        self.count += 1;
        if let Some(question) = question {
            self.asked.insert(action.index.clone().unwrap_or_default(), question);
        }
        true
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

fn head(operation: &str, index: Option<&str>, id: &str) -> String {
    let index = index.map(|index| format!("\"_index\":{},", text(index))).unwrap_or_default();
    format!("{{\"{operation}\":{{{index}\"_id\":{},", text(id))
}

/// Asks which index a name stands for, by an action that can't be applied: its refusal has the id. A request resolves each name
/// once, so all its actions have gone there.
fn question(index: Option<&str>) -> String {
    format!("{}\"if_seq_no\":{},\"if_primary_term\":1}}}}\n", head("delete", index, "dataflow_which_index"), i64::MAX)
}

fn text(text: &str) -> String {
    serde_json::Value::String(text.into()).to_string()
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    items: Vec<BTreeMap<String, Item>>,
}

impl Bulk<'_> {
    /// Sends these actions, and asks which indices they have reached.
    pub(super) async fn send(&self, mut actions: Actions) -> Result<Sent, Error> {
        actions.asked.values().for_each(|question| actions.lines.extend_from_slice(question.as_bytes()));
        let index = self.index.map(|index| format!("/{}", in_path(index))).unwrap_or_default();
        let refresh = if self.refresh { "&refresh=wait_for" } else { "" };
        let patience = self.patience.0;
        let path = format!("{index}/_bulk?filter_path=items.*.status,items.*.error&timeout={patience}ms{refresh}");
        let answer = self.client.ask(Method::POST, &path, Body::Lines(actions.lines.into())).await.map_err(|error| match error.code() {
            "timed-out" if self.refresh => error.fix(
                "set index.refresh_interval to some seconds if it is -1 (nothing refreshes then, and a commit waits for ever), or \
                 leave `refresh` out; otherwise raise `requestTimeout`, or lower `maxRequestBytes`",
            ),
            _ => error,
        })?;
        match answer.status {
            StatusCode::OK => {
                let mut items = items(&answer, actions.count + actions.asked.len())?;
                let told = items.split_off(actions.count);
                Ok(Sent::Items(items, actions.asked.into_keys().zip(told).collect()))
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                Ok(Sent::Whole(Whole::TooLarge, format!("the request is too large: {}", words(&answer.body))))
            }
            StatusCode::BAD_REQUEST if words(&answer.body).contains("explicit index in bulk") => {
                Err(Error::fatal("index-refused", words(&answer.body)).fix(
                    "set rest.action.multi.allow_explicit_index to true on the servers, or give `index` a name without expressions",
                ))
            }
            StatusCode::BAD_REQUEST if is_of_an_action(&words(&answer.body)) => {
                Ok(Sent::Whole(Whole::Spoilt, words(&answer.body)))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Ok(Sent::Busy(words(&answer.body))),
            _ => Err(failure::refused("a bulk request", &answer)),
        }
    }
}

/// Whether one of the actions is to blame for what the server says of the whole request.
fn is_of_an_action(words: &str) -> bool {
    [
        "action_request_validation_exception",
        "illegal_argument_exception",
        "x_content_",
        "json_",
        "parse_exception",
        "parsing_exception",
    ]
    .iter()
    .any(|ty| words.starts_with(ty))
}

fn items(answer: &Answer, count: usize) -> Result<Vec<Item>, Error> {
    let Answered { items } = answer.json("a bulk request")?;
    if items.len() != count {
        let message = format!("{} answered {} of {count} actions of a bulk request", answer.server, items.len());
        return Err(
            Error::fatal("bad-data", message).fix("give `url` the address of Elasticsearch or OpenSearch itself")
        );
    }
    Ok(items.into_iter().map(|item| item.into_values().next().unwrap_or_default()).collect())
}
