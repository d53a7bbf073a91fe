//! A program at work: decode, the steps, what the sink wants.
use super::{
    build::{Staged, Step},
    documents::Documents,
    frame::{Excess, Frame},
    groups::{self, Group},
    meta::Meta,
    misfits::Misfits,
    narrow::narrowed,
    target::Target,
    unknown::Unknown,
    watch::Watch,
};
use crate::expression::{
    Expression, Register, Scope, Slot, evaluate,
    evaluate::{Failure, Room, TooMuch},
    kind::DOCUMENT,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array, new_empty_array, new_null_array},
    buffer::BooleanBuffer,
    datatypes::DataType,
};
use dataflow_core::types::Type;
use dataflow_formats::decode::{Decoded, Decoder};
use dataflow_sdk::{
    Records,
    audit::shown,
    batch::{Dead, Inferred, Notice, Operation, Output, Payload, Processed},
    transform,
};
use indexmap::IndexMap;
use std::{collections::BTreeSet, sync::Arc};

/// The code of records without data.
const TOMBSTONE: &str = "tombstone";

/// What is made of the rows that are left.
#[derive(Debug)]
pub(crate) enum Made {
    /// JSON documents.
    Documents(Box<Documents>),
    /// Columns.
    Columns(Target),
    /// Nothing yet: the sink first wants to know which fields there are.
    Unknown,
}

/// A compiled program.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(super) steps: Vec<Staged>,
    pub(super) decoder: Decoder,
    pub(super) meta: Meta,
    /// The computed columns.
    pub(super) registers: Vec<Register>,
    /// The output fields.
    pub(super) scope: Scope,
    pub(super) result: Made,
    /// What the sink wants to know of each row beside that.
    pub(super) side: Target,
    /// The word for what is to become of each row; no column: all of them are upserts.
    pub(super) op: Target,
    /// What rows are known by, while columns are to be made of them.
    pub(super) key: Option<Target>,
    /// Whether the sink takes records without data.
    pub(super) tombstones: bool,
    /// Whether a value that doesn't fit is NULL instead of a dead letter.
    pub(super) lenient: bool,
    pub(super) unknown: Option<Unknown>,
    pub(super) watch: Watch,
    /// Declared types of source fields.
    pub(super) schema: IndexMap<String, Type>,
}

