//! Says once that there is no index for the order in which rows are read.
use super::{said::Said, shape::Shape};
use dataflow_core::warned::{Notice, Warned};

/// Whether that was said.
#[derive(Debug, Default)]
pub(super) struct Unindexed(bool);

impl Unindexed {
    /// The database, called so, sorts all rows that are still to be read for each part of them.
    pub(super) fn say(&mut self, said: &Said, shape: &Shape, database: &str) {
        if std::mem::replace(&mut self.0, true) {
            return;
        }
        let names: Vec<_> = shape.order_names().map(|name| format!("{name:?}")).collect();
        let message = format!(
            "there is no index of {} by ({}): {database} sorts all rows that are still to be read for each part of them",
            shape.name,
            names.join(", ")
        );
        said.say(Notice::Holds(Warned { code: "no-index".into(), subject: shape.name.clone(), message, records: 0 }));
    }
}
