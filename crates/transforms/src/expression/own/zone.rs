//! Time zones and local times.
use chrono::{Datelike, Days, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use datafusion_common::{Result, exec_err};

/// The last year with known time zone rules.
const LAST: i32 = 2099;

/// A time zone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zone(Tz);

/// Finds a zone by its name.
pub(super) fn named(name: &str) -> Result<Zone> {
    // A short name is ambiguous: some mean an offset, others a zone with daylight saving time.
    let full = name.contains('/') || name.eq_ignore_ascii_case("UTC") || name.eq_ignore_ascii_case("GMT");
    let in_any_case = || TZ_VARIANTS.iter().copied().find(|zone| zone.name().eq_ignore_ascii_case(name));
    match name.parse::<Tz>().ok().or_else(in_any_case) {
        Some(zone) if full => Ok(Zone(zone)),
        _ => exec_err!("there is no time zone {name:?}: write it as 'Europe/Berlin' or 'UTC'"),
    }
}

impl Zone {
    /// Returns the seconds to add to an instant to get local time.
    pub(super) fn clock(self, instant: NaiveDateTime) -> Result<i32> {
        self.known(instant)?;
        Ok(self.0.offset_from_utc_datetime(&instant).fix().local_minus_utc())
    }

    /// Returns the seconds to add to a local time to get the instant. A repeated local time means the second
    /// occurrence; a skipped one uses the offset before the gap.
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
            return exec_err!("time zone rules are known until {LAST} only, this is {}", time.year());
        }
        Ok(())
    }
}
