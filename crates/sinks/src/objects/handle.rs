//! What the journal holds of a lane's sealed objects. A shape that has to change gets another version, with a golden file of its
//! own in `golden/s3-handle/`.
use super::line::Line;
use crate::stored;
use dataflow_core::position::{Partition, Positions};
use dataflow_sdk::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version that is written.
const VERSION: u32 = 1;

/// An object all of whose parts are uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object {
    /// Its key: nobody else ever uses it.
    pub(crate) key: String,
    /// The upload that becomes it.
    pub(crate) upload: String,
    /// The ETags of its parts, in order.
    pub(crate) parts: Vec<String>,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// Sealed objects that are to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Handle {
    v: u32,
    /// What the names of all objects of the generation have in common.
    pub(crate) series: String,
    /// The number of the commit that they reach to.
    pub(crate) sequence: u64,
    /// What the lane's record counted then: the target has counted no less ever since, unless it is an older copy.
    #[serde(default)]
    pub(crate) counted: u64,
    /// Whose numbers these are.
    #[serde(default, skip_serializing_if = "Line::is_first")]
    pub(crate) line: Line,
    /// Where what they hold begins, in the partitions that have moved since.
    #[serde(default, skip_serializing_if = "Positions::is_empty")]
    pub(crate) from: Positions,
    /// The partitions that they hold from the first record on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) whole: Vec<Partition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) objects: Vec<Object>,
}

impl Handle {
    pub(crate) fn new(series: &str, sequence: u64) -> Self {
        Self { v: VERSION, series: series.into(), sequence, ..Self::default() }
    }

    /// The same once everything in it is published.
    pub(crate) fn published(&self) -> Self {
        Self { counted: self.sequence, line: self.line.clone(), ..Self::new(&self.series, self.sequence) }
    }

    pub(crate) fn to_json(&self) -> Result<Value, Error> {
        serde_json::to_value(self)
            .map_err(|error| Error::fatal("internal", format!("a handle can't be written: {error}")))
    }

    pub(crate) fn from_json(json: &Value) -> Result<Self, Error> {
        let unknown = |why: String| {
            let message = format!("the journal's handle {json} does not belong to a sink of objects: {why}");
            Error::contradicts("handle-unknown", message, "choose where to continue: set the checkpoint")
        };
        stored::read(json, VERSION).map_err(unknown)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Handle, Line, Object};
    use dataflow_core::position::Position;

    /// Never changed: handles of this shape are stored.
    const GOLDEN: &str = include_str!("../../golden/s3-handle/v1.json");

    #[test]
    fn golden_handles_are_read_and_written() {
        let handle = Handle {
            from: [("events/0".into(), Position::offset(17))].into(),
            whole: vec!["events/1".into()],
            objects: vec![Object {
                key: "events/country=%2F/größe-1.json".into(),
                upload: "2~VXd".into(),
                parts: vec!["\"9b2cf535f27731c974343645a3985328\"".into()],
                bytes: 9_007_199_254_740_993,
                rows: u64::MAX,
            }],
            counted: 3,
            line: Line::golden(),
            ..Handle::new("größe-0123456789abcdef", 4)
        };
        let golden: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(handle.to_json().unwrap(), golden);
        assert_eq!(Handle::from_json(&golden).unwrap(), handle);
    }

    #[test]
    fn another_version_and_another_sinks_handle_are_refused() {
        for (json, word) in
            [(serde_json::json!({"v": 2}), "version 2"), (serde_json::json!({"path": "a", "length": 1}), "objects")]
        {
            let error = Handle::from_json(&json).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
