// SPDX-License-Identifier: Apache-2.0

//! How a limit forgets, as a fold over a small state.
//!
//! Nothing ticks: every function takes `now`, and the caller stores the result by compare-and-swap. Every pace has
//! the same verbs. Whatever the pace, what a request in flight holds counts in full until it ends, and is charged
//! then and not before.
//!
//! A hold that nobody settles (its worker crashed) expires [`LONGEST_EXCHANGE`] after the end of its generation,
//! and a sliding window later, for what it served last may be as young as that.

use super::calendar::Period;
use super::counter::{Counter, add, bring_back, subtract, subtract_latest};
use super::sliding_window::SlidingWindow;
use super::token_bucket::TokenBucket;
use core::time::Duration;

/// How long an exchange may take before its hold has to be renewed, in nanoseconds: one hour.
pub(super) const LONGEST_EXCHANGE: u64 = 3_600 * 1_000_000_000;

/// Generations of holds in `max(window, LONGEST_EXCHANGE)`.
pub(super) const GENERATIONS: u64 = 4;

/// The wait that is named when only requests in flight stand in the way: nobody knows when they end.
pub(super) const WAIT_FOR_FLIGHTS: Duration = Duration::from_secs(1);

/// How a limit forgets what was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pace: Pace,
    /// The length of a generation of holds, in nanoseconds.
    generation: u64,
    /// How much longer than its request a hold is remembered, in nanoseconds.
    memory: u64,
}

/// How what was spent comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// After the window's length.
    Sliding(SlidingWindow),
    /// Evenly.
    Bucket(TokenBucket),
    /// When the period of the calendar ends.
    Calendar(Period),
    /// Nothing is ever spent: only requests in flight count.
    InFlight,
}

impl Window {
    /// The window of a pace.
    pub(super) const fn new(pace: Pace) -> Self {
        let memory = match pace {
            Pace::Sliding(sliding) => sliding.window,
            Pace::Bucket(_) | Pace::Calendar(_) | Pace::InFlight => 0,
        };
        let longest = if memory > LONGEST_EXCHANGE {
            memory
        } else {
            LONGEST_EXCHANGE
        };
        Self {
            pace,
            generation: longest / GENERATIONS,
            memory,
        }
    }

    /// Forgets what has expired, and dates what is of the future as of now: it was written by a clock that was wrong.
    /// Every other function expects that this was done for the same `now`.
    pub(super) fn expire(self, counter: &mut Counter, now: u64) {
        let latest = match self.pace {
            Pace::Sliding(sliding) => sliding.index_of(now),
            Pace::Bucket(_) => now,
            Pace::Calendar(period) => period.end_at(now),
            Pace::InFlight => 0,
        };
        bring_back(&mut counter.spent, latest);
        bring_back(&mut counter.held, now / self.generation);
        match self.pace {
            Pace::Sliding(sliding) => sliding.expire(&mut counter.spent, now),
            Pace::Bucket(bucket) => bucket.expire(&mut counter.spent, now),
            Pace::Calendar(_) => counter.spent.retain(|&(end, _)| Period::until(end) > now),
            Pace::InFlight => counter.spent.clear(),
        }
        counter.held.retain(|&(index, _)| self.held_until(index) > now);
    }

    /// Holds `amount` for a request in flight, whether it fits or not.
    pub(super) fn hold(self, counter: &mut Counter, amount: u64, now: u64) {
        add(&mut counter.held, now / self.generation, amount);
    }

    /// Lets go what was held at `held_at`. Nothing happens if the hold has expired since. What a clock that was wrong
    /// has dated later than now was moved to some moment since: then the latest goes.
    pub(super) fn release(self, counter: &mut Counter, amount: u64, held_at: u64, now: u64) {
        if held_at > now {
            subtract_latest(&mut counter.held, amount);
        } else {
            subtract(&mut counter.held, held_at / self.generation, amount);
        }
    }

    /// Counts `amount` as spent now, whether it fits or not.
    pub(super) fn charge(self, counter: &mut Counter, amount: u64, now: u64) {
        match self.pace {
            Pace::Sliding(sliding) => sliding.charge(&mut counter.spent, amount, now),
            Pace::Bucket(bucket) => bucket.charge(&mut counter.spent, amount, now),
            Pace::Calendar(period) => add(&mut counter.spent, period.end_at(now), amount),
            Pace::InFlight => {}
        }
    }

    /// Takes back what was charged at `charged_at`, as [`Window::release`] does.
    pub(super) fn take_back(self, counter: &mut Counter, amount: u64, charged_at: u64, now: u64) {
        match self.pace {
            _ if charged_at > now => subtract_latest(&mut counter.spent, amount),
            Pace::Sliding(sliding) => sliding.take_back(&mut counter.spent, amount, charged_at),
            // What is missing is not told apart by when it was spent, so as much as is left of it comes back.
            Pace::Bucket(_) => subtract_latest(&mut counter.spent, amount),
            Pace::Calendar(period) => subtract(&mut counter.spent, period.end_at(charged_at), amount),
            Pace::InFlight => {}
        }
    }

    /// How long until `excess` has come back, in nanoseconds, if all that is held stays held; `None` if that never
    /// suffices.
    pub(super) fn wait(self, counter: &Counter, excess: u64, now: u64) -> Option<u64> {
        match self.pace {
            Pace::Sliding(sliding) => sliding.wait(&counter.spent, excess, now),
            Pace::Bucket(bucket) => bucket.wait(&counter.spent, excess, now),
            Pace::Calendar(_) => counter
                .spent
                .first()
                .filter(|(_, spent)| *spent >= excess)
                .map(|&(end, _)| Period::until(end).saturating_sub(now)),
            Pace::InFlight => None,
        }
    }

    /// How long until the counter is empty again, if all that is held were spent right now.
    pub(super) fn reset(self, counter: &Counter, now: u64) -> Duration {
        if counter.is_empty() {
            return Duration::ZERO;
        }
        let is_held = counter.holds();
        let nanos = match self.pace {
            Pace::Sliding(sliding) if is_held => sliding.until_of(now).saturating_sub(now),
            Pace::Sliding(_) => self.spent_until(counter).saturating_sub(now),
            Pace::Bucket(bucket) => {
                let at = counter.spent.last().map_or(now, |&(since, _)| since);
                at.saturating_add(bucket.time_for(counter.used()))
                    .saturating_sub(now)
            }
            Pace::Calendar(period) => Period::until(period.end_at(now)).saturating_sub(now),
            Pace::InFlight => return WAIT_FOR_FLIGHTS,
        };
        Duration::from_nanos(nanos)
    }

    /// When nothing of the counter will be left, if nothing more happens to it.
    pub(super) fn empty_at(self, counter: &Counter) -> u64 {
        let held = counter
            .held
            .last()
            .map_or(0, |&(index, _)| self.held_until(index));
        self.spent_until(counter).max(held)
    }

    fn spent_until(self, counter: &Counter) -> u64 {
        counter
            .spent
            .last()
            .map_or(0, |&(index, amount)| match self.pace {
                Pace::Sliding(sliding) => sliding.until(index),
                Pace::Bucket(bucket) => index.saturating_add(bucket.time_for(amount)),
                Pace::Calendar(_) => Period::until(index),
                Pace::InFlight => 0,
            })
    }

    /// From this moment on, a hold of the generation has lost its request.
    fn held_until(self, index: u64) -> u64 {
        index
            .saturating_add(1)
            .saturating_mul(self.generation)
            .saturating_add(LONGEST_EXCHANGE)
            .saturating_add(self.memory)
    }
}
