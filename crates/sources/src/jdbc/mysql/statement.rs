//! The statements that read rows after a key, in the order of their keys. Each part is a statement of its own, so that no row is locked
//! between two of them.
use super::{
    origin::Origin,
    types::{self, Kind, Reading},
};
use crate::jdbc::position::KeyValue;
use dataflow_mysql::sql;

/// A column of the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPart {
    pub(super) column: usize,
    /// Its name, quoted.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) is_nullable: bool,
}

impl KeyPart {
    /// A value as the server writes it.
    pub(super) fn value(&self, bytes: &[u8]) -> KeyValue {
        let text = || String::from_utf8_lossy(bytes).into_owned();
        match self.kind {
            Kind::Bytes => KeyValue::Bytes(bytes.into()),
            Kind::Whole => KeyValue::of_text(types::unfilled(&text())),
            Kind::Number | Kind::Time(_) | Kind::Text => KeyValue::Text(text()),
        }
    }

    /// A limit at a value; none: the column has no such values.
    pub(super) fn limit(&self, operator: &'static str, value: &KeyValue) -> Option<Limit> {
        Some(Limit(operator, self.literal(value)?))
    }

    /// The value in a statement; none: the column has no such values.
    fn literal(&self, value: &KeyValue) -> Option<String> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| b"+-.0123456789eE".contains(&byte));
        match (self.kind, value) {
            (Kind::Bytes, KeyValue::Bytes(bytes)) => Some(sql::bytes(bytes)),
            (Kind::Bytes, _) | (_, KeyValue::Bytes(_)) => None,
            (Kind::Whole, KeyValue::Whole(number)) => Some(number.to_string()),
            (Kind::Whole | Kind::Number, value) => Some(value.text()).filter(|text| is_number(text)),
            (Kind::Time(_), KeyValue::Text(text))
                if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') =>
            {
                Some(sql::literal(text))
            }
            (Kind::Time(_), _) => None,
            (Kind::Text, value) => Some(sql::literal(&value.text())),
        }
    }
}

/// Whether rows are locked while they are read: then they are waited for if somebody has changed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    None,
    Shared,
}

impl Lock {
    fn clause(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Shared => " lock in share mode",
        }
    }
}

/// A limit of the first column of the order: how it is compared, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit(pub(super) &'static str, pub(super) String);

impl Limit {
    fn of(limit: Option<&Self>, name: &str) -> String {
        limit.map_or_else(|| "true".into(), |Self(operator, literal)| format!("{name} {operator} {literal}"))
    }
}

/// The statements for what is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statements {
    /// What comes after FROM.
    pub(super) from: String,
    pub(super) order: Vec<KeyPart>,
    /// What is selected.
    columns: String,
    /// Whether rows without a time are passed over.
    is_timed: bool,
}

