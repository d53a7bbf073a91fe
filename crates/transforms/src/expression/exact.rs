//! Products and quotients of decimals, computed with the digits of the numbers, not those of their types.
//!
//! The product of two numbers with 18 digits after the point may have 36 of them, and the type of such products has
//! little room before the point: so these are computed with up to 76 digits, and a result may have 38 of them, wherever
//! its point is.
use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal256Array},
    compute::cast,
    datatypes::{DataType, Decimal256Type, i256},
    error::ArrowError,
};
use datafusion_common::{DFSchema, DataFusionError, Result, exec_err, tree_node::Transformed};
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, expr::ScalarFunction,
};
use std::sync::Arc;

/// The internal function name of division.
pub(super) const QUOTIENT: &str = "exact quotient of";
const PRODUCT: &str = "exact product of";

/// The most digits of a result; all of them may be after the point.
pub(super) const DIGITS: u32 = 38;

/// The precision that fits any result, wherever its point is.
pub(super) const WIDE: u8 = 76;

/// The scale up to which DataFusion's own multiplication leaves 28 digits before the point: amounts and rates.
const SHORT: i8 = 10;

/// `product(a, b)`, `quotient(a, b)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Exact {
    signature: Signature,
    quotient: bool,
}

impl Exact {
    pub(super) fn product() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable), quotient: false }
    }

    pub(super) fn quotient() -> Self {
        Self { quotient: true, ..Self::product() }
    }

    /// The scale of the result for operands with these scales.
    fn scale(&self, a: i8, b: i8) -> i8 {
        if self.quotient { DIGITS as i8 } else { a.saturating_add(b).min(DIGITS as i8) }
    }
}

/// The precision and scale of an exact number type.
pub(super) fn shape(ty: &DataType) -> Option<(u8, i8)> {
    match ty {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        ty if ty.is_integer() => Some((20, 0)),
        _ => None,
    }
}

/// Makes multiplication and remainder of decimals exact where DataFusion's decimals have too few digits.
pub(super) fn multiplied(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Multiply | Operator::Modulo), right }) = expr else {
        return Ok(Transformed::no(expr));
    };
    let types = left.get_type(schema).ok().zip(right.get_type(schema).ok());
    let shapes = types.as_ref().and_then(|(a, b)| shape(a).zip(shape(b)).filter(|_| a.is_decimal() || b.is_decimal()));
    let own = |left, right| Expr::BinaryExpr(BinaryExpr { left, op, right });
    let Some(((p1, s1), (p2, s2))) = shapes else { return Ok(Transformed::no(own(left, right))) };
    let wide = types.is_some_and(|(a, b)| [a, b].iter().any(|ty| matches!(ty, DataType::Decimal256(..))));
    Ok(match op {
        Operator::Modulo if wide || s1.max(s2) > DIGITS as i8 / 2 => {
            let widened = |side: Expr, scale| Box::new(datafusion_expr::cast(side, DataType::Decimal256(WIDE, scale)));
            Transformed::yes(own(widened(*left, s1), widened(*right, s2)))
        }
        Operator::Multiply if wide || p1 + p2 > DIGITS as u8 && s1.saturating_add(s2) > SHORT => {
            let product = Arc::new(ScalarUDF::from(Exact::product()));
            Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(product, vec![*left, *right])))
        }
        _ => Transformed::no(own(left, right)),
    })
}

impl ScalarUDFImpl for Exact {
    fn name(&self) -> &str {
        if self.quotient { QUOTIENT } else { PRODUCT }
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let scale = |ty| shape(ty).map_or(0, |(_, scale)| scale);
        Ok(DataType::Decimal256(WIDE, self.scale(scale(&arguments[0]), scale(&arguments[1]))))
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [a, b] = arrays.as_slice() else { return exec_err!("{} takes two numbers", self.name()) };
        let ((a, s1), (b, s2)) = (wide(a)?, wide(b)?);
        let scale = self.scale(s1, s2);
        let (a, b) = (a.as_primitive::<Decimal256Type>(), b.as_primitive::<Decimal256Type>());
        let one = |a, b| {
            let (a, b) = (Number::new(a, s1), Number::new(b, s2));
            let made = if self.quotient { a.quotient(b) } else { a.product(b) }?;
            made.at(scale.unsigned_abs().into()).ok_or_else(|| too_long(a, b))
        };
        let made = a.iter().zip(b).map(|(a, b)| a.zip(b).map(|(a, b)| one(a, b)).transpose());
        let made = made.collect::<Result<Decimal256Array>>()?.with_precision_and_scale(WIDE, scale)?;
        Ok(ColumnarValue::Array(Arc::new(made)))
    }
}

/// Converts numbers to the widest type; returns their scale, too.
fn wide(column: &ArrayRef) -> Result<(ArrayRef, i8)> {
    let scale = shape(column.data_type()).map_or(0, |(_, scale)| scale);
    Ok((cast(column, &DataType::Decimal256(WIDE, scale))?, scale))
}

