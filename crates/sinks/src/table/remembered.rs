//! Remembers (as `golden/table-handle/` has it) the key by which a table was written: a change of its indexes must not make a pipeline append rows that it
//! used to replace, or vice versa.
use super::{Layout, Mode, Names, Options};
use crate::stored;
use dataflow_core::pipeline::event::LaneProgress;
use dataflow_sdk::{Error, sink::OpenLane};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version that is written.
const VERSION: u32 = 1;

/// A table sink's journalled way of writing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    v: u32,
    table: String,
    /// Empty: rows are appended.
    key: Vec<String>,
}

impl Remembered {
    /// The way a table is written with this layout.
    pub fn of(options: &Options, layout: &Layout) -> Self {
        Self { v: VERSION, table: options.table.clone(), key: layout.key_names() }
    }

    /// Reads what is journalled, if it is of a table.
    fn read(handle: Option<&Value>) -> Result<Option<Self>, Error> {
        let Some(handle) = handle.filter(|handle| handle.get("table").is_some()) else { return Ok(None) };
        stored::read(handle, VERSION).map(Some).map_err(|why| {
            let message = format!("the journal says in an unknown way how the table was written ({handle}): {why}");
            Error::contradicts(
                "handle-unknown",
                message,
                "run the build that has written it, or choose where to continue: set the checkpoint",
            )
        })
    }

    /// Returns the form that is journalled.
    ///
    /// # Errors
    /// If it can't be written as JSON.
    pub fn to_json(&self) -> Result<Value, Error> {
        serde_json::to_value(self).map_err(|error| Error::fatal("internal", format!("a key can't be stored: {error}")))
    }
}

impl Options {
    /// Sets the key in the options to the remembered one, if the spec leaves it to the table.
    #[must_use]
    pub fn as_before(self, remembered: Option<&Remembered>) -> Self {
        let Some(Remembered { key, .. }) =
            remembered.filter(|it| self.key.is_none() && (self.same_table)(&it.table, &self.table))
        else {
            return self;
        };
        match (self.mode, key.is_empty()) {
            (None, true) => Self { mode: Some(Mode::Append), ..self },
            (None | Some(Mode::Upsert), false) => {
                Self { mode: Some(Mode::Upsert), key: Some(Names::Many(key.clone())), ..self }
            }
            (Some(_), _) => self,
        }
    }

    /// Whether a row that is written again is known by its key, in a table that is written as was said last.
    pub fn recognizes(self, handle: Option<&Value>) -> bool {
        let remembered = Remembered::read(handle).unwrap_or_default();
        let known = self.as_before(remembered.as_ref());
        known.mode != Some(Mode::Append) && known.key.is_some()
    }

    /// Applies the entry of a lane that is opened.
    ///
    /// # Errors
    /// [`Error::Contradicts`] if it can't be read.
    pub fn as_known_to(self, lane: &OpenLane) -> Result<Self, Error> {
        let journalled = lane.journalled.as_ref().and_then(|lane| lane.handle.as_ref());
        let known = match Remembered::read(journalled)? {
            None => Remembered::read(lane.remembered.as_ref())?,
            known => known,
        };
        Ok(self.as_before(known.as_ref()))
    }

    /// Applies the entry of these lanes.
    ///
    /// # Errors
    /// [`Error::Contradicts`] if one can't be read.
    pub fn as_journalled<'a>(self, lanes: impl IntoIterator<Item = &'a LaneProgress>) -> Result<Self, Error> {
        for lane in lanes {
            if let Some(known) = Remembered::read(lane.handle.as_ref())? {
                return Ok(self.as_before(Some(&known)));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Never changed after a release: handles of this shape are stored.
    const GOLDEN: &str = include_str!("../../golden/table-handle/v1.json");

    #[test]
    fn golden_handles_are_read_and_written() {
        let remembered = Remembered { v: VERSION, table: "größe".into(), key: vec!["a".into(), "b".into()] };
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(remembered.to_json().unwrap(), golden);
        assert_eq!(Remembered::read(Some(&golden)).unwrap(), Some(remembered));
    }

    /// Otherwise rows would be appended that were replaced before.
    #[test]
    fn what_a_later_build_has_remembered_is_not_passed_over() {
        let read = |handle| Remembered::read(Some(&handle));
        assert_eq!(read(serde_json::json!({"v": 1, "path": "of a file"})).unwrap(), None);
        assert_eq!(read(serde_json::json!({"v": 2, "table": "t"})).unwrap_err().code(), "handle-unknown");
    }
}
