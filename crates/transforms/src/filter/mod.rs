//! `filter`: records for which a condition is true go on.
use crate::program::Builder;
use schemars::JsonSchema;
use serde::Deserialize;

/// Records for which the condition is true go on; others are left out and counted as filtered. A condition that is NULL,
/// as it is where a field is missing, is not true.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterConfig {
    /// A SQL expression that is true or false: `age > 18 and country in ('DE', 'FR')`. Names of fields are case-sensitive;
    /// `a.b` is field b of the object a, `"a.b"` a field with a dot in its name, `meta.topic` metadata of the record.
    condition: String,
}

impl FilterConfig {
    pub(crate) fn plan(&self, builder: &mut Builder<'_>) {
        if let Some(tree) = builder.parse(&self.condition, "condition") {
            builder.filter(tree, &[], "a condition", "condition");
        }
    }
}
