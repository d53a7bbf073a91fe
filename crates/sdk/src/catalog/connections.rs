//! Named connections of a node: what connectors of one kind share, so that specs needn't say it.
use super::{Connector, NoSecrets, Secrets, secrets};
use crate::check::{Problem, join, nearest};
use dataflow_core::spec::Component;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};

/// The name of the connection that is used when none is named.
const DEFAULT: &str = "default";

/// Named connection settings by kind: `connections.<kind>.<name>` of the node's settings; and where secrets are looked up.
#[derive(Clone, Debug)]
pub struct Connections {
    by_kind: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
    secrets: Arc<dyn Secrets>,
}

impl Default for Connections {
    fn default() -> Self {
        Self::new(BTreeMap::new(), Arc::new(NoSecrets))
    }
}

impl Connections {
    /// The connections of a node's settings, by kind (`kafka`, `postgres`) and name.
    pub fn new(by_kind: BTreeMap<String, BTreeMap<String, Map<String, Value>>>, secrets: Arc<dyn Secrets>) -> Self {
        Self { by_kind, secrets }
    }

    /// The same connections with one more.
    #[must_use]
    pub fn with(mut self, kind: &str, name: &str, fields: Map<String, Value>) -> Self {
        self.by_kind.entry(kind.into()).or_default().insert(name.into(), fields);
        self
    }

    pub(super) fn secrets(&self) -> &dyn Secrets {
        &*self.secrets
    }

    /// The connector's config: the connection's fields under those that the component gives itself.
    pub(super) fn merge(&self, connector: &Connector, component: &Component) -> Result<Merged, Problem> {
        let mut own = component.config.clone();
        let Some(kind) = connector.connection else { return Ok(Merged { fields: own, connection: None }) };
        let named = self.by_kind.get(kind);
        let name = match own.shift_remove("connection") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => {
                return Err(Problem::new("connection", "wrong-type", "must be a string, the name of a connection"));
            }
        };
        let fields = match &name {
            // A component that says itself where to connect gets nothing of the default: its password is not for that server.
            None => {
                let default = named.and_then(|named| named.get(DEFAULT));
                default.filter(|fields| !fields.keys().any(|field| is_address(field) && own.contains_key(field)))
            }
            Some(name) => Some(named.and_then(|named| named.get(name)).ok_or_else(|| self.unknown(kind, name))?),
        };
        let place = format!("connections.{kind}.{}", name.as_deref().unwrap_or(DEFAULT));
        let mut from = Vec::new();
        // Connectors of one kind share a connection, but not every field of it means something to each of them.
        for (field, value) in fields.into_iter().flatten().filter(|(field, _)| connector.has_field(field)) {
            if !own.contains_key(field) {
                own.insert(field.clone(), value.clone());
                from.push(field.clone());
            }
        }
        Ok(Merged { fields: own, connection: Some((place, from)) })
    }

    fn unknown(&self, kind: &str, name: &str) -> Problem {
        let known: Vec<&str> = self.by_kind.get(kind).into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let problem = Problem::new(
            "connection",
            "unknown-connection",
            format!("the node has no {kind} connection named {name:?}"),
        );
        match nearest(name, known.iter().copied()) {
            Some(candidate) => problem.fix(format!("did you mean {candidate:?}?")),
            None if known.is_empty() => problem.fix(format!("add [connections.{kind}.{name}] to the node's settings")),
            None => problem.fix(format!("known: {}", known.join(", "))),
        }
    }

    /// Fields that no connector of the connection's kind knows, and kinds that no connector uses.
    pub(super) fn check(&self, connectors: &[Connector]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (kind, named) in &self.by_kind {
            let users: Vec<&Connector> = connectors.iter().filter(|c| c.connection == Some(kind)).collect();
            let path = join("connections", kind);
            if users.is_empty() {
                let kinds: Vec<&str> = connectors.iter().filter_map(|c| c.connection).collect();
                let problem = Problem::new(&path, "unknown-field", format!("no connector uses {kind} connections"));
                problems.push(match nearest(kind, kinds.iter().copied()) {
                    Some(candidate) => problem.fix(format!("did you mean {candidate:?}?")),
                    None => problem.fix("leave it out"),
                });
                continue;
            }
            for (name, fields) in named {
                for field in fields.keys().filter(|field| !users.iter().any(|user| user.has_field(field))) {
                    let known: Vec<&str> = users
                        .iter()
                        .filter_map(|user| user.schema.as_object()?.get("properties")?.as_object())
                        .flat_map(|properties| properties.keys().map(String::as_str))
                        .collect();
                    let message = format!("no {kind} connector has a field {field:?}");
                    let problem = Problem::new(join(&join(&path, name), field), "unknown-field", message);
                    problems.push(match nearest(field, known.iter().copied()) {
                        Some(candidate) => problem.fix(format!("did you mean {candidate:?}?")),
                        None => problem.fix("leave it out"),
                    });
                }
            }
        }
        problems
    }
}

/// Fields that say which server a connection is to.
fn is_address(field: &str) -> bool {
    matches!(field, "brokers" | "url" | "host" | "endpoint")
}

/// A config with its connection's fields, and where each comes from.
#[derive(Debug)]
pub(super) struct Merged {
    fields: Map<String, Value>,
    /// Path of the connection, and the fields that it gave.
    connection: Option<(String, Vec<String>)>,
}

impl Merged {
    pub(super) fn fields(self) -> Map<String, Value> {
        self.fields
    }

    pub(super) fn value(&self) -> Value {
        Value::Object(self.fields.clone())
    }

    fn top<'a>(&self, path: &'a str) -> &'a str {
        path.split(['.', '[']).next().unwrap_or(path)
    }

    /// Whether the field that a path leads to holds a reference to a secret.
    pub(super) fn refers_to_secret(&self, path: &str) -> bool {
        self.fields.get(self.top(path)).is_some_and(secrets::any)
    }

    /// A finding seen from the spec's root, or from that of the node's settings, where the connection gave the field.
    pub(super) fn locate(&self, problem: Problem, path: &str) -> Problem {
        let top = self.top(&problem.path);
        match &self.connection {
            Some((place, from)) if from.iter().any(|field| field == top) => {
                let mut problem = problem.under(place);
                problem.message = format!("{} (in the node's settings)", problem.message);
                problem
            }
            Some((place, _)) if problem.code == "missing-field" => {
                let fix = match &problem.fix {
                    Some(fix) => format!("{fix}; here, or in [{place}] of the node's settings"),
                    None => format!("give it here, or in [{place}] of the node's settings"),
                };
                problem.fix(fix).under(path)
            }
            _ => problem.under(path),
        }
    }
}
