//! The settings of the source.
use super::{auth::Auth, pointer::Pointer, url};
use dataflow_core::spec::Millis;
use dataflow_sdk::Problem;
use dataflow_tls::Tls;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Reads records from the pages of a REST API.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RestSource {
    /// The address of the first page, without a login: `https://api.example.com/v1/orders`.
    #[schemars(extend("x-address" = "host"))]
    pub url: String,
    /// The method of each request.
    #[serde(default)]
    pub method: Method,
    /// Headers of each request. Credentials belong into `auth`.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// Parameters of the first request's URL; with `page`, `offset` and `cursor`, of each. Credentials belong into `auth`.
    #[serde(default)]
    pub query: IndexMap<String, Value>,
    /// The JSON that is sent with `POST`.
    #[serde(default)]
    pub body: Option<Value>,
    /// How the API knows who asks.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Where in the body of a page its records are, as a JSON pointer: `/data/items`. An array has a record in each
    /// element; an object is one record; null is none. Default: the whole body.
    #[serde(default)]
    pub records: String,
    /// What a page without anything at `records` means.
    #[serde(default)]
    pub on_missing_records: OnMissingRecords,
    /// How the next page is asked for. Default: there is only one.
    #[serde(default)]
    pub pagination: Option<Pagination>,
    /// How long to wait after the last page before the API is asked again: from the first page on, unless `follow` or
    /// `incremental` says otherwise. Default: it is read once, and then the pipeline is completed.
    #[serde(default)]
    pub poll_interval: Option<Millis>,
    /// Whether the last page is asked for again after `pollInterval`, and what was added to it and after it is read. For lists that only
    /// grow at their end.
    #[serde(default)]
    pub follow: bool,
    /// Ask only for what is new since the last poll.
    #[serde(default)]
    pub incremental: Option<Incremental>,
    /// Most requests per second. Default: as many as are answered, one at a time.
    #[serde(default)]
    pub requests_per_second: Option<f64>,
    /// How long an answer may take, its body included.
    #[serde(default = "one_minute")]
    pub request_timeout: Millis,
    /// Largest body of a page, in bytes, decompressed.
    #[serde(default = "thirty_two_mebibytes")]
    pub max_page_bytes: u64,
    /// Most pages without a record, one after the other, that name a next one.
    #[serde(default = "hundred")]
    pub max_empty_pages: u32,
    /// Certificates for TLS, where the address begins with `https`.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Asks by the URL alone.
    #[default]
    Get,
    /// Sends `body`, too.
    Post,
}

/// What a page without anything at `records` means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnMissingRecords {
    /// The pipeline fails, and says what the page has instead.
    #[default]
    Fail,
    /// The page has no records, as with APIs that leave out empty lists.
    Empty,
}

/// How the next page is asked for. A `parameter` is one of the URL, or, if it begins with `/`, the place in `body` (a JSON pointer).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", deny_unknown_fields, rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Pagination {
    /// By the number of the page. Without `more`, the first page without records is the end.
    Page {
        /// The parameter with the number.
        #[serde(default = "page")]
        parameter: String,
        /// The number of the first page.
        #[serde(default = "one")]
        first: u64,
        /// Where in the body stands whether there are more pages (JSON pointer): false, null, 0 or nothing at all ends the list.
        #[serde(default)]
        more: Option<String>,
    },
    /// By the number of records before the page. Without `more`, the first page without records is the end.
    Offset {
        /// The parameter with the number.
        #[serde(default = "offset")]
        parameter: String,
        /// Where in the body stands whether there are more pages (JSON pointer): false, null, 0 or nothing at all ends the list.
        #[serde(default)]
        more: Option<String>,
    },
    /// By a cursor that the page before has said. Give one of `next` and `field`.
    Cursor {
        /// The parameter with the cursor. The first request has none, unless `query` gives it.
        parameter: String,
        /// Where in the body the next cursor stands (JSON pointer): null, false, "" or nothing at all ends the list.
        #[serde(default)]
        next: Option<String>,
        /// Where in the last record the next cursor stands (JSON pointer), as with `starting_after` or `search_after`. Without
        /// `more`, the first page without records is the end.
        #[serde(default)]
        field: Option<String>,
        /// Where in the body stands whether there are more pages (JSON pointer): false, null, 0 or nothing at all ends the list.
        #[serde(default)]
        more: Option<String>,
    },
    /// By the address in the header `Link` with `rel="next"`; without one, the list has ended.
    Link {},
    /// By an address in the body.
    NextUrl {
        /// Where in the body the address stands (JSON pointer): null, "" or nothing at all ends the list.
        next: String,
    },
}

