//! Warnings, as version 1 of stored events has them.
use dataflow_core::warned;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum Notice {
    Holds(Warned),
    Over { code: String, subject: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Warned {
    code: String,
    subject: String,
    message: String,
    records: u64,
}

impl From<&warned::Notice> for Notice {
    fn from(notice: &warned::Notice) -> Self {
        match notice.clone() {
            warned::Notice::Holds(warned::Warned { code, subject, message, records }) => {
                Self::Holds(Warned { code, subject, message, records })
            }
            warned::Notice::Over { code, subject } => Self::Over { code, subject },
        }
    }
}

impl From<Notice> for warned::Notice {
    fn from(stored: Notice) -> Self {
        match stored {
            Notice::Holds(Warned { code, subject, message, records }) => {
                Self::Holds(warned::Warned { code, subject, message, records })
            }
            Notice::Over { code, subject } => Self::Over { code, subject },
        }
    }
}
