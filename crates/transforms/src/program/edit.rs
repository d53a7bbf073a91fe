//! Fields within objects, set or removed.
use super::{
    convert::{self, Texts},
    frame::Frame,
    misfits::Misfits,
};
use crate::expression::Slot;
use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    buffer::BooleanBuffer,
};
use dataflow_core::types::Type;
use dataflow_formats::encode;
use dataflow_sdk::batch::Dead;
use std::sync::Arc;

/// A change of a field within an object.
#[derive(Debug)]
pub(crate) struct Edit {
    /// The number of the column with the changed objects, as JSON texts; NULL: there is nothing to change.
    pub(crate) register: usize,
    /// The objects, as JSON texts.
    pub(crate) object: Slot,
    /// Where in it.
    pub(crate) path: Vec<String>,
    /// The value that is set, and whether its texts are JSON; none: the field is removed, as it is where there is no value, not even
    /// NULL.
    pub(crate) value: Option<(Slot, bool)>,
}

impl Edit {
    /// Makes the column. A value that doesn't fit is NULL if `lenient`; what else can't be changed is dead.
    pub(crate) fn run(&self, frame: &mut Frame<'_>, stage: &str, lenient: bool, misfits: &mut Misfits) {
        // Texts of CSV that are not of the declared type.
        for slot in std::iter::once(self.object).chain(self.value.map(|(slot, _)| slot)) {
            if let Some(column) = frame.field(slot) {
                misfits.take(frame, column, stage, &self.path.join("."), lenient, |misfit| misfit.cause.clone());
            }
        }
        let mut failed = Vec::new();
        let values = self.value.map(|(value, raw)| {
            let column = frame.column(value);
            let raw = raw || frame.is_json(value);
            let (texts, unfit) = convert::to(&column, Type::Json, raw, Texts::Strings);
            if lenient {
                let field = self.path.join(".");
                unfit.iter().for_each(|(_, cause)| misfits.count(&field, cause));
            } else {
                failed.extend(unfit);
            }
            texts
        });
        let valueless = self.value.and_then(|(value, _)| frame.absent(value));
        let is_at = |rows: &Option<BooleanBuffer>, row| rows.as_ref().is_some_and(|rows| rows.value(row));
        let without_object = frame.absent(self.object);
        let objects = frame.column(self.object);
        let objects = objects.as_string::<i32>();
        let text = |column: &ArrayRef, row: usize| {
            let texts = column.as_string::<i32>();
            if texts.is_valid(row) { texts.value(row).to_owned() } else { "null".into() }
        };
        let changed: StringArray = (0..objects.len())
            .map(|row| {
                let object = objects.is_valid(row).then(|| objects.value(row));
                let value = values.as_ref().filter(|_| !is_at(&valueless, row)).map(|values| text(values, row));
                if object.is_none() && value.is_none() {
                    return None;
                }
                let edited = |lenient| encode::edited(object.unwrap_or("null"), &self.path, value.as_deref(), lenient);
                match edited(false) {
                    Err(why) if lenient => {
                        misfits.count(&self.path.join("."), &why);
                        edited(true).ok()
                    }
                    made => made.map_err(|why| failed.push((row, why))).ok(),
                }
            })
            .collect();
        if without_object.is_some() {
            let absent = |row: usize| changed.is_null(row) && is_at(&without_object, row);
            frame.set_absent(self.register, BooleanBuffer::collect_bool(changed.len(), absent));
        }
        frame.set_json(self.register, Arc::new(changed));
        let dead = failed.into_iter().map(|(row, cause)| Dead {
            row: frame.record(row),
            stage: stage.into(),
            code: "type-mismatch",
            cause,
        });
        let dead: Vec<Dead> = dead.collect();
        frame.kill(dead);
    }
}
