//! In which order the rows of a commit are written, and which fields of each.
//!
//! A record says nothing of the fields that it does not have: they keep what they are, or get their default in a new row.
//! So rows are written by the set of fields that they have; where all have all, that is one set. Of records of one key,
//! one is left out if what comes after it has all its fields; the others are written one after the other.
use super::{
    Layout,
    keys::{self, Place},
};
use arrow::row::Rows;
use dataflow_sdk::{
    Error,
    batch::{Cells, Output},
    sink::CommitError,
};
use indexmap::IndexSet;
use std::{ops::Range, sync::Arc};

/// Places of the columns, in the layout, that rows have fields for.
pub type Fields = Arc<[usize]>;

/// The rows of a commit in the order in which they are written.
#[derive(Clone, Debug)]
pub struct Order {
    /// The rows.
    pub places: Vec<Place>,
    runs: Vec<Run>,
}

/// Rows that follow each other, of different keys, and have the same fields.
#[derive(Clone, Debug)]
pub struct Run {
    /// Their fields.
    pub fields: Fields,
    /// Which rows of the [`Order`].
    pub rows: Range<usize>,
}

impl Order {
    /// The order in which the rows of a commit are written. Within a key it is that of arrival, and where the layout says
    /// that the table can tell, over all rows; otherwise that of keys, so that lanes that write the same ones lock them
    /// in the same order.
    ///
    /// # Errors
    /// [`CommitError::Rejected`] for rows without a key, or with NULL where the table refuses it.
    pub fn of(layout: &Layout, outputs: &[Output]) -> Result<Self, CommitError> {
        let batches = keys::batches(outputs)?;
        keys::refuse_nulls(layout, &batches)?;
        let sets = Sets::of(layout, &batches);
        let arrived = keys::arrived(outputs);
        let mut rows: Vec<Row> = (0..).zip(arrived).map(|(at, place)| Row { at, place, turn: 0 }).collect();
        if !layout.key.is_empty() && !rows.is_empty() {
            let keys = keys::of_rows(layout, &batches)?;
            rows = last_of_each(rows, &keys, &sets);
        }
        if layout.arrival {
            rows.sort_unstable_by_key(|row| row.at);
        } else if !sets.is_one() {
            rows.sort_by_key(|row| (row.turn, sets.of_row(row.place)));
        }
        Ok(Self::new(rows.into_iter().map(|row| row.place).collect(), &sets))
    }

    /// All rows in the order of their arrival.
    ///
    /// # Errors
    /// [`Error::Fatal`] if an output is none of columns.
    pub fn arrived(layout: &Layout, outputs: &[Output]) -> Result<Self, Error> {
        let batches = keys::batches(outputs)?;
        Ok(Self::new(keys::arrived(outputs), &Sets::of(layout, &batches)))
    }

    fn new(places: Vec<Place>, sets: &Sets) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut known = usize::MAX;
        for (index, place) in places.iter().enumerate() {
            let set = sets.of_row(*place);
            match runs.last_mut() {
                Some(run) if set == known => run.rows.end = index + 1,
                _ => runs.push(Run { fields: sets.fields(set), rows: index..index + 1 }),
            }
            known = set;
        }
        Self { places, runs }
    }

    /// The sets of fields that rows have, each of them once.
    pub fn sets(&self) -> impl Iterator<Item = &Fields> {
        self.runs.iter().map(|run| &run.fields).collect::<IndexSet<_>>().into_iter()
    }

    /// The runs of a part of the rows.
    pub fn runs(&self, part: Range<usize>) -> impl Iterator<Item = Run> + '_ {
        let first = self.runs.partition_point(|run| run.rows.end <= part.start);
        let within = self.runs[first..].iter().take_while(move |run| run.rows.start < part.end);
        within.map(move |run| Run {
            fields: run.fields.clone(),
            rows: run.rows.start.max(part.start)..run.rows.end.min(part.end),
        })
    }
}

/// A row on its way.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Its place in the order of arrival.
    at: usize,
    place: Place,
    /// How many rows of its key are written before.
    turn: usize,
}

/// The rows in the order of their keys, without those that later ones of the same key cover.
fn last_of_each(mut rows: Vec<Row>, keys: &[Rows], sets: &Sets) -> Vec<Row> {
    let key = |row: &Row| keys[row.place.output].row(row.place.row);
    // Stable: of those with the same key the last one stays last.
    rows.sort_by(|a, b| key(a).cmp(&key(b)));
    let same = |a: &Row, b: &Row| !sets.is_keyless(a.place) && !sets.is_keyless(b.place) && key(a) == key(b);
    let mut kept: Vec<Row> = Vec::with_capacity(rows.len());
    for of_key in rows.chunk_by(same) {
        let Some((last, earlier)) = of_key.split_last() else { continue };
        let from = kept.len();
        kept.push(*last);
        if !earlier.is_empty() && !sets.is_one() {
            let mut covered = sets.has(last.place).to_vec();
            for row in earlier.iter().rev() {
                let mut more = false;
                for (covered, has) in covered.iter_mut().zip(sets.has(row.place)) {
                    more |= has & !*covered;
                    *covered |= has;
                }
                if more {
                    kept.push(*row);
                }
            }
            kept[from..].reverse();
            kept[from..].iter_mut().enumerate().for_each(|(turn, row)| row.turn = turn);
        }
    }
    kept
}

/// Which fields the rows have, each set of them known by a number.
struct Sets {
    known: IndexSet<Vec<bool>>,
    /// Places of the key's columns.
    key: Vec<usize>,
    /// For each output, the set of each row. Empty: all rows have all fields.
    of_rows: Vec<Vec<usize>>,
}

impl Sets {
    fn of(layout: &Layout, batches: &[&Cells]) -> Self {
        let columns = layout.slots.len();
        let mut known = IndexSet::from([vec![true; columns]]);
        // In a row that is added anyway, a column without a default is NULL, whether that is said or not.
        let counts = |place: usize| !layout.key.is_empty() || layout.slots[place].has_default;
        let whole = |batch: &Cells| {
            batch.is_whole() || !(0..columns).any(|place| counts(place) && batch.absent(place).is_some())
        };
        if batches.iter().all(|batch| whole(batch)) {
            return Self { known, key: layout.key.clone(), of_rows: Vec::new() };
        }
        let mut has = vec![true; columns];
        let of_rows = batches.iter().map(|batch| {
            let set_of = |row: usize| {
                for (place, has) in has.iter_mut().enumerate() {
                    *has = !(counts(place) && batch.is_absent(place, row));
                }
                match known.get_index_of(has.as_slice()) {
                    Some(set) => set,
                    None => known.insert_full(has.clone()).0,
                }
            };
            (0..batch.num_rows()).map(set_of).collect()
        });
        let of_rows = of_rows.collect();
        Self { known, key: layout.key.clone(), of_rows }
    }

    fn is_one(&self) -> bool {
        self.of_rows.is_empty()
    }

    fn of_row(&self, place: Place) -> usize {
        self.of_rows.get(place.output).map_or(0, |sets| sets[place.row])
    }

    fn has(&self, place: Place) -> &[bool] {
        &self.known[self.of_row(place)]
    }

    /// Whether the database makes a part of the row's key.
    fn is_keyless(&self, place: Place) -> bool {
        let has = self.has(place);
        self.key.iter().any(|column| !has[*column])
    }

    fn fields(&self, set: usize) -> Fields {
        self.known[set].iter().enumerate().filter(|(_, has)| **has).map(|(place, _)| place).collect()
    }
}
