//! A schema of a real server to write to.
pub(crate) use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
pub(crate) use dataflow_core::types::Type;
pub(crate) use dataflow_sdk::{
    Error, SinkConfig,
    batch::{Column, Demand, Payload},
    sink::{CommitError, DeliveryMode, Opened, Sink},
};
pub(crate) use dataflow_sinks::PostgresSink;
pub(crate) use dataflow_testkit::{
    conformance::{self, Subject},
    fixture::{context, fence, open_lane, output, token},
};
pub(crate) use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
pub(crate) use tokio_postgres::{Client, NoTls};

pub(crate) const SERVER: &str = "postgres://dataflow:dataflow@127.0.0.1:5432/dataflow";

pub(crate) async fn connect() -> Option<Client> {
    match tokio_postgres::connect(SERVER, NoTls).await {
        Ok((client, connection)) => {
            tokio::task::spawn(connection);
            Some(client)
        }
        Err(error) if std::env::var("DATAFLOW_REQUIRE_SERVICES").is_ok_and(|value| value == "1") => {
            panic!("no PostgreSQL ({error}): start it with dev/services/services.sh up postgres")
        }
        Err(error) => {
            eprintln!("skipped: no PostgreSQL ({error}); start it with dev/services/services.sh up postgres");
            None
        }
    }
}

/// A statement that sees to an extension. A database has each once, so it stays: another test may use it at the same time.
pub(crate) fn extension_statement(name: &str) -> String {
    format!(
        "select pg_advisory_lock(7041); create extension if not exists {name} schema public; select pg_advisory_unlock(7041);"
    )
}

pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) schema: String,
    pub(crate) more: serde_json::Value,
    pub(crate) refuses: bool,
    /// Whom the sink acts as; none: the user of the url.
    pub(crate) role: Option<String>,
}

impl Target {
    /// A schema of its own; `setup` runs in it.
    pub(crate) async fn new(setup: &str, more: serde_json::Value) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let client = connect().await?;
        let schema = format!("sink_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let begin = format!(
            "drop schema if exists {schema} cascade; create schema {schema}; set search_path to {schema}, public; {setup}"
        );
        client.batch_execute(&begin).await.unwrap();
        Some(Self { client, schema, more, refuses: setup.contains("refused"), role: None })
    }
    pub(crate) fn url(&self) -> String {
        let role = self.role.as_ref().map_or(String::new(), |role| format!("%20-crole%3D{role}"));
        format!("{SERVER}?options=-csearch_path%3D{}%2Cpublic{role}", self.schema)
    }
    pub(crate) async fn try_open(&self, epoch: u64) -> Result<Opened, Error> {
        self.sink().open(&context("p"), open_lane(&fence("p", epoch))).await
    }
    pub(crate) async fn texts(&self, query: &str) -> Vec<Option<String>> {
        self.client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
    pub(crate) async fn drop(self) {
        self.client.batch_execute(&format!("drop schema {} cascade", self.schema)).await.unwrap();
    }
}

#[async_trait]
impl Subject for Target {
    fn sink(&self) -> Box<dyn Sink> {
        let mut config = json!({"url": self.url(), "table": "users", "maxConnections": 4, "fenceTimeout": "300ms"});
        config.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        let sink: PostgresSink = serde_json::from_value(config).unwrap();
        assert!(sink.check().is_empty(), "{:?}", sink.check());
        sink.build()
    }
    fn delivery(&self) -> DeliveryMode {
        PostgresSink::DELIVERY
    }
    async fn rows(&self) -> Vec<(i64, String)> {
        let Ok(rows) = self.client.query("select id::bigint, name::text from users", &[]).await else {
            return Vec::new();
        };
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
    fn upserts(&self) -> bool {
        self.more.get("key").is_some()
    }
    async fn clear(&self) -> bool {
        self.client.batch_execute("delete from users").await.is_ok()
    }
    fn refused_name(&self) -> Option<&'static str> {
        self.refuses.then_some("refused")
    }
}

pub(crate) async fn conforms(setup: &str, more: serde_json::Value) {
    if connect().await.is_some() {
        conformance::sink(|| async { Target::new(setup, more.clone()).await.unwrap() }).await;
    }
}

/// A batch of these columns in place of an output's.
pub(crate) fn with_columns(demand: &Demand, columns: Vec<ArrayRef>) -> dataflow_sdk::batch::Output {
    let rows = columns[0].len();
    let pairs: Vec<_> = (0..rows).map(|row| (Some(row as i64), Some("x"))).collect();
    let mut out = output(&Demand::Documents, 0, &pairs);
    let Demand::Columns(wanted) = demand else { panic!("{demand:?}") };
    let fields = wanted
        .iter()
        .map(|column| arrow::datatypes::Field::new(&column.name, dataflow_sdk::batch::arrow_type(column.ty), true));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
    out.payload = Payload::Columns(RecordBatch::try_new(schema, columns).unwrap().into());
    out
}
