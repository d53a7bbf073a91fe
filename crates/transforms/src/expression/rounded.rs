//! Rounds doubles to integers with halves to the even neighbour, as every cast does.
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion_common::{Result, cast::as_float64_array};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use std::sync::Arc;

/// `round`: DataFusion's, except for doubles without a number of digits.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Rounded {
    function: Arc<ScalarUDF>,
}

impl Rounded {
    pub(super) fn new(function: Arc<ScalarUDF>) -> Self {
        Self { function }
    }
}

impl ScalarUDFImpl for Rounded {
    fn name(&self) -> &str {
        self.function.name()
    }
    fn signature(&self) -> &Signature {
        self.function.signature()
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.function.return_type(arguments)
    }
    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.return_field_from_args(arguments)
    }
    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arguments)
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match arguments.args.as_slice() {
            [number] if number.data_type() == DataType::Float64 => {
                let numbers = number.to_array(arguments.number_rows)?;
                let rounded = as_float64_array(&numbers)?.unary::<_, Float64Type>(f64::round_ties_even);
                Ok(ColumnarValue::Array(Arc::new(rounded)))
            }
            _ => self.function.invoke_with_args(arguments),
        }
    }
}
