// SPDX-License-Identifier: Apache-2.0

//! What limits would say, without taking anything.

use super::measure::Unit;
use super::reservation::{Allowance, Charge};
use super::shard::{Block, CounterKey};
use super::{Demand, RateLimiter, Refusal, read};
use crate::clock::Timestamp;
use crate::shared_store::SharedStore;
use core::time::Duration;

/// What all limits together would say to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The output tokens that would be reserved, and whether they are lowered to what is left.
    pub verdict: Result<(u64, bool), Refusal>,
    /// Every limit that applies, as configured.
    pub limits: Vec<LimitState>,
}

/// One limit, as it stands for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitState {
    /// Its name.
    pub name: String,
    /// What it counts: `total_tokens`.
    pub count: &'static str,
    /// What the amounts are in.
    pub unit: Unit,
    /// Whether it only tells what it would refuse.
    pub is_shadow: bool,
    /// Whether what is left depends on the model that is asked for.
    pub is_per_model: bool,
    /// The counter: equal for requests that share it.
    pub key: CounterKey,
    /// What is left, and when it is whole again.
    pub allowance: Allowance,
    /// What requests that have ended used of it. With what is held it may be more than the limit: what exceeds a
    /// reservation is charged, too.
    pub spent: u64,
    /// What requests in flight have reserved of it.
    pub held: u64,
    /// What the request asks of it.
    pub asked: u64,
    /// How long the request would have to wait for it; `None` if it fits.
    pub wait: Option<Duration>,
}

impl RateLimiter {
    /// Judges a request as [`RateLimiter::reserve`] would at this moment.
    pub fn judge(&self, demand: &Demand<'_>, now: Timestamp, store: &dyn SharedStore) -> Judgement {
        let mut charges = self.charges(demand, now);
        let readings: Vec<_> = charges
            .chunk_by(|a, b| a.shard == b.shard)
            .filter_map(<[Charge]>::first)
            .map(|first| self.with_key(first.shard, |key| read(store, key)))
            .collect();
        let blocks: Vec<Block<'_>> = readings
            .iter()
            .map(|(bytes, _)| Block::open(bytes, now.as_nanos()))
            .collect();
        let groups = charges.chunk_by_mut(|a, b| a.shard == b.shard);
        for (group, block) in groups.zip(&blocks) {
            group.iter_mut().for_each(|charge| charge.look(block));
        }
        let fit = self.fit(demand, &charges);
        let asked = self.ask(demand, fit, &mut charges);
        let verdict = self
            .check_prices(demand, &charges)
            .and(asked)
            .and_then(|()| self.check(&charges, &blocks))
            .map(|()| (fit.output_tokens, fit.is_clamped));
        let mut limits: Vec<(usize, LimitState)> = Vec::with_capacity(charges.len());
        for (group, block) in charges.chunk_by(|a, b| a.shard == b.shard).zip(&blocks) {
            limits.extend(
                group
                    .iter()
                    .map(|charge| (charge.limit, self.state(charge, block))),
            );
        }
        limits.sort_unstable_by_key(|(index, _)| *index);
        Judgement {
            verdict,
            limits: limits.into_iter().map(|(_, state)| state).collect(),
        }
    }

    fn state(&self, charge: &Charge, block: &Block<'_>) -> LimitState {
        let limit = self.limits.get(charge.limit);
        let counter = block.counter(&charge.key, charge.window);
        LimitState {
            name: self.name_of(charge.limit).to_owned(),
            count: charge.measure.name(),
            unit: charge.measure.unit(),
            is_shadow: charge.is_shadow,
            is_per_model: limit.is_some_and(|limit| limit.is_per_model()),
            key: charge.key,
            allowance: charge.allowance(),
            spent: charge.measure.told(counter.spent_in_all()),
            held: charge.measure.told(counter.held_in_all()),
            asked: charge.measure.told(charge.asked),
            wait: charge.check(block).err().map(|denied| denied.wait),
        }
    }
}
