//! A container of Azurite, Microsoft's emulator of Azure.
use super::{Shelf, client, delete, empty, get, keys, put};
use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    ClientOptions,
    azure::{AzureAccessKey, AzureAuthorizer, AzureCredential, MicrosoftAzure, MicrosoftAzureBuilder},
    client::HttpRequest,
    path::Path,
};
use reqwest::{
    Method, Url,
    header::{CONTENT_LENGTH, HeaderValue},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Where it answers, its account among it.
pub const AZURITE: &str = "http://127.0.0.1:10000/devstoreaccount1";
/// The account that each Azurite has, and its key, which Microsoft has published.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

#[derive(Debug)]
pub(super) struct Container {
    name: String,
    store: MicrosoftAzure,
}

impl Container {
    pub(super) fn new(name: &str) -> Self {
        let store = MicrosoftAzureBuilder::new()
            .with_account(ACCOUNT)
            .with_access_key(KEY)
            .with_endpoint(AZURITE.into())
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .with_container_name(name)
            .build();
        Self { name: name.into(), store: store.expect("a container can be described") }
    }

    /// A request of this container or a blob of it; returns status and answer.
    async fn send(&self, method: Method, key: &str, query: &[(&str, &str)], body: &'static str) -> (u16, String) {
        let mut url = Url::parse(&format!("{AZURITE}/{}", self.name)).expect("a URL");
        if !key.is_empty() {
            url.path_segments_mut().expect("it has a path").extend(Path::parse(key).expect("a key").parts());
        }
        url.query_pairs_mut().extend_pairs(query);
        let mut request = HttpRequest::new(body.to_owned().into());
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().expect("an address");
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).expect("a key"));
        AzureAuthorizer::new(&credential, ACCOUNT).authorize(&mut request);
        let (parts, _) = request.into_parts();
        let sent = client().request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body).send().await;
        let answer = sent.expect("the server answers");
        (answer.status().as_u16(), answer.text().await.unwrap_or_default())
    }
}

#[async_trait]
impl Shelf for Container {
    fn sink(&self) -> Value {
        json!({
            "type": "azureblob", "container": self.name, "account": ACCOUNT, "endpoint": AZURITE, "allowHttp": true, "accessKey": KEY,
        })
    }
    fn again(&self) -> Arc<dyn Shelf> {
        Arc::new(Self::new(&self.name))
    }
    async fn make(&self) {
        let (status, said) = self.send(Method::PUT, "", &[("restype", "container")], "").await;
        assert_eq!(status, 201, "{said}");
    }
    async fn remove(&self) {
        empty(&self.store).await;
        self.send(Method::DELETE, "", &[("restype", "container")], "").await;
    }
    async fn keys(&self) -> Vec<String> {
        keys(&self.store).await.expect("a container can be listed")
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
    async fn is_under_way(&self, key: &str, _: &str) -> bool {
        let query = [("comp", "blocklist"), ("blocklisttype", "uncommitted")];
        self.send(Method::GET, key, &query, "").await.1.contains("<Block>")
    }
    /// Blocks that are not in a list which is committed go, as they do after a week.
    async fn abort(&self, key: &str, _: &str) {
        let (status, said) = self.send(Method::PUT, key, &[("comp", "blocklist")], "<BlockList></BlockList>").await;
        assert_eq!(status, 201, "{said}");
        delete(&self.store, key).await;
    }
}
