//! Runs the transforms again, record by record: the result for a record depends only on the record and the spec, so its
//! neighbours in the run must not affect it.
use crate::Error;
use arrow::{
    array::{Array, ArrayRef},
    compute::concat,
};
use dataflow_core::spec::OnTypeMismatch;
use dataflow_engine::parts::Plugins;
use dataflow_sdk::{
    Records, Span,
    batch::{Cells, Column, Dead, Demand, Operation, Operations, Output, Payload, Processed},
    declared::{Declared, SinkRows, UnknownFields},
    transform::{Plan, Program, TooMuch},
};
use std::{collections::BTreeSet, ops::Range, sync::Arc};

/// The transforms compiled twice: with the sink's demand, which determines each record's fate, and as whole documents,
/// for the comparison.
pub(crate) struct Again {
    plugins: Arc<dyn Plugins>,
    plan: Plan,
    fates: Box<dyn Program>,
    says: Box<dyn Program>,
}

/// The fates of records.
pub(crate) struct Outcome {
    /// The documents of the records that have to be written.
    pub(crate) said: Output,
    /// The same in the sink's shape, for the records that the sink may have rejected.
    pub(crate) asked: Vec<Output>,
    pub(crate) dead: Vec<Dead>,
    pub(crate) filtered: u64,
    /// Fields for which the sink should have added a column.
    pub(crate) new_columns: Vec<Column>,
    /// Records that have to be written, but can't be converted to a document.
    pub(crate) unsaid: Vec<u32>,
}

impl Again {
    pub(crate) fn new(plugins: Arc<dyn Plugins>, plan: Plan) -> Result<Self, Error> {
        let [fates, says] = compile(&*plugins, &plan)?;
        Ok(Self { plugins, plan, fates, says })
    }

    /// Whether its target gets columns by itself.
    pub(crate) fn grows(&self) -> bool {
        matches!(self.plan.demand, Demand::Growing(_))
    }

    /// Leaves out fields without a column from here on.
    pub(crate) fn ignore_unknown(&mut self) -> Result<(), Error> {
        self.plan.declared.sink.unknown_fields = Some(UnknownFields::Ignore);
        if let Demand::Growing(columns) = &mut self.plan.demand {
            self.plan.demand = Demand::Columns(std::mem::take(columns));
        }
        [self.fates, self.says] = compile(&*self.plugins, &self.plan)?;
        Ok(())
    }

