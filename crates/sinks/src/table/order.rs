//! Decides the order in which the rows of a commit are written, which rows, and which fields of each, so that the
//! result is the same as writing them one by one.
//!
//! A record says nothing about the fields that it lacks: they keep their value, or get their default in a new row. So
//! rows are grouped by the set of their fields; if all have all fields, there is one set. The table's [`Care`] says
//! what else has to be preserved. Of records with the same key, one is left out if nothing can observe it and its
//! successor has all its fields or deletes the row; the others are written one after the other. A delete is always written: what
//! comes after it makes a new row.
use super::{
    Care, Layout,
    keys::{self, Place},
};
use arrow::row::Rows;
use dataflow_sdk::{
    Error,
    batch::{Cells, Operations, Output},
    sink::CommitError,
};
use indexmap::IndexSet;
use std::{collections::HashSet, ops::Range, sync::Arc};

/// Places, in the layout, of the columns that rows have fields for.
pub type Fields = Arc<[usize]>;

/// The rows of a commit in the order of writing.
#[derive(Clone, Debug)]
pub struct Order {
    /// The rows.
    pub places: Vec<Place>,
    /// Rows that are left out, because later ones with the same key overwrite or delete them, with what is said of them.
    pub covered: Vec<(Said, Place)>,
    runs: Vec<Run>,
}

/// What is said of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Said {
    /// The columns that it has fields for; of a delete, those of the key.
    pub fields: Fields,
    /// Whether it is deleted.
    pub deletes: bool,
}

/// Rows that one statement may write: they are consecutive, have different keys, and the same is said of them.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is said of each.
    pub said: Said,
    /// The indices of its rows in the [`Order`].
    pub rows: Range<usize>,
}

impl Order {
    /// Computes the order of writing. Within a key it is that of arrival, and if the table is sensitive to it, over all
    /// rows; otherwise rows are sorted by key, so that lanes that write the same keys lock them in the same order.
    ///
    /// # Errors
    /// [`CommitError::Rejected`] for rows without a key, or with NULL in a column that refuses it.
    pub fn of(layout: &Layout, outputs: &[Output]) -> Result<Self, CommitError> {
        let batches = keys::batches(outputs)?;
        keys::refuse_nulls(layout, outputs)?;
        let sets = Sets::of(layout, outputs, &batches);
        let mut rows = in_one_turn(outputs);
        let care = layout.care.max(sets.care(layout));
        let mut covered = Vec::new();
        if care == Care::Alone {
            rows.iter_mut().enumerate().for_each(|(turn, row)| row.turn = turn);
        } else if !layout.key.is_empty() && !rows.is_empty() {
            let keys = keys::of_rows(layout, &batches)?;
            match care {
                Care::Arrival => by_arrival(&mut rows, &keys, &sets),
                care => (rows, covered) = by_key(rows, &keys, &sets, care),
            }
        }
        Ok(Self::new(rows, covered, &sets))
    }

    /// Orders all rows by arrival.
    ///
    /// # Errors
    /// [`Error::Fatal`] if an output has no columns.
    pub fn arrived(layout: &Layout, outputs: &[Output]) -> Result<Self, Error> {
        let batches = keys::batches(outputs)?;
        Ok(Self::new(in_one_turn(outputs), Vec::new(), &Sets::of(layout, outputs, &batches)))
    }

    fn new(rows: Vec<Row>, covered: Vec<Place>, sets: &Sets) -> Self {
        let said = sets.said();
        let mut runs: Vec<Run> = Vec::new();
        let mut known = None;
        for (index, row) in rows.iter().enumerate() {
            let set = sets.of_row(row.place);
            match runs.last_mut() {
                Some(run) if known == Some((row.turn, set)) => run.rows.end = index + 1,
                _ => runs.push(Run { said: said[set].clone(), rows: index..index + 1 }),
            }
            known = Some((row.turn, set));
        }
        let covered = covered.into_iter().map(|place| (said[sets.of_row(place)].clone(), place)).collect();
        Self { places: rows.into_iter().map(|row| row.place).collect(), covered, runs }
    }

    /// Iterates over what is said of rows, each once.
    pub fn said(&self) -> impl Iterator<Item = &Said> {
        self.runs.iter().map(|run| &run.said).collect::<IndexSet<_>>().into_iter()
    }

    /// Iterates over the runs of a part of the rows.
    pub fn runs(&self, part: Range<usize>) -> impl Iterator<Item = Run> + '_ {
        let first = self.runs.partition_point(|run| run.rows.end <= part.start);
        let within = self.runs[first..].iter().take_while(move |run| run.rows.start < part.end);
        within.map(move |run| Run {
            said: run.said.clone(),
            rows: run.rows.start.max(part.start)..run.rows.end.min(part.end),
        })
    }
}

/// A row to be ordered.
#[derive(Clone, Copy, Debug)]
struct Row {
    place: Place,
    /// Rows of different turns can't share a statement.
    turn: usize,
}

/// Returns all rows in the order of arrival.
fn in_one_turn(outputs: &[Output]) -> Vec<Row> {
    keys::arrived(outputs).into_iter().map(|place| Row { place, turn: 0 }).collect()
}

/// Ends a turn where a key repeats, and around a row that takes two statements.
fn by_arrival(rows: &mut [Row], keys: &[Rows], sets: &Sets) {
    let (mut turn, mut within) = (0, HashSet::new());
    for row in rows {
        let key = keys[row.place.output].row(row.place.row);
        let patches = sets.patches(row.place);
        if patches || !sets.is_keyless(row.place) && within.contains(&key) {
            turn += 1;
            within.clear();
        }
        within.insert(key);
        row.turn = turn;
        if patches {
            turn += 1;
            within.clear();
        }
    }
}

