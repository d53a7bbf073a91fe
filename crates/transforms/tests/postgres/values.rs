//! Values of each class, and rows of them: as JSON for the program, as SQL for PostgreSQL.
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// A column's class: what a hole of a template takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    Boolean,
    Integer,
    Decimal,
    Double,
    Text,
    Instant,
    Datetime,
    Date,
    /// An integer that is small: a count or a position.
    Small,
    /// An interval, which no field can hold.
    Interval,
}

pub const CLASSES: [Class; 10] = [
    Class::Boolean,
    Class::Integer,
    Class::Decimal,
    Class::Double,
    Class::Text,
    Class::Instant,
    Class::Datetime,
    Class::Date,
    Class::Small,
    Class::Interval,
];

/// Two columns of each class that a field can have.
pub const COLUMNS: [(&str, Class); 18] = [
    ("b0", Class::Boolean),
    ("b1", Class::Boolean),
    ("i0", Class::Integer),
    ("i1", Class::Integer),
    ("d0", Class::Decimal),
    ("d1", Class::Decimal),
    ("f0", Class::Double),
    ("f1", Class::Double),
    ("s0", Class::Text),
    ("s1", Class::Text),
    ("t0", Class::Instant),
    ("t1", Class::Instant),
    ("u0", Class::Datetime),
    ("u1", Class::Datetime),
    ("y0", Class::Date),
    ("y1", Class::Date),
    ("n0", Class::Small),
    ("n1", Class::Small),
];

impl Class {
    /// The letter of a hole: `{i}`.
    pub fn of(letter: char) -> Self {
        match letter {
            'b' => Self::Boolean,
            'i' => Self::Integer,
            'd' => Self::Decimal,
            'f' => Self::Double,
            's' => Self::Text,
            't' => Self::Instant,
            'u' => Self::Datetime,
            'y' => Self::Date,
            'n' => Self::Small,
            'v' => Self::Interval,
            other => panic!("no class {other}"),
        }
    }

    /// The type declared in the spec.
    pub fn declared(self) -> Value {
        json!(match self {
            Self::Boolean => "boolean",
            Self::Integer | Self::Small => "bigint",
            Self::Decimal => return json!("decimal(20,4)"),
            Self::Double => "double",
            Self::Text | Self::Interval => "text",
            Self::Instant => "timestamp",
            Self::Datetime => "datetime",
            Self::Date => "date",
        })
    }

    /// The type in PostgreSQL.
    pub fn postgres(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "bigint",
            Self::Small => "integer",
            Self::Decimal => "numeric(20, 4)",
            Self::Double => "double precision",
            Self::Text => "text",
            Self::Instant => "timestamptz",
            Self::Datetime => "timestamp",
            Self::Date => "date",
            Self::Interval => "interval",
        }
    }

    /// Values at the edges.
    pub fn edges(self) -> &'static [&'static str] {
        match self {
            Self::Boolean => &["true", "false"],
            Self::Integer => &[
                "0",
                "1",
                "-1",
                "2",
                "7",
                "-7",
                "10",
                "100",
                "-128",
                "2147483647",
                "-2147483648",
                "4294967296",
                "9223372036854775807",
                "-9223372036854775808",
                "1700000000",
            ],
            Self::Decimal => &[
                "0.0000",
                "1.0000",
                "-1.0000",
                "0.5000",
                "-0.5000",
                "1.5000",
                "2.5000",
                "-2.5000",
                "19.9900",
                "0.0001",
                "-0.0001",
                "1234567.8901",
                "9999999999999999.9999",
                "-9999999999999999.9999",
                "0.0450",
                "7.0000",
            ],
            Self::Double => &[
                "0.0",
                "1.0",
                "-1.0",
                "0.5",
                "-0.5",
                "1.5",
                "2.5",
                "-2.5",
                "0.1",
                "1e-20",
                "1e300",
                "-1e300",
                "3.7",
                "-3.7",
                "1e15",
                "1e-300",
                "123456.789",
                "2.0",
                "0.045",
                "9007199254740992.0",
            ],
            Self::Text => &[
                "",
                " ",
                "a",
                "A",
                "ab",
                "abc",
                "xax",
                "a%b",
                "a_b",
                "a\\b",
                "%",
                "  trim  ",
                "\ttab\n",
                "Ärger ß ŉ",
                "日本語",
                "e\u{301}😀",
                "hello world-foo_bar",
                "O'Neil",
                "12",
                " 12 ",
                "1e3",
                "-7",
                "+7",
                "1.5",
                "inf",
                "NaN",
                "t",
                "yes",
                "off",
                "1",
                "0",
                "TRUE",
                "2024-02-29",
                "2024-02-30",
                "2024-1-5",
                "2024-01-02 03:04:05",
                "2024-01-02T03:04:05Z",
                "2024-01-02T03:04:05.123456+02:00",
                "2024-01-02T03:04:05+02",
                "2024-01-02 03:04:05-0330",
                "2024-01-02 03:04:05 EST",
                "2024-01-02T03:04:59.9999996Z",
                "a,b,,c",
                "aaa",
                "abcabc",
                "ǆ",
                "İ",
                "ΑΣ",
                "0x1F",
                "9223372036854775808",
                "x.y",
                "[a]",
                "a+b",
            ],
            Self::Instant => &[
                "2024-02-29T12:34:56.789Z",
                "1970-01-01T00:00:00Z",
                "1969-12-31T23:59:59.999999Z",
                "0001-01-01T00:00:00Z",
                "9999-12-31T23:59:59.999999Z",
                "1900-03-01T00:00:00Z",
                "2000-12-31T23:59:59.5Z",
                "2023-01-01T00:00:00Z",
                "2020-12-31T10:00:00Z",
                "1582-10-10T00:00:00Z",
                "2024-03-31T01:30:00Z",
            ],
            Self::Datetime => &[
                "2024-02-29T12:34:56.789",
                "1970-01-01T00:00:00",
                "1969-12-31T23:59:59.999999",
                "0001-01-01T00:00:00",
                "9999-12-31T23:59:59.999999",
                "1900-03-01T00:00:00",
                "2000-12-31T23:59:59.5",
                "2023-01-01T00:00:00",
                "2024-03-31T02:30:00",
            ],
            Self::Date => &[
                "2024-02-29",
                "1970-01-01",
                "1969-12-31",
                "0001-01-01",
                "9999-12-31",
                "1900-03-01",
                "2000-12-31",
                "2023-01-01",
                "2020-12-31",
                "1582-10-10",
            ],
            Self::Small => &["0", "1", "2", "3", "-1", "-2", "5", "10", "40", "-20"],
            Self::Interval => &[
                "24 hours",
                "1 day",
                "36 hours",
                "1 month",
                "30 days",
                "0 days",
                "-1 day",
                "-25 hours",
                "1 year",
                "12 months",
                "360 days",
                "-13 months",
                "250 years",
                "1 day -24 hours",
                "-61.5 seconds",
                "1 year 2 months 3 days 4 hours 5 minutes 6.789 seconds",
                "0.000001 seconds",
            ],
        }
    }

    /// Any value, in the spelling of [`edges`](Self::edges).
    pub fn value(self) -> BoxedStrategy<String> {
        let edges = select(self.edges()).prop_map(str::to_owned);
        let other = match self {
            Self::Boolean => return edges.boxed(),
            Self::Integer => prop_oneof![(-20i64..20), any::<i64>()].prop_map(|n| n.to_string()).boxed(),
            Self::Decimal => {
                (-2_000_000i64..2_000_000).prop_map(|n| format!("{}.{:04}", n / 10_000, (n % 10_000).abs())).boxed()
            }
            Self::Double => (-4000i32..4000).prop_map(|n| format!("{:?}", f64::from(n) / 16.0)).boxed(),
            Self::Text => "[a-cA-C%_.\\\\ äß0-3()|*+-]{0,6}".boxed(),
            Self::Instant => moment().prop_map(|text| text + "Z").boxed(),
            Self::Datetime => moment().boxed(),
            Self::Date => moment().prop_map(|text| text[..10].to_owned()).boxed(),
            Self::Small => (-4i64..12).prop_map(|n| n.to_string()).boxed(),
            Self::Interval => (-30i32..30, -60i32..60, -90_000i32..90_000)
                .prop_map(|(months, days, seconds)| format!("{months} months {days} days {seconds} seconds"))
                .boxed(),
        };
        prop_oneof![2 => edges, 1 => other].boxed()
    }

    /// A value as JSON.
    fn json(self, value: &str) -> Value {
        match self {
            Self::Boolean | Self::Integer | Self::Small | Self::Decimal | Self::Double => {
                serde_json::from_str(value).unwrap()
            }
            Self::Text | Self::Instant | Self::Datetime | Self::Date | Self::Interval => json!(value),
        }
    }
}

