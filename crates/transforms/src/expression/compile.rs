//! Compiles an expression for the types of its columns.
use super::{
    Class, Context, Finding, Functions, Inputs, Scope, Slot,
    bounded::weight,
    demand::Demand,
    doubles::beside_doubles,
    evaluate::said,
    exact::multiplied,
    explain::explain,
    fold::folded,
    guard::Guarded,
    kind::{DOCUMENT, strict},
    literal::written_out,
    nearest::nearest,
    stack::roomy,
    written::beside_texts,
};
use crate::program::type_of;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow_core::types::Type;
use datafusion_common::{
    DFSchema, DataFusionError, ScalarValue,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    Expr, ExprSchemable, execution_props::ExecutionProps, physical_planning_context::PhysicalPlanningContext,
    simplify::SimplifyContext,
};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::{
    PhysicalExpr, ScalarFunctionExpr, create_physical_expr,
    expressions::{BinaryExpr, CastExpr, Literal, TryCastExpr},
};
use datafusion_sql::{
    planner::PlannerContext,
    sqlparser::ast::{self, Spanned},
};
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// The number of compiled forms that an expression keeps, the most recently used ones: values have few types, but an
/// expression may read several columns.
const MAX_COMPILED: usize = 1_024;

/// An expression with resolved names and typed uses of fields.
#[derive(Debug)]
pub(crate) struct Expression {
    /// As the user wrote it.
    pub(crate) text: String,
    /// The class of its result.
    pub(crate) class: Class,
    /// The type of its result until data shows another.
    pub(crate) default_type: DataType,
    /// The type of its result, if it doesn't depend on the data.
    pub(crate) fixed: Option<Type>,
    /// The columns it reads, in the order of [`Compiled::evaluate`]'s arguments.
    pub(crate) slots: Vec<Slot>,
    /// The names of these columns: the names of the fields.
    pub(crate) names: Vec<String>,
    /// Whether each of these columns has values of any kind.
    pub(crate) open: Vec<bool>,
    /// Whether its result is an untyped text of the source.
    pub(crate) untyped: bool,
    tree: ast::Expr,
    functions: Arc<Functions>,
    compiled: HashMap<Vec<DataType>, Kept>,
    /// Counts the uses of compiled forms.
    uses: u64,
}

/// A compiled form, or the reason why there is none.
#[derive(Debug)]
struct Kept {
    form: Result<Compiled, String>,
    /// The value of `uses` at its last use.
    used: u64,
}

/// An expression compiled for certain column types.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(super) physical: Arc<dyn PhysicalExpr>,
    /// The columns it reads.
    pub(super) schema: SchemaRef,
    /// The type of its result.
    pub(super) ty: DataType,
    /// The bytes of its constants: functions repeat them for each row.
    pub(super) constants: usize,
}

impl Expression {
    /// Resolves and types an expression expected to be of class `want`, and compiles it for the default types.
    ///
    /// # Errors
    /// All findings.
    pub(crate) fn new(
        cx: Context<'_>,
        scope: &Scope,
        qualifiers: &[String],
        inputs: &mut Inputs,
        tree: ast::Expr,
        want: Class,
        by: &str,
    ) -> Result<Self, Vec<Finding>> {
        let text = tree.to_string();
        let place = tree.span().start;
        let attempt = |tree: &ast::Expr, inputs: &mut Inputs| {
            let mut tree = tree.clone();
            let mut demand = Demand::new(cx, scope, qualifiers, inputs);
            let untyped = demand.is_untyped(&tree);
            let class = demand.demand(&mut tree, want, by);
            let (findings, slots) = (demand.findings, demand.slots);
            let Some(class) = class else { return Err(findings) };
            let (slots, names): (Vec<Slot>, Vec<String>) = slots.into_iter().unzip();
            let types: Vec<DataType> = slots.iter().map(|slot| inputs.default_type(*slot)).collect();
            let compiled = compile(cx.functions, &tree, &names, &types)
                .map_err(|error| vec![Finding::new("type-mismatch", explain(&error)).at(place)])?;
            let default_type = match plain(&compiled.ty) {
                // Exact intermediate results keep the numbers' own types.
                DataType::Decimal256(_, scale) => DataType::Decimal128(38, scale.clamp(0, 18)),
                ty if ty == DOCUMENT => DataType::Utf8,
                other => other,
            };
            let fixed = Some(&compiled.ty).filter(|ty| **ty != DataType::Null).map(type_of);
            let compiled = HashMap::from([(types, Kept { form: Ok(compiled), used: 0 })]);
            let functions = cx.functions.clone();
            let text = text.clone();
            let (open, uses) = (slots.iter().map(|slot| inputs.is_open(*slot)).collect(), 0);
            // What another type is asked of later is read as that.
            let untyped = untyped && class == Class::Text;
            let class = if untyped { Class::Any } else { class };
            Ok(Self { text, class, default_type, fixed, slots, names, open, untyped, tree, functions, compiled, uses })
        };
        let mut expression = attempt(&tree, inputs)?;
        let mut results = expression.results(inputs, &[]);
        if results.is_err() {
            // Some of the numbers have to be whole: no more of them than necessary, as others may have a fraction.
            let numbers = (0..expression.slots.len()).filter(|at| inputs.is_number(expression.slots[*at]));
            let mut whole: Vec<usize> = numbers.collect();
            for number in whole.clone() {
                let fewer: Vec<usize> = whole.iter().copied().filter(|other| *other != number).collect();
                if let Ok(types) = expression.results(inputs, &fewer) {
                    (whole, results) = (fewer, Ok(types));
                }
            }
            expression.pin_integers(inputs, &whole);
        }
        if let Ok(types) = results {
            expression.fixed = expression.fixed.filter(|fixed| types.iter().all(|ty| ty == fixed));
        }
        if expression.open.contains(&true) {
            for ty in [DataType::Int64, DataType::Boolean] {
                let types = expression.slots.iter().zip(&expression.open);
                let types = types.map(|(slot, open)| if *open { ty.clone() } else { inputs.default_type(*slot) });
                let types = types.collect();
                if let Ok(result) = expression.compiled(types).map(|compiled| type_of(&compiled.ty)) {
                    expression.fixed = expression.fixed.filter(|fixed| *fixed == result);
                }
            }
        }
        expression.fixed = expression.fixed.filter(|_| !expression.untyped);
        Ok(expression)
    }

