//! Auditing a table: the expected rows are written to a temporary table with the very same encoding, and the database
//! compares the two.
use super::{
    PostgresSink,
    encode::{Encoder, Refused},
    failure,
    pool::Server,
    schema::{self, Described},
    statement::{Encoded, KNOWN, Statements},
    types::Wire,
};
use crate::table::{
    Layout, Order, Slot,
    audit::{self, Comparison, Differences, PARTITION, POSITION, Row},
    ddl::{quote, quote_all, quote_table},
    keys::{self, Place, reject},
};
use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use async_trait::async_trait;
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error,
    audit::{Audit, Audited, Auditor, Findings, Origins},
    batch::{Cells, Column, Demand, Output, Payload},
    sink::CommitError,
};
use deadpool_postgres::Object;
use futures::TryStreamExt;
use std::{pin::pin, sync::Arc};
use tokio_postgres::IsolationLevel;

const EXPECTED: &str = "pg_temp.dataflow_expected";
const JUDGE: &str = "pg_temp.dataflow_judge";

/// Opens the target for reading, and makes the table of expected rows.
pub(super) async fn open(config: &PostgresSink, wanted: &Audit) -> Result<Audited, Error> {
    let (server, options) = (config.server()?, config.options());
    let client = server.connection().await?;
    let target = quote_table(&options.table);
    let described = schema::describe(&client, &target).await;
    let described = described.map_err(|error| server.failed("look at the table in", &error))?;
    let Some(Described { found, mut wires }) = described else {
        return Ok(Audited { auditor: Box::new(audit::Gone::default()), demand: Demand::Columns(Vec::new()) });
    };
    let layout = audit::layout(&options, &found)?;
    let wires: Vec<Wire> = layout.slots.iter().filter_map(|slot| wires.remove(&slot.column.name)).collect();
    let demand = layout.demand();
    let traced = traced(&layout);
    let mut all_wires = wires.clone();
    all_wires.extend([Wire::plain("int4", 23), Wire::plain("int8", 20)]);
    let auditor = PostgresAuditor {
        expected: Statements::traced(EXPECTED, &traced, &all_wires),
        judge: Statements::new(JUDGE, &Layout { key: Vec::new(), ..layout.clone() }, &wires),
        compared: audit::compared(&layout, &wanted.volatile),
        traced,
        wires: all_wires,
        layout,
        server,
        client,
        target,
        origins: Origins::default(),
    };
    let unwritten =
        found.columns.iter().filter(|column| auditor.layout.slots.iter().all(|slot| slot.column.name != column.name));
    auditor.prepare(unwritten.map(|column| column.name.clone())).await?;
    Ok(Audited { auditor: Box::new(auditor), demand })
}

/// The layout of the expected rows: with where each comes from, and the last one per key of each partition.
fn traced(layout: &Layout) -> Layout {
    let mut traced = layout.clone();
    for (name, ty) in [(PARTITION, Type::Integer), (POSITION, Type::Bigint)] {
        let column = Column { name: name.into(), ty };
        traced.slots.push(Slot { column, declared: ty.to_string(), not_null: true, has_default: false, exact: true });
    }
    // So that of keys that only the server takes for equal the last one stays.
    traced.arrival = true;
    if !traced.key.is_empty() {
        traced.key.push(layout.slots.len());
    }
    traced
}

struct PostgresAuditor {
    server: Server,
    /// One connection for all: temporary tables belong to it.
    client: Object,
    target: String,
    layout: Layout,
    compared: Vec<usize>,
    traced: Layout,
    wires: Vec<Wire>,
    expected: Statements,
    judge: Statements,
    origins: Origins,
}

