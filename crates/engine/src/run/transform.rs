//! The second stage of a lane: decodes what is asked for, and runs the expressions.
use super::{commit::ToCommit, failure::Failure, in_flight::InFlight};
use crate::parts::{Compute, compute};
use dataflow_core::types::Type;
use dataflow_sdk::{
    batch::{Column, Demand, Inferred, Processed},
    declared::UnknownFields,
    records::Records,
    transform::{Compiler, Plan, Program, TooMuch},
};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Compiled transforms and what is needed to compile them anew when the sink's columns change.
pub(crate) struct Binding {
    pub(crate) program: Box<dyn Program>,
    pub(crate) plan: Plan,
    pub(crate) compile: Compile,
}

/// Makes a program of a plan.
pub(crate) type Compile = Arc<dyn Fn(&Plan) -> Result<Box<dyn Program>, Failure> + Send + Sync>;

impl Binding {
    /// Compiles a plan.
    pub(crate) fn new(plan: Plan, compile: Compile) -> Result<Self, Failure> {
        Ok(Self { program: compile(&plan)?, plan, compile })
    }

    /// Compiles against what the sink wants now.
    fn rebind(&mut self, demand: Demand) -> Result<(), Failure> {
        self.plan.demand = demand;
        self.plan.so_far.missed = self.program.missed();
        self.program = (self.compile)(&self.plan)?;
        Ok(())
    }
}

/// The findings of a compiler as a failure.
pub(crate) fn compile_with(compiler: &dyn Compiler, plan: &Plan) -> Result<Box<dyn Program>, Failure> {
    compiler.compile(plan).map_err(|problems| Failure::invalid("transforms", &problems))
}

/// Decodes what is asked for and runs the expressions, on compute threads.
pub(crate) async fn transform(
    mut binding: Binding,
    on: Arc<dyn Compute>,
    mut raw: mpsc::Receiver<InFlight<Records>>,
    out: mpsc::Sender<ToCommit>,
) -> Result<(), Failure> {
    let mut parts: Vec<InFlight<Arc<Records>>> = Vec::new();
    loop {
        let next = match parts.pop() {
            Some(part) => part,
            None => match raw.recv().await {
                Some(InFlight { load, permit }) => InFlight { load: Arc::new(load), permit },
                None => return Ok(()),
            },
        };
        let InFlight { load: records, permit } = next;
        if binding.plan.demand == Demand::AllColumns {
            let Ok(found) = infer(&mut binding, &on, &records).await else {
                parts.extend(halves(&records, permit));
                continue;
            };
            if !found.fields.is_empty() {
                let Some(demand) = define(&out, found, &mut binding.plan).await else { return Ok(()) };
                binding.rebind(demand)?;
            }
            if binding.plan.demand == Demand::AllColumns {
                // No record has what a table is made of: they are filtered, dead, deletes, rows of nulls, or without their key.
                let mut program = (binding.compile)(&without_table(&binding.plan))?;
                let part = records.clone();
                let Ok(processed) = compute(&*on, move || program.process(part)).await else {
                    parts.extend(halves(&records, permit));
                    continue;
                };
                if let Some(failure) = unknown_fields(&processed.new_columns, &binding.plan) {
                    return Err(failure);
                }
                if out.send(ToCommit::Batch(InFlight { load: processed, permit })).await.is_err() {
                    return Ok(());
                }
                continue;
            }
        }
        let processed = loop {
            let Ok(processed) = process(&mut binding, &on, records.clone()).await else { break None };
            if processed.new_columns.columns.is_empty() {
                if !binding.plan.learned.merge(&processed.new_columns.learned) {
                    break Some(processed);
                }
                // Fields without any value so far are watched for one from here on: they count for these records, too.
                binding.rebind(binding.plan.demand.clone())?;
                continue;
            }
            if let Some(failure) = unknown_fields(&processed.new_columns, &binding.plan) {
                return Err(failure);
            }
            let Some(demand) = define(&out, processed.new_columns, &mut binding.plan).await else { return Ok(()) };
            binding.rebind(demand)?;
        };
        let Some(processed) = processed else {
            parts.extend(halves(&records, permit));
            continue;
        };
        if out.send(ToCommit::Batch(InFlight { load: processed, permit })).await.is_err() {
            return Ok(()); // the commit stage has failed and says why
        }
    }
}

