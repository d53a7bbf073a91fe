//! `postgres`: rows of a table in a PostgreSQL database.
mod audit;
mod audit_keys;
mod audit_types;
mod care;
mod definition;
mod drops;
mod durable;
mod encode;
mod exact;
mod failure;
mod holders;
mod list;
mod locks;
mod made;
mod moment;
mod numeric;
mod others;
mod pairs;
mod pipeline;
mod schema;
mod search;
mod statement;
mod target;
mod tokens;
mod transaction;
mod types;
mod writer;

use crate::table::{Columns, Mode, Names, Naming, Options, Unknown};
use async_trait::async_trait;
use dataflow_core::{
    spec::Millis,
    token::{Fence, Token},
};
use dataflow_postgres::pool;
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    audit::{Audit, Audited},
    declared::SinkRows,
    sink::{DeliveryMode, OpenLane, Opened, Sink, Traces},
};
use dataflow_tls::Tls;
use schemars::JsonSchema;
use serde::Deserialize;

/// Writes records to a table in a PostgreSQL database.
///
/// Column types: boolean, the integers and floats, numeric, text and its variants, enums, timestamptz, timestamp, date,
/// uuid, json, jsonb, bytea, and domains over them; other scalar types (time, interval, inet, …) are written from text,
/// arrays from JSON lists. Composite types can't be written. The guide to PostgreSQL has the whole table.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-replaced" = {"addColumns": "unknownFields: add"}))]
pub struct PostgresSink {
    /// URL of the database: `postgres://user:password@host:5432/database`. Default: that of the node's connection.
    #[schemars(extend("x-address" = true))]
    pub url: Option<String>,
    /// Certificates for TLS. What is checked of the server's, the url says as libpq has it: `sslmode=require` nothing (with `ca`, as
    /// `verify-ca`), `verify-ca` its authority, `verify-full` its host name, too. Without `sslmode`: `verify-full` if this is given,
    /// otherwise `prefer`, which encrypts if the server can.
    pub tls: Option<Tls>,
    /// Name of the table, `users` or `sales.users`, spelled exactly as in the database.
    pub table: String,
    /// Columns to write: their names, or names and types. Default: all columns of the table, or, if the table is
    /// missing, all top-level fields with the types of the first batch. If a record lacks a field, its column keeps its
    /// value, or gets its default in a new row.
    pub columns: Option<Columns>,
    /// Key columns: one name or several. They need a unique index, and become the primary key of a table that the sink
    /// creates.
    pub key: Option<Names>,
    /// What a record does: replace the row with the same key or add one (`upsert`), or always add one (`append`).
    /// Default: `upsert` if there is a key or the table has a primary key (which is then the key), otherwise `append`.
    pub mode: Option<Mode>,
    /// What becomes of the row of a record's key: an expression over the output record. The row is deleted if the value is `delete` or
    /// `d`, and written if it is null, `index`, `upsert`, `create`, `insert`, `update`, `read`, `c`, `i`, `u` or `r`. Records without
    /// data (tombstones) are deletes in any case. Of a delete only the key columns are looked at.
    pub op: Option<String>,
    /// Whether a missing table is created.
    #[serde(default = "yes")]
    pub create_table: bool,
    /// What happens to fields without a column in the table. Existing columns are never changed. A record whose fields
    /// all lack a column is a dead letter. Default: `add` for a table that a
    /// pipeline has made, if neither gives `columns`, and `ignore` for any other.
    pub unknown_fields: Option<Unknown>,
    /// How long to wait for a lock of an earlier writer before breaking it.
    #[serde(default = "ten_seconds")]
    pub fence_timeout: Millis,
    /// Most connections to this server, for all pipelines of the node together; breaking a lock uses one more for a
    /// moment. The first pipeline that uses the server decides.
    #[serde(default = "sixteen")]
    pub max_connections: u16,
}

