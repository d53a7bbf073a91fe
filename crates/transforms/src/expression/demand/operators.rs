//! Operators: what they ask of their operands.
use super::Demand;
use crate::expression::{
    class::Class,
    divide::DIVIDE,
    explain::shortened,
    finding::Finding,
    whole::{POSITIONAL, WHOLE},
};
use datafusion_sql::sqlparser::{
    ast::{
        BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
        FunctionArguments, Ident, ObjectName, ObjectNamePart, Spanned, Value,
    },
    tokenizer::{Location, Span},
};

/// A call of a function of ours.
fn call(name: &str, arguments: impl IntoIterator<Item = Expr>, place: Location) -> Expr {
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

/// How the text of a number has to be written, to be cast to a type that takes no other way.
fn as_number(ty: &DataType) -> Option<&'static str> {
    use DataType as Ty;
    match ty {
        Ty::TinyInt(_) | Ty::SmallInt(_) | Ty::Int(_) | Ty::Integer(_) | Ty::BigInt(_) => Some(WHOLE),
        Ty::Int2(_) | Ty::Int4(_) | Ty::Int8(_) => Some(WHOLE),
        Ty::Decimal(_) | Ty::Numeric(_) | Ty::Dec(_) => Some(POSITIONAL),
        _ => None,
    }
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

impl Demand<'_> {
    /// A cast. What is read as its text may be a number that is written with a point or an exponent.
    pub(super) fn cast(&mut self, expr: &mut Expr) -> Option<Class> {
        let Expr::Cast { expr: inner, data_type, .. } = expr else { return None };
        let place = inner.span().start;
        self.walk(inner, Class::Literal)?;
        if let Some(function) = as_number(data_type)
            && self.data_type(inner).is_ok_and(|ty| ty.is_string())
        {
            **inner = call(function, [take(inner)], place);
        }
        self.planned(expr)
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
            Op::StringConcat
            | Op::PGRegexMatch
            | Op::PGRegexIMatch
            | Op::PGRegexNotMatch
            | Op::PGRegexNotIMatch
            | Op::PGLikeMatch
            | Op::PGILikeMatch
            | Op::PGNotLikeMatch
            | Op::PGNotILikeMatch => {
                self.each([(&mut **left, Class::Text), (&mut **right, Class::Text)], &by)?;
            }
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::Spaceship => {
                self.alike(&mut [left, right], Class::Any, &by)?;
            }
            Op::Plus | Op::Minus => self.sum(left, right, &by)?,
            Op::Divide => {
                self.each([(&mut **left, Class::Number), (&mut **right, Class::Number)], &by)?;
                if self.varies(left) || self.varies(right) {
                    *expr = call(DIVIDE, [take(left), take(right)], place);
                }
            }
            Op::Multiply | Op::Modulo => {
                self.each([(&mut **left, Class::Number), (&mut **right, Class::Number)], &by)?;
            }
            Op::BitwiseAnd | Op::BitwiseOr | Op::BitwiseXor | Op::PGBitwiseShiftLeft | Op::PGBitwiseShiftRight => {
                self.each([(&mut **left, Class::Integer), (&mut **right, Class::Integer)], &by)?;
            }
            Op::Arrow | Op::LongArrow | Op::HashArrow | Op::HashLongArrow => {
                let finding = Finding::new("unsupported", format!("there is no operator {by}"));
                return self.fail(finding.fix("fields of objects are read as a.b").at(place));
            }
            _ => return self.fail(Finding::new("unsupported", format!("there is no operator {by}")).at(place)),
        }
        self.planned(expr)
    }

    /// Numbers, or a time and an interval.
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
        if !Class::Number.takes(class) {
            let message = format!("{by} takes numbers, but one side of it is {}", class.words());
            let finding = Finding::new("type-mismatch", message).at(other.span().start);
            self.findings.push(if class == Class::Text { finding.fix("texts are joined by ||") } else { finding });
            return None;
        }
        Some(())
    }

    fn summands(&mut self, a: Class, b: Class, left: &Expr, right: &Expr, by: &str) -> Option<()> {
        for (class, side) in [(a, left), (b, right)] {
            if !Class::Number.takes(class) {
                let message = format!("{by} takes numbers, but {} is {}", shortened(side), class.words());
                let finding = Finding::new("type-mismatch", message).at(side.span().start);
                self.findings.push(if class == Class::Text && by == "+" {
                    finding.fix("texts are joined by ||")
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
                sound &= self.alike(&mut members, Class::Any, "CASE").is_some();
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
