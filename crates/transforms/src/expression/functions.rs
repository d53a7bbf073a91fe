//! The functions available to expressions.
use super::{
    bounded::{Bounded, GROWING},
    divide::{DIVIDE, Divide},
    exact::{Exact, QUOTIENT},
    own,
    rounded::Rounded,
    whole::{POSITIONAL, WHOLE, Whole},
    written::{WRITTEN, Written},
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

/// Functions whose result would depend on the division into batches.
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

/// The callable functions, by subject. `docs/guides/expressions.md` lists them; each was compared with PostgreSQL's, if
/// that has it.
pub(crate) const CALLABLE: &[(&str, &[&str])] = &[
    (
        "Text",
        &[
            "ascii",
            "bit_length",
            "btrim",
            "char_length",
            "character_length",
            "chr",
            "concat",
            "concat_ws",
            "contains",
            "ends_with",
            "initcap",
            "left",
            "length",
            "levenshtein",
            "lower",
            "lpad",
            "ltrim",
            "octet_length",
            "overlay",
            "position",
            "repeat",
            "replace",
            "reverse",
            "right",
            "rpad",
            "rtrim",
            "split_part",
            "starts_with",
            "strpos",
            "substr",
            "substring",
            "to_hex",
            "translate",
            "trim",
            "upper",
        ],
    ),
    ("Patterns", &["regexp_count", "regexp_instr", "regexp_like", "regexp_replace", "regexp_substr"]),
    (
        "Numbers",
        &[
            "abs",
            "acos",
            "acosh",
            "asin",
            "asinh",
            "atan",
            "atan2",
            "atanh",
            "cbrt",
            "ceil",
            "ceiling",
            "cos",
            "cosh",
            "cot",
            "degrees",
            "exp",
            "factorial",
            "floor",
            "gcd",
            "lcm",
            "ln",
            "log",
            "log10",
            "log2",
            "mod",
            "pi",
            "pow",
            "power",
            "radians",
            "round",
            "sign",
            "signum",
            "sin",
            "sinh",
            "sqrt",
            "tan",
            "tanh",
            "trunc",
        ],
    ),
    (
        "Times",
        &[
            "current_date",
            "current_timestamp",
            "date_bin",
            "date_part",
            "date_trunc",
            "extract",
            "from_unixtime",
            "localtimestamp",
            "make_date",
            "now",
            "strftime",
            "to_char",
            "to_date",
            "to_timestamp",
            "to_timestamp_micros",
            "to_timestamp_millis",
            "to_timestamp_seconds",
            "today",
        ],
    ),
    ("Choices", &["coalesce", "greatest", "ifnull", "least", "nullif", "nvl", "nvl2"]),
    ("Bytes", &["decode", "encode", "md5", "sha224", "sha256", "sha384", "sha512"]),
    ("Lists", &["array_to_string", "cardinality", "make_array", "string_to_array"]),
    ("Chance", &["gen_random_uuid", "random", "uuid"]),
];

/// Other names of functions.
const ALIASES: &[(&str, &str)] = &[
    ("ceiling", "ceil"),
    ("gen_random_uuid", "uuid"),
    ("ifnull", "coalesce"),
    ("nvl", "coalesce"),
    ("pow", "power"),
    ("signum", "sign"),
];

/// Replacements for functions that other systems have.
const INSTEAD: &[(&str, &str)] = &[
    ("instr", "strpos(text, part)"),
    ("to_unixtime", "extract(epoch from time)"),
    ("to_timestamp_nanos", "to_timestamp_micros(number / 1000)"),
    ("to_local_time", "time at time zone 'Europe/Berlin'"),
    ("date_format", "strftime(time, format), or to_char"),
    ("regexp_match", "regexp_substr(text, pattern), or regexp_replace(text, pattern, '\\1')"),
    ("regexp_matches", "regexp_substr(text, pattern)"),
    ("div", "trunc(a / b)"),
    ("isnan", "nothing: numbers are finite here"),
    ("if", "case when … then … else … end"),
    ("iif", "case when … then … else … end"),
    ("substr_index", "split_part(text, separator, n)"),
    ("len", "length(text)"),
    ("datediff", "the difference of times: a - b"),
    ("dateadd", "time + interval '1 day'"),
    ("format", "concat(…)"),
    ("arrow_cast", "cast(value as type)"),
];

/// Functions about a query's run or the engine itself, which mean nothing for a single record. `now()` and its variants
/// are the record's time, not functions.
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

/// All functions, created once per node.
#[derive(Debug)]
pub(crate) struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

/// The meaning of a function name.
#[derive(Debug)]
pub(crate) enum Known {
    /// A function of one row.
    Scalar(Arc<ScalarUDF>),
    /// A function of many rows.
    Aggregate,
    /// A function of a row and its neighbours.
    Window,
    /// Not a function; the fix, if there is one.
    Unknown(Option<String>),
}

impl Functions {
    /// Registers all of them.
    pub(crate) fn new() -> Self {
        let mut scalar = HashMap::new();
        let mut options = ConfigOptions::default();
        options.execution.time_zone = Some("UTC".into());
        let nested = datafusion_functions_nested::all_default_nested_functions();
        for function in datafusion_functions::all_default_functions().into_iter().chain(nested) {
            let function = bounded(function);
            for name in function.aliases() {
                scalar.insert(name.to_lowercase(), function.clone());
            }
            scalar.insert(function.name().to_lowercase(), function);
        }
        for name in WITHOUT_MEANING {
            scalar.remove(*name);
        }
        for function in own::all() {
            scalar.insert(function.name().into(), bounded(function));
        }
        if let Some(round) = scalar.get("round").cloned() {
            scalar.insert("round".into(), Arc::new(ScalarUDF::from(Rounded::new(round))));
        }
        for (alias, name) in ALIASES {
            if let Some(function) = scalar.get(*name).cloned() {
                scalar.insert((*alias).into(), function);
            }
        }
        scalar.insert(QUOTIENT.into(), Arc::new(ScalarUDF::from(Exact::quotient())));
        scalar.insert(DIVIDE.into(), Arc::new(ScalarUDF::from(Divide::new())));
        scalar.insert(WRITTEN.into(), Arc::new(ScalarUDF::from(Written::new())));
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
            options,
        }
    }

    /// Looks up a name, in any case.
    pub(crate) fn find(&self, name: &str) -> Known {
        let name = name.to_lowercase();
        let callable = || CALLABLE.iter().flat_map(|(_, names)| *names).copied();
        match self.scalar.get(&name).filter(|_| callable().any(|known| known == name)) {
            Some(function) => Known::Scalar(function.clone()),
            None if AGGREGATES.contains(&name.as_str()) => Known::Aggregate,
            None if WINDOWS.contains(&name.as_str()) => Known::Window,
            None => Known::Unknown(match INSTEAD.iter().find(|(known, _)| *known == name) {
                Some((_, instead)) => Some(format!("write {instead}")),
                None => dataflow_sdk::check::nearest(&name, callable()).map(|near| format!("did you mean {near}?")),
            }),
        }
    }

    /// Plans logical expressions from syntax trees, with these functions.
    pub(crate) fn planner(&self) -> SqlToRel<'_, Self> {
        let options = ParserOptions::new()
            .with_enable_ident_normalization(false)
            // 18.5 is a decimal, so that no number next to it is converted to a double.
            .with_parse_float_as_decimal(true)
            .with_map_string_types_to_utf8view(false);
        SqlToRel::new_with_options(self, options)
    }
}

/// Wraps a function whose result can be a multiple of its arguments in a size limit.
fn bounded(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match GROWING.contains(&function.name()) {
        true => Arc::new(ScalarUDF::from(Bounded::new(function))),
        false => function,
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

#[cfg(test)]
mod tests {
    use super::CALLABLE;
    use std::collections::BTreeSet;

    #[test]
    fn the_guide_lists_the_functions_there_are() {
        let guide = include_str!("../../../../docs/guides/expressions.md");
        let (_, after) = guide.split_once("## Functions").unwrap();
        let table: Vec<&str> =
            after.lines().skip_while(|line| !line.starts_with("| ")).take_while(|line| line.starts_with('|')).collect();
        let listed: BTreeSet<&str> = table.iter().flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
        let known: BTreeSet<&str> = CALLABLE.iter().flat_map(|(_, names)| *names).copied().collect();
        assert_eq!(listed, known);
    }
}
