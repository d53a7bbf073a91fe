//! An index of a test, written by the sink and read by a plain client.
use async_trait::async_trait;
use dataflow_core::{position::Position, token::Token};
use dataflow_sdk::{
    Error, Records, SinkConfig, Span,
    batch::{Output, Payload},
    records::{Layout, Slices},
    sink::{CommitError, Committed, DeliveryMode, OpenLane, Opened, Sink, Writer},
};
use dataflow_sinks::ElasticsearchSink;
use dataflow_testkit::{
    conformance::Subject,
    fixture::{context, fence, open_lane, token},
    servers,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// Runs a test on each server that is up.
pub(crate) async fn on_each<F: Future<Output = ()>>(test: impl Fn(&'static str) -> F) {
    for url in servers::search() {
        test(url).await;
    }
}

/// A plain client.
pub(crate) async fn ask(method: &str, url: &str, body: Value) -> Value {
    dataflow_tls::provide();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method.parse().unwrap(), url);
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let text = request.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// A document that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doc {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) version: u64,
}

pub(crate) struct Target {
    pub(crate) url: &'static str,
    pub(crate) index: String,
    more: Value,
}

impl Target {
    /// An index that is not there yet, and settings of the sink beside it.
    pub(crate) fn new(url: &'static str, more: Value) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let index = format!("sinks-es-{}-{}-x", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { url, index, more }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}/{}{path}", self.url, self.index)
    }

    pub(crate) fn config(&self) -> ElasticsearchSink {
        let mut config = json!({"url": self.url, "index": self.index});
        for (name, value) in self.more.as_object().unwrap() {
            config[name] = value.clone();
        }
        serde_json::from_value(config).unwrap()
    }

    pub(crate) fn sink(&self) -> Box<dyn Sink> {
        self.config().build()
    }

    pub(crate) async fn open(&self) -> Result<Opened, Error> {
        self.open_as(open_lane(&fence("p", 1))).await
    }

    pub(crate) async fn open_as(&self, lane: OpenLane) -> Result<Opened, Error> {
        self.sink().open(&context("p"), lane).await
    }

    /// Opens it and writes rows as one commit; refused ones are left out, and returned with their causes.
    pub(crate) async fn write(&self, rows: Vec<(Option<&str>, Option<&str>)>) -> BTreeMap<usize, String> {
        let mut writer = self.open().await.unwrap().writer;
        let (_, refused) = write(&mut *writer, output(&rows), 1).await.unwrap();
        writer.close().await;
        refused
    }

    /// The same, where the server is busy: opened again until all of it is written, as a run does. Returns also how often.
    pub(crate) async fn write_again(&self, output: &Output) -> (Committed, u32) {
        for times in 0..20 {
            let mut writer = self.open().await.unwrap().writer;
            match write(&mut *writer, output.clone(), 1).await {
                Ok((committed, refused)) if refused.is_empty() => return (committed, times),
                Err(Error::Transient { code: "busy" | "timed-out", .. }) => {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                other => panic!("{}: {other:?}", self.url),
            }
        }
        panic!("{}: it never comes to an end", self.url)
    }

    /// All documents, by id.
    pub(crate) async fn documents(&self) -> Vec<Doc> {
        ask("POST", &self.at("/_refresh"), Value::Null).await;
        let url = self.at("/_search?version=true&size=10000");
        dataflow_tls::provide();
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        #[derive(serde::Deserialize)]
        struct Hit {
            _id: String,
            _version: u64,
            _source: Box<serde_json::value::RawValue>,
        }
        let mut answer: BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(&text).unwrap();
        let hits = answer.remove("hits").unwrap_or_else(|| panic!("{text}"));
        let mut hits: BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(hits.get()).unwrap();
        let hits: Vec<Hit> = serde_json::from_str(hits.remove("hits").unwrap().get()).unwrap();
        let mut all: Vec<Doc> = hits
            .into_iter()
            .map(|hit| Doc { id: hit._id, source: hit._source.get().into(), version: hit._version })
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}

/// Records with keys, and their documents as they are; without data: tombstones.
pub(crate) fn output(rows: &[(Option<&str>, Option<&str>)]) -> Output {
    let (mut data, mut keys) = (Vec::new(), Vec::new());
    let put = |into: &mut Vec<u8>, text: Option<&str>| match text {
        Some(text) => {
            into.extend_from_slice(text.as_bytes());
            Span::new(into.len() - text.len(), into.len())
        }
        None => Span::NULL,
    };
    let mut records = Records::empty("p/0".into(), Position::offset(0), Layout::Json);
    records.spans = rows.iter().map(|(_, document)| put(&mut data, *document)).collect();
    let spans = rows.iter().map(|(key, _)| put(&mut keys, *key)).collect();
    records.keys = Some(Slices { data: keys.into(), spans });
    records.offsets = (0..rows.len() as u64).collect();
    records.data = data.into();
    let payload = Payload::Documents { data: records.data.clone(), spans: records.spans.clone() };
    Output::of(Arc::new(records), (0..rows.len() as u32).collect(), payload)
}

/// Commits as the engine does: what is refused is left out, and the rest comes again.
pub(crate) async fn write(
    writer: &mut dyn Writer,
    output: Output,
    sequence: u64,
) -> Result<(Committed, BTreeMap<usize, String>), Error> {
    write_as(writer, output, &token(&fence("p", 1), sequence)).await
}

pub(crate) async fn write_as(
    writer: &mut dyn Writer,
    output: Output,
    token: &Token,
) -> Result<(Committed, BTreeMap<usize, String>), Error> {
    let (mut left, mut refused) = (output, BTreeMap::new());
    loop {
        match writer.commit(&[left.clone()].into(), token).await {
            Ok(committed) => return Ok((committed, refused)),
            Err(CommitError::Rejected(rows)) => {
                let gone: Vec<usize> = rows.iter().map(|row| row.row).collect();
                refused.extend(rows.into_iter().map(|row| (left.rows[row.row] as usize, row.cause)));
                left = left.retain(|row| !gone.contains(&row));
            }
            Err(CommitError::Failed(error)) => return Err(error),
        }
    }
}

#[async_trait]
impl Subject for Target {
    fn sink(&self) -> Box<dyn Sink> {
        self.sink()
    }
    fn delivery(&self) -> DeliveryMode {
        ElasticsearchSink::DELIVERY
    }
    async fn rows(&self) -> Vec<(i64, String)> {
        let documents = self.documents().await;
        let values = documents.iter().map(|document| serde_json::from_str::<Value>(&document.source).unwrap());
        values.map(|row| (row["id"].as_i64().unwrap(), row["name"].as_str().unwrap().into())).collect()
    }
    fn upserts(&self) -> bool {
        true
    }
    fn refused_name(&self) -> Option<&'static str> {
        // No term of a keyword may be as long.
        Some(Box::leak("x".repeat(33_000).into_boxed_str()))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let url = self.at("*");
        let delete = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for index in ask("GET", &url, Value::Null).await.as_object().into_iter().flat_map(|found| found.keys())
                {
                    let (server, _) = url.rsplit_once('/').unwrap();
                    ask("DELETE", &format!("{server}/{}", index.replace('%', "%25")), Value::Null).await;
                }
            });
        });
        assert!(delete.join().is_ok());
    }
}
