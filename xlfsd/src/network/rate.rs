//! How fast a guest may send: what people write, and what netback takes.
//!
//! netback gives each interface a credit of bytes and fills it up again after
//! an interval; in its back-end node `rate` stand both, as
//! `<bytes>,<microseconds>`. Written as xl takes it (`xl-network-configuration(5)`,
//! `rate`): `10Mb/s`, `250KB/s`, `1MB/s@20ms`. K, M and G are powers of 1000
//! there, not of 1024, and so they are here. `10M/s` and `100Mbit/s` are taken
//! as well.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How often the credit is filled up when nothing is said, in µs: 50 ms, as in xl.
const DEFAULT_INTERVAL: u32 = 50_000;
/// netback counts the interval in its timer's ticks of a millisecond or more.
const MIN_INTERVAL: u32 = 1_000;
/// A longer one only makes the traffic stand still in between.
const MAX_INTERVAL: u32 = 10_000_000;

/// The most that a guest may send for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Bytes a second.
    bytes: u64,
    /// Microseconds after which the credit is filled up.
    interval: u32,
}

/// The text is not a rate, or not one that netback can hold to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotARate {
    #[error(
        "{text:?} is not a rate: write for example \"10MB/s\" (bytes), \"100Mb/s\" (bits), \
         or \"1MB/s@20ms\""
    )]
    Syntax { text: String },
    #[error("{text:?} is no interval from 1ms to 10s: write a number and its unit, as in \"20ms\"")]
    Interval { text: String },
    #[error("{text:?} lets less than one byte pass in {interval} µs")]
    TooSlow { text: String, interval: u32 },
    #[error("{text:?} is more than can be counted")]
    TooFast { text: String },
}

impl Rate {
    /// The credit for one interval, in bytes; cut off, as xl does.
    pub fn bytes_per_interval(self) -> u64 {
        let bytes = u128::from(self.bytes) * u128::from(self.interval) / 1_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// The value of the back-end node `rate`.
    pub fn node(self) -> String {
        format!("{},{}", self.bytes_per_interval(), self.interval)
    }
}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let short = || text.chars().take(40).collect::<String>();
        let syntax = || NotARate::Syntax { text: short() };
        let (speed, interval) = match text.split_once('@') {
            Some((speed, interval)) => (speed, parse_interval(interval)?),
            None => (text, DEFAULT_INTERVAL),
        };
        let speed = speed.strip_suffix("/s").ok_or_else(syntax)?;
        let (number, unit) = split(speed);
        let number: u64 = number.parse().map_err(|_| syntax())?;
        let (scale, unit) = match unit.as_bytes().first() {
            Some(b'K' | b'k') => (1_000, &unit[1..]),
            Some(b'M') => (1_000_000, &unit[1..]),
            Some(b'G') => (1_000_000_000, &unit[1..]),
            _ => (1, unit),
        };
        let scaled =
            number.checked_mul(scale).ok_or_else(|| NotARate::TooFast { text: short() })?;
        let bytes = match unit {
            "B" => scaled,
            // "10M/s", but not "10/s": what of?
            "" if scale > 1 => scaled,
            "b" | "bit" => scaled / 8,
            _ => return Err(syntax()),
        };
        let rate = Self { bytes, interval };
        match rate.bytes_per_interval() {
            0 => Err(NotARate::TooSlow { text: short(), interval }),
            _ => Ok(rate),
        }
    }
}

/// In µs. A bare number is refused: xl's manual takes it for microseconds, xl
/// itself for seconds.
fn parse_interval(text: &str) -> Result<u32, NotARate> {
    let wrong = || NotARate::Interval { text: text.chars().take(40).collect() };
    let (number, unit) = split(text);
    let scale = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(scale)
        .filter(|interval| (MIN_INTERVAL..=MAX_INTERVAL).contains(interval))
        .ok_or_else(wrong)
}

/// Digits, and what follows.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

impl TryFrom<String> for Rate {
    type Error = NotARate;

    fn try_from(text: String) -> Result<Self, NotARate> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

/// In the largest unit of bytes that loses nothing; the interval only when it
/// is not the usual one.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB")];
        match units.into_iter().find(|(scale, _)| self.bytes.is_multiple_of(*scale)) {
            Some((scale, unit)) => write!(f, "{}{unit}/s", self.bytes / scale)?,
            None => write!(f, "{}B/s", self.bytes)?,
        }
        match self.interval {
            DEFAULT_INTERVAL => Ok(()),
            us if us.is_multiple_of(1_000_000) => write!(f, "@{}s", us / 1_000_000),
            us if us.is_multiple_of(1_000) => write!(f, "@{}ms", us / 1_000),
            us => write!(f, "@{us}us"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> String {
        text.parse::<Rate>().unwrap_or_else(|error| panic!("{error}")).node()
    }

    /// The three examples of `xl-network-configuration(5)` first, then the same by hand.
    #[test]
    fn credits_are_as_calculated_by_hand() {
        for (text, wanted) in [
            ("1MB/s@20ms", "20000,20000"),
            ("10Mb/s", "62500,50000"),
            ("250KB/s", "12500,50000"),
            ("10M/s", "500000,50000"),
            ("10MB/s", "500000,50000"),
            ("100Mbit/s", "625000,50000"),
            ("1GB/s", "50000000,50000"),
            ("1Gb/s@1ms", "125000,1000"),
            ("1Gbit/s@1500us", "187500,1500"),
            ("999B/s@1s", "999,1000000"),
            ("999B/s", "49,50000"),
            ("8000b/s@1s", "1000,1000000"),
        ] {
            assert_eq!(node(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_says_why() {
        let wrong = |text: &str| text.parse::<Rate>().unwrap_err();
        for text in
            ["", "fast", "10", "10/s", "10MB", "-1MB/s", "1.5MB/s", "MB/s", "10TB/s", "1é/s"]
        {
            assert!(matches!(wrong(text), NotARate::Syntax { .. }), "{text}");
        }
        for text in
            ["1MB/s@", "1MB/s@20", "1MB/s@0ms", "1MB/s@999us", "1MB/s@11s", "1MB/s@5000000s"]
        {
            assert!(matches!(wrong(text), NotARate::Interval { .. }), "{text}");
        }
        for text in ["0MB/s", "19B/s", "7b/s@10s"] {
            assert!(matches!(wrong(text), NotARate::TooSlow { .. }), "{text}");
        }
        assert!(matches!(wrong("18446744073709551615KB/s"), NotARate::TooFast { .. }));
    }

    #[test]
    fn a_rate_survives_its_text() {
        for (text, wanted) in [
            ("10M/s", "10MB/s"),
            ("100Mbit/s", "12500KB/s"),
            ("1MB/s@20ms", "1MB/s@20ms"),
            ("1001B/s@2s", "1001B/s@2s"),
            ("1GB/s@1500us", "1GB/s@1500us"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string(), wanted);
            assert_eq!(wanted.parse(), Ok(rate));
        }
    }
}
