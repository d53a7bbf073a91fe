//! Resolves each name in an expression, and infers the class of its values from their use.
//!
//! It walks the syntax tree: the expected class is passed down, the actual one is returned. Names become column names;
//! a field that is used in two classes becomes two columns.
mod calls;
mod casts;
mod format;
mod moments;
mod names;
mod operators;
mod patterns;

pub(crate) use names::path;

use super::{
    class::Class,
    explain::{explain, in_words, shortened},
    finding::Finding,
    functions::Functions,
    inputs::{Inputs, Slot},
    kind::Kind,
    own::intervals::{LENGTH, is_interval},
    scope::{Scope, Target},
};
use operators::{call, take};

use arrow::datatypes::{DataType, Field, Schema};
use dataflow_core::types::Type;
use dataflow_sdk::declared::SourceRecords;
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::ExprSchemable;
use datafusion_sql::{
    planner::PlannerContext,
    sqlparser::ast::{Expr, Spanned, UnaryOperator, Value},
};
use indexmap::IndexMap;
use std::sync::Arc;

/// The deepest expression, counting chains of operators: planning needs stack in proportion to the depth.
const MAX_DEPTH: usize = 128;

/// Functions of texts that take bytes, too.
const OF_BYTES: &[&str] = &["encode", "md5", "sha224", "sha256", "sha384", "sha512"];

/// Settings common to all expressions of a pipeline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The available functions.
    pub(crate) functions: &'a Arc<Functions>,
    /// Declared types of source fields.
    pub(crate) schema: &'a IndexMap<String, Type>,
    /// What its source declares of the records.
    pub(crate) source: &'a SourceRecords,
}

impl Context<'_> {
    /// Returns the declared type of a source field.
    pub(crate) fn declared(&self, path: &[String]) -> Option<Type> {
        match path {
            [name] => self.schema.get(name).copied(),
            path => self.schema.get(&path.join(".")).copied(),
        }
    }

    /// Whether the values of a source field are texts without a type.
    pub(crate) fn is_untyped(&self, path: &[String]) -> bool {
        self.source.untyped && path.len() == 1 && self.declared(path).is_none()
    }

    /// Whether a source field has no fields in it, whatever its values are: one of CSV that is not declared as JSON.
    pub(crate) fn is_flat(&self, path: &[String]) -> bool {
        self.source.untyped && path.first().is_some_and(|name| self.schema.get(name) != Some(&Type::Json))
    }

    /// Refuses a path into a source field that has no fields.
    pub(crate) fn check_path(&self, path: &[String]) -> Result<(), Finding> {
        if path.len() < 2 || !self.is_flat(path) {
            return Ok(());
        }
        let (name, whole) = (&path[0], path.join("."));
        let message = format!("the source's fields are texts, which have no fields: {whole}");
        Err(Finding::new("unsupported", message).fix(format!(
            "if its texts are JSON, declare it in schema: {{{name:?}: \"json\"}}; a name with a point in it is written in double quotes: {whole:?}"
        )))
    }
}

/// The walk over one expression.
pub(crate) struct Demand<'a> {
    cx: Context<'a>,
    scope: &'a Scope,
    qualifiers: &'a [String],
    inputs: &'a mut Inputs,
    /// The columns used, with their names in the rewritten tree.
    pub(crate) slots: IndexMap<Slot, String>,
    /// The findings so far.
    pub(crate) findings: Vec<Finding>,
    depth: usize,
}

impl<'a> Demand<'a> {
    pub(crate) fn new(cx: Context<'a>, scope: &'a Scope, qualifiers: &'a [String], inputs: &'a mut Inputs) -> Self {
        Self { cx, scope, qualifiers, inputs, slots: IndexMap::new(), findings: Vec::new(), depth: 0 }
    }

    /// Walks an expression that `by` expects to be of class `want`. `None` if it has findings.
    pub(crate) fn demand(&mut self, expr: &mut Expr, want: Class, by: &str) -> Option<Class> {
        self.one_of(expr, &[want], by)
    }

