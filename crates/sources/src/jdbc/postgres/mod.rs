//! Reading from PostgreSQL.
mod array;
mod cursor;
mod definition;
mod horizon;
mod safe;
mod types;
mod work;

pub(super) use work::Work;

use super::{JdbcSource, position::Place};
use dataflow_core::position::Position;
use dataflow_postgres::{pool, session::Session};
use dataflow_sdk::{Context, Error};
use definition::Definition;

/// What makes the server's texts mean the same whatever role, database or url say.
fn pinned() -> String {
    format!(
        "set application_name = '{}'; set default_transaction_read_only = on; set datestyle = 'ISO, YMD'; \
         set intervalstyle = postgres; set timezone = 'UTC'; set bytea_output = hex; set extra_float_digits = 1; \
         set standard_conforming_strings = on; set xmlbinary = base64; set idle_in_transaction_session_timeout = 0",
        horizon::READER
    )
}

/// A session for reading.
async fn session(source: &JdbcSource, cx: &Context) -> Result<Session, Error> {
    let url = source.native_url()?;
    let mut session = pool::alone(&url, source.tls.as_ref(), &cx.paths)?.session().await?;
    session.run("prepare a session of", &pinned()).await?;
    Ok(session)
}

/// The place after the last row that is there, in numbers of rows, too.
pub(super) async fn end(source: &JdbcSource, cx: &Context) -> Result<Position, Error> {
    let (mut session, definition) = defined(source, cx).await?;
    let doing = source.doing();
    let key = cursor::highest(&mut session, &doing, &definition, &Place::default(), "true").await?.unwrap_or_default();
    let rows = match key.is_empty() {
        true => 0,
        false => cursor::count(&mut session, &doing, &definition, &key).await?,
    };
    Ok(Position { at: Place { rows, key }.text(), identity: definition.identity })
}

/// The place after a key that a user names; none: it is no key of these rows.
pub(super) async fn after(source: &JdbcSource, cx: &Context, key: Vec<String>) -> Result<Option<Position>, Error> {
    let (mut session, definition) = defined(source, cx).await?;
    if !key.is_empty() && key.len() != definition.order.len() {
        return Ok(None);
    }
    let counted = cursor::count(&mut session, &source.doing(), &definition, &key).await;
    let rows = match counted {
        _ if key.is_empty() => 0,
        Ok(rows) => rows,
        // It is not of the column's type.
        Err(Error::Fatal { code: "postgres", .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Position { at: Place { rows, key }.text(), identity: definition.identity }))
}

/// What the table is known by, as it is now.
async fn defined(source: &JdbcSource, cx: &Context) -> Result<(Session, Definition), Error> {
    let mut session = session(source, cx).await?;
    let definition = definition::define(source, &mut session, true).await?;
    Ok((session, definition))
}
