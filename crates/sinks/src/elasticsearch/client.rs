//! Requests to the cluster.
use super::{ElasticsearchSink, failure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dataflow_sdk::{Error, Paths};
use dataflow_tls::{ClientConfig, Verify};
use reqwest::{
    Method, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// Proxies close connections that are idle for longer, and what is sent over them then is lost.
const IDLE: Duration = Duration::from_secs(20);

/// The cluster.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    tls: ClientConfig,
    urls: Vec<Url>,
    /// The one that answered last.
    at: AtomicUsize,
    login: Option<HeaderValue>,
    gzip: bool,
}

/// What is sent with a request.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Nothing,
    Json(String),
    /// Actions of a bulk request.
    Lines(Bytes),
}

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// Who answered.
    pub(super) server: String,
}

/// An address that can be used.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{:?} is no address: {error}", without_login(text)))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(format!("{:?} does not begin with http:// or https://", without_login(text))),
    }
}

fn without_login(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

/// An address as users are shown it: without a login.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let (scheme, host, path) = (url.scheme(), url.host_str().unwrap_or_default(), url.path().trim_end_matches('/'));
    format!("{scheme}://{host}{port}{path}")
}

impl Client {
    /// `paths`: which files it may read.
    pub(super) fn new(config: &ElasticsearchSink, paths: &Paths) -> Result<Self, Error> {
        let material = config.tls.as_ref().map(|tls| tls.read(paths)).transpose()?.unwrap_or_default();
        // Without TLS, authorities need not be known.
        let verify = if config.speaks_tls() { Verify::Full } else { Verify::Nothing };
        let tls = material.client(verify)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .connect_timeout(CONNECT)
            .timeout(config.request_timeout.into())
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let http = http.map_err(|error| Error::fatal("internal", format!("no HTTP client can be made: {error}")))?;
        let login = match (&config.user, &config.password, &config.api_key) {
            (Some(user), Some(password), _) => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            }
            (_, _, Some(key)) if key.contains(':') => Some(format!("ApiKey {}", BASE64_STANDARD.encode(key))),
            (_, _, Some(key)) => Some(format!("ApiKey {key}")),
            _ => None,
        };
        let login = login.map(|login| {
            let mut login = HeaderValue::try_from(login)
                .map_err(|_| Error::fatal("bad-property", "the login has a character that no header can have"))?;
            login.set_sensitive(true);
            Ok::<_, Error>(login)
        });
        Ok(Self {
            http,
            tls,
            urls: config.urls(),
            at: AtomicUsize::new(0),
            login: login.transpose()?,
            gzip: config.gzip,
        })
    }

    /// How users call the cluster.
    pub(super) fn name(&self) -> String {
        self.urls.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    /// Asks the address that answered last, or the next one that can be reached.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Answer, Error> {
        let first = self.at.load(Ordering::Relaxed);
        let body = self.encoded(body).await?;
        let mut failed = None;
        for number in (first..first + self.urls.len()).map(|number| number % self.urls.len()) {
            let base = &self.urls[number];
            match self.send(base, method.clone(), path, body.clone()).await {
                Ok(answer) => {
                    self.at.store(number, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if error.is_connect() => failed = Some(failure::unreachable(&shown(base), &error)),
                Err(error) => return Err(self.unanswered(base, &error).await),
            }
        }
        Err(failed.unwrap_or_else(|| Error::fatal("bad-property", "no address of the cluster is known")))
    }

    /// With TLS 1.3, a server refuses a client's certificate after the handshake: it may look like a connection that was closed,
    /// until a handshake of our own waits for the reason.
    async fn unanswered(&self, base: &Url, error: &reqwest::Error) -> Error {
        let broken = failure::unanswered(&shown(base), error);
        let (Some(host), Some(port)) = (base.host_str(), base.port_or_known_default()) else { return broken };
        if broken.code() != "unavailable" || base.scheme() != "https" {
            return broken;
        }
        let (tls, host) = (self.tls.clone(), host.to_owned());
        match crate::blocking::run(move || dataflow_tls::probe(tls, &host, port, CONNECT)).await {
            Ok(Err(refused)) => dataflow_tls::failure(&shown(base), &refused).unwrap_or(broken),
            _ => broken,
        }
    }

    async fn send(
        &self,
        base: &Url,
        method: Method,
        path: &str,
        (kind, gzip, body): (Option<&'static str>, bool, Bytes),
    ) -> Result<Answer, reqwest::Error> {
        let mut url = base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
        url.set_query(query);
        let mut request = self.http.request(method, url);
        if let Some(login) = &self.login {
            request = request.header(AUTHORIZATION, login.clone());
        }
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        if gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let answer = request.send().await?;
        let status = answer.status();
        Ok(Answer { status, body: answer.bytes().await?, server: shown(base) })
    }

    async fn encoded(&self, body: Body) -> Result<(Option<&'static str>, bool, Bytes), Error> {
        Ok(match body {
            Body::Nothing => (None, false, Bytes::new()),
            Body::Json(text) => (Some("application/json"), false, text.into()),
            Body::Lines(lines) if self.gzip => (Some("application/x-ndjson"), true, compressed(lines).await?),
            Body::Lines(lines) => (Some("application/x-ndjson"), false, lines),
        })
    }
}

async fn compressed(lines: Bytes) -> Result<Bytes, Error> {
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;
    let compress = move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::fast());
        encoder.write_all(&lines).and_then(|()| encoder.finish())
    };
    let done = crate::blocking::run(compress).await?;
    done.map(Bytes::from).map_err(|error| Error::fatal("internal", format!("a request can't be compressed: {error}")))
}

impl Answer {
    /// Its JSON.
    pub(super) fn json<'a, T: serde::Deserialize<'a>>(&'a self, what: &str) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let message =
                format!("{} answered {what} with something that is not from Elasticsearch: {error}", self.server);
            Error::fatal("bad-data", message).fix("give `url` the address of Elasticsearch or OpenSearch itself")
        })
    }

    /// The answer, if what was asked for was done.
    pub(super) fn done(self, what: &str) -> Result<Self, Error> {
        if self.status.is_success() { Ok(self) } else { Err(failure::refused(what, &self)) }
    }
}
