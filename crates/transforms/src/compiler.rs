//! The compiler that a node has.
use crate::{
    Transform,
    expression::{Functions, stack::roomy},
    program::{self, Builder},
};
use dataflow_core::spec::{Component, PipelineSpec};
use dataflow_sdk::{
    Problem,
    declared::Declared,
    transform::{Compiler, Plan, Program, Volatile},
};
use schemars::Schema;
use std::{fmt, sync::Arc};

/// Compiles transforms whose expressions are SQL. One per node: it holds the functions there are.
pub struct SqlCompiler {
    functions: Arc<Functions>,
}

impl fmt::Debug for SqlCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqlCompiler")
    }
}

impl SqlCompiler {
    /// A compiler that knows all functions.
    pub fn new() -> Self {
        Self { functions: Arc::new(Functions::new()) }
    }

    fn plan<'a>(&'a self, transforms: &[Component], spec: &'a PipelineSpec, declared: &'a Declared) -> Builder<'a> {
        program::plan(&self.functions, transforms, spec, declared)
    }
}

impl Default for SqlCompiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiler for SqlCompiler {
    fn check(&self, spec: &PipelineSpec, declared: &Declared) -> Vec<Problem> {
        roomy(|| {
            let mut plan = self.plan(&spec.transforms, spec, declared);
            plan.check_sink(&declared.sink);
            plan.problems
        })
    }

    fn metadata(&self, spec: &PipelineSpec, declared: &Declared) -> Vec<(String, String)> {
        roomy(|| self.plan(&spec.transforms, spec, declared).metadata)
    }

    fn volatile(&self, spec: &PipelineSpec, declared: &Declared) -> Volatile {
        roomy(|| self.plan(&spec.transforms, spec, declared).volatile())
    }

    fn catalog(&self) -> Vec<(&'static str, &'static str, Schema)> {
        Transform::all()
    }

    fn compile(&self, plan: &Plan) -> Result<Box<dyn Program>, Vec<Problem>> {
        Ok(Box::new(roomy(|| program::compile(self.plan(&plan.transforms, &plan.spec, &plan.declared), plan))?))
    }
}
