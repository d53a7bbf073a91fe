//! Division of numbers whose type depends on the data.
//!
//! Whether 7 / 2 is 3 or 3.5 would depend on the other numbers of the batch, as these determine whether the column is
//! one of integers: so such numbers are divided as doubles. Division by zero fails, as it does for integers.
use arrow::{array::Array, compute::kernels::numeric::div, datatypes::DataType, error::ArrowError};
use datafusion_common::{Result, cast::as_float64_array};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// Its internal function name.
pub(super) const DIVIDE: &str = "quotient of";

/// `divide(a, b)`: the quotient of two doubles; fails if b is 0.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Divide {
    signature: Signature,
}

impl Divide {
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Float64, DataType::Float64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Divide {
    fn name(&self) -> &str {
        DIVIDE
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [dividend, divisor] = arrays.as_slice() else {
            return datafusion_common::exec_err!("{DIVIDE} takes two numbers");
        };
        let zero = |row| divisor.is_valid(row) && dividend.is_valid(row);
        let numbers = as_float64_array(divisor)?.values();
        if numbers.iter().enumerate().any(|(row, number)| *number == 0.0 && zero(row)) {
            return Err(ArrowError::DivideByZero.into());
        }
        let quotients = div(dividend, divisor)?;
        let (whole, parts) = (as_float64_array(dividend)?, as_float64_array(&quotients)?);
        if parts.iter().zip(whole).any(|(part, whole)| part == Some(0.0) && whole != Some(0.0)) {
            return datafusion_common::exec_err!("the result is too near to zero for a double");
        }
        Ok(ColumnarValue::Array(quotients))
    }
}