/// What comes to too much at once, in two parts, of which the last is the one to go on with.
fn halves(records: &Records, mut permit: OwnedSemaphorePermit) -> [InFlight<Arc<Records>>; 2] {
    let (first, second) = records.halves();
    let half = permit.num_permits() / 2;
    let share = permit.split(half);
    let [first, second] = [Arc::new(first), Arc::new(second)];
    match share {
        Some(share) => [InFlight { load: second, permit: share }, InFlight { load: first, permit }],
        None => unreachable!("half of a permit is less than the permit"),
    }
}

/// Fields without a column, where the spec says that they are a failure.
fn unknown_fields(found: &Inferred, plan: &Plan) -> Option<Failure> {
    if plan.unknown_fields() != Some(UnknownFields::Fail) {
        return None;
    }
    // A field that had no value yet when the columns were made is none of them.
    let waits = |name: &str| plan.learned.0.get(name) == Some(&None);
    let names = found.columns.iter().map(|column| column.name.as_str()).filter(|name| !waits(name));
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return None;
    }
    let message = format!("records have fields without a column in the sink: {}", names.join(", "));
    let fix = "add the columns, leave the fields out with a map transform, or set unknownFields to ignore, add or dead";
    Some(Failure::decide("unknown-field", "sink", message, fix))
}

/// What to make of records while there is no table. Rows that are known by a key are nothing but that to the sink, which knows
/// what to do: it refuses those without.
fn without_table(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let key = &plan.declared.sink.key;
    plan.demand = Demand::Columns(key.iter().map(|name| Column { name: name.clone(), ty: Type::Any }).collect());
    if !key.is_empty() {
        plan.declared.sink.unknown_fields = None;
    }
    plan
}

async fn process(binding: &mut Binding, on: &Arc<dyn Compute>, records: Arc<Records>) -> Result<Processed, TooMuch> {
    let mut program = std::mem::replace(&mut binding.program, Box::new(Gone));
    let (program, processed) = compute(&**on, move || {
        let processed = program.process(records);
        (program, processed)
    })
    .await;
    binding.program = program;
    processed
}

async fn infer(binding: &mut Binding, on: &Arc<dyn Compute>, records: &Arc<Records>) -> Result<Inferred, TooMuch> {
    let mut program = std::mem::replace(&mut binding.program, Box::new(Gone));
    let records = records.clone();
    let (program, found) = compute(&**on, move || {
        let found = program.infer(&records);
        (program, found)
    })
    .await;
    binding.program = program;
    found
}

/// Has the sink define columns, behind all commits before; none: the commit stage is gone.
async fn define(out: &mpsc::Sender<ToCommit>, found: Inferred, plan: &mut Plan) -> Option<Demand> {
    let (answer, demand) = oneshot::channel();
    plan.learned.merge(&found.learned);
    let asked: Vec<String> = found.columns.iter().map(|column| column.name.clone()).collect();
    out.send(ToCommit::Define { found, answer }).await.ok()?;
    let demand = demand.await.ok()?;
    if let Demand::Growing(columns) = &demand {
        let lacks = |name: &String| columns.iter().all(|column| column.name != *name);
        plan.so_far.turned_down.extend(asked.into_iter().filter(lacks));
    }
    Some(demand)
}

/// Stands where a program is while it works on a compute thread.
struct Gone;

impl Program for Gone {
    fn infer(&mut self, _: &Arc<Records>) -> Result<Inferred, TooMuch> {
        unreachable!("a program is used by one call at a time")
    }
    fn process(&mut self, _: Arc<Records>) -> Result<Processed, TooMuch> {
        unreachable!("a program is used by one call at a time")
    }
}
