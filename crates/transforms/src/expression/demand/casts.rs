//! Casts: which types there are, and how their operands are read.
use super::{
    Demand, bare,
    operators::{call, take},
};
use crate::expression::{
    class::Class,
    explain::{in_words, shortened},
    finding::Finding,
    kind::Kind,
    own::{
        intervals::{TO_INTERVAL, TRY_TO_INTERVAL, is_interval},
        moments::{TO_DATE, TO_MICROS, TRY_TO_DATE, TRY_TO_MICROS, TRY_WITHOUT_OFFSET, WITHOUT_OFFSET},
        numbers::{TO_DOUBLE, TO_REAL, TRY_TO_DOUBLE, TRY_TO_REAL},
    },
    whole::{POSITIONAL, WHOLE},
    written::WRITTEN,
};
use datafusion_sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Interval, Spanned, TimezoneInfo, TypedString, Value,
};

const TYPES: &str =
    "boolean, smallint, integer, bigint, decimal(p, s), real, double, text, timestamptz, timestamp, date, interval";

/// What a cast makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Boolean,
    Whole,
    Decimal,
    Double,
    Real,
    Text,
    Instant,
    Datetime,
    Date,
    Interval,
}

impl Target {
    /// What a type is; it is written as the planner means it. None: expressions don't have it.
    fn of(ty: &mut DataType) -> Option<Self> {
        use DataType as Ty;
        use ExactNumberInfo::{None as Plain, Precision};
        use TimezoneInfo::{None as Unsaid, WithoutTimeZone};
        Some(match ty {
            Ty::Boolean | Ty::Bool => Self::Boolean,
            Ty::SmallInt(None) | Ty::Int(None) | Ty::Integer(None) | Ty::BigInt(None) => Self::Whole,
            Ty::Int2(None) | Ty::Int4(None) | Ty::Int8(None) => Self::Whole,
            Ty::Decimal(_) | Ty::Numeric(_) | Ty::Dec(_) => Self::Decimal,
            Ty::Double(Plain) | Ty::DoublePrecision | Ty::Float8 => Self::Double,
            Ty::Real | Ty::Float4 => Self::Real,
            // The planner takes it for a real.
            Ty::Float(Plain | Precision(25..=53)) => {
                *ty = Ty::DoublePrecision;
                Self::Double
            }
            Ty::Float(Precision(1..=24)) => Self::Real,
            Ty::Text | Ty::Varchar(None) | Ty::CharVarying(None) | Ty::CharacterVarying(None) | Ty::String(None) => {
                Self::Text
            }
            // Times are stored in microseconds: the planner's nanoseconds end in 2262.
            Ty::Timestamp(precision @ (None | Some(6)), zone) => {
                *precision = Some(6);
                if matches!(zone, Unsaid | WithoutTimeZone) { Self::Datetime } else { Self::Instant }
            }
            Ty::Datetime(None) => {
                *ty = Ty::Timestamp(Some(6), Unsaid);
                Self::Datetime
            }
            Ty::Date => Self::Date,
            Ty::Interval { fields: None, precision: None } => Self::Interval,
            _ => return None,
        })
    }

    /// How the operand is read: as its text or, where a number would mean something else than its text, as the value it is.
    fn operand(self) -> Class {
        match self {
            Self::Whole | Self::Decimal | Self::Double | Self::Real | Self::Text => Class::Literal,
            Self::Boolean | Self::Instant | Self::Datetime | Self::Date | Self::Interval => Class::Any,
        }
    }

    /// The function that reads a text, or rewrites it as the planner reads it; for `try_cast` if `tried`.
    fn reader(self, tried: bool) -> Option<&'static str> {
        let (reader, trying) = match self {
            Self::Double => (TO_DOUBLE, TRY_TO_DOUBLE),
            Self::Real => (TO_REAL, TRY_TO_REAL),
            Self::Instant => (TO_MICROS, TRY_TO_MICROS),
            Self::Datetime => (WITHOUT_OFFSET, TRY_WITHOUT_OFFSET),
            Self::Date => (TO_DATE, TRY_TO_DATE),
            Self::Interval => (TO_INTERVAL, TRY_TO_INTERVAL),
            Self::Boolean | Self::Whole | Self::Decimal | Self::Text => return None,
        };
        Some(if tried { trying } else { reader })
    }
}

/// The reason why a type is rejected in a cast, and the fix.
fn refused(ty: &DataType, text: &str) -> Option<(String, String)> {
    use DataType as Ty;
    match ty {
        Ty::Char(_) | Ty::Character(_) => {
            Some(("char(n) would pad the text with blanks or cut it".into(), format!("write left({text}, n)")))
        }
        Ty::Varchar(Some(_)) | Ty::CharacterVarying(Some(_)) | Ty::CharVarying(Some(_)) | Ty::Nvarchar(Some(_)) => {
            Some(("varchar(n) would cut the text".into(), format!("write left({text}, n), or cast it to text")))
        }
        Ty::Decimal(info) | Ty::Numeric(info) | Ty::Dec(info) => match info {
            ExactNumberInfo::None => {
                Some((format!("{ty} needs a precision and a scale"), "write for example decimal(38, 10)".into()))
            }
            ExactNumberInfo::Precision(precision) if (1..=38).contains(precision) => None,
            ExactNumberInfo::PrecisionAndScale(precision, scale)
                if (1..=38).contains(precision) && (0..=*precision as i64).contains(scale) =>
            {
                None
            }
            _ => Some((
                format!("{ty} is not possible"),
                "a decimal has up to 38 digits, from none to all of them after the point".into(),
            )),
        },
        Ty::Timestamp(Some(precision), _) if *precision != 6 => Some((
            format!("{ty} is not possible: times are stored in microseconds"),
            "write timestamp, and date_trunc to cut it".into(),
        )),
        Ty::Time(..) => Some((
            "there is no type for a time of day".into(),
            format!("keep it as text, or make a timestamp of it: cast('2000-01-01 ' || {text} as timestamp)"),
        )),
        Ty::Bytea | Ty::Binary(_) | Ty::Varbinary(_) | Ty::Blob(_) | Ty::Bytes(_) => Some((
            format!("nothing is cast to {ty}"),
            format!("write decode({text}, 'hex'), or 'base64'; functions of bytes take texts, too"),
        )),
        _ => None,
    }
}

