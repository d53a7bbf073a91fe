//! Limits calls without authentication to the node's own machine, even through a browser.
//!
//! A page from elsewhere can have its own name resolve to 127.0.0.1 and then talk to the node as if it were its own
//! server (DNS rebinding); such a request bears the page's name in `Host`. And it can send simple requests to any
//! address; such a request bears the page's origin in `Origin`. Both are refused.
use crate::error::Error;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc};

/// The names by which a node may be called: loopback addresses, `localhost`, and these.
#[derive(Clone, Debug)]
pub struct Hosts(Arc<Vec<String>>);

impl Hosts {
    /// Loopback addresses, `localhost`, and these names.
    pub fn loopback(more: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(more.into_iter().map(|name| name.to_ascii_lowercase()).collect()))
    }

    fn allow(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let host = host.trim_end_matches('.');
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost"
            || host.ends_with(".localhost")
            || address.is_ok_and(|address| address.is_loopback())
            || self.named(host)
    }

    fn named(&self, host: &str) -> bool {
        self.0.iter().any(|name| name == host)
    }
}

/// `name` of `name:port`.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.chars().all(|c| c.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => authority,
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Refuses what no client on this machine would send.
pub(crate) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    // Two would let each reader on the way believe another one.
    let count = request.headers().get_all(header::HOST).iter().count();
    if count > 1 || count == 0 && request.version() == Version::HTTP_11 {
        return Error::bad_host(count).into_response();
    }
    let authority = request.uri().authority().map(ToString::to_string);
    let host = text(request.headers(), header::HOST);
    for name in host.iter().chain(&authority) {
        if !hosts.allow(without_port(name)) {
            return Error::host_not_allowed(name).into_response();
        }
    }
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !harmless && let Some(origin) = text(request.headers(), header::ORIGIN) {
        let from = origin.split_once("://").map_or(origin.as_str(), |(_, authority)| authority);
        let own = host.or(authority).is_some_and(|own| own.eq_ignore_ascii_case(from));
        if !own && !hosts.named(without_port(from)) {
            return Error::origin_not_allowed(&origin).into_response();
        }
    }
    next.run(request).await
}
