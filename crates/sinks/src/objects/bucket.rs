//! What all stores have in common that `object_store` speaks to: a bucket (a container, in Azure), and how its whole objects are read and
//! written.
use super::{
    failure::{Doing, Trouble},
    handle::Object,
    store::{Objects, Version},
};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_sdk::Error;
use futures::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    multipart::{MultipartStore, PartId},
    path::Path,
};

/// A store that is a bucket, or a container.
pub(crate) trait InBucket: std::fmt::Debug + Send + Sync {
    type Client: ObjectStore;
    fn client(&self) -> &Self::Client;
    /// How users call a place in it.
    fn place(&self, key: &str) -> String;
    /// Whether objects are written on conditions.
    fn is_conditional(&self) -> bool {
        true
    }
    /// What a failure means.
    fn trouble(&self, doing: Doing, key: &str, error: object_store::Error) -> Trouble;
}

pub(crate) fn path(key: &str) -> Result<Path, Error> {
    Path::parse(key).map_err(|error| Error::fatal("internal", format!("{key:?} is no key of an object: {error}")))
}

/// Begins an upload, as S3 has them.
pub(crate) async fn begin<T: InBucket<Client: MultipartStore>>(bucket: &T, key: &str) -> Result<String, Trouble> {
    bucket.client().create_multipart(&path(key)?).await.map_err(|error| bucket.trouble(Doing::Begin, key, error))
}

pub(crate) async fn put_part<T: InBucket<Client: MultipartStore>>(
    bucket: &T,
    key: &str,
    upload: &str,
    number: usize,
    part: Bytes,
) -> Result<String, Trouble> {
    let put = bucket.client().put_part(&path(key)?, &upload.to_owned(), number, part.into()).await;
    put.map(|part| part.content_id).map_err(|error| bucket.trouble(Doing::Put, key, error))
}

pub(crate) async fn complete<T: InBucket<Client: MultipartStore>>(bucket: &T, object: &Object) -> Result<(), Trouble> {
    let parts = object.parts.iter().map(|etag| PartId { content_id: etag.clone() }).collect();
    let completed = bucket.client().complete_multipart(&path(&object.key)?, &object.upload, parts).await;
    completed.map(drop).map_err(|error| bucket.trouble(Doing::Complete, &object.key, error))
}

pub(crate) async fn abort<T: InBucket<Client: MultipartStore>>(
    bucket: &T,
    key: &str,
    upload: &str,
) -> Result<(), Error> {
    let aborted = bucket.client().abort_multipart(&path(key)?, &upload.to_owned()).await;
    match aborted.map_err(|error| bucket.trouble(Doing::Abort, key, error)) {
        Ok(()) | Err(Trouble::Gone) => Ok(()),
        Err(trouble) => Err(trouble.error()),
    }
}

#[async_trait]
impl<T: InBucket> Objects for T {
    fn place(&self, key: &str) -> String {
        InBucket::place(self, key)
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, Error> {
        match self.client().head(&path(key)?).await.map_err(|error| self.trouble(Doing::Look, key, error)) {
            Ok(found) => Ok(Some(found.size)),
            Err(Trouble::Gone) => Ok(None),
            Err(trouble) => Err(trouble.error()),
        }
    }

    async fn read(&self, key: &str) -> Result<Option<(Bytes, Version)>, Error> {
        let trouble = |error| self.trouble(Doing::Read, key, error);
        let found = match self.client().get(&path(key)?).await.map_err(trouble) {
            Ok(found) => found,
            Err(Trouble::Gone) => return Ok(None),
            Err(trouble) => return Err(trouble.error()),
        };
        let version = Version { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let bytes = found.bytes().await.map_err(trouble).map_err(Trouble::error)?;
        Ok(Some((bytes, version)))
    }

    async fn write(&self, key: &str, content: Bytes, before: Option<&Version>) -> Result<Version, Trouble> {
        let mode = match before {
            _ if !self.is_conditional() => PutMode::Overwrite,
            None => PutMode::Create,
            Some(version) => PutMode::Update(version.clone()),
        };
        let put = self.client().put_opts(&path(key)?, content.into(), PutOptions::from(mode)).await;
        put.map(Version::from).map_err(|error| self.trouble(Doing::Write, key, error))
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error> {
        let prefix = (!folder.is_empty()).then(|| path(folder)).transpose()?;
        let all = self.client().list(prefix.as_ref());
        let all = all.map_ok(|found| (found.location.to_string(), found.size)).try_collect();
        all.await.map_err(|error| self.trouble(Doing::List, folder, error)).map_err(Trouble::error)
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let found = self.client().list_with_delimiter(Some(&path(folder)?)).await;
        let found = found.map_err(|error| self.trouble(Doing::List, folder, error)).map_err(Trouble::error)?;
        Ok(found.common_prefixes.iter().map(ToString::to_string).collect())
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.client().delete(&path(key)?).await.map_err(|error| self.trouble(Doing::Delete, key, error)) {
            Ok(()) | Err(Trouble::Gone) => Ok(()),
            Err(trouble) => Err(trouble.error()),
        }
    }
}
