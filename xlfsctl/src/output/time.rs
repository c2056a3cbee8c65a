//! Points in time and time spans, for programs (RFC 3339, UTC) and for people.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

/// The last second that RFC 3339 can write: the end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// RFC 3339 in UTC with milliseconds; `None` for a time that cannot be written.
pub(crate) fn rfc3339(time: &Timestamp) -> Option<String> {
    system_time(time).map(|time| humantime::format_rfc3339_millis(time).to_string())
}

/// `2026-11-22 05:18:00 UTC`.
pub(crate) fn for_people(time: &Timestamp) -> Option<String> {
    let text = humantime::format_rfc3339_seconds(system_time(time)?).to_string();
    Some(text.replace('T', " ").replace('Z', " UTC"))
}

/// `05:18:00.123`, for lines that follow one another.
pub(crate) fn clock(time: &Timestamp) -> String {
    let text = rfc3339(time).unwrap_or_default();
    text.get(11..23).unwrap_or("--:--:--.---").to_owned()
}

/// How long ago it was, or nothing when it lies ahead.
pub(crate) fn age(time: &Timestamp) -> Option<String> {
    SystemTime::now().duration_since(system_time(time)?).ok().map(span)
}

/// The time from one moment to a later one.
pub(crate) fn between(from: &Timestamp, to: &Timestamp) -> Option<Duration> {
    system_time(to)?.duration_since(system_time(from)?).ok()
}

/// A time span in at most two units: `4.2s`, `1m05s`, `3h12m`, `12d4h`.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..10 => format!("{:.1}s", span.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// Seconds, to the millisecond.
pub(crate) fn seconds(span: &prost_types::Duration) -> f64 {
    let millis = span.seconds as f64 * 1000.0 + (f64::from(span.nanos) / 1e6).round();
    millis / 1000.0
}

/// The span as the standard library has it; 0 for one below zero.
pub(crate) fn std_span(span: &prost_types::Duration) -> Duration {
    Duration::try_from(*span).unwrap_or_default()
}

fn system_time(time: &Timestamp) -> Option<SystemTime> {
    let writable = (0..=LAST_SECOND).contains(&time.seconds);
    writable.then(|| SystemTime::try_from(*time).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        let time = Timestamp { seconds: 1_795_324_680, nanos: 123_456_789 };
        assert_eq!(rfc3339(&time).as_deref(), Some("2026-11-22T05:18:00.123Z"));
        assert_eq!(for_people(&time).as_deref(), Some("2026-11-22 05:18:00 UTC"));
        assert_eq!(clock(&time), "05:18:00.123");
    }

    #[test]
    fn times_that_cannot_be_written_are_none() {
        for seconds in [-1, LAST_SECOND + 1, i64::MAX, i64::MIN] {
            assert_eq!(rfc3339(&Timestamp { seconds, nanos: 0 }), None);
        }
    }

    #[test]
    fn spans_take_two_units() {
        for (millis, text) in [
            (0, "0.0s"),
            (4_230, "4.2s"),
            (59_999, "59s"),
            (65_000, "1m05s"),
            (11_520_000, "3h12m"),
            (1_051_200_000, "12d4h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn seconds_have_milliseconds() {
        assert_eq!(seconds(&prost_types::Duration { seconds: 12, nanos: 345_678_000 }), 12.346);
    }
}
