//! Tokens of an OpenID provider, for OAUTHBEARER: fetched by the client credentials of OAuth 2, as the library's own way needs
//! a library that it is not built with.
use dataflow_sdk::{Error, Problem};
use dataflow_tls::{Material, Tls, Verify};
use rdkafka::client::OAuthToken;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a token is taken to last if the provider does not say.
const LASTS: u64 = 300;
/// The most that is read of an answer.
const MOST_BYTES: usize = 64 << 10;

/// How to get a token from an OpenID provider.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OAuth {
    /// The provider's token endpoint: `https://login.example.com/realms/main/protocol/openid-connect/token`.
    #[schemars(extend("x-address" = "host"))]
    pub token_url: String,
    /// The id of the client.
    pub client_id: String,
    /// The client's secret.
    #[schemars(extend("x-secret" = true))]
    pub client_secret: String,
    /// The scope to ask for.
    #[serde(default)]
    pub scope: Option<String>,
    /// Certificates for the connection to the provider.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// Without the secret.
impl std::fmt::Debug for OAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OAuth").field("token_url", &self.token_url).finish_non_exhaustive()
    }
}

impl OAuth {
    /// What is wrong with these settings.
    pub(crate) fn check(&self) -> Vec<Problem> {
        let mut problems = self.tls.as_ref().map(|tls| tls.check("oauth.tls")).unwrap_or_default();
        let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
        let url = self.token_url.as_str();
        if reqwest::Url::parse(url).is_err() {
            let problem = Problem::new("oauth.tokenUrl", "invalid-value", "is no URL");
            problems.push(problem.fix("write the provider's token endpoint: https://host/path"));
        } else if !url.starts_with("https://") && !local.iter().any(|local| url.starts_with(local)) {
            let problem =
                Problem::new("oauth.tokenUrl", "invalid-value", "would send the client's secret in clear text");
            problems.push(problem.fix("use https"));
        }
        problems
    }
}

/// The last token, which is used until it is about to expire.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Option<(OAuthToken, u64)>>>);

/// Without the token.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

impl OAuth {
    /// A token for the login: the one that was kept, as long as it lasts.
    pub(crate) fn token(&self, kept: &Kept, provider: &Material) -> Result<OAuthToken, Error> {
        let mut kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = |token: &OAuthToken| OAuthToken {
            token: token.token.clone(),
            principal_name: token.principal_name.clone(),
            lifetime_ms: token.lifetime_ms,
        };
        if let Some((token, _)) = kept.as_ref().filter(|(_, until)| now() < *until) {
            return Ok(copy(token));
        }
        let (token, lasts) = fetch(self, provider)?;
        let lifetime_ms = i64::try_from((now() + lasts) * 1_000).unwrap_or(i64::MAX);
        let token = OAuthToken { token, principal_name: self.client_id.clone(), lifetime_ms };
        // The library asks for the next one when 80 % of its time is over.
        *kept = Some((copy(&token), now() + lasts * 3 / 4));
        Ok(token)
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
    error_description: Option<String>,
}

/// A token, and how many seconds it lasts. On a thread of its own: the caller may be one that must not wait for tasks.
fn fetch(oauth: &OAuth, material: &Material) -> Result<(String, u64), Error> {
    let broke = |why: String| Error::fatal("internal", format!("a token can't be asked for: {why}"));
    let tls = material.client(Verify::Full)?;
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| broke(error.to_string()))?.block_on(ask(oauth, tls))
        });
        asking.join().unwrap_or_else(|_| Err(broke("it broke off".into())))
    })
}

async fn ask(oauth: &OAuth, tls: dataflow_tls::ClientConfig) -> Result<(String, u64), Error> {
    let url = &oauth.token_url;
    let out_of_reach = |error: reqwest::Error| {
        let words = causes(&error);
        dataflow_tls::failure(&format!("the OpenID provider at {url}"), &error).unwrap_or_else(|| {
            Error::transient("unreachable", format!("the OpenID provider is out of reach at {url}: {words}"))
        })
    };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(out_of_reach)?;
    let mut body = "grant_type=client_credentials".to_owned();
    if let Some(scope) = &oauth.scope {
        body += &format!("&scope={}", encoded(scope));
    }
    let asked = client
        .post(url)
        .basic_auth(encoded(&oauth.client_id), Some(encoded(&oauth.client_secret)))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .body(body)
        .send()
        .await
        .map_err(out_of_reach)?;
    let status = asked.status();
    let mut answer = asked;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(out_of_reach)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST_BYTES {
            break;
        }
    }
    if status.is_server_error() || status.as_u16() == 429 {
        return Err(Error::transient("unavailable", format!("the OpenID provider at {url} answers {status}")));
    }
    if !status.is_success() {
        let why = serde_json::from_slice(&bytes).map_or_else(
            |_| String::new(),
            |Denied { error, error_description }| {
                format!(": {error}{}", error_description.map_or_else(String::new, |more| format!(" ({more})")))
            },
        );
        let message = format!("the OpenID provider at {url} gives no token, it answers {status}{why}");
        return Err(Error::fatal("login-failed", message)
            .fix("check `oauth.tokenUrl`, `oauth.clientId`, `oauth.clientSecret` and `oauth.scope`"));
    }
    let Ok(Granted { access_token, expires_in }) = serde_json::from_slice(&bytes) else {
        return Err(Error::fatal("login-failed", format!("the answer of {url} has no access_token"))
            .fix("check that `oauth.tokenUrl` is the token endpoint of an OpenID provider"));
    };
    Ok((access_token, expires_in.unwrap_or(LASTS)))
}

/// The causes of an error in words, without the URL that it may repeat.
fn causes(error: &reqwest::Error) -> String {
    let mut cause = std::error::Error::source(error);
    let mut words = Vec::new();
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    if words.is_empty() { "no answer".into() } else { words.join(": ") }
}

/// As in a form.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || "-._~".contains(c) => encoded.push(c),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
