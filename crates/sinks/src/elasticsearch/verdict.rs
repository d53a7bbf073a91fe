//! What the server says of each action of a bulk request. Its errors are known by their types, which differ between
//! Elasticsearch and OpenSearch: the same status is given for faults of the document and for those of the index.
use super::{client::Answer, failure};
use dataflow_sdk::{Error, audit::shown};
use serde::Deserialize;
use serde_json::Value;

/// What the causes of dead letters begin with that the server has refused.
pub(super) const REFUSED: &str = "refused by the server: ";

/// The id of an index that there is not.
const NO_INDEX: &str = "_na_";

/// What became of an action.
#[derive(Debug)]
pub(super) enum Verdict {
    Done,
    /// The document has this greater version; none: the server does not say which.
    Stale(Option<u64>),
    /// It can never be applied.
    Refused(String),
    /// It may be applied later.
    Busy(String),
    /// Nothing can be applied until something changes.
    Stop(Error),
}

/// Faults of an index that come with the types of all kinds of faults, and with these words: where they begin with what a record
/// may say, it could stop the pipeline. With what to do.
const OF_AN_INDEX: [(&str, &str, &str); 5] = [
    (
        "no write index is defined for alias [",
        "unsupported",
        "name an index, or an alias with one index that is written to",
    ),
    (
        "only write ops with an op_type of create are allowed in data streams",
        "unsupported",
        "name an index: a data stream keeps no document by its id, so that records written again would be doubled",
    ),
    ("this action would add [", "index-refused", "raise cluster.max_shards_per_node, or delete indices"),
    ("pipeline with id [", "index-refused", "create that ingest pipeline, or take it out of the index's settings"),
    (
        "routing is required for [",
        "unsupported",
        "write to an index whose mapping does not require routing (`_routing`)",
    ),
];

/// The answer to an action.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Item {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    error: Option<Fault>,
}

#[derive(Debug, Default, Deserialize)]
struct Fault {
    #[serde(rename = "type", default)]
    ty: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    index: Option<String>,
    #[serde(default)]
    index_uuid: Option<String>,
    #[serde(default)]
    caused_by: Option<Box<Fault>>,
}

impl Item {
    pub(super) fn judge(&self) -> Verdict {
        let Some(fault) = &self.error else {
            // A document that is to be deleted and isn't there has this status, and no error.
            return match self.status {
                200..=299 | 404 => Verdict::Done,
                status => Verdict::Busy(format!("status {status} without a reason")),
            };
        };
        fault.judge(self.status)
    }

    /// The id of the index that has refused it.
    pub(super) fn index_id(&self) -> Option<&str> {
        self.error.as_ref()?.index_uuid.as_deref().filter(|id| *id != NO_INDEX)
    }
}

impl Fault {
    /// The server's own words.
    fn words(&self) -> String {
        let mut text = self.ty.clone();
        let mut next = Some(self);
        while let Some(fault) = next {
            if let Some(reason) = fault.reason.as_deref().filter(|reason| !text.contains(reason)) {
                text = format!("{text}: {reason}");
            }
            next = fault.caused_by.as_deref();
        }
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        shown(lines.join(" ").as_bytes())
    }

    fn judge(&self, status: u16) -> Verdict {
        let words = || self.words();
        let index = self.index.as_deref().unwrap_or("the index");
        match (self.ty.as_str(), status) {
            ("version_conflict_engine_exception", _) => {
                Verdict::Stale(self.reason.as_deref().and_then(current_version))
            }
            ("cluster_block_exception" | "index_create_block_exception", _) => Verdict::Stop(failure::blocked(words())),
            ("index_closed_exception", _) => Verdict::Stop(
                Error::transient("index-closed", format!("index {index} is closed"))
                    .fix(format!("open it: POST /{index}/_open")),
            ),
            // It was there before.
            ("index_not_found_exception", _) => Verdict::Stop(Error::transient("index-missing", words())),
            ("security_exception" | "authorization_exception", _) => Verdict::Stop(failure::denied(words())),
            ("illegal_argument_exception" | "validation_exception" | "routing_missing_exception", _)
                if let Some((_, code, fix)) = self.of_an_index() =>
            {
                Verdict::Stop(Error::fatal(code, words()).fix(*fix))
            }
            // These have the status of faults of a document: a shard that moves, or an index that another lane has just created.
            (
                "shard_not_found_exception"
                | "index_shard_closed_exception"
                | "illegal_index_shard_state_exception"
                | "resource_already_exists_exception",
                _,
            )
            | (_, 408 | 429 | 500..=599) => Verdict::Busy(words()),
            (_, 400 | 413) => Verdict::Refused(format!("{REFUSED}{}", words())),
            _ => Verdict::Stop(Error::fatal("elasticsearch", words()).fix("see the text")),
        }
    }

