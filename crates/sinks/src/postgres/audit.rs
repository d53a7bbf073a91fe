//! Audits a table: reads its rows one by one as the server's own text, and compares them with the records.
use super::{
    PostgresSink,
    audit_keys::Key,
    audit_types::{self, Compared},
    definition, durable,
    encode::{Encoder, Refused},
    failure, made, pipeline,
    pool::Server,
    schema::{self, Described},
    statement::{Encoded, Statements},
    target::{name_of, schema_of},
    tokens,
    types::Wire,
};
use crate::{
    blocking,
    table::{
        self, Layout,
        audit::{self, Cell, Class, Column, Equal, Expected, Said, Same},
        ddl::{quote, quote_table},
        keys::{self, Place},
    },
};
use async_trait::async_trait;
use dataflow_sdk::{
    Context, Error,
    audit::{Audit, Audited, Auditor, Findings},
    batch::{Demand, Output},
    sink::CommitError,
};
use deadpool_postgres::{ClientWrapper, Object};
use futures::TryStreamExt;
use std::pin::pin;
use tokio_postgres::IsolationLevel;

const JUDGE: &str = "pg_temp.dataflow_judge";
/// Fixes the formats in which the server prints values.
const PLAIN: &str = "set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set bytea_output = 'hex'; \
    set extra_float_digits = 1";
/// Opens the target for reading, and creates an empty table with its constraints.
pub(super) async fn open(config: &PostgresSink, cx: &Context, wanted: &Audit) -> Result<Audited, Error> {
    let (server, mut options) = (config.server(cx)?, config.options().as_journalled(&wanted.lanes)?);
    let client = server.connection().await?;
    let target = quote_table(&options.table);
    let failed = |error: tokio_postgres::Error| server.failed("look at the table in", &error);
    let schema = schema_of(&server, &options.table).await?;
    let kept = tokens::name(&schema);
    let not_durable = durable::said(&server, &client, &[&target, &kept]).await?;
    let Some(Described { found, mut wires, copied }) = schema::describe(&client, &target).await.map_err(failed)? else {
        return Ok(Audited { auditor: Box::new(audit::Gone::default()), demand: Demand::Documents, not_durable });
    };
    let relation = definition::relation(&client, &target, &kept).await.map_err(failed)?;
    options.own = options.owns_what_it_made()
        && made::by_generation(&server, &client, &schema, (cx, &wanted.generation), relation.as_deref()).await?;
    let layout = audit::layout(&options, &found)?;
    // It is going to have its own settings and temporary tables, so it doesn't return to the pool.
    let client = Object::take(client);
    let types = audit_types::compared(&client, &target).await.map_err(failed)?;
    client.batch_execute(PLAIN).await.map_err(failed)?;
    let (mut columns, mut spellings, mut casts) = (Vec::new(), Vec::new(), Vec::new());
    for place in audit::compared(&options, &found, &layout) {
        let column = &found.columns[place];
        let Some(Compared { class, spelling, cast, .. }) = types.get(&column.name) else { continue };
        casts.push(cast.clone());
        columns.push(Column {
            name: column.name.clone(),
            class: *class,
            fills: column.has_default,
            equal: if column.exact { Equal::Exactly } else { Equal::ByDatabase },
        });
        spellings.push(spelling.clone());
    }
    let wires: Vec<Wire> = layout.slots.iter().filter_map(|slot| wires.remove(&slot.column.name)).collect();
    let demand = layout.demand();
    let key = layout.key_names();
    let of_keys = columns.iter().enumerate().filter(|(_, column)| {
        let text = matches!(column.class, Class::Text | Class::Padded | Class::List(Class::Text | Class::Padded));
        key.contains(&column.name) && column.equal == Equal::ByDatabase && text
    });
    let of_keys = of_keys.filter_map(|(place, column)| {
        let Compared { cast, element, .. } = types.get(&column.name)?;
        Some(Key::new(place, &column.name, cast, element.as_deref()))
    });
    let mut auditor = PostgresAuditor {
        keys: of_keys.collect(),
        there: Statements::new(&target, &layout, &wires, false),
        judge: Statements::new(JUDGE, &Layout { key: Vec::new(), ..layout.clone() }, &wires, copied),
        expected: Some(Expected::new(columns.clone(), &key, &wanted.volatile)?),
        columns,
        spellings,
        casts,
        wires,
        layout,
        server,
        client,
        target,
        table: options.table,
    };
    let written: Vec<String> = auditor.layout.slots.iter().map(|slot| slot.column.name.clone()).collect();
    let unwritten = found.columns.iter().filter(|column| column.has_default || !written.contains(&column.name));
    auditor.prepare(unwritten.map(|column| column.name.clone())).await?;
    Ok(Audited { auditor: Box::new(auditor), demand, not_durable })
}

