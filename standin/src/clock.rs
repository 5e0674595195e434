// SPDX-License-Identifier: Apache-2.0

//! The only place in the stand-ins that reads the wall clock, and the source of their identifiers.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the Unix epoch, with fractions.
#[expect(
    clippy::disallowed_methods,
    reason = "a stand-in is a host program and reads its own clock"
)]
pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// Whole seconds since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "a stand-in is a host program and reads its own clock"
)]
pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// An RFC 3339 time in UTC, as Anthropic's limit headers give it.
pub(crate) fn rfc3339(unix: u64) -> String {
    // Days to a civil date after Howard Hinnant, <https://howardhinnant.github.io/date_algorithms.html>.
    let (days, second) = (unix / 86_400, unix % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Makes identifiers that look like the vendors' and differ from each other.
#[derive(Debug)]
pub(crate) struct Identifiers(Cell<u64>);

impl Identifiers {
    /// A series that starts at `seed`.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// `length` letters and digits.
    pub(crate) fn alphanumeric(&self, length: usize) -> String {
        const ALPHABET: [char; 32] = [
            'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'u',
            'v', 'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7', '8', '9',
        ];
        let mut text = String::with_capacity(length);
        while text.len() < length {
            let mut bits = self.next();
            for _ in 0..12.min(length - text.len()) {
                text.push(ALPHABET.get((bits & 31) as usize).copied().unwrap_or('a'));
                bits >>= 5;
            }
        }
        text
    }

    /// SplitMix64, <https://prng.di.unimi.it/splitmix64.c>: distinct for 2^64 calls.
    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates_are_right_around_leap_days() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_709_251_199), "2024-02-29T23:59:59Z");
    }

    #[test]
    fn identifiers_have_the_asked_length_and_differ() {
        let ids = Identifiers::seeded(1);
        let (one, two) = (ids.alphanumeric(29), ids.alphanumeric(29));
        assert_eq!(one.len(), 29);
        assert_ne!(one, two);
    }
}
