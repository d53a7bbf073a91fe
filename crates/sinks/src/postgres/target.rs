//! Finds, creates or extends the table.
use super::NAMING;
use super::{
    definition::{self, Definition},
    drops, durable,
    locks::lock_ddl,
    made,
    pool::Server,
    schema::{self, Described},
    statement::Statements,
    tokens,
    types::{self, Wire},
};
use crate::{
    claim::Claim,
    table::{
        Layout, Options, ddl,
        growth::{columns_to_add, new_columns},
    },
};
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error,
    batch::{Column, Warning},
};
use deadpool_postgres::Object;
use std::time::Duration;

/// Everything needed to write to the table.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) definition: Definition,
    pub(super) layout: Layout,
    pub(super) wires: Vec<Wire>,
    pub(super) statements: Statements,
}

/// The name of a table within its schema.
pub(super) fn name_of(table: &str) -> &str {
    table.split_once('.').map_or(table, |(_, name)| name)
}

/// The schema that contains a table, or in which it would be created.
pub(super) async fn schema_of(server: &Server, table: &str) -> Result<String, Error> {
    if let Some((schema, _)) = table.split_once('.') {
        return Ok(schema.into());
    }
    let client = server.connection().await?;
    let schema = "select coalesce((select n.nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
        where c.oid = to_regclass($1)), current_schema()::text)";
    let row = client
        .query_one(schema, &[&ddl::quote_table(table)])
        .await
        .map_err(|error| server.failed("look for the table in", &error))?;
    row.get::<_, Option<String>>(0).ok_or_else(|| {
        let message = format!("no schema of the search path exists in PostgreSQL at {}", server.name);
        Error::fatal("schema-missing", message).fix("name the table as schema.table, or create the schema")
    })
}

/// The kind of what has the name of the table, if it takes no rows.
const KIND: &str = "select relkind::text from pg_class where oid = to_regclass($1) \
    and (relkind not in ('r', 'p', 'v', 'f') or pg_relation_is_updatable(oid, true) & 8 = 0)";

/// Refuses what rows can't be inserted into, before anything is created beside it. `schema` is that of the table.
pub(super) async fn check(server: &Server, client: &Object, table: &str, schema: &str) -> Result<(), Error> {
    let no_table = |what: &str, fix: &str| {
        Err(Error::fatal("not-a-table", format!("{table} in PostgreSQL at {} is {what}", server.name))
            .fix(fix)
            .for_user())
    };
    if matches!(schema, "information_schema" | "pg_catalog" | "pg_toast") {
        return no_table("in a schema that is PostgreSQL's own", "name a table in a schema of yours");
    }
    let found = client.query_opt(KIND, &[&ddl::quote_table(table)]).await;
    let Some(found) = found.map_err(|error| server.failed("look at the table in", &error))? else { return Ok(()) };
    match found.get(0) {
        "S" => no_table("a sequence", "name a table"),
        "i" | "I" => no_table("an index", "name the table that it belongs to"),
        "c" => no_table("a composite type", "name a table, or create one: create table … of the type"),
        "m" => no_table("a materialized view", "name the table that it is made from, and refresh the view"),
        "v" => no_table(
            "a view that takes no rows",
            "name the table that it is made from, or give the view a trigger instead of insert",
        ),
        "f" => no_table("a foreign table that takes no rows", "name a table that does"),
        _ => no_table("no table", "name a table"),
    }
}

