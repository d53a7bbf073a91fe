//! The values that a type holds exactly. PostgreSQL truncates or rounds others silently; here they are reported.
use super::{
    moment::{Moment, too_fine},
    pairs,
    types::precision_and_scale,
};
use crate::table::{decimal::Decimal, shown::shown};
use dataflow_formats::decode;
use std::borrow::Cow;

/// Which of the values that a type accepts it holds exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exact {
    /// All of them.
    Any,
    /// Numbers with this many digits after the point.
    Scale(i32),
    /// Texts of this many bytes.
    Bytes(usize),
    /// Texts of this many characters.
    Characters(usize),
    /// Texts of this many characters, padded with blanks.
    Padded(usize),
    /// Times with this many fractional digits of a second.
    Time(Moment, u32),
    /// Ranges of times.
    Times(Moment),
    /// Durations with this many fractional digits of a second.
    Fraction(u32),
    /// Numbers that are the shortest or exact text of a double, or of a single.
    Double,
    Single,
    /// Addresses of eight bytes: those of six are changed.
    EightBytes,
    /// Integers from 0 to this: others are changed.
    Unsigned(u64),
    /// Pairs with distinct keys: others are dropped.
    Pairs,
}

impl Exact {
    /// The exact values of a type with this name and modifier.
    pub(super) fn of(name: &str, modifier: i32) -> Self {
        let length = usize::try_from(modifier - 4).ok().filter(|_| modifier >= 4);
        if let Some(moment) = Moment::of(name) {
            return Self::Time(moment, u32::try_from(modifier).unwrap_or(6));
        }
        match name {
            "numeric" => precision_and_scale(modifier).map_or(Self::Any, |(_, scale)| Self::Scale(scale)),
            "name" => Self::Bytes(63),
            "char" => Self::Bytes(1),
            "varchar" => length.map_or(Self::Any, Self::Characters),
            "bpchar" => length.map_or(Self::Any, Self::Padded),
            "interval" => Self::Fraction(6),
            "point" | "line" | "lseg" | "box" | "path" | "polygon" | "circle" | "float8" => Self::Double,
            "float4" => Self::Single,
            "macaddr8" => Self::EightBytes,
            "hstore" => Self::Pairs,
            "xid" | "cid" | "oid" => Self::Unsigned(u32::MAX.into()),
            "xid8" => Self::Unsigned(u64::MAX),
            _ => Self::Any,
        }
    }

    /// The exact values of ranges and multiranges of a type with this name.
    pub(super) fn of_range(bounds: &str) -> Self {
        match Self::of(bounds, -1) {
            Self::Time(moment, _) => Self::Times(moment),
            exact => exact,
        }
    }

    /// Returns a text that PostgreSQL reads as the same value, or the reason why the type would change it.
    pub(super) fn read(self, text: &str) -> Result<Cow<'_, str>, String> {
        let read = match self {
            Self::Any => return Ok(Cow::Borrowed(text)),
            Self::Time(moment, digits) => moment.read(text, digits),
            Self::Times(moment) => bounds(text, moment),
            _ => return self.refuses(text).map_or(Ok(Cow::Borrowed(text)), Err),
        };
        read.map(Cow::Owned).map_err(|why| format!("{:?} would be changed: {why}", shown(text)))
    }

    fn refuses(self, text: &str) -> Option<String> {
        let lost = |why: String| Some(format!("{:?} would be changed: {why}", shown(text)));
        match self {
            Self::Any | Self::Time(..) | Self::Times(_) => None,
            Self::Scale(scale) => match Decimal::of(text) {
                Some(number) if !number.has_scale(scale.into()) => {
                    lost(format!("the column rounds to {scale} digits after the point"))
                }
                _ => None,
            },
            Self::Bytes(most) if text.len() > most => lost(format!("the column truncates to {most} byte(s)")),
            Self::Characters(most) if text.chars().count() > most => {
                lost(format!("it has more than {most} characters"))
            }
            Self::Padded(width) => match text.chars().count() {
                count if count > width => lost(format!("it has more than {width} characters")),
                count if count < width && text.ends_with(' ') => {
                    lost("the column can't distinguish trailing blanks from its padding".into())
                }
                _ => None,
            },
            Self::Fraction(digits) => {
                let finer = fractions(text).any(|fraction| fraction.trim_end_matches('0').len() > digits as usize);
                if finer { lost(format!("the column holds {digits} fractional digits of a second")) } else { None }
            }
            Self::Double => numbers(text)
                .find(|number| decode::double(number).is_err_and(|why| !why.is_empty()))
                .and_then(|number| lost(format!("no double equals {}", shown(number)))),
            Self::Single => numbers(text)
                .find(|number| decode::real(number).is_err_and(|why| !why.is_empty()))
                .and_then(|number| lost(format!("no single equals {}", shown(number)))),
            Self::EightBytes if text.bytes().filter(u8::is_ascii_hexdigit).count() != 16 => {
                lost("the address does not have eight bytes".into())
            }
            Self::Unsigned(most)
                if !text.parse::<u64>().is_ok_and(|number| number <= most && number.to_string() == text) =>
            {
                lost(format!("it is not an integer from 0 to {most} in canonical form"))
            }
            Self::Pairs => {
                pairs::repeated(text).and_then(|key| lost(format!("it has the key {:?} twice", shown(&key))))
            }
            Self::Bytes(_) | Self::Characters(_) | Self::EightBytes | Self::Unsigned(_) => None,
        }
    }

    /// The reason why the type would change a time.
    pub(super) fn refuses_micros(self, micros: i64) -> Option<String> {
        let Self::Time(_, digits) = self else { return None };
        too_fine(micros, digits).map(|why| format!("the time would be changed: {why}"))
    }
}

