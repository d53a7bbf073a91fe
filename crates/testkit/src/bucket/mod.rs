//! A plain client of a bucket, a container or a folder: the witness of what a reader of it gets.
mod azure;
mod folder;
mod s3;
mod users;

pub use azure::AZURITE;
pub use s3::ROOT;

use crate::servers;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::Path as FilePath,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// Requests that are under way at a time.
const AT_ONCE: usize = 32;

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bucket of MinIO.
    S3,
    /// A container of Azurite.
    Azure,
    /// A folder.
    Folder,
}

impl Kind {
    /// Whether its server, if it has one, is up; where it is required, that it is not is a failure.
    pub fn is_up(self) -> bool {
        match self {
            Self::S3 => servers::minio_is_up(),
            Self::Azure => servers::azurite_is_up(),
            Self::Folder => true,
        }
    }
}

/// A store as a plain client sees it.
#[async_trait]
trait Shelf: Debug + Send + Sync {
    /// The settings of a sink that writes to it.
    fn sink(&self) -> Value;
    /// A client of its own for the same place.
    fn again(&self) -> Arc<dyn Shelf>;
    /// Makes it, empty.
    async fn make(&self);
    /// Removes it, which is empty.
    async fn remove(&self);
    async fn keys(&self) -> Vec<String>;
    async fn get(&self, key: &str) -> Option<Bytes>;
    async fn put(&self, key: &str, content: Bytes);
    async fn delete(&self, key: &str);
    async fn is_under_way(&self, key: &str, upload: &str) -> bool;
    async fn abort(&self, key: &str, upload: &str);
}

/// A bucket of its own.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    endpoint: String,
    shelf: Arc<dyn Shelf>,
}

impl Bucket {
    /// Creates an empty bucket of S3, whose name begins so.
    ///
    /// # Panics
    /// If that is not possible.
    pub async fn fresh(name: &str) -> Self {
        Self::fresh_at(servers::MINIO, name).await
    }

    /// The same on another server.
    ///
    /// # Panics
    /// If that is not possible.
    pub async fn fresh_at(endpoint: &str, name: &str) -> Self {
        let name = unused(name);
        let shelf = Arc::new(s3::S3::new(endpoint, &name));
        Self { name, endpoint: endpoint.into(), shelf }.emptied().await
    }

    /// An empty one of a kind, whose name begins so.
    ///
    /// # Panics
    /// If that is not possible.
    pub async fn fresh_of(kind: Kind, name: &str) -> Self {
        match kind {
            Kind::S3 => Self::fresh(name).await,
            Kind::Azure => {
                let name = unused(name);
                let shelf = Arc::new(azure::Container::new(&name));
                Self { name, endpoint: AZURITE.into(), shelf }.emptied().await
            }
            Kind::Folder => Self::folder_in(&std::env::temp_dir(), name).await,
        }
    }

    /// A new folder in this one, whose name begins so.
    ///
    /// # Panics
    /// If it can't be made.
    pub async fn folder_in(parent: &FilePath, name: &str) -> Self {
        let path = parent.join(unused(name));
        let name = path.to_str().expect("a path that is text").to_owned();
        Self { name, endpoint: String::new(), shelf: Arc::new(folder::Folder::new(path)) }.emptied().await
    }

    async fn emptied(self) -> Self {
        self.remove().await;
        self.shelf.make().await;
        self
    }

