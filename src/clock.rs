// SPDX-License-Identifier: Apache-2.0

//! A point in time, as a number.
//!
//! The core never reads a clock: whoever calls it says what time it is. Tests step time by hand, and a
//! decision can be replayed. Arithmetic saturates, so a clock that steps backwards yields zero, not a panic.

use core::time::Duration;

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The given number of nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The given number of whole seconds after the epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// A number that is as good as random among instants, however close they are: for spreading, not for secrets.
    /// Clocks tick in microseconds, so remainders of [`Timestamp::as_nanos`] are not.
    ///
    /// The finalizer of `SplitMix64` (<https://doi.org/10.1145/2714064.2660195>).
    #[must_use]
    pub const fn scattered(self) -> u64 {
        let mut mixed = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// The time that has passed since `earlier`; zero if `earlier` lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant, moved ahead by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;
    use core::time::Duration;

    #[crate::test]
    fn a_clock_that_steps_back_has_waited_for_nothing() {
        let late = Timestamp::from_secs(20);
        assert_eq!(Timestamp::from_secs(10).since(late), Duration::ZERO);
        assert_eq!(late.since(Timestamp::from_secs(10)), Duration::from_secs(10));
        assert_eq!(late.plus(Duration::MAX), Timestamp::from_nanos(u64::MAX));
    }

    #[crate::test]
    fn ticks_of_a_clock_scatter_whatever_they_are_multiples_of() {
        for tick in [1_000, 1_000_000, 1_000_000_000] {
            for parts in [2, 5, 100] {
                let first = (0..10_000)
                    .filter(|&n| Timestamp::from_nanos(n * tick).scattered().is_multiple_of(parts))
                    .count() as u64;
                let expected = 10_000 / parts;
                assert!(
                    first.abs_diff(expected) < 60 + expected / 10,
                    "{tick} {parts}: {first}"
                );
            }
        }
    }
}