impl PostgresAuditor {
    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        self.server.failed("audit a table in", error)
    }

    /// Makes the temporary tables: of the expected rows, and an empty one with the target's rules.
    async fn prepare(&self, unwritten: impl Iterator<Item = String>) -> Result<(), Error> {
        let names: Vec<String> = self.layout.slots.iter().map(|slot| slot.column.name.clone()).collect();
        let traced: Vec<String> =
            self.traced.key.iter().map(|place| self.traced.slots[*place].column.name.clone()).collect();
        let (target, columns) = (&self.target, quote_all(&names));
        let mut sql = format!(
            "drop table if exists {EXPECTED}, {JUDGE}; \
             create temp table dataflow_expected as select {columns} from {target} with no data; \
             alter table {EXPECTED} add {PARTITION} integer, add {POSITION} bigint, add {KNOWN} varbit; \
             create temp table dataflow_judge (like {target} including constraints); "
        );
        // What has a default is left out of a row that does not say it; defaults themselves may change the target.
        let filled = self.layout.slots.iter().filter(|slot| slot.has_default).map(|slot| slot.column.name.clone());
        for column in unwritten.chain(filled) {
            sql.push_str(&format!("alter table {JUDGE} alter {} drop not null; ", quote(&column)));
        }
        if !traced.is_empty() {
            sql.push_str(&format!("create unique index on {EXPECTED} ({}); ", quote_all(&traced)));
        }
        self.client.batch_execute(&sql).await.map_err(|error| self.failed(&error))
    }

    /// The same rows with where they come from.
    fn trace(&mut self, output: &Output) -> Result<Output, Error> {
        let partition = self.origins.partition(output);
        let Payload::Columns(batch) = &output.payload else {
            return Err(Error::fatal("internal", "the sink was given documents where it asked for columns").for_user());
        };
        let positions = output.rows.iter().map(|record| output.records.offsets[*record as usize] as i64);
        let partitions: ArrayRef = Arc::new(Int32Array::from(vec![partition as i32; output.len()]));
        let positions: ArrayRef = Arc::new(Int64Array::from_iter_values(positions));
        let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(PARTITION, DataType::Int32, false)));
        fields.push(Arc::new(Field::new(POSITION, DataType::Int64, false)));
        let columns = batch.columns().iter().cloned().chain([partitions, positions]).collect();
        let values = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        let values = values.map_err(|error| Error::fatal("internal", format!("rows can't be traced: {error}")))?;
        let absent = (0..values.num_columns()).map(|column| batch.absent(column).cloned());
        let cells = Cells::new(values, absent.collect());
        Ok(Output { payload: Payload::Columns(cells), ..output.clone() })
    }

    /// Writes rows to the table of expected rows.
    async fn write(&mut self, output: &Output) -> Result<(), CommitError> {
        let outputs = [self.trace(output)?];
        let order = Order::of(&self.traced, &outputs)?;
        for run in order.runs(0..order.places.len()) {
            let places = &order.places[run.rows];
            match self.expected.encode(&self.encoder(&outputs)?, &run.fields, places) {
                Ok(encoded) => match encoded.run(&self.client).await {
                    Ok(_) => continue,
                    Err(error) if failure::may_be_of_rows(&error) => {}
                    Err(error) => return Err(self.failed(&error).into()),
                },
                Err(refused) => {
                    let refused = refused.iter().map(|(place, cause)| reject(&outputs, *place, cause));
                    return Err(CommitError::Rejected(refused.collect()));
                }
            }
            // There are rows that the table refuses, or keys that only the server takes for equal.
            for place in places {
                let encoded = self.expected.encode(&self.encoder(&outputs)?, &run.fields, std::slice::from_ref(place));
                let Ok(encoded) = encoded else { continue };
                if let Err(error) = encoded.run(&self.client).await {
                    if !failure::may_be_of_rows(&error) {
                        return Err(self.failed(&error).into());
                    }
                    let cause = failure::words_of(&error);
                    return Err(CommitError::Rejected(vec![reject(&outputs, *place, &cause)]));
                }
            }
        }
        Ok(())
    }

    fn encoder<'a>(&'a self, outputs: &'a [Output]) -> Result<Encoder<'a>, Error> {
        Encoder::new(&self.traced.slots, &self.wires, &keys::batches(outputs)?)
    }

    /// What the empty table says of each row.
    async fn causes(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        let mut causes: Vec<Option<String>> = vec![None; output.len()];
        let outputs = std::slice::from_ref(output);
        if let Err(CommitError::Rejected(rows)) = keys::refuse_nulls(&self.layout, outputs, &keys::batches(outputs)?) {
            rows.into_iter().for_each(|row| causes[row.row] = Some(row.cause));
        }
        for (row, cause) in causes.iter_mut().enumerate().filter(|(_, cause)| cause.is_none()) {
            let encoded = self.judged(outputs, row)?;
            let encoded = match encoded {
                Ok(encoded) => encoded,
                Err(refused) => {
                    *cause = refused.into_iter().next().map(|(_, cause)| cause);
                    continue;
                }
            };
            let server = self.server.clone();
            let failed = |error: &tokio_postgres::Error| server.failed("audit a table in", error);
            self.client.batch_execute("begin").await.map_err(|error| failed(&error))?;
            let written = encoded.run(&self.client).await;
            self.client.batch_execute("rollback").await.map_err(|error| failed(&error))?;
            match written {
                Ok(_) => {}
                Err(error) if failure::may_be_of_rows(&error) => *cause = Some(failure::words_of(&error)),
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(causes)
    }

    /// What is sent to the empty table for one row.
    fn judged(&self, outputs: &[Output], row: usize) -> Result<Result<Encoded, Refused>, Error> {
        let batches = keys::batches(outputs)?;
        let encoder = Encoder::new(&self.layout.slots, &self.wires[..self.layout.slots.len()], &batches)?;
        let fields = (0..self.layout.slots.len()).filter(|slot| !batches[0].is_absent(*slot, row)).collect();
        Ok(self.judge.encode(&encoder, &fields, &[Place { output: 0, row }]))
    }

    async fn compare(mut self) -> Result<Findings, Error> {
        let server = self.server.clone();
        let failed = |error: tokio_postgres::Error| server.failed("audit a table in", &error);
        self.client.batch_execute(&format!("analyze {EXPECTED}")).await.map_err(failed)?;
        // One snapshot for all that is compared.
        let reading = self.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start();
        let reading = reading.await.map_err(failed)?;
        // Types without equality, and json, of which it depends on how it is written, are compared as text.
        let plain = |place: usize| self.wires[place].copy && self.wires[place].base != "json";
        let unknown = format!("select coalesce(bit_and({KNOWN})::text, '') from {EXPECTED}");
        let unknown: String = reading.query_one(unknown.as_str(), &[]).await.map_err(failed)?.get(0);
        // What a record did not say, its default, can't be told: without a key, not even of which row.
        let compared = self.compared.iter().copied().filter(|place| {
            !self.layout.key.is_empty() || !self.layout.slots[*place].has_default || !unknown[*place..].starts_with('0')
        });
        let compared: Vec<usize> = compared.collect();
        let comparison = Comparison {
            layout: &self.layout,
            target: &self.target,
            expected: EXPECTED,
            compared: compared.clone(),
            known: Some(&|of, place| format!("substring({of}.{KNOWN} from {} for 1) = B'1'", place + 1)),
            comparable: &move |place, column| if plain(place) { column } else { format!("({column})::text") },
            text: |column| format!("({column})::text"),
        };
        let keyed = !self.layout.key.is_empty();
        let number = async |sql: String| {
            Ok::<_, Error>(reading.query_one(sql.as_str(), &[]).await.map_err(failed)?.get::<_, i64>(0) as u64)
        };
        let found = number(format!("select count(*) from {}", self.target)).await?;
        let expected =
            number(if keyed { comparison.keys() } else { format!("select count(*) from {EXPECTED}") }).await?;
        let origins = std::mem::take(&mut self.origins);
        let mut differences = Differences::new(&self.layout, &compared, origins, expected, found);
        let width = self.layout.slots.len();
        let row = |found: &tokio_postgres::Row, from: usize, origin: Option<usize>| {
            let cells = (from..from + width).map(|at| found.get(at)).collect();
            Row::new(cells, origin.and_then(|at| found.get::<_, Option<&str>>(at)))
        };
        let queries = match keyed {
            true => vec![comparison.lost(), comparison.altered(), comparison.unexpected()],
            false => vec![comparison.numbers()],
        };
        for (kind, sql) in queries.into_iter().enumerate() {
            let none: [&str; 0] = [];
            let mut rows = pin!(reading.query_raw(sql.as_str(), none).await.map_err(failed)?);
            while let Some(found) = rows.try_next().await.map_err(failed)? {
                match (keyed, kind) {
                    (false, _) => {
                        let (wanted, there): (i64, i64) = (found.get(width), found.get(width + 1));
                        differences.number(row(&found, 0, Some(width + 2)), wanted as u64, there as u64);
                    }
                    (true, 0) => differences.lost(row(&found, 0, Some(width))),
                    (true, 1) => differences.altered(&row(&found, 0, Some(2 * width)), &row(&found, width, None)),
                    (true, _) => differences.unexpected(row(&found, 0, None)),
                }
            }
        }
        reading.rollback().await.map_err(failed)?;
        self.client.batch_execute(&format!("drop table {EXPECTED}, {JUDGE}")).await.map_err(failed)?;
        Ok(differences.finish())
    }
}

#[async_trait]
impl Auditor for PostgresAuditor {
    async fn expect(&mut self, outputs: &[Output]) -> Result<(), CommitError> {
        for output in outputs.iter().filter(|output| !output.is_empty()) {
            self.write(output).await?;
        }
        Ok(())
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        self.causes(output).await
    }

    async fn finish(self: Box<Self>) -> Result<Findings, Error> {
        self.compare().await
    }
}
