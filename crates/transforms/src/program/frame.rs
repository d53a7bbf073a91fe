//! The rows of one batch on their way through the steps.
use crate::expression::{MOST_OF_BATCH, Slot, weight};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array},
    buffer::BooleanBuffer,
    compute::{filter, take},
};
use dataflow_formats::decode;
use dataflow_sdk::batch::{Dead, Operation, Operations};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The rows that are still on their way, and what was computed for them.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    /// Decoded fields, a value for each record.
    fields: &'a [decode::Column],
    /// Metadata, a value for each record.
    meta: &'a [decode::Column],
    /// The record of each row, never falling; none while every record is one row.
    rows: Option<UInt32Array>,
    len: usize,
    /// Computed columns, a value for each row.
    registers: Vec<Option<ArrayRef>>,
    /// Fields and metadata of the rows, where that takes copying.
    taken: HashMap<Slot, ArrayRef>,
    /// Computed columns that hold JSON texts.
    json: HashSet<usize>,
    /// Of computed columns, the rows for which there is none, not even NULL.
    absent: HashMap<usize, BooleanBuffer>,
    /// Of computed columns with values that don't fit, why not, for each row.
    unfit: HashMap<usize, ArrayRef>,
    /// The rows that are deletes; none: there are none.
    deletes: Option<BooleanBuffer>,
    /// Records that failed.
    pub(crate) dead: BTreeMap<u32, Dead>,
}

impl<'a> Frame<'a> {
    /// All records, one row each.
    pub(crate) fn new(
        fields: &'a [decode::Column],
        meta: &'a [decode::Column],
        registers: usize,
        records: usize,
    ) -> Self {
        Self {
            fields,
            meta,
            rows: None,
            len: records,
            registers: vec![None; registers],
            taken: HashMap::new(),
            json: HashSet::new(),
            absent: HashMap::new(),
            unfit: HashMap::new(),
            deletes: None,
            dead: BTreeMap::new(),
        }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The record of a row.
    pub(crate) fn record(&self, row: usize) -> u32 {
        self.rows.as_ref().map_or(row as u32, |rows| rows.value(row))
    }

    /// The record of each row; none if every record is one row.
    pub(crate) fn rows(&self) -> Option<&[u32]> {
        self.rows.as_ref().map(|rows| &**rows.values())
    }

    /// Whether a record has a row.
    pub(crate) fn has(&self, record: u32) -> bool {
        match &self.rows {
            None => (record as usize) < self.len,
            Some(rows) => rows.values().binary_search(&record).is_ok(),
        }
    }

    /// The decoded field, or piece of metadata, behind a column, if it is one.
    pub(crate) fn field(&self, slot: Slot) -> Option<&'a decode::Column> {
        match slot {
            Slot::Field(index) => Some(&self.fields[index]),
            Slot::Meta(index) => Some(&self.meta[index]),
            Slot::Register(_) => None,
        }
    }

    /// A column, with a value for each row.
    pub(crate) fn column(&mut self, slot: Slot) -> ArrayRef {
        let whole = match slot {
            Slot::Register(register) => match &self.registers[register] {
                Some(column) => return column.clone(),
                None => unreachable!("a column is computed before it is read"),
            },
            Slot::Field(index) => &self.fields[index].array,
            Slot::Meta(index) => &self.meta[index].array,
        };
        let Some(rows) = &self.rows else { return whole.clone() };
        let taken = self.taken.entry(slot).or_insert_with(|| {
            take(whole, rows, None).unwrap_or_else(|error| unreachable!("every row has a record: {error}"))
        });
        taken.clone()
    }

    /// The rows that don't have a column's field; none: all do.
    pub(crate) fn absent(&self, slot: Slot) -> Option<BooleanBuffer> {
        let field = match slot {
            Slot::Field(field) => field,
            Slot::Register(register) => return self.absent.get(&register).cloned(),
            Slot::Meta(_) => return None,
        };
        let absent = self.fields[field].absent.as_ref()?;
        let Some(rows) = self.rows() else { return Some(absent.clone()) };
        let of_rows = BooleanBuffer::collect_bool(rows.len(), |row| absent.value(rows[row] as usize));
        (of_rows.count_set_bits() > 0).then_some(of_rows)
    }

    /// Bytes of a row's texts in all columns but one: what one more row of the same record would take.
    pub(crate) fn texts(&self, row: usize, but: Slot) -> usize {
        let length = |array: &ArrayRef, at: usize| {
            array.as_string_opt::<i32>().filter(|texts| texts.is_valid(at)).map_or(0, |texts| texts.value(at).len())
        };
        let record = self.record(row) as usize;
        let fields = self.fields.iter().enumerate().filter(|(index, _)| Slot::Field(*index) != but);
        let fields = fields.map(|(_, field)| length(&field.array, record));
        fields.chain(self.registers.iter().flatten().map(|register| length(register, row))).sum()
    }

    /// Sets a computed column.
    pub(crate) fn set(&mut self, register: usize, column: ArrayRef) {
        debug_assert_eq!(column.len(), self.len);
        self.registers[register] = Some(column);
    }

    /// Sets a computed column of JSON texts.
    pub(crate) fn set_json(&mut self, register: usize, column: ArrayRef) {
        self.set(register, column);
        self.json.insert(register);
    }

    /// Says for which rows a column that is set has no value, not even NULL.
    pub(crate) fn set_absent(&mut self, register: usize, absent: BooleanBuffer) {
        debug_assert_eq!(absent.len(), self.len);
        self.absent.insert(register, absent);
    }