    /// The types of the result where numbers have a fraction, all but the `whole` ones.
    ///
    /// # Errors
    /// It takes no such numbers.
    fn results(&mut self, inputs: &Inputs, whole: &[usize]) -> Result<[Type; 2], String> {
        let mut result = |number: DataType| {
            let types = self.slots.iter().enumerate().map(|(at, slot)| match inputs.is_number(*slot) {
                true if whole.contains(&at) => DataType::Int64,
                true => number.clone(),
                false => inputs.default_type(*slot),
            });
            let types = types.collect();
            self.compiled(types).map(|compiled| type_of(&compiled.ty))
        };
        Ok([result(DataType::Decimal128(38, 2))?, result(DataType::Float64)?])
    }

    /// Returns whether it is just the name of a column.
    pub(crate) fn is_column(&self) -> bool {
        super::path(&self.tree).is_some()
    }

    /// Returns the column, if it is just a column's name.
    pub(crate) fn column(&self) -> Option<Slot> {
        self.is_column().then(|| self.slots.first().copied())?
    }

    /// Returns whether each evaluation gives another result, as random() does.
    pub(crate) fn is_volatile(&self) -> bool {
        self.compiled.values().filter_map(|kept| kept.form.as_ref().ok()).any(|compiled| volatile(&compiled.physical))
    }

    /// Decodes these numbers as bigints.
    fn pin_integers(&mut self, inputs: &mut Inputs, whole: &[usize]) {
        use dataflow_formats::decode::Want;
        for at in whole {
            let slot = &mut self.slots[*at];
            match *slot {
                Slot::Field(index) if inputs.fields[index].want == Want::Number => {
                    let path = inputs.fields[index].path.clone();
                    *slot = Slot::Field(inputs.field(path, Want::As(Type::Bigint)));
                }
                Slot::Meta(index) if inputs.meta[index].want == Want::Number => {
                    let path = inputs.meta[index].path.clone();
                    *slot = Slot::Meta(inputs.meta(path, Want::As(Type::Bigint)));
                }
                Slot::Field(_) | Slot::Meta(_) | Slot::Register(_) => {}
            }
        }
    }

    /// Returns the expression compiled for these types; the form is cached.
    ///
    /// # Errors
    /// The reason why these types are not possible.
    pub(crate) fn compiled(&mut self, types: Vec<DataType>) -> Result<&Compiled, String> {
        if self.compiled.len() >= MAX_COMPILED && !self.compiled.contains_key(&types) {
            let oldest = self.compiled.iter().min_by_key(|(_, kept)| kept.used).map(|(types, _)| types.clone());
            oldest.and_then(|types| self.compiled.remove(&types));
        }
        self.uses += 1;
        let (functions, tree, names) = (&self.functions, &self.tree, &self.names);
        let kept = self.compiled.entry(types).or_insert_with_key(|types| {
            let as_double = types.iter().map(|ty| if ty.is_decimal() { DataType::Float64 } else { ty.clone() });
            // Functions that don't take decimals take doubles. An untyped NULL becomes text if nothing else is
            // accepted.
            let ways: [Vec<DataType>; 3] = [types.clone(), as_double.collect(), types.iter().map(plain).collect()];
            let tried: Result<Compiled, DataFusionError> = roomy(|| {
                let compile = |types: &Vec<DataType>| compile(functions, tree, names, types);
                compile(&ways[0]).or_else(|error| match ways[1..].iter().find_map(|types| compile(types).ok()) {
                    Some(compiled) => Ok(compiled),
                    None => Err(error),
                })
            });
            Kept { form: tried.map_err(|error| explain(&error)), used: 0 }
        });
        kept.used = self.uses;
        kept.form.as_ref().map_err(Clone::clone)
    }
}

