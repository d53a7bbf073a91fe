//! Converts between PostgreSQL's column types and ours, and chooses the encoding of values.
use super::{
    exact::Exact,
    list::{Element, List},
};
use crate::table::ddl::quote;
use dataflow_core::types::Type;

/// The encoding of a column's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    /// Name of the base type whose binary form is sent.
    pub(super) base: &'static str,
    /// Its object id.
    pub(super) oid: u32,
    /// The column's type without its modifier, so that a cast to it truncates nothing.
    pub(super) ty: String,
    /// Whether it takes a cast to that type.
    pub(super) cast: bool,
    /// The type with its modifier, if only the server can decide whether it returns a value unchanged.
    pub(super) held: Option<String>,
    /// Whether that shows in the numbers of its text only: of a type of an extension nothing else is known.
    pub(super) spelled: bool,
    /// Whether COPY accepts the binary form of `base` for this column.
    pub(super) copy: bool,
    /// The values that the type holds exactly.
    pub(super) exact: Exact,
    /// For arrays: the conversion of JSON arrays.
    pub(super) list: Option<List>,
}

impl Wire {
    /// The encoding of a type whose form PostgreSQL has as well.
    pub(super) fn plain(base: &'static str, oid: u32) -> Self {
        let ty = format!("pg_catalog.{base}");
        Self { base, oid, ty, cast: false, held: None, spelled: false, copy: true, exact: Exact::Any, list: None }
    }

    /// The SQL expression for the value of the column `name` in the sent rows.
    pub(super) fn value(&self, name: &str) -> String {
        let ty = &self.ty;
        match &self.held {
            Some(held) if self.spelled => format!(
                "case when {} then {name}::{ty} \
                 else ({name} || ' (which {held} gives back as ' || ({name}::{ty})::text || ')')::pg_catalog.int4::text::{ty} end",
                same_numbers(name, &format!("({name}::{ty})::text"))
            ),
            // The text becomes part of the error message, because no value of the type has this form.
            Some(held) => format!(
                "case when {name}::{ty} = ({name}::{ty})::{held} then {name}::{ty} \
                 else ({name} || ' (which {held} does not give back as it is)')::{ty} end"
            ),
            None if self.cast => format!("{name}::{ty}"),
            None => name.into(),
        }
    }

    /// The value in the column's own type, for comparison with it.
    pub(super) fn comparable(&self, name: &str) -> String {
        format!("{name}::{}", self.ty)
    }
}

/// The condition under which two texts have the same numbers, as far as that can be told: those whose letters differ are two
/// notations, and those with the same digits differ in punctuation only.
fn same_numbers(one: &str, other: &str) -> String {
    const NUMBER: &str = "[-+]?(?:[0-9]+\\.?[0-9]*|\\.[0-9]+)(?:e[-+]?[0-9]{1,3})?";
    let letters =
        |text| format!("regexp_replace(regexp_replace({text}, '{NUMBER}', '', 'gi'), '[^[:alpha:]]', '', 'g')");
    let digits = |text| format!("regexp_replace({text}, '[^0-9]', '', 'g')");
    let numbers = |text| format!("array(select m[1]::numeric from regexp_matches({text}, '({NUMBER})', 'gi') m)");
    let differ = [letters(one), letters(other)].join(" <> ");
    let same = [[digits(one), digits(other)].join(" = "), [numbers(one), numbers(other)].join(" = ")];
    format!("{differ} or {}", same.join(" or "))
}

/// A column's base type from the catalogue; for a domain, the type below it.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// Schema of the type.
    pub(super) schema: String,
    /// Name of the type.
    pub(super) name: String,
    /// `b`ase, `e`num, `c`omposite, `r`ange, `m`ultirange, …
    pub(super) class: char,
    /// Modifier: precision and scale of numeric, length of varchar, …; -1 for none.
    pub(super) modifier: i32,
    /// In full, with its modifier.
    pub(super) full: String,
    /// For ranges and multiranges: the name of their bounds' type.
    pub(super) bounds: Option<String>,
    /// For arrays: the elements' type.
    pub(super) element: Option<Box<Base>>,
    /// Whether different texts are never equal.
    pub(super) deterministic: bool,
}

