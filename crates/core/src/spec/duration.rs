//! Durations as users write them.
use crate::limits::MAX_DURATION_MS;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, time::Duration};

/// A duration in milliseconds, written with its unit: `50ms`, `1s`, `5m`, `2h`. At most
/// [`MAX_DURATION_MS`] where it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl From<Millis> for Duration {
    fn from(ms: Millis) -> Self {
        Self::from_millis(ms.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms > 0 && ms % 3_600_000 == 0 => write!(f, "{}h", ms / 3_600_000),
            ms if ms > 0 && ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms > 0 && ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl std::str::FromStr for Millis {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let scale = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        let number =
            scale.filter(|_| digits > 0).map(|scale| number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(scale));
        let ms = number.ok_or_else(|| {
            format!("{text:?} is not a duration: write a number and ms, s, m or h, like \"50ms\" or \"5m\"")
        })?;
        Self::bounded(ms)
    }
}

impl Millis {
    fn bounded(ms: u64) -> Result<Self, String> {
        let most = Self(MAX_DURATION_MS);
        if ms > most.0 { Err(format!("a duration can be at most {most} (7 days)")) } else { Ok(Self(ms)) }
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Millis;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration like \"50ms\", \"1s\" or \"5m\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Millis, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl JsonSchema for Millis {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A duration, a number and its unit: \"50ms\", \"1s\", \"5m\", \"2h\".",
            "type": "string",
            "format": "duration",
            "pattern": "^[0-9]+(ms|s|m|h)$"
        })
    }
}
