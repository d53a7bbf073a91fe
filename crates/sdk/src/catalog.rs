//! The catalogue of connectors: a plain list of config types.
mod connections;
mod redact;
mod secrets;
#[cfg(test)]
pub(crate) mod tests;

pub use connections::Connections;
pub use redact::REDACTED;
pub use secrets::{NoSecrets, Secrets};

use crate::{
    Problem, check,
    sink::{Kind, Sink},
    source::Source,
    transform::UnknownFields,
};
use dataflow_core::spec::Component;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::fmt;

/// The config struct of a source: its manual. Field docs are the reference docs.
///
/// A field that holds a secret says so: `#[schemars(extend("x-secret" = true))]`.
pub trait SourceConfig: DeserializeOwned + JsonSchema + 'static {
    /// Its `type`.
    const TYPE: &'static str;
    /// One sentence: what it reads.
    const SUMMARY: &'static str;
    /// How exactly-once holds with it, and what would void it.
    const GUARANTEE: &'static str;
    /// Which of the node's connections it may use (`kafka`, `postgres`), if any.
    const CONNECTION: Option<&'static str> = None;

    /// Findings that the schema can't tell. Never touches the network.
    fn check(&self) -> Vec<Problem>;
    /// The source. Only called when there are no findings.
    fn build(self) -> Box<dyn Source>;
}

/// The config struct of a sink: its manual. Field docs are the reference docs.
///
/// A field that holds a secret says so: `#[schemars(extend("x-secret" = true))]`.
pub trait SinkConfig: DeserializeOwned + JsonSchema + 'static {
    /// Its `type`.
    const TYPE: &'static str;
    /// One sentence: what it writes.
    const SUMMARY: &'static str;
    /// What it can promise.
    const KIND: Kind;
    /// How exactly-once holds with it, and what would void it.
    const GUARANTEE: &'static str;
    /// Which of the node's connections it may use (`postgres`), if any.
    const CONNECTION: Option<&'static str> = None;

    /// Findings that the schema can't tell. Never touches the network.
    fn check(&self) -> Vec<Problem>;
    /// The sink. Only called when there are no findings.
    fn build(self) -> Box<dyn Sink>;
    /// What becomes of output fields without a column, for table sinks.
    fn unknown_fields(&self) -> Option<UnknownFields> {
        None
    }
    /// What makes up the target: a change of it starts a new generation. By default the whole config.
    fn target_fields() -> Option<&'static [&'static str]> {
        None
    }
}

/// Which part of a pipeline a connector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Where records come from.
    Source,
    /// Where records go.
    Sink,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Sink => "sink",
        })
    }
}

/// A connector as the catalogue knows it.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Source or sink.
    pub role: Role,
    /// Its `type`.
    pub ty: &'static str,
    /// One sentence: what it reads or writes.
    pub summary: &'static str,
    /// How exactly-once holds with it, and what would void it.
    pub guarantee: &'static str,
    /// What a sink can promise; none for a source.
    pub kind: Option<Kind>,
    /// Which of the node's connections it may use, if any.
    pub connection: Option<&'static str>,
    /// Fields that make up a sink's target; none: the whole config.
    pub target_fields: Option<&'static [&'static str]>,
    schema: Schema,
    make: Make,
}

type Built<T> = Result<T, Vec<Problem>>;

/// A sink, and what becomes of output fields that it has no column for (table sinks).
pub type BuiltSink = (Box<dyn Sink>, Option<UnknownFields>);

#[derive(Clone, Copy, Debug)]
enum Make {
    Source { check: fn(Value) -> Vec<Problem>, build: fn(Value) -> Built<Box<dyn Source>> },
    Sink { check: fn(Value) -> Vec<Problem>, build: fn(Value) -> Built<BuiltSink> },
}

