//! Classifies what went wrong with a request as a whole.
use super::{client::Answer, verdict};
use dataflow_sdk::Error;
use reqwest::StatusCode;
use std::error::Error as _;

/// What the server says of a request that it did not do.
pub(super) fn refused(what: &str, answer: &Answer) -> Error {
    let Answer { status, server, .. } = answer;
    let words = verdict::words(&answer.body);
    let message = format!("{what} was refused by {server}: {status}: {words}");
    match *status {
        StatusCode::UNAUTHORIZED => Error::fatal("login-failed", message).fix(
            "correct `user` and `password`, or `apiKey`: in the sink, or in the connection of the node's settings",
        ),
        StatusCode::FORBIDDEN if words.contains("cluster_block") => blocked(message),
        StatusCode::FORBIDDEN => denied(message),
        StatusCode::TOO_MANY_REQUESTS => Error::transient("busy", message),
        StatusCode::REQUEST_TIMEOUT => Error::transient("timed-out", message),
        status if status.is_server_error() => Error::transient("unavailable", message),
        status if status.is_redirection() => {
            Error::fatal("bad-property", message).fix("give `url` the address that answers itself, without a redirect")
        }
        _ => Error::fatal("elasticsearch", message),
    }
}

/// A login that may not do what it must.
pub(super) fn denied(message: String) -> Error {
    Error::fatal("access-denied", message).fix(
        "grant this login `monitor` on the cluster, and on the index `read`, `index`, `delete`, `view_index_metadata` and, if the sink is \
         to create it, `create_index` (`auto_configure` where the server does)",
    )
}

/// An index that accepts no writes until somebody, or the server itself, removes its block.
pub(super) fn blocked(message: String) -> Error {
    let index =
        message.split_once("index [").and_then(|(_, rest)| rest.split_once(']')).map_or("INDEX", |(name, _)| name);
    // The number of that block; its words have changed over time.
    let fix = match message.contains("/12/") {
        true => {
            "free disk space on the servers, or add some: they then remove the block themselves (Elasticsearch before 7.4: set \
             index.blocks.read_only_allow_delete to null)"
                .to_owned()
        }
        false => format!(
            "remove the block: PUT /{index}/_settings {{\"index.blocks.write\": null, \"index.blocks.read_only\": null}}"
        ),
    };
    Error::transient("index-blocked", message).fix(fix)
}

/// A server that can't be reached: nothing was sent.
pub(super) fn unreachable(server: &str, error: &reqwest::Error) -> Error {
    dataflow_tls::failure(server, error)
        .unwrap_or_else(|| Error::transient("unreachable", format!("can't connect to {server}: {}", root(error))))
}

/// A request whose outcome is not known.
pub(super) fn unanswered(server: &str, error: &reqwest::Error) -> Error {
    if let Some(failure) = dataflow_tls::failure(server, error) {
        return failure;
    }
    if error.is_timeout() {
        return Error::transient("timed-out", format!("{server} did not answer within requestTimeout"))
            .fix("raise `requestTimeout`, or lower `maxRequestBytes`");
    }
    Error::transient("unavailable", format!("{server} broke off before it answered: {}", root(error)))
}

/// The innermost cause: those around it name the request again.
fn root(error: &reqwest::Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}
