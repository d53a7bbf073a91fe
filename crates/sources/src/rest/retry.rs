//! How long an API wants to be left alone: `Retry-After` (RFC 9110, 10.2.3), or the limit that GitHub and others tell.
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// Longest wait: whoever says more is asked before, once a day.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// How long the server wants to be left alone. A date counts from the server's own clock, which the answer has.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let time = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp());
    let until = |until: i64| {
        let now = time(said(DATE.as_str())?)?;
        Some(Duration::from_secs(u64::try_from(until - now.as_second()).unwrap_or(0)))
    };
    let wait = match said(RETRY_AFTER.as_str()) {
        Some(text) => match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds.ceil()).ok()?,
            Err(_) => until(time(text)?.as_second())?,
        },
        // Seconds from now on, or a time.
        None if said("x-ratelimit-remaining") == Some("0") => match said("x-ratelimit-reset")?.parse::<i64>().ok()? {
            time @ 1_000_000_000.. => until(time)?,
            seconds => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        },
        None => return None,
    };
    Some(wait.clamp(Duration::from_secs(1), LONGEST))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        let now = "Mon, 30 Nov 2026 08:00:00 GMT";
        for (text, seconds) in [
            ("7", Some(7)),
            ("0", Some(1)),
            ("1.2", Some(2)),
            ("Mon, 30 Nov 2026 08:01:00 GMT", Some(60)),
            ("Mon, 30 Nov 2026 07:00:00 GMT", Some(1)),
            ("99999999", Some(24 * 3_600)),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = [(RETRY_AFTER, text), (DATE, now)].map(|(name, value)| (name, value.parse().unwrap()));
            assert_eq!(retry_after(&HeaderMap::from_iter(headers)).map(|wait| wait.as_secs()), seconds, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
        for (left, reset, seconds) in [
            ("0", "30", Some(30)),
            ("0", "1796025700", Some(100)),
            ("0", "1", Some(1)),
            ("7", "30", None),
            ("0", "x", None),
        ] {
            let headers = [("x-ratelimit-remaining", left), ("x-ratelimit-reset", reset), ("date", now)];
            let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let wait = retry_after(&HeaderMap::from_iter(headers));
            assert_eq!(wait.map(|wait| wait.as_secs()), seconds, "{left} {reset}");
        }
    }
}