impl Connector {
    /// JSON Schema of its config as users write it: `type` and, where it may use one, `connection` included.
    pub fn schema(&self) -> Schema {
        let mut schema = self.schema.clone();
        let rules = schema.ensure_object();
        let mut properties = Map::new();
        properties.insert("type".into(), serde_json::json!({"const": self.ty, "description": self.summary}));
        if let Some(kind) = self.connection {
            let description = format!(
                "Which of the node's {kind} connections to use (`connections.{kind}.<name>` in its settings). \
                 Fields given here win over the connection's. Default: `default`, if there is one."
            );
            properties.insert("connection".into(), serde_json::json!({"type": "string", "description": description}));
        }
        if let Some(Value::Object(own)) = rules.remove("properties") {
            for (name, schema) in own {
                properties.entry(name).or_insert(schema);
            }
        }
        rules.insert("properties".into(), properties.into());
        let required = rules.entry("required").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(names) = required {
            names.insert(0, "type".into());
        }
        schema
    }

    /// Whether its own config has this field.
    fn has_field(&self, name: &str) -> bool {
        let properties = self.schema.as_object().and_then(|rules| rules.get("properties"));
        properties.is_some_and(|properties| properties.get(name).is_some())
    }
}

/// All connectors of a node.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    connectors: Vec<Connector>,
}

impl Catalog {
    /// A catalogue without connectors.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same catalogue with one more source.
    #[must_use]
    pub fn source<C: SourceConfig>(mut self) -> Self {
        self.connectors.push(Connector {
            role: Role::Source,
            ty: C::TYPE,
            summary: C::SUMMARY,
            guarantee: C::GUARANTEE,
            kind: None,
            connection: C::CONNECTION,
            target_fields: None,
            schema: schemars::schema_for!(C),
            make: Make::Source {
                check: |config| parse::<C>(config).map_or_else(|problems| problems, |config| config.check()),
                build: |config| {
                    let config = parse::<C>(config)?;
                    let problems = config.check();
                    if problems.is_empty() { Ok(config.build()) } else { Err(problems) }
                },
            },
        });
        self
    }

    /// The same catalogue with one more sink.
    #[must_use]
    pub fn sink<C: SinkConfig>(mut self) -> Self {
        self.connectors.push(Connector {
            role: Role::Sink,
            ty: C::TYPE,
            summary: C::SUMMARY,
            guarantee: C::GUARANTEE,
            kind: Some(C::KIND),
            connection: C::CONNECTION,
            target_fields: C::target_fields(),
            schema: schemars::schema_for!(C),
            make: Make::Sink {
                check: |config| parse::<C>(config).map_or_else(|problems| problems, |config| config.check()),
                build: |config| {
                    let config = parse::<C>(config)?;
                    let problems = config.check();
                    let unknown_fields = config.unknown_fields();
                    if problems.is_empty() { Ok((config.build(), unknown_fields)) } else { Err(problems) }
                },
            },
        });
        self
    }

    /// All connectors, in the order in which they were listed.
    pub fn connectors(&self) -> &[Connector] {
        &self.connectors
    }

    /// The connector of this role and type.
    pub fn get(&self, role: Role, ty: &str) -> Option<&Connector> {
        self.connectors.iter().find(|connector| connector.role == role && connector.ty == ty)
    }

    /// All findings about a source or sink, secrets left alone. `path` is where it stands. Never touches the network.
    pub fn check_component(
        &self,
        role: Role,
        component: &Component,
        connections: &Connections,
        path: &str,
    ) -> Vec<Problem> {
        let connector = match self.known(role, component) {
            Ok(connector) => connector,
            Err(problem) => return vec![problem.under(path)],
        };
        let merged = match connections.merge(connector, component) {
            Ok(merged) => merged,
            Err(problem) => return vec![problem.under(path)],
        };
        let mut problems = check::against_schema(&merged.value(), &connector.schema, "");
        problems.extend(secrets::check(&merged.value()));
        problems.extend(redact::literals(connector, component));
        if problems.is_empty() {
            let check = match connector.make {
                Make::Source { check, .. } | Make::Sink { check, .. } => check,
            };
            // What a reference stands for is known only when the connector is built, so nothing is said of it here.
            let whole_unknown = secrets::any(&merged.value());
            problems.extend(check(merged.value()).into_iter().filter(|problem| {
                !(merged.refers_to_secret(&problem.path) || problem.path.is_empty() && whole_unknown)
            }));
        }
        problems.into_iter().map(|problem| merged.locate(problem, path)).collect()
    }

