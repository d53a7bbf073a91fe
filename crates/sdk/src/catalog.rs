//! The catalogue of connectors: a plain list of config types.
mod change;
mod connections;
mod connector;
mod guard;
mod marks;
mod passwords;
mod reach;
mod redact;
mod redactor;
pub(crate) mod secrets;
#[cfg(test)]
pub(crate) mod tests;

pub use connections::Connections;
pub use connector::{BuiltSink, Connector, Role};
pub use reach::Reach;
pub use redactor::{Known, REDACTED};
pub use secrets::{NoSecrets, Secrets, look_up};

use crate::{
    Problem, check,
    declared::{Metadata, SinkRows},
    sink::{DeliveryMode, Sink},
    source::{Edge, Kept, Source},
};
use connector::Make;
use dataflow_core::{position::Partition, spec::Component, types::Type};
use redactor::Redactor;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The config struct of a source: its manual. Field docs are the reference docs.
///
/// A field says by `#[schemars(extend("x-secret" = true))]` that it holds a secret, by `"x-address"` that it says which server to
/// speak to (a password may be part of it, unless it is marked `"host"`), and by `"x-path"` that it names files of the node's machine (`"read"`: which are never written).
pub trait SourceConfig: DeserializeOwned + JsonSchema + 'static {
    /// Its `type`.
    const TYPE: &'static str;
    /// One sentence: what it reads.
    const SUMMARY: &'static str;
    /// How exactly-once holds with it, and what would void it.
    const GUARANTEE: &'static str;
    /// Which of the node's connections it may use (`kafka`, `postgres`), if any.
    const CONNECTION: Option<&'static str> = None;
    /// What its records have behind `meta.`, beside what [all](crate::declared::OF_ALL) have; none: anything.
    const METADATA: Option<&'static [Metadata]> = None;

    /// Findings that the schema can't tell. Never touches the network.
    fn check(&self) -> Vec<Problem>;
    /// The source. Only called when there are no findings.
    fn build(self) -> Box<dyn Source>;
    /// Whether it makes the same records of the same positions as `before`. If not, a new generation starts, which goes on
    /// from the positions that are [kept](Self::keeps). Only what identifies what is read, and how, makes a difference:
    /// by default nothing does.
    fn reads_like(&self, before: &Self) -> bool {
        let _ = before;
        true
    }
    /// What becomes of the position that `before` has in a partition. Never touches the network.
    fn keeps(&self, before: &Self, partition: &Partition) -> Kept {
        let _ = (before, partition);
        Kept::Yes
    }
    /// Whether its records are texts without types, as those of CSV are.
    fn is_untyped(&self) -> bool {
        false
    }
    /// The type of `meta.key`.
    fn key_type(&self) -> Type {
        Type::Text
    }
    /// Most bytes of records pushed to the pipeline that may wait; none: it accepts none, but reads them from elsewhere.
    fn pushes(&self) -> Option<u64> {
        None
    }
    /// Whether its records may have [ids that last](crate::Records::lasting_id).
    fn lasting_ids(&self) -> bool {
        true
    }
    /// Where a partition begins that was never read, for people.
    fn begins(&self) -> String {
        Edge::Beginning.to_string()
    }
    /// Whether it reads the file of this path, now or once it is there. Never touches the network.
    fn reads_file(&self, path: &Path) -> bool {
        let _ = path;
        false
    }
    /// Whether it reads, now or once it is there, what a sink [writes](SinkConfig::writes) that is no file: a topic and the like,
    /// as the sink spells it. Never touches the network.
    fn reads(&self, place: &str) -> bool {
        let _ = place;
        false
    }
}

