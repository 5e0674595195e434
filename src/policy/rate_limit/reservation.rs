// SPDX-License-Identifier: Apache-2.0

//! What a request has reserved, and what became of it.
//!
//! A [`Reservation`] is a value without a destructor: whoever gets one hands it to
//! [`settle`](super::RateLimiter::settle), which consumes it, so it cannot be settled twice. One that is dropped
//! instead stays charged in full until its holds expire by themselves, an hour or more later: safe for the
//! limit, bad for the caller, and always a fault of the code that dropped it.
//!
//! It carries all that settling needs (key, shard, window, amount, time), so it can still be settled after the
//! limits have been configured anew.

use super::measure::{Measure, Rates, Unit};
use super::shard::{Block, CounterKey};
use super::window::{WAIT_FOR_FLIGHTS, Window};
use core::time::Duration;

/// The shortest wait that is named.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// What a request has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How many requests this counts as: 0 if no provider was asked, and then everything is given back.
    pub requests: u64,
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// The part of the input that was read from a cache.
    pub cached_input_tokens: u64,
    /// The part of the output that was reasoning.
    pub reasoning_tokens: u64,
    /// What it cost, in pico-USD; 0 if no price is known.
    pub cost: u64,
}

impl Spent {
    /// A request that has cost nothing else.
    pub const ONE_REQUEST: Self = Self {
        requests: 1,
        input_tokens: 0,
        output_tokens: 0,
        cached_input_tokens: 0,
        reasoning_tokens: 0,
        cost: 0,
    };

    /// With what another attempt at the same request has cost.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.max(other.requests),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cached_input_tokens: self.cached_input_tokens.saturating_add(other.cached_input_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            cost: self.cost.saturating_add(other.cost),
        }
    }
}

/// The state of the tightest limit of one kind, for `x-ratelimit-*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// The limit, in its unit: requests, tokens or micro-USD.
    pub limit: u64,
    /// What is left of it, this reservation taken off.
    pub remaining: u64,
    /// Until the limit is whole again.
    pub reset: Duration,
}

/// A reservation under every limit that applies. It must be settled exactly once.
#[must_use = "a reservation that is not settled stays charged for an hour or more"]
#[derive(Debug, Default)]
pub struct Reservation {
    /// The tightest limit on requests.
    pub request_allowance: Option<Allowance>,
    /// The tightest limit on tokens of any kind.
    pub token_allowance: Option<Allowance>,
    /// The tightest limit on money, in micro-USD.
    pub budget_allowance: Option<Allowance>,
    /// The limits in shadow mode that had no room, by their place in the configuration.
    pub(super) would_refuse: Vec<usize>,
    pub(super) output_tokens: u64,
    pub(super) is_clamped: bool,
    /// Sorted by shard.
    pub(super) charges: Vec<Charge>,
}

impl Reservation {
    /// The output tokens that were reserved: what was demanded or, where that was a guess, perhaps less. A request
    /// that stays within them keeps every limit's promise.
    #[must_use]
    pub const fn output_tokens(&self) -> u64 {
        self.output_tokens
    }

    /// Whether a limit has lowered the output to what it has room for: then the provider has to be told so.
    #[must_use]
    pub const fn is_clamped(&self) -> bool {
        self.is_clamped
    }

    /// Whether any limit that refuses counts the output.
    #[must_use]
    pub fn bounds_output(&self) -> bool {
        self.charges
            .iter()
            .any(|charge| !charge.is_shadow && charge.rates.counts_output())
    }

    /// The limits that would have refused, if they were not in shadow mode.
    #[must_use]
    pub fn would_refuse(&self) -> &[usize] {
        &self.would_refuse
    }

    /// Keeps the tightest of the allowances of one unit.
    pub(super) fn note(&mut self, charge: &Charge) {
        let slot = match charge.measure.unit() {
            Unit::Requests => &mut self.request_allowance,
            Unit::Tokens => &mut self.token_allowance,
            Unit::MicroUsd => &mut self.budget_allowance,
        };
        let allowance = charge.allowance();
        if slot.is_none_or(|old| (allowance.remaining, allowance.limit) < (old.remaining, old.limit)) {
            *slot = Some(allowance);
        }
    }
}

