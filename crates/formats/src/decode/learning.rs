//! Columns whose type is learned from their values.
use super::{Cell, Field, Misfit, Want, cell::Kind, column::Values, misfit::Asked, number};
use arrow::array::ArrayRef;
use dataflow_core::types::{Type, widen};

/// The name under which the type of a field is learned for a want: `age#number`, `address/city#infer`. Keys of a path
/// are joined by `/`, and `~` and `/` in them written `~0` and `~1`, as in a JSON pointer. Only [`Want::Number`] and
/// [`Want::Infer`] learn.
pub fn learned_key(field: &Field) -> String {
    let path: Vec<String> = field.path.iter().map(|key| key.replace('~', "~0").replace('/', "~1")).collect();
    let want = match field.want {
        Want::Number => "number",
        Want::Text => "text",
        Want::Boolean => "boolean",
        Want::Time => "time",
        Want::Literal => "literal",
        Want::Infer => "infer",
        Want::As(_) => "as",
    };
    format!("{}#{want}", path.join("/"))
}

/// A column of the known type if all values fit it, otherwise of the type that holds them all; with the type, if one is
/// known now.
pub(super) fn column(values: &Values<'_>, want: Want, known: Option<Type>) -> (ArrayRef, Vec<Misfit>, Option<Type>) {
    let first = match (want, known) {
        (_, Some(known)) => known,
        (Want::Number, None) => Type::Bigint,
        (_, None) => survey(values, want, None).unwrap_or(Type::Text),
    };
    let (array, misfits) = values.column(first, asked(want, first));
    if misfits.is_empty() {
        let learned = known.or_else(|| (array.null_count() < array.len()).then_some(first));
        return (array, misfits, learned);
    }
    // Rows that fit no type are looked at again with each batch that has some: one more pass over this column.
    match survey(values, want, known) {
        Some(wider) if wider != first => {
            let (array, misfits) = values.column(wider, asked(want, wider));
            (array, misfits, Some(wider))
        }
        learned => (array, misfits, learned),
    }
}

fn asked(want: Want, ty: Type) -> Asked {
    match (want, ty) {
        (Want::Number, Type::Bigint) => Asked::class("a number", "bigint"),
        (Want::Number, _) => Asked::class("a number", "double"),
        (_, ty) => Asked { ty: None, ..Asked::exactly(ty) },
    }
}

/// The type that holds all values, widening the known one. Values that fit none don't count.
fn survey(values: &Values<'_>, want: Want, known: Option<Type>) -> Option<Type> {
    let mut scratch = String::new();
    let mut ty = known;
    for cell in values.cells {
        let Some(next) = class(values, *cell, want, &mut scratch) else { continue };
        ty = Some(match ty {
            None => next,
            Some(ty) => join(ty, next, matches!(cell.kind, Kind::Untyped | Kind::Doubled)),
        });
    }
    ty
}

/// The narrowest type that holds both. Untyped text that differs is text.
fn join(a: Type, b: Type, untyped: bool) -> Type {
    match widen(a, b) {
        Type::Json if untyped && a != Type::Json => Type::Text,
        ty => ty,
    }
}

/// The narrowest type that holds a value; none for NULL, and if the want has none for it.
fn class(values: &Values<'_>, cell: Cell, want: Want, scratch: &mut String) -> Option<Type> {
    let infer = want == Want::Infer;
    match cell.kind {
        Kind::Missing | Kind::Null => None,
        Kind::Number => number_type(values.text.raw(cell)),
        Kind::Untyped | Kind::Doubled => {
            let text = values.text.content(cell, scratch)?;
            match text {
                _ if number::is_json_number(text) => number_type(text).or(infer.then_some(Type::Text)),
                _ if !infer => number_type(Some(text.trim_ascii()).filter(|text| number::is_number(text))?),
                "true" | "false" => Some(Type::Boolean),
                _ => Some(Type::Text),
            }
        }
        _ if !infer => None,
        Kind::True | Kind::False => Some(Type::Boolean),
        Kind::String | Kind::Escaped => Some(Type::Text),
        Kind::Object | Kind::Array => Some(Type::Json),
    }
}

/// The narrowest type that holds a number; none if there is none.
fn number_type(text: &str) -> Option<Type> {
    if number::integer(text).is_some() {
        return Some(Type::Bigint);
    }
    match number::decimal(text) {
        Some(decimal) => Some(decimal.ty()),
        None => number::double(text).ok().map(|_| Type::Double),
    }
}
