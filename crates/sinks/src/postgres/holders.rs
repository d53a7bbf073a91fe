//! Finds the holders of locks that commits to a table wait for.
use super::pool::Server;
use dataflow_sdk::Error;

/// Sessions that block our other sessions on this table without being blocked by them: the oldest first.
const HOLDERS: &str = "with waiting (pid) as ( \
        select pid from pg_stat_activity where datname = current_database() and usename = current_user \
            and application_name = current_setting('application_name') and wait_event_type = 'Lock' \
            and (strpos(query, $1) > 0 or strpos(query, 'dataflow_tokens') > 0)), \
    holder (pid) as (select distinct unnest(pg_blocking_pids(pid)) from waiting) \
    select a.pid, coalesce(usename::text, '?'), coalesce(application_name, ''), coalesce(host(client_addr), 'local'), \
        coalesce(state, 'at work'), coalesce(extract(epoch from clock_timestamp() - coalesce(xact_start, query_start)), 0)::float8 \
    from holder join pg_stat_activity a using (pid) where pid not in (select pid from waiting) order by 6 desc limit 3";

/// Describes them; `None` if nothing is blocked. The table's name comes quoted. All connections of the pool may be
/// waiting.
pub(super) async fn of(server: &Server, table: &str) -> Result<Option<String>, Error> {
    let asked = server.beside_the_pool(async |client| {
        let failed = |error| server.failed("look for the holder of a lock in", &error);
        client.query(HOLDERS, &[&table]).await.map_err(failed)
    });
    let words = |row: &tokio_postgres::Row| {
        let (pid, user, application): (i32, &str, &str) = (row.get(0), row.get(1), row.get(2));
        let (address, state, seconds): (&str, &str, f64) = (row.get(3), row.get(4), row.get(5));
        format!(
            "session {pid} of user {user} ({application} from {address}, {state}, its transaction is {seconds:.0} s old)"
        )
    };
    let holders: Vec<String> = asked.await?.iter().map(words).collect();
    Ok((!holders.is_empty()).then(|| holders.join(", ")))
}
