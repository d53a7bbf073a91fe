#![allow(clippy::unwrap_used)]
use super::*;
use crate::{Context, Error, sink, source};
use async_trait::async_trait;
use dataflow_core::position::{Partition, Positions};
use serde::Deserialize;
use serde_json::{Map, json};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Reads a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct TableSource {
    /// Where the server is.
    #[schemars(extend("x-address" = true))]
    url: String,
    /// The table to read.
    table: String,
    /// Password of the user.
    #[schemars(extend("x-secret" = true))]
    password: Option<String>,
    /// Not marked, but called so.
    key_password: Option<String>,
    /// Types of columns, whatever they are called.
    #[serde(default)]
    columns: Option<Columns>,
    /// Free settings of the client.
    #[serde(default)]
    options: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Columns {
    Names(Vec<String>),
    Types(BTreeMap<String, dataflow_core::types::Type>),
}

impl SourceConfig for TableSource {
    const TYPE: &'static str = "table";
    const SUMMARY: &'static str = "Reads a table.";
    const GUARANTEE: &'static str = "Exactly once.";
    const CONNECTION: Option<&'static str> = Some("server");
    fn check(&self) -> Vec<Problem> {
        match self.url.strip_prefix("db://") {
            Some(_) => Vec::new(),
            None => vec![Problem::new("url", "invalid-value", format!("{:?} must begin with db://", self.url))],
        }
    }
    fn build(self) -> Box<dyn source::Source> {
        Box::new(Fake)
    }
}

/// Writes lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct LineSink {
    /// The file to write.
    #[schemars(extend("x-path" = true))]
    path: String,
    /// Where else.
    url: Option<String>,
    /// Between records.
    #[serde(default = "line_feed")]
    separator: String,
    /// How long to wait.
    timeout: Option<u32>,
    /// Password of the file.
    #[schemars(extend("x-secret" = true))]
    password: Option<String>,
}

fn line_feed() -> String {
    "\n".into()
}

impl SinkConfig for LineSink {
    const TYPE: &'static str = "lines";
    const SUMMARY: &'static str = "Writes lines.";
    const DELIVERY: DeliveryMode = DeliveryMode::Unfenced;
    const GUARANTEE: &'static str = "At least once.";
    const SINGLE_LANE: bool = true;
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn target(&self) -> String {
        self.path.to_lowercase()
    }
    fn build(self) -> Box<dyn Sink> {
        drop(self.path);
        Box::new(Fake)
    }
    fn tuning() -> &'static [&'static str] {
        &["timeout"]
    }
}

#[derive(Debug)]
struct Fake;

#[async_trait]
impl source::Source for Fake {
    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        Ok(Vec::new())
    }
    async fn open(&self, _: &Context, _: source::Assignment) -> Result<Box<dyn source::Reader>, Error> {
        Err(Error::fatal("test", "never opened"))
    }
    async fn resolve(&self, _: &Context, _: &source::Edge) -> Result<Positions, Error> {
        Ok(Positions::new())
    }
}

#[async_trait]
impl Sink for Fake {
    async fn open(&self, _: &Context, _: sink::OpenLane) -> Result<sink::Opened, Error> {
        Err(Error::fatal("test", "never opened"))
    }
}

#[derive(Debug)]
struct Env;

impl Secrets for Env {
    fn env(&self, name: &str) -> Option<String> {
        (name == "PW").then(|| "hunter2".into())
    }
    fn file(&self, path: &Path) -> std::io::Result<String> {
        if path == Path::new("/run/pw") { Ok("hunter2\n".into()) } else { Err(std::io::ErrorKind::NotFound.into()) }
    }
}

pub(crate) fn catalog() -> Catalog {
    Catalog::new().source::<TableSource>().sink::<LineSink>()
}

fn component(value: Value) -> Component {
    serde_json::from_value(value).unwrap()
}

fn connections() -> Connections {
    let fields = |value: Value| value.as_object().unwrap().clone();
    Connections::new(BTreeMap::new(), Arc::new(Env))
        .with("server", "default", fields(json!({"url": "db://here", "poolSize": 3})))
        .with("server", "main", fields(json!({"url": "db://main", "password": "in settings"})))
        .with("server", "broken", fields(json!({"url": 5})))
}