    fn of_an_index(&self) -> Option<&'static (&'static str, &'static str, &'static str)> {
        let reason = self.reason.as_deref()?;
        let reason = reason.strip_prefix("Validation Failed: 1: ").unwrap_or(reason);
        OF_AN_INDEX.iter().find(|(words, ..)| reason.starts_with(words))
    }
}

/// The version in "… current version [7] is higher than the one provided [6]".
fn current_version(reason: &str) -> Option<u64> {
    reason.split_once("current version [")?.1.split_once(']')?.0.parse().ok()
}

/// The body of a refusal.
#[derive(Deserialize)]
struct Refusal {
    error: Value,
}

/// What the body of a refusal says, in the server's own words.
pub(super) fn words(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(Refusal { error: Value::String(text) }) => text,
        Ok(Refusal { error }) => serde_json::from_value::<Fault>(error).unwrap_or_default().words(),
        Err(_) => shown(body),
    }
}

/// What a refusal means, if it is of one action.
pub(super) fn of_refusal(answer: &Answer) -> Verdict {
    let said = serde_json::from_slice(&answer.body).ok();
    let fault = said.and_then(|Refusal { error }| serde_json::from_value::<Fault>(error).ok());
    fault.unwrap_or_default().judge(answer.status.as_u16())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn judged(status: u16, ty: &str, reason: &str) -> String {
        let item = json!({"status": status, "error": {"type": ty, "reason": reason, "index": "i"}});
        match serde_json::from_value::<Item>(item).unwrap().judge() {
            Verdict::Done => "done".into(),
            Verdict::Stale(version) => format!("stale {version:?}"),
            Verdict::Refused(_) => "refused".into(),
            Verdict::Busy(_) => "busy".into(),
            Verdict::Stop(error) => error.code().into(),
        }
    }

    #[test]
    fn the_words_are_the_servers_and_on_one_line() {
        let body = json!({"error": {"type": "t", "reason": "a\n at b", "caused_by": {"type": "u", "reason": "c"}}, "status": 400});
        assert_eq!(words(body.to_string().as_bytes()), "t: a at b: c");
        assert_eq!(words(br#"{"error":"text","status":405}"#), "text");
        assert_eq!(words(b"<html>no</html>"), "<html>no</html>");
    }

    #[test]
    fn faults_are_known_by_their_type() {
        for (status, ty, reason, verdict) in [
            (400, "mapper_parsing_exception", "failed to parse", "refused"),
            (400, "document_parsing_exception", "failed to parse", "refused"),
            (400, "strict_dynamic_mapping_exception", "dynamic introduction of [x] is not allowed", "refused"),
            (400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", "refused"),
            (400, "illegal_argument_exception", "mapper [a] cannot be changed from type [long] to [text]", "refused"),
            (400, "illegal_argument_exception", "no write index is defined for alias [a]", "unsupported"),
            (
                400,
                "illegal_argument_exception",
                "only write ops with an op_type of create are allowed in data streams",
                "unsupported",
            ),
            (400, "illegal_argument_exception", "pipeline with id [p] does not exist", "index-refused"),
            (
                400,
                "validation_exception",
                "Validation Failed: 1: this action would add [2] total shards, but this cluster has [1000]/[1000] maximum shards open;",
                "index-refused",
            ),
            // What a record says is not taken for the server's words.
            (400, "illegal_argument_exception", "mapper [pipeline with id [] cannot be changed", "refused"),
            (400, "document_parsing_exception", "Cannot write to a field alias [a].", "refused"),
            (400, "index_closed_exception", "closed", "index-closed"),
            (403, "cluster_block_exception", "index [i] blocked by: [FORBIDDEN/8/index write (api)];", "index-blocked"),
            (429, "cluster_block_exception", "disk usage exceeded flood-stage watermark", "index-blocked"),
            (404, "index_not_found_exception", "no such index", "index-missing"),
            (403, "security_exception", "action is unauthorized", "access-denied"),
            (429, "es_rejected_execution_exception", "rejected", "busy"),
            (429, "rejected_execution_exception", "rejected", "busy"),
            (503, "unavailable_shards_exception", "primary shard is not active", "busy"),
            (404, "shard_not_found_exception", "no such shard", "busy"),
            (400, "resource_already_exists_exception", "index [i] already exists", "busy"),
            (500, "some_new_exception", "?", "busy"),
            (418, "some_new_exception", "?", "elasticsearch"),
            (
                409,
                "version_conflict_engine_exception",
                "[1]: version conflict, current version [7] is higher than the one provided [6]",
                "stale Some(7)",
            ),
            (409, "version_conflict_engine_exception", "no number", "stale None"),
        ] {
            assert_eq!(judged(status, ty, reason), verdict, "{ty}: {reason}");
        }
    }
}
