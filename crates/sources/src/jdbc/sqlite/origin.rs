//! Which column of which table a column of a result is, and how it gets its values.
use dataflow_core::types::Type;
use rusqlite::{Connection, OptionalExtension, Result, Statement};

/// What a column prefers to store. Only numbers and texts are told apart: <https://sqlite.org/datatype3.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    Number,
    Text,
    /// As it comes.
    None,
}

/// How a column of numbers gets its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Each is higher than all that were ever given: `integer primary key autoincrement`.
    Rising,
    /// Each is one higher than the highest that is there: `integer primary key`.
    AboveHighest,
    /// By whoever writes.
    Given,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) table: String,
    pub(super) column: String,
    pub(super) numbers: Numbers,
    /// The expression of its default.
    pub(super) default: Option<String>,
    declared: String,
    is_strict: bool,
}

impl Origin {
    pub(super) fn affinity(&self) -> Affinity {
        let declared = self.declared.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
        match () {
            () if self.is_strict && declared == "ANY" => Affinity::None,
            () if has(&["INT"]) => Affinity::Number,
            () if has(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
            () if has(&["BLOB"]) || declared.is_empty() => Affinity::None,
            () => Affinity::Number,
        }
    }

    /// The type that all its values have; any, if that is not sure: unless a table is strict, SQLite takes any value for any column.
    fn ty(&self) -> Type {
        match self.declared.to_ascii_uppercase().as_str() {
            "INT" | "INTEGER" if self.is_strict => Type::Bigint,
            "REAL" if self.is_strict => Type::Double,
            "BLOB" if self.is_strict => Type::Binary,
            _ if self.numbers != Numbers::Given => Type::Bigint,
            // What is no text is bytes, which are text here, too.
            _ if self.affinity() == Affinity::Text => Type::Text,
            _ => Type::Any,
        }
    }
}

/// The type of a column of a result.
pub(super) fn ty(origin: Option<&Origin>) -> Type {
    origin.map_or(Type::Any, Origin::ty)
}

/// Where the columns of a statement come from: none, if a value is computed, or may come from one of several columns.
pub(super) fn origins(db: &Connection, sql: &str, statement: &Statement<'_>) -> Result<Vec<Option<Origin>>> {
    let columns = statement.columns_with_metadata();
    // SQLite names the column of one part of a union, and the one that a subquery in the place of a value takes.
    let hides = ["COMPOUND", "UNION", "MERGE", "EXCEPT", "INTERSECT", "RECURSIVE", "SCALAR SUBQUERY"];
    let is_plain = !plan(db, sql)?.iter().any(|step| hides.iter().any(|hidden| step.contains(hidden)));
    let origin = |column: &rusqlite::ColumnMetadata<'_>| match (
        column.database_name(),
        column.table_name(),
        column.origin_name(),
    ) {
        (Some("main"), Some(table), Some(name)) if is_plain => find(db, table, name),
        _ => Ok(None),
    };
    columns.iter().map(origin).collect()
}

fn find(db: &Connection, table: &str, column: &str) -> Result<Option<Origin>> {
    let sql = "select c.type, c.dflt_value, l.strict, \
          c.pk = 1 and upper(c.type) = 'INTEGER' and not l.wr \
          and not exists (select 1 from pragma_table_xinfo(?1) other where other.pk > 1) \
          and not exists (select 1 from pragma_index_list(?1) i where i.origin = 'pk') \
        from pragma_table_xinfo(?1) c, pragma_table_list(?1) l \
        where c.name = ?2 collate nocase and l.schema = 'main' and l.type = 'table'";
    let found = db.query_row(sql, [table, column], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get::<_, bool>(3)?))
    });
    let Some((declared, default, is_strict, is_row_id)) = found.optional()? else { return Ok(None) };
    let (.., rises) = db.column_metadata(Some("main"), table, column)?;
    let numbers = match (is_row_id, rises) {
        (true, true) => Numbers::Rising,
        (true, false) => Numbers::AboveHighest,
        (false, _) => Numbers::Given,
    };
    Ok(Some(Origin { table: table.into(), column: column.into(), numbers, default, declared, is_strict }))
}

/// What SQLite does for a statement, step by step.
pub(super) fn plan(db: &Connection, sql: &str) -> Result<Vec<String>> {
    let mut statement = db.prepare(&format!("explain query plan {sql}"))?;
    let parameters =
        rusqlite::params_from_iter(std::iter::repeat_n(rusqlite::types::Null, statement.parameter_count()));
    statement.query_map(parameters, |row| row.get("detail"))?.collect()
}
