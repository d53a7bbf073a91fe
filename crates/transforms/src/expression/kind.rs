//! Kinds of values, and what casts and comparisons take: as PostgreSQL, which converts no kind to another silently.
//! DataFusion would: a number beside a text becomes a text, a date an integer.
use super::explain::in_words;
use arrow::datatypes::DataType;
use datafusion_common::{DFSchema, Result, ScalarValue, plan_err, tree_node::Transformed};
use datafusion_expr::{
    BinaryExpr, Case, Cast, Expr, ExprSchemable, Operator, TryCast,
    expr::{Between, InList, ScalarFunction},
};

/// The type of JSON texts of objects and lists while expressions are evaluated: it tells them from texts.
pub(crate) const DOCUMENT: DataType = DataType::LargeUtf8;

/// Functions of values of one kind.
const ALIKE: &[&str] = &["coalesce", "greatest", "least", "make_array", "nullif"];

/// Functions that compare their arguments.
pub(super) const COMPARING: &[&str] = &["greatest", "least", "nullif"];

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// NULL.
    Nothing,
    Whole,
    /// A decimal or a double.
    Fraction,
    Text,
    /// An object or a list of the record.
    Document,
    Boolean,
    Time,
    Interval,
    Bytes,
    /// A list that a function made.
    List,
}

impl Kind {
    /// The kind of a type's values.
    pub(crate) fn of(ty: &DataType) -> Self {
        match ty {
            DataType::Null => Self::Nothing,
            DataType::Boolean => Self::Boolean,
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Self::Time,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Dictionary(_, value) => Self::of(value),
            ty if *ty == DOCUMENT => Self::Document,
            ty if ty.is_string() => Self::Text,
            ty if ty.is_integer() => Self::Whole,
            ty if ty.is_numeric() => Self::Fraction,
            ty if ty.is_binary() => Self::Bytes,
            _ => Self::List,
        }
    }

    /// Whether a cast converts values of this kind to another one.
    pub(crate) fn becomes(self, to: Self) -> bool {
        match (self, to) {
            (Self::Nothing, _) => true,
            (Self::List, _) | (Self::Text, Self::Bytes) => false,
            (Self::Text, _) | (_, Self::Text) => true,
            (Self::Whole, Self::Fraction) | (Self::Fraction, Self::Whole) => true,
            (Self::Whole, Self::Boolean) | (Self::Boolean, Self::Whole) => true,
            (from, to) => from == to,
        }
    }

    /// Whether values of this kind stand beside those of another one.
    fn joins(self, other: Self) -> bool {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => true,
            (Self::Whole, Self::Fraction) | (Self::Fraction, Self::Whole) => true,
            // A quoted text can denote a time.
            (Self::Time, Self::Text) | (Self::Text, Self::Time) => true,
            (a, b) => a == b,
        }
    }

    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Nothing => "NULL",
            Self::Whole | Self::Fraction => "a number",
            Self::Text => "text",
            Self::Document => "an object or a list",
            Self::Boolean => "true or false",
            Self::Time => "a time",
            Self::Interval => "an interval",
            Self::Bytes => "bytes",
            Self::List => "a list",
        }
    }
}

/// Refuses casts and comparisons of values of the wrong kind. A `try_cast` gives NULL.
pub(super) fn strict(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let kinds = |parts: &mut dyn Iterator<Item = &Expr>| -> Result<Vec<Kind>> {
        parts.map(|part| Ok(Kind::of(&part.get_type(schema)?))).collect()
    };
    match &expr {
        Expr::Cast(Cast { expr: from, field }) => {
            let from = from.get_type(schema)?;
            if !Kind::of(&from).becomes(Kind::of(field.data_type())) {
                return plan_err!("{} can't be cast to {}", Kind::of(&from).words(), in_words(field.data_type()));
            }
        }
        Expr::TryCast(TryCast { expr: from, field })
            if !Kind::of(&from.get_type(schema)?).becomes(Kind::of(field.data_type())) =>
        {
            return Ok(Transformed::yes(Expr::Literal(ScalarValue::try_from(field.data_type())?, None)));
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            compared(&kinds(&mut [&**left, &**right].into_iter())?)?;
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            compared(&kinds(&mut [&**expr, &**low, &**high].into_iter())?)?;
        }
        Expr::InList(InList { expr, list, .. }) => {
            compared(&kinds(&mut std::iter::once(&**expr).chain(list))?)?;
        }
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            if let Some(expr) = expr {
                let whens = when_then_expr.iter().map(|(when, _)| &**when);
                compared(&kinds(&mut std::iter::once(&**expr).chain(whens))?)?;
            }
            let results = when_then_expr.iter().map(|(_, then)| &**then).chain(else_expr.as_deref());
            alike(&kinds(&mut results.into_iter())?)?;
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if ALIKE.contains(&func.name()) => {
            let kinds = kinds(&mut args.iter())?;
            if COMPARING.contains(&func.name()) {
                compared(&kinds)?
            } else {
                alike(&kinds)?
            }
            if func.name() == "make_array" && kinds.contains(&Kind::Document) {
                return plan_err!("make_array takes no objects and lists");
            }
        }
        _ => {}
    }
    Ok(Transformed::no(expr))
}

/// Whether an operator compares its operands.
pub(super) fn compares(op: Operator) -> bool {
    use Operator as Op;
    matches!(
        op,
        Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::IsDistinctFrom | Op::IsNotDistinctFrom
    )
}

/// Values that are compared.
fn compared(kinds: &[Kind]) -> Result<()> {
    if kinds.contains(&Kind::Document) && kinds.iter().filter(|kind| **kind != Kind::Nothing).count() > 1 {
        return plan_err!(
            "objects and lists can't be compared: compare fields of them, or their texts (cast(… as text))"
        );
    }
    alike(kinds)
}

/// Values that are to be of one kind.
fn alike(kinds: &[Kind]) -> Result<()> {
    let Some(first) = kinds.iter().find(|kind| **kind != Kind::Nothing) else { return Ok(()) };
    match kinds.iter().find(|kind| !first.joins(**kind)) {
        Some(other) => plan_err!("values of one type are needed, not {} and {}", first.words(), other.words()),
        None => Ok(()),
    }
}