impl std::fmt::Debug for PostgresSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the URL, which may hold a password.
        f.debug_struct("PostgresSink").field("table", &self.table).finish_non_exhaustive()
    }
}

/// PostgreSQL's rules for names, which are always quoted.
const NAMING: Naming = Naming {
    database: "PostgreSQL",
    longest: Some(63),
    taken: &["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"],
    same: |a, b| a == b,
};

fn yes() -> bool {
    true
}
fn ten_seconds() -> Millis {
    Millis(10_000)
}
fn sixteen() -> u16 {
    16
}

impl PostgresSink {
    fn options(&self) -> Options {
        Options {
            table: self.table.clone(),
            same_table: |a, b| a == b,
            columns: self.columns.clone(),
            key: self.key.clone(),
            mode: self.mode,
            op: self.op.clone(),
            create_table: self.create_table,
            unknown_fields: self.unknown_fields,
            own: false,
            grows: false,
        }
    }

    fn server(&self, cx: &Context) -> Result<pool::Server, Error> {
        pool::server(self.url.as_deref().unwrap_or_default(), self.tls.as_ref(), &cx.paths, self.max_connections)
    }
}

impl SinkConfig for PostgresSink {
    const TYPE: &'static str = "postgres";
    const SUMMARY: &'static str = "Writes records to a table in a PostgreSQL database.";
    const DELIVERY: DeliveryMode = DeliveryMode::Transactional;
    const GUARANTEE: &'static str = "Exactly once: rows and progress (table dataflow_tokens, in the same schema) become durable in one transaction. \
         Void if somebody changes dataflow_tokens, or the server runs with fsync off and its machine crashes.";
    const CONNECTION: Option<&'static str> = Some("postgres");

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.options().check(&NAMING);
        match &self.url {
            Some(url) => problems.extend(pool::check(url, self.tls.as_ref())),
            None => {
                let problem = Problem::new("url", "missing-field", "no PostgreSQL server is given");
                problems
                    .push(problem.fix("give url here, or set [connections.postgres.default] in the node's settings"));
            }
        }
        if self.table.matches('.').count() > 1 {
            let problem =
                Problem::new("table", "invalid-value", format!("{:?} has more parts than schema and name", self.table));
            problems.push(problem.fix("write schema.table; the database is part of the url"));
        }
        if self.max_connections == 0 {
            let problem = Problem::new("maxConnections", "too-few", "the sink needs at least one connection");
            problems.push(problem.fix("set maxConnections to 1 or more"));
        }
        problems
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(self)
    }
    fn target(&self) -> String {
        format!("{} {}", pool::target(self.url.as_deref().unwrap_or_default()), self.table)
    }
    fn writes(&self) -> Vec<(&'static str, String)> {
        vec![("table", pool::table(self.url.as_deref().unwrap_or_default(), &self.table))]
    }
    fn rows(&self) -> SinkRows {
        self.options().rows()
    }
    fn tuning() -> &'static [&'static str] {
        &["fenceTimeout", "maxConnections", "tls"]
    }
}

#[async_trait]
impl Sink for PostgresSink {
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
        let options = self.options().as_known_to(&lane)?;
        writer::open(self.server(cx)?, options, self.fence_timeout.into(), &lane).await
    }
    fn recognizes(&self, handle: Option<&serde_json::Value>) -> bool {
        self.options().recognizes(handle)
    }
    async fn token(&self, cx: &Context, fence: &Fence) -> Result<Option<Token>, Error> {
        let server = self.server(cx)?;
        let schema = target::schema_of(&server, &self.table).await?;
        tokens::read(&server, &schema, fence).await
    }
    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        let server = self.server(cx)?;
        let schema = target::schema_of(&server, &self.table).await?;
        tokens::has_traces(&server, &schema, target::name_of(&self.table), traces).await
    }
    async fn audit(&self, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        audit::open(self, cx, &audit).await.map(Some)
    }
}
