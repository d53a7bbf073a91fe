//! Resolves names and replaces them by columns.
use super::Demand;
use crate::expression::{
    class::Class,
    finding::Finding,
    inputs::{Register, Slot},
    scope::{NOW, Target},
};
use dataflow_core::types::Type;
use dataflow_formats::decode::Want;
use datafusion_sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned, Subscript,
    visit_expressions,
};
use std::ops::ControlFlow;

impl Demand<'_> {
    /// Returns whether an expression has no class of its own: a field without a declared type, or a choice between such
    /// fields.
    pub(super) fn is_open(&self, expr: &Expr) -> bool {
        self.chooses(expr, &|target| match target {
            Some(Target::Field(path)) => self.cx.declared(path).is_none(),
            Some(Target::Meta(path)) => self.known_meta(path).is_none(),
            Some(Target::Register(register)) => self.inputs.registers[*register].class == Class::Any,
            Some(Target::Within(..)) | None => true,
        })
    }

    /// Returns whether an expression is an untyped text of the source, or a choice between such texts, which is one, too.
    pub(crate) fn is_untyped(&self, expr: &Expr) -> bool {
        self.chooses(expr, &|target| match target {
            Some(Target::Field(path)) => self.cx.is_untyped(path),
            Some(Target::Register(register)) => self.inputs.registers[*register].untyped,
            Some(Target::Meta(_) | Target::Within(..)) | None => false,
        })
    }

    /// Returns whether an expression is a name of this kind, or a choice between such names.
    fn chooses(&self, expr: &Expr, is: &impl Fn(Option<&Target>) -> bool) -> bool {
        if let Some(path) = path(expr) {
            return is(self.scope.resolve(&path, self.qualifiers).ok().as_ref());
        }
        match expr {
            Expr::Nested(inner) => self.chooses(inner, is),
            Expr::Case { conditions, else_result, .. } => conditions
                .iter()
                .map(|when| &when.result)
                .chain(else_result.as_deref())
                .all(|result| self.chooses(result, is)),
            Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) => {
                let tested = match name.to_string().to_lowercase().as_str() {
                    "coalesce" | "nvl" | "ifnull" => 0,
                    "nvl2" => 1,
                    // Of untyped texts, what these compare them as is open, too.
                    "greatest" | "least" | "nullif" if self.cx.source.untyped => 0,
                    _ => return false,
                };
                list.args.iter().skip(tested).all(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => self.chooses(argument, is),
                    _ => false,
                })
            }
            _ => false,
        }
    }

    /// Returns whether the numeric type of a rewritten expression depends on the data.
    pub(super) fn varies(&self, expr: &Expr) -> bool {
        let varying = |ident: &Ident| {
            let slot = self.slots.iter().find(|(_, name)| **name == ident.value);
            slot.is_some_and(|(slot, _)| match slot {
                Slot::Register(_) => self.inputs.is_number(*slot) || self.inputs.is_open(*slot),
                Slot::Field(_) | Slot::Meta(_) => self.inputs.is_number(*slot),
            })
        };
        let found = visit_expressions(expr, |part| match part {
            Expr::Identifier(ident) if varying(ident) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        found.is_break()
    }

    /// The type of a piece of metadata; none: the use decides.
    fn known_meta(&self, path: &[String]) -> Option<Type> {
        let [name] = path else { return None };
        self.cx.source.type_of(if name == NOW { "timestamp" } else { name })
    }

    /// Replaces a name by a column.
    pub(super) fn reference(&mut self, expr: &mut Expr, path: &[Ident], want: Class) -> Option<Class> {
        let span = expr.span();
        let target = match self.scope.resolve(path, self.qualifiers) {
            Err(finding) => return self.fail(finding),
            Ok(target) => target,
        };
        if want == Class::Interval && !matches!(target, Target::Register(_)) {
            let finding = Finding::new("type-mismatch", format!("{expr} is a field, and no field is an interval"));
            return self.fail(finding.fix(format!("write cast({expr} as interval)")).at(span.start));
        }
        let (slot, name, class) = match target {
            Target::Field(path) => {
                if let Err(finding) = self.cx.check_path(&path) {
                    return self.fail(finding.at(span.start));
                }
                let (want, class) = match self.cx.declared(&path) {
                    Some(Type::Number) => (Want::Number, Class::Number),
                    Some(ty) => (Want::As(ty), Class::of_type(ty)),
                    // What nobody asks a type of is text, whatever it looks like.
                    None if want == Class::Any && self.cx.is_untyped(&path) => (Want::Text, Class::Text),
                    None => (want.want(), if want == Class::Literal { Class::Any } else { want }),
                };
                self.inputs.named.insert(path.clone());
                let name = path.join(".");
                (Slot::Field(self.inputs.field(path, want)), name, class)
            }
            Target::Meta(path) => {
                let (want, class) = match self.known_meta(&path) {
                    Some(Type::Json) => (Want::As(Type::Json), Class::Any),
                    Some(ty) => (Class::of_type(ty).want(), Class::of_type(ty)),
                    None => (want.want(), want),
                };
                let name = if path == [NOW] { NOW.into() } else { format!("meta.{}", path.join(".")) };
                (Slot::Meta(self.inputs.meta(path, want)), name, class)
            }
            Target::Register(register) => {
                let name = path.last().map(|ident| ident.value.clone()).unwrap_or_default();
                let element = self.inputs.element(register, &[], want);
                let column = element.unwrap_or_else(|| self.inputs.taken(register, &name, want));
                let Register { class, untyped, .. } = self.inputs.registers[column];
                let class = if untyped && want == Class::Any { Class::Text } else { class };
                (Slot::Register(column), name, class)
            }
            Target::Within(register, within) => {
                let name: Vec<&str> = path.iter().map(|ident| ident.value.as_str()).collect();
                let Some(column) = self.inputs.element(register, &within, want) else {
                    let of = name[..name.len() - within.len()].join(".");
                    let message = format!("{of} is computed by an earlier transform and has no fields");
                    return self.fail(Finding::new("unknown-field", message).at(span.start));
                };
                (Slot::Register(column), name.join("."), self.inputs.registers[column].class)
            }
        };
        let name = match self.slots.get(&slot) {
            Some(name) => name.clone(),
            None => {
                // Two uses of a field, or two spellings of a name, are two columns.
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
}

/// Returns the path of an expression that is just a name: `a`, `a.b`, `a['b']`.
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