impl Demand<'_> {
    /// Walks a cast.
    pub(super) fn cast(&mut self, expr: &mut Expr) -> Option<Class> {
        let Expr::Cast { expr: inner, data_type, kind, .. } = expr else { return None };
        let tried = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
        let (text, place) = (shortened(inner), inner.span().start);
        if let Some((why, fix)) = refused(data_type, &text) {
            return self.fail(Finding::new("unsupported", why).fix(fix).at(place));
        }
        let Some(target) = Target::of(data_type) else {
            let finding = Finding::new("unsupported", format!("expressions have no type {data_type}"));
            return self.fail(finding.fix(format!("known: {TYPES}")).at(place));
        };
        let operand = if self.cx.source.untyped { Class::Literal } else { target.operand() };
        let class = self.walk(inner, operand)?;
        match target {
            // The operand's text may be a number with a point or an exponent.
            Target::Whole => **inner = call(WHOLE, [take(inner)], place),
            Target::Decimal => **inner = call(POSITIONAL, [take(inner)], place),
            Target::Text => self.write(inner),
            _ => {
                let text = self.data_type(inner).is_ok_and(|ty| ty.is_string());
                let number = tried && matches!(target, Target::Double | Target::Real);
                if let Some(reader) = target.reader(tried).filter(|_| text || number) {
                    **inner = call(reader, [take(inner)], place);
                }
            }
        }
        let from = self.data_type(inner).ok();
        let planned = self.planned(expr)?;
        let to = self.data_type(expr).ok()?;
        match from.map(|from| Kind::of(&from)).filter(|from| !from.becomes(Kind::of(&to))) {
            None => Some(planned),
            Some(from) => {
                let message = format!("{text} is {}, which can't be cast to {}", from.words(), in_words(&to));
                let finding = Finding::new("type-mismatch", message).at(place);
                let fix = match (target, from) {
                    (Target::Interval, Kind::Whole | Kind::Fraction) => {
                        Some(format!("write cast(concat({text}, ' seconds') as interval)"))
                    }
                    (_, Kind::List) => Some(format!("write array_to_string({text}, ',')")),
                    _ => planned.cast(&text, class),
                };
                self.fail(Finding { fix, ..finding })
            }
        }
    }

    /// Walks `date '2024-01-05'`, which is a cast.
    pub(super) fn typed(&mut self, expr: &mut Expr) -> Option<Class> {
        let Expr::TypedString(TypedString { data_type, value, .. }) = expr else { return None };
        let (inner, data_type) = (Box::new(Expr::Value(value.clone())), data_type.clone());
        *expr = Expr::Cast { kind: CastKind::Cast, expr: inner, data_type, array: false, format: None };
        self.cast(expr)
    }

    /// Walks `interval '1 day'` and `interval '1' day`.
    pub(super) fn interval(&mut self, expr: &mut Expr) -> Option<Class> {
        let place = expr.span().start;
        let Expr::Interval(Interval {
            value,
            leading_field,
            leading_precision,
            last_field,
            fractional_seconds_precision,
        }) = expr
        else {
            return None;
        };
        let whole = leading_precision.is_none() && last_field.is_none() && fractional_seconds_precision.is_none();
        let written = match (&**value, leading_field) {
            (Expr::Value(value), unit) if whole => match (&value.value, unit) {
                (Value::SingleQuotedString(text), None) => Some(text.clone()),
                (Value::SingleQuotedString(text), Some(unit)) if text.trim().parse::<i64>().is_ok() => {
                    Some(format!("{text} {unit}"))
                }
                _ => None,
            },
            _ => None,
        };
        let Some(written) = written else {
            let finding = Finding::new("unsupported", format!("{} is not an interval", shortened(expr)));
            return self.fail(finding.fix("write interval '1 day', or cast(… as interval)").at(place));
        };
        *expr = call(TO_INTERVAL, [super::operators::text(written)], place);
        self.planned(expr)
    }

    /// Writes an operand that becomes text: an interval as PostgreSQL does, a number without a scale of its own without
    /// trailing zeros.
    pub(super) fn write(&mut self, expr: &mut Expr) {
        let interval = self.data_type(expr).is_ok_and(|ty| is_interval(&ty));
        if interval || !matches!(bare(expr), Expr::Cast { .. }) && self.varies(expr) {
            let place = expr.span().start;
            *expr = call(WRITTEN, [take(expr)], place);
        }
    }
}
