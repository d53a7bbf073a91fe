//! Computes constant parts of an expression once.
//!
//! DataFusion's own simplifier does more, but some of its rules don't hold for NULL: it simplifies `not (i in (5) and i
//! in (6))` to true whatever `i` is. So it is not used.
use super::{bounded::weight, compile::checked, explain::explain};
use arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion_common::{
    DFSchema, Result, ScalarValue, plan_err,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    Expr, Volatility,
    execution_props::ExecutionProps,
    physical_planning_context::PhysicalPlanningContext,
    simplify::{ExprSimplifyResult, SimplifyContext},
};
use datafusion_physical_expr::create_physical_expr;
use std::sync::Arc;

/// The largest constant that is computed, in bytes (1 MiB): it is kept as long as the pipeline runs.
const MOST_CONSTANT: usize = 1 << 20;

/// Returns the expression with its constant parts computed. A failing part is an error, as it would fail for every
/// record that reaches it; PostgreSQL doesn't plan such a query either.
pub(super) fn folded(expr: Expr, cx: &SimplifyContext) -> Result<Expr> {
    expr.transform_up(|expr| {
        let expr = match rewritten(expr, cx)? {
            whole if whole.transformed => folded(whole.data, cx)?,
            whole => whole.data,
        };
        if !constant(&expr)? {
            return Ok(Transformed::no(expr));
        }
        let value = value(&expr)?;
        let bytes = weight(&value.to_array()?);
        if bytes > MOST_CONSTANT {
            return plan_err!("a constant would have {bytes} bytes, the limit is {MOST_CONSTANT}");
        }
        Ok(Transformed::yes(Expr::Literal(value, None)))
    })
    .map(|done| done.data)
}

fn rewritten(expr: Expr, cx: &SimplifyContext) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
    // It exists only in its rewritten form.
    if call.func.name() != "coalesce" {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    Ok(match call.func.simplify(call.args, cx)? {
        ExprSimplifyResult::Simplified(expr) => Transformed::yes(expr),
        ExprSimplifyResult::Original(args) => {
            call.args = args;
            Transformed::no(Expr::ScalarFunction(call))
        }
    })
}

/// Returns whether all its parts are constant.
fn constant(expr: &Expr) -> Result<bool> {
    let stable = match expr {
        Expr::Literal(..) | Expr::Column(_) => false,
        Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
        _ => true,
    };
    let mut literal = true;
    expr.apply_children(|child| {
        literal &= matches!(child, Expr::Literal(..));
        Ok(if literal { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(stable && literal)
}

fn value(expr: &Expr) -> Result<ScalarValue> {
    let nothing = Arc::new(arrow::datatypes::Schema::empty());
    let schema = DFSchema::try_from(nothing.clone())?;
    let physical = create_physical_expr(expr, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
    let physical = physical.transform_up(|expr| checked(expr, &nothing))?.data;
    let one = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(nothing, Vec::new(), &one)?;
    match physical.evaluate(&row).and_then(|value| value.into_array(1)) {
        Ok(array) => ScalarValue::try_from_array(&array, 0),
        Err(error) => plan_err!("a part without any field fails for all records: {}", explain(&error)),
    }
}
