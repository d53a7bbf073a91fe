//! A bucket of S3.
use super::{Shelf, client, delete, empty, get, keys, put, users};
use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    ClientOptions,
    aws::{AmazonS3, AmazonS3Builder},
    multipart::MultipartStore,
    path::Path,
    signer::Signer,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Who may do everything there, and the secret.
pub const ROOT: &str = "minioadmin";

#[derive(Clone, Debug)]
pub(super) struct S3 {
    name: String,
    endpoint: String,
    store: AmazonS3,
}

impl S3 {
    pub(super) fn new(endpoint: &str, name: &str) -> Self {
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
}

#[async_trait]
impl Shelf for S3 {
    fn sink(&self) -> Value {
        json!({
            "type": "s3", "bucket": self.name, "endpoint": self.endpoint, "allowHttp": self.endpoint.starts_with("http://"),
            "accessKeyId": ROOT, "secretAccessKey": ROOT,
        })
    }
    fn again(&self) -> Arc<dyn Shelf> {
        Arc::new(Self::new(&self.endpoint, &self.name))
    }
    async fn make(&self) {
        self.send(reqwest::Method::PUT).await;
    }
    async fn remove(&self) {
        empty(&self.store).await;
        self.send(reqwest::Method::DELETE).await;
    }
    async fn keys(&self) -> Vec<String> {
        keys(&self.store).await.expect("a bucket can be listed")
    }
    async fn get(&self, key: &str) -> Option<Bytes> {
        get(&self.store, key).await
    }
    async fn put(&self, key: &str, content: Bytes) {
        put(&self.store, key, content).await;
    }
    async fn delete(&self, key: &str) {
        delete(&self.store, key).await;
    }
    async fn is_under_way(&self, key: &str, upload: &str) -> bool {
        let part = self.store.put_part(&Path::parse(key).expect("a key"), &upload.to_owned(), 9_000, "x".into()).await;
        part.is_ok()
    }
    async fn abort(&self, key: &str, upload: &str) {
        let aborted = self.store.abort_multipart(&Path::parse(key).expect("a key"), &upload.to_owned()).await;
        aborted.expect("an upload can be aborted");
    }
}

/// The settings of the login of somebody who may do only this (`s3:GetObject`) in a bucket, for an hour.
pub(super) async fn login_for(endpoint: &str, name: &str, actions: &[&str]) -> Value {
    let policy = users::policy(name, actions).to_string();
    let mut form = reqwest::Url::parse("http://form").expect("a URL");
    form.query_pairs_mut().extend_pairs([("Action", "AssumeRole"), ("Version", "2011-06-15"), ("Policy", &policy)]);
    let form = form.query().unwrap_or_default().as_bytes().to_vec();
    let answer = users::ask(endpoint, "sts", reqwest::Method::POST, "/", form).await;
    let told = |tag: &str| {
        let told = answer.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once("</"));
        told.map(|(told, _)| told.to_owned()).unwrap_or_else(|| panic!("there is no {tag} in {answer}"))
    };
    json!({
        "accessKeyId": told("AccessKeyId"), "secretAccessKey": told("SecretAccessKey"), "sessionToken": told("SessionToken"),
    })
}