impl Chain {
    /// Decodes records and runs all steps. `done` gets the rows that are left.
    ///
    /// # Errors
    /// It comes to more than a batch may be.
    pub(super) fn run<T>(
        &mut self,
        records: &Arc<Records>,
        done: impl FnOnce(&mut Self, &Decoded, &mut Frame<'_>, &mut Misfits) -> Result<T, Excess>,
    ) -> Result<(T, Decoded, Vec<Dead>, Misfits), Excess> {
        let mut decoded = self.decoder.decode(records);
        let meta = self.meta.columns(records);
        let mut misfits = Misfits::default();
        let mut frame = Frame::new(&decoded.columns, &meta, self.registers.len(), records.len());
        let broken = std::mem::take(&mut decoded.broken);
        let (tombstones, broken): (Vec<Dead>, Vec<Dead>) = broken.into_iter().partition(|dead| dead.code == TOMBSTONE);
        frame.kill(broken);
        let whole = matches!(&self.result, Made::Documents(documents) if documents.is_open());
        let whole = whole.then_some(&**records);
        for Staged { stage, step } in &mut self.steps {
            if frame.len() == 0 {
                fill(&mut frame, step);
                continue;
            }
            match step {
                Step::Filter(condition) => {
                    let Computed { values, dead, .. } =
                        evaluate(&mut frame, condition, stage, self.lenient, &mut misfits)?;
                    frame.keep(evaluate::is_true(&values));
                    frame.kill(dead);
                }
                Step::Compute { register, expression } => {
                    let Computed { values, json, dead } =
                        evaluate(&mut frame, expression, stage, self.lenient, &mut misfits)?;
                    match json || expression.column().is_some_and(|slot| frame.is_json(slot)) {
                        true => frame.set_json(*register, values),
                        false => frame.set(*register, values),
                    }
                    frame.kill(dead);
                }
                Step::Reread(reread) => reread.run(&mut frame),
                Step::Edit(edit) => edit.run(&mut frame, stage, self.lenient, &mut misfits),
                Step::Unnest(unnest) => {
                    kill_present(&mut frame, &tombstones);
                    unnest.run(&mut frame, whole, (stage, self.lenient), &mut misfits)?;
                }
            }
            if !matches!(step, Step::Filter(_)) {
                frame.weighed(stage)?;
            }
        }
        match &self.result {
            _ if !self.takes_tombstones() => kill_present(&mut frame, &tombstones),
            Made::Columns(target) => kill_unknown(&mut frame, &tombstones, target),
            Made::Documents(_) | Made::Unknown => {}
        }
        let result = done(self, &decoded, &mut frame, &mut misfits)?;
        let dead = frame.dead.into_values().collect();
        Ok((result, decoded, dead, misfits))
    }
}

/// A record without data has no fields, but a key and other metadata: it is a dead letter only if no filter drops it.
fn kill_present(frame: &mut Frame<'_>, tombstones: &[Dead]) {
    let present: Vec<Dead> = tombstones.iter().filter(|dead| frame.has(dead.row)).cloned().collect();
    frame.kill(present);
}

/// A tombstone that says nothing of the row it deletes is a dead letter.
fn kill_unknown(frame: &mut Frame<'_>, tombstones: &[Dead], target: &Target) {
    if tombstones.is_empty() {
        return;
    }
    let unknown: BTreeSet<u32> = target.unknown(frame).into_iter().map(|row| frame.record(row)).collect();
    let dead = tombstones.iter().filter(|dead| unknown.contains(&dead.row)).map(|dead| Dead {
        cause: format!(
            "{}, and nothing says which row it deletes: take the key's columns from its key with a map transform, as in \
             {{\"set\": {{\"id\": \"meta.key\"}}}}",
            dead.cause
        ),
        ..dead.clone()
    });
    frame.kill(dead.collect::<Vec<_>>());
}

/// What an expression gives for the rows.
struct Computed {
    values: ArrayRef,
    /// All its texts are JSON.
    json: bool,
    /// The records on which it failed.
    dead: Vec<Dead>,
}

impl Computed {
    fn of(values: ArrayRef, dead: Vec<Dead>) -> Self {
        match *values.data_type() == DOCUMENT {
            true => Self { values: groups::as_texts(&values), json: true, dead },
            false => Self { values, json: false, dead },
        }
    }
}

/// The result of an expression for each row, and the records it failed on; those with misfits are gone already.
fn evaluate(
    frame: &mut Frame<'_>,
    expression: &mut Expression,
    stage: &str,
    lenient: bool,
    misfits: &mut Misfits,
) -> Result<Computed, Excess> {
    for (slot, field) in expression.slots.iter().zip(&expression.names) {
        if let Some(column) = frame.field(*slot) {
            misfits.take(frame, column, stage, field, lenient, |misfit| misfit.cause.clone());
        } else if let Slot::Register(register) = slot {
            misfits.take_of_rows(frame, *register, stage, field, lenient);
        }
    }
    if frame.len() == 0 {
        return Ok(Computed::of(new_empty_array(&expression.default_type), Vec::new()));
    }
    let (mut room, text) = (Room::new(), expression.text.clone());
    let excess = |TooMuch| Excess::of_bytes(stage, &format!("{text}: the results"));
    let types = || {
        let cause = format!("{text}: its results have more than {} types", groups::MAX_TYPES);
        Excess { stage: stage.into(), cause }
    };
    let columns = expression.slots.iter().zip(&expression.open).map(|(slot, open)| {
        let column = frame.column(*slot);
        if *open && frame.is_json(*slot) { groups::as_documents(&column) } else { column }
    });
    let columns: Vec<ArrayRef> = columns.collect();
    let Some(groups) = groups::groups(&columns) else {
        let (result, failures) = of_one_type(expression, columns, frame.len(), &mut room).map_err(excess)?;
        let dead = failures.iter().map(|failure| failed(frame, expression, stage, failure.row, failure));
        let dead = dead.collect();
        let all = || UInt32Array::from_iter_values(0..frame.len() as u32);
        return match result.data_type() {
            DataType::Decimal256(..) => {
                let narrow = groups::together(&narrowed(all(), result), frame.len()).ok_or_else(types)?;
                Ok(Computed::of(narrow, dead))
            }
            _ => Ok(Computed::of(result, dead)),
        };
    };
    let (mut results, mut dead) = (Vec::with_capacity(groups.len()), Vec::new());
    for Group { rows, columns } in groups {
        let (result, failures) = of_one_type(expression, columns, rows.len(), &mut room).map_err(excess)?;
        let place = |row: usize| rows.value(row) as usize;
        dead.extend(failures.iter().map(|failure| failed(frame, expression, stage, place(failure.row), failure)));
        results.extend(narrowed(rows, result));
    }
    Ok(Computed::of(groups::together(&results, frame.len()).ok_or_else(types)?, dead))
}

/// The result for each row, where the values of each column have one type, and the rows where it failed.
fn of_one_type(
    expression: &mut Expression,
    columns: Vec<ArrayRef>,
    rows: usize,
    room: &mut Room,
) -> Result<(ArrayRef, Vec<Failure>), TooMuch> {
    let types = columns.iter().map(|column| column.data_type().clone()).collect();
    let default = expression.default_type.clone();
    match expression.compiled(types) {
        Ok(compiled) => compiled.evaluate(columns, rows, room),
        // The expression can't be had for values of these types.
        Err(cause) => {
            let failures = (0..rows).map(|row| Failure { row, code: "type-mismatch", cause: cause.clone() });
            Ok((new_null_array(&default, rows), failures.collect()))
        }
    }
}

fn failed(frame: &Frame<'_>, expression: &Expression, stage: &str, row: usize, failure: &Failure) -> Dead {
    let cause = format!("{}: {}", expression.text, failure.cause);
    Dead { row: frame.record(row), stage: stage.into(), code: failure.code, cause }
}

/// Without any row there is nothing to compute, but later steps read the columns.
fn fill(frame: &mut Frame<'_>, step: &Step) {
    match step {
        Step::Filter(_) => {}
        Step::Compute { register, expression } => {
            frame.set(*register, new_empty_array(&expression.default_type));
        }
        Step::Edit(edit) => frame.set_json(edit.register, new_empty_array(&DataType::Utf8)),
        Step::Reread(reread) => reread.fill(frame),
        Step::Unnest(unnest) => unnest.fill(frame),
    }
}

impl Chain {
    fn attempt(&mut self, records: &Arc<Records>) -> Result<Processed, Excess> {
        let total = records.len();
        let ((output, new_columns, ignored), decoded, dead, misfits) =
            self.run(records, |chain, decoded, frame, misfits| {
                chain.judge(frame, records, misfits);
                chain.judge_declared(frame, misfits);
                let new_columns = match (&chain.unknown, &chain.result) {
                    (Some(unknown), Made::Columns(target)) => {
                        frame.upserts(|frame| unknown.apply(chain, decoded, target, frame, records))
                    }
                    _ => Inferred::default(),
                };
                let side = chain.side(frame, misfits);
                let rows_of_side = frame.len();
                let payload = match &mut chain.result {
                    Made::Documents(documents) => {
                        documents.make(frame, records, &decoded.marks, chain.lenient, misfits)?
                    }
                    Made::Columns(target) => Payload::Columns(target.make(frame, chain.lenient, misfits)),
                    Made::Unknown => Payload::Columns(super::target::nothing(frame.len())),
                };
                let side = if frame.len() == rows_of_side { side } else { chain.side(frame, misfits) };
                // Only of records that nothing more has happened to.
                let ignored = match &chain.unknown {
                    Some(unknown) => frame.upserts(|frame| unknown.ignored(chain, decoded, frame, records)),
                    None => Vec::new(),
                };
                let rows = frame.rows().map_or_else(|| (0..total as u32).collect(), <[u32]>::to_vec);
                let operations = frame.operations();
                let typed = match &chain.result {
                    Made::Documents(documents) => documents.typed(),
                    Made::Columns(_) | Made::Unknown => Arc::default(),
                };
                let output = Output { operations, side, typed, ..Output::of(records.clone(), rows, payload) };
                Ok((output, new_columns, ignored))
            })?;
        // Of records that are processed again with more columns, nothing is said yet.
        let again = new_columns != Inferred::default();
        let mut warnings = if again { Vec::new() } else { self.watch.warnings(&decoded, total) };
        warnings.extend(misfits.warnings());
        warnings.extend(ignored.into_iter().map(Notice::from));
        let filtered = total as u64 - dead.len() as u64 - output.records_delivered();
        Ok(Processed { records: records.clone(), output, filtered, dead, new_columns, warnings })
    }

