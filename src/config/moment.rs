// SPDX-License-Identifier: Apache-2.0

//! Points in time as people write them: `2027-01-31`, `2027-01-31T12:00:00Z`.

use core::fmt;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

const SECS_PER_DAY: u64 = 86_400;

/// A point in time, in whole seconds since the Unix epoch: a day, which begins at midnight UTC, or a time in UTC
/// ([RFC 3339](https://www.rfc-editor.org/rfc/rfc3339#section-5.6), with `Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, time.strip_suffix('Z')?),
            None => (text, "00:00:00"),
        };
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        let is_date = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && day >= 1
            && day <= days_of(year, month);
        let is_time = hour < 24 && minute < 60 && second < 60;
        if !is_date || !is_time {
            return None;
        }
        let years: u64 = (1970..year)
            .map(|year| if is_leap(year) { 366 } else { 365 })
            .sum();
        let months: u64 = (1..month).map(|month| days_of(year, month)).sum();
        let days = years + months + day - 1;
        Some(Self(days * SECS_PER_DAY + hour * 3600 + minute * 60 + second))
    }
}

/// Three numbers of these widths.
fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut found = [0; 3];
    for (number, width) in found.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, secs) = (self.0 / SECS_PER_DAY, self.0 % SECS_PER_DAY);
        let mut year = 1970;
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            if days < length {
                break;
            }
            days -= length;
            year += 1;
        }
        let mut month = 1;
        while days >= days_of(year, month) {
            days -= days_of(year, month);
            month += 1;
        }
        write!(f, "{year:04}-{month:02}-{:02}", days + 1)?;
        if secs > 0 {
            write!(f, "T{:02}:{:02}:{:02}Z", secs / 3600, secs / 60 % 60, secs % 60)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "expected a day such as \"2027-01-31\" or a time such as \"2027-01-31T12:00:00Z\", found \"{text}\""
            ))
        })
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(not(target_family = "wasm"))]
mod schema {
    use super::Moment;
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use std::borrow::Cow;

    impl JsonSchema for Moment {
        fn schema_name() -> Cow<'static, str> {
            "Moment".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "type": "string",
                "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?$",
                "examples": ["2027-01-31", "2027-01-31T12:00:00Z"]
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[crate::test]
    fn a_moment_is_written_as_it_was_read() {
        for (text, secs) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2027-01-31", 1_801_353_600),
            ("2027-01-31T12:34:56Z", 1_801_398_896),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(Moment::parse(text), Some(Moment(secs)), "{text}");
            assert_eq!(Moment(secs).to_string(), text);
        }
        assert_eq!(Moment::parse("2027-01-31T00:00:00Z"), Some(Moment(1_801_353_600)));
    }

    #[crate::test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2027",
            "2027-13-01",
            "2027-02-29",
            "2100-02-29",
            "2027-04-31",
            "2027-00-01",
            "2027-01-00",
            "1969-12-31",
            "27-01-31",
            "2027-1-31",
            "2027-01-31T12:00:00",
            "2027-01-31T24:00:00Z",
            "2027-01-31T12:60:00Z",
            "2027-01-31T12:00:00+02:00",
            "2027-01-31 12:00:00Z",
            "2027-01-31-01",
            "+027-01-31",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
