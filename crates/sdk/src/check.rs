//! Checking what users wrote: all findings at once, unknown names with the nearest known one.
mod nearest;
mod schema;
mod spec;
#[cfg(test)]
mod tests;
mod value;

pub use dataflow_core::problem::Problem;
pub use nearest::nearest;
pub use schema::against_schema;
pub(crate) use schema::join;
pub use spec::{check_new, check_spec, warnings};
pub(crate) use value::shown;
