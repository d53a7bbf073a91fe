//! Text of numbers without a scale of their own.
//!
//! 1.5 and 1.50 are the same number, and a computed number may have any scale: its text has no trailing zeros. To keep
//! them, cast to a decimal with a scale first.
use arrow::{
    array::{ArrayRef, AsArray, StringArray},
    compute::cast,
    datatypes::DataType,
};
use datafusion_common::{Result, exec_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
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
        let texts = cast(values, &DataType::Utf8)?;
        Ok(ColumnarValue::Array(if values.data_type().is_decimal() { shortest(&texts) } else { texts }))
    }
}

/// The texts of decimals without trailing zeros.
pub(crate) fn shortest(texts: &ArrayRef) -> ArrayRef {
    let short = |text| match str::contains(text, '.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    };
    Arc::new(texts.as_string::<i32>().iter().map(|text| text.map(short)).collect::<StringArray>())
}
