//! One made-up record, as a line of JSON.
use super::Field;
use indexmap::IndexMap;

const FIRST: [&str; 16] = [
    "Ada",
    "Alan",
    "Barbara",
    "Dennis",
    "Donald",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "John",
    "Katherine",
    "Ken",
    "Leslie",
    "Margaret",
    "Niklaus",
    "Tony",
];
const LAST: [&str; 16] = [
    "Allen", "Dijkstra", "Hamilton", "Hoare", "Hopper", "Johnson", "Knuth", "Lamarr", "Lamport", "Liskov", "Lovelace",
    "McCarthy", "Ritchie", "Thompson", "Turing", "Wirth",
];
const CITIES: [&str; 16] = [
    "Accra", "Berlin", "Bogotá", "Cairo", "Delhi", "Hanoi", "Jakarta", "Lagos", "Lima", "London", "Nairobi", "Oslo",
    "Paris", "Quito", "Seoul", "Toronto",
];
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ab";

/// The schema if none is given: a user.
pub(super) fn users() -> IndexMap<String, Field> {
    let choice = |values: &[&str]| Field::Choice { values: values.iter().map(|&value| value.into()).collect() };
    [
        ("id", Field::Sequence { start: 1 }),
        ("name", Field::Name {}),
        ("email", Field::Email {}),
        ("age", Field::Integer { min: 1, max: 99 }),
        ("city", Field::City {}),
        ("plan", choice(&["free", "pro", "team"])),
        ("active", Field::Boolean { probability: 0.8 }),
        ("balance", Field::Number { min: -500.0, max: 5_000.0, decimals: 2 }),
        ("createdAt", Field::Timestamp { start: super::year_2026(), step: 1_000 }),
    ]
    .into_iter()
    .map(|(name, field)| (name.to_owned(), field))
    .collect()
}

/// Random numbers of one record (SplitMix64).
struct Dice(u64);

impl Dice {
    fn new(seed: u64, n: u64) -> Self {
        Self(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ mix(n))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Evenly from `0..bound` (as far as 64 bits can tell).
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(bound)) >> 64) as u64
    }

    fn of<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len() as u64) as usize]
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A schema that is ready to be written again and again.
#[derive(Debug)]
pub(super) struct Template {
    /// The text before each value (`{"id":`, `,"name":`), and the value.
    fields: Vec<(Vec<u8>, Value)>,
}

#[derive(Debug)]
enum Value {
    Field(Field),
    Texts(Vec<Vec<u8>>),
    /// Smallest and number of steps, in units of the last digit; digits behind the point.
    Fixed {
        min: i64,
        steps: u64,
        decimals: u32,
    },
}

impl Template {
    pub(super) fn new(schema: &IndexMap<String, Field>) -> Self {
        let fields = schema.iter().enumerate().map(|(i, (name, field))| {
            let open = if i == 0 { '{' } else { ',' };
            let before = format!("{open}{}:", serde_json::Value::from(name.as_str())).into_bytes();
            let value = match field {
                Field::Choice { values } => Value::Texts(values.iter().map(|v| v.to_string().into_bytes()).collect()),
                Field::Number { min, max, decimals } => {
                    let scale = f64::from(10u32.pow(*decimals));
                    let (min, max) = ((min * scale).round() as i64, (max * scale).round() as i64);
                    Value::Fixed { min, steps: max.abs_diff(min) + 1, decimals: *decimals }
                }
                other => Value::Field(other.clone()),
            };
            (before, value)
        });
        Self { fields: fields.collect() }
    }

    /// Writes record number `n`.
    pub(super) fn write(&self, seed: u64, n: u64, to: &mut Vec<u8>) {
        let mut dice = Dice::new(seed, n);
        for (before, value) in &self.fields {
            to.extend_from_slice(before);
            match value {
                Value::Texts(texts) => to.extend_from_slice(dice.of::<Vec<u8>>(texts)),
                Value::Fixed { min, steps, decimals } => {
                    fixed(min.wrapping_add(dice.below(*steps) as i64), *decimals, to);
                }
                Value::Field(field) => write(field, &mut dice, n, to),
            }
        }
        to.push(b'}');
    }
}

