//! Requests to the API.
use super::{
    auth::{Credentials, Issuer, header},
    failure,
    settings::{Method, RestSource},
    url,
};
use crate::blocking::blocking;
use bytes::Bytes;
use dataflow_sdk::{Error, Paths};
use dataflow_tls::{ClientConfig, Verify};
use reqwest::{
    Response, StatusCode, Url,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
        IF_NONE_MATCH, LOCATION, USER_AGENT,
    },
};
use serde::Deserialize;
use std::{io::Read, time::Duration};
use tokio::time::Instant;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// Proxies close connections that are idle for longer, and what is sent over them then is lost.
const IDLE: Duration = Duration::from_secs(20);
/// Most redirects of one request.
const REDIRECTS: usize = 5;
/// Largest answer with a token.
const TOKEN_BYTES: u64 = 1 << 20;
/// Largest part of an answer that was refused.
const REFUSAL_BYTES: u64 = 64 << 10;

/// The API.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    tls: ClientConfig,
    method: Method,
    headers: HeaderMap,
    credentials: Credentials,
    max_bytes: u64,
    /// The token that was issued last.
    token: Option<Token>,
}

#[derive(Debug)]
struct Token {
    value: HeaderValue,
    /// When to ask for the next one.
    until: Option<Instant>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) url: Url,
    pub(super) body: Option<String>,
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Who answered.
    pub(super) url: Url,
}

impl Client {
    /// `paths`: which files it may read.
    pub(super) fn new(config: &RestSource, paths: &Paths) -> Result<Self, Error> {
        let material = config.tls.as_ref().map(|tls| tls.read(paths)).transpose()?.unwrap_or_default();
        let https = |text: &str| text.starts_with("https:");
        let token_url = config.auth.as_ref().and_then(|auth| auth.token_url.as_deref());
        // Without TLS, authorities need not be known.
        let verify = if https(&config.url) || token_url.is_some_and(https) { Verify::Full } else { Verify::Nothing };
        let tls = material.client(verify)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .connect_timeout(CONNECT)
            .timeout(config.request_timeout.into())
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let http = http.map_err(|error| Error::fatal("internal", format!("no HTTP client can be made: {error}")))?;
        let mut headers = HeaderMap::from_iter([
            (USER_AGENT, HeaderValue::from_static(concat!("dataflow/", env!("CARGO_PKG_VERSION")))),
            (ACCEPT, HeaderValue::from_static("application/json")),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        ]);
        for (name, value) in &config.headers {
            let sent = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (name, value) =
                sent.ok_or_else(|| Error::fatal("bad-property", format!("the header {name} can't be sent")))?;
            headers.insert(name, value);
        }
        let credentials = Credentials::of(config.auth.as_ref())?;
        let method = config.method;
        Ok(Self { http, tls, method, headers, credentials, max_bytes: config.max_page_bytes, token: None })
    }

    /// The parameter of the URL that holds a secret.
    pub(super) fn secret_parameter(&self) -> Option<&str> {
        self.credentials.parameter()
    }

    /// Asks for a page, with a token that holds.
    pub(super) async fn ask(&mut self, request: &Request, etag: Option<&str>) -> Result<Answer, Error> {
        let answer = self.follow(request, etag).await?;
        // It may have been revoked, or the clocks differ: a new one settles it.
        if answer.status == StatusCode::UNAUTHORIZED && self.token.take().is_some() {
            return self.follow(request, etag).await;
        }
        Ok(answer)
    }