/// The config struct of a sink: its manual. Field docs are the reference docs.
///
/// Its fields are marked like those of a [`SourceConfig`].
pub trait SinkConfig: DeserializeOwned + JsonSchema + 'static {
    /// Its `type`.
    const TYPE: &'static str;
    /// One sentence: what it writes.
    const SUMMARY: &'static str;
    /// What it can promise.
    const DELIVERY: DeliveryMode;
    /// How exactly-once holds with it, and what would void it.
    const GUARANTEE: &'static str;
    /// Which of the node's connections it may use (`postgres`), if any.
    const CONNECTION: Option<&'static str> = None;
    /// Whether only one lane can write to it.
    const SINGLE_LANE: bool = false;

    /// Findings that the schema can't tell. Never touches the network.
    fn check(&self) -> Vec<Problem>;
    /// The sink. Only called when there are no findings.
    fn build(self) -> Box<dyn Sink>;
    /// The sink with what its config says of it.
    fn built(self) -> BuiltSink {
        let rows = self.rows();
        BuiltSink { sink: self.build(), delivery: Self::DELIVERY, single_lane: Self::SINGLE_LANE, rows }
    }
    /// Where it writes, as far as its settings say: those of the same type and target write to the same place, however they
    /// spell it. At another one, what a pipeline has delivered is missing. Never touches the network.
    fn target(&self) -> String;
    /// Where else than in files it writes what a source might read, and which of its settings says so: see
    /// [`SourceConfig::reads`].
    fn writes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// What it wants of each output row: which fields its settings name, and what for.
    fn rows(&self) -> SinkRows {
        SinkRows::default()
    }
    /// Settings that change neither where it writes nor what. A change of any other one starts a new generation; none does of
    /// credentials, nor of addresses where the [target](Self::target) is the same.
    fn tuning() -> &'static [&'static str] {
        &[]
    }
    /// Settings that say where it writes and nothing else: a change of one that leaves the [target](Self::target) the same is only
    /// another spelling, and starts nothing.
    fn place() -> &'static [&'static str] {
        &[]
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
        self.connectors.push(Connector::of_source::<C>());
        self
    }

    /// The same catalogue with one more sink.
    #[must_use]
    pub fn sink<C: SinkConfig>(mut self) -> Self {
        self.connectors.push(Connector::of_sink::<C>());
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
            Err(problem) => {
                let rest = Self::check_own(connector, component).into_iter();
                return std::iter::once(problem).chain(rest).map(|problem| problem.under(path)).collect();
            }
        };
        let (reach, schema) = (connections.reach(), connector.schema.as_value());
        if let Some(problem) = secrets::too_long(&merged.value(), schema) {
            return vec![merged.locate(problem, connector, path)];
        }
        let own = Value::Object(merged.own.clone());
        let mut problems = check::against_schema(&merged.value(), &connector.schema, "");
        problems.extend(secrets::check(&own, schema, reach));
        problems.extend(secrets::check_unlimited(&Value::Object(merged.given.clone())));
        problems.extend(redact::literals(connector, component));
        marks::visit(&mut own.clone(), Some(schema), &mut |path, text, mark| {
            if mark.path && !text.is_empty() {
                problems.extend(reach.paths.check(text, path));
            }
        });
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
        if problems.is_empty() {
            return problems;
        }
        let redactor = connector.redactor(&merged.value(), Vec::new());
        problems.into_iter().map(|problem| merged.locate(redactor.problem(problem), connector, path)).collect()
    }

    /// The findings about a component's own fields, while nobody knows what its connection would add.
    fn check_own(connector: &Connector, component: &Component) -> Vec<Problem> {
        let mut own = component.config.clone();
        own.shift_remove("connection");
        let own = Value::Object(own);
        if secrets::too_long(&own, connector.schema.as_value()).is_some() {
            return Vec::new();
        }
        let redactor = connector.redactor(&own, Vec::new());
        let added = |problem: &Problem| problem.code == "missing-field" && connector.is_address(&problem.path);
        let problems = check::against_schema(&own, &connector.schema, "").into_iter();
        problems.filter(|problem| !added(problem)).map(|problem| redactor.problem(problem)).collect()
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
            Make::Source { build, .. } => self
                .build(connector, component, connections, build)
                .map(|(source, redactor, granted)| guard::source(source, redactor, granted)),
            Make::Sink { .. } => unreachable!("a source's entry makes sources"),
        }
    }

    /// The sink that a component describes, its secrets looked up.
    ///
    /// # Errors
    /// All findings, with paths from the component's root.
    pub fn build_sink(&self, component: &Component, connections: &Connections) -> Result<BuiltSink, Vec<Problem>> {
        let connector = self.known(Role::Sink, component).map_err(|problem| vec![problem])?;
        match connector.make {
            Make::Sink { build, .. } => {
                let (built, redactor, granted) = self.build(connector, component, connections, build)?;
                Ok(BuiltSink { sink: guard::sink(built.sink, redactor, granted), ..built })
            }
            Make::Source { .. } => unreachable!("a sink's entry makes sinks"),
        }
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
            let problem =
                Problem::new("type", "unknown-type", format!("there is no {role} of type {:?}", check::shown(kind)));
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
    ) -> Result<(T, Arc<Redactor>, Vec<PathBuf>), Vec<Problem>> {
        let merged = connections.merge(connector, component).map_err(|problem| vec![problem])?;
        let schema = connector.schema.as_value();
        let (mut own, mut given) = (Value::Object(merged.own.clone()), Value::Object(merged.given.clone()));
        let reach = Some(connections.reach());
        let mut lookup =
            secrets::Lookup { secrets: connections.secrets(), reach, found: Vec::new(), problems: Vec::new() };
        lookup.in_places(&mut own, schema);
        lookup.reach = None;
        lookup.everywhere(&mut given, schema);
        let granted = connector.paths(&given);
        let fields = [own, given].into_iter().filter_map(|fields| fields.as_object().cloned()).flatten();
        let config: Value = fields.collect();

        if let Some(problem) = secrets::too_long(&config, schema) {
            return Err(vec![merged.locate(problem, connector, "")]);
        }
        let redactor = Arc::new(connector.redactor(&config, lookup.found));
        let mut problems = lookup.problems;
        if problems.is_empty() {
            problems = check::against_schema(&config, &connector.schema, "");
        }
        let built = if problems.is_empty() { build(config) } else { Err(problems) };
        let located = |problem| merged.locate(redactor.problem(problem), connector, "");
        match built {
            Ok(built) => {
                connections.known().add(&redactor);
                Ok((built, redactor, granted))
            }
            Err(problems) => Err(problems.into_iter().map(located).collect()),
        }
    }
}
