//! Progress that others of a pipeline have at a target: other nodes, other lives of it, other numbers of its branches.
use super::{
    definition,
    locks::{Ended, breaking_locks},
    pool::Server,
    target::name_of,
    tokens::{Key, name},
};
use crate::{
    owner::{Owner, may_write_again, written_before},
    table::{ddl::quote, tokens::stored_id},
};
use dataflow_core::id::Incarnation;
use dataflow_sdk::{Error, batch::Warning, sink::OpenLane};
use deadpool_postgres::{Object, Transaction};
use std::time::Duration;
use tokio_postgres::types::ToSql;

/// Converts the progress that others of this pipeline have at the target to that of its next generations.
pub(super) async fn take_over(
    server: &Server,
    transaction: &Transaction<'_>,
    schema: &str,
    target: &str,
    lane: &OpenLane,
    wait: Duration,
) -> Result<(), Error> {
    let doing = "look for progress of others (table dataflow_tokens) in";
    let failed = |error| server.failed(doing, &error);
    let (name, key) = (name(schema), Key::of(&lane.fence));
    // Of two that open at the same time, the later one sees what the first has written.
    let lock = "select pg_advisory_xact_lock(hashtextextended($1, 0))";
    let whose = format!("{name} {} {target}", lane.fence.branch.pipeline());
    let whose: [&(dyn ToSql + Sync); 1] = [&whose];
    let locking = transaction.execute(lock, &whose);
    breaking_locks(server, transaction, wait, Ended::Silent, doing, locking).await?;
    // Also under another number of the branch: `0` is the character after `/`.
    let others = format!(
        "select journal, incarnation, pipeline from {name} \
         where (pipeline = $5 or pipeline collate \"C\" > $5 || '/' and pipeline collate \"C\" < $5 || '0') and target = $3 \
            and (incarnation <> $2 or pipeline <> $1 and generation <> all($4)) \
         group by journal, incarnation, pipeline order by max(sequence) > 0 desc, max(updated_at) desc"
    );
    let siblings: Vec<String> = lane.siblings.iter().map(ToString::to_string).collect();
    let all = lane.fence.branch.pipeline().as_str();
    let values: [&(dyn ToSql + Sync); 5] = [&key.pipeline, &key.incarnation, &target, &siblings, &all];
    let others = transaction.query(&others, &values).await.map_err(failed)?;
    let called = format!("table {schema}.{target} in PostgreSQL at {}", server.name);
    let mut adopted = false;
    for row in &others {
        let (journal, other, branch): (String, &str, &str) = (row.get(0), row.get(1), row.get(2));
        let owner = Owner { journal, incarnation: stored_id::<Incarnation>(other)? };
        let gone = owner.is_in_the_way(lane) && {
            // Waits for one that is just committing.
            let lock =
                format!("select 1 from {name} where pipeline = $1 and incarnation = $2 and target = $3 for update");
            let values: [&(dyn ToSql + Sync); 3] = [&branch, &other, &target];
            let locking = transaction.query(&lock, &values);
            breaking_locks(server, transaction, wait, Ended::Silent, doing, locking).await?;
            let elsewhere = is_elsewhere(transaction, schema, target, &values).await.map_err(failed)?;
            elsewhere || is_empty(transaction, schema, target).await.map_err(failed)?
        };
        if !gone && !owner.is_taken_over(lane, true, &called)? {
            continue;
        }
        let number = "split_part(generation, '-', 1)::bigint";
        let adopt = format!(
            "update {name} set pipeline = $1, incarnation = $2, journal = $4, \
             generation = ({number} + (select max({number}) from {name} where pipeline = $1 and incarnation = $2)) \
             || substr(generation, strpos(generation, '-')) \
             where pipeline = $6 and incarnation = $5 and target = $3 and (incarnation <> $2 or generation <> all($7))"
        );
        let forget = format!(
            "delete from {name} where pipeline = $1 and incarnation = $2 and target = $3 \
                and (incarnation <> $4 or generation <> all($5))"
        );
        // A frozen earlier writer may hold their rows.
        if !gone && !std::mem::replace(&mut adopted, true) {
            let values: [&(dyn ToSql + Sync); 7] =
                [&key.pipeline, &key.incarnation, &target, &lane.journal, &other, &branch, &siblings];
            let adopting = transaction.execute(&adopt, &values);
            breaking_locks(server, transaction, wait, Ended::All, doing, adopting).await?;
        }
        let values: [&(dyn ToSql + Sync); 5] = [&branch, &other, &target, &key.incarnation, &siblings];
        let forgetting = transaction.execute(&forget, &values);
        breaking_locks(server, transaction, wait, Ended::All, doing, forgetting).await?;
    }
    Ok(())
}