    fn takes_tombstones(&self) -> bool {
        self.tombstones && !matches!(self.result, Made::Unknown)
    }

    /// Finds the rows that are deletes: those of records without data, and those of which the sink's setting says so. What it gives that
    /// is no operation is a dead letter.
    pub(super) fn judge(&self, frame: &mut Frame<'_>, records: &Records, misfits: &mut Misfits) {
        let words = (!self.op.is_empty()).then(|| self.op.make(frame, self.lenient, misfits).column(0).clone());
        if words.is_none() && !records.spans.iter().any(|span| span.is_null()) {
            return;
        }
        let words = words.as_ref().map(|words| words.as_string::<i32>());
        let mut dead = Vec::new();
        let deletes = BooleanBuffer::collect_bool(frame.len(), |row| {
            let record = frame.record(row);
            let word = words.filter(|words| words.is_valid(row)).map(|words| words.value(row));
            match word.map(|word| Operation::of(word).ok_or(word)) {
                _ if records.spans[record as usize].is_null() => true,
                None | Some(Ok(Operation::Upsert)) => false,
                Some(Ok(Operation::Delete)) => true,
                Some(Err(word)) => {
                    let cause = format!("op: {:?} is neither delete nor another operation", shown(word.as_bytes()));
                    dead.push(Dead { row: record, stage: "sink".into(), code: "unknown-op", cause });
                    false
                }
            }
        });
        frame.set_deletes(deletes);
        frame.kill(dead);
    }

