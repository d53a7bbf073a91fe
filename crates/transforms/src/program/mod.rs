//! Transforms and a sink's demand, compiled to one program.
mod build;
mod convert;
mod declared;
mod documents;
mod edit;
mod frame;
mod groups;
mod infer;
mod meta;
mod misfits;
mod narrow;
mod reread;
mod run;
mod target;
#[cfg(test)]
mod tests;
mod unknown;
mod unnest;
mod watch;

pub(crate) use build::{Builder, Step};
pub(crate) use convert::{floats, shown, type_of};
pub(crate) use run::Chain;
pub(crate) use unnest::Unnest;

use crate::{
    Transform,
    expression::{Context, Functions, Origin, Scope},
};
use dataflow_core::{
    spec::{Component, OnTypeMismatch, PipelineSpec},
    types::Type,
};
use dataflow_formats::decode::{Decoder, Field};
use dataflow_sdk::{
    Problem,
    batch::{Column, Demand},
    declared::{Declared, SinkRows},
    transform::Plan,
};
use std::{collections::BTreeSet, sync::Arc};
use target::Target;
use watch::By;

/// Plans all transforms of a spec, and what its sink wants to know of each row. Its problems are in the builder.
pub(crate) fn plan<'a>(
    functions: &'a Arc<Functions>,
    transforms: &[Component],
    spec: &'a PipelineSpec,
    declared: &'a Declared,
) -> Builder<'a> {
    let cx = Context { functions, schema: &spec.schema, source: &declared.source };
    let mut builder = Builder::new(cx);
    for (index, component) in transforms.iter().enumerate() {
        builder.enter(format!("transforms[{index}]"));
        match Transform::of(component) {
            Ok(transform) => transform.plan(&mut builder),
            Err(problems) => {
                builder.problems.extend(problems.into_iter().map(|p| p.under(&format!("transforms[{index}]"))))
            }
        }
    }
    builder.sink(&declared.sink);
    builder
}

/// The fields of the records that settings name: as they come to the sink, and as the source has them.
fn named(plan: &Plan, scope: &Scope) -> Vec<(Vec<String>, By)> {
    let origin = |name: &String| match scope.columns.get(name) {
        Some(Origin::Field(path)) => Some(path.clone()),
        Some(_) => None,
        None => (scope.open && !scope.removed.contains(name)).then(|| vec![name.clone()]),
    };
    let SinkRows { key, columns, .. } = &plan.declared.sink;
    let key = key.iter().filter_map(origin).map(|path| (path, By::Key));
    let columns = columns.iter().filter_map(|(name, _)| origin(name)).map(|path| (path, By::Columns));
    let schema = plan.spec.schema.keys().map(|name| (vec![name.clone()], By::Schema));
    key.chain(columns).chain(schema).collect()
}

/// The columns whose types were taken from the data, and that nobody has named since.
fn learned(plan: &Plan) -> BTreeSet<String> {
    let typed = |name: &String| plan.declared.sink.columns.iter().any(|(column, ty)| column == name && ty.is_some());
    let named = |name: &&String| plan.spec.schema.contains_key(*name) || typed(name);
    plan.learned
        .0
        .iter()
        .filter(|(_, ty)| ty.is_some())
        .map(|(name, _)| name)
        .filter(|name| !named(name))
        .cloned()
        .collect()
}

/// The program for a plan, of which the transforms are in the builder.
///
/// # Errors
/// All problems of its transforms.
pub(crate) fn compile(mut builder: Builder<'_>, plan: &Plan) -> Result<Chain, Vec<Problem>> {
    if !builder.problems.is_empty() {
        return Err(builder.problems);
    }
    let result = match &plan.demand {
        Demand::Documents | Demand::Lines => {
            let lines = plan.demand == Demand::Lines;
            run::Made::Documents(Box::new(documents::Documents::new(&mut builder, lines)))
        }
        Demand::Columns(columns) | Demand::Growing(columns) => {
            let target = Target::new(columns, learned(plan), &mut builder);
            run::Made::Columns(target.known_by(&plan.declared.sink.key))
        }
        Demand::AllColumns => run::Made::Unknown,
    };
    let key = plan.declared.sink.key.iter().map(|name| Column { name: name.clone(), ty: Type::Any });
    let key = (plan.demand == Demand::AllColumns)
        .then(|| Target::new(&key.collect::<Vec<_>>(), BTreeSet::new(), &mut builder));
    let side = Target::of_computed("side expression", std::mem::take(&mut builder.side), &builder);
    let op = Target::of_computed("side expression", builder.op.take().into_iter().collect(), &builder);
    let unknown = match (&result, plan.unknown_fields()) {
        (run::Made::Columns(target), Some(rule)) => {
            Some(unknown::Unknown::new(rule, target, &builder.scope, plan, &mut builder.inputs))
        }
        _ => None,
    };
    let named = named(plan, &builder.scope);
    let inputs = builder.inputs;
    for staged in &mut builder.steps {
        if let Step::Unnest(unnest) = &mut staged.step {
            unnest.want(&inputs.elements);
        }
    }
    let fields: Vec<Field> = inputs.fields.into_iter().collect();
    let declared = |path: &[String]| plan.spec.schema.get(&path.join(".")).copied();
    let mut decoder = Decoder::new(fields.clone()).declaring(declared).with_numbers(plan.declared.sink.numbers);
    if let run::Made::Documents(documents) = &result {
        decoder = decoder.marking(documents.marked());
    }
    Ok(Chain {
        watch: watch::Watch::new(
            inputs
                .named
                .into_iter()
                .map(|path| (path, By::Expression))
                .chain(inputs.removed.into_iter().map(|path| (path, By::Removal)))
                .chain(named),
            &fields,
        )
        .after(plan.so_far.missed.as_ref()),
        decoder,
        meta: meta::Meta::new(inputs.meta.into_iter().collect()),
        registers: inputs.registers,
        steps: builder.steps,
        scope: builder.scope,
        result,
        side,
        op,
        key,
        tombstones: plan.declared.sink.tombstones,
        lenient: plan.spec.on_type_mismatch == OnTypeMismatch::Null,
        unknown,
        schema: plan.spec.schema.clone(),
    })
}
