//! Types of columns: SQLite's declared types to ours and back.
use super::affinity::Affinity;
use dataflow_core::types::Type;

/// The type that values of a column are asked for in, by its declared type: first what it says to people (JSON, BOOLEAN,
/// TIMESTAMP, …), as far as its affinity can hold that, then its affinity.
pub(super) fn of_declared(declared: &str) -> Type {
    let affinity = Affinity::of(declared, false);
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    let speaks = matches!(affinity, Affinity::Numeric | Affinity::Text);
    match affinity {
        _ if has("JSON") => Type::Json,
        Affinity::Numeric if has("BOOL") => Type::Boolean,
        _ if speaks && has("WITHOUT TIME ZONE") => Type::Datetime,
        _ if speaks && (has("TIMESTAMP") || has("DATETIME")) => Type::Timestamp,
        _ if speaks && matches!(declared.as_str(), "DATE" | "DATE TEXT") => Type::Date,
        Affinity::Integer if declared.split(|char: char| !char.is_ascii_alphabetic()).any(is_integer) => Type::Bigint,
        Affinity::Text => Type::Text,
        Affinity::Blob if !declared.is_empty() => Type::Binary,
        Affinity::Real => Type::Double,
        Affinity::Numeric if has("STRING") || has("UUID") || has("GUID") => Type::Text,
        Affinity::Numeric if ["NUMERIC", "DEC", "NUMBER", "MONEY"].iter().any(|part| has(part)) => Type::Number,
        Affinity::Integer | Affinity::Blob | Affinity::Numeric => Type::Any,
    }
}

/// Whether a word of a declared type means an integer; INTERVAL and POINT have INT in them by chance.
fn is_integer(word: &str) -> bool {
    word.ends_with("INTEGER") || word.ends_with("INT") && !word.ends_with("POINT")
}

/// The type that integers are declared with.
pub(super) const INTEGER: &str = "INTEGER";

/// The type that a column is declared with.
pub(super) fn declare(ty: Type) -> String {
    match ty {
        Type::Boolean => "BOOLEAN",
        Type::Smallint | Type::Integer | Type::Bigint => INTEGER,
        Type::Real | Type::Double => "REAL",
        Type::Decimal { .. } | Type::Number => "NUMERIC",
        Type::Text | Type::Uuid => "TEXT",
        Type::Timestamp => "TIMESTAMP",
        Type::Datetime => "DATETIME WITHOUT TIME ZONE",
        Type::Date => "DATE",
        Type::Binary => "BLOB",
        // With TEXT in it, so that SQLite leaves numbers as they are written.
        Type::Json => "JSON TEXT",
        // A column without a type holds every value as it is.
        Type::Any => "",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_read_back() {
        for (ty, back) in [
            (Type::Boolean, Type::Boolean),
            (Type::Integer, Type::Bigint),
            (Type::Double, Type::Double),
            (Type::Number, Type::Number),
            (Type::Text, Type::Text),
            (Type::Timestamp, Type::Timestamp),
            (Type::Datetime, Type::Datetime),
            (Type::Date, Type::Date),
            (Type::Binary, Type::Binary),
            (Type::Json, Type::Json),
            (Type::Any, Type::Any),
        ] {
            assert_eq!(of_declared(&declare(ty)), back, "{}", declare(ty));
        }
        for (declared, ty) in [
            ("varchar(20)", Type::Text),
            ("unsigned big int", Type::Bigint),
            ("int8", Type::Bigint),
            ("decimal(10,2)", Type::Number),
            ("datetime", Type::Timestamp),
            ("datetime text", Type::Timestamp),
            ("string", Type::Text),
            ("boolean text", Type::Text),
            ("double precision", Type::Double),
            ("bigint timestamp", Type::Bigint),
        ] {
            assert_eq!(of_declared(declared), ty, "{declared}");
        }
        for declared in ["", "any", "POINT", "interval", "FLOATING POINT", "whatever"] {
            assert_eq!(of_declared(declared), Type::Any, "{declared}");
        }
        assert_eq!(of_declared("JSON"), Type::Json);
    }
}
