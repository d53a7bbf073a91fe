//! Text of intervals, and of numbers without a scale of their own.
//!
//! 1.5 and 1.50 are the same number, and a computed number may have any scale: its text has no trailing zeros. To keep
//! them, cast to a decimal with a scale first.
use arrow::{
    array::{ArrayRef, AsArray, StringArray},
    compute::cast,
    datatypes::DataType,
};
use dataflow_formats::encode;
use datafusion_common::{DFSchema, Result, exec_err, tree_node::Transformed};
use datafusion_expr::{
    Case, ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    expr::ScalarFunction,
};
use std::sync::Arc;

/// Its internal function name.
pub(super) const WRITTEN: &str = "written";

/// `written(a)`: the text of a value; of a decimal without trailing zeros.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Written {
    signature: Signature,
}

impl Written {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Written {
    fn name(&self) -> &str {
        WRITTEN
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [values] = arrays.as_slice() else { return exec_err!("{WRITTEN} takes one value") };
        if let Some(intervals) = encode::intervals(values) {
            return Ok(ColumnarValue::Array(Arc::new(intervals)));
        }
        let texts = cast(values, &DataType::Utf8)?;
        Ok(ColumnarValue::Array(if values.data_type().is_decimal() { shortest(&texts) } else { texts }))
    }
}

/// The texts of decimals without trailing zeros.
pub(crate) fn shortest(texts: &ArrayRef) -> ArrayRef {
    Arc::new(texts.as_string::<i32>().iter().map(|text| text.map(short)).collect::<StringArray>())
}

/// The text of a number without trailing zeros after the point.
pub(crate) fn short(text: &str) -> &str {
    match text.contains('.') && !text.contains(['e', 'E']) {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

/// Makes decimals among the results of a CASE with texts ones of that text: DataFusion would write all zeros of their type.
pub(super) fn beside_texts(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::Case(Case { when_then_expr, else_expr, .. }) = &mut expr else { return Transformed::no(expr) };
    let results = when_then_expr.iter_mut().map(|(_, then)| &mut **then).chain(else_expr.iter_mut().map(|r| &mut **r));
    let typed: Vec<(&mut Expr, DataType)> =
        results.filter_map(|result| result.get_type(schema).ok().map(|ty| (result, ty))).collect();
    if !typed.iter().any(|(_, ty)| ty.is_string()) {
        return Transformed::no(expr);
    }
    for (result, _) in typed.into_iter().filter(|(result, ty)| ty.is_decimal() && !matches!(result, Expr::Cast(_))) {
        let decimal = std::mem::take(result);
        let written = Arc::new(ScalarUDF::new_from_impl(Written::new()));
        *result = Expr::ScalarFunction(ScalarFunction::new_udf(written, vec![decimal]));
    }
    Transformed::yes(expr)
}