/// Reads the table, and creates or extends it if that is wanted and its columns are known. `None`: the first batch has
/// to be awaited. A missing table that had rows according to the `claim` is not recreated, and a table other than the
/// one that had them is not written. `added` are columns to write beyond those of the spec; a session that blocks the
/// creation of tables is ended after `wait`.
pub(super) async fn prepare(
    server: &Server,
    client: &mut Object,
    options: &Options,
    (schema, claim): (&str, &Claim),
    columns: Option<&[Column]>,
    added: &mut Vec<String>,
    wait: Duration,
) -> Result<Option<(Target, Vec<Warning>)>, Error> {
    let failed = |error| server.failed("look at the table in", &error);
    let (quoted, kept) = (ddl::quote_table(&options.table), tokens::name(schema));
    let mut warnings = durable::check(server, &*client, &kept).await?;
    let mut definition = Definition::of(&*client, &quoted, &kept).await.map_err(failed)?;
    let mut described = schema::describe(&*client, &quoted).await.map_err(failed)?;
    if described.is_some() && definition.relation.is_none() {
        // Unless it is a view of several tables, another lane has made it in between.
        definition = Definition::of(&*client, &quoted, &kept).await.map_err(failed)?;
        described = schema::describe(&*client, &quoted).await.map_err(failed)?;
    }
    let there = described.as_ref().map(|_| definition.relation.as_deref());
    tokens::unclaimed(server, client, schema, name_of(&options.table), there, claim).await?;
    let (missing, mut options) = (described.is_none(), options.clone());
    options.own = !missing && is_own(server, client, &options, (schema, claim), &definition).await?;
    let changes = changes(server, &options, described.as_ref(), columns, added)?;
    if let Some(statements) = changes {
        let transaction = client.transaction().await.map_err(failed)?;
        lock_ddl(server, &transaction, wait).await?;
        let relation = async || definition::relation(&transaction, &quoted, &kept).await.map_err(failed);
        let makes = missing && relation().await?.is_none();
        // Another lane may have done the same in the meantime: "if not exists" accepts its result.
        for statement in statements {
            let ran = transaction.batch_execute(&statement).await;
            ran.map_err(|error| {
                server.failed(&format!("create table {} in", options.table), &error).fix(format!("run: {statement}"))
            })?;
        }
        if makes && options.owns_what_it_made() {
            let relation = relation().await?;
            made::note(&transaction, schema, &claim.fence, relation.as_deref()).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        definition = Definition::of(&*client, &quoted, &kept).await.map_err(failed)?;
        described = schema::describe(&*client, &quoted).await.map_err(failed)?;
        options.own = is_own(server, client, &options, (schema, claim), &definition).await?;
    }
    let Some(Described { found, mut wires, copied }) = described else { return Ok(None) };
    let (layout, more) = Layout::of(&options, &found, added)?;
    warnings.extend(more);
    warnings.extend(durable::check(server, &*client, &quoted).await?);
    warnings.extend(drops::look(&*client, &quoted, &options.table, !layout.key.is_empty()).await.map_err(failed)?);
    let wires: Vec<Wire> = layout.slots.iter().filter_map(|slot| wires.remove(&slot.column.name)).collect();
    let statements = Statements::new(&quoted, &layout, &wires, copied);
    Ok(Some((Target { definition, layout, wires, statements }, warnings)))
}

/// Whether the table, which is there, is the sink's own.
async fn is_own(
    server: &Server,
    client: &Object,
    options: &Options,
    (schema, claim): (&str, &Claim),
    definition: &Definition,
) -> Result<bool, Error> {
    match options.owns_what_it_made() {
        true => made::by_any(server, client, schema, &claim.fence, definition.relation.as_deref()).await,
        false => Ok(options.own),
    }
}

/// Returns the statements that change the table as wanted; `None` if there is nothing to do, or not yet.
fn changes(
    server: &Server,
    options: &Options,
    described: Option<&Described>,
    columns: Option<&[Column]>,
    added: &mut Vec<String>,
) -> Result<Option<Vec<String>>, Error> {
    let table = &options.table;
    let Some(Described { found, .. }) = described else {
        let mut columns = new_columns(options, &NAMING, columns)?;
        // A table needs no columns to have rows, and a column without a type doesn't exist.
        columns.iter_mut().for_each(|columns| columns.retain(|column| column.ty != Type::Any));
        let create = columns.map(|columns| ddl::create_table(table, &columns, &options.key(), types::declare));
        if !options.create_table {
            let message =
                format!("there is no table {table} in PostgreSQL at {}, and createTable is false", server.name);
            let fix =
                create.map_or("create the table, or set createTable: true".into(), |create| format!("run: {create}"));
            return Err(Error::fatal("table-missing", message).fix(fix));
        }
        return Ok(create.map(|create| vec![create.replacen("create table", "create table if not exists", 1)]));
    };
    let add = columns_to_add(options, &NAMING, found, columns, added)?;
    let add = add.iter().map(|column| {
        ddl::add_column(table, column, types::declare).replacen("add column", "add column if not exists", 1)
    });
    let add: Vec<String> = add.collect();
    Ok((!add.is_empty()).then_some(add))
}
