//! What SQLite itself makes of a value that is stored in a column: <https://sqlite.org/datatype3.html#determination_of_column_affinity>.
use rusqlite::types::ValueRef;

/// What a column prefers to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    /// As it comes.
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    /// That of a declared type: SQLite's own rules, in their order. In a strict table ANY is as it comes.
    pub(super) fn of(declared: &str, strict: bool) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |part: &str| declared.contains(part);
        match () {
            () if strict && declared == "ANY" => Self::Blob,
            () if has("INT") => Self::Integer,
            () if has("CHAR") || has("CLOB") || has("TEXT") => Self::Text,
            () if has("BLOB") || declared.is_empty() => Self::Blob,
            () if has("REAL") || has("FLOA") || has("DOUB") => Self::Real,
            () => Self::Numeric,
        }
    }

    /// Whether a column gives this value back as it is: a number as the same number, a text as text.
    pub(super) fn keeps(self, value: ValueRef<'_>) -> bool {
        match (self, value) {
            (_, ValueRef::Null | ValueRef::Blob(_)) => true,
            // A NaN is stored as NULL.
            (_, ValueRef::Real(real)) if real.is_nan() => false,
            (Self::Text, ValueRef::Integer(_) | ValueRef::Real(_)) => false,
            (Self::Real, ValueRef::Integer(integer)) => integer as f64 as i128 == i128::from(integer),
            (Self::Integer | Self::Numeric | Self::Real, ValueRef::Text(text)) => !is_number(text),
            _ => true,
        }
    }
}

/// Whether SQLite would make a number of this text.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &mut &[u8]| {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *text = &text[count..];
        count
    };
    let strip = |text: &mut &[u8], any: &[u8]| {
        let found = text.first().is_some_and(|first| any.contains(first));
        *text = &text[usize::from(found)..];
        found
    };
    let mut rest = text;
    while strip(&mut rest, b" \t\n\x0b\x0c\r") {}
    strip(&mut rest, b"+-");
    let mut count = digits(&mut rest);
    if strip(&mut rest, b".") {
        count += digits(&mut rest);
    }
    if count == 0 {
        return false;
    }
    if strip(&mut rest, b"eE") {
        strip(&mut rest, b"+-");
        if digits(&mut rest) == 0 {
            return false;
        }
    }
    while strip(&mut rest, b" \t\n\x0b\x0c\r") {}
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Affinity;
    use rusqlite::{Connection, types::ValueRef};

    /// Says of each value what the real SQLite does with it.
    #[test]
    fn what_is_kept_is_what_sqlite_keeps() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("create table plain (i INT, t TEXT, b BLOB, r REAL, n STRING); create table s (a ANY) strict")
            .unwrap();
        let texts = [
            "",
            "a",
            "1",
            "00501",
            "1e5",
            "+1",
            "-0",
            ".5",
            "5.",
            ".",
            "1e",
            "1e+",
            " 1",
            "1 ",
            "1\n",
            "\u{a0}1",
            "0x1F",
            "1_0",
            "inf",
            "nan",
            "1\0",
            "9223372036854775808",
            "2026-01-02",
            "1,5",
            "--1",
            "e5",
            "1e400",
            "\u{b}1",
            "１",
            "true",
        ];
        let integers = [0, 1, -1, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN, i64::MAX - 1];
        let reals = [0.0, 1.0, 1.5, 1e300, 1e15, f64::NAN, f64::INFINITY, 0.1, 9_007_199_254_740_992.0];
        let values = texts.iter().map(|text| ValueRef::Text(text.as_bytes())).chain(
            integers
                .into_iter()
                .map(ValueRef::Integer)
                .chain(reals.into_iter().map(ValueRef::Real))
                .chain([ValueRef::Null]),
        );
        for value in values {
            for (table, column, declared) in [
                ("plain", "i", "INT"),
                ("plain", "t", "TEXT"),
                ("plain", "b", "BLOB"),
                ("plain", "r", "REAL"),
                ("plain", "n", "STRING"),
                ("s", "a", "ANY"),
            ] {
                let insert = format!("insert into {table} ({column}) values (?1) returning {column}");
                let kept = db.query_row(&insert, [rusqlite::types::ToSqlOutput::Borrowed(value)], |row| {
                    Ok(match (value, row.get_ref(0)?) {
                        (ValueRef::Integer(a), ValueRef::Real(b)) => b as i128 == i128::from(a),
                        (ValueRef::Real(a), ValueRef::Integer(b)) => a as i128 == i128::from(b) && a.fract() == 0.0,
                        (a, b) => a == b,
                    })
                });
                let kept = kept.unwrap();
                assert_eq!(Affinity::of(declared, table == "s").keeps(value), kept, "{value:?} in {declared}");
            }
        }
    }
}
