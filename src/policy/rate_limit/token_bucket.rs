// SPDX-License-Identifier: Apache-2.0

//! The token bucket: `max` may be spent at once, and `refill` comes back in each `every`, evenly.
//!
//! The promise: in any interval of length t at most `max + refill * t / every` is served. What was spent is one
//! element: how much of the bucket is missing, and the moment in nanoseconds at which that was so. Time that has
//! passed without bringing back a whole unit stays in that moment, so nothing is lost to rounding.

use super::counter::Series;

/// How fast a bucket fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenBucket {
    refill: u64,
    /// In nanoseconds.
    every: u64,
}

impl TokenBucket {
    /// A bucket that gets `refill` back in each `every` nanoseconds; both are at least 1.
    pub(super) const fn new(refill: u64, every: u64) -> Self {
        Self { refill, every }
    }

    pub(super) fn expire(self, spent: &mut Series, now: u64) {
        let Some(&(since, missing)) = spent.last() else {
            return;
        };
        let refilled = self.refilled_in(now.saturating_sub(since));
        spent.clear();
        if refilled < missing {
            spent.push((
                since.saturating_add(self.time_for(refilled)),
                missing.saturating_sub(refilled),
            ));
        }
    }

    pub(super) fn charge(self, spent: &mut Series, amount: u64, now: u64) {
        match spent.last_mut() {
            Some((_, missing)) => *missing = missing.saturating_add(amount),
            None if amount > 0 => spent.push((now, amount)),
            None => {}
        }
    }

    /// How long until `excess` has come back; `None` if not so much is missing.
    pub(super) fn wait(self, spent: &Series, excess: u64, now: u64) -> Option<u64> {
        let &(since, missing) = spent.last()?;
        (missing >= excess).then(|| since.saturating_add(self.time_for(excess)).saturating_sub(now))
    }

    /// How long an amount takes to come back.
    pub(super) fn time_for(self, amount: u64) -> u64 {
        let nanos = (u128::from(amount) * u128::from(self.every)).div_ceil(u128::from(self.refill.max(1)));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    fn refilled_in(self, nanos: u64) -> u64 {
        let amount = u128::from(nanos) * u128::from(self.refill) / u128::from(self.every.max(1));
        u64::try_from(amount).unwrap_or(u64::MAX)
    }
}
