//! Auditing a table: its rows are read one by one, and held against what the records say.
use super::{
    SqliteSink,
    affinity::Affinity,
    cell::Reader,
    database::Database,
    failure::{self, Blame},
    rows::{bind, is_there},
    schema,
    statement::{statements, there},
    types,
};
use crate::{
    blocking,
    table::{
        FoundColumn, Layout, Said,
        audit::{self, Cell, Class, Column, Equal, Expected, Same},
        ddl::{quote, quote_all},
        keys,
    },
};
use async_trait::async_trait;
use dataflow_core::types::Type;
use dataflow_sdk::{
    Context, Error,
    audit::{Audit, Audited, Auditor, Findings},
    batch::{Demand, Output},
    sink::CommitError,
};
use rusqlite::{Connection, types::ValueRef};
use std::path::PathBuf;

/// Opens the target for reading.
pub(super) fn open(config: &SqliteSink, cx: &Context, wanted: &Audit) -> Result<Audited, Error> {
    let mut options = config.options().as_journalled(&wanted.lanes)?;
    let target = Database::look(&config.path, config.fence_timeout.into())?;
    let failed = |error: &rusqlite::Error| failure::classify("read the tables of", &config.path, error);
    let found = match &target {
        Some(target) => schema::describe(&target.connection, &options.table).map_err(|error| failed(&error))?,
        None => None,
    };
    let (Some(target), Some(found)) = (target, found) else {
        return Ok(Audited {
            auditor: Box::new(audit::Gone::default()),
            demand: Demand::Documents,
            not_durable: Vec::new(),
        });
    };
    options.own = options.owns_what_it_made() && target.is_made(&options.table, cx, &wanted.generation)?;
    let layout = audit::layout(&options, &found)?;
    let strict = schema::is_strict(&target.connection, &options.table).map_err(|error| failed(&error))?;
    let key = layout.key_names();
    let collations = schema::collations(&target.connection, &options.table, &key).map_err(|error| failed(&error))?;
    let numbered = matches!(found.primary_key.as_slice(), [only] if is_row_id(&found.columns, only));
    let column = |place: usize| {
        let FoundColumn { name, declared, has_default, .. } = &found.columns[place];
        let fills = *has_default || numbered && found.primary_key.contains(name);
        let collation = key.iter().position(|column| column == name).map(|at| collations[at].as_str());
        Column { name: name.clone(), class: class(declared, strict), fills, equal: equal(collation) }
    };
    let columns: Vec<Column> = audit::compared(&options, &found, &layout).into_iter().map(column).collect();
    let demand = layout.demand();
    let auditor = SqliteAuditor {
        path: config.path.clone(),
        strict,
        judge: judge(&target.connection, &options.table).map_err(|error| failed(&error))?,
        expected: Expected::new(columns.clone(), &key, &wanted.volatile)?,
        table: options.table,
        layout,
        collations,
        columns,
        target,
    };
    Ok(Audited { auditor: Box::new(auditor), demand, not_durable: Vec::new() })
}

/// When two texts of a key's column are the same.
fn equal(collation: Option<&str>) -> Equal {
    match collation {
        Some("NOCASE") => Equal::InAnyCase,
        Some("RTRIM") => Equal::UpToBlanks,
        _ => Equal::Exactly,
    }
}

/// Whether the only column of a primary key is the number of the row, which SQLite makes where a record has none.
fn is_row_id(columns: &[FoundColumn], key: &str) -> bool {
    columns.iter().any(|column| column.name == key && column.declared.eq_ignore_ascii_case("integer"))
}

/// An empty table like the target, to see which rows it refuses. A view has no rules of its own.
fn judge(target: &Connection, table: &str) -> rusqlite::Result<Option<Connection>> {
    let sql = "select sql from sqlite_schema where type = 'table' and name = ?1 collate nocase";
    let Ok(sql) = target.query_row(sql, [table], |row| row.get::<_, String>(0)) else { return Ok(None) };
    let judge = Connection::open_in_memory()?;
    judge.execute_batch("pragma foreign_keys = off")?;
    Ok(judge.execute_batch(&sql).is_ok().then_some(judge))
}

/// What a column of a declared type holds.
fn class(declared: &str, strict: bool) -> Class {
    match types::of_declared(declared) {
        Type::Boolean => Class::Boolean,
        Type::Text => Class::Text,
        Type::Timestamp => Class::Instant,
        Type::Datetime => Class::Datetime,
        Type::Date => Class::Date,
        Type::Binary => Class::Bytes,
        Type::Json if matches!(Affinity::of(declared, strict), Affinity::Text | Affinity::Blob) => Class::Json,
        Type::Json => Class::NumericJson,
        Type::Any => Class::Anything,
        Type::Bigint => Class::Number,
        Type::Number => Class::Numeric,
        _ => Class::Double,
    }
}

