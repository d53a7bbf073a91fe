//! LIKE and similar operators.
use super::{
    Demand,
    operators::{call, take, text},
};
use crate::expression::{
    class::Class,
    finding::Finding,
    own::patterns::{MATCHES, SIMILAR, WITH_BACKSLASH, with_backslash, wrong, wrong_similar},
};
use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, Spanned, UnaryOperator, Value, ValueWithSpan};

impl Demand<'_> {
    /// LIKE, ILIKE, SIMILAR TO and RLIKE.
    pub(super) fn like(&mut self, expr: &mut Expr) -> Option<Class> {
        let place = expr.span().start;
        let (by, inner, pattern, escape) = match expr {
            Expr::Like { expr, pattern, escape_char, any: false, .. } => ("LIKE", expr, pattern, escape_char.take()),
            Expr::ILike { expr, pattern, escape_char, any: false, .. } => ("ILIKE", expr, pattern, escape_char.take()),
            Expr::SimilarTo { expr, pattern, escape_char, .. } => ("SIMILAR TO", expr, pattern, escape_char.take()),
            other => {
                let finding = Finding::new("unsupported", format!("the operator in {other} is not supported"));
                return self.fail(finding.fix("write text ~ pattern, or text LIKE pattern").at(place));
            }
        };
        self.each([(&mut **inner, Class::Text), (&mut **pattern, Class::Text)], by)?;
        let escape = match escape.map(escape_char) {
            None => Some('\\'),
            Some(Some(escape)) => escape,
            Some(None) => {
                let finding = Finding::new("syntax", "ESCAPE takes one character, or none as ''");
                return self.fail(finding.at(place));
            }
        };
        match expr {
            Expr::SimilarTo { negated, expr: inner, pattern, .. } => {
                if let Some(why) = literal(pattern).and_then(|pattern| wrong_similar(&pattern, escape)) {
                    let place = pattern.span().start;
                    return self.fail(Finding::new("syntax", why).at(place));
                }
                let escape = escape.map(String::from).unwrap_or_default();
                let found = call(SIMILAR, [take(inner), take(pattern), text(escape)], place);
                *expr = not_if(*negated, found);
            }
            Expr::Like { pattern, .. } | Expr::ILike { pattern, .. } => match literal(pattern) {
                Some(written) => match with_backslash(&written, escape) {
                    Some(pattern_text) => **pattern = text(pattern_text),
                    None => {
                        let finding = Finding::new("syntax", "the pattern ends with its escape character");
                        return self.fail(finding.fix("write it twice for the character itself").at(place));
                    }
                },
                None => {
                    let escape = escape.map(String::from).unwrap_or_default();
                    **pattern = call(WITH_BACKSLASH, [take(pattern), text(escape)], place);
                }
            },
            _ => {}
        }
        self.planned(expr)
    }

    /// `~` and its variants.
    pub(super) fn regular(&mut self, expr: &mut Expr) -> Option<Class> {
        let place = expr.span().start;
        let Expr::BinaryOp { left, op, right } = expr else { return None };
        let (negated, flags) = match op {
            BinaryOperator::PGRegexMatch => (false, ""),
            BinaryOperator::PGRegexIMatch => (false, "i"),
            BinaryOperator::PGRegexNotMatch => (true, ""),
            _ => (true, "i"),
        };
        self.pattern(right, flags)?;
        *expr = not_if(negated, call(MATCHES, [take(left), take(right), text(flags.into())], place));
        self.planned(expr)
    }
}

impl Demand<'_> {
    /// Checks a quoted pattern before any record arrives.
    pub(super) fn pattern(&mut self, pattern: &Expr, flags: &str) -> Option<()> {
        match literal(pattern).and_then(|written| wrong(&written, flags)) {
            None => Some(()),
            Some(why) => {
                self.findings.push(Finding::new("syntax", why).at(pattern.span().start));
                None
            }
        }
    }
}

fn not_if(negated: bool, expr: Expr) -> Expr {
    match negated {
        true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) },
        false => expr,
    }
}

/// Returns the escape character, with an inner `None` for none; the outer `None` means that the value is not an escape
/// character.
fn escape_char(value: ValueWithSpan) -> Option<Option<char>> {
    let text = value.value.into_string()?;
    let mut chars = text.chars();
    let first = chars.next();
    chars.next().is_none().then_some(first)
}

pub(super) fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text.clone()),
        _ => None,
    }
}
