//! A container of Azure as a store: an upload is the blocks of a blob that are not committed. A blob has them by its name, and
//! no other upload has that name, so there is no id. Nobody can discard them: they go a week after the last one came.
use super::{AzureBlobSink, failure};
use crate::objects::{
    bucket::{Bucket, InBucket, PATIENCE, path, retry},
    failure::{Doing, Trouble, plain, refusal},
    handle::Object,
    http::Http,
    server,
    store::{Completed, Uploads},
};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dataflow_sdk::{Context, Error};
use dataflow_tls::Verify;
use object_store::{
    ClientOptions,
    azure::{AzureAuthorizer, AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder},
    client::{HttpRequest, HttpService},
};
use reqwest::{
    Method, Url,
    header::{CONTENT_LENGTH, HeaderValue, IF_NONE_MATCH},
};
use std::time::Duration;
use tokio::time::Instant;

/// How long it is waited between two tries of a request.
const PAUSE: Duration = Duration::from_millis(500);

/// A container.
#[derive(Debug)]
pub(super) struct Azure {
    bucket: Bucket<MicrosoftAzure>,
    http: Http,
    account: String,
    /// Where the account's containers are.
    service: Url,
}

impl InBucket for Azure {
    type Client = MicrosoftAzure;
    fn bucket(&self) -> &Bucket<MicrosoftAzure> {
        &self.bucket
    }
}

impl Azure {
    pub(super) fn new(config: &AzureBlobSink, cx: &Context) -> Result<Self, Error> {
        let unusable = |error: &dyn std::fmt::Display| {
            Error::fatal("invalid-url", format!("the container {} can't be used: {error}", config.container)).for_user()
        };
        let material = config.tls.as_ref().map(|tls| tls.read(&cx.paths)).transpose()?.unwrap_or_default();
        // Without TLS, authorities need not be known.
        let verify = if server::speaks_tls(config.endpoint.as_deref()) { Verify::Full } else { Verify::Nothing };
        let http = Http::new(material.client(verify)?)?;
        let mut builder = match (&config.access_key, &config.sas_token) {
            (Some(key), _) => MicrosoftAzureBuilder::new().with_access_key(key),
            (_, Some(token)) => MicrosoftAzureBuilder::new().with_config(AzureConfigKey::SasKey, token),
            _ => MicrosoftAzureBuilder::from_env(),
        };
        if let Some(account) = &config.account {
            builder = builder.with_account(account);
        }
        let Some(account) = builder.get_config_value(&AzureConfigKey::AccountName) else {
            return Err(unusable(
                &"`account` is not given, nor is AZURE_STORAGE_ACCOUNT_NAME in the node's environment",
            ));
        };
        let service = match &config.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://{account}.blob.core.windows.net"),
        };
        let options = ClientOptions::new().with_allow_http(config.allow_http);
        let builder = builder.with_endpoint(service.clone()).with_container_name(&config.container);
        let builder = builder.with_client_options(options).with_http_connector(http.clone()).with_retry(retry());
        let client = builder.build().map_err(|error| unusable(&error))?;
        let service = Url::parse(&service).map_err(|error| unusable(&error))?;
        let (server, name) = (config.server(), config.container.clone());
        let bucket = Bucket { client, server, name, conditional: true, reads: failure::reads };
        Ok(Self { bucket, http, account, service })
    }

    /// Commits the blocks of a blob that is not there yet: `object_store` would also replace one.
    async fn commit(&self, object: &Object) -> Result<(), Trouble> {
        let blocks: String = (object.parts.iter())
            .map(|id| format!("<Uncommitted>{}</Uncommitted>", BASE64_STANDARD.encode(id)))
            .collect();
        let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{blocks}</BlockList>");
        let mut url = self.service.clone();
        let key = path(&object.key)?;
        let unreachable = |error: &dyn std::fmt::Display| {
            let place = self.bucket.place(&object.key);
            Trouble::Failed(Error::transient("unreachable", format!("can't complete the upload of {place}: {error}")))
        };
        url.path_segments_mut()
            .map_err(|()| unreachable(&"the endpoint has no path"))?
            .pop_if_empty()
            .push(&self.bucket.name)
            .extend(key.parts());
        url.query_pairs_mut().append_pair("comp", "blocklist");
        let begun = Instant::now();
        loop {
            let credential =
                self.bucket.client.credentials().get_credential().await.map_err(|error| unreachable(&error))?;
            let mut request = HttpRequest::new(list.clone().into());
            *request.method_mut() = Method::PUT;
            *request.uri_mut() = url.as_str().parse().map_err(|error| unreachable(&error))?;
            request.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(list.len()));
            AzureAuthorizer::new(&credential, &self.account).authorize(&mut request);
            let is_last = begun.elapsed() > PATIENCE;
            match self.http.call(request).await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.into_body().bytes().await.map_err(|error| unreachable(&error))?;
                    let text = String::from_utf8_lossy(&text);
                    let text = if text.is_empty() { status.to_string().into() } else { text };
                    let refused =
                        refusal(Doing::Complete, &self.bucket.place(&object.key), &text, Some(status.as_u16()));
                    if let Some(trouble) = failure::reads(&refused) {
                        return Err(trouble);
                    }
                    let tries_again = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
                    if is_last || !tries_again {
                        return Err(Trouble::Failed(plain(refused)));
                    }
                }
                Err(error) => {
                    if let Some(failure) = dataflow_tls::failure(&self.bucket.server, &error) {
                        return Err(Trouble::Failed(failure));
                    }
                    if is_last {
                        return Err(unreachable(&error));
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[async_trait]
impl Uploads for Azure {
    async fn begin(&self, _: &str) -> Result<String, Trouble> {
        Ok(String::new())
    }

    async fn put_part(&self, key: &str, upload: &str, number: usize, part: Bytes) -> Result<String, Trouble> {
        self.bucket.put_part(key, upload, number, part).await
    }

    async fn complete(&self, object: &Object) -> Result<Completed, Error> {
        match self.commit(object).await {
            Ok(()) => Ok(Completed::Published),
            // It is a blob already; or its blocks went with a blob that was taken away, or with time.
            Err(Trouble::Gone | Trouble::PartsGone | Trouble::Changed) => self.settle(object).await,
            Err(trouble) => Err(trouble.error()),
        }
    }

    async fn abort(&self, _: &str, _: &str) -> Result<(), Error> {
        Ok(())
    }
}
