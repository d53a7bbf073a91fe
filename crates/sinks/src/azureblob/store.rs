//! A container of Azure as a store: an upload is the blocks of a blob that are not committed. A blob has them by its name, and
//! no other upload has that name, so there is no id. Nobody can discard them: they go a week after the last one came.
use super::{AzureBlobSink, failure::trouble};
use crate::objects::{
    bucket::{self, InBucket, path},
    failure::{Doing, Trouble},
    handle::Object,
    store::{Completed, Uploads},
};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dataflow_s3::{Failed, Http, PATIENCE, retry, server};
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
    client: MicrosoftAzure,
    http: Http,
    /// As users call them.
    server: String,
    container: String,
    account: String,
    /// Where the account's containers are.
    service: Url,
}

impl InBucket for Azure {
    type Client = MicrosoftAzure;
    fn client(&self) -> &MicrosoftAzure {
        &self.client
    }
    fn place(&self, key: &str) -> String {
        format!("{}/{key}", self.container)
    }
    fn trouble(&self, doing: Doing, key: &str, error: object_store::Error) -> Trouble {
        self.failed(doing, key, &Failed::of(&error))
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
        let (server, container) = (config.server(), config.container.clone());
        Ok(Self { client, http, server, container, account, service })
    }

    fn failed(&self, doing: Doing, key: &str, failed: &Failed<'_>) -> Trouble {
        trouble(&self.server, doing, &format!("{}/{key}", self.container), failed)
    }

    /// Where a blob is, as a request says it.
    fn url(&self, key: &str) -> Result<Url, Error> {
        let mut url = self.service.clone();
        url.path_segments_mut()
            .map_err(|()| Error::fatal("invalid-url", format!("{} has no path", self.service)).for_user())?
            .pop_if_empty()
            .push(&self.container)
            .extend(path(key)?.parts());
        Ok(url)
    }

    /// Commits the blocks of a blob that is not there yet: `object_store` would also replace one.
    async fn commit(&self, object: &Object) -> Result<(), Trouble> {
        let blocks: String = (object.parts.iter())
            .map(|id| format!("<Uncommitted>{}</Uncommitted>", BASE64_STANDARD.encode(id)))
            .collect();
        let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{blocks}</BlockList>");
        let mut url = self.url(&object.key)?;
        url.query_pairs_mut().append_pair("comp", "blocklist");
        let begun = Instant::now();
        loop {
            let done = self.once(object, &url, &list).await;
            let may_pass = matches!(done, Err(Trouble::Failed(Error::Transient { .. })));
            if !may_pass || begun.elapsed() > PATIENCE {
                return done;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn once(&self, object: &Object, url: &Url, list: &str) -> Result<(), Trouble> {
        let failed = |failed: &Failed<'_>| self.failed(Doing::Complete, &object.key, failed);
        let credential =
            self.client.credentials().get_credential().await.map_err(|error| failed(&Failed::of(&error)))?;
        let mut request = HttpRequest::new(list.to_owned().into());
        *request.method_mut() = Method::PUT;
        let unusable = || Error::fatal("internal", format!("{url} is no address of a request"));
        *request.uri_mut() = url.as_str().parse().map_err(|_| unusable())?;
        request.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(list.len()));
        AzureAuthorizer::new(&credential, &self.account).authorize(&mut request);
        let answer = self.http.call(request).await.map_err(|error| failed(&Failed::of(&error)))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| failed(&Failed::of(&error)))?;
        if status.is_success() { Ok(()) } else { Err(failed(&Failed::answered(status.as_u16(), &body))) }
    }
}

#[async_trait]
impl Uploads for Azure {
    async fn begin(&self, _: &str) -> Result<String, Trouble> {
        Ok(String::new())
    }

    async fn put_part(&self, key: &str, upload: &str, number: usize, part: Bytes) -> Result<String, Trouble> {
        bucket::put_part(self, key, upload, number, part).await
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
