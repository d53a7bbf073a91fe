//! Operators: types their operands.
use super::{Demand, bare};
use crate::expression::{
    class::Class, divide::DIVIDE, exact::QUOTIENT, explain::shortened, finding::Finding, own::numbers::NEGATIVE,
};
use arrow::datatypes::DataType as ArrowType;
use datafusion_sql::sqlparser::{
    ast::{
        BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
        FunctionArguments, Ident, ObjectName, ObjectNamePart, Spanned, TimezoneInfo, UnaryOperator, Value,
    },
    tokenizer::{Location, Span},
};

/// Builds a call of one of our own functions.
pub(super) fn call(name: &str, arguments: impl IntoIterator<Item = Expr>, place: Location) -> Expr {
    let args = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(Span::new(place, place), name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Returns whether the class has sums and differences.
fn summand(class: Class) -> bool {
    Class::Number.takes(class) || matches!(class, Class::Time | Class::Interval)
}

pub(super) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

fn as_time(date: Expr, zone: TimezoneInfo) -> Expr {
    let data_type = DataType::Timestamp(Some(6), zone);
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(date), data_type, array: false, format: None }
}

/// Builds a quoted text.
pub(super) fn text(text: String) -> Expr {
    Expr::Value(Value::SingleQuotedString(text).into())
}

impl Demand<'_> {
    /// Converts dates among times that are combined or compared to the times at which they begin.
    pub(super) fn same_times(&mut self, members: &mut [&mut Expr]) {
        let types: Vec<Option<ArrowType>> = members.iter().map(|member| self.data_type(member).ok()).collect();
        let Some(time) = types.iter().flatten().find(|ty| matches!(ty, ArrowType::Timestamp(..))) else { return };
        let zone = if matches!(time, ArrowType::Timestamp(_, None)) { TimezoneInfo::None } else { TimezoneInfo::Tz };
        for (member, ty) in members.iter_mut().zip(&types) {
            if *ty == Some(ArrowType::Date32) {
                **member = as_time(take(member), zone);
            }
        }
    }

    pub(super) fn binary(&mut self, expr: &mut Expr) -> Option<Class> {
        use BinaryOperator as Op;
        let place = expr.span().start;
        let Expr::BinaryOp { left, op, right } = expr else { return None };
        let by = op.to_string();
        match op {
            Op::And | Op::Or => {
                self.each([(&mut **left, Class::Boolean), (&mut **right, Class::Boolean)], &by)?;
                return Some(Class::Boolean);
            }
            Op::StringConcat => self.each([(&mut **left, Class::Text), (&mut **right, Class::Text)], &by)?,
            Op::PGRegexMatch | Op::PGRegexIMatch | Op::PGRegexNotMatch | Op::PGRegexNotIMatch => {
                self.each([(&mut **left, Class::Text), (&mut **right, Class::Text)], &by)?;
                return self.regular(expr);
            }
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
                self.compared(&mut [left, right], &by)?;
            }
            Op::Plus | Op::Minus => {
                self.sum(left, right, &by)?;
                self.same_times(&mut [left, right]);
                self.date_and_interval(left, right);
            }
            Op::Divide => {
                self.each([(&mut **left, Class::Number), (&mut **right, Class::Number)], &by)?;
                let whole = |side: &Expr| self.data_type(side).is_ok_and(|ty| ty.is_integer() || ty.is_null());
                let exact = |side: &Expr| self.data_type(side).is_ok_and(|ty| ty.is_integer() || ty.is_decimal());
                if self.varies(left)
                    || self.varies(right)
                    || !(exact(left) && exact(right) || whole(left) && whole(right))
                {
                    *expr = call(DIVIDE, [take(left), take(right)], place);
                } else if !(whole(left) && whole(right)) {
                    *expr = call(QUOTIENT, [take(left), take(right)], place);
                }
            }
            Op::Multiply | Op::Modulo => {
                self.each([(&mut **left, Class::Number), (&mut **right, Class::Number)], &by)?;
            }
            Op::BitwiseAnd | Op::BitwiseOr | Op::PGBitwiseShiftLeft | Op::PGBitwiseShiftRight => {
                self.unmixed(left, op, place)?;
                self.unmixed(right, op, place)?;
                self.each([(&mut **left, Class::Integer), (&mut **right, Class::Integer)], &by)?;
            }
            // Each operator is named, so that a new one of the parser is not accepted unnoticed.
            Op::BitwiseXor | Op::PGExp => return self.no_operator(&by, "write power(a, b)", place),
            Op::DuckIntegerDivide | Op::MyIntegerDivide => {
                return self.no_operator(&by, "write trunc(a / b)", place);
            }
            Op::Spaceship => return self.no_operator(&by, "write a is not distinct from b", place),
            Op::Xor => return self.no_operator(&by, "write a <> b", place),
            Op::PGBitwiseXor => return self.no_operator(&by, "write (a | b) - (a & b)", place),
            Op::PGLikeMatch | Op::PGNotLikeMatch => return self.no_operator(&by, "write [not] like", place),
            Op::PGILikeMatch | Op::PGNotILikeMatch => return self.no_operator(&by, "write [not] ilike", place),
            Op::PGStartsWith => return self.no_operator(&by, "write starts_with(text, part)", place),
            Op::Match | Op::Regexp => return self.no_operator(&by, "write text ~ pattern", place),
            Op::Assignment => return self.no_operator(&by, "compare with a single =", place),
            Op::Arrow | Op::LongArrow | Op::HashArrow | Op::HashLongArrow => {
                return self.no_operator(&by, "fields of objects are read as a.b", place);
            }
            Op::Custom(_)
            | Op::PGOverlap
            | Op::AtAt
            | Op::AtArrow
            | Op::ArrowAt
            | Op::HashMinus
            | Op::AtQuestion
            | Op::Question
            | Op::QuestionAnd
            | Op::QuestionPipe
            | Op::PGCustomBinaryOperator(_)
            | Op::Overlaps
            | Op::DoubleHash
            | Op::LtDashGt
            | Op::AndLt
            | Op::AndGt
            | Op::LtLtPipe
            | Op::PipeGtGt
            | Op::AndLtPipe
            | Op::PipeAndGt
            | Op::LtCaret
            | Op::GtCaret
            | Op::QuestionHash
            | Op::QuestionDash
            | Op::QuestionDashPipe
            | Op::QuestionDoublePipe
            | Op::At
            | Op::TildeEq => {
                return self.no_operator(&by, "write it with the operators and functions of the guide", place);
            }
        }
        self.planned(expr)
    }

    /// Walks a sign or another prefix operator.
    pub(super) fn unary(&mut self, expr: &mut Expr) -> Option<Class> {
        use UnaryOperator as Op;
        let place = expr.span().start;
        let Expr::UnaryOp { op, expr: inner } = expr else { return None };
        let by = op.to_string();
        match op {
            Op::Not => return self.demand(inner, Class::Boolean, "NOT"),
            Op::Plus | Op::Minus => {}
            Op::BangNot => return self.no_operator(&by, "write not", place),
            Op::BitwiseNot => return self.no_operator(&by, "write -a - 1", place),
            Op::PGAbs => return self.no_operator(&by, "write abs(a)", place),
            Op::PGSquareRoot => return self.no_operator(&by, "write sqrt(a)", place),
            Op::PGCubeRoot => return self.no_operator(&by, "write cbrt(a)", place),
            Op::PGPostfixFactorial | Op::PGPrefixFactorial => {
                return self.no_operator(&by, "write factorial(a)", place);
            }
            Op::AtDashAt | Op::DoubleAt | Op::Hash | Op::QuestionDash | Op::QuestionPipe => {
                return self.no_operator(&by, "write it with the operators and functions of the guide", place);
            }
        }
        let minus = *op == Op::Minus;
        self.one_of(inner, &[Class::Number, Class::Interval], &by)?;
        if minus && !matches!(bare(inner), Expr::Value(_)) {
            *expr = call(NEGATIVE, [take(inner)], place);
        }
        self.planned(expr)
    }

    fn no_operator(&mut self, op: &str, fix: &str, place: Location) -> Option<Class> {
        self.fail(Finding::new("unsupported", format!("there is no operator {op}")).fix(fix).at(place))
    }

    /// PostgreSQL applies bit operators from left to right, the parser gives some precedence: only parentheses are
    /// unambiguous.
    fn unmixed(&mut self, operand: &Expr, op: &BinaryOperator, place: Location) -> Option<()> {
        use BinaryOperator as Op;
        let bits =
            |op: &Op| matches!(op, Op::BitwiseAnd | Op::BitwiseOr | Op::PGBitwiseShiftLeft | Op::PGBitwiseShiftRight);
        match operand {
            Expr::BinaryOp { op: other, .. } if other != op && bits(other) => {
                let message = format!("{op} beside {other} is ambiguous");
                self.fail(Finding::new("unsupported", message).fix("put parentheses around one of them").at(place))?;
                None
            }
            _ => Some(()),
        }
    }

    /// PostgreSQL reads `a = b in (…)` as `a = (b in (…))`, the parser as `(a = b) in (…)`.
    pub(super) fn clear(&mut self, inner: &Expr, by: &str) -> Option<()> {
        use BinaryOperator as Op;
        match inner {
            Expr::BinaryOp { op: op @ (Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq), .. } => {
                let message = format!("{op} beside {by} is ambiguous");
                let finding = Finding::new("unsupported", message).fix("put parentheses around one of them");
                self.fail(finding.at(inner.span().start))?;
                None
            }
            _ => Some(()),
        }
    }

    /// Converts the date of a date and an interval to a time.
    fn date_and_interval(&self, left: &mut Expr, right: &mut Expr) {
        let is = |side: &Expr, class| self.data_type(side).is_ok_and(|ty| Class::of(&ty) == class);
        let date = |side: &Expr| self.data_type(side).is_ok_and(|ty| ty == ArrowType::Date32);
        if date(left) && is(right, Class::Interval) {
            *left = as_time(take(left), TimezoneInfo::None);
        } else if date(right) && is(left, Class::Interval) {
            *right = as_time(take(right), TimezoneInfo::None);
        }
    }

    /// Walks a sum of numbers, or of a time and an interval.
    fn sum(&mut self, left: &mut Expr, right: &mut Expr, by: &str) -> Option<()> {
        let open = [self.is_open(left), self.is_open(right)];
        let (class, rest) = match open {
            [true, true] | [false, false] => {
                let both = if open[0] { Class::Number } else { Class::Any };
                let (a, b) = (self.walk(left, both), self.walk(right, both));
                return self.summands(a?, b?, left, right, by);
            }
            [false, true] => (self.walk(left, Class::Any)?, right),
            [true, false] => (self.walk(right, Class::Any)?, left),
        };
        let want = if matches!(class, Class::Time | Class::Interval) { Class::Time } else { Class::Number };
        let (_, other) = (self.walk(rest, want)?, rest);
        if !summand(class) {
            let message = format!("{by} takes numbers, but one side of it is {}", class.words());
            let finding = Finding::new("type-mismatch", message).at(other.span().start);
            self.findings.push(if class == Class::Text { finding.fix("join texts with ||") } else { finding });
            return None;
        }
        Some(())
    }

    fn summands(&mut self, a: Class, b: Class, left: &Expr, right: &Expr, by: &str) -> Option<()> {
        for (class, side) in [(a, left), (b, right)] {
            if !summand(class) {
                let message = format!("{by} takes numbers, but {} is {}", shortened(side), class.words());
                let finding = Finding::new("type-mismatch", message).at(side.span().start);
                self.findings.push(if class == Class::Text && by == "+" {
                    finding.fix("join texts with ||")
                } else {
                    finding
                });
                return None;
            }
        }
        Some(())
    }

    pub(super) fn case(&mut self, expr: &mut Expr, want: Class) -> Option<Class> {
        let Expr::Case { operand, conditions, else_result, .. } = expr else { return None };
        let mut sound = true;
        match operand {
            Some(operand) => {
                let values = conditions.iter_mut().map(|when| &mut when.condition);
                let mut members: Vec<&mut Expr> = std::iter::once(&mut **operand).chain(values).collect();
                sound &= self.compared(&mut members, "CASE").is_some();
            }
            None => {
                for when in conditions.iter_mut() {
                    sound &= self.demand(&mut when.condition, Class::Boolean, "WHEN").is_some();
                }
            }
        }
        let results = conditions.iter_mut().map(|when| &mut when.result);
        let mut members: Vec<&mut Expr> = results.chain(else_result.iter_mut().map(|result| &mut **result)).collect();
        let class = self.alike(&mut members, want, "CASE")?;
        if !sound {
            return None;
        }
        self.planned(expr).map(|planned| if class == Class::Any { class } else { planned })
    }
}
