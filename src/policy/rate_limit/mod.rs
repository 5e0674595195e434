// SPDX-License-Identifier: Apache-2.0

//! Limits: reserve before, settle after.
//!
//! The exchange asks once per request, before any provider is called, and settles once, when the request has
//! ended in whatever way. In between the demand is held in full, so requests that run side by side cannot
//! overshoot together. `sliding_window` states the promise, `descriptor` picks the counters, `shard` is their
//! form in shared memory; this file is the loop around them.
//!
//! All limits that apply are reserved, or none: shard by shard in ascending order, each with one compare-and-swap,
//! and a refusal gives back exactly what was taken before it. While that goes on, another request may be refused
//! by a hold that is about to be given back; none is ever admitted without its holds.
//!
//! A compare-and-swap that fails means that another worker succeeded, so work always gets done. One worker
//! gives up after `MAX_TRIES`: with 16 workers that do nothing but contend for one shard it loses a try with
//! probability 15/16, and all of them with less than 10^-28. Giving up on a reservation refuses the request for a
//! moment; giving up on a settlement leaves the hold until it expires, which charges too much and never too little.
//!
//! Memory: `shards * (9 + counters_per_shard * 440)` bytes and some for the keys at the very most, see
//! [`RateLimiter::max_store_bytes`]; a counter that was used a few times takes about 40. Time: linear in one block
//! per shard that a request touches.

mod descriptor;
mod reservation;
mod shard;
mod sliding_window;
#[cfg(test)]
mod tests;

pub use reservation::{Allowance, Reservation, Spent};

use super::auth::Principal;
use crate::clock::Timestamp;
use crate::config::{ConfigError, Limit, LimitCount, LimitStore};
use crate::shared_store::SharedStore;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use descriptor::{CompiledLimit, count_name};
use reservation::{Charge, Denied};
use shard::Block;
use sliding_window::{LONGEST_EXCHANGE, WAIT_FOR_FLIGHTS};

/// How often a compare-and-swap is tried.
const MAX_TRIES: u32 = 1024;

/// How often a guessed output is fitted again when other requests took the room that it was fitted to.
const GUESS_TRIES: u32 = 4;

/// A guessed output is not cut below this part of the smallest limit.
const LEAST_GUESS: u64 = 16;

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The model that the client named.
    pub model: &'a str,
    /// The route that serves it: under a pattern a client could make counters of names at will.
    pub route: &'a str,
    /// Input tokens, estimated.
    pub input_tokens: u64,
    /// Output tokens, bounded.
    pub output_tokens: u64,
    /// Whether `output_tokens` is only what such requests usually take, because the client set no bound. Then it
    /// is cut to what the limits leave room for, down to a sixteenth of the smallest.
    pub output_is_guess: bool,
}

/// Why a request was not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The limit is used up for now.
    Exceeded {
        /// The limit's name.
        limit: String,
        /// What it counts, in words: `total_tokens`.
        count: &'static str,
        /// When enough will be free again.
        retry_after: Duration,
        /// The state of the limit.
        allowance: Allowance,
    },
    /// The request alone is larger than the limit: it can never fit.
    TooLarge {
        /// The limit's name.
        limit: String,
        /// What it counts.
        count: &'static str,
        /// The limit.
        max: u64,
        /// What was asked for.
        asked: u64,
    },
}

/// All limits.
pub struct RateLimiter {
    limits: Vec<CompiledLimit>,
    /// The keys of the blocks, in order.
    shards: Vec<String>,
    capacity: usize,
    evictions: AtomicU64,
    failures: AtomicU64,
}

/// Why a block was not rewritten.
enum Failure {
    Denied(Denied),
    /// There is no room for a new counter, or no chance against other workers.
    Unavailable,
}