    /// The same one by a client of its own.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { shelf: self.shelf.again(), ..self.clone() }
    }

    /// The settings of a sink that writes to it.
    pub fn sink(&self) -> Value {
        self.shelf.sink()
    }

    /// The same with its secret, if it has one, in a file.
    ///
    /// # Panics
    /// If that can't be written.
    pub fn sink_with_secret_in(&self, file: &FilePath) -> Value {
        let mut sink = self.sink();
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder can be created");
        for name in ["secretAccessKey", "accessKey"] {
            if let Some(secret) = sink[name].as_str().map(ToOwned::to_owned) {
                std::fs::write(file, secret).expect("the secret can be written");
                sink[name] = json!(format!("${{file:{}}}", file.display()));
            }
        }
        sink
    }

    /// The settings of the login of somebody who may do only this (`s3:GetObject`) there, for an hour. Of S3 alone.
    ///
    /// # Panics
    /// If the server gives none.
    pub async fn login_for(&self, actions: &[&str]) -> Value {
        s3::login_for(&self.endpoint, &self.name, actions).await
    }

    /// The settings of the login of a new user who may do this there; `status` is `enabled` or `disabled`. Of S3 alone.
    ///
    /// # Panics
    /// If the server makes none.
    pub async fn user(&self, actions: &[&str], status: &str) -> Value {
        users::user(&self.endpoint, &self.name, actions, status).await
    }

    /// That of a session whose time is over. Of S3 alone.
    ///
    /// # Panics
    /// If the server gives no session.
    pub async fn expired_login(&self) -> Value {
        users::expired(&self.login_for(&["s3:*"]).await)
    }

    /// The objects that a reader of data takes, by key, in order.
    ///
    /// # Panics
    /// If they can't be read.
    pub async fn objects(&self) -> BTreeMap<String, Bytes> {
        let mut objects = BTreeMap::new();
        let keys = self.keys().await.into_iter().filter(|key| !key.split('/').any(|part| part.starts_with('_')));
        let get = |key: String| async move {
            let found = self.get(&key).await.expect("what is listed is there");
            (key, found)
        };
        let mut found = stream::iter(keys.map(get)).buffer_unordered(AT_ONCE);
        while let Some((key, content)) = found.next().await {
            objects.insert(key, content);
        }
        objects
    }

    /// All keys, the sink's own records among them, in order.
    ///
    /// # Panics
    /// If they can't be listed.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys = self.shelf.keys().await;
        keys.sort_unstable();
        keys
    }

    /// The content of an object, if it is there.
    ///
    /// # Panics
    /// If it can't be read.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        self.shelf.get(key).await
    }

    /// Writes an object.
    ///
    /// # Panics
    /// If it can't be written.
    pub async fn put(&self, key: &str, content: impl Into<Bytes>) {
        self.shelf.put(key, content.into()).await;
    }

    /// Removes an object.
    ///
    /// # Panics
    /// If it can't be removed.
    pub async fn delete(&self, key: &str) {
        self.shelf.delete(key).await;
    }

    /// The uploads that the sink's records name, whether or not they are there: key and id.
    pub async fn uploads(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for key in self.keys().await.into_iter().filter(|key| key.contains("_dataflow/") && key.ends_with(".json")) {
            let record: Value = serde_json::from_slice(&self.get(&key).await.unwrap_or_default()).unwrap_or_default();
            let uploads = record["uploads"].as_array().cloned().unwrap_or_default();
            let text = |upload: &Value, name: &str| upload[name].as_str().unwrap_or_default().to_owned();
            all.extend(uploads.iter().map(|upload| (text(upload, "key"), text(upload, "id"))));
        }
        all
    }

    /// Whether an upload is under way: it has parts, or can be sent some.
    pub async fn is_under_way(&self, key: &str, upload: &str) -> bool {
        self.shelf.is_under_way(key, upload).await
    }

    /// Makes an upload go, as a lifecycle rule does, or time.
    ///
    /// # Panics
    /// If it can't be aborted.
    pub async fn abort(&self, key: &str, upload: &str) {
        self.shelf.abort(key, upload).await;
    }

    /// Removes the bucket with all that it has.
    pub async fn remove(&self) {
        self.shelf.remove().await;
    }
}

/// A name that no other test has.
fn unused(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A client that trusts the certificates of tests.
fn client() -> reqwest::Client {
    dataflow_tls::provide();
    reqwest::Client::builder().danger_accept_invalid_certs(true).build().expect("a client")
}

/// What `object_store` does alike everywhere.
async fn keys(store: &dyn ObjectStore) -> object_store::Result<Vec<String>> {
    store.list(None).map_ok(|found| found.location.to_string()).try_collect().await
}

async fn get(store: &dyn ObjectStore, key: &str) -> Option<Bytes> {
    match store.get(&Path::parse(key).expect("a key")).await {
        Ok(found) => Some(found.bytes().await.expect("an object can be read")),
        Err(object_store::Error::NotFound { .. }) => None,
        Err(error) => panic!("{key}: {error}"),
    }
}

async fn put(store: &dyn ObjectStore, key: &str, content: Bytes) {
    store.put(&Path::parse(key).expect("a key"), content.into()).await.expect("an object can be written");
}

async fn delete(store: &dyn ObjectStore, key: &str) {
    store.delete(&Path::parse(key).expect("a key")).await.expect("an object can be removed");
}

async fn empty(store: &dyn ObjectStore) {
    let all = keys(store).await.unwrap_or_default().into_iter();
    let delete = |key: String| async move { store.delete(&Path::parse(&key).expect("a key")).await.is_ok() };
    stream::iter(all.map(delete)).buffer_unordered(AT_ONCE).for_each(|_| async {}).await;
}