    async fn follow(&mut self, request: &Request, etag: Option<&str>) -> Result<Answer, Error> {
        let login = match &self.credentials {
            Credentials::Nothing | Credentials::Parameter(..) => None,
            Credentials::Header(name, value) => Some((name.clone(), value.clone())),
            Credentials::Issued(issuer) => {
                let is_over = |token: &Token| token.until.is_some_and(|until| until <= Instant::now());
                if self.token.as_ref().is_none_or(is_over) {
                    self.token = Some(self.issue(issuer).await?);
                }
                self.token.as_ref().map(|token| (AUTHORIZATION, token.value.clone()))
            }
        };
        let mut at = request.url.clone();
        for _ in 0..=REDIRECTS {
            let is_home = url::same_server(&at, &request.url);
            let sent = self.send(&at, is_home, login.as_ref(), request, etag).await;
            let response = match sent {
                Ok(response) => response,
                Err(error) => return Err(self.unanswered(&at, &error).await),
            };
            match self.redirect(&at, &response) {
                Some(to) => at = to,
                None => return self.answer(at, response).await.map(|answer| self.hiding_token(answer)),
            }
        }
        let message = format!("{} redirects more than {REDIRECTS} times", url::shown(&request.url));
        Err(Error::fatal("bad-property", message).fix("give `url` the address that answers itself"))
    }

    /// `is_home`: it is the server of the spec, which may see everything; another one sees the address alone.
    async fn send(
        &self,
        at: &Url,
        is_home: bool,
        login: Option<&(HeaderName, HeaderValue)>,
        request: &Request,
        etag: Option<&str>,
    ) -> Result<Response, reqwest::Error> {
        let mut target = at.clone();
        if let (true, Credentials::Parameter(name, value)) = (is_home, &self.credentials) {
            target = url::with(target, &[(name.clone(), value.clone())]);
        }
        let mut sent = match self.method {
            Method::Get => self.http.get(target),
            Method::Post => self.http.post(target),
        };
        if is_home {
            sent = sent.headers(self.headers.clone());
            if let Some((name, value)) = login {
                sent = sent.header(name, value.clone());
            }
            if let Some(etag) = etag {
                sent = sent.header(IF_NONE_MATCH, etag);
            }
        }
        if let Some(body) = &request.body {
            sent = sent.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        sent.send().await
    }

    /// Where an answer leads, if that may be followed: what is sent with POST goes to one address only.
    fn redirect(&self, at: &Url, response: &Response) -> Option<Url> {
        let status = response.status().as_u16();
        if self.method == Method::Post || ![301, 302, 303, 307, 308].contains(&status) {
            return None;
        }
        let to = at.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
        // The server may have put the key into it.
        let to = self.secret_parameter().map_or(to.clone(), |name| url::without(to, name));
        ["http", "https"].contains(&to.scheme()).then_some(to)
    }

    async fn answer(&self, at: Url, response: Response) -> Result<Answer, Error> {
        let (status, headers) = (response.status(), response.headers().clone());
        let most = if status.is_success() { self.max_bytes } else { REFUSAL_BYTES };
        let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
        let encoding = encoding.trim().to_ascii_lowercase();
        let body = match read(response, most).await {
            Ok(Some(body)) => body,
            Ok(None) if status.is_success() => return Err(too_large(&at, most)),
            Ok(None) => Bytes::new(),
            Err(error) => return Err(failure::unanswered(&at, &error)),
        };
        let body = match &*encoding {
            "identity" | "" => body,
            "gzip" | "x-gzip" => unpacked(&at, body, most, status).await?,
            _ if !status.is_success() => Bytes::new(),
            other => {
                let message =
                    format!("{} answered with the encoding {other:?}, though only gzip was asked for", url::shown(&at));
                return Err(Error::fatal("bad-data", message).fix("set `headers: {Accept-Encoding: identity}`"));
            }
        };
        Ok(Answer { status, headers, body, url: at })
    }

    /// A refusal is shown, and may repeat what was sent. Of the spec's own secrets whoever shows it knows; of a token nobody does.
    fn hiding_token(&self, answer: Answer) -> Answer {
        let token = self.token.as_ref().and_then(|token| token.value.to_str().ok()?.strip_prefix("Bearer "));
        match token {
            Some(token) if !answer.status.is_success() => {
                let body = String::from_utf8_lossy(&answer.body).replace(token, "***");
                Answer { body: body.into(), ..answer }
            }
            _ => answer,
        }
    }

    async fn issue(&self, issuer: &Issuer) -> Result<Token, Error> {
        #[derive(Deserialize)]
        struct Issued {
            access_token: String,
            #[serde(default)]
            expires_in: Option<serde_json::Value>,
        }
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&issuer.form).finish();
        let mut request = self.http.post(issuer.url.clone()).body(form);
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").header(ACCEPT, "application/json");
        if let Some(login) = &issuer.login {
            request = request.header(AUTHORIZATION, login.clone());
        }
        let asked = Instant::now();
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.unanswered(&issuer.url, &error).await),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read(response, TOKEN_BYTES).await.map_err(|error| failure::unanswered(&issuer.url, &error))?;
        let body = body.unwrap_or_default();
        let place = url::shown(&issuer.url);
        if !status.is_success() {
            let body = match issuer.login.as_ref().and_then(|login| login.to_str().ok()?.strip_prefix("Basic ")) {
                // It may repeat what was sent.
                Some(login) => String::from_utf8_lossy(&body).replace(login, "***").into(),
                None => body,
            };
            let answer = Answer { status, headers, body, url: issuer.url.clone() };
            let refused = failure::refused(&format!("a token from {place}"), &answer);
            // By the RFC, wrong credentials are answered 400, too.
            return Err(match refused {
                Error::Fatal { message, .. } => Error::fatal("login-failed", message)
                    .fix("correct `clientId`, `clientSecret`, `scope` or `clientAuth` in `auth`"),
                other => other,
            });
        }
        let unusable = |why: &str| {
            Error::fatal("login-failed", format!("{place} answered without a token that can be used: {why}"))
                .fix("give `tokenUrl` the address where the server issues tokens")
        };
        // What it says instead is not shown: it may be a token.
        let issued: Issued = serde_json::from_slice(&body).map_err(|_| unusable("there is no `access_token`"))?;
        let value =
            header(&format!("Bearer {}", issued.access_token)).map_err(|_| unusable("no header can hold it"))?;
        let seconds = issued.expires_in.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
        let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        // Before it expires: a request takes its time, too.
        let until = life.and_then(|life| asked.checked_add(life - (life / 10).min(Duration::from_secs(60))));
        Ok(Token { value, until })
    }

    /// With TLS 1.3, a server refuses a client's certificate after the handshake: it may look like a connection that was closed,
    /// until a handshake of our own waits for the reason.
    async fn unanswered(&self, at: &Url, error: &reqwest::Error) -> Error {
        let broken = failure::unanswered(at, error);
        let (Some(host), Some(port)) = (at.host_str(), at.port_or_known_default()) else { return broken };
        if broken.code() != "unavailable" || at.scheme() != "https" {
            return broken;
        }
        let (tls, host) = (self.tls.clone(), host.to_owned());
        match blocking("rest", move || Ok(dataflow_tls::probe(tls, &host, port, CONNECT))).await {
            Ok(Err(refused)) => dataflow_tls::failure(&url::shown(at), &refused).unwrap_or(broken),
            _ => broken,
        }
    }
}