fn write(field: &Field, dice: &mut Dice, n: u64, to: &mut Vec<u8>) {
    match field {
        Field::Sequence { start } => number(start.wrapping_add(n), to),
        Field::Integer { min, max } => {
            let value = match max.abs_diff(*min).checked_add(1) {
                Some(span) => min.wrapping_add(dice.below(span) as i64),
                None => dice.roll() as i64,
            };
            fixed(value, 0, to);
        }
        Field::Boolean { probability } => {
            let truth = (dice.roll() >> 11) as f64 / (1u64 << 53) as f64;
            to.extend_from_slice(if truth < *probability { b"true" } else { b"false" });
        }
        Field::Text { length } => {
            to.push(b'"');
            let mut left = *length as usize;
            while left > 0 {
                let mut bits = dice.roll();
                for _ in 0..left.min(10) {
                    to.push(LETTERS[(bits & 63) as usize]);
                    bits >>= 6;
                }
                left -= left.min(10);
            }
            to.push(b'"');
        }
        Field::Name {} => text(&[*dice.of(&FIRST), " ", *dice.of(&LAST)], to),
        Field::Email {} => {
            to.push(b'"');
            to.extend_from_slice(dice.of(&LAST).to_ascii_lowercase().as_bytes());
            to.push(b'.');
            number(n, to);
            to.extend_from_slice(b"@example.com\"");
        }
        Field::City {} => text(&[*dice.of(&CITIES)], to),
        Field::Uuid {} => uuid(dice.roll(), dice.roll(), to),
        Field::Timestamp { start, step } => timestamp(start.saturating_add_unsigned(n.saturating_mul(*step)), to),
        // Made ready by the template.
        Field::Choice { .. } | Field::Number { .. } => to.extend_from_slice(b"null"),
    }
}

fn text(parts: &[&str], to: &mut Vec<u8>) {
    to.push(b'"');
    parts.iter().for_each(|part| to.extend_from_slice(part.as_bytes()));
    to.push(b'"');
}

fn number(mut value: u64, to: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[begin..]);
}

/// A number of units of the last of `decimals` digits.
fn fixed(value: i64, decimals: u32, to: &mut Vec<u8>) {
    if value < 0 {
        to.push(b'-');
    }
    let scale = 10u64.pow(decimals);
    number(value.unsigned_abs() / scale, to);
    if decimals > 0 {
        to.push(b'.');
        padded(value.unsigned_abs() % scale, decimals, to);
    }
}

fn padded(value: u64, digits: u32, to: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        to.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
    }
}

fn uuid(high: u64, low: u64, to: &mut Vec<u8>) {
    let bits = u128::from(high) << 64 | u128::from(low);
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62; // version 4, variant 1
    to.push(b'"');
    for place in (0..32).rev() {
        to.push(b"0123456789abcdef"[(bits >> (place * 4) & 0xf) as usize]);
        if matches!(place, 24 | 20 | 16 | 12) {
            to.push(b'-');
        }
    }
    to.push(b'"');
}

/// RFC 3339 in UTC with milliseconds; the calendar by the days of 400 years (civil from days).
fn timestamp(ms: i64, to: &mut Vec<u8>) {
    let ms = ms.clamp(0, 253_402_300_799_999) as u64;
    let (days, ms) = (ms / 86_400_000 + 719_468, ms % 86_400_000);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + era * 400 + u64::from(month >= 10), if month < 10 { month + 3 } else { month - 9 });
    to.push(b'"');
    for (value, digits, behind) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (ms / 3_600_000, 2, b':'),
        (ms / 60_000 % 60, 2, b':'),
        (ms / 1_000 % 60, 2, b'.'),
        (ms % 1_000, 3, b'Z'),
    ] {
        padded(value, digits, to);
        to.push(behind);
    }
    to.push(b'"');
}
