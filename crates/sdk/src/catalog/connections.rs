//! Named connections of a node: what connectors of one kind share, so that specs needn't say it.
use super::{Connector, Known, NoSecrets, Reach, Secrets, secrets};
use crate::check::{Problem, join, nearest};
use dataflow_core::spec::Component;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// The name of the connection that is used when none is named.
const DEFAULT: &str = "default";

/// Named connection settings by kind: `connections.<kind>.<name>` of the node's settings; where secrets are looked up, what
/// pipelines may reach, and which secrets were given to connectors.
#[derive(Clone, Debug)]
pub struct Connections {
    by_kind: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
    secrets: Arc<dyn Secrets>,
    reach: Reach,
    known: Arc<Known>,
}

impl Default for Connections {
    fn default() -> Self {
        Self::new(BTreeMap::new(), Arc::new(NoSecrets))
    }
}

impl Connections {
    /// The connections of a node's settings, by kind (`kafka`, `postgres`) and name.
    pub fn new(by_kind: BTreeMap<String, BTreeMap<String, Map<String, Value>>>, secrets: Arc<dyn Secrets>) -> Self {
        Self { by_kind, secrets, reach: Reach::default(), known: Arc::default() }
    }

    /// The same connections, where pipelines may reach no more than this.
    #[must_use]
    pub fn within(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// The same connections; secrets that are given to connectors are kept here, so that the log can leave them out.
    #[must_use]
    pub fn telling(self, known: Arc<Known>) -> Self {
        Self { known, ..self }
    }

    /// The files that the connections take their secrets from.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let fields = self.by_kind.values().flat_map(BTreeMap::values);
        fields.flat_map(|fields| secrets::files(&Value::Object(fields.clone()))).collect()
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

    /// The secrets and files that pipelines may use.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// The connector's config: its own fields, and those of its connection that it doesn't give itself.
    pub(super) fn merge(&self, connector: &Connector, component: &Component) -> Result<Merged, Problem> {
        let mut own = component.config.clone();
        let Some(kind) = connector.connection else { return Ok(Merged { own, given: Map::new(), place: None }) };
        let named = self.by_kind.get(kind);
        let name = match own.shift_remove("connection") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => {
                return Err(Problem::new("connection", "type-mismatch", "must be a string, the name of a connection"));
            }
        };
        // A component with its own address gets nothing from a connection: the login is not for that server.
        let address = own.iter().find(|(field, value)| connector.is_address(field) && !value.is_null());
        let fields = match (&name, address) {
            (None, Some(_)) => None,
            (None, None) => named.and_then(|named| named.get(DEFAULT)),
            (Some(name), None) => {
                Some(named.and_then(|named| named.get(name)).ok_or_else(|| self.unknown(kind, name))?)
            }
            (Some(_), Some((field, _))) => {
                let message = "names another server than the connection, whose login is only for its own server";
                let fix = format!("leave out `{field}`, or `connection`");
                return Err(Problem::new(field, "contradiction", message).fix(fix));
            }
        };
        // Connectors of one kind share a connection, but not every field of it means something to each of them.
        let given = fields.into_iter().flatten();
        let given = given.filter(|(field, _)| connector.has_field(field) && !own.contains_key(*field));
        let given = given.map(|(field, value)| (field.clone(), value.clone())).collect();
        let place = format!("connections.{kind}.{}", name.as_deref().unwrap_or(DEFAULT));
        Ok(Merged { own, given, place: Some(place) })
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

/// A config with its connection's fields, and where each comes from.
#[derive(Debug)]
pub(super) struct Merged {
    /// The component's own fields.
    pub(super) own: Map<String, Value>,
    /// The fields that its connection adds.
    pub(super) given: Map<String, Value>,
    /// Path of the connection.
    place: Option<String>,
}

impl Merged {
    pub(super) fn fields(self) -> Map<String, Value> {
        self.own.into_iter().chain(self.given).collect()
    }

    pub(super) fn value(&self) -> Value {
        self.own.iter().chain(&self.given).map(|(field, value)| (field.clone(), value.clone())).collect()
    }

    /// Whether the field that a path leads to holds a reference to a secret.
    pub(super) fn refers_to_secret(&self, path: &str) -> bool {
        let top = top(path);
        self.own.get(top).or_else(|| self.given.get(top)).is_some_and(secrets::any)
    }

    /// A finding seen from the spec's root, or from that of the node's settings, where the connection gave the field.
    pub(super) fn locate(&self, problem: Problem, connector: &Connector, path: &str) -> Problem {
        match &self.place {
            Some(place) if self.given.contains_key(top(&problem.path)) => {
                let mut problem = problem.under(place);
                problem.message = format!("{} (in the node's settings)", problem.message);
                problem
            }
            // What is read or written is each pipeline's own: a connection has where a server is, and who may use it.
            Some(place) if problem.code == "missing-field" && connector.is_of_connection(top(&problem.path)) => {
                let fix = match &problem.fix {
                    Some(fix) if fix.contains("[connections.") => fix.clone(),
                    Some(fix) => format!("{fix}; here, or in [{place}] of the node's settings"),
                    None => format!("give it here, or in [{place}] of the node's settings"),
                };
                problem.fix(fix).under(path)
            }
            _ => problem.under(path),
        }
    }
}

/// The first field of a path.
fn top(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}