fn too_long(a: Number, b: Number) -> DataFusionError {
    let said = |number: Number| format!("{}e-{}", number.unscaled, number.scale);
    DataFusionError::Execution(format!("the result of {} and {} has no decimal of {DIGITS} digits", said(a), said(b)))
}

fn ten(power: u32) -> Option<i256> {
    i256::from_i128(10).checked_pow(power)
}

/// `unscaled / 10^scale`.
#[derive(Clone, Copy, Debug)]
struct Number {
    unscaled: i256,
    scale: u32,
}

impl Number {
    fn new(unscaled: i256, scale: i8) -> Self {
        Self { unscaled, scale: scale.unsigned_abs().into() }
    }

    /// Removes trailing zeros after the point.
    fn reduced(self) -> Self {
        let Self { mut unscaled, mut scale } = self;
        if let Some(mut short) = unscaled.to_i128() {
            while scale > 0 && short % 10 == 0 {
                (short, scale) = (short / 10, scale - 1);
            }
            return Self { unscaled: i256::from_i128(short), scale };
        }
        let ten = i256::from_i128(10);
        while scale > 0 && unscaled.wrapping_rem(ten) == i256::ZERO {
            (unscaled, scale) = (unscaled.wrapping_div(ten), scale - 1);
        }
        Self { unscaled, scale }
    }

    fn digits(self) -> u32 {
        self.unscaled.wrapping_abs().checked_ilog10().map_or(0, |log| log + 1)
    }

    /// Returns the digits with `scale` of them after the point.
    fn at(self, scale: u32) -> Option<i256> {
        let missing = scale.checked_sub(self.scale)?;
        let unscaled = self.unscaled.checked_mul(ten(missing)?)?;
        (Self { unscaled, scale }.digits() <= WIDE.into()).then_some(unscaled)
    }

    /// Multiplies exactly, if the product has up to 38 digits, otherwise to the nearest double, as everywhere when no
    /// decimal holds a number. A result beyond that is an error.
    fn product(self, other: Self) -> Result<Self> {
        let (a, b) = (self.reduced(), other.reduced());
        let failed = || too_long(a, b);
        let unscaled = a.unscaled.checked_mul(b.unscaled).ok_or_else(failed)?;
        let exact = Self { unscaled, scale: a.scale + b.scale }.reduced();
        if exact.digits() <= DIGITS && exact.scale <= DIGITS {
            return Ok(exact);
        }
        if exact.digits() > DIGITS + exact.scale {
            return Err(failed());
        }
        let double: f64 = format!("{}e-{}", exact.unscaled, exact.scale).parse().map_err(|_| failed())?;
        let text = double.to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let unscaled = i256::from_string(&format!("{whole}{fraction}")).ok_or_else(failed)?;
        Ok(Self { unscaled, scale: fraction.len() as u32 })
    }

    /// Divides with as many digits as PostgreSQL: 16, or as many after the point as the dividend has.
    fn quotient(self, other: Self) -> Result<Self> {
        if other.unscaled == i256::ZERO {
            return Err(ArrowError::DivideByZero.into());
        }
        let ((w1, d1), (w2, d2)) = (self.leading(), other.leading());
        let weight = w1 - w2 - i64::from(d1 <= d2);
        let scale = (16 - weight * 4).max(self.scale.into()).max(other.scale.into()).max(0);
        let failed = || too_long(self, other);
        let scale = u32::try_from(scale).ok().filter(|scale| *scale <= DIGITS).ok_or_else(failed)?;
        // Both as integers of the same unit, the dividend with as many more digits as the quotient has after the point.
        let (up, down) = (scale + other.scale, self.scale);
        let scaled = |number: Self, by: u32| ten(by).and_then(|ten| number.unscaled.checked_mul(ten));
        let dividend = scaled(self, up.saturating_sub(down)).ok_or_else(failed)?;
        let divisor = scaled(other, down.saturating_sub(up)).ok_or_else(failed)?;
        let (quotient, rest) = (dividend.wrapping_div(divisor), dividend.wrapping_rem(divisor));
        let half = rest.wrapping_abs() >= divisor.wrapping_abs().wrapping_sub(rest.wrapping_abs());
        let sign = i256::from_i128(if dividend.is_negative() == divisor.is_negative() { 1 } else { -1 });
        let unscaled = if half { quotient.wrapping_add(sign) } else { quotient };
        Ok(Self { unscaled, scale })
    }

    /// Returns the first base-10,000 digit and its power: PostgreSQL's rule depends on them.
    fn leading(self) -> (i64, i64) {
        let digits = self.digits();
        if digits == 0 {
            return (0, 0);
        }
        let whole = i64::from(digits) - i64::from(self.scale);
        let weight = (whole - 1).div_euclid(4);
        let count = (whole - weight * 4) as u32;
        let text = format!("{:0<4}", self.unscaled.wrapping_abs().to_string());
        (weight, text[..count as usize].parse().unwrap_or(0))
    }
}
