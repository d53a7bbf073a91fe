//! The functions that expressions may call.
use super::{
    bounded::{Bounded, GROWING},
    divide::{DIVIDE, Divide},
    whole::{POSITIONAL, WHOLE, Whole},
};
use arrow::datatypes::DataType;
use datafusion_common::{Result, TableReference, config::ConfigOptions, plan_err};
use datafusion_expr::{
    AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF,
    planner::{ContextProvider, ExprPlanner},
};
use datafusion_functions::{
    core::planner::CoreFunctionPlanner, datetime::planner::DatetimeFunctionPlanner,
    unicode::planner::UnicodeFunctionPlanner,
};
use datafusion_functions_nested::planner::{FieldAccessPlanner, NestedFunctionPlanner};
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use std::{collections::HashMap, sync::Arc};

/// Functions whose result would depend on how batches are cut.
const AGGREGATES: &[&str] = &[
    "any_value",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar",
    "covar_pop",
    "covar_samp",
    "first_value",
    "grouping",
    "last_value",
    "max",
    "mean",
    "median",
    "min",
    "nth_value",
    "percentile_cont",
    "regr_slope",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var",
    "var_pop",
    "var_samp",
];
const WINDOWS: &[&str] = &["cume_dist", "dense_rank", "lag", "lead", "ntile", "percent_rank", "rank", "row_number"];

/// Functions of a query's run or of the engine's own, which mean nothing for a record by itself. `now()` and its like are
/// the record's time, and no functions.
const WITHOUT_MEANING: &[&str] = &[
    "arrow_field",
    "arrow_metadata",
    "cast_to_type",
    "current_date",
    "current_time",
    "current_timestamp",
    "file_row_index",
    "generate_series",
    "input_file_name",
    "now",
    "range",
    "today",
    "try_cast_to_type",
    "union_extract",
    "union_tag",
    "version",
    "with_metadata",
];

/// All functions, made once per node.
#[derive(Debug)]
pub(crate) struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

/// What a function's name stands for.
#[derive(Debug)]
pub(crate) enum Known {
    /// A function of one row.
    Scalar(Arc<ScalarUDF>),
    /// A function of many rows.
    Aggregate,
    /// A function of a row and its neighbours.
    Window,
    /// No function at all; the nearest one there is.
    Unknown(Option<String>),
}

impl Functions {
    /// All of them.
    pub(crate) fn new() -> Self {
        let mut scalar = HashMap::new();
        let nested = datafusion_functions_nested::all_default_nested_functions();
        for function in datafusion_functions::all_default_functions().into_iter().chain(nested) {
            let function = match GROWING.contains(&function.name()) {
                true => Arc::new(ScalarUDF::from(Bounded::new(function))),
                false => function,
            };
            for name in function.aliases() {
                scalar.insert(name.to_lowercase(), function.clone());
            }
            scalar.insert(function.name().to_lowercase(), function);
        }
        for name in WITHOUT_MEANING {
            scalar.remove(*name);
        }
        scalar.insert(DIVIDE.into(), Arc::new(ScalarUDF::from(Divide::new())));
        scalar.insert(WHOLE.into(), Arc::new(ScalarUDF::from(Whole::new(false))));
        scalar.insert(POSITIONAL.into(), Arc::new(ScalarUDF::from(Whole::new(true))));
        Self {
            scalar,
            planners: vec![
                Arc::new(CoreFunctionPlanner::default()),
                Arc::new(NestedFunctionPlanner),
                Arc::new(FieldAccessPlanner),
                Arc::new(DatetimeFunctionPlanner),
                Arc::new(UnicodeFunctionPlanner),
            ],
            options: ConfigOptions::default(),
        }
    }

    /// What a name, in any case, stands for.
    pub(crate) fn find(&self, name: &str) -> Known {
        let name = name.to_lowercase();
        match self.scalar.get(&name) {
            Some(function) => Known::Scalar(function.clone()),
            None if AGGREGATES.contains(&name.as_str()) => Known::Aggregate,
            None if WINDOWS.contains(&name.as_str()) => Known::Window,
            None => {
                let mut names: Vec<&str> = self.scalar.keys().map(String::as_str).collect();
                names.sort_unstable();
                Known::Unknown(dataflow_sdk::check::nearest(&name, names).map(String::from))
            }
        }
    }

    /// From syntax trees to logical expressions, by these functions.
    pub(crate) fn planner(&self) -> SqlToRel<'_, Self> {
        let options = ParserOptions::new()
            .with_enable_ident_normalization(false)
            // 18.5 is a decimal: no number next to it has to go through a double.
            .with_parse_float_as_decimal(true)
            .with_map_string_types_to_utf8view(false);
        SqlToRel::new_with_options(self, options)
    }
}

impl ContextProvider for Functions {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("there is no table {name}")
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalar.get(name).cloned()
    }
    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }
    fn get_aggregate_meta(&self, _name: &str) -> Option<Arc<AggregateUDF>> {
        None
    }
    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }
    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        &self.options
    }
    fn udf_names(&self) -> Vec<String> {
        self.scalar.keys().cloned().collect()
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
