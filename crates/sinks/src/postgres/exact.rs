//! What a type holds exactly. PostgreSQL cuts or rounds what is beyond without a word; here it is told.
use super::types::precision_and_scale;
use crate::table::decimal::{Decimal, canonical};

/// What a type holds exactly, of values that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exact {
    /// All that it takes.
    Any,
    /// Numbers with so many digits after the point.
    Scale(i32),
    /// Texts of so many bytes.
    Bytes(usize),
    /// Texts of so many characters.
    Characters(usize),
    /// Texts of so many characters, filled up with blanks.
    Padded(usize),
    /// Times with so many digits of a second, which do not depend on when they are read.
    Fraction(u32),
    /// Numbers that the nearest double, or single, is written as.
    Double,
    Single,
    /// Addresses of eight bytes: those of six become others.
    EightBytes,
    /// Numbers without a sign: one below zero becomes another.
    Unsigned,
}

/// Words that stand for another time each time they are read.
const MOMENTS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

impl Exact {
    /// Of a type of this name with this modifier.
    pub(super) fn of(name: &str, modifier: i32) -> Self {
        let length = usize::try_from(modifier - 4).ok().filter(|_| modifier >= 4);
        match name {
            "numeric" => precision_and_scale(modifier).map_or(Self::Any, |(_, scale)| Self::Scale(scale)),
            "name" => Self::Bytes(63),
            "char" => Self::Bytes(1),
            "varchar" => length.map_or(Self::Any, Self::Characters),
            "bpchar" => length.map_or(Self::Any, Self::Padded),
            "timestamp" | "timestamptz" | "time" | "timetz" => Self::Fraction(u32::try_from(modifier).unwrap_or(6)),
            "interval" | "tsrange" | "tstzrange" | "tsmultirange" | "tstzmultirange" | "daterange"
            | "datemultirange" | "date" => Self::Fraction(6),
            "point" | "line" | "lseg" | "box" | "path" | "polygon" | "circle" | "float8" => Self::Double,
            "float4" => Self::Single,
            "macaddr8" => Self::EightBytes,
            "xid" | "cid" | "xid8" => Self::Unsigned,
            _ => Self::Any,
        }
    }

    /// Why the type would not give a text back as it is.
    pub(super) fn refuses(self, text: &str) -> Option<String> {
        let lost = |why: String| Some(format!("{:?} would not be kept as it is: {why}", shown(text)));
        match self {
            Self::Any => None,
            Self::Scale(scale) => match Decimal::of(text) {
                Some(number) if !number.has_scale(scale.into()) => {
                    lost(format!("the column rounds to {scale} digits after the point"))
                }
                _ => None,
            },
            Self::Bytes(most) if text.len() > most => {
                lost(format!("the column cuts off what is beyond {most} byte(s)"))
            }
            Self::Characters(most) if text.chars().count() > most => {
                lost(format!("it has more than {most} characters"))
            }
            Self::Padded(width) => match text.chars().count() {
                count if count > width => lost(format!("it has more than {width} characters")),
                count if count < width && text.ends_with(' ') => {
                    lost("the column does not tell blanks at the end from those that it fills up with".into())
                }
                _ => None,
            },
            Self::Fraction(digits) => {
                let moment = words(text).find(|word| MOMENTS.iter().any(|moment| moment.eq_ignore_ascii_case(word)));
                if let Some(word) = moment {
                    return lost(format!("{word} is another time each time it is read"));
                }
                let finer = fractions(text).any(|fraction| fraction.trim_end_matches('0').len() > digits as usize);
                if finer { lost(format!("the column holds {digits} digits of a second")) } else { None }
            }
            Self::Double => numbers(text)
                .find(|number| !same(number, number.parse::<f64>().ok().map(|double| format!("{double:e}"))))
                .and_then(|number| lost(format!("no double is written as {}", shown(number)))),
            Self::Single => numbers(text)
                .find(|number| !same(number, number.parse::<f32>().ok().map(|single| format!("{single:e}"))))
                .and_then(|number| lost(format!("no single is written as {}", shown(number)))),
            Self::EightBytes if text.bytes().filter(u8::is_ascii_hexdigit).count() != 16 => {
                lost("the address does not have eight bytes".into())
            }
            Self::Unsigned if text.trim_start().starts_with('-') => lost("the column has no numbers below zero".into()),
            Self::Bytes(_) | Self::Characters(_) | Self::EightBytes | Self::Unsigned => None,
        }
    }

    /// Why the type would not give a time back as it is.
    pub(super) fn refuses_micros(self, micros: i64) -> Option<String> {
        let Self::Fraction(digits) = self else { return None };
        let step = 10_i64.pow(6_u32.saturating_sub(digits));
        (micros % step != 0)
            .then(|| format!("the time would not be kept as it is: the column holds {digits} digits of a second"))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphabetic())
}

/// The digits after each point.
fn fractions(text: &str) -> impl Iterator<Item = &str> {
    text.split('.').skip(1).map(|rest| &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()])
}

/// All that may be a number.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let part = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '+' | '-' | 'e' | 'E');
    text.split(move |letter| !part(letter)).filter(|number| number.bytes().any(|byte| byte.is_ascii_digit()))
}

/// Whether a number is the one that a float is written as. What is no number is for the server to refuse.
fn same(number: &str, float: Option<String>) -> bool {
    float.is_none_or(|float| canonical(number) == canonical(&float))
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_cut_or_rounded_is_told() {
        let numeric = |precision: i32, scale: i32| (precision << 16 | scale & 0x7ff) + 4;
        for (name, modifier, taken, refused) in [
            ("numeric", numeric(50, 2), &["1.23", "1.230", "1e3"][..], &["1.239"][..]),
            ("numeric", numeric(2, -3), &["2000", "2e4"], &["2500"]),
            ("name", -1, &["abc"], &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
            ("char", -1, &["a", ""], &["ab", "ä"]),
            ("varchar", 7, &["abc", "a  "], &["abc "]),
            ("bpchar", 7, &["ab", "ab ", ""], &["abcd", "a "]),
            ("time", -1, &["10:00:00.123456", "10:00:00.1234560"], &["10:00:00.1234567", "now"]),
            ("time", 0, &["10:00", "10:00:00.0"], &["10:00:00.5"]),
            (
                "point",
                -1,
                &["(0.1,1e20)", "(1,2)"],
                &["(0.10000000000000000555,1)", "(9007199254740993,1)", "(1e-400,1)"],
            ),
            ("float4", -1, &["0.1", "16777216"], &["16777217"]),
            ("macaddr8", -1, &["08:00:2b:01:02:03:04:05"], &["08:00:2b:01:02:03"]),
        ] {
            let exact = Exact::of(name, modifier);
            for text in taken {
                assert_eq!(exact.refuses(text), None, "{name} {text}");
            }
            for text in refused {
                assert!(exact.refuses(text).is_some(), "{name} {text}");
            }
        }
        assert!(Exact::Fraction(3).refuses_micros(1_000).is_none() && Exact::Fraction(3).refuses_micros(1).is_some());
    }
}