fn findings(value: Value) -> Vec<String> {
    let component = component(value);
    let problems = catalog().check_component(Role::Source, &component, &connections(), "source");
    problems.into_iter().map(|problem| format!("{} [{}] {problem}", problem.path, problem.code)).collect()
}

#[test]
fn a_component_takes_the_default_connection_a_named_one_or_its_own_fields() {
    assert_eq!(findings(json!({"type": "table", "table": "t"})), Vec::<String>::new());
    assert_eq!(findings(json!({"type": "table", "table": "t", "connection": "main"})), Vec::<String>::new());
    assert_eq!(findings(json!({"type": "table", "table": "t", "url": "db://own"})), Vec::<String>::new());
}

#[test]
fn findings_say_where_and_what_to_do() {
    let said = [
        json!({"type": "tabel"}),
        json!({"type": "table", "tabel": "t"}),
        json!({"type": "table", "table": 5}),
        json!({"type": "table", "table": "t", "connection": "mian"}),
        json!({"type": "table", "table": "t", "connection": "broken"}),
        json!({"type": "table", "table": "t", "url": "http://x"}),
        json!({"type": "table", "table": "t", "password": "hunter2"}),
        json!({"type": "table", "table": "t", "url": "db://me:hunter2@here"}),
        json!({"type": "table", "table": "t", "options": {"ssl.key.password": "hunter2", "x": "y"}}),
        json!({"type": "table", "table": "t", "keyPassword": "hunter2", "columns": {"password": "text"}}),
        json!({"type": "table", "table": "t", "password": "${env:PW"}),
        json!({"type": "table", "table": "t", "password": "${vault:PW}"}),
    ]
    .map(|value| format!("{value}\n  {}", findings(value.clone()).join("\n  ")))
    .join("\n");
    insta::assert_snapshot!(said);
}

#[test]
fn secrets_are_looked_up_only_when_a_connector_is_built() {
    let build = |value: Value| catalog().build_source(&component(value), &connections());
    assert!(build(json!({"type": "table", "table": "t", "password": "${env:PW}"})).is_ok());
    assert!(build(json!({"type": "table", "table": "t", "password": "${file:/run/pw}"})).is_ok());
    assert_eq!(findings(json!({"type": "table", "table": "t", "password": "${env:NONE}"})), Vec::<String>::new());
    let problems = build(json!({"type": "table", "table": "t", "password": "${env:NONE}"})).unwrap_err();
    assert_eq!((problems[0].path.as_str(), problems[0].code.as_str()), ("password", "secret-missing"));
    // What a check says about a value that has a secret in it doesn't give the secret away.
    let value = json!({"type": "table", "table": "t", "url": "http://me:${env:PW}@here"});
    assert_eq!(findings(value.clone()), Vec::<String>::new());
    let problems = build(value).unwrap_err();
    assert_eq!(problems[0].message, "\"http://me:***@here\" must begin with db://");
}

/// Says its password whenever it says something.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Chatty {
    /// Its password.
    #[schemars(extend("x-secret" = true))]
    password: String,
}

impl Chatty {
    fn warning(&self) -> crate::batch::Warning {
        let (subject, message) = (self.password.clone(), format!("mind {}", self.password));
        crate::batch::Warning { code: "test", subject, message, records: 0 }
    }

    fn error(&self) -> Error {
        Error::fatal("test", format!("no: {}", self.password)).fix(format!("not {:?}", self.password))
    }
}

impl SourceConfig for Chatty {
    const TYPE: &'static str = "chatty";
    const SUMMARY: &'static str = "Talks.";
    const GUARANTEE: &'static str = "None.";
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn build(self) -> Box<dyn source::Source> {
        Box::new(self)
    }
}

impl SinkConfig for Chatty {
    const TYPE: &'static str = "chatty";
    const SUMMARY: &'static str = "Talks.";
    const DELIVERY: DeliveryMode = DeliveryMode::Unfenced;
    const GUARANTEE: &'static str = "None.";
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn target(&self) -> String {
        String::new()
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(self)
    }
}

