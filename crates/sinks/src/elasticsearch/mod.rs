//! `elasticsearch`: documents of Elasticsearch or OpenSearch, one for each key.
//!
//! A commit is one `_bulk` request, or several: each row is written with the commit's version (`external_gte`), so that a
//! replay converges and what an older owner still sends is refused. There is no transaction: a commit may have been applied in
//! part, and is then applied again. Each request also asks which index it has reached, since servers make one anew that was
//! deleted.
mod audit;
mod bulk;
mod client;
mod failure;
mod indices;
mod opening;
mod pattern;
mod rows;
mod settings;
mod target;
#[cfg(test)]
mod tests;
mod verdict;
mod writer;

pub use settings::{CreateIndex, ElasticsearchSink, Urls};

use async_trait::async_trait;
use dataflow_core::types::Type;
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    audit::{Audit, Audited},
    declared::{SideExpression, SinkRows},
    sink::{DeliveryMode, OpenLane, Opened, Sink, Traces},
};

impl SinkConfig for ElasticsearchSink {
    const TYPE: &'static str = "elasticsearch";
    const SUMMARY: &'static str = "Writes documents to Elasticsearch or OpenSearch, one for each key.";
    const DELIVERY: DeliveryMode = DeliveryMode::Keyed;
    const GUARANTEE: &'static str = "Exactly once in effect: each document has the id of its record, or that of `id`, and a version that only rises, so that \
         writing it again changes nothing, and what an older run still sends is refused. Void for what an older run sends after a \
         document was deleted for longer than index.gc_deletes (60 s), if somebody else writes the same documents, and if a \
         record's index or id depends on when it is processed.";
    const CONNECTION: Option<&'static str> = Some("elasticsearch");

    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    fn build(self) -> Box<dyn Sink> {
        Box::new(self)
    }

    fn target(&self) -> String {
        let mut urls: Vec<String> = self.urls().iter().map(|url| client::shown(url).to_lowercase()).collect();
        urls.sort_unstable();
        format!("{} {}", urls.join(","), self.index)
    }

    /// In the order in which `rows` takes them.
    fn rows(&self) -> SinkRows {
        let expression =
            |path: &str, text: &str| SideExpression { path: path.into(), text: text.into(), ty: Type::Text };
        let pattern = pattern::Pattern::parse(&self.index).unwrap_or_default();
        let mut side: Vec<SideExpression> = pattern.expressions().map(|text| expression("index", text)).collect();
        side.extend(self.id.iter().map(|text| expression("id", text)));
        let by_id = self.id.is_none().then_some("id");
        SinkRows { side, tombstones: true, op: self.op.clone(), by_id, ..SinkRows::default() }
    }

    fn tuning() -> &'static [&'static str] {
        &["gzip", "refresh", "maxRequestBytes", "requestTimeout", "createIndex", "user", "password", "apiKey", "tls"]
    }
}

#[async_trait]
impl Sink for ElasticsearchSink {
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        opening::open(self, cx, lane).await
    }

    async fn missing(&self, cx: &Context, handle: &serde_json::Value, rows: u64) -> Result<Option<u64>, Error> {
        opening::missing(self, cx, handle, rows).await
    }

    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        opening::is_target_of(self, cx, traces).await
    }

    async fn audit(&self, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        audit::open(self, cx, audit).await.map(Some)
    }
}