fn moment() -> impl Strategy<Value = String> {
    let date = (prop_oneof![1i32..9999, 1960i32..2040], 1u32..13, 1u32..29);
    (date, 0u32..24, 0u32..60, 0u32..60, select(vec!["", ".5", ".123456", ".000001"])).prop_map(
        |((year, month, day), hour, minute, second, fraction)| {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}")
        },
    )
}

/// A literal between quotes.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value for each column; none is NULL.
#[derive(Clone, Debug)]
pub struct Row(pub Vec<Option<String>>);

impl Row {
    /// The values as PostgreSQL reads them.
    pub fn sql(&self) -> String {
        let value = |(value, (_, class)): (&Option<String>, &(&str, Class))| match value {
            Some(text) => format!("{}::{}", quoted(text), class.postgres()),
            None => format!("null::{}", class.postgres()),
        };
        self.0.iter().zip(&COLUMNS).map(value).collect::<Vec<_>>().join(", ")
    }

    /// The record, a line of JSON. NULL is a field that is null or that isn't there.
    pub fn record(&self) -> String {
        // Written by hand: a number goes out as it is spelt.
        let mut fields = Vec::new();
        for (index, (value, (name, class))) in self.0.iter().zip(&COLUMNS).enumerate() {
            match value {
                Some(text) if class.json(text).is_string() => fields.push(format!("\"{name}\":{}", json!(text))),
                Some(text) => fields.push(format!("\"{name}\":{text}")),
                None if index % 2 == 0 => fields.push(format!("\"{name}\":null")),
                None => {}
            }
        }
        format!("{{{}}}", fields.join(","))
    }

    /// The columns that an expression names, for messages.
    pub fn of(&self, expression: &str) -> String {
        let shown = self.0.iter().zip(&COLUMNS).filter(|(_, (name, _))| expression.contains(name));
        shown
            .map(|(value, (name, _))| {
                format!("{name}={}", value.as_ref().map_or("NULL".into(), |value| format!("{value:?}")))
            })
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Declared types of all columns.
pub fn schema() -> Value {
    Value::Object(COLUMNS.iter().map(|(name, class)| ((*name).to_owned(), class.declared())).collect::<Map<_, _>>())
}

/// Any row.
pub fn row() -> impl Strategy<Value = Row> {
    let columns: Vec<_> = COLUMNS.iter().map(|(_, class)| prop::option::weighted(0.85, class.value())).collect();
    columns.prop_map(Row)
}
