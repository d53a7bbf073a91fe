//! What went wrong with a request.
use super::{client::Answer, url};
use dataflow_sdk::Error;
use reqwest::{StatusCode, Url};
use std::error::Error as _;

/// Most bytes of an answer that an error shows.
const SHOWN: usize = 300;

/// What the API says of a request that it did not do. `page`: which one was asked for.
pub(super) fn refused(page: &str, answer: &Answer) -> Error {
    let status = answer.status;
    let message = format!("{page} was refused: {status}: {}", words(&answer.body));
    match status {
        StatusCode::UNAUTHORIZED => Error::fatal("login-failed", message).fix("correct the credentials in `auth`"),
        StatusCode::FORBIDDEN => {
            Error::fatal("access-denied", message).fix("grant these credentials the right to read it")
        }
        StatusCode::TOO_MANY_REQUESTS => Error::transient("busy", message)
            .fix("if that goes on, set `requestsPerSecond` to what the API allows"),
        StatusCode::ACCEPTED => Error::transient("unavailable", message),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Error::transient("timed-out", message),
        status if status.is_server_error() => Error::transient("unavailable", message),
        StatusCode::NOT_FOUND => Error::fatal("not-found", message).fix("correct `url`, or what names the page"),
        status if status.is_redirection() => Error::fatal("bad-property", message)
            .fix("give `url` the address that answers itself; only GET follows redirects, five at most"),
        _ => Error::fatal("request-refused", message)
            .fix("correct what is asked for: `url`, `query`, `body`, `pagination`, `incremental`; if the checkpoint names a cursor that the API has forgotten, reset it to the beginning"),
    }
}

/// The beginning of what the API says.
pub(super) fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    let text: Vec<&str> = text.split_whitespace().collect();
    match text.is_empty() {
        true => "it says nothing more".into(),
        false => text.join(" ") + if body.len() > SHOWN { " …" } else { "" },
    }
}

/// A request that got no answer.
pub(super) fn unanswered(at: &Url, error: &reqwest::Error) -> Error {
    let server = url::shown(at);
    if let Some(failure) = dataflow_tls::failure(&server, error) {
        return failure;
    }
    if error.is_timeout() && !error.is_connect() {
        return Error::transient("timed-out", format!("{server} did not answer within requestTimeout"))
            .fix("raise `requestTimeout`, or ask for smaller pages");
    }
    let root = root(error);
    match error.is_connect() {
        true => Error::transient("unreachable", format!("can't connect to {server}: {root}")),
        false => Error::transient("unavailable", format!("{server} broke off before it had answered: {root}")),
    }
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
