// SPDX-License-Identifier: Apache-2.0

//! Admission: how much output a request may have under all of its limits together, and taking it.
//!
//! Every block is read once and all limits are judged by that one reading. Then the blocks are written. One that
//! was changed meanwhile is read again: the first of them starts the judgement anew, a later one is only asked
//! whether what was decided still fits.

use super::descriptor::CompiledLimit;
use super::measure::{Measure, Unit};
use super::reservation::{Allowance, Charge, Denied, Reservation};
use super::shard::Block;
use super::window::WAIT_FOR_FLIGHTS;
use super::{Demand, Failure, MAX_TRIES, RateLimiter, Refusal, Spent, read};
use crate::clock::Timestamp;
use crate::shared_store::SharedStore;
use core::sync::atomic::Ordering;
use core::time::Duration;

/// How often the judgement is repeated when another request took the room after it.
const FIT_TRIES: u32 = 4;

/// A guessed output is not cut below this part of the smallest limit.
const LEAST_GUESS: u64 = 16;

/// Why nothing was taken.
enum Setback {
    Refused(Refusal),
    /// The first block was changed meanwhile; nothing was taken.
    Conflict,
    /// Another request took the room after the judgement; what was taken is given back.
    Overtaken(Denied),
    /// A block has no room for a further counter, or there was no chance against other workers; what was taken is
    /// given back.
    Unavailable(Denied),
}

/// How much output a request may have.
#[derive(Clone, Copy)]
pub(super) struct Fit {
    pub(super) output_tokens: u64,
    pub(super) is_clamped: bool,
}

