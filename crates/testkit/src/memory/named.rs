//! Objects of this process that are found by name.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Objects of one kind by name; created on first use.
pub(super) struct Named<T>(Mutex<Option<HashMap<String, Arc<T>>>>);

impl<T: Default> Named<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(super) fn get(&self, name: &str) -> Arc<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_or_insert_default().entry(name.into()).or_default().clone()
    }

    pub(super) fn forget(&self, name: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_or_insert_default().remove(name);
    }
}
