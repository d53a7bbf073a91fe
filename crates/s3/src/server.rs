//! The address of a server of objects.
use dataflow_sdk::Problem;
use dataflow_tls::Tls;

/// What is wrong with an endpoint, and what is said of how to reach it.
pub fn check(endpoint: Option<&str>, allow_http: bool, tls: Option<&Tls>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(endpoint) = endpoint {
        let is_http = endpoint.starts_with("http://");
        if !is_http && !endpoint.starts_with("https://") {
            let message = format!("{endpoint:?} is not a URL that begins with https:// or http://");
            problems.push(Problem::new("endpoint", "invalid-value", message));
        } else if is_http && !allow_http {
            let problem = Problem::new("endpoint", "contradiction", "http:// sends records without encryption");
            problems.push(problem.fix("use https://, or set allowHttp: true"));
        }
    }
    if let Some(tls) = tls {
        problems.extend(tls.check("tls"));
        if !speaks_tls(endpoint) {
            let problem = Problem::new("tls", "not-applicable", "the endpoint is http://, without TLS");
            problems.push(problem.fix("write https:// in `endpoint`, or leave `tls` out"));
        }
    }
    problems
}

/// Whether TLS is spoken: without an endpoint, the provider's own is meant.
pub fn speaks_tls(endpoint: Option<&str>) -> bool {
    endpoint.is_none_or(|endpoint| endpoint.starts_with("https://"))
}
