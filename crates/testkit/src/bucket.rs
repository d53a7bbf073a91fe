//! A plain client of a bucket: the witness of what a reader of it gets.
use crate::servers::MINIO;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt,
    aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredential},
    client::HttpRequest,
    multipart::MultipartStore,
    path::Path,
    signer::Signer,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Who may do everything there, and the secret.
pub const ROOT: &str = "minioadmin";

/// Requests that are under way at a time.
const AT_ONCE: usize = 32;

/// A bucket of its own.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    endpoint: String,
    store: AmazonS3,
}

impl Bucket {
    /// Creates an empty bucket, whose name begins so.
    ///
    /// # Panics
    /// If that is not possible.
    pub async fn fresh(name: &str) -> Self {
        Self::fresh_at(MINIO, name).await
    }

    /// The same on another server.
    ///
    /// # Panics
    /// If that is not possible.
    pub async fn fresh_at(endpoint: &str, name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let bucket = Self::at(endpoint, &format!("{name}-{}-{nth}", std::process::id()));
        bucket.remove().await;
        bucket.send(reqwest::Method::PUT).await;
        bucket
    }

    /// The bucket of this name, there or not.
    ///
    /// # Panics
    /// If it can be none.
    pub fn named(name: &str) -> Self {
        Self::at(MINIO, name)
    }

    fn at(endpoint: &str, name: &str) -> Self {
        let options = ClientOptions::new().with_allow_http(true).with_allow_invalid_certificates(true);
        let store = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_client_options(options)
            .with_region("us-east-1")
            .with_access_key_id(ROOT)
            .with_secret_access_key(ROOT)
            .with_bucket_name(name)
            .build();
        Self { name: name.into(), endpoint: endpoint.into(), store: store.expect("a bucket can be described") }
    }

    /// The settings of a sink that writes to it.
    pub fn sink(&self) -> Value {
        json!({
            "type": "s3", "bucket": self.name, "endpoint": self.endpoint, "allowHttp": self.endpoint.starts_with("http://"),
            "accessKeyId": ROOT, "secretAccessKey": ROOT,
        })
    }

    /// The settings of the login of somebody who may do only this (`s3:GetObject`) there, for an hour.
    ///
    /// # Panics
    /// If the server gives none.
    pub async fn login_for(&self, actions: &[&str]) -> Value {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": [format!("arn:aws:s3:::{}", self.name), format!("arn:aws:s3:::{}/*", self.name)]},
        ]});
        let mut form = reqwest::Url::parse("http://form").expect("a URL");
        let asked = [("Action", "AssumeRole"), ("Version", "2011-06-15"), ("Policy", &policy.to_string())];
        form.query_pairs_mut().extend_pairs(asked);
        let mut request = HttpRequest::new(form.query().unwrap_or_default().to_owned().into());
        *request.method_mut() = reqwest::Method::POST;
        *request.uri_mut() = format!("{}/", self.endpoint).parse().expect("an address");
        let kind = "application/x-www-form-urlencoded".parse().expect("a header");
        request.headers_mut().insert(reqwest::header::CONTENT_TYPE, kind);
        let root = AwsCredential { key_id: ROOT.into(), secret_key: ROOT.into(), token: None };
        AwsAuthorizer::new(&root, "sts", "us-east-1").authorize(&mut request, None);
        let (parts, body) = request.into_parts();
        let sent = client().request(parts.method, parts.uri.to_string()).headers(parts.headers);
        let sent = sent.body(body.as_bytes().expect("a form").clone()).send().await.expect("the server answers");
        let answer = sent.text().await.expect("it says something");
        let told = |tag: &str| {
            let told = answer.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once("</"));
            told.map(|(told, _)| told.to_owned()).unwrap_or_else(|| panic!("there is no {tag} in {answer}"))
        };
        json!({
            "accessKeyId": told("AccessKeyId"), "secretAccessKey": told("SecretAccessKey"), "sessionToken": told("SessionToken"),
        })
    }

    /// Makes or removes the bucket itself.
    async fn send(&self, method: reqwest::Method) {
        let url = self.store.signed_url(method.clone(), &Path::default(), Duration::from_secs(60)).await;
        let url = url.expect("a request can be signed").to_string();
        loop {
            let sent = client().request(method.clone(), &url).send().await.expect("the server answers");
            match sent.status().as_u16() {
                200..300 | 404 | 409 => return,
                // It has only just started.
                503 => tokio::time::sleep(Duration::from_millis(50)).await,
                status => panic!("{method} {}: {status} {:?}", self.name, sent.text().await),
            }
        }
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

    /// All keys, the sink's own records among them.
    ///
    /// # Panics
    /// If they can't be listed.
    pub async fn keys(&self) -> Vec<String> {
        let found = self.store.list(None).map_ok(|found| found.location.to_string()).try_collect().await;
        found.expect("a bucket can be listed")
    }

    /// The content of an object, if it is there.
    ///
    /// # Panics
    /// If it can't be read.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        match self.store.get(&Path::parse(key).expect("a key")).await {
            Ok(found) => Some(found.bytes().await.expect("an object can be read")),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("{key}: {error}"),
        }
    }

    /// Writes an object.
    ///
    /// # Panics
    /// If it can't be written.
    pub async fn put(&self, key: &str, content: impl Into<Bytes>) {
        let put = self.store.put(&Path::parse(key).expect("a key"), content.into().into()).await;
        put.expect("an object can be written");
    }

    /// Removes an object.
    ///
    /// # Panics
    /// If it can't be removed.
    pub async fn delete(&self, key: &str) {
        self.store.delete(&Path::parse(key).expect("a key")).await.expect("an object can be removed");
    }

    /// The uploads that the sink's records name, whether or not they are there: key and id.
    pub async fn uploads(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for key in self.keys().await.into_iter().filter(|key| key.contains("_dataflow/")) {
            let record: Value = serde_json::from_slice(&self.get(&key).await.unwrap_or_default()).unwrap_or_default();
            let uploads = record["uploads"].as_array().cloned().unwrap_or_default();
            let text = |upload: &Value, name: &str| upload[name].as_str().unwrap_or_default().to_owned();
            all.extend(uploads.iter().map(|upload| (text(upload, "key"), text(upload, "id"))));
        }
        all
    }

    /// Whether an upload is under way: a part of it can be sent.
    pub async fn is_under_way(&self, key: &str, upload: &str) -> bool {
        let part = self.store.put_part(&Path::parse(key).expect("a key"), &upload.to_owned(), 9_000, "x".into()).await;
        part.is_ok()
    }

    /// Aborts an upload, as a lifecycle rule does.
    ///
    /// # Panics
    /// If it can't be aborted.
    pub async fn abort(&self, key: &str, upload: &str) {
        let aborted = self.store.abort_multipart(&Path::parse(key).expect("a key"), &upload.to_owned()).await;
        aborted.expect("an upload can be aborted");
    }

    /// Removes the bucket with all that it has.
    pub async fn remove(&self) {
        let keys: Result<Vec<_>, _> = self.store.list(None).map_ok(|found| found.location).try_collect().await;
        let delete = |key: Path| async move { self.store.delete(&key).await.is_ok() };
        let keys = keys.unwrap_or_default().into_iter();
        stream::iter(keys.map(delete)).buffer_unordered(AT_ONCE).for_each(|_| async {}).await;
        self.send(reqwest::Method::DELETE).await;
    }
}

/// A client that trusts the certificates of tests.
fn client() -> reqwest::Client {
    dataflow_tls::provide();
    reqwest::Client::builder().danger_accept_invalid_certs(true).build().expect("a client")
}
