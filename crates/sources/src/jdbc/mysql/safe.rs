//! Whether numbers and times are given out so that a reader can know when it has seen all up to one: otherwise rows could be missed, and only
//! a delay helps.
use super::origin::Origin;
use crate::jdbc::JdbcSource;
use dataflow_mysql::{Flavour, Session, sql};
use dataflow_sdk::Error;

/// The oldest versions that remember, over a restart, which numbers they have given out.
fn oldest(flavour: Flavour) -> (u32, u32) {
    match flavour {
        Flavour::MariaDb => (10, 3),
        Flavour::MySql => (8, 0),
    }
}

/// Why rows could be missed: nothing, if they can't.
pub(super) async fn reasons(
    source: &JdbcSource,
    session: &mut Session,
    origin: Option<&Origin>,
) -> Result<Vec<String>, Error> {
    let mut reasons = of_server(session).await?;
    let name = match source.mode.is_timed() {
        true => source.timestamp_column.as_deref(),
        false => source.incrementing_column.as_deref(),
    };
    reasons.extend(of_column(session, name.unwrap_or_default(), origin, source.mode.is_timed()).await?);
    Ok(reasons)
}

/// What of the server hides writers.
async fn of_server(session: &mut Session) -> Result<Vec<String>, Error> {
    let mut reasons = Vec::new();
    let (major, minor) = session.version();
    if (major, minor) < oldest(session.flavour()) {
        reasons.push(format!(
            "a server of version {major}.{minor} forgets, when it starts again, which numbers it has given out"
        ));
    }
    let processes = "select 1 from information_schema.innodb_trx limit 1";
    if let Err(error) = session.rows("look at the transactions of", processes).await {
        if error.code() != "access-denied" {
            return Err(error);
        }
        reasons.push("the user of the url does not see what others are writing (grant process on *.* to it)".into());
        return Ok(reasons);
    }
    let replica =
        "select 1 from information_schema.processlist where user = 'system user' and command <> 'Daemon' limit 1";
    if !session.rows("look at the server", replica).await?.is_empty() {
        reasons.push("the server is a replica, to which rows come later than their numbers were given out".into());
    }
    let cluster = "show global variables where variable_name = 'wsrep_on' and value = 'ON' \
                   or variable_name = 'group_replication_single_primary_mode' and value = 'OFF'";
    if !session.rows("look at the server", cluster).await?.is_empty() {
        reasons
            .push("the server is one of several that take writes, and does not know who writes on the others".into());
    }
    Ok(reasons)
}

async fn of_column(
    session: &mut Session,
    name: &str,
    origin: Option<&Origin>,
    is_timed: bool,
) -> Result<Vec<String>, Error> {
    let computed = || vec![format!("the values of {name:?} are computed, or come from several tables")];
    let Some([database, table, column]) = origin else { return Ok(computed()) };
    let query = format!(
        "select c.data_type, c.column_default, c.extra, t.engine from information_schema.columns c \
         join information_schema.tables t using (table_schema, table_name) \
         where table_schema = {} and table_name = {} and c.column_name = {}",
        sql::literal(database),
        sql::literal(table),
        sql::literal(column)
    );
    let rows = session.rows("look at the column in", &query).await?;
    let Some(row) = rows.first() else { return Ok(computed()) };
    let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    let mut reasons = Vec::new();
    match text(3) {
        "InnoDB" => {}
        engine => reasons.push(format!(
            "{table} is kept by {engine}, which has no transactions (alter table {table} engine = innodb)"
        )),
    }
    match is_timed {
        true if text(0) != "timestamp" => {
            reasons.push(format!("{name:?} is {}, whose time depends on the zone of whoever writes", text(0)));
        }
        true if !text(1).to_ascii_lowercase().starts_with("current_timestamp") => reasons.push(format!(
            "{name:?} has no default of the server's clock (current_timestamp): whoever writes gives the time"
        )),
        false if !text(2).to_ascii_lowercase().contains("auto_increment") => reasons.push(format!(
            "the values of {name:?} are not given out by the server, as those of an auto_increment column are, but by whoever writes"
        )),
        _ => {}
    }
    Ok(reasons)
}
