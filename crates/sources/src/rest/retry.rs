//! The header `Retry-After` (RFC 9110, 10.2.3).
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// Longest wait: whoever says more is asked before, once a day.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// How long the server wants to be left alone. A date counts from the server's own clock, which the answer has.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds.ceil()).ok()?,
        Err(_) => {
            let time = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp());
            let (until, now) = (time(text)?, time(headers.get(DATE)?.to_str().ok()?)?);
            Duration::from_secs(u64::try_from(until.duration_since(now).as_secs()).unwrap_or(0))
        }
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
    }
}
