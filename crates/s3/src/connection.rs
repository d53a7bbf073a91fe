//! A bucket of a server, as it is asked: by `object_store`, or by requests of one's own, which take any key.
use crate::{
    Access, Trouble,
    failure::{Failed, trouble},
    http::Http,
};
use bytes::Bytes;
use dataflow_sdk::{Context, Error};
use dataflow_tls::Verify;
use object_store::{
    ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, S3ConditionalPut},
    client::{HttpRequest, HttpRequestBody, HttpService},
    path::Path,
    signer::Signer,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use std::time::Duration;
use tokio::time::Instant;

/// How long a request is tried again before it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Wait before a request is tried again: twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// What a key's character is written as in the path of a URL, unless it is one of these.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a user must be allowed who is to do this (`read`, `list`).
pub type Rights = fn(doing: &str) -> &'static str;

/// How requests of `object_store` are tried again.
pub fn retry() -> RetryConfig {
    RetryConfig { max_retries: 8, retry_timeout: PATIENCE, ..RetryConfig::default() }
}

/// A bucket and how it is reached.
#[derive(Clone, Debug)]
pub struct Connection {
    store: AmazonS3,
    http: Http,
    region: String,
    server: String,
    bucket: String,
    /// What its user must be allowed to do.
    rights: Rights,
}

/// A request that reads.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is done, for errors: `read`, `list`.
    pub doing: &'a str,
    /// What with, for errors: a key, or a beginning of keys.
    pub of: &'a str,
    /// The key; none: the bucket itself.
    pub key: Option<&'a str>,
    /// The query of the URL.
    pub query: &'a [(&'a str, &'a str)],
    /// More headers.
    pub headers: &'a [(HeaderName, &'a str)],
}

/// What a server has answered to a request that it did.
#[derive(Debug)]
pub struct Answer {
    /// 2xx.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

impl Connection {
    /// A bucket whose user must be allowed to do this. Asks nobody yet.
    ///
    /// # Errors
    /// If certificates can't be read, or the settings say no server.
    pub fn new(
        access: &Access,
        bucket: &str,
        conditional: S3ConditionalPut,
        rights: Rights,
        cx: &Context,
    ) -> Result<Self, Error> {
        let unusable = |error: &dyn std::fmt::Display| {
            Error::fatal("invalid-url", format!("the bucket {bucket} can't be used: {error}")).for_user()
        };
        let material = access.tls.as_ref().map(|tls| tls.read(&cx.paths)).transpose()?.unwrap_or_default();
        // Without TLS, authorities need not be known.
        let verify = if access.speaks_tls() { Verify::Full } else { Verify::Nothing };
        let http = Http::new(material.client(verify)?)?;
        let mut builder = match (&access.access_key_id, &access.secret_access_key) {
            (Some(id), Some(secret)) => AmazonS3Builder::new().with_access_key_id(id).with_secret_access_key(secret),
            _ => AmazonS3Builder::from_env(),
        };
        if let Some(token) = &access.session_token {
            builder = builder.with_token(token);
        }
        if let Some(region) = &access.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &access.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        // That of `object_store` where none is set.
        let region = builder.get_config_value(&AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".into());
        let options = ClientOptions::new().with_allow_http(access.allow_http);
        let builder = builder.with_bucket_name(bucket).with_client_options(options).with_http_connector(http.clone());
        let builder = builder.with_conditional_put(conditional).with_retry(retry());
        let store = builder.build().map_err(|error| unusable(&error))?;
        Ok(Self { store, http, region, server: access.server(), bucket: bucket.to_owned(), rights })
    }

    /// The same bucket for `object_store`.
    pub fn store(&self) -> &AmazonS3 {
        &self.store
    }

    /// How users call a place in it.
    pub fn place(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket)
    }

    /// What a failure of `object_store` means.
    pub fn trouble(&self, doing: &str, key: &str) -> impl FnOnce(object_store::Error) -> Trouble + use<> {
        let (server, place, doing, rights) = (self.server.clone(), self.place(key), doing.to_owned(), self.rights);
        move |error| trouble(&server, &doing, &place, rights(&doing), &Failed::of(&error))
    }

    /// Sends a request, once more while the server is busy or out of reach, for [so long](PATIENCE).
    ///
    /// # Errors
    /// If it is refused, or not answered in time.
    pub async fn get(&self, asked: Request<'_>) -> Result<Answer, Trouble> {
        let (begun, mut wait) = (Instant::now(), FIRST_WAIT);
        loop {
            let answer = self.once(asked).await;
            let may_pass = matches!(answer, Err(Trouble::Failed(Error::Transient { .. })));
            if !may_pass || begun.elapsed() + wait >= PATIENCE {
                return answer;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn once(&self, asked: Request<'_>) -> Result<Answer, Trouble> {
        let request = self.signed(asked).await?;
        let place = self.place(asked.of);
        let failed =
            |failed: &Failed<'_>| trouble(&self.server, asked.doing, &place, (self.rights)(asked.doing), failed);
        let answer = self.http.call(request).await.map_err(|error| failed(&Failed::of(&error)))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.into_body().bytes().await.map_err(|error| failed(&Failed::of(&error)))?;
        match status.is_success() {
            true => Ok(Answer { status, headers, body }),
            false => Err(failed(&Failed::answered(status.as_u16(), &body))),
        }
    }

    async fn signed(&self, asked: Request<'_>) -> Result<HttpRequest, Trouble> {
        let failed = self.trouble(asked.doing, asked.of);
        let bucket = self.store.signed_url(Method::GET, &Path::default(), PATIENCE).await;
        let (mut url, credential) = match (bucket, self.store.credentials().get_credential().await) {
            (Ok(url), Ok(credential)) => (url, credential),
            (Err(error), _) | (_, Err(error)) => return Err(failed(error)),
        };
        url.set_query(None);
        if let Some(key) = asked.key {
            let path = format!("{}/{}", url.path().trim_end_matches('/'), utf8_percent_encode(key, IN_PATH));
            url.set_path(&path);
        }
        if !asked.query.is_empty() {
            url.query_pairs_mut().extend_pairs(asked.query);
            // A blank is a plus in forms only; a plus is `%2B` by now.
            let query = url.query().unwrap_or_default().replace('+', "%20");
            url.set_query(Some(&query));
        }
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        let unusable = || Trouble::Failed(Error::fatal("internal", format!("{url} is no address of a request")));
        *request.uri_mut() = url.as_str().parse().map_err(|_| unusable())?;
        for (name, value) in asked.headers {
            let value = HeaderValue::from_str(value).map_err(|_| unusable())?;
            request.headers_mut().insert(name.clone(), value);
        }
        AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
        Ok(request)
    }
}

/// Whether an object can be asked for by its key: what a URL takes for a way through folders can't.
pub fn can_be_asked(key: &str) -> bool {
    !key.split('/').any(|part| matches!(part, "." | ".."))
}