#[async_trait]
impl source::Source for Chatty {
    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        Err(Error::transient("test", self.password.clone()))
    }
    async fn open(&self, _: &Context, _: source::Assignment) -> Result<Box<dyn source::Reader>, Error> {
        Ok(Box::new(self.clone()))
    }
    async fn resolve(&self, _: &Context, _: &source::Edge) -> Result<Positions, Error> {
        Err(Error::Fenced(self.password.clone()))
    }
    async fn extents(&self, _: &Context) -> Result<crate::extent::Extents, Error> {
        Err(self.error())
    }
    async fn place(
        &self,
        _: &Context,
        _: &Positions,
        _: &BTreeMap<String, String>,
    ) -> Result<Result<Positions, Vec<Problem>>, Error> {
        Ok(Err(vec![Problem::new("", "test", self.password.clone()).fix(self.password.clone())]))
    }
}

#[async_trait]
impl source::Reader for Chatty {
    async fn read(&mut self) -> Result<source::Read, Error> {
        Err(self.error())
    }
    fn warnings(&mut self) -> Vec<crate::batch::Notice> {
        vec![self.warning().into()]
    }
    async fn close(self: Box<Self>) {}
}

#[async_trait]
impl Sink for Chatty {
    async fn open(&self, _: &Context, _: sink::OpenLane) -> Result<sink::Opened, Error> {
        let warnings = vec![self.warning()];
        let demand = crate::batch::Demand::Documents;
        Ok(sink::Opened {
            writer: Box::new(self.clone()),
            token: None,
            others: Vec::new(),
            begins: Default::default(),
            demand,
            warnings,
            handle: None,
        })
    }
}

#[async_trait]
impl sink::Writer for Chatty {
    async fn commit(
        &mut self,
        _: &std::sync::Arc<[crate::batch::Output]>,
        _: &dataflow_core::token::Token,
    ) -> Result<sink::Committed, sink::CommitError> {
        let cause = format!("no {}", self.password);
        Err(sink::CommitError::Rejected(vec![sink::RejectedRow { output: 0, row: 0, cause }]))
    }
    async fn seal(&mut self, _: sink::Seal) -> Result<sink::Sealed, Error> {
        Err(self.error())
    }
    async fn close(self: Box<Self>) {}
}

fn context() -> Context {
    let spec: dataflow_core::spec::PipelineSpec =
        serde_json::from_value(json!({"source": {"type": "chatty"}, "sink": {"type": "chatty"}})).unwrap();
    Context {
        branch: "p".try_into().unwrap(),
        incarnation: "i".try_into().unwrap(),
        batch: spec.batch,
        max_record_bytes: spec.max_record_bytes,
        max_in_flight_bytes: spec.max_in_flight_bytes,
        paths: Arc::default(),
        again: false,
        inbox: None,
        stop: tokio_util::sync::CancellationToken::new(),
    }
}

#[tokio::test]
async fn whatever_a_connector_says_its_secrets_are_not_in_it() {
    let catalog = Catalog::new().source::<Chatty>().sink::<Chatty>();
    let chatty = component(json!({"type": "chatty", "password": "${env:PW}"}));
    let cx = context();
    let mut said = Vec::new();

    let source = catalog.build_source(&chatty, &connections()).unwrap();
    said.push(source.partitions(&cx).await.unwrap_err());
    said.push(source.resolve(&cx, &source::Edge::End).await.unwrap_err());
    let lane = source::Assignment {
        lane: 0,
        lanes: 1,
        positions: Positions::new(),
        plan: Default::default(),
        passed: Positions::new(),
    };
    let mut reader = source.open(&cx, lane).await.unwrap();
    said.push(reader.read().await.unwrap_err());
    said.push(source.extents(&cx).await.unwrap_err());
    let placed = source.place(&cx, &Positions::new(), &BTreeMap::new()).await.unwrap().unwrap_err();
    let warned = reader.warnings();

    let sink = catalog.build_sink(&chatty, &connections()).unwrap();
    let fence = dataflow_core::token::Fence {
        branch: cx.branch.clone(),
        incarnation: cx.incarnation.clone(),
        generation: dataflow_core::id::Generation::FIRST,
        lane: 0,
        epoch: dataflow_core::id::Epoch(1),
        opening: 1,
    };
    let lane = sink::OpenLane {
        fence: fence.clone(),
        lanes: 1,
        journal: "j".into(),
        level: dataflow_core::level::WriteLevel::NEWEST,
        take_over: sink::TakeOver::Nobody,
        first: true,
        journalled: None,
        settled: false,
        counted: Default::default(),
        begin: Positions::new(),
        known: Vec::new(),
        siblings: Vec::new(),
        ancestors: Vec::new(),
        earlier: None,
        remembered: None,
        sealed: Vec::new(),
        left: Vec::new(),
        reserved: sink::Reserved::default(),
        waits: sink::Waits::default(),
    };
    let mut opened = sink.sink.open(&cx, lane).await.unwrap();
    let token = dataflow_core::token::Token {
        fence,
        sequence: 1,
        positions: Arc::default(),
        counters: Default::default(),
        chunks: Vec::new(),
        warnings: Default::default(),
        version: 0,
    };
    said.push(opened.writer.seal(sink::Seal::Due).await.unwrap_err());
    let refused = opened.writer.commit(&[].into(), &token).await.unwrap_err();
    let said = format!("{said:?} {refused:?} {:?} {source:?} {placed:?} {warned:?}", opened.warnings);
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(said.matches(REDACTED).count(), 15, "{said}");
}