/// What was taken from one counter, or is about to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    /// The limit, as an index into the limiter that made the charge.
    pub(super) limit: usize,
    pub(super) shard: u16,
    pub(super) key: CounterKey,
    pub(super) measure: Measure,
    pub(super) rates: Rates,
    pub(super) window: Window,
    pub(super) max: u64,
    pub(super) is_shadow: bool,
    /// What there has to be room for: more than the amount where another limit lowers the output and this one does not.
    pub(super) asked: u64,
    /// What is taken.
    pub(super) amount: u64,
    /// The block's time when the amount was taken.
    pub(super) taken_at: u64,
    /// What the counter had in use when it was last seen: before the amount was taken, and then after.
    pub(super) used: u64,
    /// How long until the counter is empty, seen at the same time.
    pub(super) reset: Duration,
}

/// Why a charge was not made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Denied {
    pub(super) limit: usize,
    pub(super) wait: Duration,
    pub(super) allowance: Allowance,
}

impl Charge {
    /// Notes the state of the block's counter.
    pub(super) fn look(&mut self, block: &Block<'_>) {
        let counter = block.counter(&self.key, self.window);
        self.used = counter.used();
        self.reset = self.window.reset(&counter, block.clock());
    }

    /// Whether the block's counter, as it was seen, has room for what is asked.
    ///
    /// # Errors
    ///
    /// When enough will have come back, if all that is held stays held; [`WAIT_FOR_FLIGHTS`] if that never suffices.
    pub(super) fn check(&self, block: &Block<'_>) -> Result<(), Denied> {
        let excess = self.used.saturating_add(self.asked).saturating_sub(self.max);
        if excess == 0 || self.asked == 0 {
            return Ok(());
        }
        let counter = block.counter(&self.key, self.window);
        let wait = self.window.wait(&counter, excess, block.clock());
        Err(Denied {
            limit: self.limit,
            wait: wait.map_or(WAIT_FOR_FLIGHTS, |nanos| {
                Duration::from_nanos(nanos.saturating_add(block.ahead())).max(SHORTEST_WAIT)
            }),
            allowance: self.allowance(),
        })
    }

    /// Takes the amount from the block's counter, which has room for it.
    ///
    /// A request counts at the moment of its admission, for that is when it is made; tokens are held, because
    /// they are served later.
    pub(super) fn take(&mut self, block: &mut Block<'_>) {
        let mut counter = block.counter(&self.key, self.window);
        let now = block.clock();
        if self.measure == Measure::Requests {
            self.window.charge(&mut counter, self.amount, now);
        } else {
            self.window.hold(&mut counter, self.amount, now);
        }
        self.taken_at = now;
        self.used = counter.used();
        self.reset = self.window.reset(&counter, now);
        block.put(&self.key, &counter, self.window);
    }

    /// Whether settling would change nothing: the common case of a request that was served.
    pub(super) const fn is_settled_by(&self, spent: Spent) -> bool {
        matches!(self.measure, Measure::Requests) && spent.requests == self.amount
    }

    /// Replaces the amount by what was spent.
    pub(super) fn settle(&self, spent: Spent, block: &mut Block<'_>) {
        let mut counter = block.counter(&self.key, self.window);
        let now = block.clock();
        if self.measure != Measure::Requests {
            self.window.release(&mut counter, self.amount, self.taken_at, now);
            if spent.requests > 0 {
                self.window.charge(&mut counter, self.measure.of(spent), now);
            }
        } else if spent.requests == 0 {
            self.window
                .take_back(&mut counter, self.amount, self.taken_at, now);
        } else {
            self.window
                .charge(&mut counter, spent.requests.saturating_sub(self.amount), now);
        }
        block.put(&self.key, &counter, self.window);
    }

    /// Moves the hold into the present generation, with this amount.
    pub(super) fn renew(&mut self, amount: u64, block: &mut Block<'_>) {
        let mut counter = block.counter(&self.key, self.window);
        let now = block.clock();
        self.window.release(&mut counter, self.amount, self.taken_at, now);
        self.amount = amount;
        self.taken_at = now;
        self.window.hold(&mut counter, self.amount, self.taken_at);
        block.put(&self.key, &counter, self.window);
    }

    /// The state of the counter after the amount was taken.
    pub(super) const fn allowance(&self) -> Allowance {
        Allowance {
            limit: self.measure.told(self.max),
            remaining: self.measure.told(self.max.saturating_sub(self.used)),
            reset: self.reset,
        }
    }
}
