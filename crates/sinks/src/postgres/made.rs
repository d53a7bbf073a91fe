//! Tables that pipelines have made, noted beside their tokens: they get a column for each field.
use super::{
    pool::Server,
    tokens::{Key, name},
};
use dataflow_core::{id::Generation, token::Fence};
use dataflow_sdk::{Context, Error};
use deadpool_postgres::{Object, Transaction};
use tokio_postgres::types::ToSql;

/// Notes, beside the token of a lane, the table that it has made.
pub(super) async fn note(
    transaction: &Transaction<'_>,
    schema: &str,
    fence: &Fence,
    made: Option<&str>,
) -> Result<(), tokio_postgres::Error> {
    let note = format!(
        "update {} set made = $5 where pipeline = $1 and incarnation = $2 and generation = $3 and lane = $4 and page = 0",
        name(schema)
    );
    let key = Key::of(fence);
    let values: [&(dyn ToSql + Sync); 5] = [&key.pipeline, &key.incarnation, &key.generation, &key.lane, &made];
    transaction.execute(&note, &values).await.map(drop)
}

/// Whether any pipeline has made the table `there`: if two start at once, it is chance which one. Noted for this one, too.
pub(super) async fn by_any(
    server: &Server,
    client: &Object,
    schema: &str,
    fence: &Fence,
    there: Option<&str>,
) -> Result<bool, Error> {
    let note = format!(
        "update {0} set made = $5 where pipeline = $1 and incarnation = $2 and generation = $3 and lane = $4 and page = 0 \
            and exists (select from {0} where made = $5)",
        name(schema)
    );
    let key = Key::of(fence);
    let values: [&(dyn ToSql + Sync); 5] = [&key.pipeline, &key.incarnation, &key.generation, &key.lane, &there];
    let noted = client.execute(&note, &values).await;
    Ok(noted.map_err(|error| server.failed("keep progress (table dataflow_tokens) in", &error))? > 0)
}

/// Whether this generation of the context's branch has noted that a pipeline has made the table `there`.
pub(super) async fn by_generation(
    server: &Server,
    client: &Object,
    schema: &str,
    (cx, generation): (&Context, &Generation),
    there: Option<&str>,
) -> Result<bool, Error> {
    let failed = |error| server.failed("read progress (table dataflow_tokens) in", &error);
    let columns = "select exists (select from pg_attribute where attrelid = to_regclass($1) and attname = 'made')";
    let name = name(schema);
    if !client.query_one(columns, &[&name]).await.map_err(failed)?.get::<_, bool>(0) {
        return Ok(false);
    }
    let noted = format!(
        "select exists (select from {name} where pipeline = $1 and incarnation = $2 and generation = $3 and made = $4)"
    );
    let (pipeline, incarnation, generation) = (cx.branch.as_str(), cx.incarnation.as_str(), generation.to_string());
    let key: [&(dyn ToSql + Sync); 4] = [&pipeline, &incarnation, &generation, &there];
    Ok(client.query_one(&noted, &key).await.map_err(failed)?.get(0))
}
