//! Tokens in PostgreSQL: fencing, advancing and reading.
use super::{
    definition,
    locks::{Ended, breaking_locks, lock_ddl},
    others::take_over,
    pool::Server,
};
use crate::{
    claim::{Claim, Kind},
    table::{
        ddl::quote,
        pages::Pages,
        tokens::{self, Counts, Found, Holder, Row, Stored, TABLE, fenced, guarded, outdated, stored_id},
    },
};
use dataflow_core::{
    id::{Epoch, Generation},
    token::{Fence, Token},
};
use dataflow_sdk::{
    Error,
    sink::{OpenLane, Traces},
};
use deadpool_postgres::Object;
use std::time::Duration;
use tokio_postgres::{error::SqlState, types::ToSql};

/// The name of the token table of a schema, quoted.
pub(super) fn name(schema: &str) -> String {
    format!("{}.{TABLE}", quote(schema))
}

fn ddl(schema: &str) -> String {
    format!(
        "create table if not exists {} (pipeline text collate \"C\", incarnation text, generation text, lane integer, \
         journal text not null, target text not null, epoch bigint not null, opening bigint not null, \
         sequence bigint not null, positions jsonb not null, counters jsonb not null, chunks jsonb not null, \
         updated_at timestamptz not null, relation text, made text, began text not null, page integer not null, partitions integer not null, \
         primary key (pipeline, incarnation, generation, lane, page))",
        name(schema)
    )
}

/// The columns of a row of the table of this name, called `t`, with its pages.
fn columns(name: &str) -> String {
    format!(
        "epoch, opening, sequence, positions::text, counters::text, chunks::text, partitions, coalesce((select jsonb_agg(p.positions) \
            from {name} p where page > 0 and (p.pipeline, p.incarnation, p.generation, p.lane) = (t.pipeline, t.incarnation, \
            t.generation, t.lane)), '[]')::text, generation, lane, began"
    )
}

/// Creates the token table of a schema if it is missing, or its columns that earlier builds did not create.
pub(super) async fn create(server: &Server, client: &mut Object, schema: &str, wait: Duration) -> Result<(), Error> {
    let failed = |error| server.failed("create the table dataflow_tokens in", &error);
    let there = "select to_regclass($1) is not null, array(select attname::text from pg_attribute \
        where attrelid = to_regclass($1) and not attisdropped \
        and (attname in ('opening', 'page') or attname in ('journal', 'generation', 'relation', 'made', 'began') and atttypid = 'text'::regtype))";
    let there = client.query_one(there, &[&name(schema)]).await.map_err(failed)?;
    let (is_there, columns): (bool, Vec<String>) = (there.get(0), there.get(1));
    let has = |column: &str| columns.iter().any(|name| name == column);
    let ddl = match is_there {
        true if ["journal", "generation", "began", "opening", "page"].iter().any(|column| !has(column)) => {
            return Err(outdated(&format!("schema {schema} of PostgreSQL at {}", server.name)));
        }
        true if has("relation") && has("made") => return Ok(()),
        true => {
            let add = |column| format!("add column if not exists {column} text");
            format!("alter table {} {}, {}", name(schema), add("relation"), add("made"))
        }
        false => ddl(schema),
    };
    let transaction = client.transaction().await.map_err(failed)?;
    lock_ddl(server, &transaction, wait).await?;
    let created = transaction.batch_execute(&ddl).await;
    created.map_err(|error| match error.code() {
        Some(&SqlState::INVALID_SCHEMA_NAME) => failed(error).fix(format!("run: create schema {}", quote(schema))),
        _ => failed(error)
            .fix(format!("have somebody with the privilege run: {ddl}; and grant select, insert, update on it")),
    })?;
    transaction.commit().await.map_err(failed)
}