    /// Walks an expression that may be of any of these classes; an open one becomes the first.
    fn one_of(&mut self, expr: &mut Expr, wanted: &[Class], by: &str) -> Option<Class> {
        let (text, place) = (shortened(expr), expr.span().start);
        let want = *wanted.first()?;
        let actual = self.walk(expr, want)?;
        if want == Class::Boolean && actual == Class::Any {
            return self.truth(expr, &text, by);
        }
        if wanted.iter().any(|want| want.takes(actual)) {
            return self.exactly(expr, actual, want, (&text, by));
        }
        let finding =
            Finding::new("type-mismatch", format!("{by} takes {}, but {text} is {}", want.words(), actual.words()));
        let fix = match want {
            Class::Boolean => Some(format!("compare it with something: {text} = …")),
            want => want.cast(&text, actual),
        };
        self.findings.push(Finding { fix, ..finding }.at(place));
        None
    }

    /// Refuses what the engine would convert silently: a number with a fraction to a whole one, bytes to a text or a number.
    fn exactly(&mut self, expr: &Expr, actual: Class, want: Class, (text, by): (&str, &str)) -> Option<Class> {
        let kind = match (want, actual) {
            (Class::Integer, Class::Number) => Kind::Fraction,
            (Class::Text, Class::Any) if !OF_BYTES.contains(&by.to_lowercase().as_str()) => Kind::Bytes,
            (Class::Number | Class::Integer, Class::Any) => Kind::Bytes,
            _ => return Some(actual),
        };
        if self.data_type(expr).ok().map(|ty| Kind::of(&ty)) != Some(kind) {
            return Some(actual);
        }
        let what = if kind == Kind::Bytes { kind.words() } else { "no whole one" };
        let message = format!("{by} takes {}, but {text} is {what}", want.words());
        let fix = if kind == Kind::Bytes && want != Class::Text { None } else { want.cast(text, actual) };
        self.fail(Finding { fix, ..Finding::new("type-mismatch", message).at(expr.span().start) })
    }

    /// What is neither true nor false whatever the data, and of no other class, as a list or a document.
    fn truth(&mut self, expr: &Expr, text: &str, by: &str) -> Option<Class> {
        let ty = self.data_type(expr).ok().filter(|ty| !matches!(ty, DataType::Boolean | DataType::Null));
        let Some(ty) = ty else { return Some(Class::Boolean) };
        let (what, fix) = match ty.is_string() {
            true => ("a JSON text".into(), format!("write cast({text} as boolean)")),
            false => (in_words(&ty), format!("compare it with something: {text} = …")),
        };
        let message = format!("{by} takes {}, but {text} is {what}", Class::Boolean.words());
        self.fail(Finding::new("type-mismatch", message).fix(fix).at(expr.span().start))
    }

    fn walk(&mut self, expr: &mut Expr, want: Class) -> Option<Class> {
        self.depth += 1;
        let class = if self.depth > MAX_DEPTH {
            let finding = Finding::new("too-deep", format!("is nested deeper than {MAX_DEPTH} operations"));
            self.fail(finding.fix("compute parts of it in earlier transforms"))
        } else {
            self.step(expr, want)
        };
        self.depth -= 1;
        class
    }

