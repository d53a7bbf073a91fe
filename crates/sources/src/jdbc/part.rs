//! Rows on their way to be a part of the records: each with its place, its key and its values.
use super::{
    failures,
    position::{Key, Place},
    shape::Shape,
};
use crate::column;
use dataflow_core::position::{Partition, Position};
use dataflow_formats::encode::{Rows, Value};
use dataflow_sdk::{
    Error, Records,
    records::{Columns, Layout},
};
use std::{borrow::Cow, sync::Arc};

/// Rows of the first part, while nobody knows how large they are.
const FIRST: u32 = 64;

/// How much a part may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rows: u32,
    pub(super) bytes: usize,
    /// Of a record.
    pub(super) record: usize,
}

/// Rows after a place.
#[derive(Debug)]
pub(super) struct Part {
    shape: Arc<Shape>,
    most: Limits,
    asked: u32,
    from: Position,
    at: Place,
    /// The text of the place.
    text: Arc<str>,
    rows: Rows,
    id: Vec<u8>,
    ids: column::Column,
    before: Vec<Arc<str>>,
    offsets: Vec<u64>,
}

impl Part {
    /// None yet. `asked`: how many rows are wanted, if the last part was not the first.
    pub(super) fn new(
        shape: Arc<Shape>,
        at: Place,
        identity: Option<Arc<str>>,
        most: Limits,
        asked: Option<u32>,
    ) -> Self {
        let text = at.text();
        Self {
            rows: Rows::new(shape.columns.clone(), most.record),
            asked: asked.unwrap_or(FIRST).min(most.rows),
            from: Position { at: text.clone(), identity },
            shape,
            most,
            at,
            text,
            id: Vec::new(),
            ids: column::Column::default(),
            before: Vec::new(),
            offsets: Vec::new(),
        }
    }

    /// How many rows to ask a database for that gives as many at once.
    pub(super) fn asked(&self) -> u32 {
        self.asked
    }

    /// Most rows, for a database that gives one after the other.
    pub(super) fn most(&self) -> u32 {
        self.most.rows
    }

    /// Whether no other row fits.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= self.most.rows as usize || self.rows.bytes() >= self.most.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Where reading has come to.
    pub(super) fn at(&self) -> &Place {
        &self.at
    }

    /// Adds a row: its place in the order (none: a value is missing there), the texts of its columns as far as rows are known by them, and
    /// its values.
    ///
    /// # Errors
    /// If its place says nothing, or is that of the row before.
    pub(super) fn push<'t, 'v>(
        &mut self,
        key: Option<Key>,
        text: impl Fn(usize) -> Option<Cow<'t, str>>,
        values: impl Iterator<Item = Value<'v>>,
    ) -> Result<(), Error> {
        let key = key.ok_or_else(|| failures::no_key(&self.shape))?;
        if key == self.at.key {
            return Err(failures::same_key(&self.shape, &key));
        }
        self.offsets.push(self.at.rows);
        self.at = Place { rows: self.at.rows + 1, key };
        let next = self.at.text();
        self.before.push(std::mem::replace(&mut self.text, next));
        id(&self.shape.key, text, &mut self.id);
        self.ids.push(Some(&self.id));
        self.rows.push(values);
        Ok(())
    }

    /// The records, where reading has come to with them, and how many rows to ask for next.
    pub(super) fn into_records(
        self,
        partition: Partition,
        shared: Arc<Vec<(String, String)>>,
    ) -> (Records, Place, u32) {
        let Self { shape, most, from, at, text, rows, mut ids, before, offsets, .. } = self;
        let next = next_part(rows.len(), rows.bytes(), most);
        let layout = Layout::Columns(Columns { columns: shape.columns.clone(), values: Vec::new() });
        let mut records = rows.into_records(Records::empty(partition, from, layout));
        records.to = Position { at: text, identity: shape.identity.clone() };
        records.positions = Some(before);
        records.offsets = offsets;
        records.keys = ids.take();
        records.shared = shared;
        (records, at, next)
    }
}

/// How many rows to ask for after so many of so many bytes: as many as fit into a batch, but few more than were seen to.
fn next_part(rows: usize, bytes: usize, most: Limits) -> u32 {
    let fit = most.bytes / (bytes / rows.max(1)).max(1);
    let next = fit.min(4 * rows.max(FIRST as usize / 4)).max(1);
    u32::try_from(next).map_or(most.rows, |next| next.min(most.rows))
}

/// What a row is known by: the text of its key, or the list of their texts.
fn id<'t>(columns: &[usize], text: impl Fn(usize) -> Option<Cow<'t, str>>, id: &mut Vec<u8>) {
    id.clear();
    match columns {
        [] => {}
        [only] => id.extend_from_slice(text(*only).unwrap_or_default().as_bytes()),
        several => {
            let parts = several.iter().map(|column| text(*column).map(Cow::into_owned));
            id.extend_from_slice(serde_json::Value::from_iter(parts).to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_to_what_fits() {
        let most = Limits { rows: 8_192, bytes: 1_000_000, record: 0 };
        assert_eq!(next_part(64, 6_400, most), 256);
        assert_eq!(next_part(4_096, 409_600, most), 8_192);
        assert_eq!(next_part(64, 64_000_000, most), 1);
        assert_eq!(next_part(1, 1_000, most), 64);
    }

    #[test]
    fn rows_are_known_by_their_keys() {
        let texts = [Some("7"), Some("a\"b"), None];
        let of = |columns: &[usize]| {
            let mut bytes = Vec::new();
            id(columns, |at| texts[at].map(Cow::Borrowed), &mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        assert_eq!((of(&[]), of(&[0]), of(&[0, 1])), ("".into(), "7".into(), "[\"7\",\"a\\\"b\"]".into()));
    }
}
