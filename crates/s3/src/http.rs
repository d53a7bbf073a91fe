//! How `object_store` speaks HTTP here: by the client, and the TLS, of all connectors.
use async_trait::async_trait;
use dataflow_sdk::Error;
use dataflow_tls::ClientConfig;
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use std::time::Duration;

/// How long one try of a request may take: as long as a part takes over a slow line.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// A client of HTTP.
#[derive(Clone, Debug)]
pub struct Http(reqwest::Client);

impl Http {
    /// One that speaks TLS so.
    ///
    /// # Errors
    /// If none can be made.
    pub fn new(tls: ClientConfig) -> Result<Self, Error> {
        let client =
            reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(TIMEOUT).connect_timeout(CONNECT);
        // Objects are what lies in the bucket, whatever `Content-Encoding` says, also if another crate lets clients unpack.
        let client = client.no_gzip().no_brotli().no_zstd().no_deflate();
        client
            .build()
            .map(Self)
            .map_err(|error| Error::fatal("internal", format!("no HTTP client can be made: {error}")))
    }

    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
        let (parts, body) = request.into_parts();
        let mut request = self.0.request(parts.method, parts.uri.to_string());
        request = request.headers(parts.headers).body(reqwest::Body::wrap(body));
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut response = HttpResponse::new(answer.bytes().await?.into());
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }
}

#[async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.answer(request).await.map_err(|error| HttpError::new(kind(&error), error.without_url()))
    }
}

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// It says whether a request is tried again.
fn kind(error: &reqwest::Error) -> HttpErrorKind {
    match error {
        // A certificate that is refused stays refused.
        error if dataflow_tls::failure("", error).is_some() => HttpErrorKind::Unknown,
        error if error.is_timeout() => HttpErrorKind::Timeout,
        error if error.is_connect() => HttpErrorKind::Connect,
        error if error.is_builder() => HttpErrorKind::Unknown,
        // All requests may be repeated: what an earlier try has done is looked for.
        _ => HttpErrorKind::Request,
    }
}
