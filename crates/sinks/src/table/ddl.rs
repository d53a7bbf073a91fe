//! Statements that create tables, in the common dialect of both databases.
use dataflow_core::types::Type;
use dataflow_sdk::batch::Column;

/// Quotes a name, which makes it case-sensitive.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes each part of a table's name.
pub fn quote_table(table: &str) -> String {
    match table.split_once('.') {
        Some((schema, name)) => format!("{}.{}", quote(schema), quote(name)),
        None => quote(table),
    }
}

/// Quotes names and separates them by commas.
pub fn quote_all(names: &[String]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}

/// Builds `create table …`.
pub fn create_table(table: &str, columns: &[Column], key: &[String], type_name: impl Fn(Type) -> String) -> String {
    let mut parts: Vec<String> =
        columns.iter().map(|column| format!("{} {}", quote(&column.name), type_name(column.ty))).collect();
    if !key.is_empty() {
        parts.push(format!("primary key ({})", quote_all(key)));
    }
    format!("create table {} ({})", quote_table(table), parts.join(", "))
}

/// Builds `alter table … add column …`.
pub fn add_column(table: &str, column: &Column, type_name: impl Fn(Type) -> String) -> String {
    format!("alter table {} add column {} {}", quote_table(table), quote(&column.name), type_name(column.ty))
}

/// Builds `create unique index …`.
pub fn unique_index(table: &str, columns: &[String]) -> String {
    format!("create unique index on {} ({})", quote_table(table), quote_all(columns))
}

/// Builds the clause after `insert into … values …` that changes these columns of a row with the same key.
pub fn on_conflict(key: &[String], changed: &[String]) -> String {
    let written: Vec<String> = changed.iter().map(|name| format!("{0} = excluded.{0}", quote(name))).collect();
    match written.is_empty() {
        true => format!("on conflict ({}) do nothing", quote_all(key)),
        false => format!("on conflict ({}) do update set {}", quote_all(key), written.join(", ")),
    }
}
