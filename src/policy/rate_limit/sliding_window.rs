// SPDX-License-Identifier: Apache-2.0

//! The sliding window: what was spent counts for as long as the window, whenever it was.
//!
//! The promise: in any interval of length `window`, ends included, at most `max` is served, as long as every
//! request stays within its reservation. Two rules carry it. A held amount counts in full however long its
//! request takes, and becomes a spent amount only when the request has ended, so it is charged no earlier than
//! its last output. And a sub-bucket expires as a whole, when even its youngest moment is older than the window.
//! Do not replace this by the usual two buckets with a weight: that assumes an even flow and overshoots without
//! one. `docs/decisions/0004-sliding-window.md` has the proof.
//!
//! The price: a charge is remembered for `window` to `window * (1 + 1/SUB_BUCKETS)`. The index of what was spent is
//! that of its sub-bucket.

use super::counter::{Series, add, subtract};

/// Parts of a window that expire one by one. Steady demand gets `SUB_BUCKETS / (SUB_BUCKETS + 1)` = 96 % of a limit.
pub(super) const SUB_BUCKETS: u64 = 24;

/// A window's length and what follows from it, all in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlidingWindow {
    pub(super) window: u64,
    sub_bucket: u64,
}

impl SlidingWindow {
    /// A window of this length, at least a nanosecond.
    pub(super) const fn new(window: u64) -> Self {
        Self {
            window,
            sub_bucket: window.div_ceil(SUB_BUCKETS),
        }
    }

    pub(super) fn expire(self, spent: &mut Series, now: u64) {
        spent.retain(|&(index, _)| self.until(index) > now);
    }

    /// The sub-bucket of this moment.
    pub(super) const fn index_of(self, now: u64) -> u64 {
        now / self.sub_bucket
    }

    pub(super) fn charge(self, spent: &mut Series, amount: u64, now: u64) {
        add(spent, self.index_of(now), amount);
    }

    pub(super) fn take_back(self, spent: &mut Series, amount: u64, charged_at: u64) {
        subtract(spent, self.index_of(charged_at), amount);
    }

    /// How long until `excess` has expired; `None` if there is not so much.
    pub(super) fn wait(self, spent: &Series, excess: u64, now: u64) -> Option<u64> {
        let mut freed = 0_u64;
        spent.iter().find_map(|&(index, amount)| {
            freed = freed.saturating_add(amount);
            (freed >= excess).then(|| self.until(index).saturating_sub(now))
        })
    }

    /// When something that is spent now expires.
    pub(super) fn until_of(self, now: u64) -> u64 {
        self.until(self.index_of(now))
    }

    /// From this moment on, everything in the sub-bucket is older than the window.
    pub(super) fn until(self, index: u64) -> u64 {
        index
            .saturating_add(1)
            .saturating_mul(self.sub_bucket)
            .saturating_add(self.window)
    }
}
