//! Remembers the key by which a table was written: a change of its indexes must not make a pipeline append rows that it
//! used to replace, or vice versa.
use super::{Layout, Mode, Names, Options};
use dataflow_core::pipeline::event::LaneProgress;
use dataflow_sdk::{Error, sink::OpenLane};
use serde::{Deserialize, Serialize};

/// A table sink's journalled way of writing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    table: String,
    /// Empty: rows are appended.
    key: Vec<String>,
}

impl Remembered {
    /// The way a table is written with this layout.
    pub fn of(options: &Options, layout: &Layout) -> Self {
        let key = layout.key.iter().map(|place| layout.slots[*place].column.name.clone());
        Self { table: options.table.clone(), key: key.collect() }
    }

    /// Reads the journalled entry of a lane.
    fn read(lane: &LaneProgress) -> Option<Self> {
        serde_json::from_value(lane.handle.clone()?).ok()
    }

    /// Returns the form that is journalled.
    ///
    /// # Errors
    /// If it can't be written as JSON.
    pub fn to_json(&self) -> Result<serde_json::Value, Error> {
        serde_json::to_value(self).map_err(|error| Error::fatal("internal", format!("a key can't be stored: {error}")))
    }
}

impl Options {
    /// Sets the key in the options to the remembered one, if the spec leaves it to the table.
    #[must_use]
    pub fn as_before(self, remembered: Option<&Remembered>) -> Self {
        let Some(Remembered { key, .. }) = remembered.filter(|it| it.table == self.table && self.key.is_none()) else {
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
    pub fn recognizes(self, handle: Option<&serde_json::Value>) -> bool {
        let remembered: Option<Remembered> = handle.and_then(|handle| serde_json::from_value(handle.clone()).ok());
        let known = self.as_before(remembered.as_ref());
        known.mode != Some(Mode::Append) && known.key.is_some()
    }

    /// Applies the entry of a lane that is opened.
    #[must_use]
    pub fn as_known_to(self, lane: &OpenLane) -> Self {
        let remembered = || serde_json::from_value(lane.remembered.clone()?).ok();
        let known = lane.journalled.as_ref().and_then(Remembered::read).or_else(remembered);
        self.as_before(known.as_ref())
    }

    /// Applies the entry of these lanes.
    #[must_use]
    pub fn as_journalled<'a>(self, lanes: impl IntoIterator<Item = &'a LaneProgress>) -> Self {
        let remembered = lanes.into_iter().find_map(Remembered::read);
        self.as_before(remembered.as_ref())
    }
}
