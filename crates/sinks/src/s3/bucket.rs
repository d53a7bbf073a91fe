//! A bucket: the requests that the sink makes, and what their failures mean.
use super::{
    config::S3Sink,
    failure::{Trouble, trouble},
    handle::Object,
    http::Http,
};
use bytes::Bytes;
use dataflow_sdk::{Context, Error};
use dataflow_tls::Verify;
use futures::TryStreamExt;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, UpdateVersion,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, S3ConditionalPut},
    client::{HttpRequest, HttpRequestBody, HttpService},
    multipart::{MultipartStore, PartId},
    path::Path,
    signer::Signer,
};
use reqwest::Method;
use std::time::Duration;

/// How long a request is tried again by the client itself: what is not sealed would have to be read again otherwise.
const PATIENCE: Duration = Duration::from_secs(20);

/// What completing an upload has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completed {
    /// Its object is there.
    Published,
    /// Neither is its object there, nor can it become one: the server has begun to complete it, and forgotten it half way.
    Forgotten,
    /// There is neither upload nor object.
    Gone,
}

/// A bucket and how it is reached.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    store: AmazonS3,
    http: Http,
    region: String,
    /// As users call them.
    server: String,
    name: String,
    conditional: bool,
}

impl Bucket {
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
        let retry = RetryConfig { max_retries: 8, retry_timeout: PATIENCE, ..RetryConfig::default() };
        let options = ClientOptions::new().with_allow_http(config.allow_http);
        let builder =
            builder.with_bucket_name(&config.bucket).with_client_options(options).with_http_connector(http.clone());
        let store = builder.with_conditional_put(puts).with_retry(retry).build().map_err(|error| unusable(&error))?;
        Ok(Self { store, http, region, server: config.server(), name: config.bucket.clone(), conditional })
    }

    /// How users call a place in it.
    pub(super) fn place(&self, key: &str) -> String {
        format!("{}/{key}", self.name)
    }

    fn trouble(&self, doing: &str, key: &str) -> impl FnOnce(object_store::Error) -> Trouble {
        let (server, place) = (self.server.clone(), self.place(key));
        move |error| trouble(&server, doing, &place, &error)
    }

    /// Begins an upload; returns its id.
    pub(super) async fn begin(&self, key: &str) -> Result<String, Trouble> {
        self.store.create_multipart(&path(key)?).await.map_err(self.trouble("begin the upload of", key))
    }

    /// Uploads a part; returns its ETag.
    pub(super) async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: usize,
        part: Bytes,
    ) -> Result<String, Trouble> {
        let put = self.store.put_part(&path(key)?, &upload.to_owned(), number, part.into()).await;
        put.map(|part| part.content_id).map_err(self.trouble("upload a part of", key))
    }

    /// Makes an object of its upload, unless it is one already.
    pub(super) async fn complete(&self, object: &Object) -> Result<Completed, Error> {
        let parts = object.parts.iter().map(|etag| PartId { content_id: etag.clone() }).collect();
        let completed = self.store.complete_multipart(&path(&object.key)?, &object.upload, parts).await;
        match completed.map_err(self.trouble("complete the upload of", &object.key)) {
            Ok(_) => Ok(Completed::Published),
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

    /// Whether the server lists an upload as one that is neither completed nor aborted. MinIO does so by the upload's folder, also
    /// if it can't read what is in it. A user who may not list uploads sees none.
    async fn is_pending(&self, object: &Object) -> Result<bool, Error> {
        let unknown = |error: &dyn std::fmt::Display| {
            let place = self.place(&object.key);
            Error::transient("unreachable", format!("can't list the uploads of {place}: {error}"))
        };
        let credential = self.store.credentials().get_credential().await.map_err(|error| unknown(&error))?;
        let bucket = self.store.signed_url(Method::GET, &Path::default(), PATIENCE).await;
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

    /// Whether an object is there. Nobody else has its name: one of another length was altered.
    pub(super) async fn is_published(&self, object: &Object) -> Result<bool, Error> {
        match self.store.head(&path(&object.key)?).await.map_err(self.trouble("look at", &object.key)) {
            Ok(found) if found.size == object.bytes => Ok(true),
            Ok(found) => {
                let place = self.place(&object.key);
                let message = format!(
                    "{place} has {} bytes, not the {} that were uploaded: somebody else wrote it",
                    found.size, object.bytes
                );
                Err(Error::contradicts(
                    "object-changed",
                    message,
                    "remove the object and choose where to continue: set the checkpoint",
                ))
            }
            Err(Trouble::Gone) => Ok(false),
            Err(trouble) => Err(trouble.error()),
        }
    }

    /// Gives up an upload; one that is not there is given up already.
    pub(super) async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        match self
            .store
            .abort_multipart(&path(key)?, &upload.to_owned())
            .await
            .map_err(self.trouble("abort the upload of", key))
        {
            Ok(()) | Err(Trouble::Gone) => Ok(()),
            Err(trouble) => Err(trouble.error()),
        }
    }

    /// The content of an object and its version; none if it is not there.
    pub(super) async fn read(&self, key: &str) -> Result<Option<(Bytes, UpdateVersion)>, Error> {
        let trouble = || self.trouble("read", key);
        let found = match self.store.get(&path(key)?).await.map_err(trouble()) {
            Ok(found) => found,
            Err(Trouble::Gone) => return Ok(None),
            Err(trouble) => return Err(trouble.error()),
        };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let bytes = found.bytes().await.map_err(trouble()).map_err(Trouble::error)?;
        Ok(Some((bytes, version)))
    }

    /// Writes a small object in the place of this version of it; none: only if there is none.
    pub(super) async fn write(
        &self,
        key: &str,
        content: Bytes,
        before: Option<&UpdateVersion>,
    ) -> Result<UpdateVersion, Trouble> {
        let mode = match before {
            _ if !self.conditional => PutMode::Overwrite,
            None => PutMode::Create,
            Some(version) => PutMode::Update(version.clone()),
        };
        let put = self.store.put_opts(&path(key)?, content.into(), PutOptions::from(mode)).await;
        put.map(UpdateVersion::from).map_err(self.trouble("write", key))
    }

    /// The keys and sizes of all objects below a folder.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error> {
        let prefix = (!folder.is_empty()).then(|| path(folder)).transpose()?;
        let all =
            self.store.list(prefix.as_ref()).map_ok(|found| (found.location.to_string(), found.size)).try_collect();
        all.await.map_err(self.trouble("list", folder)).map_err(Trouble::error)
    }

    /// The folders in a folder.
    pub(super) async fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let found = self.store.list_with_delimiter(Some(&path(folder)?)).await;
        let found = found.map_err(self.trouble("list", folder)).map_err(Trouble::error)?;
        Ok(found.common_prefixes.iter().map(ToString::to_string).collect())
    }

    /// Deletes an object, if it is there.
    pub(super) async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.store.delete(&path(key)?).await.map_err(self.trouble("delete", key)) {
            Ok(()) | Err(Trouble::Gone) => Ok(()),
            Err(trouble) => Err(trouble.error()),
        }
    }
}

fn path(key: &str) -> Result<Path, Error> {
    Path::parse(key).map_err(|error| Error::fatal("internal", format!("{key:?} is no key of an object: {error}")))
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
