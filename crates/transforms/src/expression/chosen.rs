//! Choices between numbers of which one is a double: the result is a double, and so is what was chosen, if it is one without
//! becoming another number. PostgreSQL would round it.
use super::{
    doubles::{converted, is_constant},
    explain::in_words,
    nearest::doubles,
    own::{self, Own},
};
use crate::program::{floats, shown};
use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array},
    datatypes::{DataType, Float64Type},
};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{Expr, expr::ScalarFunction};
use std::{
    collections::BTreeSet,
    fmt::{self, Display, Formatter},
    sync::Arc,
};

/// The internal function names.
const DOUBLE: &str = "double equal to";
const REAL: &str = "real equal to";
const GREATEST: &str = "greatest beside doubles";
const LEAST: &str = "least beside doubles";

/// A number was chosen that the type of the result can't hold.
#[derive(Debug)]
pub(super) struct Altered {
    number: String,
    from: &'static str,
    to: String,
}

impl Display for Altered {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { number, from, to } = self;
        write!(
            f,
            "{number} is a {from} which a {to} does not hold exactly, and beside a {to} the result is one: write cast(… as {to}) to round it"
        )
    }
}

impl std::error::Error for Altered {}

impl Altered {
    fn of(column: &ArrayRef, row: usize, float: &DataType) -> DataFusionError {
        let from = if column.data_type().is_integer() { "bigint" } else { "decimal" };
        let altered = Self { number: shown(column, row), from, to: in_words(float) };
        DataFusionError::External(Box::new(altered))
    }

    /// Returns whether an expression failed because of that.
    pub(super) fn is(error: &DataFusionError) -> bool {
        matches!(error.find_root(), DataFusionError::External(error) if error.is::<Self>())
    }
}

/// A number as a floating-point one, which fails where that is another number. Constants are rounded: the user sees which.
pub(super) fn itself(number: Expr, ty: &DataType, float: &DataType) -> Expr {
    if !(ty.is_decimal() || ty.is_integer()) || is_constant(&number) {
        return member(number, ty, float);
    }
    let name = if *float == DataType::Float32 { REAL } else { DOUBLE };
    let (returns, float) = (float.clone(), float.clone());
    let function = Own::of_any(
        name,
        &[1],
        move |_| returns.clone(),
        move |columns| {
            let (floats, altered) = floats(&columns[0], &float);
            match altered.first() {
                Some(row) => Err(Altered::of(&columns[0], *row, &float)),
                None => Ok(floats),
            }
        },
    );
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![number]))
}

/// A number that is an argument of [`extreme`].
pub(super) fn member(number: Expr, ty: &DataType, float: &DataType) -> Expr {
    let rounds = (ty.is_decimal() || ty.is_integer()) && is_constant(&number);
    if rounds { converted(number, float) } else { number }
}

/// The greatest or least of these numbers as a floating-point one: compared as such, and an error where the one that is chosen
/// is not such a number.
pub(super) fn extreme(greatest: bool, members: Vec<Expr>, float: &DataType) -> Expr {
    let name = if greatest { GREATEST } else { LEAST };
    let (returns, float) = (float.clone(), float.clone());
    let function = Own::of_any(
        name,
        &[members.len()],
        move |_| returns.clone(),
        move |columns| {
            let members: Vec<Member<'_>> =
                columns.iter().map(|column| Member::of(column, &float)).collect::<Result<_>>()?;
            let rows = columns.first().map_or(0, |column| column.len());
            let best = (0..rows).map(|row| best(&members, row, greatest).map(|of| of.at(row, &float)).transpose());
            let best: ArrayRef = Arc::new(best.collect::<Result<Float64Array>>()?);
            own::cast(&best, &float)
        },
    );
    Expr::ScalarFunction(ScalarFunction::new_udf(function, members))
}

/// The member with the greatest or least number; of equal ones one that is such a number itself.
fn best<'m, 'c>(members: &'m [Member<'c>], row: usize, greatest: bool) -> Option<&'m Member<'c>> {
    let valid = members.iter().filter(|member| member.nearest.is_valid(row));
    valid.reduce(|best, next| {
        let (of_best, of_next) = (best.nearest.value(row), next.nearest.value(row));
        let is_better = match of_next == of_best {
            true => best.altered.contains(&row),
            false => (of_next > of_best) == greatest,
        };
        if is_better { next } else { best }
    })
}

/// Numbers of one type.
struct Member<'c> {
    column: &'c ArrayRef,
    /// The nearest number of the floating-point type for each.
    nearest: Float64Array,
    /// The rows in which that is another number.
    altered: BTreeSet<usize>,
}

impl<'c> Member<'c> {
    fn of(column: &'c ArrayRef, float: &DataType) -> Result<Self> {
        let (mut nearest, altered) = floats(column, float);
        if !altered.is_empty() {
            let doubles = if column.data_type().is_decimal() { doubles(column)? } else { column.clone() };
            nearest = own::cast(&doubles, float)?;
        }
        let nearest = own::cast(&nearest, &DataType::Float64)?.as_primitive::<Float64Type>().clone();
        Ok(Self { column, nearest, altered: altered.into_iter().collect() })
    }

    fn at(&self, row: usize, float: &DataType) -> Result<f64> {
        match self.altered.contains(&row) {
            true => Err(Altered::of(self.column, row, float)),
            false => Ok(self.nearest.value(row)),
        }
    }
}
