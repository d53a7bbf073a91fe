//! The connectors and transforms of this build: the one place that lists them.
use dataflow_core::{
    pipeline::command::Change,
    position::Positions,
    problem::Problem,
    spec::{Component, PipelineSpec},
};
use dataflow_engine::parts::Plugins;
use dataflow_sdk::{
    Catalog,
    catalog::{BuiltSink, Connections, Role},
    check,
    declared::Declared,
    source::Source,
    transform::Compiler,
};
use dataflow_transforms::SqlCompiler;
use serde_json::Value;
use std::sync::Arc;

/// The catalogue of every connector in this build.
pub fn catalog() -> Catalog {
    let mut catalog = Catalog::new();
    dataflow_sources::register(&mut catalog);
    dataflow_sinks::register(&mut catalog);
    catalog
}

/// The compiler of transforms in this build.
pub fn compiler() -> Arc<dyn Compiler> {
    Arc::new(SqlCompiler::new())
}

/// Connectors and transforms with the connections of a node.
#[derive(Clone, Debug)]
pub struct Connectors {
    /// The connectors.
    pub catalog: Arc<Catalog>,
    /// The node's connections.
    pub connections: Arc<Connections>,
    /// The transforms.
    pub compiler: Arc<dyn Compiler>,
}

impl Connectors {
    /// All connectors and transforms of this build.
    ///
    /// # Errors
    /// What is wrong with the connections.
    pub fn new(connections: Connections) -> Result<Self, Vec<Problem>> {
        let catalog = catalog();
        let problems = catalog.check_connections(&connections);
        if !problems.is_empty() {
            return Err(problems);
        }
        let (catalog, connections) = (Arc::new(catalog), Arc::new(connections));
        Ok(Self { catalog, connections, compiler: compiler() })
    }
}

impl Plugins for Connectors {
    fn check(&self, spec: &PipelineSpec) -> Vec<Problem> {
        let value = match serde_json::to_value(spec) {
            Ok(value) => value,
            Err(error) => return vec![Problem::new("", "invalid-value", error.to_string())],
        };
        check::check_spec(&value, &self.catalog, &self.connections, &*self.compiler).err().unwrap_or_default()
    }

    fn source(&self, component: &Component) -> Result<Box<dyn Source>, Vec<Problem>> {
        self.catalog.build_source(component, &self.connections)
    }

    fn sink(&self, component: &Component) -> Result<BuiltSink, Vec<Problem>> {
        self.catalog.build_sink(component, &self.connections)
    }

    fn declared(&self, spec: &PipelineSpec) -> Declared {
        self.catalog.declared(spec, &self.connections)
    }

    fn compiler(&self) -> &dyn Compiler {
        &*self.compiler
    }

    fn change(&self, before: &PipelineSpec, after: &PipelineSpec, positions: &Positions) -> Change {
        self.catalog.change(before, after, positions, &self.connections)
    }

    fn target(&self, sink: &Component) -> String {
        self.catalog.target(sink, &self.connections)
    }

    fn same_target(&self, one: &Component, other: &Component) -> bool {
        self.catalog.same_target(one, other, &self.connections)
    }

    fn redact(&self, component: &Component) -> Component {
        // A type may be known as a source and as a sink, with different secrets: both hide theirs.
        self.catalog.redact(Role::Sink, &self.catalog.redact(Role::Source, component))
    }
}

/// Reads a pipeline as `POST /api/pipelines` and `dataflow run` take it.
///
/// # Errors
/// All findings.
pub fn check_new(
    connectors: &Connectors,
    value: &Value,
) -> Result<(dataflow_core::id::PipelineId, PipelineSpec), Vec<Problem>> {
    check::check_new(value, &connectors.catalog, &connectors.connections, &*connectors.compiler)
}
