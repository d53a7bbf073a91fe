//! Time zones: what clocks show.
use chrono::{Datelike, Days, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion_common::{Result, exec_err};

/// Last year that the rules of time zones are known for.
const LAST: i32 = 2099;

/// A time zone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zone(Tz);

/// The zone of a name.
pub(super) fn named(name: &str) -> Result<Zone> {
    // A short name means an offset to some and a zone with summer time to others.
    let full = name.contains('/') || matches!(name, "UTC" | "GMT");
    match name.parse::<Tz>() {
        Ok(zone) if full => Ok(Zone(zone)),
        _ => exec_err!("there is no time zone {name:?}: write it as 'Europe/Berlin' or 'UTC'"),
    }
}

impl Zone {
    /// Seconds to add to an instant to get what clocks show.
    pub(super) fn clock(self, instant: NaiveDateTime) -> Result<i32> {
        self.known(instant)?;
        Ok(self.0.offset_from_utc_datetime(&instant).fix().local_minus_utc())
    }

    /// Seconds to add to what clocks show to get the instant. What they show twice is taken as the second time; what they
    /// leave out is counted by the offset before.
    pub(super) fn instant(self, shown: NaiveDateTime) -> Result<i32> {
        self.known(shown)?;
        let offset = match self.0.offset_from_local_datetime(&shown) {
            LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => offset,
            LocalResult::None => {
                let before = shown.checked_sub_days(Days::new(1)).unwrap_or(shown);
                match self.0.offset_from_local_datetime(&before) {
                    LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => offset,
                    LocalResult::None => return exec_err!("{shown} is not a time in that zone"),
                }
            }
        };
        Ok(-offset.fix().local_minus_utc())
    }

    fn known(self, time: NaiveDateTime) -> Result<()> {
        if time.year() > LAST && self.0 != Tz::UTC {
            return exec_err!("the rules of time zones are known until {LAST}, and this is {}", time.year());
        }
        Ok(())
    }
}
