//! Finds out what each name in an expression stands for, and as what its values are taken: by the way they are used.
//!
//! A walk over the syntax tree, from the outside with what is asked for, and back with what is there. Names become names of columns;
//! the same field used in two ways becomes two columns.
use super::{
    class::Class,
    finding::Finding,
    functions::{Arguments, Functions, Known, arguments},
    inputs::{Inputs, Slot},
    scope::{Scope, Target},
};
use arrow::datatypes::{DataType, Field, Schema};
use dataflow_core::types::Type;
use dataflow_formats::decode::Want;
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::{ExprSchemable, ScalarUDF};
use datafusion_sql::{
    planner::PlannerContext,
    sqlparser::{
        ast::{
            AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
            ObjectName, ObjectNamePart, Spanned, Subscript, UnaryOperator, Value,
        },
        tokenizer::{Location, Span},
    },
};
use indexmap::IndexMap;

/// Deepest expression, counting chains of operators: planning it takes as much stack as it is deep.
const MAX_DEPTH: usize = 64;

/// What holds for all expressions of a pipeline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The functions there are.
    pub(crate) functions: &'a Functions,
    /// Declared types of source fields.
    pub(crate) schema: &'a IndexMap<String, Type>,
    /// The type of the source.
    pub(crate) source: &'a str,
}

impl Context<'_> {
    /// The declared type of a source field.
    pub(crate) fn declared(&self, path: &[String]) -> Option<Type> {
        match path {
            [name] => self.schema.get(name).copied(),
            path => self.schema.get(&path.join(".")).copied(),
        }
    }

    /// Whether the source's records have a time.
    fn has_time(&self) -> bool {
        !matches!(self.source, "file" | "generate")
    }
}

/// The walk over one expression.
pub(crate) struct Demand<'a> {
    cx: Context<'a>,
    scope: &'a Scope,
    qualifiers: &'a [String],
    inputs: &'a mut Inputs,
    /// The columns used, with the names that they have in the rewritten tree.
    pub(crate) slots: IndexMap<Slot, String>,
    /// What is wrong.
    pub(crate) findings: Vec<Finding>,
    depth: usize,
}

impl<'a> Demand<'a> {
    pub(crate) fn new(cx: Context<'a>, scope: &'a Scope, qualifiers: &'a [String], inputs: &'a mut Inputs) -> Self {
        Self { cx, scope, qualifiers, inputs, slots: IndexMap::new(), findings: Vec::new(), depth: 0 }
    }