/// Returns the type in which values are demanded, and their encoding; `None` if they can't be written.
pub(super) fn of(base: &Base) -> Option<(Type, Wire)> {
    let ty = format!("{}.{}", quote(&base.schema), quote(&base.name));
    let exact_of = |base: &Base, modifier| match &base.bounds {
        Some(bounds) => Exact::of_range(bounds),
        None => Exact::of(&base.name, modifier),
    };
    let exact = exact_of(base, base.modifier);
    let wire = |name, oid| Wire { ty: ty.clone(), exact, ..Wire::plain(name, oid) };
    let cast = |name, oid| Wire { cast: true, copy: false, ..wire(name, oid) };
    let interval = |name: &str| (name == "interval" && base.modifier >= 0).then(|| base.full.clone());
    // Of pairs it is known already.
    let unknown = |base: &Base| {
        (base.schema != "pg_catalog" && base.class == 'b' && base.name != "hstore").then(|| base.full.clone())
    };
    if let Some(element) = &base.element {
        // Boxes are the only base type whose text has commas outside of quotes.
        let between = if element.schema == "pg_catalog" && element.name == "box" { ';' } else { ',' };
        let list = List {
            element: Element::of(element)?,
            exact: exact_of(element, base.modifier.max(element.modifier)),
            between,
        };
        let unknown = unknown(element);
        let (spelled, held) = (unknown.is_some(), unknown.or_else(|| interval(&element.name)));
        let wire = Wire { held, spelled, list: Some(list), ..cast("text", 25) };
        return Some((Type::Json, wire));
    }
    Some(match base.name.as_str() {
        "bool" => (Type::Boolean, wire("bool", 16)),
        "int2" => (Type::Smallint, wire("int2", 21)),
        "int4" => (Type::Integer, wire("int4", 23)),
        "int8" => (Type::Bigint, wire("int8", 20)),
        "oid" => (Type::Bigint, cast("int8", 20)),
        "float4" => (Type::Real, wire("float4", 700)),
        "float8" => (Type::Double, wire("float8", 701)),
        "numeric" => (numeric(base.modifier), wire("numeric", 1700)),
        "money" => (Type::Decimal { precision: 19, scale: 2 }, cast("numeric", 1700)),
        "text" | "varchar" | "bpchar" | "citext" | "name" => (Type::Text, wire("text", 25)),
        "timestamptz" => (Type::Timestamp, wire("timestamptz", 1184)),
        "timestamp" => (Type::Datetime, wire("timestamp", 1114)),
        "date" => (Type::Date, wire("date", 1082)),
        "uuid" => (Type::Uuid, wire("uuid", 2950)),
        "json" => (Type::Json, wire("json", 114)),
        "jsonb" => (Type::Json, wire("jsonb", 3802)),
        "bytea" => (Type::Binary, wire("bytea", 17)),
        "int2vector" | "oidvector" => return None,
        _ if base.class == 'e' => (Type::Text, Wire { copy: true, ..cast("text", 25) }),
        // Other scalars, written from their text.
        name if matches!(base.class, 'b' | 'r' | 'm') => {
            let unknown = unknown(base);
            (
                Type::Text,
                Wire { spelled: unknown.is_some(), held: unknown.or_else(|| interval(name)), ..cast("text", 25) },
            )
        }
        _ => return None,
    })
}

/// Returns whether values of a type that the server considers equal also compare equal here.
pub(super) fn is_exact(base: &Base) -> bool {
    match base.name.as_str() {
        "text" | "varchar" | "name" => base.deterministic,
        "bool" | "int2" | "int4" | "int8" | "oid" | "float4" | "float8" | "numeric" | "timestamptz" | "timestamp"
        | "date" | "uuid" | "bytea" => true,
        _ => base.class == 'e',
    }
}

/// The precision and scale in a modifier of numeric.
pub(super) fn precision_and_scale(modifier: i32) -> Option<(i32, i32)> {
    // The scale has 11 bits, and a sign.
    (modifier >= 4).then(|| ((modifier - 4) >> 16 & 0xffff, (((modifier - 4) & 0x7ff) ^ 1024) - 1024))
}

/// The type for `numeric(p,s)`; any number, if it has no limits or larger ones than ours.
fn numeric(modifier: i32) -> Type {
    let known = precision_and_scale(modifier).map(|(precision, scale)| (u8::try_from(precision), u8::try_from(scale)));
    match known {
        Some((Ok(precision @ 1..=38), Ok(scale))) if scale <= precision => Type::Decimal { precision, scale },
        _ => Type::Number,
    }
}

/// The declaration of a column with this type.
pub(super) fn declare(ty: Type) -> String {
    match ty {
        Type::Boolean => "boolean",
        Type::Smallint => "smallint",
        Type::Integer => "integer",
        Type::Bigint => "bigint",
        Type::Real => "real",
        Type::Double => "double precision",
        Type::Decimal { precision, scale } => return format!("numeric({precision},{scale})"),
        Type::Number => "numeric",
        Type::Text => "text",
        Type::Timestamp => "timestamptz",
        Type::Datetime => "timestamp",
        Type::Date => "date",
        Type::Binary => "bytea",
        Type::Uuid => "uuid",
        Type::Json | Type::Any => "jsonb",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_of_numeric_are_read() {
        assert_eq!(numeric(-1), Type::Number);
        assert_eq!(numeric((10 << 16 | 2) + 4), Type::Decimal { precision: 10, scale: 2 });
        assert_eq!(numeric((50 << 16 | 2) + 4), Type::Number);
        assert_eq!(numeric((2 << 16 | 0x7fd) + 4), Type::Number); // numeric(2,-3)
        assert_eq!(precision_and_scale((2 << 16 | 0x7fd) + 4), Some((2, -3)));
    }
}
