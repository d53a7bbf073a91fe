//! How an audit compares the values of each type.
use crate::table::audit::Class;
use deadpool_postgres::ClientWrapper;
use std::collections::BTreeMap;

/// Each column's type below any domains, and, for an array, that of its elements.
const TYPES: &str = "with recursive base (name, type) as ( \
        select attname, atttypid from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped \
        union all select name, typbasetype from base join pg_type on oid = type where typtype = 'd'), \
    element (name, type) as ( \
        select name, typelem from base join pg_type on oid = type where typcategory = 'A' and typlen = -1 and typelem <> 0 \
        union all select name, typbasetype from element join pg_type on oid = type where typtype = 'd') \
    select b.name::text, t.typname::text, t.typtype::text, format_type(t.oid, null), et.typname::text, et.typtype::text, format_type(et.oid, null) \
    from base b join pg_type t on t.oid = b.type and t.typtype <> 'd' \
    left join (element e join pg_type et on et.oid = e.type and et.typtype <> 'd') on e.name = b.name";

/// How a column is compared.
pub(super) struct Compared {
    pub(super) class: Class,
    /// The type whose text the server has to produce, because one value can be written in several ways.
    pub(super) spelling: Option<String>,
    /// The type without a length, as which values are printed.
    pub(super) cast: String,
    /// The type of an array's elements.
    pub(super) element: Option<String>,
}

/// The class of a type; `None`: only the server knows when two of its values are the same.
fn class(name: &str, kind: &str) -> Option<Class> {
    Some(match name {
        "bool" => Class::Boolean,
        "int2" | "int4" | "int8" | "numeric" | "oid" | "money" => Class::Number,
        "float4" => Class::Real,
        "float8" => Class::Double,
        "text" | "varchar" | "citext" | "name" => Class::Text,
        "bpchar" => Class::Padded,
        "timestamptz" => Class::Instant,
        "timestamp" => Class::Datetime,
        "date" => Class::Date,
        "uuid" => Class::Uuid,
        "json" | "jsonb" => Class::Json,
        "bytea" => Class::Bytes,
        _ if kind == "e" => Class::Text,
        _ => return None,
    })
}

/// The class of a type that can be an array's element.
fn element(name: &str, kind: &str) -> Option<&'static Class> {
    Some(match class(name, kind)? {
        Class::Boolean => &Class::Boolean,
        Class::Number => &Class::Number,
        Class::Real => &Class::Real,
        Class::Double => &Class::Double,
        Class::Padded => &Class::Padded,
        Class::Instant => &Class::Instant,
        Class::Datetime => &Class::Datetime,
        Class::Date => &Class::Date,
        Class::Uuid => &Class::Uuid,
        Class::Json => &Class::Json,
        _ => &Class::Text,
    })
}

/// How the columns of a table are compared, by their names.
pub(super) async fn compared(
    client: &ClientWrapper,
    target: &str,
) -> Result<BTreeMap<String, Compared>, tokio_postgres::Error> {
    let compared = |row: &tokio_postgres::Row| {
        let (name, kind, full): (&str, &str, String) = (row.get(1), row.get(2), row.get(3));
        if let (Some(of), Some(kind)) = (row.get::<_, Option<&str>>(4), row.get::<_, Option<&str>>(5)) {
            let element = element(of, kind);
            let spelling = element.is_none().then(|| match of {
                "bit" => "varbit".into(),
                _ => row.get(6),
            });
            let class = Class::List(element.unwrap_or(&Class::Text));
            return Compared { class, spelling, cast: full, element: row.get(6) };
        }
        let (class, spelling, cast) = match class(name, kind) {
            // Under its other name it has the length 1.
            Some(Class::Padded) => (Class::Padded, None, "bpchar".into()),
            // Its text is as the server's locale has it.
            Some(class) if name == "money" => (class, None, "numeric".into()),
            Some(class) => (class, None, full),
            // Without a length: a cast to it would truncate.
            None if name == "bit" => (Class::Text, Some("varbit".into()), "varbit".into()),
            None => (Class::Text, Some(full.clone()), full),
        };
        Compared { class, spelling, cast, element: None }
    };
    Ok(client.query(TYPES, &[&target]).await?.iter().map(|row| (row.get(0), compared(row))).collect())
}
