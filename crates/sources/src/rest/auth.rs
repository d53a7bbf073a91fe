//! How the API knows who asks.
use super::url;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use dataflow_sdk::{Error, Problem};
use indexmap::IndexMap;
use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Credentials, and where they are sent. They are sent to the host of `url` alone (those of `oauth2` to `tokenUrl`).
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Auth {
    /// The way in which the API takes them.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// `basic`: the user name.
    #[serde(default)]
    pub user: Option<String>,
    /// `basic`: the user's password.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub password: Option<String>,
    /// `bearer`: the token.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub token: Option<String>,
    /// `apiKey`: the name of the header or parameter that holds the key.
    #[serde(default)]
    pub name: Option<String>,
    /// `apiKey`: where the key is sent.
    #[serde(default, rename = "in")]
    pub place: Place,
    /// `apiKey`: the key, with whatever the API wants before it.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub key: Option<String>,
    /// `oauth2`: where tokens are issued for client credentials.
    #[serde(default)]
    #[schemars(extend("x-address" = "host"))]
    pub token_url: Option<String>,
    /// `oauth2`: the client.
    #[serde(default)]
    pub client_id: Option<String>,
    /// `oauth2`: the client's secret.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub client_secret: Option<String>,
    /// `oauth2`: the scopes to ask for, separated by blanks.
    #[serde(default)]
    pub scope: Option<String>,
    /// `oauth2`: more fields of the request for a token, such as `audience`.
    #[serde(default)]
    pub parameters: IndexMap<String, String>,
    /// `oauth2`: how the client and its secret are sent.
    #[serde(default)]
    pub client_auth: ClientAuth,
}

/// The way in which an API takes credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// `user` and `password` (RFC 7617).
    Basic,
    /// A `token` that does not change (RFC 6750).
    Bearer,
    /// A `key` in the header or parameter `name`.
    ApiKey,
    /// Tokens issued at `tokenUrl` for `clientId` and `clientSecret`, and anew before they expire.
    Oauth2,
}

/// Where a key is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In a header.
    #[default]
    Header,
    /// In a parameter of the URL. Servers like to log these.
    Query,
}

/// How a client and its secret are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// As a login (RFC 6749, 2.3.1).
    #[default]
    Basic,
    /// As fields of the request.
    Body,
}

/// Without credentials.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Auth {
    pub(super) fn check(&self) -> Vec<Problem> {
        let given = [
            ("user", self.user.is_some(), Kind::Basic, true),
            ("password", self.password.is_some(), Kind::Basic, true),
            ("token", self.token.is_some(), Kind::Bearer, true),
            ("name", self.name.is_some(), Kind::ApiKey, true),
            ("in", self.place != Place::default(), Kind::ApiKey, false),
            ("key", self.key.is_some(), Kind::ApiKey, true),
            ("tokenUrl", self.token_url.is_some(), Kind::Oauth2, true),
            ("clientId", self.client_id.is_some(), Kind::Oauth2, true),
            ("clientSecret", self.client_secret.is_some(), Kind::Oauth2, true),
            ("scope", self.scope.is_some(), Kind::Oauth2, false),
            ("parameters", !self.parameters.is_empty(), Kind::Oauth2, false),
            ("clientAuth", self.client_auth != ClientAuth::default(), Kind::Oauth2, false),
        ];
        let mut problems = Vec::new();
        for (field, is_given, kind, is_needed) in given {
            let path = format!("auth.{field}");
            if kind == self.kind && is_needed && !is_given {
                let message = format!("is needed with `type: {}`", self.kind.name());
                problems.push(Problem::new(path, "missing-field", message).fix("give it"));
            } else if kind != self.kind && is_given {
                let message = format!("is for `type: {}`", kind.name());
                problems.push(Problem::new(path, "not-applicable", message).fix("leave it out, or change `type`"));
            }
        }
        if let Some(Err(why)) = self.token_url.as_deref().map(url::address) {
            problems.push(
                Problem::new("auth.tokenUrl", "invalid-value", why)
                    .fix("give it as https://host/path, and the login as `clientId` and `clientSecret`"),
            );
        }
        let header = self.name.as_ref().filter(|_| self.place == Place::Header);
        if header.is_some_and(|name| HeaderName::try_from(name).is_err()) {
            let problem = Problem::new("auth.name", "invalid-value", "is no name of a header");
            problems.push(problem.fix("correct it, or set `in: query`"));
        }
        problems
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Bearer => "bearer",
            Self::ApiKey => "apiKey",
            Self::Oauth2 => "oauth2",
        }
    }
}

/// What is sent with each request.
#[derive(Clone, Debug)]
pub(super) enum Credentials {
    Nothing,
    Header(HeaderName, HeaderValue),
    Parameter(String, String),
    /// A token that has to be asked for.
    Issued(Issuer),
}

impl Credentials {
    pub(super) fn of(auth: Option<&Auth>) -> Result<Self, Error> {
        let Some(auth) = auth else { return Ok(Self::Nothing) };
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Ok(match auth.kind {
            Kind::Basic => Self::Header(AUTHORIZATION, login(&text(&auth.user), &text(&auth.password))?),
            Kind::Bearer => Self::Header(AUTHORIZATION, header(&format!("Bearer {}", text(&auth.token)))?),
            Kind::ApiKey if auth.place == Place::Query => Self::Parameter(text(&auth.name), text(&auth.key)),
            Kind::ApiKey => {
                let name = HeaderName::try_from(text(&auth.name));
                Self::Header(name.map_err(|_| unsendable())?, header(&text(&auth.key))?)
            }
            Kind::Oauth2 => Self::Issued(Issuer::of(auth)?),
        })
    }

    /// The parameter of the URL that holds a secret.
    pub(super) fn parameter(&self) -> Option<&str> {
        match self {
            Self::Parameter(name, _) => Some(name),
            Self::Nothing | Self::Header(..) | Self::Issued(_) => None,
        }
    }
}

/// Where tokens are issued, and what for.
#[derive(Clone)]
pub(super) struct Issuer {
    pub(super) url: Url,
    /// The fields of the request.
    pub(super) form: Vec<(String, String)>,
    pub(super) login: Option<HeaderValue>,
}

/// Without the secret.
impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").finish_non_exhaustive()
    }
}

impl Issuer {
    fn of(auth: &Auth) -> Result<Self, Error> {
        let url = url::address(auth.token_url.as_deref().unwrap_or_default());
        let url = url.map_err(|why| Error::fatal("bad-property", format!("`auth.tokenUrl`: {why}")))?;
        let (id, secret) = (auth.client_id.clone().unwrap_or_default(), auth.client_secret.clone().unwrap_or_default());
        let mut form = vec![("grant_type".to_owned(), "client_credentials".to_owned())];
        form.extend(auth.scope.iter().map(|scope| ("scope".to_owned(), scope.clone())));
        form.extend(auth.parameters.clone());
        let login = match auth.client_auth {
            // Both are encoded first, by the RFC.
            ClientAuth::Basic => Some(login(&encoded(&id), &encoded(&secret))?),
            ClientAuth::Body => {
                form.extend([("client_id".to_owned(), id), ("client_secret".to_owned(), secret)]);
                None
            }
        };
        Ok(Self { url, form, login })
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn login(user: &str, password: &str) -> Result<HeaderValue, Error> {
    header(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
}

/// A header that no log shows.
pub(super) fn header(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(text).map_err(|_| unsendable())?;
    value.set_sensitive(true);
    Ok(value)
}

fn unsendable() -> Error {
    Error::fatal("bad-property", "the login has a character that no header can have")
        .fix("correct `auth`; a secret that was read from a file may end with a line break")
}