struct PostgresAuditor {
    /// As named in the spec.
    table: String,
    server: Server,
    /// A connection of its own: temporary tables and settings belong to it, and end with it.
    client: ClientWrapper,
    target: String,
    layout: Layout,
    wires: Vec<Wire>,
    judge: Statements,
    /// Finds rows of the target itself.
    there: Statements,
    columns: Vec<Column>,
    /// For each column, the type whose text the server has to produce.
    spellings: Vec<Option<String>>,
    /// For each column, the type as which its values are printed.
    casts: Vec<String>,
    /// The key columns whose values only the server can compare.
    keys: Vec<Key>,
    /// `None` while a thread works with it.
    expected: Option<Expected>,
}

impl PostgresAuditor {
    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        self.server.failed("audit a table in", error)
    }

    /// Creates an empty table with the target's constraints. Defaults fill columns that a row lacks; they may change
    /// the target, so such columns are left out.
    async fn prepare(&mut self, unwritten: impl Iterator<Item = String>) -> Result<(), Error> {
        let target = &self.target;
        let mut sql = format!("create temp table dataflow_judge (like {target} including constraints); ");
        for column in unwritten {
            sql.push_str(&format!("alter table {JUDGE} alter {} drop not null; ", quote(&column)));
        }
        self.client.batch_execute(&sql).await.map_err(|error| self.failed(&error))?;
        for key in &self.keys {
            self.client.batch_execute(&key.table(target)).await.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Has the server decide which keys are the same.
    async fn compare_keys(&mut self, rows: &mut [Said]) {
        for key in &mut self.keys {
            let of = |row: &Said| row.cells[key.place].as_deref().map(audit::texts).unwrap_or_default();
            let texts: Vec<Option<String>> = rows.iter().flat_map(of).map(Some).collect();
            let mut numbers = key.numbers(&self.client, &texts).await.into_iter();
            for row in rows.iter_mut() {
                let number = row.cells[key.place].as_deref().and_then(|cell| key.number(cell, &mut numbers));
                row.same.extend(number.map(|number| (key.place, number)));
            }
        }
    }

    /// Rewrites values in the server's spelling, where only the server knows which are the same.
    async fn spell(&mut self, rows: &mut [Said]) -> Result<(), Error> {
        for place in 0..self.spellings.len() {
            let Some(ty) = self.spellings[place].clone() else { continue };
            let texts: Vec<String> =
                rows.iter().filter_map(|row| row.cells[place].as_deref()).flat_map(audit::texts).collect();
            let mut spelt = self.spelt(&ty, &texts).await;
            if spelt.is_none() {
                let mut each = Vec::with_capacity(texts.len());
                for text in &texts {
                    let one = self.spelt(&ty, std::slice::from_ref(text)).await;
                    each.push(one.and_then(|one| one.into_iter().next()).flatten());
                }
                spelt = Some(each);
            }
            let mut spelt = spelt.unwrap_or_default().into_iter();
            for cell in rows.iter_mut().filter_map(|row| row.cells[place].as_mut()) {
                *cell = audit::with_texts(cell, |text| spelt.next().flatten().unwrap_or(text));
            }
        }
        Ok(())
    }

    /// Returns these texts in the server's spelling; `None` if one of them is not a value of this type.
    async fn spelt(&mut self, ty: &str, texts: &[String]) -> Option<Vec<Option<String>>> {
        if texts.is_empty() {
            return Some(Vec::new());
        }
        let sql =
            format!("select text::{ty}::text from unnest($1::text[]) with ordinality t (text, place) order by place");
        let rows = self.client.query(&sql, &[&texts]).await.ok()?;
        Some(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Returns the empty table's verdict on each row.
    async fn causes(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        let mut causes: Vec<Option<String>> = vec![None; output.len()];
        let outputs = std::slice::from_ref(output);
        if let Err(CommitError::Rejected(rows)) = keys::refuse_nulls(&self.layout, outputs) {
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
            // An empty table has no row that could not be deleted.
            if output.deletes(row) {
                continue;
            }
            let server = self.server.clone();
            let failed = |error: &tokio_postgres::Error| server.failed("audit a table in", error);
            self.client.batch_execute("begin").await.map_err(|error| failed(&error))?;
            let written = pipeline::send(&self.client, vec![(0, encoded)]).await;
            self.client.batch_execute("rollback").await.map_err(|error| failed(&error))?;
            match written {
                Err((error, _)) if !failure::may_be_of_rows(&error) => return Err(failed(&error)),
                // What it lacks the row that it changes may have.
                Err((error, _)) if !self.changes(outputs, row).await? => *cause = Some(failure::words_of(&error)),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(causes)
    }

    /// Whether a row that lacks fields only changes one that is there.
    async fn changes(&mut self, outputs: &[Output], row: usize) -> Result<bool, Error> {
        let Some(key) = self.changed(outputs, row)? else { return Ok(false) };
        let there = pipeline::send(&self.client, vec![(0, key)]).await;
        there.map(|there| there.rows > 0).map_err(|(error, _)| self.failed(&error))
    }

    /// The key of a row that lacks fields, encoded to look whether the row that it would change is there.
    fn changed(&self, outputs: &[Output], row: usize) -> Result<Option<Encoded>, Error> {
        let batches = keys::batches(outputs)?;
        if !self.layout.patches(|slot| !batches[0].is_absent(slot, row)) {
            return Ok(None);
        }
        let encoder = Encoder::new(&self.layout.slots, &self.wires, &batches)?;
        Ok(self.there.encode_keys(&encoder, &[Place { output: 0, row }]).ok())
    }

    /// Encodes one row for the empty table.
    fn judged(&self, outputs: &[Output], row: usize) -> Result<Result<Encoded, Refused>, Error> {
        let batches = keys::batches(outputs)?;
        let encoder = Encoder::new(&self.layout.slots, &self.wires, &batches)?;
        let fields = match outputs[0].deletes(row) {
            true => self.layout.key.as_slice().into(),
            false => (0..self.layout.slots.len()).filter(|slot| !batches[0].is_absent(*slot, row)).collect(),
        };
        // The empty table has no key.
        let said = table::Said { fields, deletes: false };
        Ok(self.judge.encode(&encoder, &said, &[Place { output: 0, row }]))
    }

    async fn compare(mut self) -> Result<Findings, Error> {
        let server = self.server.clone();
        let failed = |error: tokio_postgres::Error| server.failed("audit a table in", &error);
        let Some(mut expected) = self.expected.take() else { return Ok(Findings::default()) };
        expected.begin()?;
        let reading = self.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let reading = reading.start().await.map_err(failed)?;
        let columns = self.columns.iter().zip(&self.casts).map(|(column, cast)| match column.class {
            Class::List(_) => format!("array_to_json({}::text[])::text", quote(&column.name)),
            _ => format!("{}::{cast}::text", quote(&column.name)),
        });
        let numbers = self.keys.iter().map(Key::numbers_there);
        let wanted: Vec<String> = columns.chain(numbers).collect();
        let sql = format!("select {} from {} dataflow_target", wanted.join(", "), self.target);
        let none: [&str; 0] = [];
        {
            let mut rows = pin!(reading.query_raw(sql.as_str(), none).await.map_err(failed)?);
            while let Some(row) = rows.try_next().await.map_err(failed)? {
                let cell = |(at, column): (usize, &Column)| -> Cell {
                    let text: Option<&str> = row.get(at);
                    text.map(|text| match column.class {
                        Class::Bytes => format!("x{}", text.trim_start_matches("\\x")),
                        class => class.stored_text(text),
                    })
                };
                let cells: Vec<Cell> = self.columns.iter().enumerate().map(cell).collect();
                let number = |(at, key): (usize, &mut Key)| {
                    let numbers: Option<&str> = row.get(self.columns.len() + at);
                    let numbers =
                        numbers.into_iter().flat_map(|numbers| numbers.split(',')).map(|number| number.parse().ok());
                    Some((key.place, key.number(cells[key.place].as_deref()?, numbers)?))
                };
                let same = self.keys.iter_mut().enumerate().filter_map(number).collect::<Same>();
                expected.found(cells, &same)?;
            }
        }
        reading.rollback().await.map_err(failed)?;
        blocking::run(move || expected.finish()).await?
    }
}

#[async_trait]
impl Auditor for PostgresAuditor {
    async fn expect(&mut self, rows: &Output) -> Result<(), Error> {
        let Some(expected) = &mut self.expected else { return Ok(()) };
        let mut said = expected.said(rows)?;
        self.spell(&mut said).await?;
        self.compare_keys(&mut said).await;
        self.expected.as_mut().map_or(Ok(()), |expected| expected.keep(said))
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        self.causes(output).await
    }

    fn is_own_reason(&self, cause: &str) -> bool {
        // The empty table reports violated checks under its own name. A row that changes another is checked together with that.
        let checked = format!("relation {:?} violates check constraint", name_of(&self.table));
        let decides = |words: &str| self.layout.key.is_empty() && words.contains(&checked);
        cause.strip_prefix(&keys::refused_by(&self.table, "")).is_some_and(|words| !decides(words))
    }

    async fn finish(self: Box<Self>) -> Result<Findings, Error> {
        self.compare().await
    }
}
