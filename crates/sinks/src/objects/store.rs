//! What the sink needs of a store of objects. The rest of the sink knows nothing else of one: each kind of store is one file that
//! says how an upload is begun, completed and given up there, and how it is settled whether one that can't be completed is an
//! object already.
use super::{failure::Trouble, handle::Object};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_sdk::{Context, Error};
use std::{fmt::Debug, sync::Arc};

/// A store that is reached.
pub(crate) type Store = Arc<dyn Uploads>;

/// Which version of an object was read or written: it is replaced only as long as it is that one.
pub(crate) use object_store::UpdateVersion as Version;

/// A config of a sink: what its objects look like, and where they go.
pub(crate) trait Reaches: Debug + Send + Sync + 'static {
    /// What its objects look like.
    fn layout(&self) -> &super::Layout;
    /// The store as its settings say. Makes no request yet.
    ///
    /// # Errors
    /// If the settings, or what they refer to, can't be used.
    fn reach(&self, cx: &Context) -> Result<Store, Error>;
}

/// What completing an upload has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completed {
    /// Its object is there.
    Published,
    /// Neither is its object there, nor can it become one: the server has begun to complete it, and forgotten it half way.
    Forgotten,
    /// There is neither upload nor object.
    Gone,
}

/// Whole objects: the sink's records, and what is published.
#[async_trait]
pub(crate) trait Objects: Debug + Send + Sync {
    /// How users call a place in it.
    fn place(&self, key: &str) -> String;
    /// The bytes of an object, if it is there.
    async fn size(&self, key: &str) -> Result<Option<u64>, Error>;
    /// The content of an object and its version; none if it is not there.
    async fn read(&self, key: &str) -> Result<Option<(Bytes, Version)>, Error>;
    /// Writes a small object in the place of this version of it; none: only if there is none. What is written is durable.
    ///
    /// # Errors
    /// [`Trouble::Changed`] or [`Trouble::Gone`] if it is not that version.
    async fn write(&self, key: &str, content: Bytes, before: Option<&Version>) -> Result<Version, Trouble>;
    /// The keys and sizes of all objects below a folder. Uploads are none.
    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error>;
    /// The folders in a folder.
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Error>;
    /// Deletes an object, if it is there.
    async fn delete(&self, key: &str) -> Result<(), Error>;

    /// Whether an object was published. Nobody else has its name: one of another length was altered.
    async fn is_published(&self, object: &Object) -> Result<bool, Error> {
        match self.size(&object.key).await? {
            None => Ok(false),
            Some(size) if size == object.bytes => Ok(true),
            Some(size) => {
                let place = self.place(&object.key);
                let message = format!(
                    "{place} has {size} bytes, not the {} that were uploaded: somebody else wrote it",
                    object.bytes
                );
                let fix = "remove the object and choose where to continue: set the checkpoint";
                Err(Error::contradicts("object-changed", message, fix))
            }
        }
    }
}

/// Uploads: parts that are durable and that nobody sees, until one request makes an object of them. No name is used twice, and
/// only what the journal counts is completed.
#[async_trait]
pub(crate) trait Uploads: Objects {
    /// Begins an upload; returns its id. It is recorded before the first part is sent: one that is begun by a node which is
    /// killed before that is in nobody's way.
    async fn begin(&self, key: &str) -> Result<String, Trouble>;
    /// Uploads a part, perhaps at the same time as others of it; returns what the store calls it. It may come again. It is
    /// durable then.
    ///
    /// # Errors
    /// [`Trouble::Gone`] if the upload was given up.
    async fn put_part(&self, key: &str, upload: &str, number: usize, part: Bytes) -> Result<String, Trouble>;
    /// Makes an object of its upload, at once and whole, unless it is one already. It is durable then.
    async fn complete(&self, object: &Object) -> Result<Completed, Error>;
    /// Gives up an upload; one that is not there is given up already.
    async fn abort(&self, key: &str, upload: &str) -> Result<(), Error>;

    /// Whether a server of it that is killed may forget the parts of an upload that it was completing. Then the node keeps
    /// copies of objects of one part until they are published.
    fn may_forget(&self) -> bool {
        false
    }

    /// What has become of an upload that can't be completed, as it isn't there any more.
    async fn settle(&self, object: &Object) -> Result<Completed, Error> {
        Ok(if self.is_published(object).await? { Completed::Published } else { Completed::Gone })
    }
}
