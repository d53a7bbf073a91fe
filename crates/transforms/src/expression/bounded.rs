//! Functions whose result is as large as a number in a record says: kept from taking all memory there is.
//!
//! Memory that can't be had ends the whole process, so one absurd number would be the end of every pipeline of the node.
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, FieldRef, Int64Type},
};
use datafusion_common::{Result, exec_err};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use std::sync::Arc;

/// The functions; the second argument says how much they make.
pub(super) const GROWING: &[&str] = &["lpad", "rpad", "repeat", "array_resize", "array_repeat"];

/// Largest result, in characters or elements: as large as a record may be.
const MOST: usize = 16 << 20;

/// Largest sum of results of a batch: more than that is done in parts.
const MOST_TOGETHER: usize = 64 << 20;

/// A function that refuses to make too much.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounded {
    function: Arc<ScalarUDF>,
}

impl Bounded {
    pub(super) fn new(function: Arc<ScalarUDF>) -> Self {
        Self { function }
    }

    /// What comes of each row at most.
    fn sizes(&self, arguments: &ScalarFunctionArgs) -> Result<Vec<usize>> {
        let [what, count, ..] = arguments.args.as_slice() else { return Ok(Vec::new()) };
        let count = cast(&count.to_array(arguments.number_rows)?, &DataType::Int64)?;
        let counts = count.as_primitive::<Int64Type>();
        let lengths = match self.function.name() {
            "repeat" => Some(lengths(&what.to_array(arguments.number_rows)?)?),
            _ => None,
        };
        let size = |row: usize| {
            let count = if counts.is_null(row) { 0 } else { usize::try_from(counts.value(row)).unwrap_or(0) };
            lengths.as_ref().map_or(count, |lengths| count.saturating_mul(lengths[row]))
        };
        Ok((0..counts.len()).map(size).collect())
    }
}

/// A negative length is none; the functions take it for a huge one.
fn none_negative(mut arguments: ScalarFunctionArgs) -> Result<ScalarFunctionArgs> {
    let Some(count) = arguments.args.get_mut(1) else { return Ok(arguments) };
    let counts = cast(&count.to_array(arguments.number_rows)?, &DataType::Int64)?;
    let counts = counts.as_primitive::<Int64Type>();
    if counts.iter().flatten().any(|count| count < 0) {
        let kept = counts.unary::<_, Int64Type>(|count| count.max(0));
        *count = ColumnarValue::Array(cast(&kept, &count.data_type())?);
    }
    Ok(arguments)
}

/// Length of each text in bytes.
fn lengths(texts: &ArrayRef) -> Result<Vec<usize>> {
    let lengths = cast(&arrow::compute::kernels::length::length(texts)?, &DataType::Int64)?;
    let lengths = lengths.as_primitive::<Int64Type>();
    Ok(lengths.iter().map(|length| length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0)).collect())
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }
    fn aliases(&self) -> &[String] {
        self.function.aliases()
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
        let sizes = self.sizes(&arguments)?;
        if let Some(size) = sizes.iter().find(|size| **size > MOST) {
            return exec_err!("{} would make {size} characters or elements, at most {MOST} are possible", self.name());
        }
        if sizes.len() > 1 && sizes.iter().fold(0, |sum: usize, size| sum.saturating_add(*size)) > MOST_TOGETHER {
            return exec_err!("{} would make too much at once", self.name());
        }
        self.function.invoke_with_args(none_negative(arguments)?)
    }
}
