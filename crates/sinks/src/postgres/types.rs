//! Types of columns: PostgreSQL's to ours and back, and how values travel.
use dataflow_core::types::Type;

/// How values of a column travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    /// Name of a base type, whose binary form is sent.
    pub(super) base: &'static str,
    /// Its object id.
    pub(super) oid: u32,
    /// The type to cast to, where PostgreSQL doesn't convert by itself.
    pub(super) cast: Option<String>,
    /// Whether COPY takes the binary form of `base` for this column.
    pub(super) copy: bool,
}

/// A column's base type, as the catalogue has it.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// Name of the type, or of the one that a domain is over.
    pub(super) name: String,
    /// `b`ase, `e`num, `d`omain, `c`omposite, `r`ange, …
    pub(super) class: char,
    /// `A` for arrays, …
    pub(super) category: char,
    /// Modifier: precision and scale of numeric.
    pub(super) modifier: i32,
    /// In full, as in DDL.
    pub(super) declared: String,
}

/// The type that values are asked for in, and how they travel; none if they can't.
pub(super) fn of(base: &Base) -> Option<(Type, Wire)> {
    let wire = |base, oid| Wire { base, oid, cast: None, copy: true };
    Some(match base.name.as_str() {
        "bool" => (Type::Boolean, wire("bool", 16)),
        "int2" => (Type::Smallint, wire("int2", 21)),
        "int4" => (Type::Integer, wire("int4", 23)),
        "int8" => (Type::Bigint, wire("int8", 20)),
        "float4" => (Type::Real, wire("float4", 700)),
        "float8" => (Type::Double, wire("float8", 701)),
        "numeric" => (numeric(base.modifier), wire("numeric", 1700)),
        "text" | "varchar" | "bpchar" | "citext" | "name" => (Type::Text, wire("text", 25)),
        "timestamptz" => (Type::Timestamp, wire("timestamptz", 1184)),
        "timestamp" => (Type::Datetime, wire("timestamp", 1114)),
        "date" => (Type::Date, wire("date", 1082)),
        "uuid" => (Type::Uuid, wire("uuid", 2950)),
        "json" => (Type::Json, wire("json", 114)),
        "jsonb" => (Type::Json, wire("jsonb", 3802)),
        "bytea" => (Type::Binary, wire("bytea", 17)),
        _ if base.class == 'e' => (Type::Text, Wire { cast: Some(base.declared.clone()), ..wire("text", 25) }),
        // Other scalars, from their text.
        _ if matches!(base.class, 'b' | 'r') && base.category != 'A' => {
            (Type::Text, Wire { cast: Some(base.declared.clone()), copy: false, ..wire("text", 25) })
        }
        _ => return None,
    })
}

/// `numeric(p,s)`; without limits, or with some that are beyond us, any number.
fn numeric(modifier: i32) -> Type {
    if modifier < 4 {
        return Type::Number;
    }
    let (precision, scale) = ((modifier - 4) >> 16 & 0xffff, (modifier - 4) & 0x7ff);
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => Type::Decimal { precision, scale },
        _ => Type::Number,
    }
}

/// The type that a column is declared with.
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
        Type::Json => "jsonb",
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
    }
}
