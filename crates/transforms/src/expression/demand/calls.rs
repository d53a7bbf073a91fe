//! Function calls: resolves the function and types its arguments.
use super::{Demand, operators::take};
use crate::expression::{
    arguments::{Arguments, arguments},
    class::Class,
    finding::Finding,
    functions::Known,
    kind::{COMPARING, Kind},
    scope::{META, NOW},
};
use datafusion_expr::ScalarUDF;
use datafusion_sql::sqlparser::{
    ast::{
        BinaryOperator, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
        Ident, ObjectName, ObjectNamePart, Spanned, Value, helpers::attached_token::AttachedToken,
    },
    tokenizer::{Location, Span},
};

impl Demand<'_> {
    pub(super) fn function(&mut self, expr: &mut Expr, want: Class) -> Option<Class> {
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
                false => self.now(expr, time, place),
            };
        }
        if let Some(class) = self.rewritten(&name, expr, want) {
            return class;
        }
        let Expr::Function(call) = expr else { return None };
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
                    Some(fix) => finding.fix(fix),
                    None => finding,
                });
            }
        };
        // The planner finds only names in lower case.
        call.name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(place_span(place), function.name()))]);
        let class = self.call(call, &function, want, &written, place)?;
        // The engine counts elements without a sign, which has no negative.
        if self.data_type(expr).is_ok_and(|ty| ty.is_unsigned_integer()) {
            let (inner, data_type) = (Box::new(take(expr)), DataType::BigInt(None));
            *expr = Expr::Cast { kind: CastKind::Cast, expr: inner, data_type, array: false, format: None };
        }
        let planned = self.planned(expr)?;
        Some(if class == Class::Any && planned == Class::Text { Class::Any } else { planned })
    }

    /// Walks the arguments. Returns their common class if the function needs one, otherwise that of text.
    fn call(
        &mut self,
        call: &mut Function,
        function: &ScalarUDF,
        want: Class,
        by: &str,
        place: Location,
    ) -> Option<Class> {
        if call.parameters != FunctionArguments::None {
            return self.fail(Finding::new("syntax", format!("{by} takes one list of arguments")).at(place));
        }
        if call.filter.is_some() || !call.within_group.is_empty() || call.null_treatment.is_some() {
            return self.fail(Finding::new("syntax", format!("{by} is not an aggregate")).at(place));
        }
        let mut members = Vec::new();
        match &mut call.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(_) => {
                return self.fail(Finding::new("unsupported", format!("{by} can't take a subquery")).at(place));
            }
            FunctionArguments::List(list) => {
                if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                    return self.fail(Finding::new("syntax", format!("{by} is not an aggregate")).at(place));
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
            Arguments::Alike => {
                if !matches!(function.name(), "coalesce" | "make_array") {
                    self.no_documents(&members, by)?;
                }
                // Numbers are compared as such, also where the text of the result is wanted.
                let is_compared = COMPARING.contains(&function.name());
                let want = if is_compared && want == Class::Literal { Class::Any } else { want };
                let class = self.alike(&mut members, want, by)?;
                if class == Class::Interval && is_compared {
                    let finding = Finding::new("unsupported", format!("{by} does not take intervals")).at(place);
                    return self.fail(finding.fix("compare them in a CASE: case when a > b then a else b end"));
                }
                Some(class)
            }
            Arguments::Each(classes) => {
                let texts = matches!(function.name(), "concat" | "concat_ws");
                let instant = ["to_timestamp", "from_unixtime"].iter().any(|name| function.name().starts_with(name));
                self.each(members.iter_mut().map(|member| &mut **member).zip(classes), by)?;
                if let (Some(first), true) = (members.first(), instant) {
                    let kind = self.data_type(first).map_or(Kind::Nothing, |ty| Kind::of(&ty));
                    if matches!(kind, Kind::Boolean | Kind::Interval | Kind::Bytes | Kind::List) {
                        let message = format!("{by} takes a number or text, but {first} is {}", kind.words());
                        return self.fail(Finding::new("type-mismatch", message).at(place));
                    }
                }
                if texts {
                    members.iter_mut().for_each(|member| self.write(member));
                }
                if let (Some(pattern), true) = (members.get(1), function.name().starts_with("regexp_")) {
                    self.pattern(pattern, "")?;
                }
                Some(Class::Text)
            }
        }
    }

    /// Calls that are rewritten as another expression.
    fn rewritten(&mut self, name: &str, expr: &mut Expr, want: Class) -> Option<Option<Class>> {
        let Expr::Function(call) = &mut *expr else { return None };
        let FunctionArguments::List(list) = &call.args else { return None };
        let arguments = list.args.iter().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument.clone()),
            _ => None,
        });
        let mut arguments: Vec<Expr> = arguments.collect::<Option<_>>()?;
        if let ("mod", [_, _]) = (name, arguments.as_slice()) {
            let right = Box::new(Expr::Nested(Box::new(arguments.pop()?)));
            let left = Box::new(Expr::Nested(Box::new(arguments.pop()?)));
            *expr = Expr::BinaryOp { left, op: BinaryOperator::Modulo, right };
            return Some(self.binary(expr));
        }
        if let ("nvl2", [_, _, _]) = (name, arguments.as_slice()) {
            let otherwise = arguments.pop().map(Box::new);
            let (result, given) = (arguments.pop()?, arguments.pop()?);
            let conditions = vec![CaseWhen { condition: Expr::IsNotNull(Box::new(given)), result }];
            let (case_token, end_token) = (AttachedToken::empty(), AttachedToken::empty());
            *expr = Expr::Case { case_token, end_token, operand: None, conditions, else_result: otherwise };
            return Some(self.case(expr, want));
        }
        let mut arguments: Vec<&mut Expr> = arguments.iter_mut().collect();
        self.of_time(name, expr, &mut arguments)
    }

    fn has_arguments(&self, call: &Function) -> bool {
        matches!(&call.args, FunctionArguments::List(list) if !list.args.is_empty())
    }

    /// Replaces the present time by the record's time.
    fn now(&mut self, expr: &mut Expr, kind: &str, place: Location) -> Option<Class> {
        let path = [Ident::new(META), Ident::new(NOW)].map(|mut ident| {
            ident.span = place_span(place);
            ident
        });
        self.reference(expr, &path, Class::Time)?;
        if kind == "date" {
            let inner = Box::new(std::mem::replace(expr, Expr::Value(Value::Null.into())));
            *expr =
                Expr::Cast { kind: CastKind::Cast, expr: inner, data_type: DataType::Date, array: false, format: None };
        }
        Some(Class::Time)
    }
}

/// Names for the present time, and the types of their values.
fn source_time(name: &str) -> Option<&'static str> {
    match name {
        "now" | "current_timestamp" | "localtimestamp" => Some("timestamp"),
        "current_date" | "today" => Some("date"),
        _ => None,
    }
}

fn across_rows(what: &str, kind: &str) -> Finding {
    let message = format!("{what} is {kind}: its result would depend on which records come together in a batch");
    Finding::new("unsupported", message).fix("leave it to the database or program that receives the records")
}

fn place_span(place: Location) -> Span {
    Span::new(place, place)
}