    /// Runs the transforms over records. `doubtful` are those that the sink may have rejected.
    pub(crate) fn run(&mut self, records: &Arc<Records>, doubtful: &BTreeSet<u32>) -> Outcome {
        let mut outcome = Outcome {
            said: Output::of(
                records.clone(),
                Vec::new(),
                Payload::Documents { data: records.data.clone(), spans: Vec::new() },
            ),
            asked: Vec::new(),
            dead: Vec::new(),
            filtered: 0,
            new_columns: Vec::new(),
            unsaid: Vec::new(),
        };
        // Without transforms there is nothing that a neighbour could affect.
        let length = if self.plan.transforms.is_empty() { records.len() } else { 1 };
        let (mut text, mut spans) = (Vec::new(), Vec::new());
        let (mut operations, mut side) = (Vec::new(), Vec::<Vec<ArrayRef>>::new());
        let parts = (0..records.len()).step_by(length).map(|start| start..start + length);
        let mut parts: Vec<Range<usize>> = parts.rev().collect();
        while let Some(range) = parts.pop() {
            let Ok((processed, said)) = self.process(records, range.clone()) else {
                let middle = range.start + range.len() / 2;
                parts.extend([middle..range.end, range.start..middle]);
                continue;
            };
            let start = range.start;
            let Processed { output, filtered, dead, new_columns, .. } = processed;
            if !new_columns.columns.is_empty() {
                outcome.new_columns = new_columns.columns;
                return outcome;
            }
            let whole = |row: u32| row + start as u32;
            outcome.filtered += filtered;
            outcome.dead.extend(dead.into_iter().map(|dead| Dead { row: whole(dead.row), ..dead }));
            let alive: BTreeSet<u32> = output.rows.iter().copied().collect();
            // These rows are the very ones that the writer gets, and so is what the sink wants to know of them.
            if said.is_none() && !output.is_empty() {
                side.resize(output.side.len(), Vec::new());
                side.iter_mut().zip(&output.side).for_each(|(all, of_part)| all.push(of_part.clone()));
            }
            let said = said.as_ref().unwrap_or(&output);
            outcome.said.typed.clone_from(&said.typed);
            let lenient = self.plan.spec.on_type_mismatch == OnTypeMismatch::Null;
            if let Payload::Documents { data, spans: of_part } = &said.payload {
                let mut written = 0;
                let rows = of_part.iter().zip(&said.rows).enumerate();
                for (place, (span, row)) in rows.filter(|(_, (_, row))| alive.contains(row)) {
                    operations.push(said.operation(place));
                    let from = text.len();
                    text.extend_from_slice(span.of(data));
                    if lenient
                        && let Payload::Columns(cells) = &output.payload
                        && let Some(nth) = output.rows[written..].iter().position(|written| written == row)
                    {
                        written += nth + 1;
                        nullify(&mut text, cells, written - 1);
                    }
                    spans.push(if span.is_null() { Span::NULL } else { Span::new(from, text.len()) });
                    outcome.said.rows.push(whole(*row));
                }
            }
            outcome.unsaid.extend(alive.iter().filter(|row| !said.rows.contains(row)).map(|row| whole(*row)));
            if output.rows.iter().any(|row| doubtful.contains(&whole(*row))) {
                let mut asked = output.retain(|row| doubtful.contains(&whole(output.rows[row])));
                asked.rows.iter_mut().for_each(|row| *row = whole(*row));
                outcome.asked.push(Output { records: Some(records.clone()), ..asked });
            }
        }
        outcome.said.operations = match operations.contains(&Operation::Delete) {
            true => Operations::Each(operations),
            false => Operations::Upserts,
        };
        outcome.said.side = side.iter().map(joined).collect();
        outcome.said.payload = Payload::Documents { data: text.into(), spans };
        outcome
    }

    /// Processes some records; returns their documents, too, if the sink wants another shape.
    fn process(&mut self, records: &Arc<Records>, range: Range<usize>) -> Result<(Processed, Option<Output>), TooMuch> {
        let part = if range.len() == records.len() { records.clone() } else { Arc::new(records.slice(range)) };
        let processed = self.fates.process(part.clone())?;
        let said = match (&processed.output.payload, &self.plan.demand) {
            (Payload::Documents { .. }, Demand::Documents | Demand::Lines) => None,
            _ => Some(self.says.process(part)?.output),
        };
        Ok((processed, said))
    }
}

/// The values of several parts, one after the other.
fn joined(parts: &Vec<ArrayRef>) -> ArrayRef {
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    concat(&parts).unwrap_or_else(|error| unreachable!("parts of one column have one type: {error}"))
}

/// Adds to the document at the end of `text` what became NULL in its row: of fields with the same name the last one counts.
fn nullify(text: &mut Vec<u8>, cells: &Cells, row: usize) {
    for (place, column) in cells.schema().fields().iter().enumerate() {
        if cells.column(place).is_null(row) && !cells.is_absent(place, row) && text.pop() == Some(b'}') {
            let comma = if text.ends_with(b"{") { "" } else { "," };
            text.extend(format!("{comma}{}:null}}", serde_json::Value::from(column.name().as_str())).bytes());
        }
    }
}

fn compile(plugins: &dyn Plugins, plan: &Plan) -> Result<[Box<dyn Program>; 2], Error> {
    // The key and what else of its rows a sink asks for determines fates, but not what records say.
    let SinkRows { tombstones, op, .. } = plan.declared.sink.clone();
    let declared = Declared { sink: SinkRows { tombstones, op, ..SinkRows::default() }, ..plan.declared.clone() };
    let says = Plan { demand: Demand::Lines, declared, ..plan.clone() };
    let program = |plan: &Plan| {
        plugins.compiler().compile(plan).map_err(|problems| Error::Invalid { part: "transforms", problems })
    };
    Ok([program(plan)?, program(&says)?])
}
