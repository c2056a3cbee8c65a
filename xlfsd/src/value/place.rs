//! Where a guest is: its time zone and its locale.

use std::str::FromStr;

use super::{BadValue, text_form};

/// The name of a time zone as the tz database writes it. Whether the guest
/// has it is seen there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeZone(String);

text_form!(TimeZone);

impl FromStr for TimeZone {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        // It becomes a path below /usr/share/zoneinfo: no part begins with a dot.
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
        };
        if text.len() > 64 || text.split('/').count() > 3 || !text.split('/').all(part) {
            return Err(BadValue::must("be a time zone, such as Europe/Zurich or UTC"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A locale as `setlocale` takes it: `C.UTF-8`, `en_US.UTF-8`, `de_CH.UTF-8@euro`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locale(String);

text_form!(Locale);

impl FromStr for Locale {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let within = |part: &str, longest, fits: fn(u8) -> bool| {
            (1..=longest).contains(&part.len()) && part.bytes().all(fits)
        };
        let (rest, modifier) = split(text, '@');
        let (rest, charset) = split(rest, '.');
        let (language, country) = split(rest, '_');
        let alphanumeric = |byte: u8| byte.is_ascii_alphanumeric();
        let fits = within(language, 8, |byte| byte.is_ascii_alphabetic())
            && country.is_none_or(|part| within(part, 3, alphanumeric))
            && charset
                .is_none_or(|part| within(part, 16, |b| b.is_ascii_alphanumeric() || b == b'-'))
            && modifier.is_none_or(|part| within(part, 16, alphanumeric));
        if !fits {
            return Err(BadValue::must("be a locale, such as C.UTF-8 or en_US.UTF-8"));
        }
        Ok(Self(text.to_owned()))
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_is_no_path_of_its_own() {
        for good in ["UTC", "Europe/Zurich", "America/Argentina/Buenos_Aires", "Etc/GMT+12"] {
            assert_eq!(good.parse::<TimeZone>().unwrap().as_str(), good);
        }
        let long = "A".repeat(65);
        for bad in ["/UTC", "UTC/", "A//B", "../UTC", "A/../B", "A/B/C/D", "1A", "A B", &long] {
            assert!(bad.parse::<TimeZone>().is_err(), "{bad}");
        }
        assert!("A".repeat(64).parse::<TimeZone>().is_ok());
    }

    #[test]
    fn a_locale_has_its_four_parts() {
        for good in ["C", "POSIX", "C.UTF-8", "en_US.UTF-8", "ca_ES@valencia", "de_DE.UTF-8@euro"] {
            assert_eq!(good.parse::<Locale>().unwrap().as_str(), good);
        }
        for bad in ["en_", "en_US.", "en_US@", "_US", "en US", "en_US.UTF_8", "en/US", "e1"] {
            assert!(bad.parse::<Locale>().is_err(), "{bad}");
        }
    }
}
