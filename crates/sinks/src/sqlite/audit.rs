//! Auditing a table: its rows are read one by one, and held against what the records say.
use super::{
    SqliteSink,
    affinity::Affinity,
    cell::Reader,
    database::Database,
    failure::{self, Blame},
    schema, types,
    writer::statements,
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
use rusqlite::{Connection, OptionalExtension, types::ValueRef};
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
    let numbered = matches!(found.primary_key.as_slice(), [only] if is_row_id(&found.columns, only));
    let column = |place: usize| {
        let FoundColumn { name, declared, has_default, .. } = &found.columns[place];
        let fills = *has_default || numbered && found.primary_key.contains(name);
        let equal = equal(&target.connection, &options.table, name)?;
        Ok(Column { name: name.clone(), class: class(declared, strict), fills, equal })
    };
    let columns = audit::compared(&options, &found, &layout).into_iter().map(column);
    let columns: Vec<Column> = columns.collect::<rusqlite::Result<_>>().map_err(|error| failed(&error))?;
    let demand = layout.demand();
    let auditor = SqliteAuditor {
        path: config.path.clone(),
        strict,
        judge: judge(&target.connection, &options.table).map_err(|error| failed(&error))?,
        expected: Expected::new(columns.clone(), &audit::key(&layout), &wanted.volatile)?,
        table: options.table,
        layout,
        columns,
        target,
    };
    Ok(Audited { auditor: Box::new(auditor), demand, not_durable: Vec::new() })
}

/// When two texts of a column are the same key: by the collation of the index that says so.
fn equal(target: &Connection, table: &str, column: &str) -> rusqlite::Result<Equal> {
    let sql = "select upper(x.coll) from pragma_index_list(?1) i, pragma_index_xinfo(i.name) x \
        where i.\"unique\" and x.key and x.name = ?2 limit 1";
    let collation: Option<String> = target.query_row(sql, [table, column], |row| row.get(0)).optional()?;
    Ok(match collation.as_deref() {
        Some("NOCASE") => Equal::InAnyCase,
        Some("RTRIM") => Equal::UpToBlanks,
        _ => Equal::Exactly,
    })
}

/// Whether the only column of a primary key is the number of the row, which SQLite makes where a record has none.
fn is_row_id(columns: &[FoundColumn], key: &str) -> bool {
    columns.iter().any(|column| column.name == key && column.declared.eq_ignore_ascii_case("integer"))
}

/// An empty table like the target, to see which rows it refuses. A view has no rules of its own.
fn judge(target: &Connection, table: &str) -> rusqlite::Result<Option<Connection>> {
    let sql = "select sql from sqlite_schema where type = 'table' and name = ?1";
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

    /// What the empty table says of each row.
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
        let Some(judge) = &self.judge else { return Ok(None) };
        judge.execute_batch("savepoint judged")?;
        let layout = Layout { key: Vec::new(), ..self.layout.clone() };
        let sql = statements(&layout, &self.table, said, &[]).concat();
        let written = judge.prepare_cached(&sql).and_then(|mut statement| {
            values
                .into_iter()
                .enumerate()
                .try_for_each(|(index, value)| statement.raw_bind_parameter(index + 1, value))?;
            statement.raw_execute()
        });
        judge.execute_batch("rollback to judged; release judged")?;
        Ok(written.err().filter(|error| failure::blame(error) != Blame::World).map(|error| failure::words(&error)))
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