impl RateLimiter {
    /// Reads the limits.
    ///
    /// # Errors
    ///
    /// Every fault of the `limits` and `limit_store` sections.
    pub fn new(limits: &[Limit], store: &LimitStore) -> Result<Self, Vec<ConfigError>> {
        Ok(Self {
            limits: descriptor::compile(limits, store)?,
            shards: (0..store.shards).map(shard_key).collect(),
            capacity: usize::from(store.counters_per_shard),
            evictions: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// Makes every block exist. Call it while the filter is being configured.
    ///
    /// A host whose compare-and-swap cannot tell "never set" from "set meanwhile" (Envoy's cannot) could lose a
    /// reservation to two workers that both create a block. Envoy configures the plugin once on its main thread
    /// before any worker serves, so that with this call no worker ever creates one.
    pub fn prepare(&self, now: Timestamp, store: &dyn SharedStore) {
        for key in &self.shards {
            if store.get(key).is_none() {
                let empty = Block::open(&[], now.as_nanos()).write();
                // A conflict means that the block exists.
                let _ = store.compare_and_swap(key, &empty, None);
            }
        }
    }

    /// The most bytes that the limits can ever take in the store, keys included.
    #[must_use]
    pub fn max_store_bytes(&self) -> u64 {
        // In 64 bits: the largest configuration exceeds the address space of a wasm32 module.
        let block = shard::max_bytes(self.capacity as u64);
        self.shards.iter().map(|key| block + key.len() as u64).sum()
    }

    /// How many counters this limiter has evicted since the last call, to make room for others.
    ///
    /// An evicted counter forgets what it had counted, at most `max`, so its caller may use up to `max` once more
    /// within the window. A figure that stays above zero asks for a larger `limit_store`.
    pub fn take_evictions(&self) -> u64 {
        self.evictions.swap(0, Ordering::Relaxed)
    }

    /// How often, since the last call, a block had no room for a counter in flight or could not be written for
    /// contention: reservations refused and settlements left to expire.
    pub fn take_failures(&self) -> u64 {
        self.failures.swap(0, Ordering::Relaxed)
    }

    /// Reserves `demand` under every limit that applies, or under none.
    ///
    /// # Errors
    ///
    /// The limit that refused; of several the one with the longest wait.
    pub fn reserve(
        &self,
        demand: &Demand<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<Reservation, Refusal> {
        let mut charges = self.charges(demand);
        let mut tries = if demand.output_is_guess { GUESS_TRIES } else { 1 };
        loop {
            let output_tokens = if demand.output_is_guess {
                self.fitted_output(demand, &charges, now, store)
            } else {
                demand.output_tokens
            };
            for charge in &mut charges {
                if let Some(limit) = self.limits.get(charge.limit) {
                    charge.amount = limit.amount(demand, output_tokens);
                    if charge.amount > limit.max {
                        return Err(too_large(limit, charge.amount));
                    }
                }
            }
            match self.take_all(&mut charges, now, store) {
                Ok(()) => return Ok(self.reservation(charges, output_tokens)),
                Err(denied) => {
                    tries -= 1;
                    if tries == 0 {
                        return Err(self.refusal(denied, &charges, now, store));
                    }
                }
            }
        }
    }

    /// Replaces what was reserved by what was spent.
    ///
    /// Call it when the request has ended, not before: what was spent counts from now on for a window.
    pub fn settle(&self, reservation: Reservation, spent: Spent, now: Timestamp, store: &dyn SharedStore) {
        self.settle_all(&reservation.charges, spent, now, store);
    }

    /// Keeps the reservation of a request that is still in flight from expiring.
    ///
    /// Only needed for requests that last longer than an hour, and cheap before that: call it whenever a part of
    /// the answer passes.
    pub fn renew(&self, reservation: &mut Reservation, now: Timestamp, store: &dyn SharedStore) {
        let is_old = |charge: &Charge| {
            charge.count != LimitCount::Requests
                && now.as_nanos().saturating_sub(charge.taken_at) > LONGEST_EXCHANGE / 2
        };
        for charge in reservation.charges.iter_mut().filter(|charge| is_old(charge)) {
            let mut renewed = *charge;
            let result = self.update(charge.shard, now, store, |block| {
                renewed = *charge;
                renewed.renew(block);
                Ok(())
            });
            if result.is_ok() {
                *charge = renewed;
            }
        }
    }

    /// The counters of the limits that apply, sorted by shard, with nothing to take yet.
    fn charges(&self, demand: &Demand<'_>) -> Vec<Charge> {
        let applying = |(_, limit): &(usize, &CompiledLimit)| limit.applies_to(demand);
        let mut charges: Vec<Charge> = self
            .limits
            .iter()
            .enumerate()
            .filter(applying)
            .map(|(index, limit)| {
                let key = limit.key(demand);
                Charge {
                    limit: index,
                    shard: self.shard_of(key),
                    key,
                    count: limit.count,
                    window: limit.window,
                    amount: 0,
                    taken_at: 0,
                    used: 0,
                    reset: Duration::ZERO,
                }
            })
            .collect();
        charges.sort_unstable_by_key(|charge| (charge.shard, charge.key));
        charges
    }

    fn shard_of(&self, key: shard::CounterKey) -> u16 {
        let [.., a, b, c, d] = key;
        // Scales 32 bits to the number of shards; the order of counters within a block uses other bits.
        let shard = (u64::from(u32::from_le_bytes([a, b, c, d])) * self.shards.len() as u64) >> 32;
        u16::try_from(shard).unwrap_or(0)
    }

    /// What can be reserved for an output whose bound is only guessed.
    fn fitted_output(
        &self,
        demand: &Demand<'_>,
        charges: &[Charge],
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> u64 {
        // The least is common to all limits: with one for each, more room under one limit could raise the output
        // above another's room, and a request would be refused at the very time it was told to come back.
        let (mut room, mut least) = (u64::MAX, u64::MAX);
        self.survey(charges, now, store, |charge, limit, block| {
            let taken_first = match limit.count {
                LimitCount::OutputTokens => 0,
                LimitCount::TotalTokens => demand.input_tokens,
                LimitCount::InputTokens | LimitCount::Requests => return,
            };
            let used = block.counter(&charge.key, charge.window).used();
            room = room.min(limit.max.saturating_sub(used).saturating_sub(taken_first));
            least = least.min((limit.max.saturating_sub(taken_first) / LEAST_GUESS).max(1));
        });
        demand.output_tokens.min(room.max(least))
    }

    /// Takes every charge, or none.
    fn take_all(
        &self,
        charges: &mut [Charge],
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<(), Denied> {
        let mut taken = 0;
        let mut result = Ok(());
        for group in charges.chunk_by_mut(|a, b| a.shard == b.shard) {
            let Some(first) = group.first().copied() else {
                continue;
            };
            let outcome = self.update(first.shard, now, store, |block| {
                group.iter_mut().try_for_each(|charge| {
                    let max = self.limits.get(charge.limit).map_or(0, |limit| limit.max);
                    charge.take(max, block)
                })
            });
            result = outcome.map_err(|failure| match failure {
                Failure::Denied(denied) => denied,
                Failure::Unavailable => Denied {
                    limit: first.limit,
                    wait: WAIT_FOR_FLIGHTS,
                    used: first.used,
                    reset: WAIT_FOR_FLIGHTS,
                },
            });
            if result.is_err() {
                break;
            }
            taken += group.len();
        }
        if result.is_err() {
            let taken = charges.get(..taken).unwrap_or_default();
            self.settle_all(taken, Spent::default(), now, store);
        }
        result
    }

    fn settle_all(&self, charges: &[Charge], spent: Spent, now: Timestamp, store: &dyn SharedStore) {
        for group in charges.chunk_by(|a, b| a.shard == b.shard) {
            if group.iter().all(|charge| charge.is_settled_by(spent)) {
                continue;
            }
            let shard = group.first().map_or(0, |charge| charge.shard);
            // A failure is counted; the holds expire by themselves.
            let _ = self.update(shard, now, store, |block| {
                group.iter().for_each(|charge| charge.settle(spent, block));
                Ok(())
            });
        }
    }

    /// Rewrites one block by compare-and-swap. `edit` runs again from the new state after each conflict.
    fn update(
        &self,
        shard: u16,
        now: Timestamp,
        store: &dyn SharedStore,
        mut edit: impl FnMut(&mut Block<'_>) -> Result<(), Denied>,
    ) -> Result<(), Failure> {
        self.with_key(shard, |key| {
            for _ in 0..MAX_TRIES {
                let (bytes, version) = read(store, key);
                let mut block = Block::open(&bytes, now.as_nanos());
                let before = block.len();
                edit(&mut block).map_err(Failure::Denied)?;
                let Ok(evicted) = block.make_room(self.capacity, before) else {
                    break;
                };
                if store.compare_and_swap(key, &block.write(), version).is_ok() {
                    self.evictions.fetch_add(evicted, Ordering::Relaxed);
                    return Ok(());
                }
            }
            self.failures.fetch_add(1, Ordering::Relaxed);
            Err(Failure::Unavailable)
        })
    }

    /// Shows each charge its limit and its block, reading each block once.
    fn survey(
        &self,
        charges: &[Charge],
        now: Timestamp,
        store: &dyn SharedStore,
        mut look: impl FnMut(&Charge, &CompiledLimit, &Block<'_>),
    ) {
        for group in charges.chunk_by(|a, b| a.shard == b.shard) {
            let shard = group.first().map_or(0, |charge| charge.shard);
            let (bytes, _) = self.with_key(shard, |key| read(store, key));
            let block = Block::open(&bytes, now.as_nanos());
            for charge in group {
                if let Some(limit) = self.limits.get(charge.limit) {
                    look(charge, limit, &block);
                }
            }
        }
    }

    /// The key of a shard; formatted anew only for a reservation of a limiter that had more shards.
    fn with_key<T>(&self, shard: u16, run: impl FnOnce(&str) -> T) -> T {
        match self.shards.get(usize::from(shard)) {
            Some(key) => run(key),
            None => run(&shard_key(shard)),
        }
    }

    fn reservation(&self, charges: Vec<Charge>, output_tokens: u64) -> Reservation {
        let mut reservation = Reservation {
            output_tokens,
            ..Reservation::default()
        };
        for charge in &charges {
            if let Some(limit) = self.limits.get(charge.limit) {
                reservation.note(limit.count, charge.allowance(limit.max));
            }
        }
        reservation.charges = charges;
        reservation
    }

    /// Names the limit with the longest wait, the one that refused first among equals.
    fn refusal(&self, first: Denied, charges: &[Charge], now: Timestamp, store: &dyn SharedStore) -> Refusal {
        let mut worst = first;
        self.survey(charges, now, store, |charge, limit, block| {
            if let Err(denied) = charge.check(limit, block)
                && denied.wait > worst.wait
            {
                worst = denied;
            }
        });
        let limit = self.limits.get(worst.limit);
        let max = limit.map_or(0, |limit| limit.max);
        Refusal::Exceeded {
            limit: limit.map_or_else(String::new, |limit| limit.name.clone()),
            count: limit.map_or("requests", |limit| count_name(limit.count)),
            retry_after: worst.wait,
            allowance: Allowance {
                limit: max,
                remaining: max.saturating_sub(worst.used),
                reset: worst.reset,
            },
        }
    }
}

fn shard_key(shard: u16) -> String {
    format!("tollgate.limits.v1.{shard}")
}

fn read(store: &dyn SharedStore, key: &str) -> (Vec<u8>, Option<u32>) {
    store
        .get(key)
        .map_or_else(|| (Vec::new(), None), |(bytes, version)| (bytes, Some(version)))
}

fn too_large(limit: &CompiledLimit, asked: u64) -> Refusal {
    Refusal::TooLarge {
        limit: limit.name.clone(),
        count: count_name(limit.count),
        max: limit.max,
        asked,
    }
}
