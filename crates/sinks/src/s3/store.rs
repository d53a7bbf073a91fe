//! A bucket of S3 as a store: an upload is a multipart upload, which the server keeps until it is completed or aborted.
use super::{S3Sink, failure};
use crate::objects::{
    bucket::{Bucket, InBucket, PATIENCE, retry},
    failure::Trouble,
    handle::Object,
    http::Http,
    store::{Completed, Objects, Uploads},
};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_sdk::{Context, Error};
use dataflow_tls::Verify;
use object_store::{
    ClientOptions,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, S3ConditionalPut},
    client::{HttpRequest, HttpRequestBody, HttpService},
    path::Path,
    signer::Signer,
};
use reqwest::Method;

/// A bucket.
#[derive(Debug)]
pub(super) struct S3 {
    bucket: Bucket<AmazonS3>,
    http: Http,
    region: String,
}

impl InBucket for S3 {
    type Client = AmazonS3;
    fn bucket(&self) -> &Bucket<AmazonS3> {
        &self.bucket
    }
}

impl S3 {
    pub(super) fn new(config: &S3Sink, cx: &Context) -> Result<Self, Error> {
        let unusable = |error: &dyn std::fmt::Display| {
            Error::fatal("invalid-url", format!("the bucket {} can't be used: {error}", config.bucket)).for_user()
        };
        let material = config.tls.as_ref().map(|tls| tls.read(&cx.paths)).transpose()?.unwrap_or_default();
        // Without TLS, authorities need not be known.
        let verify = if config.speaks_tls() { Verify::Full } else { Verify::Nothing };
        let http = Http::new(material.client(verify)?)?;
        let mut builder = match (&config.access_key_id, &config.secret_access_key) {
            (Some(id), Some(secret)) => AmazonS3Builder::new().with_access_key_id(id).with_secret_access_key(secret),
            _ => AmazonS3Builder::from_env(),
        };
        if let Some(token) = &config.session_token {
            builder = builder.with_token(token);
        }
        if let Some(region) = &config.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        // That of `object_store` where none is set.
        let region = builder.get_config_value(&AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".into());
        let conditional = config.conditional_writes;
        let puts = if conditional { S3ConditionalPut::ETagMatch } else { S3ConditionalPut::Disabled };
        let options = ClientOptions::new().with_allow_http(config.allow_http);
        let builder =
            builder.with_bucket_name(&config.bucket).with_client_options(options).with_http_connector(http.clone());
        let client =
            builder.with_conditional_put(puts).with_retry(retry()).build().map_err(|error| unusable(&error))?;
        let (server, name) = (config.server(), config.bucket.clone());
        Ok(Self { bucket: Bucket { client, server, name, conditional, reads: failure::reads }, http, region })
    }

    /// Whether the server lists an upload as one that is neither completed nor aborted. MinIO does so by the upload's folder, also
    /// if it can't read what is in it. A user who may not list uploads sees none.
    async fn is_pending(&self, object: &Object) -> Result<bool, Error> {
        let unknown = |error: &dyn std::fmt::Display| {
            let place = self.bucket.place(&object.key);
            Error::transient("unreachable", format!("can't list the uploads of {place}: {error}"))
        };
        let client = &self.bucket.client;
        let credential = client.credentials().get_credential().await.map_err(|error| unknown(&error))?;
        let bucket = client.signed_url(Method::GET, &Path::default(), PATIENCE).await;
        let mut url = bucket.map_err(|error| unknown(&error))?;
        url.query_pairs_mut().clear().append_pair("uploads", "").append_pair("prefix", &object.key);
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().map_err(|error| unknown(&error))?;
        AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
        let answer = self.http.call(request).await.map_err(|error| unknown(&error))?;
        let status = answer.status();
        if status.is_server_error() {
            return Err(unknown(&status));
        }
        let listed = answer.into_body().bytes().await.map_err(|error| unknown(&error))?;
        let id = format!("<UploadId>{}</UploadId>", object.upload);
        Ok(status.is_success() && String::from_utf8_lossy(&listed).contains(&id))
    }
}

#[async_trait]
impl Uploads for S3 {
    async fn begin(&self, key: &str) -> Result<String, Trouble> {
        self.bucket.begin(key).await
    }

    async fn put_part(&self, key: &str, upload: &str, number: usize, part: Bytes) -> Result<String, Trouble> {
        self.bucket.put_part(key, upload, number, part).await
    }

    async fn complete(&self, object: &Object) -> Result<Completed, Error> {
        match self.bucket.complete(&object.key, &object.upload, &object.parts).await {
            Ok(()) => Ok(Completed::Published),
            // The answer to an earlier try was lost, or the node was killed after it.
            Err(trouble @ (Trouble::Gone | Trouble::PartsGone | Trouble::Changed)) => Ok(match trouble {
                _ if self.is_published(object).await? => Completed::Published,
                Trouble::PartsGone => Completed::Forgotten,
                _ if self.is_pending(object).await? => Completed::Forgotten,
                _ => Completed::Gone,
            }),
            Err(trouble) => Err(trouble.error()),
        }
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        self.bucket.abort(key, upload).await
    }

    fn may_forget(&self) -> bool {
        true
    }
}
