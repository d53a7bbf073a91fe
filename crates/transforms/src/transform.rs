//! The transforms there are.
use crate::{filter::FilterConfig, map::MapConfig, program::Builder, sql::SqlConfig};
use dataflow_core::spec::Component;
use dataflow_sdk::{Problem, check};
use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A transform of a spec.
#[derive(Clone, Debug)]
pub(crate) enum Transform {
    /// See [`FilterConfig`].
    Filter(FilterConfig),
    /// See [`MapConfig`].
    Map(MapConfig),
    /// See [`SqlConfig`].
    Sql(SqlConfig),
}

impl Transform {
    /// All types, with a summary and the schema of their settings.
    pub(crate) fn all() -> Vec<(&'static str, &'static str, Schema)> {
        vec![
            ("filter", "Keeps records for which a condition is true.", schema_for!(FilterConfig)),
            ("map", "Sets, removes and selects fields.", schema_for!(MapConfig)),
            ("sql", "Computes fields and filters by a SQL query over each record.", schema_for!(SqlConfig)),
        ]
    }

    /// The transform that a component is.
    ///
    /// # Errors
    /// All findings about its settings.
    pub(crate) fn of(component: &Component) -> Result<Self, Vec<Problem>> {
        match component.kind.as_str() {
            "filter" => config(component).map(Self::Filter),
            "map" => config(component).map(Self::Map),
            "sql" => config(component).map(Self::Sql),
            other => {
                let names: Vec<&str> = Self::all().iter().map(|(name, ..)| *name).collect();
                let finding = Problem::new("type", "unknown-type", format!("there is no transform {other:?}"));
                Err(vec![match check::nearest(other, names.iter().copied()) {
                    Some(near) => finding.fix(format!("did you mean {near:?}?")),
                    None => finding.fix(format!("known: {}", names.join(", "))),
                }])
            }
        }
    }

    /// Adds its steps to a program.
    pub(crate) fn plan(&self, builder: &mut Builder<'_>) {
        match self {
            Self::Filter(config) => config.plan(builder),
            Self::Map(config) => config.plan(builder),
            Self::Sql(config) => config.plan(builder),
        }
    }
}

fn config<C: DeserializeOwned + JsonSchema>(component: &Component) -> Result<C, Vec<Problem>> {
    let value = Value::Object(component.config.clone());
    let problems = check::against_schema(&value, &schema_for!(C), "");
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_json::from_value(value).map_err(|error| vec![Problem::new("", "invalid-value", error.to_string())])
}
