//! Auditing a table: the expected rows are written to a temporary database, which has the target attached for reading.
use super::{
    SqliteSink,
    cell::Reader,
    database::Database,
    failure::{self, Blame},
    schema,
    writer::statements,
};
use crate::{
    blocking,
    table::{
        Layout,
        audit::{self, Comparison, Differences, PARTITION, POSITION, Row},
        ddl::{quote, quote_all},
        keys::{self, reject},
    },
};
use async_trait::async_trait;
use dataflow_sdk::{
    Error,
    audit::{Audit, Audited, Auditor, Findings, Origins},
    batch::{Demand, Output},
    sink::{CommitError, RejectedRow},
};
use rusqlite::{Connection, types::ValueRef};
use std::{path::PathBuf, sync::Arc};

/// Opens the target for reading, and makes the table of expected rows.
pub(super) fn open(config: &SqliteSink, wanted: &Audit) -> Result<Audited, Error> {
    let options = config.options();
    let target = Database::look(&config.path, config.fence_timeout.into())?;
    let found = match &target {
        Some(target) => schema::describe(&target.connection, &options.table)
            .map_err(|error| target.failed("read the tables of", &error))?,
        None => None,
    };
    let (Some(target), Some(found)) = (target, found) else {
        let auditor = audit::Gone::default();
        return Ok(Audited { auditor: Box::new(auditor), demand: Demand::Columns(Vec::new()) });
    };
    let layout = audit::layout(&options, &found)?;
    let mut auditor = SqliteAuditor {
        path: config.path.clone(),
        strict: schema::is_strict(&target.connection, &options.table)
            .map_err(|error| target.failed("read the tables of", &error))?,
        table: options.table,
        compared: audit::compared(&layout, &wanted.volatile),
        layout: Arc::new(layout),
        scratch: Some(
            Connection::open("").map_err(|error| failure::classify("open a scratch file for", &config.path, &error))?,
        ),
        judge: None,
        origins: Origins::default(),
    };
    auditor.prepare(&target)?;
    let demand = auditor.layout.demand();
    Ok(Audited { auditor: Box::new(auditor), demand })
}

struct SqliteAuditor {
    path: PathBuf,
    table: String,
    strict: bool,
    layout: Arc<Layout>,
    compared: Vec<usize>,
    /// Where expected rows are. Away while a thread works with it.
    scratch: Option<Connection>,
    /// An empty table like the target, to see which rows it refuses.
    judge: Option<Connection>,
    origins: Origins,
}

impl SqliteAuditor {
    fn failed(&self, error: &rusqlite::Error) -> Error {
        failure::classify("audit", &self.path, error)
    }

    /// Makes the table of expected rows: columns declared as the target's, so that values are stored alike.
    fn prepare(&mut self, target: &Database) -> Result<(), Error> {
        let strict = target
            .connection
            .query_row("select strict from pragma_table_list(?1) where schema = 'main'", [&self.table], |row| {
                row.get::<_, bool>(0)
            })
            .unwrap_or(false);
        let columns = self.layout.slots.iter().map(|slot| format!("{} {}", quote(&slot.column.name), slot.declared));
        let columns: Vec<String> = columns.collect();
        let names: Vec<String> = self.layout.slots.iter().map(|slot| slot.column.name.clone()).collect();
        let key: Vec<String> = self.layout.key.iter().map(|place| names[*place].clone()).collect();
        let unique = match key.is_empty() {
            true => String::new(),
            false => format!(", unique ({}, {PARTITION})", quote_all(&key)),
        };
        let strict = if strict { " strict" } else { "" };
        let create = format!(
            "create table expected ({}, {PARTITION} integer, {POSITION} integer{}{unique}){strict}",
            columns.join(", "),
            (0..columns.len()).map(|place| format!(", {} integer", known(place))).collect::<String>(),
        );
        let sql = target.connection.query_row(
            "select sql from sqlite_schema where type = 'table' and name = ?1",
            [&self.table],
            |row| row.get::<_, String>(0),
        );
        let made = (|| {
            let Some(scratch) = &self.scratch else { return Ok(None) };
            scratch.execute_batch("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -16000")?;
            scratch.execute_batch(&create)?;
            scratch.execute_batch("begin")?;
            let judge = Connection::open_in_memory()?;
            judge.execute_batch("pragma foreign_keys = off")?;
            // A view has no rules of its own.
            Ok(sql.ok().and_then(|sql| judge.execute_batch(&sql).ok()).map(|()| judge))
        })();
        self.judge = made.map_err(|error: rusqlite::Error| self.failed(&error))?;
        Ok(())
    }