struct SqliteAuditor {
    path: PathBuf,
    target: Database,
    table: String,
    strict: bool,
    layout: Layout,
    /// By which the columns of the key are compared.
    collations: Vec<String>,
    columns: Vec<Column>,
    expected: Expected,
    /// An empty table like the target.
    judge: Option<Connection>,
}

impl SqliteAuditor {
    fn failed(&self, error: &rusqlite::Error) -> Error {
        failure::classify("audit", &self.path, error)
    }

    fn compare(self) -> Result<Findings, Error> {
        let Self { mut expected, target, table, columns, path, .. } = self;
        let failed = |error: rusqlite::Error| failure::classify("audit", &path, &error);
        expected.begin()?;
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let sql = format!("select {} from {}", quote_all(&names), quote(&table));
        let mut statement = target.connection.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let cells = columns.iter().enumerate().map(|(at, column)| Ok(cell(column.class, row.get_ref(at)?)));
            expected.found(cells.collect::<rusqlite::Result<_>>().map_err(failed)?, &Same::new())?;
        }
        expected.finish()
    }

    /// Why the table would refuse each row.
    fn judge(&self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        let outputs = std::slice::from_ref(output);
        let batches = keys::batches(outputs)?;
        let Some(batch) = batches.first() else { return Ok(Vec::new()) };
        let mut causes: Vec<Option<String>> = vec![None; output.len()];
        if let Err(CommitError::Rejected(rows)) = keys::refuse_nulls(&self.layout, outputs) {
            rows.into_iter().for_each(|row| causes[row.row] = Some(row.cause));
        }
        let columns = self
            .layout
            .slots
            .iter()
            .zip(batch.columns())
            .map(|(slot, column)| Reader::new(slot, self.strict, column.as_ref()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for (row, cause) in causes.iter_mut().enumerate().filter(|(_, cause)| cause.is_none()) {
            let deletes = output.deletes(row);
            let fields = match deletes {
                true => self.layout.key.as_slice().into(),
                false => (0..columns.len()).filter(|place| !batch.is_absent(*place, row)).collect(),
            };
            *cause = self.refuses(&columns, &Said { fields, deletes }, row).map_err(|error| self.failed(&error))?;
        }
        Ok(causes)
    }

    fn refuses(&self, columns: &[Reader<'_>], said: &Said, row: usize) -> rusqlite::Result<Option<String>> {
        let values: Result<Vec<_>, String> = said.fields.iter().map(|place| columns[*place].value(row)).collect();
        let values = match values {
            Ok(values) => values,
            Err(cause) => return Ok(Some(cause)),
        };
        // An empty table has no row that could not be deleted.
        let Some(judge) = self.judge.as_ref().filter(|_| !said.deletes) else { return Ok(None) };
        judge.execute_batch("savepoint judged")?;
        let layout = Layout { key: Vec::new(), ..self.layout.clone() };
        let sql = statements(&layout, &[], &self.table, said).texts.concat();
        let written = judge.prepare_cached(&sql).and_then(|mut insert| {
            values
                .into_iter()
                .enumerate()
                .try_for_each(|(index, value)| insert.raw_bind_parameter(index + 1, value))?;
            insert.raw_execute()
        });
        judge.execute_batch("rollback to judged; release judged")?;
        match written.err().filter(|error| failure::blame(error) != Blame::World) {
            // What it lacks the row that it changes may have.
            Some(error) if !self.changes(columns, said, row)? => Ok(Some(failure::words(&error))),
            Some(_) | None => Ok(None),
        }
    }

    /// Whether a row that lacks fields only changes one that is there.
    fn changes(&self, columns: &[Reader<'_>], said: &Said, row: usize) -> rusqlite::Result<bool> {
        if !self.layout.patches(|place| said.fields.contains(&place)) {
            return Ok(false);
        }
        let key = &self.layout.key;
        let mut there =
            self.target.connection.prepare_cached(&there(&self.layout, &self.collations, &self.table, key))?;
        match bind(&mut there, columns, &self.layout, key, row)? {
            Ok(()) => is_there(&mut there),
            Err(_) => Ok(false),
        }
    }
}

/// A value that the column gives back.
fn cell(class: Class, value: ValueRef<'_>) -> Cell {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(integer) => class.stored_integer(integer),
        ValueRef::Real(real) => class.stored_double(real),
        ValueRef::Text(text) => class.stored_text(&String::from_utf8_lossy(text)),
        ValueRef::Blob(blob) => class.stored_bytes(blob),
    })
}

#[async_trait]
impl Auditor for SqliteAuditor {
    async fn expect(&mut self, rows: &Output) -> Result<(), Error> {
        let said = self.expected.said(rows)?;
        self.expected.keep(said)
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        self.judge(output)
    }

    fn is_own_reason(&self, cause: &str) -> bool {
        cause.starts_with(&keys::refused_by(&self.table, ""))
    }

    async fn finish(self: Box<Self>) -> Result<Findings, Error> {
        blocking::run(move || self.compare()).await?
    }
}
