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
}
