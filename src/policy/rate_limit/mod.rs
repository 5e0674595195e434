// SPDX-License-Identifier: Apache-2.0

//! Limits: reserve before, settle after.
//!
//! The exchange asks once per request, before any provider is called, and settles once, when the request has
//! ended in whatever way. In between the demand is held in full, so requests that run side by side cannot
//! overshoot together. `sliding_window` states the promise, `descriptor` picks the counters, `shard` is their
//! form in shared memory; this file is the loop around them.
//!
//! All limits that apply are reserved, or none. Counters of one consumer, one team or one model share a block (see
//! `descriptor`), so that a request whose limits are all the consumer's reads one block and writes it once, however
//! many limits they are. Several blocks are read, judged together, and then written in ascending order, each with
//! one compare-and-swap; a refusal on the way gives back exactly what was taken before it. While that goes on,
//! another request may be refused by a hold that is about to be given back; none is ever admitted without its holds.
//!
//! A compare-and-swap that fails means that another worker succeeded, so work always gets done. One worker
//! gives up after `MAX_TRIES`: with 16 workers that do nothing but contend for one shard it loses a try with
//! probability 15/16, and all of them with less than 10^-28. Giving up on a reservation refuses the request for a
//! moment; giving up on a settlement leaves the hold until it expires, which charges too much and never too little.
//!
//! Memory: `shards * (9 + counters_per_shard * 440)` bytes and some for the keys at the very most, see
//! [`RateLimiter::max_store_bytes`]; a counter that was used a few times takes about 40. Time: linear in one block
//! per shard that a request touches.

mod admission;
mod calendar;
mod counter;
mod descriptor;
mod lease;
mod measure;
mod reservation;
mod shard;
mod sliding_window;
mod state;
#[cfg(test)]
mod tests;
mod token_bucket;
mod window;

pub use lease::Lease;
pub use measure::Unit;
pub use reservation::{Allowance, Reservation, Spent};
pub use shard::CounterKey;
pub use state::{Judgement, LimitState};

use super::auth::Principal;
use crate::clock::Timestamp;
use crate::config::{ConfigError, Limit, LimitStore};
use crate::shared_store::SharedStore;
use crate::usage::price::CostBound;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use descriptor::CompiledLimit;
use measure::Measure;
use reservation::{Charge, Denied};
use shard::Block;
use window::LONGEST_EXCHANGE;

/// How often a compare-and-swap is tried.
const MAX_TRIES: u32 = 1024;

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
    /// Output tokens of all choices together, bounded.
    pub output_tokens: u64,
    /// How many choices share the output tokens; at least 1.
    pub choices: u64,
    /// What the request may cost, if that is known.
    pub cost: Option<CostBound>,
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
        /// What `allowance` is in.
        unit: Unit,
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
        /// What `max` and `asked` are in.
        unit: Unit,
        /// The limit.
        max: u64,
        /// What was asked for.
        asked: u64,
    },
    /// A limit counts money, and what the model costs is not known.
    Unpriced {
        /// The limit's name.
        limit: String,
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

    /// Whether any limit counts money.
    #[must_use]
    pub fn counts_money(&self) -> bool {
        self.limits.iter().any(|limit| limit.measure == Measure::Usd)
    }

    /// The limits on money that may concern a route, by their place in the configuration.
    pub fn budgets_of<'a>(&'a self, route: &'a str) -> impl Iterator<Item = usize> + 'a {
        let budgets = self.limits.iter().enumerate();
        budgets
            .filter(move |(_, limit)| limit.measure == Measure::Usd && limit.may_concern(route))
            .map(|(index, _)| index)
    }

    /// The name of a limit, by its place in the configuration.
    #[must_use]
    pub fn name_of(&self, limit: usize) -> &str {
        self.limits.get(limit).map_or("", |limit| &limit.name)
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
            charge.measure != Measure::Requests
                && now.as_nanos().saturating_sub(charge.taken_at) > LONGEST_EXCHANGE / 2
        };
        for charge in reservation.charges.iter_mut().filter(|charge| is_old(charge)) {
            let mut renewed = *charge;
            let result = self.update(charge.shard, now, store, |block| {
                renewed = *charge;
                renewed.renew(charge.amount, block);
                Ok(())
            });
            if result.is_ok() {
                *charge = renewed;
            }
        }
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

    /// The key of a shard; formatted anew only for a reservation of a limiter that had more shards.
    fn with_key<T>(&self, shard: u16, run: impl FnOnce(&str) -> T) -> T {
        match self.shards.get(usize::from(shard)) {
            Some(key) => run(key),
            None => run(&shard_key(shard)),
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
