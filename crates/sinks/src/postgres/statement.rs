//! The statements that write rows: COPY for many that are appended, otherwise one INSERT from arrays.
use super::{encode::Encoder, types::Wire};
use crate::table::{Layout, ddl, keys::Place};
use bytes::{BufMut, Bytes, BytesMut};
use deadpool_postgres::Object;
use futures::SinkExt;
use tokio_postgres::{
    Error,
    types::{Format, IsNull, ToSql, Type},
};

/// From how many rows on a COPY is quicker than an INSERT, which needs one round trip less.
const COPY_FROM: usize = 64;

/// The statements for one layout of one table.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    insert: String,
    /// None where COPY can't be used: rows with a key, columns that need a cast.
    copy: Option<String>,
}

impl Statements {
    /// The statements for a table, whose name comes quoted.
    pub(super) fn new(table: &str, layout: &Layout, wires: &[Wire]) -> Self {
        let names: Vec<String> = layout.slots.iter().map(|slot| slot.column.name.clone()).collect();
        let columns = ddl::quote_all(&names);
        let arrays = wires.iter().enumerate().map(|(index, wire)| format!("${}::{}[]", index + 1, wire.base));
        let values = wires.iter().enumerate().map(|(index, wire)| match &wire.cast {
            Some(ty) => format!("c{index}::{ty}"),
            None => format!("c{index}"),
        });
        let aliases = (0..wires.len()).map(|index| format!("c{index}"));
        let joined = |parts: Vec<String>| parts.join(", ");
        let (arrays, values, aliases) = (joined(arrays.collect()), joined(values.collect()), joined(aliases.collect()));
        let key: Vec<String> = layout.key.iter().map(|place| names[*place].clone()).collect();
        let conflict = if key.is_empty() { String::new() } else { ddl::on_conflict(&key, &names, &[]) };
        let insert = format!(
            "insert into {table} ({columns}) select {values} from unnest({arrays}) as rows ({aliases}) {conflict}"
        );
        let copied = key.is_empty() && wires.iter().all(|wire| wire.copy);
        let copy = copied.then(|| format!("copy {table} ({columns}) from stdin (format binary)"));
        Self { insert, copy }
    }

    /// What is sent for these rows.
    pub(super) fn encode(&self, encoder: &Encoder<'_>, places: &[Place]) -> Result<Encoded, super::encode::Refused> {
        match self.copy.is_some() && places.len() >= COPY_FROM {
            true => encoder.copy(places).map(|data| Encoded::Copy(data.into())),
            false => encoder.arrays(places).map(|arrays| Encoded::Insert(arrays.into_iter().map(Binary).collect())),
        }
    }

    /// Writes what was encoded; the number of rows.
    pub(super) async fn run(&self, client: &Object, encoded: Encoded) -> Result<u64, Error> {
        match (encoded, &self.copy) {
            (Encoded::Copy(data), Some(copy)) => {
                let statement = client.prepare_cached(copy).await?;
                let mut to = std::pin::pin!(client.copy_in::<_, Bytes>(&statement).await?);
                to.send(data).await?;
                to.finish().await
            }
            (Encoded::Copy(_), None) => unreachable!("only a table that takes a COPY is encoded for one"),
            (Encoded::Insert(arrays), _) => {
                let statement = client.prepare_cached(&self.insert).await?;
                client.execute_raw(&statement, arrays.iter()).await
            }
        }
    }
}

/// Rows as they are sent.
pub(super) enum Encoded {
    Copy(Bytes),
    Insert(Vec<Binary>),
}

/// A parameter that is in binary form already.
#[derive(Debug)]
pub(super) struct Binary(Vec<u8>);

impl ToSql for Binary {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }
    tokio_postgres::types::to_sql_checked!();
}