/// Sorts the rows by key: first the first row of each key, then the second, and so on. Also returns the rows that are
/// left out, because later ones of the same key overwrite them and the table is not sensitive to that.
fn by_key(mut rows: Vec<Row>, keys: &[Rows], sets: &Sets, care: Care) -> (Vec<Row>, Vec<Place>) {
    let key = |row: &Row| keys[row.place.output].row(row.place.row);
    // Stable: of rows with the same key the last one stays last.
    rows.sort_by(|a, b| key(a).cmp(&key(b)));
    let same = |a: &Row, b: &Row| !sets.is_keyless(a.place) && !sets.is_keyless(b.place) && key(a) == key(b);
    let (mut kept, mut covered): (Vec<Row>, Vec<Place>) = (Vec::with_capacity(rows.len()), Vec::new());
    for of_key in rows.chunk_by(same) {
        let from = kept.len();
        let Some((last, earlier)) = of_key.split_last() else { continue };
        match care {
            Care::Last if sets.is_one() => {
                kept.push(*last);
                covered.extend(earlier.iter().map(|row| row.place));
            }
            Care::Last => {
                let (mut said, mut deleted) = (vec![false; sets.columns()], false);
                for row in of_key.iter().rev() {
                    if deleted {
                        covered.push(row.place);
                        continue;
                    }
                    deleted = sets.deletes(row.place);
                    let mut more = row.place == last.place;
                    for (said, has) in said.iter_mut().zip(sets.has(row.place)) {
                        more |= has & !*said;
                        *said |= has;
                    }
                    if more || deleted { kept.push(*row) } else { covered.push(row.place) }
                }
                kept[from..].reverse();
            }
            _ => kept.extend_from_slice(of_key),
        }
        kept[from..].iter_mut().enumerate().for_each(|(turn, row)| row.turn = turn);
    }
    if !sets.is_one() || care > Care::Last {
        kept.sort_by_key(|row| (row.turn, sets.of_row(row.place)));
    }
    (kept, covered)
}

/// The sets of fields that rows have, each with a number; those of deletes are others.
struct Sets {
    known: IndexSet<(Vec<bool>, bool)>,
    /// For each set, whether its rows take two statements.
    patching: Vec<bool>,
    /// Places of the key's columns.
    key: Vec<usize>,
    /// For each output, the set of each row. Empty: all rows have all fields.
    of_rows: Vec<Vec<usize>>,
}

impl Sets {
    fn of(layout: &Layout, outputs: &[Output], batches: &[&Cells]) -> Self {
        let columns = layout.slots.len();
        let mut known = IndexSet::from([(vec![true; columns], false)]);
        // In an appended row, a column without a default is NULL, whether the record has the field or not.
        let counts = |place: usize| !layout.key.is_empty() || layout.slots[place].has_default;
        let whole = |batch: &Cells| {
            batch.is_whole() || !(0..columns).any(|place| counts(place) && batch.absent(place).is_some())
        };
        let upserts = outputs.iter().all(|output| output.operations == Operations::Upserts);
        if upserts && batches.iter().all(|batch| whole(batch)) {
            return Self { known, patching: vec![false], key: layout.key.clone(), of_rows: Vec::new() };
        }
        let mut set = (vec![true; columns], false);
        let of_rows = batches.iter().zip(outputs).map(|(batch, output)| {
            let set_of = |row: usize| {
                set.1 = output.deletes(row);
                for (place, has) in set.0.iter_mut().enumerate() {
                    *has = match set.1 {
                        true => layout.key.contains(&place),
                        false => !(counts(place) && batch.is_absent(place, row)),
                    };
                }
                known.get_index_of(&set).unwrap_or_else(|| known.insert_full(set.clone()).0)
            };
            (0..batch.num_rows()).map(set_of).collect()
        });
        let of_rows = of_rows.collect();
        let patching = known.iter().map(|(has, deletes)| !deletes && layout.patches(|slot| has[slot])).collect();
        Self { known, patching, key: layout.key.clone(), of_rows }
    }

    /// How rows have to be written because of the fields they lack, or because there are deletes.
    fn care(&self, layout: &Layout) -> Care {
        let lacking = |(has, deletes): &(Vec<bool>, bool)| {
            if *deletes {
                return Some(layout.deletes);
            }
            let lacking = layout.slots.iter().zip(has).filter(|(_, has)| !**has);
            lacking.map(|(slot, _)| slot.fills.max(Care::Each.when(slot.is_required()))).max()
        };
        self.known.iter().filter_map(lacking).max().unwrap_or_default()
    }

    fn is_one(&self) -> bool {
        self.of_rows.is_empty()
    }

    fn columns(&self) -> usize {
        self.known[0].0.len()
    }

    fn of_row(&self, place: Place) -> usize {
        self.of_rows.get(place.output).map_or(0, |sets| sets[place.row])
    }

    fn has(&self, place: Place) -> &[bool] {
        &self.known[self.of_row(place)].0
    }

    fn deletes(&self, place: Place) -> bool {
        self.known[self.of_row(place)].1
    }

    fn patches(&self, place: Place) -> bool {
        self.patching[self.of_row(place)]
    }

    /// Returns whether the database generates a part of the row's key.
    fn is_keyless(&self, place: Place) -> bool {
        let has = self.has(place);
        self.key.iter().any(|column| !has[*column])
    }

    /// What each set says of its rows.
    fn said(&self) -> Vec<Said> {
        let fields = |has: &[bool]| has.iter().enumerate().filter(|(_, has)| **has).map(|(place, _)| place).collect();
        self.known.iter().map(|(has, deletes)| Said { fields: fields(has), deletes: *deletes }).collect()
    }
}