#[test]
fn views_hide_literal_secrets_and_keep_references() {
    let shown = catalog().redact(
        Role::Source,
        &component(json!({
            "type": "table", "table": "t", "url": "db://me:hunter2@here/x?y=z", "password": "hunter2",
            "options": {"sasl.password": "hunter2", "reference.password": "${file:/run/pw}"}
        })),
    );
    assert_eq!(
        serde_json::to_value(&shown).unwrap(),
        json!({
            "type": "table", "table": "t", "url": "db://me:***@here/x?y=z", "password": "***",
            "options": {"sasl.password": "***", "reference.password": "${file:/run/pw}"}
        })
    );
    let unknown =
        catalog().redact(Role::Sink, &component(json!({"type": "gone", "uri": "a://b:c@d", "apiToken": "x"})));
    assert_eq!(
        serde_json::to_value(&unknown).unwrap(),
        json!({"type": "gone", "uri": "a://b:***@d", "apiToken": "***"})
    );
}

#[test]
fn connections_are_checked_by_what_their_connectors_know() {
    let problems = catalog().check_connections(&connections().with("sever", "x", Map::new()));
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "connections.server.default.poolSize: no server connector has a field \"poolSize\" (leave it out)",
            "connections.sever: no connector uses sever connections (did you mean \"server\"?)",
        ]
    );
}