impl RateLimiter {
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
        let mut charges = self.charges(demand, now);
        self.check_prices(demand, &charges)?;
        let (mut conflicts, mut overtaken) = (0, 0);
        loop {
            let denied = match self.try_reserve(demand, &mut charges, now, store) {
                Ok(fit) => return Ok(self.reservation(charges, fit)),
                Err(Setback::Refused(refusal)) => return Err(refusal),
                Err(Setback::Conflict) => {
                    conflicts += 1;
                    if conflicts < MAX_TRIES {
                        continue;
                    }
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    unavailable(charges.first())
                }
                Err(Setback::Overtaken(denied)) => {
                    overtaken += 1;
                    if overtaken < FIT_TRIES {
                        continue;
                    }
                    denied
                }
                Err(Setback::Unavailable(denied)) => denied,
            };
            // Whatever stands in the way of a limit in shadow mode, it refuses nothing: it goes uncounted instead.
            let all = charges.len();
            charges.retain(|charge| !charge.is_shadow);
            if charges.len() == all {
                return Err(self.exceeded(denied));
            }
            (conflicts, overtaken) = (0, 0);
        }
    }

    /// Reserves up to `wanted` output tokens more for a request in flight, and returns how many.
    ///
    /// What is left goes to whoever asks first: nothing is kept for anybody.
    pub fn extend(
        &self,
        reservation: &mut Reservation,
        wanted: u64,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> u64 {
        if !reservation.bounds_output() {
            return 0;
        }
        let granted = self.left_for_output(&reservation.charges, now, store).min(wanted);
        let mut extended = 0;
        for group in reservation.charges.chunk_by_mut(|a, b| a.shard == b.shard) {
            if granted == 0 || !self.grow(group, granted, now, store) {
                break;
            }
            extended += group.len();
        }
        if extended < reservation.charges.len() {
            // Another request took the room meanwhile: what has grown shrinks again.
            let grown = reservation.charges.get_mut(..extended).unwrap_or_default();
            for group in grown.chunk_by_mut(|a, b| a.shard == b.shard) {
                // A failure is counted; the hold expires by itself.
                let _ = self.edit(group, now, store, false, |charge, block| {
                    let less = charge.amount.saturating_sub(charge.rates.of_output(granted));
                    charge.renew(less, block);
                    Ok(())
                });
            }
            return 0;
        }
        reservation.output_tokens = reservation.output_tokens.saturating_add(granted);
        granted
    }

    /// The output tokens that all limits have left.
    fn left_for_output(&self, charges: &[Charge], now: Timestamp, store: &dyn SharedStore) -> u64 {
        let mut least = u64::MAX;
        for group in charges.chunk_by(|a, b| a.shard == b.shard) {
            let shard = group.first().map_or(0, |charge| charge.shard);
            let (bytes, _) = self.with_key(shard, |key| read(store, key));
            let block = Block::open(&bytes, now.as_nanos());
            for charge in group.iter().filter(|charge| !charge.is_shadow) {
                let used = block.counter(&charge.key, charge.window).used();
                let left = charge.max.saturating_sub(used);
                least = least.min(charge.rates.output_within_all_of(left));
            }
        }
        least
    }

    /// Holds so many output tokens more in every charge of a group, or in none.
    fn grow(&self, group: &mut [Charge], more: u64, now: Timestamp, store: &dyn SharedStore) -> bool {
        let mut grow = |with_shadow| {
            self.edit(group, now, store, with_shadow, |charge, block| {
                let more = charge.rates.of_output(more);
                charge.look(block);
                if !charge.is_shadow && charge.used.saturating_add(more) > charge.max {
                    return Err(unavailable(Some(charge)));
                }
                charge.renew(charge.amount.saturating_add(more), block);
                Ok(())
            })
        };
        match grow(true) {
            Ok(()) => true,
            Err(Failure::Denied(_)) => false,
            Err(Failure::Unavailable) => grow(false).is_ok(),
        }
    }

    /// Rewrites the block of a group whose charges change with it. After a failure they are as they were. Limits in
    /// shadow mode may be left out.
    fn edit(
        &self,
        group: &mut [Charge],
        now: Timestamp,
        store: &dyn SharedStore,
        with_shadow: bool,
        mut edit: impl FnMut(&mut Charge, &mut Block<'_>) -> Result<(), Denied>,
    ) -> Result<(), Failure> {
        let is_meant = |charge: &Charge| charge.rates.counts_output() && (with_shadow || !charge.is_shadow);
        let Some(shard) = group
            .iter()
            .find(|charge| is_meant(charge))
            .map(|charge| charge.shard)
        else {
            return Ok(());
        };
        let before = group.to_vec();
        let outcome = self.update(shard, now, store, |block| {
            group.copy_from_slice(&before);
            let mut counting = group.iter_mut().filter(|charge| is_meant(charge));
            counting.try_for_each(|charge| edit(charge, block))
        });
        if outcome.is_err() {
            group.copy_from_slice(&before);
        }
        outcome
    }

    fn try_reserve(
        &self,
        demand: &Demand<'_>,
        charges: &mut [Charge],
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<Fit, Setback> {
        let groups = charges.chunk_by(|a, b| a.shard == b.shard);
        let readings: Vec<_> = groups
            .filter_map(<[Charge]>::first)
            .map(|first| self.with_key(first.shard, |key| read(store, key)))
            .collect();
        let mut blocks: Vec<Block<'_>> = readings
            .iter()
            .map(|(bytes, _)| Block::open(bytes, now.as_nanos()))
            .collect();
        let groups = charges.chunk_by_mut(|a, b| a.shard == b.shard);
        for (group, block) in groups.zip(&blocks) {
            group.iter_mut().for_each(|charge| charge.look(block));
        }
        let fit = self.fit(demand, charges);
        self.ask(demand, fit, charges).map_err(Setback::Refused)?;
        self.check(charges, &blocks).map_err(Setback::Refused)?;

        let mut taken = 0;
        let groups = charges.chunk_by_mut(|a, b| a.shard == b.shard);
        for ((group, block), (_, version)) in groups.zip(&mut blocks).zip(&readings) {
            let outcome = match self.write_first(group, block, *version, store) {
                Some(outcome) => outcome,
                None if taken == 0 => return Err(Setback::Conflict),
                None => self.take_again(group, now, store),
            };
            if let Err(setback) = outcome {
                let taken = charges.get(..taken).unwrap_or_default();
                self.settle_all(taken, Spent::default(), now, store);
                return Err(setback);
            }
            taken += group.len();
        }
        Ok(fit)
    }

    /// Takes a group's charges from the block as it was read. `None`: it was changed since.
    fn write_first(
        &self,
        group: &mut [Charge],
        block: &mut Block<'_>,
        version: Option<u32>,
        store: &dyn SharedStore,
    ) -> Option<Result<(), Setback>> {
        let before = block.len();
        let shard = group.first().map_or(0, |charge| charge.shard);
        group.iter_mut().for_each(|charge| charge.take(block));
        let Ok(evicted) = block.make_room(self.capacity, before) else {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return Some(Err(Setback::Unavailable(unavailable(group.first()))));
        };
        let bytes = block.write();
        self.with_key(shard, |key| store.compare_and_swap(key, &bytes, version))
            .ok()?;
        self.evictions.fetch_add(evicted, Ordering::Relaxed);
        Some(Ok(()))
    }

    /// Takes a group's charges from its block as it is now.
    fn take_again(
        &self,
        group: &mut [Charge],
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<(), Setback> {
        let first = group.first().copied();
        let shard = first.map_or(0, |charge| charge.shard);
        let outcome = self.update(shard, now, store, |block| {
            group.iter_mut().try_for_each(|charge| {
                charge.look(block);
                if !charge.is_shadow {
                    charge.check(block)?;
                }
                charge.take(block);
                Ok(())
            })
        });
        outcome.map_err(|failure| match failure {
            Failure::Denied(denied) => Setback::Overtaken(denied),
            Failure::Unavailable => Setback::Unavailable(unavailable(first.as_ref())),
        })
    }

    /// The counters of the limits that apply, sorted by shard, with nothing to take yet.
    pub(super) fn charges(&self, demand: &Demand<'_>, now: Timestamp) -> Vec<Charge> {
        let applying = |(_, limit): &(usize, &CompiledLimit)| limit.applies_to(demand);
        let mut charges: Vec<Charge> = self
            .limits
            .iter()
            .enumerate()
            .filter(applying)
            .map(|(index, limit)| Charge {
                limit: index,
                shard: self.shard_of(limit.anchor(demand)),
                key: limit.key(demand),
                measure: limit.measure,
                rates: limit.measure.rates(demand),
                window: limit.window(now),
                max: limit.max_for(demand),
                is_shadow: limit.is_shadow,
                asked: 0,
                amount: 0,
                taken_at: 0,
                used: 0,
                reset: Duration::ZERO,
            })
            .collect();
        charges.sort_unstable_by_key(|charge| (charge.shard, charge.key));
        charges
    }

    /// Whether a limit that refuses counts the output of such a request.
    #[must_use]
    pub fn bounds_output(&self, demand: &Demand<'_>) -> bool {
        self.limits.iter().any(|limit| {
            !limit.is_shadow && limit.applies_to(demand) && limit.measure.rates(demand).counts_output()
        })
    }

    fn shard_of(&self, anchor: u64) -> u16 {
        // Scales the upper 32 bits to the number of shards.
        let shard = ((anchor >> 32) * self.shards.len() as u64) >> 32;
        u16::try_from(shard).unwrap_or(0)
    }

    /// Whether what the request may cost is known, if any limit has to know it.
    pub(super) fn check_prices(&self, demand: &Demand<'_>, charges: &[Charge]) -> Result<(), Refusal> {
        let counts_money = |charge: &&Charge| charge.measure == Measure::Usd && !charge.is_shadow;
        match charges.iter().find(counts_money) {
            Some(charge) if demand.cost.is_none() => Err(Refusal::Unpriced {
                limit: self.name_of(charge.limit).to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// The output that the limits have room for, as far as they may lower it. The charges have seen their counters.
    ///
    /// The least is common to all limits: with one for each, more room under one limit could raise the output
    /// above another's room, and a request would be refused at the very time it was told to come back.
    pub(super) fn fit(&self, demand: &Demand<'_>, charges: &[Charge]) -> Fit {
        let (mut room, mut room_to_clamp) = (u64::MAX, u64::MAX);
        let (mut least_guess, mut least_useful) = (u64::MAX, None::<u64>);
        for charge in charges.iter().filter(|charge| self.may_lower(charge, demand)) {
            let output_within = |amount| charge.rates.output_within(amount, demand.input_tokens);
            let Some(left) = output_within(charge.max.saturating_sub(charge.used)) else {
                continue;
            };
            if let Some(useful) = self.min_useful_output(charge) {
                room_to_clamp = room_to_clamp.min(left);
                least_useful = least_useful.max(Some(useful));
            }
            room = room.min(left);
            let whole = output_within(charge.max).unwrap_or(0);
            least_guess = least_guess.min((whole / LEAST_GUESS).max(1));
        }
        let choices = demand.choices.max(1);
        let least = least_useful.map_or(least_guess, |useful| useful.saturating_mul(choices));
        let fitted = demand.output_tokens.min(room.max(least));
        let is_clamped = fitted < demand.output_tokens && room_to_clamp < demand.output_tokens;
        // The cap is the same for every choice: what does not divide is nobody's.
        let output_tokens = if is_clamped {
            fitted - fitted % choices
        } else {
            fitted
        };
        Fit {
            output_tokens,
            is_clamped,
        }
    }

    /// What each charge asks its limit for. A limit that lowers no output is asked for all that the client wants, even
    /// where another has lowered it: that one may have more by the time a refused client comes back.
    ///
    /// # Errors
    ///
    /// A limit that is smaller than that.
    pub(super) fn ask(&self, demand: &Demand<'_>, fit: Fit, charges: &mut [Charge]) -> Result<(), Refusal> {
        for charge in charges.iter_mut() {
            let amount = |output| charge.rates.amount(demand.input_tokens, output);
            let asked = if charge.is_shadow || self.may_lower(charge, demand) {
                fit.output_tokens
            } else {
                demand.output_tokens
            };
            (charge.asked, charge.amount) = (amount(asked), amount(fit.output_tokens));
        }
        let is_too_large = |charge: &&Charge| !charge.is_shadow && charge.asked > charge.max;
        match charges.iter().find(is_too_large) {
            Some(charge) => Err(self.too_large(charge)),
            None => Ok(()),
        }
    }

    /// Whether a limit lowers the output to what it has left.
    fn may_lower(&self, charge: &Charge, demand: &Demand<'_>) -> bool {
        !charge.is_shadow && (demand.output_is_guess || self.min_useful_output(charge).is_some())
    }

    fn min_useful_output(&self, charge: &Charge) -> Option<u64> {
        self.limits.get(charge.limit)?.min_useful_output
    }

    /// Whether every charge fits: of those that do not, the one with the longest wait, and the first among equals.
    pub(super) fn check(&self, charges: &[Charge], blocks: &[Block<'_>]) -> Result<(), Refusal> {
        let mut worst: Option<Denied> = None;
        for (group, block) in charges.chunk_by(|a, b| a.shard == b.shard).zip(blocks) {
            for charge in group.iter().filter(|charge| !charge.is_shadow) {
                if let Err(denied) = charge.check(block)
                    && worst.is_none_or(|worst| denied.wait > worst.wait)
                {
                    worst = Some(denied);
                }
            }
        }
        worst.map_or(Ok(()), |denied| Err(self.exceeded(denied)))
    }

    fn reservation(&self, charges: Vec<Charge>, fit: Fit) -> Reservation {
        let mut reservation = Reservation {
            output_tokens: fit.output_tokens,
            is_clamped: fit.is_clamped,
            ..Reservation::default()
        };
        for charge in &charges {
            if !charge.is_shadow {
                reservation.note(charge);
            } else if charge.used > charge.max {
                reservation.would_refuse.push(charge.limit);
            }
        }
        reservation.charges = charges;
        reservation
    }

    fn exceeded(&self, denied: Denied) -> Refusal {
        let limit = self.limits.get(denied.limit);
        Refusal::Exceeded {
            limit: self.name_of(denied.limit).to_owned(),
            count: limit.map_or("requests", |limit| limit.measure.name()),
            unit: limit.map_or(Unit::Requests, |limit| limit.measure.unit()),
            retry_after: denied.wait,
            allowance: denied.allowance,
        }
    }

    fn too_large(&self, charge: &Charge) -> Refusal {
        Refusal::TooLarge {
            limit: self.name_of(charge.limit).to_owned(),
            count: charge.measure.name(),
            unit: charge.measure.unit(),
            max: charge.measure.told(charge.max),
            asked: charge.measure.told(charge.asked),
        }
    }
}

/// The block has no room for a further counter, or there was no chance against other workers.
fn unavailable(charge: Option<&Charge>) -> Denied {
    Denied {
        limit: charge.map_or(0, |charge| charge.limit),
        wait: WAIT_FOR_FLIGHTS,
        allowance: Allowance {
            reset: WAIT_FOR_FLIGHTS,
            ..charge.map(Charge::allowance).unwrap_or_default()
        },
    }
}
