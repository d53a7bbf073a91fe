//! Times in text. PostgreSQL silently drops what a type doesn't hold: the date and zone of a `time`, the time of day of
//! a `date`, the zone of a `timestamp`. Here it is reported, or converted as for scalar columns of the type.
use crate::table::time::{date, date_time};
use dataflow_formats::decode;

/// The parts of a time that a type holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// `date`.
    Date,
    /// `timestamp`.
    Local,
    /// `timestamptz`.
    Zoned,
    /// `time`.
    Clock,
    /// `timetz`.
    ZonedClock,
}

impl Moment {
    /// The moment of a type with this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "date" => Self::Date,
            "timestamp" => Self::Local,
            "timestamptz" => Self::Zoned,
            "time" => Self::Clock,
            "timetz" => Self::ZonedClock,
            _ => return None,
        })
    }

    /// Returns a text that PostgreSQL reads as the same time, with this many fractional digits, or the reason why the
    /// type can't hold it.
    pub(super) fn read(self, text: &str, digits: u32) -> Result<String, String> {
        let point = |zone| match decode::micros(text) {
            Ok(micros) => too_fine(micros, digits).map_or(Ok(date_time(micros, zone)), Err),
            Err(why) => Err(why.to_owned()),
        };
        match self {
            Self::Date => decode::days(text).map(|days| date(days.into())).map_err(str::to_owned),
            Self::Local => point(""),
            Self::Zoned => point("Z"),
            Self::Clock | Self::ZonedClock => self.clock(text.trim(), digits),
        }
    }

    /// Reads a bound of a range, whose zone counts, too.
    pub(super) fn read_bound(self, text: &str) -> Result<String, String> {
        match self == Self::Local && text.get(10..).is_some_and(|clock| clock.contains(['Z', 'z', '+', '-'])) {
            true => Err("whose zone the column can't hold".into()),
            false => self.read(text, 6),
        }
    }

    fn clock(self, text: &str, digits: u32) -> Result<String, String> {
        let zone = text.find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, ':' | '.'));
        let (clock, zone) = text.split_at(zone.unwrap_or(text.len()));
        let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let parts: Vec<&str> = whole.split(':').collect();
        if !(2..=3).contains(&parts.len())
            || !parts.iter().all(|part| matches!(part.len(), 1 | 2))
            || parts[2..] == ["60"]
        {
            return Err("which is not a time like 03:04:05".into());
        }
        if fraction.trim_end_matches('0').len() > digits as usize || fraction.contains('.') {
            return Err(format!("which has more than {digits} fractional digits of a second"));
        }
        let zone = zone.trim_start();
        let is_half = |zone: &str| ["", "am", "pm"].iter().any(|half| zone.eq_ignore_ascii_case(half));
        let is_offset = || {
            let offset = zone.strip_prefix(['+', '-']).unwrap_or_default();
            zone.eq_ignore_ascii_case("z")
                || !offset.is_empty() && offset.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
        };
        match self {
            // Without an offset it would be in the zone of the session.
            Self::ZonedClock if is_half(zone) => Ok(format!("{text}+00")),
            Self::Clock if is_half(zone) => Ok(text.into()),
            Self::ZonedClock if is_offset() => Ok(text.into()),
            Self::ZonedClock => Err("which has more than a time and an offset like +02".into()),
            _ => Err("which has more than a time".into()),
        }
    }
}

/// The reason why this many fractional digits can't hold a time.
pub(super) fn too_fine(micros: i64, digits: u32) -> Option<String> {
    let step = 10_i64.pow(6_u32.saturating_sub(digits));
    (micros % step != 0).then(|| format!("which has more than {digits} fractional digits of a second"))
}