    /// Walks an expression that is taken as `want` by what the words `by` say. None: something is wrong in it.
    pub(crate) fn demand(&mut self, expr: &mut Expr, want: Class, by: &str) -> Option<Class> {
        let (text, place) = (shortened(expr), expr.span().start);
        let actual = self.walk(expr, want)?;
        if want.takes(actual) {
            return Some(actual);
        }
        let finding = Finding::new("type-mismatch", format!("{by} takes {}, but {text} is {}", want.words(), actual.words()));
        let fix = match want {
            Class::Boolean => format!("compare it with something: {text} = …"),
            want => format!("write cast({text} as {})", want.sql()),
        };
        self.findings.push(finding.fix(fix).at(place));
        None
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
        use Class::{Any, Boolean, Integer, Literal, Number, Text, Time};
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
                    self.fail(Finding::new("syntax", format!("{name} is a placeholder, and nothing fills it")).at(place))
                }
                _ => Some(Text),
            },
            Expr::BinaryOp { .. } => self.binary(expr),
            Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } => self.demand(inner, Boolean, "NOT"),
            Expr::UnaryOp { op, expr: inner } => {
                let by = op.to_string();
                self.demand(inner, Number, &by)?;
                self.planned(expr)
            }
            Expr::IsTrue(inner) | Expr::IsNotTrue(inner) | Expr::IsFalse(inner) | Expr::IsNotFalse(inner)
            | Expr::IsUnknown(inner) | Expr::IsNotUnknown(inner) => self.demand(inner, Boolean, "IS"),
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                self.walk(inner, Literal)?;
                Some(Boolean)
            }
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.alike(&mut [left, right], Any, "a comparison")?;
                self.planned(expr)
            }
            Expr::InList { expr: inner, list, .. } => {
                let mut members: Vec<&mut Expr> = std::iter::once(&mut **inner).chain(list.iter_mut()).collect();
                self.alike(&mut members, Any, "IN")?;
                self.planned(expr)
            }
            Expr::Between { expr: inner, low, high, .. } => {
                self.alike(&mut [inner, low, high], Any, "BETWEEN")?;
                self.planned(expr)
            }
            Expr::Like { expr: inner, pattern, .. } | Expr::ILike { expr: inner, pattern, .. }
            | Expr::SimilarTo { expr: inner, pattern, .. } | Expr::RLike { expr: inner, pattern, .. } => {
                self.each([(&mut **inner, Text), (&mut **pattern, Text)], "LIKE")?;
                self.planned(expr)
            }
            Expr::Cast { expr: inner, .. } => {
                self.walk(inner, Literal)?;
                self.planned(expr)
            }
            Expr::TypedString(_) => self.planned(expr),
            Expr::Interval(interval) => {
                self.walk(&mut interval.value, Any)?;
                self.planned(expr)
            }
            Expr::Extract { expr: inner, .. } => {
                self.demand(inner, Time, "EXTRACT")?;
                self.planned(expr)
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                self.each([(&mut **timestamp, Time), (&mut **time_zone, Text)], "AT TIME ZONE")?;
                self.planned(expr)
            }
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
                self.fail(finding.fix("a `join` transform looks things up in other tables").at(place))
            }
            Expr::CompoundFieldAccess { .. } | Expr::JsonAccess { .. } => {
                let finding = Finding::new("unsupported", format!("{} can't be read", shortened(expr)));
                self.fail(finding.fix("fields of objects are read as a.b or a['b']; of lists, UNNEST makes rows").at(place))
            }
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                self.fail(Finding::new("syntax", "* can't stand here").at(place))
            }
            other => {
                let finding = Finding::new("unsupported", format!("{} is not possible in an expression", shortened(other)));
                self.fail(finding.at(place))
            }
        }
    }

    fn binary(&mut self, expr: &mut Expr) -> Option<Class> {
        use BinaryOperator as Op;
        let place = expr.span().start;
        let Expr::BinaryOp { left, op, right } = expr else { return None };
        let by = op.to_string();
        match op {
            Op::And | Op::Or => {
                self.each([(&mut **left, Class::Boolean), (&mut **right, Class::Boolean)], &by)?;
                return Some(Class::Boolean);
            }
            Op::StringConcat | Op::PGRegexMatch | Op::PGRegexIMatch | Op::PGRegexNotMatch | Op::PGRegexNotIMatch
            | Op::PGLikeMatch | Op::PGILikeMatch | Op::PGNotLikeMatch | Op::PGNotILikeMatch => {
                self.each([(&mut **left, Class::Text), (&mut **right, Class::Text)], &by)?;
            }
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq | Op::Spaceship => {
                self.alike(&mut [left, right], Class::Any, &by)?;
            }
            Op::Plus | Op::Minus => self.sum(left, right, &by)?,
            Op::Multiply | Op::Divide | Op::Modulo => {
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
                self.findings.push(if class == Class::Text && by == "+" { finding.fix("texts are joined by ||") } else { finding });
                return None;
            }
        }
        Some(())
    }

    fn case(&mut self, expr: &mut Expr, want: Class) -> Option<Class> {
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

    fn function(&mut self, expr: &mut Expr, want: Class) -> Option<Class> {
        let place = expr.span().start;
        let Expr::Function(call) = expr else { return None };
        let written = call.name.to_string();
        let name = written.to_lowercase();
        if call.over.is_some() {
            return self.fail(across_rows(&format!("{written}(…) OVER"), "a window function").at(place));
        }
        if let Some(time) = source_time(&name) {
            return match self.has_arguments(call) {
                true => self.fail(Finding::new("syntax", format!("{written} takes no arguments")).at(place)),
                false => self.now(expr, &written, time, place),
            };
        }
        let function = match self.cx.functions.find(&name) {
            Known::Scalar(function) => function,
            Known::Aggregate => return self.fail(across_rows(&written, "an aggregate").at(place)),
            Known::Window => return self.fail(across_rows(&written, "a window function").at(place)),
            Known::Unknown(_) if name == "unnest" => {
                let finding = Finding::new("unsupported", "unnest can't be part of an expression");
                return self.fail(finding.fix("give it a column of its own in a `sql` transform").at(place));
            }
            Known::Unknown(near) => {
                let finding = Finding::new("unknown-function", format!("there is no function {written}")).at(place);
                return self.fail(match near {
                    Some(near) => finding.fix(format!("did you mean {near}?")),
                    None => finding,
                });
            }
        };
        // Only a name in lower case is found by the planner.
        call.name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(place_span(place), name))]);
        let class = self.call(call, &function, want, &written, place)?;
        let planned = self.planned(expr)?;
        Some(if class == Class::Any && planned == Class::Text { Class::Any } else { planned })
    }

    /// Walks the arguments. The class is what they have in common, if they are to be alike; of others it is that of text.
    fn call(
        &mut self,
        call: &mut Function,
        function: &ScalarUDF,
        want: Class,
        by: &str,
        place: Location,
    ) -> Option<Class> {
        if call.filter.is_some() || !call.within_group.is_empty() || call.null_treatment.is_some() {
            return self.fail(Finding::new("syntax", format!("{by} is no aggregate")).at(place));
        }
        let mut members = Vec::new();
        match &mut call.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(_) => {
                return self.fail(Finding::new("unsupported", format!("{by} can't take a subquery")).at(place));
            }
            FunctionArguments::List(list) => {
                if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                    return self.fail(Finding::new("syntax", format!("{by} is no aggregate")).at(place));
                }
                for argument in &mut list.args {
                    match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => members.push(argument),
                        other => {
                            let message = format!("{by} can't take {other}");
                            return self.fail(Finding::new("syntax", message).at(place));
                        }
                    }
                }
            }
        }
        match arguments(function, members.len()) {
            Arguments::Alike => self.alike(&mut members, want, by),
            Arguments::Each(classes) => {
                self.each(members.into_iter().zip(classes), by)?;
                Some(Class::Text)
            }
        }
    }

    fn has_arguments(&self, call: &Function) -> bool {
        matches!(&call.args, FunctionArguments::List(list) if !list.args.is_empty())
    }

    /// The time of the record stands for the present time.
    fn now(&mut self, expr: &mut Expr, written: &str, kind: &str, place: Location) -> Option<Class> {
        if !self.cx.has_time() {
            let message = format!("{written}() is the time of the record at its source, and a {} source has none", self.cx.source);
            let finding = Finding::new("no-source-time", message).at(place);
            return self.fail(finding.fix("use a field of the records that holds a time"));
        }
        let path = [Ident::new(super::scope::META), Ident::new("timestamp")].map(|mut ident| {
            ident.span = place_span(place);
            ident
        });
        self.reference(expr, &path, Class::Time)?;
        if kind == "date" {
            let inner = Box::new(std::mem::replace(expr, Expr::Value(Value::Null.into())));
            *expr = Expr::Cast {
                kind: datafusion_sql::sqlparser::ast::CastKind::Cast,
                expr: inner,
                data_type: datafusion_sql::sqlparser::ast::DataType::Date,
                array: false,
                format: None,
            };
        }
        Some(Class::Time)
    }

    /// Each with a class of its own; all are walked, so that all findings are found.
    fn each<'e>(&mut self, parts: impl IntoIterator<Item = (&'e mut Expr, Class)>, by: &str) -> Option<()> {
        let mut sound = true;
        for (part, class) in parts {
            sound &= self.demand(part, class, by).is_some();
        }
        sound.then_some(())
    }

    /// All of one class: that of what isn't a bare field, or else of what is asked for. Returns it.
    fn alike(&mut self, members: &mut [&mut Expr], want: Class, by: &str) -> Option<Class> {
        let mut class = Class::Any;
        let mut sound = true;
        let mut open = Vec::new();
        // What has a class of its own tells it first; literals last, as '2024-01-01' may be a text or a time.
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
                Some(actual) if class.takes(actual) => {}
                Some(actual) => {
                    sound = false;
                    let message = format!("{by} needs values of one type, but {text} is {}, the other {}", actual.words(), class.words());
                    let finding = Finding::new("type-mismatch", message).at(place);
                    self.findings.push(match (actual, bare(member)) {
                        (Class::Text, Expr::Value(_)) if class == Class::Number => finding.fix("write a number without quotes"),
                        _ => finding.fix(format!("write cast({text} as {})", class.sql())),
                    });
                }
            }
        }
        let class = if class == Class::Any { want } else { class };
        for index in open {
            sound &= self.walk(members[index], class).is_some();
        }
        sound.then_some(class)
    }

    /// Whether an expression has no class of its own: a field without a declared type, or a choice between such.
    fn is_open(&self, expr: &Expr) -> bool {
        if let Some(path) = path(expr) {
            return match self.scope.resolve(&path, self.qualifiers) {
                Ok(Target::Field(path)) => self.cx.declared(&path).is_none(),
                Ok(Target::Meta(path)) => known_meta(&path).is_none(),
                Ok(Target::Register(register)) => self.inputs.registers[register].0 == Class::Any,
                Err(_) => true,
            };
        }
        match expr {
            Expr::Nested(inner) => self.is_open(inner),
            Expr::Case { conditions, else_result, .. } => {
                conditions.iter().map(|when| &when.result).chain(else_result.as_deref()).all(|result| self.is_open(result))
            }
            Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("coalesce") => match &call.args {
                FunctionArguments::List(list) => list.args.iter().all(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => self.is_open(argument),
                    _ => false,
                }),
                FunctionArguments::None | FunctionArguments::Subquery(_) => false,
            },
            _ => false,
        }
    }

    /// Puts a column in the place of a name.
    fn reference(&mut self, expr: &mut Expr, path: &[Ident], want: Class) -> Option<Class> {
        let span = expr.span();
        let (slot, name, class) = match self.scope.resolve(path, self.qualifiers) {
            Err(finding) => return self.fail(finding),
            Ok(Target::Field(path)) => {
                let (want, class) = match self.cx.declared(&path) {
                    Some(Type::Number) => (Want::Number, Class::Number),
                    Some(ty) => (Want::As(ty), Class::of_type(ty)),
                    None => (want.want(), if want == Class::Literal { Class::Any } else { want }),
                };
                self.inputs.named.insert(path.clone());
                let name = path.join(".");
                (Slot::Field(self.inputs.field(path, want)), name, class)
            }
            Ok(Target::Meta(path)) => {
                let (want, class) = match known_meta(&path) {
                    Some(class) => (class.want(), class),
                    None if want == Class::Any => (Want::Literal, Class::Any),
                    None => (want.want(), want),
                };
                let name = format!("meta.{}", path.join("."));
                (Slot::Meta(self.inputs.meta(path, want)), name, class)
            }
            Ok(Target::Register(register)) => {
                let name = path.last().map(|ident| ident.value.clone()).unwrap_or_default();
                (Slot::Register(register), name, self.inputs.registers[register].0)
            }
        };
        let name = match self.slots.get(&slot) {
            Some(name) => name.clone(),
            None => {
                // Two uses of a field, or two ways to write a name, are two columns.
                let mut free = name;
                while self.slots.values().any(|taken| *taken == free) {
                    free.push('\'');
                }
                self.slots.insert(slot, free.clone());
                free
            }
        };
        *expr = Expr::Identifier(Ident { value: name, quote_style: Some('"'), span });
        Some(class)
    }

    /// The class of a rewritten expression by its type; whether it can have one is checked with the default types of the fields.
    fn planned(&mut self, expr: &Expr) -> Option<Class> {
        match self.data_type(expr) {
            Ok(ty) => Some(Class::of(&ty)),
            Err(error) => {
                self.fail(Finding::new("type-mismatch", explain(&error)).at(expr.span().start))
            }
        }
    }

    fn data_type(&self, expr: &Expr) -> Result<DataType, DataFusionError> {
        let fields: Vec<Field> = self
            .slots
            .iter()
            .map(|(slot, name)| Field::new(name, self.inputs.default_type(*slot), true))
            .collect();
        let schema = DFSchema::try_from(Schema::new(fields))?;
        let planned = self.cx.functions.planner().sql_to_expr(expr.clone(), &schema, &mut PlannerContext::new())?;
        planned.get_type(&schema)
    }

    fn fail(&mut self, finding: Finding) -> Option<Class> {
        self.findings.push(finding);
        None
    }
}

