//! Transforms: what is done to each record between source and sink. `filter`, `map` and `sql` are rows of SQL
//! expressions, compiled to one program per lane that decodes, transforms and makes what the sink wants.
mod compiler;
mod expression;
mod filter;
mod map;
mod program;
mod sql;
mod transform;

pub use compiler::SqlCompiler;
pub(crate) use transform::Transform;