fn volatile(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.is_volatile_node() || expr.children().into_iter().any(volatile)
}

/// DataFusion panics on some expressions, as on some values; a panic becomes an error like any other.
fn compile(
    functions: &Functions,
    tree: &ast::Expr,
    names: &[String],
    types: &[DataType],
) -> Result<Compiled, DataFusionError> {
    catch_unwind(AssertUnwindSafe(|| planned(functions, tree, names, types)))
        .unwrap_or_else(|panic| Err(DataFusionError::Plan(format!("can't be planned: {}", said(&*panic)))))
}

fn planned(
    functions: &Functions,
    tree: &ast::Expr,
    names: &[String],
    types: &[DataType],
) -> Result<Compiled, DataFusionError> {
    let fields: Vec<Field> = names.iter().zip(types).map(|(name, ty)| Field::new(name, ty.clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = Arc::new(DFSchema::try_from(schema.clone())?);
    let logical = functions.planner().sql_to_expr(tree.clone(), &columns, &mut PlannerContext::new())?;
    let cx = SimplifyContext::builder().with_schema(columns.clone()).build();
    let logical = logical.transform_up(|expr| without_type(expr, &schema))?.data.transform_up(written_out)?.data;
    let logical = logical.transform_up(|expr| strict(expr, &columns))?.data;
    let logical = logical.transform_up(|expr| Ok(beside_doubles(expr, &columns)))?.data;
    let logical = logical.transform_up(|expr| Ok(beside_texts(expr, &columns)))?.data;
    let logical = ExprSimplifier::new(cx.clone()).coerce(logical, &columns)?;
    let logical = logical.transform_up(|expr| multiplied(expr, &columns))?.data;
    logical.get_type(&columns)?;
    // The type of some functions depends on a literal argument, which exists only after folding.
    let logical = ExprSimplifier::new(cx.clone()).coerce(folded(logical, &cx)?, &columns)?;
    let logical = logical.transform_up(|expr| Ok(nearest(expr, &columns)))?.data.transform_up(spread)?.data;
    let physical =
        create_physical_expr(&logical, &columns, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
    let physical = physical.transform_up(|expr| checked(expr, &schema))?.data;
    let ty = physical.data_type(&schema)?;
    let constants = constants(&physical)?;
    Ok(Compiled { physical, schema, ty, constants })
}

/// Counts the bytes of the constants in an expression.
fn constants(expr: &Arc<dyn PhysicalExpr>) -> Result<usize, DataFusionError> {
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return Ok(weight(&literal.value().to_array()?));
    }
    expr.children().into_iter().try_fold(0, |sum: usize, part| Ok(sum.saturating_add(constants(part)?)))
}

/// Replaces a column of nothing but NULL by NULL, which takes the type of its neighbours.
fn without_type(expr: Expr, schema: &Schema) -> Result<Transformed<Expr>, DataFusionError> {
    match &expr {
        Expr::Column(column) if schema.field_with_name(&column.name)?.data_type() == &DataType::Null => {
            Ok(Transformed::yes(Expr::Literal(ScalarValue::Null, None)))
        }
        _ => Ok(Transformed::no(expr)),
    }
}

/// Rewrites a list with members that are not constants as comparisons: DataFusion evaluates a CASE in a list as NULL.
fn spread(expr: Expr) -> Result<Transformed<Expr>, DataFusionError> {
    match expr {
        Expr::InList(list) if !list.expr.is_volatile() && list.list.iter().any(|m| !matches!(m, Expr::Literal(..))) => {
            let (value, negated) = (*list.expr, list.negated);
            let equal = list.list.into_iter().map(|member| value.clone().eq(member)).reduce(Expr::or);
            let equal = equal.unwrap_or_else(|| Expr::Literal(ScalarValue::Boolean(Some(false)), None));
            Ok(Transformed::yes(if negated { Expr::Not(Box::new(equal)) } else { equal }))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Makes arithmetic, casts and functions fail on overflow instead of continuing with a wrong value.
pub(super) fn checked(
    expr: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Transformed<Arc<dyn PhysicalExpr>>, DataFusionError> {
    let expr: Arc<dyn PhysicalExpr> = match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) => Arc::new(binary.clone().with_fail_on_overflow(true)),
        None if expr.is::<CastExpr>() || expr.is::<TryCastExpr>() || expr.is::<ScalarFunctionExpr>() => expr,
        None => return Ok(Transformed::no(expr)),
    };
    Ok(Transformed::yes(Guarded::around(expr, schema)))
}

/// The type in which results are stored: one of the several encodings of text.
pub(super) fn plain(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        other => other.clone(),
    }
}
