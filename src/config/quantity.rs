// SPDX-License-Identifier: Apache-2.0

//! Quantities as people write them: `90s`, `10MiB`.

use core::fmt;
use core::time::Duration;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// The given number of seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        Some(Self(Duration::from_millis(number.checked_mul(millis)?)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if millis >= size && millis.is_multiple_of(size) {
                return write!(f, "{}{unit}", millis / size);
            }
        }
        write!(f, "{millis}ms")
    }
}

/// Reads a quantity from a number or a text; says what one looks like where it is neither.
struct Written<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
    from_number: bool,
}

impl<T> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::custom(format!("expected {}, found \"{text}\"", self.expected)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.number(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.number(number)
    }

    /// The shortest text of a fraction is the one that was written.
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.number(number)
    }
}

impl<T> Written<T> {
    fn number<E: Error>(self, number: impl fmt::Display) -> Result<T, E> {
        let found = number.to_string();
        let unit = if self.from_number { "" } else { " without a unit" };
        let read = (self.parse)(&found).filter(|_| self.from_number);
        read.ok_or_else(|| E::custom(format!("expected {}, found {found}{unit}", self.expected)))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written {
            expected: "a duration such as \"90s\" or \"1h\"",
            parse: Self::parse,
            from_number: false,
        })
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number of bytes: a whole number, or one with `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u32);

impl ByteSize {
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let shift = match unit {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return None,
        };
        u32::try_from(number.checked_mul(1 << shift)?).ok().map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("MiB", 20), ("KiB", 10)] {
            if self.0 >= 1 << shift && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written {
            expected: "a size such as 65536 or \"10MiB\", below 4 GiB",
            parse: Self::parse,
            from_number: true,
        })
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number with up to six decimal places, kept exactly, in millionths: an amount of money, a weight, a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(pub u64);

/// How many millionths are one.
const ONE: u64 = 1_000_000;

impl Decimal {
    /// One.
    pub const ONE: Self = Self(ONE);

    /// A whole number; the largest that fits if it is too large.
    #[must_use]
    pub const fn from_whole(number: u64) -> Self {
        Self(number.saturating_mul(ONE))
    }

    /// The number, if it has no decimal places.
    #[must_use]
    pub const fn whole(self) -> Option<u64> {
        if self.0.is_multiple_of(ONE) {
            Some(self.0 / ONE)
        } else {
            None
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || part.len() > 6 || !is_digits(whole) || !is_digits(part) {
            return None;
        }
        let part: u64 = format!("{part:0<6}").parse().ok()?;
        let whole: u64 = whole.parse().ok()?;
        whole.checked_mul(ONE)?.checked_add(part).map(Self)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / ONE, self.0 % ONE);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let part = format!("{part:06}");
        write!(f, "{whole}.{}", part.trim_end_matches('0'))
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written {
            expected: "a number such as 100 or 2.5, with at most six decimal places, below 18446744073710",
            parse: Self::parse,
            from_number: true,
        })
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.whole() {
            Some(number) => serializer.serialize_u64(number),
            None => serializer.collect_str(self),
        }
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(not(target_family = "wasm"))]
mod schema {
    use super::{ByteSize, Decimal, Period};
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use std::borrow::Cow;

    impl JsonSchema for Period {
        fn schema_name() -> Cow<'static, str> {
            "Period".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({"type": "string", "pattern": "^[0-9]+ *(ms|s|m|h|d)$", "examples": ["90s", "1h"]})
        }
    }

    impl JsonSchema for Decimal {
        fn schema_name() -> Cow<'static, str> {
            "Decimal".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({"oneOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,6})?$", "examples": ["2.50"]}
            ]})
        }
    }

    impl JsonSchema for ByteSize {
        fn schema_name() -> Cow<'static, str> {
            "ByteSize".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({"oneOf": [
                {"type": "integer", "minimum": 0, "maximum": u32::MAX},
                {"type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)?$", "examples": ["10MiB"]}
            ]})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteSize, Decimal, Period};
    use core::time::Duration;

    #[crate::test]
    fn a_period_is_written_as_it_was_read() {
        for text in ["500ms", "1s", "90s", "15m", "1h", "31d"] {
            let period: Period = serde_json::from_value(text.into()).unwrap();
            assert_eq!(period.to_string(), text);
        }
        assert_eq!(Period::parse("60s"), Some(Period(Duration::from_secs(60))));
        for text in ["", "s", "1", "-1s", "1.5s", "1w", "99999999999999999999s"] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
    }

    #[crate::test]
    fn a_decimal_is_kept_as_it_was_written() {
        for (json, millionths, again) in [
            ("0", 0, "0"),
            ("600", 600_000_000, "600"),
            ("0.075", 75_000, "\"0.075\""),
            ("2.5", 2_500_000, "\"2.5\""),
            ("1e-6", 1, "\"0.000001\""),
            ("12.0", 12_000_000, "12"),
            ("\"2.50\"", 2_500_000, "\"2.5\""),
            ("\"0.1\"", 100_000, "\"0.1\""),
            ("18446744073709", 18_446_744_073_709_000_000, "18446744073709"),
        ] {
            let decimal: Decimal = serde_json::from_str(json).unwrap();
            assert_eq!(decimal, Decimal(millionths), "{json}");
            assert_eq!(serde_json::to_string(&decimal).unwrap(), again);
        }
        for json in [
            "-1",
            "1e-7",
            "0.1234567",
            "18446744073710",
            "\"\"",
            "\".5\"",
            "\"1e3\"",
            "null",
            "true",
        ] {
            assert!(serde_json::from_str::<Decimal>(json).is_err(), "{json}");
        }
    }

    #[crate::test]
    fn a_size_is_a_number_or_a_text() {
        for (json, bytes) in [
            ("65536", 65536),
            ("\"10MiB\"", 10 << 20),
            ("\"64 KiB\"", 64 << 10),
        ] {
            assert_eq!(serde_json::from_str::<ByteSize>(json).unwrap(), ByteSize(bytes));
        }
        for json in ["-1", "4294967296", "\"5GiB\"", "\"x\"", "null"] {
            assert!(serde_json::from_str::<ByteSize>(json).is_err(), "{json}");
        }
    }
}
