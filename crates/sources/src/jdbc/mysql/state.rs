//! What is looked at in each round, in one question: the time, whether the table is what it was, and which number comes next.
use super::definition::Table;
use dataflow_mysql::{Session, sql};
use dataflow_sdk::Error;
use std::time::Duration;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The server's time so long ago: `2026-01-02 03:04:05.678901`, in UTC or in its own zone.
    pub(super) time: String,
    /// The number that the next row gets; none: none gets one.
    pub(super) next: Option<u64>,
    /// Differs from that of before if the table is not what it was.
    pub(super) version: Version,
}

/// See [`State::version`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version(String);

/// Looks at a table; none: at the time alone, as nobody knows which tables a query reads.
pub(super) async fn look(
    session: &mut Session,
    table: Option<&Table>,
    ago: Duration,
    is_local: bool,
) -> Result<State, Error> {
    let time = format!("now(6) - interval {} microsecond", ago.as_micros());
    let time = if is_local { format!("convert_tz({time}, '+00:00', @@global.time_zone)") } else { time };
    let query = match table {
        None => format!("select {time}, null, ''"),
        Some(Table { database, name }) => {
            let is_it = format!("table_schema = {} and table_name = {}", sql::literal(database), sql::literal(name));
            format!(
                "select {time}, t.auto_increment, concat_ws(' ', t.table_type, t.engine, @@global.read_only, \
                   (select md5(group_concat(concat_ws(' ', hex(column_name), column_type, is_nullable, column_default, extra) \
                     order by ordinal_position)) from information_schema.columns where {is_it})) \
                 from information_schema.tables t where {is_it}"
            )
        }
    };
    let rows = session.rows("look at the table in", &query).await?;
    let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
    let mut text = || row.next().flatten();
    Ok(State {
        time: text().unwrap_or_default(),
        next: text().and_then(|number| number.parse().ok()),
        version: Version(text().unwrap_or_default()),
    })
}