    /// Writes the rows of one output to the table of expected rows.
    fn write(&self, scratch: &Connection, output: &Output, partition: u32) -> Result<(), CommitError> {
        let layout = &self.layout;
        let outputs = std::slice::from_ref(output);
        keys::refuse_nulls(layout, outputs, &keys::batches(outputs)?)?;
        let failed = |error: rusqlite::Error| self.failed(&error);
        let batches = keys::batches(outputs)?;
        let Some(batch) = batches.first() else { return Ok(()) };
        let columns = layout
            .slots
            .iter()
            .zip(batch.columns())
            .map(|(slot, column)| Reader::new(slot, self.strict, column.as_ref()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let mut rejected: Vec<RejectedRow> = Vec::new();
        // Rows that can't be stored are found before any is written.
        for row in 0..batch.num_rows() {
            let refused = columns.iter().zip(&layout.slots).find_map(|(column, slot)| {
                column.value(row).err().map(|cause| format!("column {} ({}): {cause}", slot.column.name, slot.declared))
            });
            rejected.extend(refused.map(|cause| reject(outputs, keys::Place { output: 0, row }, &cause)));
        }
        if !rejected.is_empty() {
            return Err(CommitError::Rejected(rejected));
        }
        for row in 0..batch.num_rows() {
            let fields: Vec<usize> = (0..columns.len()).filter(|place| !batch.is_absent(*place, row)).collect();
            let mut insert = scratch.prepare_cached(&expecting(layout, &fields)).map_err(failed)?;
            for (index, place) in fields.iter().enumerate() {
                let value = columns[*place].value(row).map_err(|cause| Error::fatal("internal", cause))?;
                insert.raw_bind_parameter(index + 1, value).map_err(failed)?;
            }
            let position = output.records.offsets[output.rows[row] as usize];
            insert.raw_bind_parameter(fields.len() + 1, partition).map_err(failed)?;
            insert.raw_bind_parameter(fields.len() + 2, position as i64).map_err(failed)?;
            insert.raw_execute().map_err(failed)?;
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<Findings, Error> {
        let Some(scratch) = self.scratch.take() else { return Ok(Findings::default()) };
        let failed = |error: rusqlite::Error| failure::classify("audit", &self.path, &error);
        scratch.execute_batch("commit").map_err(failed)?;
        scratch.execute("attach ?1 as target", [uri(&self.path)]).map_err(failed)?;
        let target = format!("target.{}", quote(&self.table));
        // What a record did not say, its default, can't be told: without a key, not even of which row.
        let is_known = |place: usize| {
            let sql = format!("select coalesce(min({0} is not null), 1) from main.expected", known(place));
            scratch.query_row(&sql, [], |row| row.get::<_, bool>(0)).map_err(failed)
        };
        let mut compared = Vec::new();
        for place in self.compared.iter().copied() {
            if !self.layout.key.is_empty() || !self.layout.slots[place].has_default || is_known(place)? {
                compared.push(place);
            }
        }
        let comparison = Comparison {
            layout: &self.layout,
            target: &target,
            expected: "main.expected",
            compared: compared.clone(),
            known: Some(&|of, place| format!("{of}.{} is not null", known(place))),
            comparable: &|_, column| column,
            text: |column| column,
        };
        let count = |sql: &str| {
            scratch.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|count| count as u64).map_err(failed)
        };
        let found = count(&format!("select count(*) from {target}"))?;
        let keyed = !self.layout.key.is_empty();
        let expected = count(&if keyed { comparison.keys() } else { "select count(*) from main.expected".into() })?;
        let origins = std::mem::take(&mut self.origins);
        let mut differences = Differences::new(&self.layout, &compared, origins, expected, found);
        let width = self.layout.slots.len();
        let each =
            |sql: &str, of_row: &mut dyn FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>| -> rusqlite::Result<()> {
                let mut statement = scratch.prepare(sql)?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    of_row(row)?;
                }
                Ok(())
            };
        let row = |row: &rusqlite::Row<'_>, from: usize, origin: Option<usize>| -> rusqlite::Result<Row> {
            let cells = (from..from + width).map(|at| row.get_ref(at).map(cell)).collect::<Result<_, _>>()?;
            let origin: Option<String> = origin.map_or(Ok(None), |at| row.get(at))?;
            Ok(Row::new(cells, origin.as_deref()))
        };
        let compared: rusqlite::Result<()> = (|| {
            if !keyed {
                return each(&comparison.numbers(), &mut |found| {
                    let (wanted, there): (i64, i64) = (found.get(width)?, found.get(width + 1)?);
                    differences.number(row(found, 0, Some(width + 2))?, wanted as u64, there as u64);
                    Ok(())
                });
            }
            each(&comparison.lost(), &mut |found| {
                differences.lost(row(found, 0, Some(width))?);
                Ok(())
            })?;
            each(&comparison.altered(), &mut |found| {
                differences.altered(&row(found, 0, Some(2 * width))?, &row(found, width, None)?);
                Ok(())
            })?;
            each(&comparison.unexpected(), &mut |found| {
                differences.unexpected(row(found, 0, None)?);
                Ok(())
            })
        })();
        compared.map_err(failed)?;
        Ok(differences.finish())
    }

    /// What the empty table says of each row.
    fn judge(&self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        let outputs = std::slice::from_ref(output);
        let batches = keys::batches(outputs)?;
        let Some(batch) = batches.first() else { return Ok(Vec::new()) };
        let mut causes: Vec<Option<String>> = vec![None; output.len()];
        if let Err(CommitError::Rejected(rows)) = keys::refuse_nulls(&self.layout, outputs, &batches) {
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
            let fields: Vec<usize> = (0..columns.len()).filter(|place| !batch.is_absent(*place, row)).collect();
            *cause = self.refuses(&columns, &fields, row).map_err(|error| self.failed(&error))?;
        }
        Ok(causes)
    }

    fn refuses(&self, columns: &[Reader<'_>], fields: &[usize], row: usize) -> rusqlite::Result<Option<String>> {
        let values: Result<Vec<_>, String> = fields.iter().map(|place| columns[*place].value(row)).collect();
        let values = match values {
            Ok(values) => values,
            Err(cause) => return Ok(Some(cause)),
        };
        let Some(judge) = &self.judge else { return Ok(None) };
        judge.execute_batch("savepoint judged")?;
        let layout = Layout { key: Vec::new(), ..(*self.layout).clone() };
        let sql = statements(&layout, &self.table, fields, &[]).concat();
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

/// The column that says whether an expected row knows another one.
fn known(place: usize) -> String {
    format!("dataflow_known_{place}")
}

/// The statement that writes an expected row with these fields, over what an earlier record of its key and partition said.
fn expecting(layout: &Layout, fields: &[usize]) -> String {
    let name = |place: &usize| quote(&layout.slots[*place].column.name);
    let mut names: Vec<String> = fields.iter().map(name).collect();
    names.extend([PARTITION.into(), POSITION.into()]);
    let values = vec!["?"; names.len()].join(", ");
    let flags: String = fields.iter().map(|place| format!(", {}", known(*place))).collect();
    let insert =
        format!("insert into expected ({}{flags}) values ({values}{})", names.join(", "), ", 1".repeat(fields.len()));
    if layout.key.is_empty() {
        return insert;
    }
    let key: Vec<String> = layout.key.iter().map(name).collect();
    let flags = fields.iter().map(|place| format!("{} = 1", known(*place)));
    let set = names.iter().map(|name| format!("{name} = excluded.{name}")).chain(flags);
    let set = set.collect::<Vec<_>>().join(", ");
    format!("{insert} on conflict ({}, {PARTITION}) do update set {set}", key.join(", "))
}

/// The file, for reading only.
fn uri(path: &std::path::Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(*byte as char),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?mode=ro"
}

fn cell(value: ValueRef<'_>) -> Option<String> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(integer) => integer.to_string(),
        ValueRef::Real(real) => format!("{real:?}"),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(blob) => blob.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

#[async_trait]
impl Auditor for SqliteAuditor {
    async fn expect(&mut self, outputs: &[Output]) -> Result<(), CommitError> {
        for output in outputs {
            let partition = self.origins.partition(output);
            if let Some(scratch) = &self.scratch {
                self.write(scratch, output, partition)?;
            }
        }
        Ok(())
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        self.judge(output)
    }

    async fn finish(mut self: Box<Self>) -> Result<Findings, Error> {
        blocking::run(move || self.compare()).await?
    }
}
