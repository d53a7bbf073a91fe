//! Records with known fates. Record n is always the same; one in a hundred is bad, of several kinds in turn.
use super::{Pair, Place};
use serde_json::{Value, json};
use std::fmt::Write;

/// The records of a flow: halfway the values of `level` widen from integers to decimals, and `extra` appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// The number of records.
    pub records: u64,
    source: Place,
    /// Whether the table of a sink rejects large totals.
    pub(super) constrained: bool,
}

/// The fault of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It is not JSON.
    Broken,
    /// A value is not of the wanted type.
    Misfit,
    /// An expression fails on it: a division by zero.
    Failing,
    /// A sink's table rejects it, if it is constrained.
    Refused,
}

impl Bad {
    /// The stage named by its dead letter.
    pub fn stage(self) -> &'static str {
        match self {
            Self::Broken => "decode",
            // A value of the wrong type is reported by the stage that wanted it.
            Self::Misfit | Self::Failing => "transforms[1]",
            Self::Refused => "sink",
        }
    }
}

/// The expected fate of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// The filter drops it.
    Filtered,
    /// It is a row of the sink.
    Delivered(Row),
    /// It is a dead letter.
    Dead(Bad),
}

/// A row of the sink.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub struct Row {
    /// The number of its record.
    pub id: i64,
    /// Unchanged.
    pub group: String,
    /// An integer expression.
    pub total: i64,
    /// An exact quotient.
    pub share: f64,
    /// Present from halfway on.
    pub extra: Option<String>,
}

impl Data {
    /// The given number of records for a pair.
    pub fn new(records: u64, pair: Pair) -> Self {
        Self { records, source: pair.source, constrained: pair.sinks.iter().any(|sink| pair.constrains(*sink)) }
    }

    /// The fault of record `n`, if any.
    pub fn bad(&self, n: u64) -> Option<Bad> {
        match n % 400 {
            // Pushed and generated records, and rows, are always JSON.
            101 if matches!(self.source, Place::File | Place::Kafka) => Some(Bad::Broken),
            201 if self.source != Place::Generate => Some(Bad::Misfit),
            301 => Some(Bad::Failing),
            1 if self.constrained => Some(Bad::Refused),
            _ => None,
        }
    }

    /// Record `n` as JSON, or nearly.
    pub fn line(&self, n: u64) -> String {
        if self.source == Place::Generate {
            return format!("{{\"id\":{n}}}");
        }
        let bad = self.bad(n);
        let mut line = format!("{{\"id\":{n},\"group\":\"g{}\",", n % 5);
        if bad == Some(Bad::Broken) {
            return line;
        }
        let amount = match bad {
            Some(Bad::Misfit) => "\"lots\"".into(),
            _ => self.amount(n).to_string(),
        };
        let divisor = if bad == Some(Bad::Failing) { 0 } else { 1 << (n % 4) };
        let half = if self.is_late(n) { ".5" } else { "" };
        write!(line, "\"amount\":{amount},\"divisor\":{divisor},\"level\":{}{half}", n % 9).expect("a String takes it");
        if self.is_late(n) {
            write!(line, ",\"extra\":\"x{n}\"").expect("a String takes it");
        }
        if self.source.is_table() && !self.is_late(n) {
            line += ",\"extra\":null";
        }
        line + "}"
    }

    fn amount(&self, n: u64) -> u64 {
        if self.bad(n) == Some(Bad::Refused) { 1_000_000 + n } else { n % 1_000 }
    }

    fn is_late(&self, n: u64) -> bool {
        n >= self.records / 2
    }

    /// All records, one per line.
    pub fn text(&self) -> String {
        (0..self.records).map(|n| self.line(n) + "\n").collect()
    }

    /// The transforms that give each record its fate. Generated records are computed from their number.
    pub(super) fn transforms(&self) -> Value {
        if self.source == Place::Generate {
            let amount = match self.constrained {
                true => "case when id % 400 = 1 then 1000000 + id else id % 1000 end",
                false => "id % 1000",
            };
            let divisor = "case when id % 400 = 301 then 0 when id % 4 = 0 then 1 when id % 4 = 1 then 2 when id % 4 = 2 then 4 else 8 end";
            return json!([
                {"type": "filter", "condition": "id % 10 <> 7"},
                {"type": "map", "set": {
                    "group": "'g' || cast(id % 5 as text)",
                    "total": format!("({amount}) * 2"),
                    "share": format!("8 / ({divisor})"),
                    "extra": format!("case when id >= {} then 'x' || cast(id as text) end", self.records / 2),
                }},
            ]);
        }
        json!([
            {"type": "filter", "condition": "id % 10 <> 7 and level >= 0"},
            {"type": "map", "set": {"total": "amount * 2", "share": "8 / divisor"}, "remove": ["amount", "divisor", "level"]},
        ])
    }

    /// The expected fate of record `n` in a sink: whether it takes the record, and whether its table rejects large totals.
    pub(super) fn fate(&self, n: u64, takes: bool, constrained: bool) -> Fate {
        match self.bad(n) {
            Some(bad @ (Bad::Broken | Bad::Misfit | Bad::Failing)) => Fate::Dead(bad),
            _ if n % 10 == 7 || !takes => Fate::Filtered,
            Some(bad) if constrained => Fate::Dead(bad),
            _ => Fate::Delivered(Row {
                id: i64::try_from(n).expect("few records"),
                group: format!("g{}", n % 5),
                total: i64::try_from(self.amount(n) * 2).expect("small amounts"),
                share: 8.0 / f64::from(1_u32 << (n % 4)),
                extra: self.is_late(n).then(|| format!("x{n}")),
            }),
        }
    }

    /// The partition of record `n`, of four.
    pub fn partition(n: u64) -> u64 {
        n / 7 % 4
    }
}