/// Asking only for what is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Incremental {
    /// The parameter that gets the greatest value so far: one of the URL, or, if it begins with `/`, the place in `body`.
    pub parameter: String,
    /// Where in each record the value stands (JSON pointer): a number, a time (RFC 3339), or a text that sorts as what it stands for
    /// does.
    pub field: String,
    /// The value of the first poll. Default: it asks without the parameter.
    #[serde(default)]
    pub start: Option<Value>,
    /// Whether the API also returns the records that have just this value. Those that were read already are then passed over; without,
    /// later records of the same value are never seen.
    #[serde(default = "yes")]
    pub inclusive: bool,
}

fn one_minute() -> Millis {
    Millis(60_000)
}
fn thirty_two_mebibytes() -> u64 {
    32 << 20
}
fn hundred() -> u32 {
    100
}
fn page() -> String {
    "page".into()
}
fn offset() -> String {
    "offset".into()
}
fn one() -> u64 {
    1
}
fn yes() -> bool {
    true
}

/// Without credentials, and without what may hold some.
impl std::fmt::Debug for RestSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestSource").field("records", &self.records).finish_non_exhaustive()
    }
}

impl Pagination {
    /// Its parameter and pointers, each with the name of its setting.
    fn parts(&self) -> (Option<&str>, Vec<(&'static str, &str)>) {
        match self {
            Self::Page { parameter, more, .. } | Self::Offset { parameter, more } => {
                (Some(parameter), more.iter().map(|pointer| ("more", pointer.as_str())).collect())
            }
            Self::Cursor { parameter, next, field, more } => {
                let all = [("next", next), ("field", field), ("more", more)];
                let given = all.into_iter().filter_map(|(name, pointer)| Some((name, pointer.as_deref()?)));
                (Some(parameter), given.collect())
            }
            Self::Link {} => (None, Vec::new()),
            Self::NextUrl { next } => (None, vec![("next", next)]),
        }
    }
}

impl RestSource {
    /// Whether its polls ask for other things than the polls before did, so that none can be repeated.
    pub(super) fn polls_anew(&self) -> bool {
        self.poll_interval.is_some() && !self.follow
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match url::address(&self.url) {
            Ok(at) if self.tls.is_some() && at.scheme() != "https" => {
                let problem = Problem::new("tls", "not-applicable", "the address does not begin with https://");
                problems.push(problem.fix("write https:// in `url`, or leave `tls` out"));
            }
            Ok(_) => {}
            Err(why) => problems.push(
                Problem::new("url", "invalid-value", why)
                    .fix("give it as https://host/path; a login belongs into `auth`"),
            ),
        }
        problems.extend(self.tls.iter().flat_map(|tls| tls.check("tls")));
        problems.extend(self.auth.iter().flat_map(Auth::check));
        self.check_request(&mut problems);
        self.check_pages(&mut problems);
        self.check_polls(&mut problems);
        if self.requests_per_second.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            problems.push(Problem::new("requestsPerSecond", "out-of-range", "must be greater than 0"));
        }
        if self.request_timeout.0 == 0 {
            problems.push(Problem::new("requestTimeout", "out-of-range", "must be more than 0"));
        }
        if !(1 << 10..=1 << 30).contains(&self.max_page_bytes) {
            let problem = Problem::new("maxPageBytes", "out-of-range", "must be from 1 KiB to 1 GiB");
            problems.push(problem.fix("leave it out: the default is 32 MiB"));
        }
        problems
    }

    fn check_request(&self, problems: &mut Vec<Problem>) {
        for (name, value) in &self.headers {
            let path = format!("headers.{name}");
            let sent = reqwest::header::HeaderName::try_from(name).is_ok()
                && reqwest::header::HeaderValue::try_from(value).is_ok();
            if !sent {
                let message = "has a character that no header can have";
                problems.push(Problem::new(path, "invalid-value", message).fix("correct it"));
            } else if is_credential(name) {
                problems.push(secret_elsewhere(path));
            }
        }
        for (name, value) in &self.query {
            let path = format!("query.{name}");
            match value {
                Value::String(text) if text.contains("${") => problems.push(secret_elsewhere(path)),
                Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
                _ => problems.push(
                    Problem::new(path, "invalid-value", "is neither a text, a number nor a truth value")
                        .fix("write it as the text that the URL has to have"),
                ),
            }
        }
        if self.body.is_some() && self.method == Method::Get {
            let problem = Problem::new("body", "not-applicable", "is not sent with GET");
            problems.push(problem.fix("set `method: POST`, or leave it out"));
        }
    }

