//! Transforms: what is done to each record between source and sink.
use crate::{
    Problem,
    batch::{Demand, Inferred, Processed},
    declared::{Declared, UnknownFields},
    records::Records,
};
use dataflow_core::{
    spec::{Component, PipelineSpec},
    types::InferredTypes,
};
use std::{collections::BTreeSet, sync::Arc};

/// Makes programs of the transforms of a spec. One per node.
pub trait Compiler: Send + Sync + std::fmt::Debug {
    /// Findings about the transforms of a spec and the side expressions of its sink (unknown types and fields, expressions that
    /// don't parse or can't have a type), with paths from the spec's root: `transforms[0].condition`, `sink.key`. Never touches
    /// the network.
    fn check(&self, spec: &PipelineSpec, declared: &Declared) -> Vec<Problem>;

    /// What the expressions of a spec read of the metadata of records: where they do, and the name behind `meta.`.
    fn metadata(&self, spec: &PipelineSpec, declared: &Declared) -> Vec<(String, String)> {
        let _ = (spec, declared);
        Vec::new()
    }

    /// What the transforms of a spec make anew each time that a record is read.
    fn volatile(&self, spec: &PipelineSpec, declared: &Declared) -> Volatile {
        let _ = (spec, declared);
        Volatile::default()
    }

    /// JSON Schema and summary of each transform type, for the catalogue: (type, summary, schema).
    fn catalog(&self) -> Vec<(&'static str, &'static str, schemars::Schema)>;

    /// Compiles transforms and the sink's demand to one program.
    ///
    /// # Errors
    /// All findings, like [`Self::check`].
    fn compile(&self, plan: &Plan) -> Result<Box<dyn Program>, Vec<Problem>>;
}

/// What is another one each time that a record is read, as `random()` and `uuid()` are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volatile {
    /// Top-level output fields.
    pub fields: Vec<String>,
    /// Whether a record has rows at all, or how many.
    pub rows: bool,
}

/// The input of a program's compilation.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The transforms, in order.
    pub transforms: Vec<Component>,
    /// The rest of the spec that matters: declared schema, what becomes of misfits.
    pub spec: Arc<PipelineSpec>,
    /// What the sink wants.
    pub demand: Demand,
    /// What source and sink declare.
    pub declared: Declared,
    /// The types of the sink's columns, as this run and earlier ones inferred them.
    pub learned: InferredTypes,
    /// What the run knows by the time at which it compiles them anew.
    pub so_far: SoFar,
}

/// What a run has found out about the fields of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoFar {
    /// Fields that a [growing](Demand::Growing) table was asked to have, and can't.
    pub turned_down: BTreeSet<String>,
    /// The paths of fields that are named somewhere and that no record has had; none: no record was looked at.
    pub missed: Option<BTreeSet<Vec<String>>>,
}

impl Plan {
    /// What becomes of output fields that the sink has no column for; none: nothing is said about them.
    pub fn unknown_fields(&self) -> Option<UnknownFields> {
        match self.demand {
            Demand::Growing(_) => Some(UnknownFields::Add),
            _ => self.declared.sink.unknown_fields,
        }
    }
}

/// What a batch comes to is more than is held at once: its records are to be given again in two [halves](Records::halves), one after the
/// other. Never said of a single record, which is a dead letter instead: what becomes of a record is not to depend on its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

/// Compiled transforms: takes raw records, gives what the sink wants. Pure compute, called on compute threads, one call
/// at a time; each lane has its own.
pub trait Program: Send {
    /// Columns for all top-level output fields of these records (at most 1,000), for a sink that demanded
    /// [`Demand::AllColumns`]. Records that turn out dead or filtered are not looked at.
    ///
    /// # Errors
    /// These are too many at once.
    fn infer(&mut self, records: &Arc<Records>) -> Result<Inferred, TooMuch>;

    /// Runs decode, transforms and the making of what the sink wants. Every record is in the output, filtered, or dead.
    ///
    /// # Errors
    /// These are too many at once.
    fn process(&mut self, records: Arc<Records>) -> Result<Processed, TooMuch>;

    /// The fields that no record has had: [`SoFar::missed`] of the program that goes on in place of this one.
    fn missed(&self) -> Option<BTreeSet<Vec<String>>> {
        None
    }
}
