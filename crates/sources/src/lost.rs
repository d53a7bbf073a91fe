//! What to do when the records behind a position are gone.
use dataflow_sdk::Context;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to do when a position is not there any more: the topic was made anew or its records have expired, the file was
/// truncated or replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnPositionLost {
    /// The pipeline fails and says what is missing.
    #[default]
    Fail,
    /// Go on from the first record that is there; what is missing is counted as lost, as far as it can be told.
    Earliest,
    /// Go on behind the last record that is there; what is missing or passed over is counted as lost, as far as it can be
    /// told.
    Latest,
}

impl OnPositionLost {
    /// What a reader does about it. Who reads again what a run has read decides by itself what can still be read.
    pub(crate) fn of_reader(self, cx: &Context) -> Self {
        if cx.again { Self::Fail } else { self }
    }
}
