//! Key columns of which only the server knows which values are the same: it numbers their texts, of an array its elements.
use crate::table::{audit, ddl::quote};
use deadpool_postgres::ClientWrapper;
use std::collections::HashMap;

/// Prefix of the temporary tables, one per column, that number the distinct texts.
const TABLES: &str = "pg_temp.dataflow_keys_";

/// A key column.
pub(super) struct Key {
    pub(super) place: usize,
    /// Its name, quoted.
    column: String,
    list: bool,
    /// The type of its texts.
    ty: String,
    /// The numbers of its values, by what they are with numbers for texts.
    values: HashMap<String, i64>,
}

impl Key {
    /// A column of this type, or whose elements have this one.
    pub(super) fn new(place: usize, name: &str, ty: &str, element: Option<&str>) -> Self {
        let (list, ty) = (element.is_some(), element.unwrap_or(ty).to_owned());
        Self { place, column: quote(name), list, ty, values: HashMap::new() }
    }

    /// Makes its table, whose values have the type and the collation of the target's.
    pub(super) fn table(&self, target: &str) -> String {
        let Self { place, column, .. } = self;
        let value = if self.list { format!("{column}[1]") } else { column.clone() };
        format!(
            "create temp table dataflow_keys_{place} as select {value} as value from {target} limit 0; \
             alter table {TABLES}{place} add unique (value); \
             alter table {TABLES}{place} add number bigint generated always as identity"
        )
    }

    /// The numbers of the texts of the target's rows, as text.
    pub(super) fn numbers_there(&self) -> String {
        let Self { place, column, .. } = self;
        if self.list {
            return format!(
                "(select string_agg(k.number::text, ',' order by e.n) from unnest(dataflow_target.{column}) with ordinality e (text, n) \
                 join {TABLES}{place} k on k.value = e.text)"
            );
        }
        format!("(select k.number::text from {TABLES}{place} k where k.value = dataflow_target.{column})")
    }

    /// The number of a value, whose texts have these; none if one of them has none.
    pub(super) fn number(&mut self, cell: &str, mut numbers: impl Iterator<Item = Option<i64>>) -> Option<i64> {
        let mut all = true;
        let numbered = audit::with_texts(cell, |text| match numbers.next().flatten() {
            Some(number) => number.to_string(),
            None => {
                all = false;
                text
            }
        });
        let next = self.values.len() as i64;
        all.then(|| *self.values.entry(numbered).or_insert(next))
    }

    /// The numbers of texts, which get one if they are new.
    pub(super) async fn numbers(&self, client: &ClientWrapper, texts: &[Option<String>]) -> Vec<Option<i64>> {
        if let Some(numbers) = self.ask(client, texts).await {
            return numbers;
        }
        // One of them is no value of this type.
        let mut each = Vec::with_capacity(texts.len());
        for text in texts {
            let one = self.ask(client, std::slice::from_ref(text)).await;
            each.push(one.and_then(|one| one.into_iter().next()).flatten());
        }
        each
    }

    async fn ask(&self, client: &ClientWrapper, texts: &[Option<String>]) -> Option<Vec<Option<i64>>> {
        let (keys, ty) = (format!("{TABLES}{}", self.place), &self.ty);
        let add = format!(
            "insert into {keys} (value) select text::{ty} from unnest($1::text[]) t (text) where text is not null on conflict do nothing"
        );
        client.execute(&add, &[&texts]).await.ok()?;
        let sql = format!(
            "select number from unnest($1::text[]) with ordinality t (text, place) left join {keys} on value = text::{ty} order by place"
        );
        let rows = client.query(&sql, &[&texts]).await.ok()?;
        Some(rows.iter().map(|row| row.get(0)).collect())
    }
}
