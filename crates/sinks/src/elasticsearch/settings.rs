//! The settings of the sink.
use super::{client, pattern::Pattern};
use dataflow_core::spec::Millis;
use dataflow_sdk::Problem;
use dataflow_tls::Tls;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Writes documents to Elasticsearch (7 or later) or OpenSearch, one for each key.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ElasticsearchSink {
    /// Addresses of the cluster, as a list or separated by commas: `https://host:9200`. If one is out of reach, the next is
    /// used. Usually from the node's connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-address" = true))]
    pub url: Option<Urls>,
    /// The index, or an alias with one index that is written to. What stands in braces is an expression over the output record:
    /// `logs-{to_char(ts, 'YYYY.MM.DD')}`.
    pub index: String,
    /// The id of each document: an expression over the output record, whose value is written as text. Default: the id that
    /// the record has of its own: its key in Kafka, otherwise its place there; the `id` of a pushed record. Where a record of another
    /// source was read is no such id: `meta.id` takes it all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What becomes of the document: an expression over the output record. It is deleted if the value is `delete` or `d`, and
    /// written if it is null, `index`, `upsert`, `create`, `insert`, `update`, `read`, `c`, `i`, `u` or `r`. Records without data
    /// (tombstones) are deletes in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// The user name of the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-secret" = true))]
    pub password: Option<String>,
    /// An API key, instead of a user: as the server gives it (`encoded`), or `id:api_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-secret" = true))]
    pub api_key: Option<String>,
    /// Certificates for TLS, where the address begins with `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Whether requests are compressed.
    #[serde(default)]
    pub gzip: bool,
    /// Whether a commit counts only once searches find its documents (`refresh=wait_for`): each commit then takes as long as
    /// the index's `refresh_interval`.
    #[serde(default)]
    pub refresh: bool,
    /// Most bytes of a request; a larger document is sent by itself.
    #[serde(default = "eight_mebibytes")]
    pub max_request_bytes: u64,
    /// How long the server may take to answer.
    #[serde(default = "one_minute")]
    pub request_timeout: Millis,
    /// How a missing index is created; with an `index` that has expressions, each before it is first written to. Default: as the
    /// server creates indices (`action.auto_create_index`, its templates).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_index: Option<CreateIndex>,
}

/// Addresses: one text or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Urls {
    /// `"http://a:9200,http://b:9200"`
    Text(String),
    /// `["http://a:9200", "http://b:9200"]`
    List(Vec<String>),
}

/// How an index is created, in the server's own terms.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CreateIndex {
    /// Its settings: `{"number_of_shards": 3}`.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Its mappings: `{"properties": {"total": {"type": "double"}}}`.
    #[serde(default)]
    pub mappings: Map<String, Value>,
}

fn eight_mebibytes() -> u64 {
    8 << 20
}
fn one_minute() -> Millis {
    Millis(60_000)
}

/// Without the login.
impl std::fmt::Debug for ElasticsearchSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ElasticsearchSink").field("index", &self.index).finish_non_exhaustive()
    }
}

impl ElasticsearchSink {
    /// The addresses, as far as they are any.
    pub(super) fn urls(&self) -> Vec<Url> {
        self.addresses().into_iter().filter_map(|text| client::address(text).ok()).collect()
    }

    fn addresses(&self) -> Vec<&str> {
        let all: Vec<&str> = match &self.url {
            None => Vec::new(),
            Some(Urls::Text(text)) => text.split(',').collect(),
            Some(Urls::List(list)) => list.iter().map(String::as_str).collect(),
        };
        all.into_iter().map(str::trim).filter(|text| !text.is_empty()).collect()
    }

    /// Whether one of its addresses is reached over TLS.
    pub(super) fn speaks_tls(&self) -> bool {
        self.urls().iter().any(|url| url.scheme() == "https")
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.addresses().is_empty() {
            let problem = Problem::new("url", "missing-field", "is required");
            problems.push(problem.fix("give the address of the cluster: http://host:9200"));
        }
        for text in self.addresses() {
            if let Err(why) = client::address(text) {
                problems.push(Problem::new("url", "invalid-value", why).fix("give it as http://host:9200"));
            }
        }
        problems.extend(Pattern::parse(&self.index).and_then(|pattern| pattern.check()).err());
        if let Some(tls) = &self.tls {
            problems.extend(tls.check("tls"));
            if !self.speaks_tls() && problems.is_empty() {
                let problem = Problem::new("tls", "not-applicable", "no address begins with https://");
                problems.push(problem.fix("write https:// in `url`, or leave `tls` out"));
            }
        }
        let alone = |field: &str, other: &str| {
            Problem::new(field, "missing-field", format!("is needed beside `{other}`"))
                .fix(format!("give both, or leave `{other}` out"))
        };
        match (&self.user, &self.password) {
            (Some(_), None) => problems.push(alone("password", "user")),
            (None, Some(_)) => problems.push(alone("user", "password")),
            _ => {}
        }
        if self.api_key.is_some() && self.user.is_some() {
            let problem = Problem::new("apiKey", "contradiction", "can't be used with `user`");
            problems.push(problem.fix("leave one of them out"));
        }
        if !(1 << 10..=2_000 << 20).contains(&self.max_request_bytes) {
            let problem = Problem::new("maxRequestBytes", "out-of-range", "must be from 1 KiB to 2,000 MiB");
            problems.push(problem.fix("leave it out: the default is 8 MiB"));
        }
        if self.request_timeout.0 == 0 {
            problems.push(Problem::new("requestTimeout", "out-of-range", "must be more than 0"));
        }
        problems
    }
}