    /// Goes on with the rows that have a value for each part of the key. The others will be refused: no column is made of them.
    pub(super) fn keep_keyed(&self, frame: &mut Frame<'_>, misfits: &mut Misfits) {
        if let Some(key) = &self.key {
            let key = key.make(frame, self.lenient, misfits);
            let is_whole = |row: usize| key.columns().iter().all(|part| part.is_valid(row));
            frame.keep(BooleanBuffer::collect_bool(frame.len(), is_whole));
        }
    }

    /// What the sink wants to know of each row beside what it writes.
    fn side(&self, frame: &mut Frame<'_>, misfits: &mut Misfits) -> Vec<ArrayRef> {
        if self.side.is_empty() { Vec::new() } else { self.side.make(frame, self.lenient, misfits).columns().to_vec() }
    }

    /// A record that comes to too much by itself.
    fn dead(&self, record: Arc<Records>, Excess { stage, cause }: Excess) -> Processed {
        let payload = match &self.result {
            Made::Documents(_) => Payload::Documents { data: record.data.clone(), spans: Vec::new() },
            Made::Columns(target) => Payload::Columns(target.nothing()),
            Made::Unknown => Payload::Columns(super::target::nothing(0)),
        };
        let side = self.side.nothing().columns().to_vec();
        Processed {
            output: Output { side, ..Output::of(record.clone(), Vec::new(), payload) },
            records: record,
            filtered: 0,
            dead: vec![Dead { row: 0, stage, code: "too-large", cause }],
            new_columns: Inferred::default(),
            warnings: Vec::new(),
        }
    }
}

impl transform::Program for Chain {
    fn infer(&mut self, records: &Arc<Records>) -> Result<Inferred, transform::TooMuch> {
        match super::infer::columns(self, records) {
            Err(_) if records.len() > 1 => Err(transform::TooMuch),
            found => Ok(found.unwrap_or_default()),
        }
    }

    fn missed(&self) -> Option<BTreeSet<Vec<String>>> {
        self.watch.missed()
    }

    fn process(&mut self, records: Arc<Records>) -> Result<Processed, transform::TooMuch> {
        match self.attempt(&records) {
            Ok(processed) => Ok(processed),
            Err(_) if records.len() > 1 => Err(transform::TooMuch),
            Err(excess) => Ok(self.dead(records, excess)),
        }
    }
}