/// The path that an expression names, if it is but a name: `a`, `a.b`, `a['b']`.
pub(crate) fn path(expr: &Expr) -> Option<Vec<Ident>> {
    match expr {
        Expr::Identifier(ident) => Some(vec![ident.clone()]),
        Expr::CompoundIdentifier(idents) => Some(idents.clone()),
        Expr::Nested(inner) => path(inner),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut idents = path(root)?;
            for access in access_chain {
                match access {
                    AccessExpr::Dot(Expr::Identifier(ident)) => idents.push(ident.clone()),
                    AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) }) => {
                        idents.push(Ident::with_quote('"', value.value.clone().into_string()?));
                    }
                    AccessExpr::Dot(_) | AccessExpr::Subscript(_) => return None,
                }
            }
            Some(idents)
        }
        _ => None,
    }
}

/// The class of metadata that every source knows by the same name.
fn known_meta(path: &[String]) -> Option<Class> {
    match path {
        [name] => match name.as_str() {
            "offset" | "partition" => Some(Class::Integer),
            "timestamp" => Some(Class::Time),
            "key" | "topic" | "id" | "file" => Some(Class::Text),
            _ => None,
        },
        _ => None,
    }
}

/// Names for the present time, and what they give.
fn source_time(name: &str) -> Option<&'static str> {
    match name {
        "now" | "current_timestamp" | "localtimestamp" => Some("timestamp"),
        "current_date" | "today" => Some("date"),
        _ => None,
    }
}

fn across_rows(what: &str, kind: &str) -> Finding {
    let message = format!("{what} is {kind}: its result would depend on which records come together in a batch");
    Finding::new("unsupported", message).fix("use an `aggregate` transform")
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => bare(expr),
        other => other,
    }
}

fn place_span(place: Location) -> Span {
    Span::new(place, place)
}

/// An expression's text, if it isn't long.
fn shortened(expr: &Expr) -> String {
    let text = expr.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What the planner says, without its trade names.
pub(crate) fn explain(error: &DataFusionError) -> String {
    let text = error.find_root().message().into_owned();
    let text = text.lines().next().unwrap_or_default();
    let text = [" You might need to add", " No function matches", " Candidate functions"]
        .iter()
        .fold(text, |text, tail| text.split(tail).next().unwrap_or(text));
    let text = text.trim_end_matches(['.', ' ']);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if !text.starts_with(|c: char| c.is_uppercase()) || !chars.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.into(),
    }
}

