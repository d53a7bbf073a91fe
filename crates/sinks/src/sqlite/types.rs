//! Types of columns: SQLite's declared types to ours and back.
use dataflow_core::types::Type;

/// The type that values of a column are asked for in, by its declared type.
pub(super) fn of_declared(declared: &str) -> Type {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    match declared.as_str() {
        "" | "ANY" => Type::Json,
        _ if has("JSON") => Type::Json,
        _ if has("BOOL") => Type::Boolean,
        _ if has("WITHOUT TIME ZONE") => Type::Datetime,
        _ if has("TIMESTAMP") || has("DATETIME") => Type::Timestamp,
        "DATE" => Type::Date,
        // SQLite's own rules for what a declared type means, in their order.
        _ if has("INT") => Type::Bigint,
        _ if has("CHAR") || has("CLOB") || has("TEXT") || has("STRING") || has("UUID") => Type::Text,
        _ if has("BLOB") => Type::Binary,
        _ if has("REAL") || has("FLOA") || has("DOUB") => Type::Double,
        _ if has("NUMERIC") || has("DECIMAL") || has("NUMBER") => Type::Number,
        _ => Type::Json,
    }
}

/// Whether a column takes values of any type: it is asked for as JSON, and scalars are stored as themselves.
pub(super) fn takes_anything(declared: &str) -> bool {
    of_declared(declared) == Type::Json && !declared.to_ascii_uppercase().contains("JSON")
}

/// The type that a column is declared with.
pub(super) fn declare(ty: Type) -> String {
    match ty {
        Type::Boolean => "BOOLEAN",
        Type::Smallint | Type::Integer | Type::Bigint => "INTEGER",
        Type::Real | Type::Double => "REAL",
        Type::Decimal { .. } | Type::Number => "NUMERIC",
        Type::Text | Type::Uuid => "TEXT",
        Type::Timestamp => "TIMESTAMP",
        Type::Datetime => "DATETIME WITHOUT TIME ZONE",
        Type::Date => "DATE",
        Type::Binary => "BLOB",
        // With TEXT in it, so that SQLite leaves numbers as they are written.
        Type::Json => "JSON TEXT",
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
        ] {
            assert_eq!(of_declared(&declare(ty)), back, "{}", declare(ty));
        }
        for (declared, ty) in [
            ("varchar(20)", Type::Text),
            ("unsigned big int", Type::Bigint),
            ("decimal(10,2)", Type::Number),
            ("datetime", Type::Timestamp),
        ] {
            assert_eq!(of_declared(declared), ty, "{declared}");
        }
        assert!(takes_anything("") && takes_anything("any") && takes_anything("MONEY") && !takes_anything("JSON"));
    }
}