    fn step(&mut self, expr: &mut Expr, want: Class) -> Option<Class> {
        use Class::{Any, Boolean, Integer, Literal, Number, Text};
        if let Some(path) = path(expr) {
            return self.reference(expr, &path, want);
        }
        let place = expr.span().start;
        match expr {
            Expr::Nested(inner) => self.walk(inner, want),
            Expr::Value(value) => match &value.value {
                Value::Null => Some(Any),
                Value::Boolean(_) => Some(Boolean),
                Value::Number(..) => Some(Number),
                Value::Placeholder(name) => {
                    self.fail(Finding::new("syntax", format!("{name} is a placeholder without a value")).at(place))
                }
                _ => Some(Text),
            },
            Expr::BinaryOp { .. } => self.binary(expr),
            Expr::UnaryOp { .. } => self.unary(expr),
            Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner) => self.demand(inner, Boolean, "IS"),
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                self.walk(inner, Literal)?;
                Some(Boolean)
            }
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.compared(&mut [left, right], "a comparison")?;
                self.planned(expr)
            }
            Expr::InList { expr: inner, list, .. } => {
                self.clear(inner, "IN")?;
                let mut members: Vec<&mut Expr> = std::iter::once(&mut **inner).chain(list.iter_mut()).collect();
                self.compared(&mut members, "IN")?;
                self.planned(expr)
            }
            Expr::Between { expr: inner, low, high, .. } => {
                self.clear(inner, "BETWEEN")?;
                self.compared(&mut [inner, low, high], "BETWEEN")?;
                self.planned(expr)
            }
            Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } | Expr::RLike { .. } => self.like(expr),
            Expr::Cast { .. } => self.cast(expr),
            Expr::TypedString(_) => self.typed(expr),
            Expr::Interval(_) => self.interval(expr),
            Expr::Extract { field, expr: inner, .. } => {
                let (name, time) = (field.to_string(), take(inner));
                self.part(expr, &name, time)
            }
            Expr::AtTimeZone { .. } => self.at_zone(expr),
            Expr::Ceil { expr: inner, .. } | Expr::Floor { expr: inner, .. } => {
                self.demand(inner, Number, "rounding")?;
                self.planned(expr)
            }
            Expr::Position { expr: inner, r#in } => {
                self.each([(&mut **inner, Text), (&mut **r#in, Text)], "POSITION")?;
                self.planned(expr)
            }
            Expr::Substring { expr: inner, substring_from, substring_for, .. } => {
                let numbers = [substring_from, substring_for].into_iter().flatten().map(|part| (&mut **part, Integer));
                self.each(std::iter::once((&mut **inner, Text)).chain(numbers), "SUBSTRING")?;
                self.planned(expr)
            }
            Expr::Trim { trim_characters: Some(more), .. } if more.len() > 1 => {
                self.fail(Finding::new("syntax", "TRIM takes a text and the characters").at(place))
            }
            Expr::Trim { expr: inner, trim_what, trim_characters, .. } => {
                let what = trim_what.iter_mut().map(|part| &mut **part).chain(trim_characters.iter_mut().flatten());
                self.each(std::iter::once((&mut **inner, Text)).chain(what.map(|part| (part, Text))), "TRIM")?;
                self.planned(expr)
            }
            Expr::Overlay { expr: inner, overlay_what, overlay_from, overlay_for } => {
                let length = overlay_for.iter_mut().map(|part| (&mut **part, Integer));
                let parts = [(&mut **inner, Text), (&mut **overlay_what, Text), (&mut **overlay_from, Integer)];
                self.each(parts.into_iter().chain(length), "OVERLAY")?;
                self.planned(expr)
            }
            Expr::Case { .. } => self.case(expr, want),
            Expr::Function(_) => self.function(expr, want),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                let finding = Finding::new("unsupported", "a subquery can't be part of a row-wise expression");
                self.fail(finding.fix("do lookups in the database that receives the records").at(place))
            }
            Expr::CompoundFieldAccess { .. } | Expr::JsonAccess { .. } => {
                let finding = Finding::new("unsupported", format!("{} can't be read", shortened(expr)));
                self.fail(
                    finding.fix("fields of objects are read as a.b or a['b']; of lists, UNNEST makes rows").at(place),
                )
            }
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                self.fail(Finding::new("syntax", "* can't stand here").at(place))
            }
            other => {
                let finding =
                    Finding::new("unsupported", format!("{} is not possible in an expression", shortened(other)));
                self.fail(finding.at(place))
            }
        }
    }

    /// Walks parts with separate classes; all of them, in order to report all findings.
    fn each<'e>(&mut self, parts: impl IntoIterator<Item = (&'e mut Expr, Class)>, by: &str) -> Option<()> {
        let mut sound = true;
        for (part, class) in parts {
            sound &= self.demand(part, class, by).is_some();
        }
        sound.then_some(())
    }

    /// Walks members of one class: the class of those that are not bare fields, otherwise the expected one. Returns it.
    fn alike(&mut self, members: &mut [&mut Expr], want: Class, by: &str) -> Option<Class> {
        let mut class = Class::Any;
        let mut sound = true;
        let mut open = Vec::new();
        // Members with their own class determine it first; literals come last, as '2024-01-01' may be a text or a time.
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|index| matches!(bare(members[*index]), Expr::Value(_)));
        for index in order {
            let member = &mut *members[index];
            if self.is_open(member) {
                open.push(index);
                continue;
            }
            let (text, place) = (shortened(member), member.span().start);
            match self.walk(member, Class::Any) {
                None => sound = false,
                Some(actual) if class == Class::Any => class = actual,
                Some(actual) if class.takes(actual) && (class != Class::Time || actual != Class::Text) => {}
                // A quoted text can denote a time.
                Some(Class::Text) if class == Class::Time && matches!(bare(member), Expr::Value(_)) => {}
                Some(actual) => {
                    sound = false;
                    let message = format!(
                        "{by} needs values of one type, but {text} is {}, the other {}",
                        actual.words(),
                        class.words()
                    );
                    let finding = Finding::new("type-mismatch", message).at(place);
                    self.findings.push(match (actual, bare(member)) {
                        (Class::Text, Expr::Value(_)) if class == Class::Number => {
                            finding.fix("write a number without quotes")
                        }
                        _ => Finding { fix: class.cast(&text, actual), ..finding },
                    });
                }
            }
        }
        let mut class = if class == Class::Any { want } else { class };
        let walked: Vec<Option<Class>> = open.into_iter().map(|index| self.walk(members[index], class)).collect();
        sound &= !walked.contains(&None);
        // Untyped texts among themselves are texts.
        if class == Class::Any && !walked.is_empty() && walked.iter().all(|class| *class == Some(Class::Text)) {
            class = Class::Text;
        }
        if sound && class == Class::Time {
            self.same_times(members);
        }
        sound.then_some(class)
    }

    /// Walks values that are compared; intervals by their length. DataFusion would compare them part by part, months
    /// first.
    fn compared(&mut self, members: &mut [&mut Expr], by: &str) -> Option<()> {
        self.no_documents(members, by)?;
        if self.alike(members, Class::Any, by)? == Class::Interval {
            for member in members {
                if self.data_type(member).is_ok_and(|ty| is_interval(&ty)) {
                    let place = member.span().start;
                    **member = call(LENGTH, [take(member)], place);
                }
            }
        }
        Some(())
    }

    /// Refuses to compare fields that are declared as JSON.
    fn no_documents(&mut self, members: &[&mut Expr], by: &str) -> Option<()> {
        let document = members.iter().find(|member| {
            let target = path(member).and_then(|path| self.scope.resolve(&path, self.qualifiers).ok());
            matches!(target, Some(Target::Field(path)) if self.cx.declared(&path) == Some(Type::Json))
        });
        let Some(document) = document else { return Some(()) };
        let message = format!("{by} can't compare {document}, which is declared as JSON");
        let finding = Finding::new("type-mismatch", message).at(document.span().start);
        self.findings.push(finding.fix(format!("write cast({document} as text)")));
        None
    }

    /// Infers the class of a rewritten expression by planning it with the default types of the fields.
    fn planned(&mut self, expr: &Expr) -> Option<Class> {
        match self.data_type(expr) {
            Ok(ty) => Some(Class::of(&ty)),
            Err(error) => self.fail(Finding::new("type-mismatch", explain(&error)).at(expr.span().start)),
        }
    }

    fn data_type(&self, expr: &Expr) -> Result<DataType, DataFusionError> {
        let fields: Vec<Field> =
            self.slots.iter().map(|(slot, name)| Field::new(name, self.inputs.default_type(*slot), true)).collect();
        let schema = DFSchema::try_from(Schema::new(fields))?;
        let planned = self.cx.functions.planner().sql_to_expr(expr.clone(), &schema, &mut PlannerContext::new())?;
        planned.get_type(&schema)
    }

    fn fail(&mut self, finding: Finding) -> Option<Class> {
        self.findings.push(finding);
        None
    }
}

/// Strips parentheses and signs.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => bare(expr),
        other => other,
    }
}
