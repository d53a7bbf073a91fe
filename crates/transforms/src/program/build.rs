//! Puts the steps of a program together, transform by transform.
use super::{edit::Edit, reread::Reread, unnest::Unnest};
use crate::expression::{
    Class, Context, Edited, Expression, Finding, Inputs, Origin, Register, Scope, Slot, parse, path, scope::NOW,
};
use dataflow_core::{limits::MAX_EXPRESSIONS, types::Type};
use dataflow_formats::decode::Want;
use dataflow_sdk::{
    Problem,
    batch::Column,
    declared::{SideExpression, SinkRows},
    transform::Volatile,
};
use datafusion_sql::sqlparser::ast;
use std::collections::BTreeSet;

/// The steps for each batch, in order.
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
    /// Computed values are taken as an expression uses them.
    Reread(Box<Reread>),
    /// A row becomes as many rows as a list has elements.
    Unnest(Box<Unnest>),
    /// A field within an object is set or removed.
    Edit(Edit),
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
    /// The fields there are after the transforms so far.
    pub(crate) scope: Scope,
    pub(crate) inputs: Inputs,
    pub(crate) steps: Vec<Staged>,
    pub(crate) problems: Vec<Problem>,
    /// What the sink wants to know of each row beside what it writes, each with the column in which it is computed.
    pub(crate) side: Vec<(Column, usize)>,
    /// The same of the word for what is to become of each row.
    pub(crate) op: Option<(Column, usize)>,
    /// Where metadata is read, and the names after `meta.`.
    pub(crate) metadata: Vec<(String, String)>,
    /// The transform at hand: `transforms[1]`.
    stage: String,
    /// How many expressions there are so far.
    expressions: usize,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(cx: Context<'a>) -> Self {
        let (scope, inputs) = (Scope::source(), Inputs::default());
        Self {
            cx,
            scope,
            inputs,
            steps: Vec::new(),
            problems: Vec::new(),
            side: Vec::new(),
            op: None,
            metadata: Vec::new(),
            stage: String::new(),
            expressions: 0,
        }
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

    /// What went well; what didn't is noted.
    pub(crate) fn note<T>(&mut self, field: &str, outcome: Result<T, Finding>) -> Option<T> {
        outcome.map_err(|finding| self.problem(field, finding)).ok()
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
        self.expressions += 1;
        if self.expressions > MAX_EXPRESSIONS {
            if self.expressions == MAX_EXPRESSIONS + 1 {
                let message = format!("is one more than the {MAX_EXPRESSIONS} expressions that are possible");
                let fix = "leave out what is not needed, or divide the work among several pipelines";
                self.problem(field, Finding::new("too-many", message).fix(fix));
            }
            return None;
        }
        let scope = &self.scope;
        let (known, reread) = (self.inputs.meta.len(), self.inputs.reread.len());
        let expression = Expression::new(self.cx, scope, qualifiers, &mut self.inputs, tree, want, by);
        let read = self.inputs.meta.iter().skip(known).filter_map(|field| field.path.first());
        // The present time is the record's.
        let name = |name: &String| if name == NOW { "timestamp".into() } else { name.clone() };
        self.metadata.extend(read.map(|read| (format!("{}.{field}", self.stage), name(read))));
        let reread = self.inputs.reread.iter().skip(reread);
        let registers = &self.inputs.registers;
        let reread: Vec<Reread> = reread
            .map(|((from, want), (name, to))| Reread::new(*from, *to, name, *want, registers[*from].untyped))
            .collect();
        reread.into_iter().for_each(|reread| self.step(Step::Reread(Box::new(reread))));
        match expression {
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
        self.volatility().0
    }

    /// The computed columns that are other ones each time that a record is read.
    fn volatile_registers(&self) -> BTreeSet<usize> {
        self.volatility().1
    }

    fn volatility(&self) -> (Volatile, BTreeSet<usize>) {
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
                Step::Edit(edit) => {
                    let from = |slot: Slot| matches!(slot, Slot::Register(from) if registers.contains(&from));
                    if from(edit.object) || edit.value.is_some_and(|(slot, _)| from(slot)) {
                        registers.insert(edit.register);
                    }
                }
                Step::Reread(reread) => {
                    if registers.contains(&reread.from) {
                        registers.insert(reread.to);
                    }
                }
                // The list is a field of the source.
                Step::Unnest(_) => {}
            }
        }
        let columns = self.scope.columns.iter();
        let made = columns.filter(|(_, origin)| match origin {
            Origin::Register(at) | Origin::Edited(Edited { register: at, .. }) => registers.contains(at),
            Origin::Field(_) => false,
        });
        volatile.fields = made.map(|(name, _)| name.clone()).collect();
        (volatile, registers)
    }

    /// Adds what a sink wants to know of each row, in the scope of the output.
    pub(crate) fn sink(&mut self, wanted: &SinkRows) {
        self.enter("sink".into());
        for side in &wanted.side {
            let made = self.beside(side);
            self.side.extend(made);
        }
        if let Some(text) = wanted.op.clone() {
            self.op = self.beside(&SideExpression { path: "op".into(), text, ty: Type::Text });
        }
    }

    fn beside(&mut self, wanted: &SideExpression) -> Option<(Column, usize)> {
        let SideExpression { path, text, ty } = wanted;
        let tree = self.parse(text, path)?;
        let (tree, class) = match ty {
            // The text of whatever it is.
            Type::Text => (as_text(tree), Class::Text),
            ty => (tree, Class::of_type(*ty)),
        };
        let mut expression = self.expression(tree, &[], class, &format!("the sink's {path}"), path)?;
        expression.text.clone_from(text);
        let register = self.register(Register {
            class: expression.class,
            default_type: expression.default_type.clone(),
            fixed: expression.fixed,
            untyped: expression.untyped,
        });
        self.step(Step::Compute { register, expression });
        Some((Column { name: path.clone(), ty: *ty }, register))
    }

    /// Notes each field of the sink's key, and each of its side expressions, that would be another one if a record were read again.
    pub(crate) fn check_sink(&mut self, sink: &SinkRows) {
        let volatile = self.volatile();
        let key = sink.key.iter().filter(|name| volatile.fields.contains(name));
        let key = key.map(|name| ("key", format!("{name} is made by a function that gives another value each time")));
        let registers = self.volatile_registers();
        let side = self.side.iter().chain(&self.op).filter(|(_, register)| registers.contains(register));
        let side = side.map(|(Column { name, .. }, _)| (name.as_str(), "gives another value each time".to_owned()));
        let problem = |(path, message): (&str, String)| {
            Problem::new(format!("sink.{path}"), "volatile-key", message)
                .fix("take fields of the records, or meta.position, which no other record has")
        };
        let problems: Vec<Problem> = key.chain(side).map(problem).collect();
        self.problems.extend(problems);
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
            self.note(field, self.cx.check_path(&path))?;
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
            untyped: expression.untyped,
        });
        self.step(Step::Compute { register, expression });
        Some(Origin::Register(register))
    }

    /// Sets a field within an object to a value, or removes it.
    ///
    /// # Errors
    /// Nothing can be set or removed there.
    pub(crate) fn edit(&mut self, path: &[String], value: Option<Origin>) -> Result<(), Finding> {
        let (Some(top), true) = (path.first(), path.len() > 1) else { return Ok(()) };
        let (object, base, mut changed) = match self.scope.columns.get(top) {
            Some(Origin::Edited(it)) => (Slot::Register(it.register), it.base.clone(), it.changed.clone()),
            Some(Origin::Register(_)) => {
                let message = format!("{top} is computed by an earlier transform and has no fields");
                return Err(Finding::new("unknown-field", message));
            }
            Some(Origin::Field(base)) => {
                let base = base.clone();
                (Slot::Field(self.raw(base.clone())), base, Vec::new())
            }
            None if self.scope.has(top) => {
                let base = vec![top.clone()];
                (Slot::Field(self.raw(base.clone())), base, Vec::new())
            }
            None => {
                return Err(Finding::new(
                    "unknown-field",
                    format!("there is no field {top} after the earlier transforms"),
                ));
            }
        };
        self.cx.check_path(&[base.as_slice(), &path[1..]].concat())?;
        if value.is_none() {
            let whole = [base.as_slice(), &path[1..]].concat();
            self.raw(whole.clone());
            self.inputs.removed.insert(whole);
        }
        let slot = value.clone().map(|origin| match origin {
            Origin::Register(register) | Origin::Edited(Edited { register, .. }) => (Slot::Register(register), false),
            Origin::Field(path) => {
                let (ty, raw) = self.leaving(&path);
                (Slot::Field(self.inputs.field(path, Want::As(ty))), raw)
            }
        });
        let default_type = arrow::datatypes::DataType::Utf8;
        let register =
            self.register(Register { class: Class::Any, default_type, fixed: Some(Type::Json), untyped: false });
        let within = path[1..].to_vec();
        changed.retain(|(known, _)| !known.starts_with(&within));
        changed.push((within.clone(), value));
        self.step(Step::Edit(Edit { register, object, path: within, value: slot }));
        self.scope.columns.insert(top.clone(), Origin::Edited(Edited { register, base, changed }));
        Ok(())
    }

    /// A new column.
    pub(crate) fn register(&mut self, register: Register) -> usize {
        self.inputs.register(register)
    }

    /// The column of a source field that is an object as JSON text, just as it is written.
    fn raw(&mut self, path: Vec<String>) -> usize {
        let ty = if self.cx.source.untyped && path.len() == 1 { Type::Json } else { Type::Any };
        self.inputs.field(path, Want::As(ty))
    }

    /// The type in which a source field leaves in a document, and whether its texts are JSON then: as it is written, untyped text as
    /// text; a declared type makes a JSON value of that.
    pub(crate) fn leaving(&self, path: &[String]) -> (Type, bool) {
        let ty = match self.cx.source.untyped && !(path.len() > 1 && self.cx.declared(path).is_none()) {
            true => self.cx.declared(path).unwrap_or(Type::Text),
            false => Type::Any,
        };
        (ty, matches!(ty, Type::Json | Type::Any | Type::Number))
    }
}

/// The text of an expression's value.
fn as_text(tree: ast::Expr) -> ast::Expr {
    let (kind, expr) = (ast::CastKind::Cast, Box::new(tree));
    ast::Expr::Cast { kind, expr, data_type: ast::DataType::Text, array: false, format: None }
}
