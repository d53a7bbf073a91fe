//! Our own functions: those that DataFusion lacks, or defines other than SQL does.
mod bytes;
mod formats;
pub(super) mod intervals;
pub(super) mod moments;
pub(super) mod numbers;
pub(super) mod patterns;
mod readings;
mod regex;
mod spans;
mod texts;
mod zone;

use super::kind::Kind;
use arrow::{array::ArrayRef, compute::cast_with_options, datatypes::DataType};
use datafusion_common::{Result, format::DEFAULT_CAST_OPTIONS};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Derives the type of the result from those of the arguments.
type Returns = dyn Fn(&[DataType]) -> DataType + Send + Sync;
/// Computes the result from whole columns.
type Run = dyn Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync;

/// A function: its argument types, its result type, and its implementation on whole columns.
pub(super) struct Own {
    name: &'static str,
    signature: Signature,
    returns: Box<Returns>,
    run: Box<Run>,
}

impl Own {
    /// Defines a function that accepts any of these lists of types.
    pub(super) fn of(
        name: &'static str,
        takes: &[&[DataType]],
        returns: DataType,
        run: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Arc<ScalarUDF> {
        let takes = takes.iter().map(|types| TypeSignature::Exact(types.to_vec())).collect();
        let signature = Signature::one_of(takes, Volatility::Immutable);
        let returns = Box::new(move |_: &[DataType]| returns.clone());
        Arc::new(ScalarUDF::from(Self { name, signature, returns, run: Box::new(run) }))
    }

    /// Defines a function that reads texts; values of other types pass.
    pub(super) fn reader(
        name: &'static str,
        returns: DataType,
        read: impl Fn(&ArrayRef) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Arc<ScalarUDF> {
        let returns = move |types: &[DataType]| {
            if Kind::of(&types[0]) == Kind::Text { returns.clone() } else { types[0].clone() }
        };
        Self::of_any(name, &[1], returns, move |columns| match Kind::of(columns[0].data_type()) {
            Kind::Text => read(&cast(&columns[0], &DataType::Utf8)?),
            _ => Ok(columns[0].clone()),
        })
    }

    /// Defines a function of any types, with one of these argument counts, whose result type depends on them.
    pub(super) fn of_any(
        name: &'static str,
        counts: &[usize],
        returns: impl Fn(&[DataType]) -> DataType + Send + Sync + 'static,
        run: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Arc<ScalarUDF> {
        let takes = counts.iter().map(|count| TypeSignature::Any(*count)).collect();
        let signature = Signature::one_of(takes, Volatility::Immutable);
        Arc::new(ScalarUDF::from(Self { name, signature, returns: Box::new(returns), run: Box::new(run) }))
    }
}

/// Casts, and fails where arrow's own cast returns NULL: for values outside the type's range.
pub(super) fn cast(column: &ArrayRef, ty: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(column, ty, &DEFAULT_CAST_OPTIONS)?)
}

/// All of our own functions.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    [patterns::all(), numbers::all(), texts::all(), moments::all(), intervals::all(), bytes::all()].concat()
}

impl ScalarUDFImpl for Own {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok((self.returns)(arguments))
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        (self.run)(&arrays).map(ColumnarValue::Array)
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

// A function is identified by its name.
impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Own {}
impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