/// A body of at most so many bytes; none: it is larger.
async fn read(mut response: Response, most: u64) -> Result<Option<Bytes>, reqwest::Error> {
    if response.content_length().is_some_and(|length| length > most) {
        return Ok(None);
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if (body.len() + piece.len()) as u64 > most {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body.into()))
}

async fn unpacked(at: &Url, packed: Bytes, most: u64, status: StatusCode) -> Result<Bytes, Error> {
    let place = url::shown(at);
    let read = blocking("rest", move || {
        let mut body = Vec::new();
        let read = flate2::read::MultiGzDecoder::new(&*packed).take(most + 1).read_to_end(&mut body);
        Ok(read.map(|_| Bytes::from(body)))
    });
    match read.await? {
        Ok(body) if body.len() as u64 <= most => Ok(body),
        _ if !status.is_success() => Ok(Bytes::new()),
        Ok(_) => Err(too_large(at, most)),
        Err(error) => {
            Err(Error::transient("bad-data", format!("{place} answered with gzip that can't be read: {error}"))
                .fix("if that goes on, set `headers: {Accept-Encoding: identity}`"))
        }
    }
}

fn too_large(at: &Url, most: u64) -> Error {
    Error::fatal("page-too-large", format!("a page of {} has more than {most} bytes", url::shown(at)))
        .fix("ask for fewer records a page, or raise `maxPageBytes`: so much memory is needed for each page")
}
