//! An index that a pipeline writes to, as a plain search sees it.
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// Most documents that one search may return.
const ALL: u32 = 10_000;

/// An index that a sink creates. It goes with it.
#[derive(Debug)]
pub struct Index {
    server: &'static str,
    name: String,
}

impl Index {
    /// A name that no other pipeline of a test has.
    pub fn new(server: &'static str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self { server, name: format!("kill-out-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// The sink's spec. Its mapping takes no large totals. Each record has an id of its own, so that a doubled row would be
    /// visible.
    pub fn sink(&self) -> Value {
        json!({
            "type": "elasticsearch", "url": self.server, "index": self.name, "id": "meta.id",
            "createIndex": {"mappings": {"properties": {"total": {"type": "short"}}}},
        })
    }

    /// Deletes it before it goes.
    ///
    /// # Panics
    /// If that is not possible.
    pub async fn remove(&self) {
        remove(self.server, &self.name).await.expect("the index can be deleted");
    }

    /// The documents.
    ///
    /// # Panics
    /// If it can't be read.
    pub async fn documents(&self) -> Vec<String> {
        let url = format!("{}/{}", self.server, self.name);
        let client = client().expect("a client can be made");
        let refreshed = client.post(format!("{url}/_refresh")).send().await.expect("the server answers");
        assert!(refreshed.status().is_success(), "the index is there");
        let found = client.get(format!("{url}/_search?size={ALL}")).send().await.expect("the server answers");
        let found: Value = found.json().await.expect("the answer is JSON");
        let hits = found["hits"]["hits"].as_array().unwrap_or_else(|| panic!("{found}"));
        assert!((hits.len() as u32) < ALL, "too many documents for one search");
        hits.iter().map(|hit| hit["_source"].to_string()).collect()
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let (server, name) = (self.server, self.name.clone());
        let delete = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(remove(server, &name)).map_err(std::io::Error::other)
        };
        if !matches!(std::thread::spawn(delete).join(), Ok(Ok(()))) {
            eprintln!("{} stays", self.name);
        }
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().tls_backend_preconfigured(dataflow_tls::unused()).no_proxy().build()
}

async fn remove(server: &str, name: &str) -> reqwest::Result<()> {
    client()?.delete(format!("{server}/{name}")).send().await?.error_for_status().map(drop)
}
