//! SQL expressions over the fields of a record: parsed, typed by their use of each field, compiled for the types in the
//! data, evaluated on columns.
pub(crate) mod arguments;
mod balance;
mod bounded;
pub(crate) mod class;
pub(crate) mod compile;
pub(crate) mod demand;
mod divide;
mod doubles;
pub(crate) mod evaluate;
mod exact;
mod explain;
pub(crate) mod finding;
mod fold;
pub(crate) mod functions;
pub(crate) mod guard;
pub(crate) mod inputs;
pub(crate) mod kind;
mod literal;
mod nearest;
mod own;
pub(crate) mod parse;
mod rounded;
pub(crate) mod scope;
pub(crate) mod stack;
mod whole;
pub(crate) mod written;

pub(crate) use bounded::{MOST_OF_BATCH, weight};
pub(crate) use class::Class;
pub(crate) use compile::Expression;
pub(crate) use demand::{Context, path};
pub(crate) use finding::Finding;
pub(crate) use functions::Functions;
pub(crate) use inputs::{Elements, Inputs, Register, Slot};
pub(crate) use nearest::short_doubles;
pub(crate) use scope::{Edited, Origin, Scope, Within};