#[test]
fn the_shown_schema_has_type_and_connection() {
    let catalog = catalog();
    let schema = catalog.get(Role::Source, "table").unwrap().schema();
    let names: Vec<&String> = schema.as_value()["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["type", "connection", "url", "table", "password", "keyPassword", "columns", "options"]);
    assert_eq!(schema.as_value()["required"], json!(["type", "url", "table"]));
}

#[test]
fn a_sink_writes_like_before_but_for_tuning_credentials_and_defaults_written_out() {
    let base = json!({"type": "lines", "path": "a", "url": "db://me:${env:PW}@here/x"});
    let changes = |tweak: Value| {
        let mut after = base.clone();
        after.as_object_mut().unwrap().extend(tweak.as_object().unwrap().clone());
        let spec = |sink: &Value| -> dataflow_core::spec::PipelineSpec {
            serde_json::from_value(json!({"source": {"type": "table", "table": "t"}, "sink": sink})).unwrap()
        };
        catalog().change(&spec(&base), &spec(&after), &Positions::new(), &connections()).sink
    };
    for same in [
        json!({}),
        json!({"timeout": 5}),
        json!({"separator": "\n"}),
        json!({"password": "${env:PW}"}),
        json!({"url": "db://you:${file:/run/pw}@here/x"}),
        json!({"url": "db://here/x"}),
    ] {
        assert!(!changes(same.clone()), "{same}");
    }
    for other in [
        json!({"path": "b"}),
        json!({"separator": ";"}),
        json!({"url": null}),
        json!({"url": "db://me:${env:PW}@there/x"}),
        json!({"type": "other"}),
    ] {
        assert!(changes(other.clone()), "{other}");
    }
}

#[test]
fn a_target_is_another_one_by_its_place_alone() {
    let spec = |sink: Value| -> dataflow_core::spec::PipelineSpec {
        serde_json::from_value(json!({"source": {"type": "table", "table": "t"}, "sink": sink})).unwrap()
    };
    let change = |after: Value| {
        let base = spec(json!({"type": "lines", "path": "a"}));
        catalog().change(&base, &spec(after), &Positions::new(), &connections())
    };
    for (sink, target) in [
        (json!({"type": "lines", "path": "A", "separator": ";"}), false),
        (json!({"type": "lines", "path": "b"}), true),
        (json!({"type": "chatty", "path": "a"}), true),
        (json!({"type": "lines", "path": "b", "separator": 7}), true),
    ] {
        let change = change(sink.clone());
        assert!((change.sink, change.target.is_some()) == (true, target), "{sink}: {change:?}");
    }
}

#[test]
fn a_source_that_only_takes_other_settings_from_a_connection_reads_the_same() {
    let change = |before: Value, after: Value| {
        let spec = |source: Value| -> dataflow_core::spec::PipelineSpec {
            serde_json::from_value(json!({"source": source, "sink": {"type": "lines", "path": "a"}})).unwrap()
        };
        let positions = Positions::from([("t".into(), dataflow_core::position::Position::offset(5))]);
        catalog().change(&spec(before), &spec(after), &positions, &connections())
    };
    let table = json!({"type": "table", "table": "t"});
    let connected = json!({"type": "table", "table": "t", "connection": "main"});
    assert_eq!(change(table.clone(), connected), dataflow_core::pipeline::command::Change::default());
    let other = change(json!({"type": "another"}), table);
    assert!(other.source && other.given_up.contains_key("t"), "{other:?}");
}

#[test]
fn the_log_leaves_out_the_secrets_of_connectors_that_are_there() {
    let known = Arc::new(Known::default());
    let connections = connections().telling(known.clone());
    let sink = |password: &str| component(json!({"type": "lines", "path": "/x", "password": password}));
    let text = "hunter2 can't write the journal of words";
    let problems = catalog().check_component(Role::Sink, &sink("journal of words"), &connections, "");
    assert_eq!(problems[0].code, "literal-secret");
    assert_eq!(known.hide(text), text);
    let mut wrong = sink("${env:PW}");
    wrong.config.insert("timeout".into(), json!("soon"));
    assert!(catalog().build_sink(&wrong, &connections).is_err());
    assert_eq!(known.hide(text), text);
    let built = catalog().build_sink(&sink("${env:PW}"), &connections).unwrap();
    assert_eq!(known.hide(text), "*** can't write the journal of words");
    drop(built);
    assert_eq!(known.hide(text), text);
}

/// Each of these would take minutes if the time grew by the square of the length.
#[test]
fn long_texts_are_checked_in_little_time() {
    const BYTES: usize = 1 << 18;
    let begun = std::time::Instant::now();
    let long = |piece: &str| piece.repeat(BYTES / piece.len());
    let pieces = [
        "x",
        "password=",
        "password='",
        "password = ",
        "?password=",
        "\"password\":",
        "password=a ",
        "a://",
        "a://${",
        "a://b:c@d ",
        "${",
        "$${",
        "${env:A}",
        "'",
        "\\",
        "=",
        " ",
        "://",
        "a:b@",
    ];
    for text in pieces.into_iter().flat_map(|piece| [long(piece), long(piece) + "}@x"]) {
        for field in ["url", "table", "password", "columns"] {
            let mut value = json!({"type": "table", "url": "db://x", "table": "t"});
            value[field] = text.as_str().into();
            let problems = findings(value);
            let shown: String = text.chars().take(20).collect();
            let said = problems.iter().map(String::len).sum::<usize>();
            assert!(said < 10_000, "{field} {shown}: {said} bytes of findings");
            assert!(
                !matches!(field, "url" | "password") || problems.iter().any(|said| said.contains("8192 bytes")),
                "{shown}"
            );
        }
    }
    let many: Vec<Value> = (0..BYTES / 16).map(|number| json!(format!("password={number}"))).collect();
    findings(json!({"type": "table", "url": "db://x", "table": "t", "columns": many}));
    findings(json!({"type": "table", "url": "db://x", "table": "t", long("name"): many}));
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "it took {:?}", begun.elapsed());
}

#[test]
fn a_connection_that_is_unknown_hides_no_other_finding() {
    let found = findings(
        json!({"type": "table", "connection": "mian", "conection": "a", "columns": 7, "password": "in the spec"}),
    );
    let at: Vec<&str> = found.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(at, ["source.connection", "source.columns", "source.table", "source.conection"], "{found:#?}");
    assert!(!found.concat().contains("in the spec"));
}