    /// The source that a component describes, its secrets looked up.
    ///
    /// # Errors
    /// All findings, with paths from the component's root.
    pub fn build_source(
        &self,
        component: &Component,
        connections: &Connections,
    ) -> Result<Box<dyn Source>, Vec<Problem>> {
        let connector = self.known(Role::Source, component).map_err(|problem| vec![problem])?;
        match connector.make {
            Make::Source { build, .. } => self.build(connector, component, connections, build),
            Make::Sink { .. } => unreachable!("a source's entry makes sources"),
        }
    }

    /// The sink that a component describes, its secrets looked up.
    ///
    /// # Errors
    /// All findings, with paths from the component's root.
    pub fn build_sink(&self, component: &Component, connections: &Connections) -> Result<Box<dyn Sink>, Vec<Problem>> {
        self.build_table_sink(component, connections).map(|(sink, _)| sink)
    }

    /// Like [`Self::build_sink`], with what becomes of output fields that a table sink has no column for.
    ///
    /// # Errors
    /// All findings, with paths from the component's root.
    pub fn build_table_sink(
        &self,
        component: &Component,
        connections: &Connections,
    ) -> Result<BuiltSink, Vec<Problem>> {
        let connector = self.known(Role::Sink, component).map_err(|problem| vec![problem])?;
        match connector.make {
            Make::Sink { build, .. } => self.build(connector, component, connections, build),
            Make::Source { .. } => unreachable!("a sink's entry makes sinks"),
        }
    }

    /// What makes up a sink's target: its type and those of its settings that say where it writes. A change of this
    /// starts a new generation.
    pub fn sink_target(&self, component: &Component) -> Component {
        let mut target = component.clone();
        if let Some(fields) = self.get(Role::Sink, &component.kind).and_then(|sink| sink.target_fields) {
            target.config.retain(|name, _| fields.contains(&name.as_str()) || name == "connection");
        }
        target
    }

    /// The same component fit to be shown: literal secrets and passwords in URLs hidden.
    pub fn redact(&self, role: Role, component: &Component) -> Component {
        redact::redact(self.get(role, &component.kind), component)
    }

    /// Findings about the connections of the node's settings: fields that no connector of their kind knows.
    pub fn check_connections(&self, connections: &Connections) -> Vec<Problem> {
        connections.check(&self.connectors)
    }

    fn known(&self, role: Role, component: &Component) -> Result<&Connector, Problem> {
        self.get(role, &component.kind).ok_or_else(|| {
            let known: Vec<&str> = self.connectors.iter().filter(|c| c.role == role).map(|c| c.ty).collect();
            let kind = &component.kind;
            let problem = Problem::new("type", "unknown-type", format!("there is no {role} of type {kind:?}"));
            match check::nearest(kind, known.iter().copied()) {
                Some(name) => problem.fix(format!("did you mean {name:?}?")),
                None => problem.fix(format!("known: {}", known.join(", "))),
            }
        })
    }

    fn build<T>(
        &self,
        connector: &Connector,
        component: &Component,
        connections: &Connections,
        build: fn(Value) -> Result<T, Vec<Problem>>,
    ) -> Result<T, Vec<Problem>> {
        let merged = connections.merge(connector, component).map_err(|problem| vec![problem])?;
        let findings = |problems: Vec<Problem>| -> Vec<Problem> {
            problems.into_iter().map(|problem| merged.locate(problem, "")).collect()
        };
        let (config, found) = secrets::resolve(&merged.value(), connections.secrets()).map_err(findings)?;
        let problems = check::against_schema(&config, &connector.schema, "");
        let built = if problems.is_empty() { build(config) } else { Err(problems) };
        built.map_err(|problems| findings(problems.into_iter().map(|problem| found.hide(problem)).collect()))
    }
}

fn parse<C: DeserializeOwned>(config: Value) -> Result<C, Vec<Problem>> {
    serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        vec![Problem::new(path, "invalid-value", error.into_inner().to_string())]
    })
}
