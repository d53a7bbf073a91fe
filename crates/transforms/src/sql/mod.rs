//! `sql`: a query over each record.
mod select;

use crate::{expression::parse, program::Builder};
use schemars::JsonSchema;
use serde::Deserialize;

/// Runs a SQL query over each record: `SELECT name, price * quantity AS total FROM input WHERE quantity > 0`. Row by row:
/// what would put records together (aggregates, DISTINCT, ORDER BY, LIMIT, joins) is not possible here.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlConfig {
    /// The query, `FROM input`. `*` stands for all fields, `* EXCLUDE (a, b)` for all but some; one column may be
    /// `UNNEST(list)`, which makes a row for each element: what is in it is a field like others in the transforms after this
    /// one. Without an element there is no row, and the record counts as filtered.
    query: String,
}

impl SqlConfig {
    pub(crate) fn plan(&self, builder: &mut Builder<'_>) {
        match parse::query(&self.query) {
            Ok(query) => select::plan(query, builder),
            Err(finding) => builder.problem("query", finding),
        }
    }
}