/// What to know of rows that earlier pipelines of this id have written to a table without a key, unless it is empty now.
pub(super) async fn of_ancestors(
    server: &Server,
    client: &mut Object,
    schema: &str,
    table: &str,
    lane: &OpenLane,
) -> Result<Option<Warning>, Error> {
    if !may_write_again(lane) {
        return Ok(None);
    }
    let failed = |error| server.failed("read progress (table dataflow_tokens) in", &error);
    let written = format!(
        "select coalesce(sum((counters->>'rowsWritten')::bigint), 0)::bigint from {} \
         where split_part(pipeline, '/', 1) = $1 and incarnation = any($2) and target = $3",
        name(schema)
    );
    let ancestors: Vec<&str> = lane.ancestors.iter().map(Incarnation::as_str).collect();
    let transaction = client.transaction().await.map_err(failed)?;
    let target = name_of(table);
    let of: [&(dyn ToSql + Sync); 3] = [&lane.fence.branch.pipeline().as_str(), &ancestors, &target];
    let rows: i64 = transaction.query_one(&written, &of).await.map_err(failed)?.get(0);
    if rows == 0 || is_empty(&transaction, schema, target).await.map_err(failed)? {
        return Ok(None);
    }
    let table = format!("table {table} in PostgreSQL at {}", server.name);
    Ok(Some(written_before(lane, &table, rows.unsigned_abs())))
}

/// Returns whether all rows recorded by this progress (of a pipeline, an incarnation, a target) are in another table
/// than the one of this name: their table was dropped, and somebody has recreated it.
async fn is_elsewhere(
    transaction: &Transaction<'_>,
    schema: &str,
    table: &str,
    whose: &[&(dyn ToSql + Sync); 3],
) -> Result<bool, tokio_postgres::Error> {
    let (name, table) = (name(schema), format!("{}.{}", quote(schema), quote(table)));
    let Some(there) = definition::relation(transaction, &table, &name).await? else { return Ok(false) };
    let written = format!(
        "select coalesce(bool_and(coalesce(relation <> $4 and split_part(relation, ':', 1) = split_part($4, ':', 1), false)), false) \
         from {name} where pipeline = $1 and incarnation = $2 and target = $3 and sequence > 0"
    );
    let [pipeline, incarnation, target] = *whose;
    Ok(transaction.query_one(&written, &[pipeline, incarnation, target, &there]).await?.get(0))
}

/// Returns whether a table has no row or doesn't exist: then nothing is left of what others have written to it. An
/// unreadable table doesn't count as empty.
async fn is_empty(transaction: &Transaction<'_>, schema: &str, table: &str) -> Result<bool, tokio_postgres::Error> {
    let table = format!("{}.{}", quote(schema), quote(table));
    let look = "select to_regclass($1) is null, coalesce(has_table_privilege(to_regclass($1), 'select'), false)";
    let found = transaction.query_one(look, &[&table]).await?;
    let (gone, readable): (bool, bool) = (found.get(0), found.get(1));
    if gone || !readable {
        return Ok(gone);
    }
    Ok(transaction.query_one(&format!("select not exists (select from {table})"), &[]).await?.get(0))
}