/// Raises the epoch of a lane that writes to the table `target`, and takes over the progress that others of this
/// pipeline have there, or refuses to open beside them. Breaks a lock that an earlier writer still holds after `wait`.
pub(super) async fn fence(
    server: &Server,
    client: &mut Object,
    schema: &str,
    target: &str,
    lane: &OpenLane,
    wait: Duration,
) -> Result<Found, Error> {
    let doing = "keep progress (table dataflow_tokens) in";
    let failed = |error| server.failed(doing, &error);
    let (name, fence) = (name(schema), &lane.fence);
    let raise = format!(
        "insert into {name} as t (pipeline, incarnation, generation, lane, epoch, opening, journal, target, began, \
            sequence, positions, counters, chunks, updated_at, page, partitions) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '{{}}', '{{}}', '[]', now(), 0, 0) \
         on conflict (pipeline, incarnation, generation, lane, page) do update set epoch = excluded.epoch, opening = excluded.opening \
            where (t.epoch, t.opening) <= (excluded.epoch, excluded.opening) \
         returning {}",
        columns(&name)
    );
    let transaction = client.transaction().await.map_err(failed)?;
    let key = Key::of(fence);
    let (epoch, opening) = (fence.epoch.0 as i64, fence.opening as i64);
    let began = tokens::began(lane)?;
    let values: [&(dyn ToSql + Sync); 9] =
        [&key.pipeline, &key.incarnation, &key.generation, &key.lane, &epoch, &opening, &lane.journal, &target, &began];
    let statement = async {
        match transaction.query_opt(&raise, &values).await {
            Err(error) if is_unsupported(&error) => Ok(Err(error)),
            raised => raised.map(Ok),
        }
    };
    let raised = breaking_locks(server, &transaction, wait, Ended::All, doing, statement).await?;
    let own = match raised {
        Ok(own) => own,
        Err(error) => return Err(unmoved(server, &name, fence, failed(error)).await),
    };
    take_over(server, &transaction, schema, target, lane, wait).await?;
    // A table that was called otherwise when it was written to is the same.
    let table = format!("{}.{}", quote(schema), quote(target));
    if let Some(there) = definition::relation(&transaction, &table, &name).await.map_err(failed)? {
        let rename = format!(
            "update {name} set target = $3 where pipeline = $1 and incarnation = $2 and (generation, lane) in \
             (select generation, lane from {name} where pipeline = $1 and incarnation = $2 and target <> $3 and relation = $4)"
        );
        let values: [&(dyn ToSql + Sync); 4] = [&key.pipeline, &key.incarnation, &target, &there];
        transaction.execute(&rename, &values).await.map_err(failed)?;
    }
    // A branch that was never opened has its number from one that this journal has forgotten, if that wrote elsewhere.
    let others = format!(
        "select {} from {name} t where pipeline = $1 and incarnation = $2 and (generation <> $3 or lane >= $4) \
            and page = 0 and sequence > 0 and (target = $5 or not $6)",
        columns(&name)
    );
    let lanes = lane.lanes as i32;
    let values: [&(dyn ToSql + Sync); 6] =
        [&key.pipeline, &key.incarnation, &key.generation, &lanes, &target, &lane.first];
    let others = transaction.query(&others, &values).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    match own {
        Some(own) => Found::of(lane, &row(&own), others.iter().map(row)),
        None => {
            let holder = read_row(server, client, &name, fence).await?.map(|row| row.holder);
            let newer = holder.is_some_and(|holder| holder.rank() > fence.rank());
            Err(if newer { fenced(fence, holder) } else { unmoved(server, &name, fence, fenced(fence, holder)).await })
        }
    }
}

/// Returns whether a statement can't run because of rules on its table.
fn is_unsupported(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
}

/// Reads a row with these [`columns`].
fn row(row: &tokio_postgres::Row) -> Row {
    let [epoch, opening, sequence] = [0, 1, 2].map(|column| row.get::<_, i64>(column) as u64);
    let counts = Counts { counters: row.get(4), chunks: row.get(5) };
    let stored = Stored { positions: row.get(3), partitions: row.get(6), pages: row.get(7), counts };
    let holder = Holder { epoch: Epoch(epoch), opening, sequence };
    Row { holder, stored, generation: row.get(8), lane: row.get::<_, i32>(9) as u32, began: row.get(10) }
}

/// The error for a row that was not changed as expected, because something on the token table, whose name comes quoted,
/// prevents it; `otherwise` if nothing does.
async fn unmoved(server: &Server, name: &str, fence: &Fence, otherwise: Error) -> Error {
    let guards = "select concat('trigger ', tgname) from pg_trigger \
            where tgrelid = to_regclass($1) and not tgisinternal and tgenabled in ('O', 'A') \
        union all select concat('rule ', rulename) from pg_rewrite where ev_class = to_regclass($1) \
        union all select concat('policy ', polname) from pg_policy where polrelid = to_regclass($1)";
    // Outside the transaction, which may be aborted.
    let found = server.beside_the_pool(async |client| {
        client
            .query(guards, &[&name])
            .await
            .map_err(|error| server.failed("look at the table dataflow_tokens in", &error))
    });
    let guards: Vec<String> = found.await.unwrap_or_default().iter().map(|row| row.get(0)).collect();
    match guards.is_empty() {
        true => otherwise,
        false => guarded(fence, &format!("PostgreSQL at {}", server.name), &guards),
    }
}

