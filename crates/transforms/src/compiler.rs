//! The compiler that a node has.
use crate::{
    Transform,
    expression::{Functions, stack::roomy},
    program,
};
use dataflow_core::spec::PipelineSpec;
use dataflow_sdk::{
    Problem,
    transform::{Compiler, Plan, Program, Volatile},
};
use schemars::Schema;
use std::sync::Arc;

/// Compiles transforms whose expressions are SQL. One per node: it holds the functions there are.
#[derive(Debug)]
pub struct SqlCompiler {
    functions: Arc<Functions>,
}

impl SqlCompiler {
    /// A compiler that knows all functions.
    pub fn new() -> Self {
        Self { functions: Arc::new(Functions::new()) }
    }
}

impl Default for SqlCompiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiler for SqlCompiler {
    fn check(&self, spec: &PipelineSpec) -> Vec<Problem> {
        roomy(|| {
            let mut plan = program::plan(&self.functions, &spec.transforms, spec);
            plan.check_key(&spec.sink);
            plan.problems
        })
    }

    fn metadata(&self, spec: &PipelineSpec) -> Vec<(String, String)> {
        roomy(|| program::plan(&self.functions, &spec.transforms, spec).metadata)
    }

    fn volatile(&self, spec: &PipelineSpec) -> Volatile {
        roomy(|| program::plan(&self.functions, &spec.transforms, spec).volatile())
    }

    fn catalog(&self) -> Vec<(&'static str, &'static str, Schema)> {
        Transform::all()
    }

    fn compile(&self, plan: &Plan) -> Result<Box<dyn Program>, Vec<Problem>> {
        Ok(Box::new(roomy(|| program::compile(&self.functions, plan))?))
    }
}
