//! What a reader has to say while it works.
use dataflow_sdk::batch::Notice;
use std::sync::{Arc, Mutex, PoisonError};

/// Notices that nobody has asked for yet; shared by the work and its reader.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Arc<Mutex<Vec<Notice>>>);

impl Said {
    pub(super) fn say(&self, notice: Notice) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|earlier| earlier.key() != notice.key());
        said.push(notice);
    }

    pub(super) fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
