//! The columns that a table gets: those that it is made with, and those that are added.
use super::{Columns, Found, Mode, Naming, Options, Unknown};
use dataflow_core::types::Type;
use dataflow_sdk::{Error, batch::Column};

/// Returns the columns of a table to be created, from the spec and the first batch. `None`: records with a value have to be
/// awaited, for each part of the key. Columns of [any](Type::Any) type only if no field has a value: they hold rows of nulls.
///
/// # Errors
/// [`Error::Fatal`] if the table can't have a column that it has to have.
pub fn new_columns(options: &Options, naming: &Naming, first: Option<&[Column]>) -> Result<Option<Vec<Column>>, Error> {
    let (table, key) = (&options.table, options.key());
    let columns = match (&options.columns, first) {
        (Some(Columns::Types(types)), _) => {
            types.iter().map(|(name, ty)| Column { name: name.clone(), ty: *ty }).collect()
        }
        (_, None) => return Ok(None),
        (columns, Some(first)) => {
            let typed = |name: &str| first.iter().find(|column| column.name == name && column.ty != Type::Any);
            if let Some(missing) = key.iter().find(|name| typed(name).is_none()) {
                if missing.contains('.') {
                    let message = format!(
                        "table {table} can't be created for a field inside another, {missing}, which key names"
                    );
                    let fix = "give columns with their types, or take the field out with a map transform";
                    return Err(Error::fatal("column-missing", message).fix(fix).for_user());
                }
                return Ok(None);
            }
            match columns {
                // A field that the first batch lacks may turn out to have any type.
                Some(columns) => {
                    let json = |name: &str| Column { name: name.into(), ty: Type::Json };
                    columns.names().into_iter().map(|name| typed(name).cloned().unwrap_or_else(|| json(name))).collect()
                }
                None => of_first(options, naming, first),
            }
        }
    };
    naming.refuse(table, &columns, std::iter::empty())?;
    if columns.is_empty() {
        return Ok(None);
    }
    if let Some(missing) = key.iter().find(|name| columns.iter().all(|column| column.name != **name)) {
        let message = format!(
            "table {table} can't be created: another field has the same name for {} as {missing}, which key names",
            naming.database
        );
        return Err(Error::fatal("column-missing", message).fix("rename one of them with a map transform").for_user());
    }
    if (options.mode == Some(Mode::Upsert) || options.op.is_some()) && options.key.is_none() {
        let by = if options.op.is_some() { "op" } else { "mode: upsert" };
        let message = format!("{by} needs a key to create table {table}");
        return Err(Error::fatal("key-missing", message).fix("give key").for_user());
    }
    Ok(Some(columns))
}

/// The columns of a table for the fields of its first batch: those with a value, or all if none has one. A field whose name
/// can't be a column counts as one without a column, unless every field is to get one: of names that are the same to the
/// database, the first one gets it.
fn of_first(options: &Options, naming: &Naming, first: &[Column]) -> Vec<Column> {
    let (typed, valueless): (Vec<Column>, Vec<Column>) =
        first.iter().cloned().partition(|column| column.ty != Type::Any);
    let admitted = |columns: Vec<Column>| naming.admitted(&columns, std::iter::empty());
    match options.unknown_fields {
        Some(Unknown::Add) if !typed.is_empty() => typed,
        _ => Some(admitted(typed)).filter(|columns| !columns.is_empty()).unwrap_or_else(|| admitted(valueless)),
    }
}

/// A table gets no more columns than these by itself: names of fields may be data.
const MOST_COLUMNS: usize = 1_000;

/// Returns the columns to add to an existing table: those that `columns` names with a type and the table lacks, and
/// `new` fields of records. `added` receives the columns to write from here on, including those that another lane has
/// added.
///
/// # Errors
/// [`Error::Fatal`] if the database can't have such a column.
pub fn columns_to_add(
    options: &Options,
    naming: &Naming,
    found: &Found,
    new: Option<&[Column]>,
    added: &mut Vec<String>,
) -> Result<Vec<Column>, Error> {
    if !options.adds_columns() {
        return Ok(Vec::new());
    }
    // A field whose name can't be a column counts as one without a column, unless every field is to get one.
    let there = found.columns.iter().map(|column| column.name.as_str());
    let new: Vec<Column> = new.unwrap_or_default().iter().filter(|column| column.ty != Type::Any).cloned().collect();
    let new = match options.unknown_fields {
        Some(Unknown::Add) => new,
        _ => {
            let is_there = |column: &Column| there.clone().any(|name| name == column.name);
            let (known, lacking): (Vec<Column>, Vec<Column>) =
                naming.admitted(&new, there.clone()).into_iter().partition(is_there);
            let room = MOST_COLUMNS.saturating_sub(found.columns.len());
            known.into_iter().chain(lacking.into_iter().take(room)).collect()
        }
    };
    added.extend(new.iter().map(|column| column.name.clone()));
    added.sort();
    added.dedup();
    let typed = match &options.columns {
        Some(Columns::Types(types)) => types.iter().map(|(name, ty)| Column { name: name.clone(), ty: *ty }).collect(),
        _ => Vec::new(),
    };
    let lacking = |column: &Column| found.columns.iter().all(|known| known.name != column.name);
    let columns: Vec<Column> = typed.into_iter().chain(new.iter().cloned()).filter(lacking).collect();
    naming.refuse(&options.table, &columns, there)?;
    Ok(columns)
}