impl Statements {
    pub(super) fn new<'a>(
        from: String,
        order: Vec<KeyPart>,
        columns: impl Iterator<Item = (&'a str, &'a Reading)>,
        is_timed: bool,
    ) -> Self {
        let columns = columns.map(|(name, reading)| reading.selected(&format!("q.{}", sql::name(name))));
        Self { from, order, columns: columns.collect::<Vec<_>>().join(", "), is_timed }
    }

    /// Each column of the order, with what is said of it.
    fn each<'a>(parts: impl IntoIterator<Item = &'a KeyPart>, says: &str, between: &str) -> String {
        let parts = parts.into_iter().map(|part| format!("{}{says}", part.name));
        parts.collect::<Vec<_>>().join(between)
    }

    /// The rows after a key and within a limit. None: the columns have no such values.
    pub(super) fn rows(&self, after: &[KeyValue], limit: Option<&Limit>, rows: u32, lock: Lock) -> Option<String> {
        let lock = lock.clause();
        let order = Self::each(&self.order, "", ", ");
        let condition = self.condition(after, limit)?;
        Some(format!(
            "select {} from {} where {condition} order by {order} limit {rows}{lock}",
            self.columns, self.from
        ))
    }

    /// The values of the order's first column, from one on and within a limit, in the table that it comes from, which are locked.
    pub(super) fn behind(&self, origin: &Origin, from: Option<&KeyValue>, limit: &Limit, rows: u32) -> Option<String> {
        let [database, table, column] = origin.each_ref().map(|name| sql::name(name));
        let from = match from {
            Some(value) => format!("{column} >= {}", self.order.first()?.literal(value)?),
            None => "true".into(),
        };
        let (limit, lock) = (Limit::of(Some(limit), &column), Lock::Shared.clause());
        Some(format!(
            "select {column} from {database}.{table} where {from} and {limit} order by {column} limit {rows}{lock}"
        ))
    }

    /// The last of these keys.
    pub(super) fn highest(&self, after: &[KeyValue], limit: Option<&Limit>) -> Option<String> {
        let (names, order) = (Self::each(&self.order, "", ", "), Self::each(&self.order, " desc", ", "));
        let condition = self.condition(after, limit)?;
        Some(format!("select {names} from {} where {condition} order by {order} limit 1", self.from))
    }

    /// How many rows do not come after a key.
    pub(super) fn count(&self, key: &[KeyValue]) -> Option<String> {
        let after = self.after(key)?;
        Some(format!("select count(*) from {} where {} and not ({after})", self.from, self.placed()))
    }

    /// How many rows have a key.
    pub(super) fn same(&self, key: &[KeyValue]) -> Option<String> {
        let equal =
            self.order.iter().zip(key).map(|(part, value)| Some(format!("{} = {}", part.name, part.literal(value)?)));
        let equal = equal.collect::<Option<Vec<_>>>()?.join(" and ");
        Some(format!("select count(*) from {} where {equal}", self.from))
    }

    /// Whether a row has no place in the order, though it should: one without a time is not looked for. None: all have one.
    pub(super) fn lacking(&self) -> Option<String> {
        let (time, of_key) = self.order.split_at(usize::from(self.is_timed));
        let missing = Self::each(of_key.iter().filter(|part| part.is_nullable), " is null", " or ");
        let has_time = Self::each(time, " is not null and ", "");
        (!missing.is_empty()).then(|| format!("select 1 from {} where {has_time}({missing}) limit 1", self.from))
    }

    fn placed(&self) -> String {
        Self::each(&self.order, " is not null", " and ")
    }

    fn condition(&self, after: &[KeyValue], limit: Option<&Limit>) -> Option<String> {
        let limit = Limit::of(limit, &self.order.first()?.name);
        Some(format!("{} and {} and {limit}", self.placed(), self.after(after)?))
    }

    /// That a row comes after a key. A comparison of lists would do, but is not looked up in an index.
    fn after(&self, key: &[KeyValue]) -> Option<String> {
        let mut condition = String::new();
        for (at, (part, value)) in self.order.iter().zip(key).enumerate().rev() {
            let (name, value) = (&part.name, part.literal(value)?);
            condition = match condition.as_str() {
                "" => format!("{name} > {value}"),
                rest => format!("({name} > {value} or {name} = {value} and {rest})"),
            };
            if at == 0 && key.len() > 1 {
                condition = format!("{name} >= {value} and {condition}");
            }
        }
        Some(if condition.is_empty() { "true".into() } else { condition })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn statements() -> Statements {
        let part = |name: &str, kind| KeyPart { column: 0, name: name.into(), kind, is_nullable: false };
        let order = vec![part("q.`at`", Kind::Time(0)), part("q.`id`", Kind::Whole)];
        Statements::new("`t` as q".into(), order, std::iter::empty(), true)
    }

    #[test]
    fn a_key_is_looked_up_by_its_first_column() {
        let key = [KeyValue::Text("2026-01-02 03:04:05".into()), KeyValue::Whole(7)];
        assert_eq!(
            statements().after(&key).unwrap(),
            "q.`at` >= '2026-01-02 03:04:05' and (q.`at` > '2026-01-02 03:04:05' or q.`at` = '2026-01-02 03:04:05' and q.`id` > 7)"
        );
        assert_eq!(statements().after(&[]).unwrap(), "true");
    }

    #[test]
    fn values_of_other_types_are_no_keys() {
        for key in [
            [KeyValue::Whole(7), KeyValue::Whole(7)],
            [KeyValue::Text("2026-01-02".into()), KeyValue::Text("7 or 1".into())],
        ] {
            assert_eq!(statements().rows(&key, None, 1, Lock::None), None, "{key:?}");
        }
    }

    #[test]
    fn keys_are_what_the_server_writes() {
        let part = |kind| KeyPart { column: 0, name: "a".into(), kind, is_nullable: false };
        assert_eq!(part(Kind::Whole).value(b"0042"), KeyValue::Whole(42));
        assert_eq!(part(Kind::Whole).value(b"000"), KeyValue::Whole(0));
        assert_eq!(part(Kind::Whole).value(b"18446744073709551615"), KeyValue::Text("18446744073709551615".into()));
        assert_eq!(part(Kind::Text).value(b"42"), KeyValue::Text("42".into()));
        assert_eq!(part(Kind::Bytes).value(b"\0"), KeyValue::Bytes(vec![0]));
    }
}
