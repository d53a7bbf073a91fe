//! Evaluates an expression on columns, and finds the rows on which it fails.
use super::{
    bounded::{MOST, MOST_OF_BATCH, weight},
    chosen::Altered,
    compile::{Compiled, plain},
    kind::DOCUMENT,
    own,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array},
    buffer::BooleanBuffer,
    compute::{cast, concat},
    datatypes::DataType,
};
use datafusion_common::DataFusionError;
use datafusion_expr::ColumnarValue;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A row on which an expression failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The index of the row in the columns.
    pub(crate) row: usize,
    /// Stable code, kebab-case.
    pub(crate) code: &'static str,
    /// The engine's error message.
    pub(crate) cause: String,
}

/// The batch's result exceeds the memory bound; split it and retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

/// The bytes that may still be computed for a batch.
pub(crate) struct Room(usize);

impl Room {
    /// The full bound.
    pub(crate) fn new() -> Self {
        Self(MOST_OF_BATCH)
    }

    fn take(&mut self, result: ArrayRef) -> Result<ArrayRef, TooMuch> {
        self.0 = self.0.checked_sub(weight(&result)).ok_or(TooMuch)?;
        Ok(result)
    }
}

impl Compiled {
    /// Returns the result for each row, NULL where it failed, and the rows where it failed.
    ///
    /// # Errors
    /// There is no room for the results.
    pub(crate) fn evaluate(
        &self,
        mut columns: Vec<ArrayRef>,
        rows: usize,
        room: &mut Room,
    ) -> Result<(ArrayRef, Vec<Failure>), TooMuch> {
        for (column, field) in columns.iter_mut().zip(self.schema.fields()) {
            if column.data_type() != field.data_type() {
                *column = cast(column, field.data_type())
                    .unwrap_or_else(|error| unreachable!("a decimal can be had as a double, NULL as text: {error}"));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = match RecordBatch::try_new_with_options(self.schema.clone(), columns, &options) {
            Ok(batch) => batch,
            Err(error) => unreachable!("an expression is compiled for the types of its columns: {error}"),
        };
        let mut failures = Vec::new();
        let result = self.isolating(&batch, 0, room, &mut failures)?;
        Ok((result, failures))
    }

    /// The type of the result.
    fn result_type(&self) -> DataType {
        let documents = self.schema.fields().iter().any(|field| *field.data_type() == DOCUMENT);
        match &self.ty {
            DataType::Null => DataType::Null,
            ty if *ty == DOCUMENT && !documents => DataType::Utf8,
            ty => plain(ty),
        }
    }

    /// Halves a slice that is too large or fails, until the failing rows are found.
    fn isolating(
        &self,
        batch: &RecordBatch,
        first: usize,
        room: &mut Room,
        failures: &mut Vec<Failure>,
    ) -> Result<ArrayRef, TooMuch> {
        let rows = batch.num_rows();
        let taken =
            batch.columns().iter().map(weight).sum::<usize>().saturating_add(self.constants.saturating_mul(rows));
        let attempt = match rows > 1 && taken > MOST {
            true => Err(DataFusionError::Execution("too much at once".into())),
            false => self.attempt(batch),
        };
        let error = match attempt {
            Ok(result) => return room.take(result),
            Err(error) => error,
        };
        if rows <= 1 {
            if rows == 1 {
                let code = if Altered::is(&error) { "type-mismatch" } else { "expression" };
                failures.push(Failure { row: first, code, cause: super::explain::explain(&error) });
            }
            return Ok(new_null_array(&self.result_type(), rows));
        }
        let half = rows / 2;
        let left = self.isolating(&batch.slice(0, half), first, room, failures)?;
        let right = self.isolating(&batch.slice(half, rows - half), first + half, room, failures)?;
        match concat(&[left.as_ref(), right.as_ref()]) {
            Ok(both) => Ok(both),
            Err(error) => unreachable!("both halves have the expression's type: {error}"),
        }
    }

    fn attempt(&self, batch: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        let rows = batch.num_rows();
        // Some DataFusion functions panic on absurd arguments, as lpad does on a huge length: that is the record's
        // fault, and must not end the run.
        let result = catch_unwind(AssertUnwindSafe(|| self.physical.evaluate(batch)))
            .unwrap_or_else(|panic| Err(DataFusionError::Execution(said(&*panic).into())))?;
        if let ColumnarValue::Scalar(value) = &result
            && rows > 1
            && weight(&value.to_array()?).saturating_mul(rows) > MOST
        {
            return Err(DataFusionError::Execution("too much at once".into()));
        }
        let result = result.into_array(rows)?;
        let ty = self.result_type();
        if result.data_type() == &ty { Ok(result) } else { own::cast(&result, &ty) }
    }
}

/// Returns the message of a panic.
pub(super) fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the function does not take this value")
}

/// Returns for each row whether it is true; NULL is not.
pub(crate) fn is_true(result: &ArrayRef) -> BooleanBuffer {
    match result.as_boolean_opt() {
        Some(flags) => match flags.nulls() {
            Some(valid) => flags.values() & valid.inner(),
            None => flags.values().clone(),
        },
        None => BooleanBuffer::new_unset(result.len()),
    }
}
