//! Transforms: what is done to each record between source and sink. `filter`, `map` and `sql` are rows of SQL
//! expressions, compiled to one program per lane that decodes, transforms and makes what the sink wants.
mod expression;
