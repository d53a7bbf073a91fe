//! What all stores have in common that `object_store` speaks to: a bucket (a container, in Azure), and how its whole objects are read and
//! written.
use super::{
    failure::{Doing, Reads, Trouble, trouble},
    store::{Objects, Version},
};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_sdk::Error;
use futures::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use std::time::Duration;

/// How long a request is tried again by the client itself: what is not sealed would have to be read again otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn retry() -> RetryConfig {
    RetryConfig { max_retries: 8, retry_timeout: PATIENCE, ..RetryConfig::default() }
}

/// A bucket and how it is reached.
#[derive(Debug)]
pub(crate) struct Bucket<C> {
    pub(crate) client: C,
    /// As users call them.
    pub(crate) server: String,
    pub(crate) name: String,
    /// Whether objects are written on conditions.
    pub(crate) conditional: bool,
    /// What its server means by what it refuses.
    pub(crate) reads: Reads,
}

/// A store that is a bucket.
pub(crate) trait InBucket: std::fmt::Debug + Send + Sync {
    type Client: ObjectStore;
    fn bucket(&self) -> &Bucket<Self::Client>;
}

pub(crate) fn path(key: &str) -> Result<Path, Error> {
    Path::parse(key).map_err(|error| Error::fatal("internal", format!("{key:?} is no key of an object: {error}")))
}

impl<C> Bucket<C> {
    pub(crate) fn place(&self, key: &str) -> String {
        format!("{}/{key}", self.name)
    }

    pub(crate) fn trouble(&self, doing: Doing, key: &str) -> impl FnOnce(object_store::Error) -> Trouble {
        let (reads, server, place) = (self.reads, self.server.clone(), self.place(key));
        move |error| trouble(reads, &server, doing, &place, &error)
    }
}

/// Uploads as S3 has them.
impl<C: MultipartStore> Bucket<C> {
    pub(crate) async fn begin(&self, key: &str) -> Result<String, Trouble> {
        self.client.create_multipart(&path(key)?).await.map_err(self.trouble(Doing::Begin, key))
    }

    pub(crate) async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: usize,
        part: Bytes,
    ) -> Result<String, Trouble> {
        let put = self.client.put_part(&path(key)?, &upload.to_owned(), number, part.into()).await;
        put.map(|part| part.content_id).map_err(self.trouble(Doing::Put, key))
    }

    pub(crate) async fn complete(&self, key: &str, upload: &str, parts: &[String]) -> Result<(), Trouble> {
        let parts = parts.iter().map(|etag| PartId { content_id: etag.clone() }).collect();
        let completed = self.client.complete_multipart(&path(key)?, &upload.to_owned(), parts).await;
        completed.map(drop).map_err(self.trouble(Doing::Complete, key))
    }

    pub(crate) async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        let aborted = self.client.abort_multipart(&path(key)?, &upload.to_owned()).await;
        match aborted.map_err(self.trouble(Doing::Abort, key)) {
            Ok(()) | Err(Trouble::Gone) => Ok(()),
            Err(trouble) => Err(trouble.error()),
        }
    }
}

#[async_trait]
impl<T: InBucket> Objects for T {
    fn place(&self, key: &str) -> String {
        self.bucket().place(key)
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, Error> {
        match self.bucket().client.head(&path(key)?).await.map_err(self.bucket().trouble(Doing::Look, key)) {
            Ok(found) => Ok(Some(found.size)),
            Err(Trouble::Gone) => Ok(None),
            Err(trouble) => Err(trouble.error()),
        }
    }

    async fn read(&self, key: &str) -> Result<Option<(Bytes, Version)>, Error> {
        let trouble = || self.bucket().trouble(Doing::Read, key);
        let found = match self.bucket().client.get(&path(key)?).await.map_err(trouble()) {
            Ok(found) => found,
            Err(Trouble::Gone) => return Ok(None),
            Err(trouble) => return Err(trouble.error()),
        };
        let version = Version { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let bytes = found.bytes().await.map_err(trouble()).map_err(Trouble::error)?;
        Ok(Some((bytes, version)))
    }

    async fn write(&self, key: &str, content: Bytes, before: Option<&Version>) -> Result<Version, Trouble> {
        let mode = match before {
            _ if !self.bucket().conditional => PutMode::Overwrite,
            None => PutMode::Create,
            Some(version) => PutMode::Update(version.clone()),
        };
        let put = self.bucket().client.put_opts(&path(key)?, content.into(), PutOptions::from(mode)).await;
        put.map(Version::from).map_err(self.bucket().trouble(Doing::Write, key))
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error> {
        let prefix = (!folder.is_empty()).then(|| path(folder)).transpose()?;
        let all = self.bucket().client.list(prefix.as_ref());
        let all = all.map_ok(|found| (found.location.to_string(), found.size)).try_collect();
        all.await.map_err(self.bucket().trouble(Doing::List, folder)).map_err(Trouble::error)
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let found = self.bucket().client.list_with_delimiter(Some(&path(folder)?)).await;
        let found = found.map_err(self.bucket().trouble(Doing::List, folder)).map_err(Trouble::error)?;
        Ok(found.common_prefixes.iter().map(ToString::to_string).collect())
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.bucket().client.delete(&path(key)?).await.map_err(self.bucket().trouble(Doing::Delete, key)) {
            Ok(()) | Err(Trouble::Gone) => Ok(()),
            Err(trouble) => Err(trouble.error()),
        }
    }
}