/// Rewrites a range or multirange, whose bounds are read like values of the type.
fn bounds(text: &str, moment: Moment) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() + 2);
    for part in text.split_inclusive(['{', '}', '[', ']', '(', ')', ',']) {
        let (bound, end) = match part.char_indices().last() {
            Some((at, end)) if "{}[](),".contains(end) => part.split_at(at),
            _ => (part, ""),
        };
        let bound = bound.trim().trim_matches('"');
        let none = ["", "empty", "infinity", "-infinity"].iter().any(|none| bound.eq_ignore_ascii_case(none));
        match none {
            true => out.push_str(bound),
            false => out.push_str(&moment.read_bound(bound)?),
        }
        out.push_str(end);
    }
    Ok(out)
}

/// The digits after each point.
fn fractions(text: &str) -> impl Iterator<Item = &str> {
    text.split('.').skip(1).map(|rest| &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()])
}

/// All parts that may be numbers.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let part = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '+' | '-' | 'e' | 'E');
    text.split(move |letter| !part(letter)).filter(|number| number.bytes().any(|byte| byte.is_ascii_digit()))
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
            (
                "time",
                -1,
                &["10:00:00.123456", "10:00:00.1234560", "3:04 PM", "24:00:00"],
                &["10:00:00.1234567", "now", "2026-01-02 03:04:05", "03:04:05+02", "03:04:05 Europe/Rome", "10:00:60"],
            ),
            (
                "timetz",
                -1,
                &["10:00:00.5+02", "10:00Z", "10:00 -03:30", "10:00"],
                &["2026-01-02 03:04:05+02", "10:00 Europe/Rome", "now"],
            ),
            ("date", -1, &["2026-01-02"], &["2026-01-02 03:04:05", "2026-01-02T00:00:00Z", "today"]),
            ("xid", -1, &["0", "4294967295"], &["-1", "4294967296", "010", "0x10", "12abc"]),
            ("oid", -1, &["4294967295"], &["-1"]),
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
                assert!(exact.read(text).is_ok(), "{name} {text}");
            }
            for text in refused {
                assert!(exact.read(text).is_err(), "{name} {text}");
            }
        }
        let millis = Exact::of("timestamp", 3);
        assert!(millis.refuses_micros(1_000).is_none() && millis.refuses_micros(1).is_some());
    }

    #[test]
    fn times_are_read_as_those_of_a_column_of_their_own() {
        let local = "2026-01-02T01:04:05";
        assert_eq!(Exact::of("timestamp", -1).read("2026-01-02T03:04:05+02:00").ok().as_deref(), Some(local));
        for (bounds, range, expected) in [
            ("date", "[2026-01-02,2026-01-03)", Some("[2026-01-02,2026-01-03)")),
            ("date", "[2026-01-02 03:04:05,)", None),
            ("timestamp", "(,\"2026-01-02 03:04:05\"]", Some("(,2026-01-02T03:04:05]")),
            ("timestamp", "[2026-01-02 03:04:05+02,)", None),
            (
                "timestamptz",
                "{[2026-01-02 03:04:05+02,infinity),empty}",
                Some("{[2026-01-02T01:04:05Z,infinity),empty}"),
            ),
            ("timestamptz", "[now,)", None),
            ("time", "[03:04:05+02,)", None),
            ("float8", "[9007199254740993,)", None),
        ] {
            assert_eq!(Exact::of_range(bounds).read(range).ok().as_deref(), expected, "{range}");
        }
    }
}
