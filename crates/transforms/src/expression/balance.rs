//! Keeps syntax trees shallow: everything after the parser traverses them by recursion.
use super::finding::Finding;
use datafusion_sql::sqlparser::{
    ast::{BinaryOperator, Expr, Spanned, Value, VisitMut, VisitorMut},
    tokenizer::Location,
};
use std::ops::ControlFlow;

/// The longest chain of operators whose order matters: `a + b - c …`.
const MAX_CHAIN: usize = 100;

/// The longest chain of AND or OR. The optimizer builds its own trees of them.
const MAX_CONDITIONS: usize = 500;

/// Balances long chains of AND and OR, wherever they are.
///
/// # Errors
/// A chain of other operators is too long.
pub(super) fn balance(tree: &mut impl VisitMut) -> Result<(), Finding> {
    match tree.visit(&mut Balance) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(finding) => Err(finding),
    }
}

struct Balance;

impl VisitorMut for Balance {
    type Break = Finding;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Finding> {
        if !matches!(expr, Expr::BinaryOp { .. }) {
            return ControlFlow::Continue(());
        }
        // The chain is nested on its left side: a loop takes it apart, whatever its length.
        let mut chain = Vec::new();
        let mut first = std::mem::replace(expr, Expr::Value(Value::Null.into()));
        while let Expr::BinaryOp { left, op, right } = first {
            chain.push((op, *right));
            first = *left;
        }
        chain.reverse();
        let mut chain = chain.into_iter().peekable();
        let (mut tree, mut depth) = (first, 0);
        while let Some((op, right)) = chain.next() {
            depth += 1;
            if depth > MAX_CHAIN {
                return ControlFlow::Break(too_long(beginning(&tree)));
            }
            let mut run = vec![tree, right];
            while matches!(op, BinaryOperator::And | BinaryOperator::Or)
                && chain.peek().is_some_and(|(next, _)| *next == op)
            {
                run.extend(chain.next().map(|(_, right)| right));
            }
            if run.len() > MAX_CONDITIONS {
                let finding = Finding::new(
                    "too-long",
                    format!("is a chain of {} conditions, the limit is {MAX_CONDITIONS}", run.len()),
                );
                return ControlFlow::Break(
                    finding.fix("write `x in (…)` for many alternatives").at(beginning(&run[0])),
                );
            }
            tree = joined(run, &op);
        }
        *expr = tree;
        ControlFlow::Continue(())
    }
}

/// Joins all operands into one tree of minimal depth.
fn joined(mut operands: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while operands.len() > 1 {
        let mut pairs = operands.into_iter();
        let mut next = Vec::with_capacity(pairs.len().div_ceil(2));
        while let Some(left) = pairs.next() {
            next.push(match pairs.next() {
                Some(right) => Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) },
                None => left,
            });
        }
        operands = next;
    }
    operands.pop().unwrap_or(Expr::Value(Value::Null.into()))
}

/// The location of a chain's first operand.
fn beginning(mut expr: &Expr) -> Location {
    while let Expr::BinaryOp { left, .. } = expr {
        expr = left;
    }
    expr.span().start
}

fn too_long(place: Location) -> Finding {
    let finding = Finding::new("too-deep", format!("is a chain of more than {MAX_CHAIN} operations"));
    finding.fix("compute parts of it in earlier transforms").at(place)
}
