//! The compiler that a node has.
use crate::{
    Transform,
    expression::{Functions, stack::roomy},
    program::{self, Builder},
};
use dataflow_core::spec::{Component, PipelineSpec};
use dataflow_sdk::{
    Problem,
    transform::{Compiler, Plan, Program, Volatile},
};
use schemars::Schema;
use std::{fmt, sync::Arc};

/// Compiles transforms whose expressions are SQL. One per node: it holds the functions there are.
pub struct SqlCompiler {
    functions: Arc<Functions>,
    is_untyped: Box<IsUntyped>,
}

/// Whether the records of a source are texts without types.
type IsUntyped = dyn Fn(&Component) -> bool + Send + Sync;

impl fmt::Debug for SqlCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqlCompiler")
    }
}

impl SqlCompiler {
    /// A compiler that knows all functions, and is told which sources have texts without types.
    pub fn new(is_untyped: impl Fn(&Component) -> bool + Send + Sync + 'static) -> Self {
        Self { functions: Arc::new(Functions::new()), is_untyped: Box::new(is_untyped) }
    }

    fn plan<'a>(&'a self, transforms: &[Component], spec: &'a PipelineSpec) -> Builder<'a> {
        program::plan(&self.functions, transforms, spec, (self.is_untyped)(&spec.source))
    }
}

impl Compiler for SqlCompiler {
    fn check(&self, spec: &PipelineSpec) -> Vec<Problem> {
        roomy(|| {
            let mut plan = self.plan(&spec.transforms, spec);
            plan.check_key(&spec.sink);
            plan.problems
        })
    }

    fn metadata(&self, spec: &PipelineSpec) -> Vec<(String, String)> {
        roomy(|| self.plan(&spec.transforms, spec).metadata)
    }

    fn volatile(&self, spec: &PipelineSpec) -> Volatile {
        roomy(|| self.plan(&spec.transforms, spec).volatile())
    }

    fn catalog(&self) -> Vec<(&'static str, &'static str, Schema)> {
        Transform::all()
    }

    fn compile(&self, plan: &Plan) -> Result<Box<dyn Program>, Vec<Problem>> {
        Ok(Box::new(roomy(|| program::compile(self.plan(&plan.transforms, &plan.spec), plan))?))
    }
}
