//! By which key a table was written so far: what becomes of its indexes must not make a pipeline append what it used to
//! replace, or the other way round.
use super::{Layout, Mode, Names, Options};
use dataflow_core::pipeline::event::LaneProgress;
use dataflow_sdk::{Error, sink::OpenLane};
use serde::{Deserialize, Serialize};

/// What a table sink has journalled of how it writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    table: String,
    /// Empty: rows are appended.
    key: Vec<String>,
}

impl Remembered {
    /// How a table is written.
    pub fn of(options: &Options, layout: &Layout) -> Self {
        let key = layout.key.iter().map(|place| layout.slots[*place].column.name.clone());
        Self { table: options.table.clone(), key: key.collect() }
    }

    /// What was journalled of a lane.
    fn read(lane: &LaneProgress) -> Option<Self> {
        serde_json::from_value(lane.handle.clone()?).ok()
    }

    /// As it is journalled.
    ///
    /// # Errors
    /// If it can't be written as JSON.
    pub fn to_json(&self) -> Result<serde_json::Value, Error> {
        serde_json::to_value(self).map_err(|error| Error::fatal("internal", format!("a key can't be kept: {error}")))
    }
}

impl Options {
    /// The same where a spec leaves it to the table by which key it is written: by that by which it was so far.
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

    /// The same for a lane that is opened.
    #[must_use]
    pub fn as_known_to(self, lane: &OpenLane) -> Self {
        let remembered = || serde_json::from_value(lane.remembered.clone()?).ok();
        let known = lane.journalled.as_ref().and_then(Remembered::read).or_else(remembered);
        self.as_before(known.as_ref())
    }

    /// The same for lanes of which this was journalled.
    #[must_use]
    pub fn as_journalled<'a>(self, lanes: impl IntoIterator<Item = &'a LaneProgress>) -> Self {
        let remembered = lanes.into_iter().find_map(Remembered::read);
        self.as_before(remembered.as_ref())
    }
}