/// Advances the token of a lane, which has these pages, by one commit, whose rows are in `relation`.
pub(super) async fn advance(
    server: &Server,
    transaction: &super::transaction::Transaction,
    schema: &str,
    (token, pages): (&Token, &Pages),
    relation: Option<&str>,
) -> Result<(), Error> {
    let failed = |error| server.failed("keep progress (table dataflow_tokens) in", &error);
    let name = name(schema);
    let advance = format!(
        "update {name} set sequence = $7::bigint, positions = $8::text::jsonb, counters = $9::text::jsonb, chunks = $10::text::jsonb, \
            relation = $11, partitions = $12, updated_at = now() \
         where pipeline = $1 and incarnation = $2 and generation = $3 and lane = $4 and page = 0 and epoch = $5 and opening = $6 \
            and sequence = $7::bigint - 1 \
         returning sequence = $7::bigint and positions = $8::text::jsonb and counters = $9::text::jsonb and chunks = $10::text::jsonb"
    );
    let (key, counts, moved) = (Key::of(&token.fence), Counts::of(token)?, pages.moved(&token.positions)?);
    let [epoch, opening, sequence] =
        [token.fence.epoch.0, token.fence.opening, token.sequence].map(|number| number as i64);
    let why = async |error: tokio_postgres::Error| match is_unsupported(&error) {
        true => unmoved(server, &name, &token.fence, failed(error)).await,
        false => failed(error),
    };
    let advancing = async {
        let statement = transaction.prepare_cached(&advance).await?;
        let values: [&(dyn ToSql + Sync); 12] = [
            &key.pipeline,
            &key.incarnation,
            &key.generation,
            &key.lane,
            &epoch,
            &opening,
            &sequence,
            &moved.positions,
            &counts.counters,
            &counts.chunks,
            &relation,
            &moved.partitions,
        ];
        transaction.query_opt(&statement, &values).await
    };
    // Sent together.
    let (advanced, put) = futures::join!(advancing, put(transaction, &name, &key, &moved.pages));
    let (advanced, put) = match (advanced, put) {
        (Ok(advanced), Ok(put)) => (advanced.map(|row| row.get(0)), put),
        (Err(error), _) | (_, Err(error)) => return Err(why(error).await),
    };
    if advanced == Some(true) && put == moved.pages.len() as u64 {
        return Ok(());
    }
    let holder = read_row(server, &**transaction, &name, &token.fence).await?.map(|row| row.holder);
    let fenced = fenced(&token.fence, holder);
    // Unless another writer has advanced it.
    let own = advanced.is_some() || holder.is_none_or(|holder| holder.is_before(token));
    Err(if own { unmoved(server, &name, &token.fence, fenced).await } else { fenced })
}

/// Writes pages of a lane; returns how many. A page belongs to whom the row of its lane does, and says nothing else.
async fn put(
    transaction: &super::transaction::Transaction,
    name: &str,
    key: &Key<'_>,
    pages: &[(i32, String)],
) -> Result<u64, tokio_postgres::Error> {
    if pages.is_empty() {
        return Ok(0);
    }
    let put = format!(
        "insert into {name} (pipeline, incarnation, generation, lane, page, positions, journal, target, epoch, opening, sequence, \
            counters, chunks, updated_at, began, partitions) \
         select pipeline, incarnation, generation, lane, put.page, put.positions::jsonb, journal, target, epoch, opening, 0, \
            '{{}}', '[]', updated_at, '{{}}', 0 \
         from {name} t, unnest($5::int[], $6::text[]) put (page, positions) \
         where pipeline = $1 and incarnation = $2 and generation = $3 and lane = $4 and t.page = 0 \
         on conflict (pipeline, incarnation, generation, lane, page) do update set positions = excluded.positions"
    );
    let statement = transaction.prepare_cached(&put).await?;
    let (numbers, contents): (Vec<i32>, Vec<&str>) = pages.iter().map(|(page, content)| (page, &**content)).unzip();
    let values: [&(dyn ToSql + Sync); 6] =
        [&key.pipeline, &key.incarnation, &key.generation, &key.lane, &numbers, &contents];
    transaction.execute(&statement, &values).await
}

/// Replaces counters and chunks of the token that [`advance`] has stored, in the same transaction.
pub(super) async fn restate(
    server: &Server,
    transaction: &super::transaction::Transaction,
    schema: &str,
    token: &Token,
) -> Result<(), Error> {
    let failed = |error| server.failed("keep progress (table dataflow_tokens) in", &error);
    let name = name(schema);
    let restate = format!(
        "update {name} set counters = $5::text::jsonb, chunks = $6::text::jsonb \
         where pipeline = $1 and incarnation = $2 and generation = $3 and lane = $4 and page = 0"
    );
    let (key, counts) = (Key::of(&token.fence), Counts::of(token)?);
    let values: [&(dyn ToSql + Sync); 6] =
        [&key.pipeline, &key.incarnation, &key.generation, &key.lane, &counts.counters, &counts.chunks];
    match transaction.execute(&restate, &values).await.map_err(failed)? {
        0 => Err(unmoved(server, &name, &token.fence, fenced(&token.fence, None)).await),
        _ => Ok(()),
    }
}

