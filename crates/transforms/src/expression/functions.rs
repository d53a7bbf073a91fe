//! The functions that expressions may call, and what their arguments are taken as.
use super::class::Class;
use arrow::datatypes::DataType;
use datafusion_common::{Result, TableReference, config::ConfigOptions, plan_err};
use datafusion_expr::{
    AggregateUDF, Coercion, HigherOrderUDF, ScalarUDF, TableSource, TypeSignature, TypeSignatureClass, WindowUDF,
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
    "any_value", "approx_distinct", "approx_median", "approx_percentile_cont", "array_agg", "avg", "bit_and", "bit_or",
    "bit_xor", "bool_and", "bool_or", "corr", "count", "covar", "covar_pop", "covar_samp", "first_value", "grouping",
    "last_value", "max", "mean", "median", "min", "nth_value", "percentile_cont", "regr_slope", "stddev",
    "stddev_pop", "stddev_samp", "string_agg", "sum", "var", "var_pop", "var_samp",
];
const WINDOWS: &[&str] = &["cume_dist", "dense_rank", "lag", "lead", "ntile", "percent_rank", "rank", "row_number"];

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
            for name in function.aliases() {
                scalar.insert(name.to_lowercase(), function.clone());
            }
            scalar.insert(function.name().to_lowercase(), function);
        }
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

/// How the arguments of a function call are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// Each as its class.
    Each(Vec<Class>),
    /// All as one class, which any of them or the context may tell.
    Alike,
}

/// How `count` arguments of a function are taken: by its signature, except for functions that leave it to themselves.
pub(crate) fn arguments(function: &ScalarUDF, count: usize) -> Arguments {
    let rest = |first: &[Class], class| {
        Arguments::Each((0..count).map(|index| first.get(index).copied().unwrap_or(class)).collect())
    };
    match function.name() {
        "coalesce" | "nullif" | "greatest" | "least" | "nvl" => Arguments::Alike,
        "nvl2" => rest(&[Class::Literal], Class::Any),
        // They take anything and write it as text.
        "concat" | "concat_ws" | "arrow_typeof" => rest(&[], Class::Literal),
        "to_char" => rest(&[Class::Time], Class::Text),
        "date_part" | "date_trunc" => rest(&[Class::Text], Class::Time),
        "date_bin" => rest(&[Class::Any], Class::Time),
        "from_unixtime" => rest(&[Class::Integer], Class::Text),
        "to_timestamp" | "to_timestamp_seconds" | "to_timestamp_millis" | "to_timestamp_micros"
        | "to_timestamp_nanos" | "to_date" | "to_unixtime" | "to_time" => rest(&[Class::Any], Class::Text),
        "arrow_cast" | "arrow_try_cast" => rest(&[Class::Literal], Class::Text),
        "encode" | "decode" => rest(&[], Class::Text),
        "round" | "trunc" => rest(&[Class::Number], Class::Integer),
        "floor" | "ceil" | "abs" | "power" | "log" | "signum" => rest(&[], Class::Number),
        _ => match classes(&function.signature().type_signature, count) {
            Some(classes) => Arguments::Each(classes),
            None if matches!(function.signature().type_signature, TypeSignature::Comparable(_)) => Arguments::Alike,
            None => rest(&[], Class::Any),
        },
    }
}

fn classes(signature: &TypeSignature, count: usize) -> Option<Vec<Class>> {
    let all = |class| Some(vec![class; count]);
    match signature {
        TypeSignature::Variadic(types) | TypeSignature::Uniform(_, types) => {
            all(types.iter().map(Class::of).fold(Class::Any, first))
        }
        TypeSignature::Exact(types) if types.len() == count => Some(types.iter().map(demanded).collect()),
        TypeSignature::Coercible(coercions) if coercions.len() == count => {
            Some(coercions.iter().map(coerced).collect())
        }
        TypeSignature::Numeric(_) => all(Class::Number),
        TypeSignature::String(_) => all(Class::Text),
        TypeSignature::OneOf(signatures) => {
            let variants: Vec<Vec<Class>> = signatures.iter().filter_map(|one| classes(one, count)).collect();
            let position = |index| variants.iter().map(|variant: &Vec<Class>| variant[index]).fold(Class::Any, widest);
            (!variants.is_empty()).then(|| (0..count).map(position).collect())
        }
        TypeSignature::Exact(_)
        | TypeSignature::Coercible(_)
        | TypeSignature::Comparable(_)
        | TypeSignature::UserDefined
        | TypeSignature::VariadicAny
        | TypeSignature::Any(_)
        | TypeSignature::ArraySignature(_)
        | TypeSignature::Nullary => None,
    }
}

fn demanded(ty: &DataType) -> Class {
    if ty.is_integer() { Class::Integer } else { Class::of(ty) }
}

fn coerced(coercion: &Coercion) -> Class {
    match coercion.desired_type() {
        TypeSignatureClass::Timestamp => Class::Time,
        TypeSignatureClass::Integer => Class::Integer,
        TypeSignatureClass::Float | TypeSignatureClass::Decimal | TypeSignatureClass::Numeric => Class::Number,
        TypeSignatureClass::Native(ty) => {
            let ty = ty.native();
            if ty.is_integer() {
                Class::Integer
            } else if ty.is_numeric() {
                Class::Number
            } else {
                match ty {
                    datafusion_common::types::NativeType::String => Class::Text,
                    datafusion_common::types::NativeType::Boolean => Class::Boolean,
                    datafusion_common::types::NativeType::Date | datafusion_common::types::NativeType::Timestamp(..) => Class::Time,
                    _ => Class::Any,
                }
            }
        }
        TypeSignatureClass::Any
        | TypeSignatureClass::Time
        | TypeSignatureClass::Interval
        | TypeSignatureClass::Duration
        | TypeSignatureClass::Binary => Class::Any,
    }
}

fn first(a: Class, b: Class) -> Class {
    if a == Class::Any { b } else { a }
}

/// Of two signatures of a function, the class that suits both, or else the first.
fn widest(a: Class, b: Class) -> Class {
    match (a, b) {
        (Class::Integer, Class::Number) | (Class::Number, Class::Integer) => Class::Number,
        _ => first(a, b),
    }
}
