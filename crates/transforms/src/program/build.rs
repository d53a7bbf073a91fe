//! Puts the steps of a program together, transform by transform.
use crate::expression::{Class, Context, Expression, Finding, Inputs, Origin, Register, Scope, Slot, parse, path};
use dataflow_core::{spec::Component, types::Type};
use dataflow_formats::decode::Want;
use dataflow_sdk::{Problem, transform::Volatile};
use datafusion_sql::sqlparser::ast;
use serde_json::Value;
use std::collections::BTreeSet;

/// What is done to each batch, in order.
#[derive(Debug)]
pub(crate) enum Step {
    /// Only rows for which the condition is true go on.
    Filter(Expression),
    /// A column is computed.
    Compute {
        /// Its number.
        register: usize,
        /// How.
        expression: Expression,
    },
    /// A row becomes as many rows as a list has elements.
    Unnest {
        /// The number of the column with the elements, as JSON texts.
        register: usize,
        /// The list, as JSON text.
        list: usize,
    },
}

/// A step, and the transform that it belongs to.
#[derive(Debug)]
pub(crate) struct Staged {
    /// `transforms[1]`.
    pub(crate) stage: String,
    /// What is done.
    pub(crate) step: Step,
}

/// A program that is being put together.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    pub(crate) cx: Context<'a>,
    /// The fields there are behind the transforms so far.
    pub(crate) scope: Scope,
    pub(crate) inputs: Inputs,
    pub(crate) steps: Vec<Staged>,
    pub(crate) problems: Vec<Problem>,
    /// The transform at hand: `transforms[1]`.
    stage: String,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(cx: Context<'a>) -> Self {
        let (scope, inputs) = (Scope::source(), Inputs::default());
        Self { cx, scope, inputs, steps: Vec::new(), problems: Vec::new(), stage: String::new() }
    }

    /// Goes on to the next transform.
    pub(crate) fn enter(&mut self, stage: String) {
        self.stage = stage;
    }

    /// Adds a step of the transform at hand.
    pub(crate) fn step(&mut self, step: Step) {
        self.steps.push(Staged { stage: self.stage.clone(), step });
    }

    /// Notes what is wrong with a field of the transform at hand: `condition`, `set.total`.
    pub(crate) fn problem(&mut self, field: &str, finding: Finding) {
        self.problems.push(finding.problem(field).under(&self.stage));
    }

    /// A typed expression in the present scope; none, and noted, if something is wrong with it.
    pub(crate) fn expression(
        &mut self,
        tree: ast::Expr,
        qualifiers: &[String],
        want: Class,
        by: &str,
        field: &str,
    ) -> Option<Expression> {
        let scope = &self.scope;
        match Expression::new(self.cx, scope, qualifiers, &mut self.inputs, tree, want, by) {
            Ok(expression) => Some(expression),
            Err(findings) => {
                for finding in findings {
                    self.problem(field, finding);
                }
                None
            }
        }
    }

    /// What is another one each time that a record is read.
    pub(crate) fn volatile(&self) -> Volatile {
        let mut volatile = Volatile::default();
        let mut registers = BTreeSet::new();
        for Staged { step, .. } in &self.steps {
            let is = |expression: &Expression| {
                let from = |slot: &Slot| matches!(slot, Slot::Register(from) if registers.contains(from));
                expression.is_volatile() || expression.slots.iter().any(from)
            };
            match step {
                Step::Filter(condition) => volatile.rows |= is(condition),
                Step::Compute { register, expression } => {
                    if is(expression) {
                        registers.insert(*register);
                    }
                }
                Step::Unnest { register, list } => {
                    if registers.contains(list) {
                        volatile.rows = true;
                        registers.insert(*register);
                    }
                }
            }
        }
        let columns = self.scope.columns.iter();
        let made = columns.filter(|(_, origin)| matches!(origin, Origin::Register(at) if registers.contains(at)));
        volatile.fields = made.map(|(name, _)| name.clone()).collect();
        volatile
    }

    /// Notes each field of the sink's `key` that would be another one if a record were read again.
    pub(crate) fn check_key(&mut self, sink: &Component) {
        let key: Vec<&str> = match sink.config.get("key") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        let volatile = self.volatile();
        for name in key.into_iter().filter(|name| volatile.fields.iter().any(|field| field.as_str() == *name)) {
            let message = format!("{name} is made by a function that gives another value each time");
            let problem = Problem::new("sink.key", "volatile-key", message);
            self.problems.push(
                problem
                    .fix("take a field of the records, or meta.id, which stays the same when a record is read again"),
            );
        }
    }

    /// The syntax tree of the expression in a field of the transform at hand; none, and noted, if it doesn't parse.
    pub(crate) fn parse(&mut self, text: &str, field: &str) -> Option<ast::Expr> {
        parse::expression(text).map_err(|finding| self.problem(field, finding)).ok()
    }

    /// Adds a filter.
    pub(crate) fn filter(&mut self, tree: ast::Expr, qualifiers: &[String], by: &str, field: &str) {
        if let Some(condition) = self.expression(tree, qualifiers, Class::Boolean, by, field) {
            self.step(Step::Filter(condition));
        }
    }

    /// Where the value of an expression comes from: the field that it names as it is, or a new column. None, and noted,
    /// if something is wrong with it.
    pub(crate) fn value(&mut self, tree: ast::Expr, qualifiers: &[String], field: &str) -> Option<Origin> {
        use crate::expression::scope::Target;
        if let Some(path) = path(&tree)
            && let Ok(Target::Field(path)) = self.scope.resolve(&path, qualifiers)
        {
            self.inputs.named.insert(path.clone());
            return Some(Origin::Field(path));
        }
        let expression = self.expression(tree, qualifiers, Class::Any, "a value", field)?;
        // A computed column under another name is the same column.
        if let (Some(Slot::Register(register)), true) = (expression.slots.first(), expression.is_column()) {
            return Some(Origin::Register(*register));
        }
        let register = self.register(Register {
            class: expression.class,
            default_type: expression.default_type.clone(),
            fixed: expression.fixed,
        });
        self.step(Step::Compute { register, expression });
        Some(Origin::Register(register))
    }

    /// A new column.
    pub(crate) fn register(&mut self, register: Register) -> usize {
        self.inputs.registers.push(register);
        self.inputs.registers.len() - 1
    }

    /// The column of a source field as JSON text, just as it is written.
    pub(crate) fn raw(&mut self, path: Vec<String>) -> usize {
        self.inputs.field(path, Want::As(Type::Json))
    }
}