/// Checks that the table `target` contains the rows that a pipeline has written, in any lane. It lacks them if it is
/// missing, or `there` but not the table they were written to; a table of unknown identity passes.
pub(super) async fn unclaimed(
    server: &Server,
    client: &Object,
    schema: &str,
    target: &str,
    there: Option<Option<&str>>,
    claim: &Claim,
) -> Result<(), Error> {
    let missing = there.is_none();
    let written = format!(
        "select generation, coalesce(sum((counters->>'rowsWritten')::bigint), 0)::bigint from {} \
         where pipeline = $1 and incarnation = $2 and target = $3 \
            and ($4 or relation <> $5 and split_part(relation, ':', 1) = split_part($5, ':', 1)) group by generation",
        name(schema)
    );
    let (key, relation) = (Key::of(&claim.fence), there.flatten());
    let values: [&(dyn ToSql + Sync); 5] = [&key.pipeline, &key.incarnation, &target, &missing, &relation];
    let rows = client.query(&written, &values).await;
    let rows = rows.map_err(|error| server.failed("read progress (table dataflow_tokens) in", &error))?;
    let written = rows.iter().map(|row| Ok((stored_id(row.get(0))?, row.get(1))));
    let name = format!("{schema}.{target} in PostgreSQL at {}", server.name);
    claim.check(Kind::Table, &name, missing, written.collect::<Result<Vec<(Generation, i64)>, Error>>()?)
}

/// Whether a pipeline's last progress is of the table of this name, or of one that was called otherwise then.
pub(super) async fn has_traces(server: &Server, schema: &str, target: &str, traces: &Traces) -> Result<bool, Error> {
    let client = server.connection().await?;
    let (name, table) = (name(schema), format!("{}.{}", quote(schema), quote(target)));
    let failed = |error| server.failed("read progress (table dataflow_tokens) in", &error);
    if !client.query_one("select to_regclass($1) is not null", &[&name]).await.map_err(failed)?.get::<_, bool>(0) {
        return Ok(false);
    }
    let there = definition::relation(&client, &table, &name).await.map_err(failed)?;
    let written = format!(
        "select target = $4 or coalesce(relation = $5, false) from {name} \
         where pipeline = $1 and incarnation = $2 and generation = any($3) and page = 0 \
         order by relation is not null desc, updated_at desc limit 1"
    );
    let generations: Vec<String> = traces.generations.iter().map(ToString::to_string).collect();
    let values: [&(dyn ToSql + Sync); 5] =
        [&traces.branch.as_str(), &traces.incarnation.as_str(), &generations, &target, &there];
    Ok(client.query_opt(&written, &values).await.map_err(failed)?.is_some_and(|row| row.get(0)))
}

/// Reads the token of a lane, without fencing anyone.
pub(super) async fn read(server: &Server, schema: &str, fence: &Fence) -> Result<Option<Token>, Error> {
    let client = server.connection().await?;
    let name = name(schema);
    let there = client.query_one("select to_regclass($1) is not null", &[&name]).await;
    if !there.map_err(|error| server.failed("read", &error))?.get::<_, bool>(0) {
        return Ok(None);
    }
    match read_row(server, &client, &name, fence).await? {
        Some(Row { holder, stored, .. }) => stored.to_token(holder.of(fence), holder.sequence),
        None => Ok(None),
    }
}

async fn read_row(
    server: &Server,
    client: &impl deadpool_postgres::GenericClient,
    name: &str,
    fence: &Fence,
) -> Result<Option<Row>, Error> {
    let read = format!(
        "select {} from {name} t where pipeline = $1 and incarnation = $2 and generation = $3 and lane = $4 and page = 0",
        columns(name)
    );
    let key = Key::of(fence);
    let found = client.query_opt(&read, &[&key.pipeline, &key.incarnation, &key.generation, &key.lane]).await;
    let found = found.map_err(|error| server.failed("read progress (table dataflow_tokens) in", &error))?;
    Ok(found.as_ref().map(row))
}

/// The key of a row, in the types of its columns. No number gets near the sign bit.
pub(super) struct Key<'a> {
    pub(super) pipeline: &'a str,
    pub(super) incarnation: &'a str,
    pub(super) generation: String,
    pub(super) lane: i32,
}

impl<'a> Key<'a> {
    pub(super) fn of(fence: &'a Fence) -> Self {
        let (pipeline, incarnation) = (fence.branch.as_str(), fence.incarnation.as_str());
        Self { pipeline, incarnation, generation: fence.generation.to_string(), lane: fence.lane as i32 }
    }
}
