//! Pass 1 over records of which it is known where their values lie.
use super::{Scan, not_json};
use crate::{
    decode::{
        Cell, Text, Untracked,
        keys::{Dictionary, NONE},
    },
    json::{Scanner, write_string},
    marks::Mark,
};
use dataflow_sdk::records::{Columns, Span};

/// The columns of such records.
pub(super) struct Known<'a> {
    columns: &'a Columns,
    /// Of each column, its id in the dictionary of the records, and the bytes of its key, quotes and colon included.
    keys: Vec<(u32, u32)>,
}

impl<'a> Known<'a> {
    pub(super) fn of(columns: &'a Columns, dictionary: &mut Dictionary) -> Self {
        let mut previous = NONE;
        let key = |name: &str| {
            let id = dictionary.find(name.as_bytes(), previous);
            previous = if id == NONE { previous } else { id };
            let mut key = Vec::with_capacity(name.len() + 2);
            write_string(name, &mut key);
            (id, key.len() as u32 + 1)
        };
        Self { columns, keys: columns.columns.iter().map(|column| column.name.as_str()).map(key).collect() }
    }
}

impl Scan {
    pub(super) fn known(
        &mut self,
        known: &Known<'_>,
        text: &Text<'_>,
        row: u32,
        cells: &mut [Vec<Cell>],
    ) -> Result<(), (&'static str, String)> {
        for (value, (id, key)) in known.columns.of(row as usize).iter().zip(&known.keys) {
            if value.is_null() {
                continue;
            }
            let start = value.start - key;
            if *id == NONE {
                self.untracked.push(Untracked { row, name: Span { start: start + 1, end: value.start - 2 } });
                continue;
            }
            let entry = self.levels[0].touch(*id, row).0;
            let (slot, child, mark) = (entry.slot, entry.child, entry.mark);
            if let Some(child) = child {
                let (begin, bytes) = (value.start as usize, &text.data()[..value.end as usize]);
                let read = self.descend(&mut Scanner::new(bytes, begin), child, text, row, cells);
                read.map_err(|fault| not_json(fault, bytes, begin))?;
            }
            if let Some(slot) = slot {
                cells[slot][row as usize] = Cell::written(text.data(), *value);
            }
            if let Some(name) = mark {
                self.marks.push(Mark { start, end: value.end, value: value.start, name });
            }
        }
        Ok(())
    }
}
