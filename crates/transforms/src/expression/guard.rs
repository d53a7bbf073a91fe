//! Results that count as errors: those too large, doubles that are not finite or too near to zero, and times outside
//! the years 1 to 9999. Where a cast is tried, such a time is NULL.
use super::{
    bounded::{MOST, weight},
    class::Class,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray},
    compute::cast as as_utf8,
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Schema, TimeUnit, TimestampMicrosecondType,
    },
    record_batch::RecordBatch,
};
use datafusion_common::{Result, ScalarValue, cast::as_string_array, exec_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{BinaryExpr, CastExpr, TryCastExpr},
};
use std::{
    fmt::{Display, Formatter},
    sync::Arc,
};

/// Midnight of 0001-01-01 and of 10000-01-01, in days and in microseconds since 1970.
pub(crate) const DAYS: std::ops::Range<i32> = -719_162..2_932_897;
pub(crate) const MICROS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// An expression whose result is checked.
#[derive(Debug)]
pub(super) struct Guarded {
    inner: Arc<dyn PhysicalExpr>,
}

// Written as DataFusion's own expressions do, because it can't be derived.
impl PartialEq for Guarded {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}
impl Eq for Guarded {}
impl std::hash::Hash for Guarded {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Guarded {
    /// Checks the result, if it is of a type that needs it.
    pub(super) fn around(inner: Arc<dyn PhysicalExpr>, schema: &Schema) -> Arc<dyn PhysicalExpr> {
        match inner.data_type(schema) {
            Ok(
                DataType::Float64
                | DataType::Float32
                | DataType::Date32
                | DataType::Timestamp(TimeUnit::Microsecond, _)
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
                | DataType::List(_),
            ) => Arc::new(Self { inner }),
            _ => inner,
        }
    }

    fn look(&self, result: &ArrayRef, batch: &RecordBatch) -> Result<()> {
        match result.data_type() {
            DataType::Float64 => {
                let numbers = result.as_primitive::<Float64Type>();
                if let Some(number) = first(numbers, |number| !number.is_finite()) {
                    return exec_err!("the result is not a finite number ({number})");
                }
                if first(numbers, |number| number == 0.0).is_some() && self.underflows(numbers, batch)? {
                    return exec_err!("the result is too near to zero for a double");
                }
            }
            DataType::Float32 => {
                let numbers = result.as_primitive::<Float32Type>();
                let zero = first(numbers, |number| number == 0.0).is_some();
                if first(numbers, |number| !number.is_finite()).is_some() || zero && self.vanishes(numbers, batch)? {
                    return exec_err!("the result is too large or too near to zero for a real");
                }
            }
            DataType::Date32 if first(result.as_primitive::<Date32Type>(), |day| !DAYS.contains(&day)).is_some() => {
                return exec_err!("the result is a date before year 1 or after year 9999");
            }
            DataType::Timestamp(TimeUnit::Microsecond, _)
                if first(result.as_primitive::<TimestampMicrosecondType>(), |time| !MICROS.contains(&time))
                    .is_some() =>
            {
                return exec_err!("the result is a time before year 1 or after year 9999");
            }
            DataType::Date32 | DataType::Timestamp(..) => {}
            _ => {
                if self.has_nul(result, batch)? {
                    return exec_err!("a text can't contain the character U+0000");
                }
                let bytes = weight(result);
                if bytes > MOST {
                    return exec_err!("the result has {bytes} bytes, the limit is {MOST}");
                }
            }
        }
        Ok(())
    }

    /// Returns whether bytes became a text with a character that SQL texts can't contain.
    fn has_nul(&self, result: &ArrayRef, batch: &RecordBatch) -> Result<bool> {
        let Some(cast) = self.inner.downcast_ref::<CastExpr>() else { return Ok(false) };
        Ok(Class::of(result.data_type()) == Class::Text
            && cast.expr().data_type(&batch.schema())?.is_binary()
            && as_string_array(&as_utf8(result, &DataType::Utf8)?)?.iter().flatten().any(|text| text.contains('\0')))
    }

    /// Returns whether a cast turned a nonzero number into zero.
    fn vanishes(&self, numbers: &PrimitiveArray<Float32Type>, batch: &RecordBatch) -> Result<bool> {
        let Some(cast) = self.inner.downcast_ref::<CastExpr>() else { return Ok(false) };
        let from = cast.expr().evaluate(batch)?.into_array(numbers.len())?;
        let Some(from) = from.as_primitive_opt::<Float64Type>() else { return Ok(false) };
        Ok((0..numbers.len()).any(|row| numbers.is_valid(row) && numbers.value(row) == 0.0 && from.value(row) != 0.0))
    }

    /// Returns whether a product of nonzero numbers is zero.
    fn underflows(&self, products: &PrimitiveArray<Float64Type>, batch: &RecordBatch) -> Result<bool> {
        let Some(binary) = self.inner.downcast_ref::<BinaryExpr>().filter(|it| *it.op() == Operator::Multiply) else {
            return Ok(false);
        };
        let side = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(products.len());
        let (left, right) = (side(binary.left())?, side(binary.right())?);
        let (Some(left), Some(right)) =
            (left.as_primitive_opt::<Float64Type>(), right.as_primitive_opt::<Float64Type>())
        else {
            return Ok(false);
        };
        let zero = |row: &usize| products.is_valid(*row) && products.value(*row) == 0.0;
        let mut rows = (0..products.len()).filter(zero);
        Ok(rows.any(|row| left.value(row) != 0.0 && right.value(row) != 0.0))
    }
}

/// The same, with NULL for times outside the years 1 to 9999.
fn within_years(times: ArrayRef) -> ArrayRef {
    fn within<T: ArrowPrimitiveType>(times: &ArrayRef, years: &std::ops::Range<T::Native>) -> ArrayRef {
        let times = times.as_primitive::<T>();
        match first(times, |time| !years.contains(&time)) {
            None => Arc::new(times.clone()),
            Some(_) => {
                let kept = times.unary_opt::<_, T>(|time| years.contains(&time).then_some(time));
                Arc::new(kept.with_data_type(times.data_type().clone()))
            }
        }
    }
    match times.data_type() {
        DataType::Date32 => within::<Date32Type>(&times, &DAYS),
        DataType::Timestamp(TimeUnit::Microsecond, _) => within::<TimestampMicrosecondType>(&times, &MICROS),
        _ => times,
    }
}

/// Returns the first wrong value.
fn first<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, wrong: impl Fn(T::Native) -> bool) -> Option<T::Native> {
    // Usually none is wrong, whatever bytes lie under NULLs.
    if !values.values().iter().any(|value| wrong(*value)) {
        return None;
    }
    values.iter().flatten().find(|value| wrong(*value))
}

impl Display for Guarded {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Guarded {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }
    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let result = self.inner.evaluate(batch)?;
        let rows = match &result {
            ColumnarValue::Scalar(_) => 1,
            ColumnarValue::Array(array) => array.len(),
        };
        let array = result.clone().into_array(rows)?;
        if self.inner.is::<TryCastExpr>() {
            let array = within_years(array);
            return Ok(match result {
                ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
                ColumnarValue::Array(_) => ColumnarValue::Array(array),
            });
        }
        self.look(&array, batch)?;
        Ok(result)
    }
    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }
    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(inner) => Ok(Arc::new(Self { inner })),
            None => Ok(self),
        }
    }
    fn fmt_sql(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt_sql(f)
    }
}