    /// Says of the values of a computed column why they don't fit, where they don't.
    pub(crate) fn set_unfit(&mut self, register: usize, causes: ArrayRef) {
        debug_assert_eq!(causes.len(), self.len);
        self.unfit.insert(register, causes);
    }

    /// Why values of a computed column don't fit, a text for each row; none if all do. It is told once.
    pub(crate) fn take_unfit(&mut self, register: usize) -> Option<ArrayRef> {
        self.unfit.remove(&register)
    }

    /// Whether a column holds JSON texts.
    pub(crate) fn is_json(&self, slot: Slot) -> bool {
        match slot {
            Slot::Register(register) => self.json.contains(&register),
            Slot::Meta(index) => self.meta[index].json,
            Slot::Field(index) => self.fields[index].json,
        }
    }

    /// Goes on with the rows that `keep` is set for.
    pub(crate) fn keep(&mut self, keep: BooleanBuffer) {
        let left = keep.count_set_bits();
        if left == self.len {
            return;
        }
        let rows = UInt32Array::from_iter_values(keep.set_indices().map(|row| self.record(row)));
        let keep = BooleanArray::new(keep, None);
        let kept = |column: &ArrayRef| {
            filter(column, &keep).unwrap_or_else(|error| unreachable!("the column has a value for each row: {error}"))
        };
        for column in self.registers.iter_mut().flatten().chain(self.unfit.values_mut()) {
            *column = kept(column);
        }
        for rows in self.deletes.iter_mut().chain(self.absent.values_mut()) {
            *rows = BooleanBuffer::from_iter(keep.values().set_indices().map(|row| rows.value(row)));
        }
        self.taken.clear();
        self.rows = Some(rows);
        self.len = left;
    }

    /// From here on it is known which rows are deletes. Steps that repeat rows are behind it.
    pub(crate) fn set_deletes(&mut self, deletes: BooleanBuffer) {
        debug_assert_eq!(deletes.len(), self.len);
        self.deletes = (deletes.count_set_bits() > 0).then_some(deletes);
    }

    /// Whether a row is a delete.
    pub(crate) fn deletes(&self, row: usize) -> bool {
        self.deletes.as_ref().is_some_and(|deletes| deletes.value(row))
    }

    /// What is to become of the rows at the target.
    pub(crate) fn operations(&self) -> Operations {
        let Some(deletes) = &self.deletes else { return Operations::Upserts };
        let operation = |deletes| if deletes { Operation::Delete } else { Operation::Upsert };
        Operations::Each(deletes.iter().map(operation).collect())
    }

    /// Has `work` see only the rows that are no deletes. The records that it kills are dead.
    pub(crate) fn upserts<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        match self.deletes.clone() {
            None => work(self),
            Some(deletes) => self.those(!&deletes, work),
        }
    }

    /// The same with only those that are.
    pub(crate) fn those_deleted(&mut self, work: impl FnOnce(&mut Self)) {
        if let Some(deletes) = self.deletes.clone() {
            self.those(deletes, work);
        }
    }

    fn those<T>(&mut self, rows: BooleanBuffer, work: impl FnOnce(&mut Self) -> T) -> T {
        let mut frame = self.clone();
        frame.keep(rows);
        frame.deletes = None;
        let done = work(&mut frame);
        self.kill(frame.dead.into_values());
        done
    }

    /// Goes on with these rows, given as rows so far, each as often as it is named.
    pub(crate) fn repeat(&mut self, indices: &UInt32Array) {
        let rows = UInt32Array::from_iter_values(indices.values().iter().map(|row| self.record(*row as usize)));
        for column in self.registers.iter_mut().flatten().chain(self.unfit.values_mut()) {
            *column = take(column, indices, None).unwrap_or_else(|error| unreachable!("rows that there are: {error}"));
        }
        for rows in self.absent.values_mut() {
            *rows = BooleanBuffer::from_iter(indices.values().iter().map(|row| rows.value(*row as usize)));
        }
        self.taken.clear();
        self.rows = Some(rows);
        self.len = indices.len();
    }

    /// What was computed so far is no more than a batch may be.
    ///
    /// # Errors
    /// It is.
    pub(crate) fn weighed(&self, stage: &str) -> Result<(), Excess> {
        weighed(self.registers.iter().flatten(), stage)
    }

    /// These records failed: they and all their rows go no further.
    pub(crate) fn kill(&mut self, dead: impl IntoIterator<Item = Dead>) {
        let before = self.dead.len();
        for dead in dead {
            self.dead.entry(dead.row).or_insert(dead);
        }
        if self.dead.len() > before {
            let keep = BooleanBuffer::collect_bool(self.len, |row| !self.dead.contains_key(&self.record(row)));
            self.keep(keep);
        }
    }
}

/// More than a batch may come to.
#[derive(Debug)]
pub(crate) struct Excess {
    /// Where.
    pub(crate) stage: String,
    /// What to say of a record that comes to so much by itself.
    pub(crate) cause: String,
}

impl Excess {
    /// Of bytes.
    pub(crate) fn of_bytes(stage: &str, what: &str) -> Self {
        Self { stage: stage.into(), cause: format!("{what} would be more than {MOST_OF_BATCH} bytes") }
    }
}

/// These columns are no more than a batch may be.
///
/// # Errors
/// They are.
pub(crate) fn weighed<'a>(columns: impl IntoIterator<Item = &'a ArrayRef>, stage: &str) -> Result<(), Excess> {
    match columns.into_iter().map(weight).sum::<usize>() > MOST_OF_BATCH {
        true => Err(Excess::of_bytes(stage, "the fields that are computed for the record")),
        false => Ok(()),
    }
}