    fn check_pages(&self, problems: &mut Vec<Problem>) {
        check_pointer("records", &self.records, problems);
        let Some(pagination) = &self.pagination else { return };
        let (parameter, pointers) = pagination.parts();
        if let Some(parameter) = parameter {
            self.check_parameter("pagination.parameter", parameter, problems);
        }
        for (name, pointer) in pointers {
            check_pointer(&format!("pagination.{name}"), pointer, problems);
        }
        match pagination {
            Pagination::Cursor { next: Some(_), field: Some(_), .. } => {
                let problem = Problem::new("pagination.field", "contradiction", "can't be given beside `next`");
                problems.push(problem.fix("give the one that the API says"));
            }
            Pagination::Cursor { next: None, field: None, .. } => {
                let problem = Problem::new("pagination.next", "missing-field", "is missing");
                problems.push(
                    problem
                        .fix("give `next`, the cursor's place in the body, or `field`, its place in the last record"),
                );
            }
            _ => {}
        }
    }

    fn check_polls(&self, problems: &mut Vec<Problem>) {
        if self.poll_interval.is_some_and(|interval| interval.0 == 0) {
            problems.push(Problem::new("pollInterval", "out-of-range", "must be more than 0"));
        }
        let mut needs_interval = |field: &str| {
            if self.poll_interval.is_none() {
                let problem = Problem::new("pollInterval", "missing-field", format!("is needed beside `{field}`"));
                problems.push(problem.fix("say how long to wait after the last page: `pollInterval: 1m`"));
            }
        };
        if self.follow {
            needs_interval("follow");
        } else if self.incremental.is_some() {
            needs_interval("incremental");
        }
        if self.follow && matches!(self.pagination, Some(Pagination::Page { .. })) {
            let message = "can't be combined with `pagination` by `page`: a page that is not full yet grows";
            problems.push(
                Problem::new("follow", "contradiction", message)
                    .fix("use `offset` or `cursor`, where the API has them, or `incremental`"),
            );
        }
        let Some(incremental) = &self.incremental else { return };
        if self.follow {
            let problem = Problem::new("follow", "contradiction", "can't be combined with `incremental`");
            problems.push(problem.fix("leave one of them out"));
        }
        self.check_parameter("incremental.parameter", &incremental.parameter, problems);
        check_pointer("incremental.field", &incremental.field, problems);
        if incremental.start.as_ref().is_some_and(|start| !matches!(start, Value::String(_) | Value::Number(_))) {
            let problem = Problem::new("incremental.start", "invalid-value", "is neither a text nor a number");
            problems.push(problem.fix("write it as the records have it"));
        }
    }

    fn check_parameter(&self, path: &str, parameter: &str, problems: &mut Vec<Problem>) {
        if parameter.is_empty() {
            problems.push(Problem::new(path, "invalid-value", "is empty").fix("name the parameter"));
        } else if parameter.starts_with('/') {
            check_pointer(path, parameter, problems);
            if self.method == Method::Get {
                let problem = Problem::new(path, "not-applicable", "is a place in `body`, which is not sent with GET");
                problems.push(problem.fix("set `method: POST`, or name a parameter of the URL"));
            } else if !self.body.as_ref().is_none_or(Value::is_object) {
                let problem = Problem::new(
                    "body",
                    "invalid-value",
                    format!("is no object, so that {parameter} has no place in it"),
                );
                problems.push(problem.fix("write the body as an object"));
            }
        }
    }
}

fn check_pointer(path: &str, text: &str, problems: &mut Vec<Problem>) {
    if let Err(why) = Pointer::parse(text) {
        let fix = format!(
            "write it as a JSON pointer: /{}",
            text.trim_start_matches('$').trim_matches('.').replace('.', "/")
        );
        problems.push(Problem::new(path, "invalid-value", why).fix(fix));
    }
}

/// Headers that hold credentials under any API.
fn is_credential(name: &str) -> bool {
    ["authorization", "proxy-authorization", "cookie"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn secret_elsewhere(path: String) -> Problem {
    Problem::new(path, "not-applicable", "credentials can't be given here")
        .fix("give them by `auth`: {type: apiKey, name: NAME, key: \"${env:KEY}\"}, with `in: query` for a parameter of the URL")
}
