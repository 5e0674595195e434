// SPDX-License-Identifier: Apache-2.0

//! Attempts to break the promise: random schedules, forced conflicts, clocks that step back, threads, floods.
//!
//! The judge knows nothing of buckets or holds. It has the log of what was served and when, as a provider would
//! write it, and adds up every interval of the window's length.

use super::super::measure::Measure;
use super::super::reservation::Charge;
use super::super::{Demand, RateLimiter, Refusal, Reservation, Spent, shard::Block, shard_key};
use super::{demand, limiter_in, limits, principal, spent, total};
use crate::clock::Timestamp;
use crate::config::Limit;
use crate::policy::auth::Principal;
use crate::shared_store::{Conflict, LocalStore, SharedStore};
use crate::usage::price::CostBound;
use core::cell::Cell;
use core::time::Duration;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;

const SHARDS: u16 = 3;

/// Something served, seen from outside: when, for whom, and how much of what.
#[derive(Clone, Copy, Debug)]
struct Served {
    time: u64,
    consumer: usize,
    amount: Spent,
}

/// The largest sum over any interval of the length of `window`, both ends included.
fn worst_window(events: &[(u64, u64)], window: u64) -> u64 {
    let (mut worst, mut sum, mut first) = (0, 0, 0);
    for &(time, amount) in events {
        sum += amount;
        while events[first].0 + window < time {
            sum -= events[first].1;
            first += 1;
        }
        worst = worst.max(sum);
    }
    worst
}

fn rules() -> Value {
    json!([
        {"name": "each", "count": "total_tokens", "max": 600, "window": "10s", "per": ["consumer"]},
        {"name": "output", "count": "output_tokens", "max": 500, "window": "3s"},
        {"name": "soft", "count": "output_tokens", "max": 400, "window": "4s", "match": {"consumer": "c"},
            "on_short": "clamp", "min_useful_output": 20},
        {"name": "input", "count": "input_tokens", "max": 300, "window": "1s", "per": ["model"]},
        {"name": "rpm", "count": "requests", "max": 8, "window": "5s", "per": ["consumer"]},
        {"name": "long", "count": "total_tokens", "max": 3000, "window": "1m"},
        {"name": "money", "count": "usd", "max": 0.006, "window": "20s", "per": ["consumer"]},
        {"name": "weighted", "count": "weighted_tokens", "max": 5000, "window": "30s",
            "weights": {"cached_input": 0.5, "output": 3, "reasoning": 5}},
        {"name": "at-once", "count": "concurrent_requests", "max": 6},
        {"name": "in-flight", "count": "concurrent_tokens", "max": 900},
        {"name": "hourly", "count": "total_tokens", "max": 9000, "calendar": {"every": "hour"}},
    ])
}

/// In pico-USD.
const COST: CostBound = CostBound {
    fixed: 5_000_000,
    input: 3_000_000,
    output: 7_000_000,
};

/// So much of everything, priced: half of the output is reasoning, a third of the input was in a cache.
fn of_kinds(requests: u64, input_tokens: u64, output_tokens: u64) -> Spent {
    Spent {
        requests,
        input_tokens,
        output_tokens,
        cached_input_tokens: input_tokens / 3,
        reasoning_tokens: output_tokens / 2,
        cost: requests * COST.fixed + input_tokens * COST.input + output_tokens * COST.output,
    }
}

/// Until when a charge made then counts.
fn counts_until(limit: &Limit, at: u64) -> u64 {
    const HOUR: u64 = 3_600_000_000_000;
    match (limit.window, &limit.calendar) {
        (Some(window), _) => {
            let window = u64::try_from(window.0.as_nanos()).unwrap();
            let part = window.div_ceil(24);
            (at / part + 1) * part + window
        }
        (None, Some(_)) => (at / HOUR + 1) * HOUR,
        // Only what is in flight.
        (None, None) => 0,
    }
}

/// Disturbs every few readings by a write of somebody else's.
struct Disturbed {
    store: LocalStore,
    dice: Cell<u64>,
}

impl SharedStore for Disturbed {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let value = self.store.get(key);
        let dice = self
            .dice
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.dice.set(dice);
        if let Some((bytes, version)) = &value
            && (dice >> 60) < 6
        {
            self.store.compare_and_swap(key, bytes, Some(*version)).unwrap();
        }
        value
    }
    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        self.store.compare_and_swap(key, value, version)
    }
}

/// One step of a schedule.
#[derive(Clone, Debug)]
enum Step {
    Ask {
        consumer: usize,
        input: u64,
        output: u64,
        guess: bool,
    },
    Serve {
        flight: usize,
        served: u64,
    },
    /// A stream without a bound wants more, while it has come to the end of what it holds.
    Extend {
        flight: usize,
        wanted: u64,
    },
    /// What lasts long is kept from expiring.
    Renew {
        flight: usize,
    },
    /// The provider failed, and the next one reads the prompt again.
    Retry {
        flight: usize,
    },
    /// Longer than most windows; whatever streams renews its hold meanwhile.
    LongWait,
    End {
        flight: usize,
    },
    Abort {
        flight: usize,
    },
    Wait {
        micros: u64,
    },
    /// Waits as long as the last refusal said, and not a nanosecond longer.
    WaitAsTold,
    ClockBack {
        micros: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3_usize, 1..80_u64, 1..200_u64, any::<bool>())
            .prop_map(|(consumer, input, output, guess)| Step::Ask { consumer, input, output, guess }),
        6 => (0..50_usize, 1..120_u64).prop_map(|(flight, served)| Step::Serve { flight, served }),
        3 => (0..50_usize, 1..150_u64).prop_map(|(flight, wanted)| Step::Extend { flight, wanted }),
        1 => (0..50_usize).prop_map(|flight| Step::Renew { flight }),
        2 => (0..50_usize).prop_map(|flight| Step::Retry { flight }),
        4 => (0..50_usize).prop_map(|flight| Step::End { flight }),
        1 => (0..50_usize).prop_map(|flight| Step::Abort { flight }),
        4 => (0..400_000_u64).prop_map(|micros| Step::Wait { micros }),
        1 => (0..8_000_000_u64).prop_map(|micros| Step::Wait { micros }),
        3 => Just(Step::WaitAsTold),
        1 => (0..3_000_000_u64).prop_map(|micros| Step::ClockBack { micros }),
    ];
    let step = prop_oneof![150 => step, 1 => Just(Step::LongWait)];
    proptest::collection::vec(step, 1..250)
}

struct Flight {
    reservation: Reservation,
    consumer: usize,
    served: Spent,
    input: u64,
    bound: u64,
    /// The prompt, until the provider has read it: with the first output, or at the end.
    unread: u64,
}

/// A schedule as it runs, with what an outsider and a plain bookkeeper write down.
struct World {
    limiters: Vec<RateLimiter>,
    store: Disturbed,
    consumers: Vec<Principal>,
    flights: Vec<Flight>,
    now: u64,
    behind: u64,
    log: Vec<Served>,
    ledger: Vec<(Charge, u64, u64)>,
    turn: usize,
    come_back: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            limiters: (0..3).map(|_| limiter_in(rules(), SHARDS, 64)).collect(),
            store: Disturbed {
                store: LocalStore::default(),
                dice: Cell::new(seed),
            },
            consumers: ["a", "b", "c"].map(principal).into(),
            flights: Vec::new(),
            now: super::at(0).as_nanos(),
            behind: 0,
            log: Vec::new(),
            ledger: Vec::new(),
            turn: 0,
            come_back: 0,
        }
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_nanos(self.now - self.behind)
    }

    fn run(&mut self, step: &Step) {
        self.turn += 1;
        let count = self.flights.len();
        match *step {
            Step::Ask {
                consumer,
                input,
                output,
                guess,
            } => self.ask(consumer, input, output, guess),
            Step::Wait { micros } => self.now += micros * 1_000,
            Step::LongWait => {
                for flight in 0..count {
                    self.run(&Step::Renew { flight });
                }
                self.now += 1_400_000_000_000;
            }
            Step::WaitAsTold => self.now = self.now.max(self.come_back),
            Step::ClockBack { micros } => self.behind += micros * 1_000,
            _ if count == 0 => {}
            Step::Serve { flight, served } => {
                let flight = &mut self.flights[flight % count];
                let served = served.min(flight.bound - flight.served.output_tokens);
                let input = std::mem::take(&mut flight.unread);
                flight.served = flight.served.plus(of_kinds(0, 0, served));
                let consumer = flight.consumer;
                self.note(consumer, of_kinds(0, input, served));
            }
            Step::Retry { flight } => {
                let flight = &mut self.flights[flight % count];
                flight.served = flight.served.plus(of_kinds(0, flight.input, 0));
            }
            Step::Extend { flight, wanted } => {
                let limiter = &self.limiters[self.turn % 3];
                let now = Timestamp::from_nanos(self.now - self.behind);
                let flight = &mut self.flights[flight % count];
                let granted = limiter.extend(&mut flight.reservation, wanted, now, &self.store);
                assert!(granted <= wanted);
                flight.bound += granted;
            }
            Step::Renew { flight } => {
                let limiter = &self.limiters[self.turn % 3];
                let now = Timestamp::from_nanos(self.now - self.behind);
                let flight = &mut self.flights[flight % count];
                limiter.renew(&mut flight.reservation, now, &self.store);
            }
            Step::End { flight } => self.end(flight % count),
            Step::Abort { flight } => {
                // Nothing can be given back for what was served, whatever was aborted.
                if self.flights[flight % count].served.output_tokens == 0 {
                    self.give_back(flight % count);
                } else {
                    self.end(flight % count);
                }
            }
        }
    }

    fn ask(&mut self, consumer: usize, input: u64, output: u64, output_is_guess: bool) {
        let limiter = &self.limiters[self.turn % 3];
        let demand = Demand {
            output_is_guess,
            cost: Some(COST),
            ..demand(&self.consumers[consumer], input, output)
        };
        match limiter.reserve(&demand, self.clock(), &self.store) {
            Ok(reservation) => {
                assert!(reservation.output_tokens() <= output);
                let bound = reservation.output_tokens();
                self.flights.push(Flight {
                    reservation,
                    consumer,
                    served: of_kinds(1, input, 0),
                    input,
                    bound,
                    unread: input,
                });
                self.note(consumer, of_kinds(1, 0, 0));
                let held = |flight: &Flight| flight.input + flight.bound;
                assert!(self.flights.len() <= 6 && self.flights.iter().map(held).sum::<u64>() <= 900);
            }
            Err(refusal) => {
                self.check_wait(&demand, &refusal);
                if let Refusal::Exceeded { retry_after, .. } = refusal {
                    self.come_back = Timestamp::from_nanos(self.now).plus(retry_after).as_nanos();
                }
            }
        }
    }

    /// With nothing in flight and a true clock, a refused request fits exactly when it was told to come back.
    fn check_wait(&self, demand: &Demand<'_>, refusal: &Refusal) {
        let Refusal::Exceeded { retry_after, .. } = refusal else {
            panic!("too large: {demand:?}");
        };
        assert!(*retry_after >= Duration::from_millis(1));
        if self.flights.is_empty() && self.behind == 0 {
            for (wait, fits) in [
                (*retry_after, true),
                (retry_after.saturating_sub(Duration::from_nanos(1)), false),
            ] {
                if !fits && *retry_after == Duration::from_millis(1) {
                    // The shortest wait that is named: the true one may be shorter.
                    continue;
                }
                let copy = LocalStore::default();
                for shard in 0..SHARDS {
                    if let Some((bytes, _)) = self.store.store.get(&shard_key(shard)) {
                        copy.compare_and_swap(&shard_key(shard), &bytes, None).unwrap();
                    }
                }
                let then = self.clock().plus(wait);
                let result = self.limiters[0].reserve(demand, then, &copy);
                assert_eq!(result.is_ok(), fits, "after {wait:?}");
            }
        }
    }

    fn note(&mut self, consumer: usize, amount: Spent) {
        self.log.push(Served {
            time: self.now,
            consumer,
            amount,
        });
    }

    fn end(&mut self, index: usize) {
        let flight = self.flights.swap_remove(index);
        self.note(flight.consumer, of_kinds(0, flight.unread, 0));
        for charge in &flight.reservation.charges {
            let at = if charge.measure == Measure::Requests {
                charge.taken_at
            } else {
                self.clock().as_nanos()
            };
            self.ledger.push((*charge, at, charge.measure.of(flight.served)));
        }
        self.limiters[index % 3].settle(flight.reservation, flight.served, self.clock(), &self.store);
    }

    fn give_back(&mut self, index: usize) {
        let flight = self.flights.swap_remove(index);
        self.limiters[index % 3].settle(flight.reservation, Spent::default(), self.clock(), &self.store);
    }

    /// The promise, judged by the log alone.
    fn judge(&self) {
        for limit in limits(rules()) {
            let measure = Measure::new(&limit);
            let Some(window) = limit.window.map(|window| window.0.as_nanos() as u64) else {
                continue;
            };
            let groups: BTreeMap<usize, Vec<(u64, u64)>> =
                self.log.iter().fold(BTreeMap::new(), |mut groups, served| {
                    let per = limit.per.contains(&"consumer".to_owned());
                    if limit.applies_to.consumer.is_some() && served.consumer != 2 {
                        return groups;
                    }
                    let group: &mut Vec<_> = groups.entry(if per { served.consumer } else { 0 }).or_default();
                    group.push((served.time, measure.of(served.amount)));
                    groups
                });
            for events in groups.values() {
                let worst = worst_window(events, window);
                assert!(
                    worst <= measure.amount_of(limit.max).unwrap(),
                    "{}: {worst} in one window",
                    limit.name
                );
            }
        }
    }

    /// The same for hours of the clock, which has to go right for that.
    fn judge_hours(&self) {
        let mut hours: BTreeMap<u64, u64> = BTreeMap::new();
        for served in &self.log {
            let total = served.amount.input_tokens + served.amount.output_tokens;
            *hours.entry(served.time / 3_600_000_000_000).or_default() += total;
        }
        assert!(hours.values().all(|total| *total <= 9_000), "{hours:?}");
    }

    /// Every counter holds what a plain bookkeeper finds: with nothing in flight, the charges not yet expired.
    fn balance(&self) {
        assert!(self.flights.is_empty());
        let now = self.clock();
        let rules = limits(rules());
        let mut expected: BTreeMap<[u8; 16], u64> = BTreeMap::new();
        for (charge, at, amount) in &self.ledger {
            let sum = expected.entry(charge.key).or_default();
            if counts_until(&rules[charge.limit], *at) > now.as_nanos() {
                *sum += amount;
            }
        }
        for (charge, ..) in &self.ledger {
            let bytes = self
                .store
                .get(&shard_key(charge.shard))
                .map_or_else(Vec::new, |it| it.0);
            let counter = Block::open(&bytes, now.as_nanos()).counter(&charge.key, charge.window);
            assert!(!counter.holds());
            assert_eq!(counter.used(), expected[&charge.key]);
        }
    }

    fn all_blocks_are_empty(&self, now: Timestamp) {
        for shard in 0..SHARDS {
            let bytes = self.store.get(&shard_key(shard)).map_or_else(Vec::new, |it| it.0);
            assert_eq!(Block::open(&bytes, now.as_nanos()).len(), 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_interval_of_a_window_is_ever_overspent(steps in steps(), seed in any::<u64>()) {
        let mut world = World::new(seed);
        for step in &steps {
            // An aborted request that reached the provider has made a request and read its prompt.
            // What a failed attempt cost beside the one that served is charged afterwards, and held by nobody.
            match step {
                Step::Abort { flight } => world.run(&Step::End { flight: *flight }),
                Step::Retry { .. } => {}
                step => world.run(step),
            }
        }
        world.judge();
        if world.behind == 0 {
            world.judge_hours();
        }
    }

    #[test]
    fn reservations_and_settlements_balance_exactly(steps in steps(), seed in any::<u64>()) {
        let mut world = World::new(seed);
        for step in steps.iter().filter(|step| !matches!(step, Step::ClockBack { .. })) {
            world.run(step);
        }
        while !world.flights.is_empty() {
            world.end(0);
        }
        world.balance();
        world.now += 1_500_000_000;
        world.balance();
        world.all_blocks_are_empty(world.clock().plus(Duration::from_secs(3_664)));
    }
}

/// A store that threads share.
#[derive(Default)]
struct Shared(Mutex<BTreeMap<String, (Vec<u8>, u32)>>);

impl SharedStore for Shared {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.lock().unwrap().get(key).cloned()
    }
    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        let mut map = self.0.lock().unwrap();
        let current = map.get(key).map(|(_, version)| *version);
        if current != version {
            return Err(Conflict);
        }
        map.insert(key.to_owned(), (value.to_vec(), current.unwrap_or(0) + 1));
        Ok(())
    }
}

#[test]
fn sixteen_threads_on_one_limit_never_overshoot_and_never_starve() {
    let store = Shared::default();
    let served: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..16_u64)
            .map(|worker| {
                let store = &store;
                scope.spawn(move || {
                    let limiter = limiter_in(total(20_000, "60s"), 2, 16);
                    let (caller, mut served) = (principal("a"), 0);
                    for round in 0..250 {
                        let bound = 10 + (worker * 7 + round) % 40;
                        let now = super::at(round);
                        if let Ok(held) = limiter.reserve(&demand(&caller, 1, bound), now, store) {
                            let cost = spent(1, bound - round % 10);
                            served += cost.input_tokens + cost.output_tokens;
                            limiter.settle(held, cost, now, store);
                        }
                    }
                    assert_eq!(limiter.take_failures(), 0);
                    served
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert!((19_900..=20_000).contains(&served), "{served}");
}

#[test]
fn steady_demand_gets_at_least_95_percent_of_a_limit() {
    for (flight_ms, least) in [(0, 95), (500, 94)] {
        let limiter = limiter_in(total(6_000, "60s"), 1, 16);
        let (store, caller) = (LocalStore::default(), principal("a"));
        let mut flights = std::collections::VecDeque::new();
        let mut log = Vec::new();
        for time in (0..1_200_000).step_by(50) {
            while let Some((reservation, since)) = flights.pop_front() {
                if since + flight_ms > time {
                    flights.push_front((reservation, since));
                    break;
                }
                limiter.settle(reservation, spent(2, 8), super::at(time), &store);
                log.push((time, 10));
            }
            if let Ok(reservation) = limiter.reserve(&demand(&caller, 2, 8), super::at(time), &store) {
                flights.push_back((reservation, time));
            }
        }
        let served: u64 = log.iter().map(|(_, amount)| amount).sum();
        assert!(worst_window(&log, 60_000) <= 6_000);
        assert!(served * 100 >= 20 * 6_000 * least, "{served} of {}", 20 * 6_000);
    }
}

/// A number of callers, each with one request; returns the most bytes that the store took.
fn flood(limiter: &RateLimiter, shards: u16, callers: u64) -> usize {
    let store = LocalStore::default();
    let mut caller = principal("");
    let mut evicted = 0;
    for n in 0..callers {
        caller.consumer = format!("caller-{n}");
        let now = super::at(n / 100);
        let held = limiter.reserve(&demand(&caller, 100, 900), now, &store).unwrap();
        limiter.settle(held, spent(90, 500), now, &store);
        evicted += limiter.take_evictions();
    }
    assert!(evicted > 0 && evicted < callers);
    (0..shards)
        .filter_map(|shard| store.get(&shard_key(shard)))
        .map(|(bytes, _)| bytes.len())
        .sum()
}

fn per_caller() -> Value {
    json!([{"name": "each", "count": "total_tokens", "max": 10_000, "window": "1h", "per": ["consumer"]}])
}

#[test]
fn a_flood_of_callers_stays_within_the_bound() {
    let limiter = limiter_in(per_caller(), 16, 32);
    let bytes = flood(&limiter, 16, 50_000);
    assert!(
        bytes as u64 <= limiter.max_store_bytes() && bytes <= 16 * 32 * 48,
        "{bytes}"
    );
}

#[test]
#[ignore = "100 s without optimisation"]
fn a_million_callers_stay_within_the_bound() {
    let limiter = limiter_in(per_caller(), 1024, 64);
    let bytes = flood(&limiter, 1024, 1_000_000);
    println!("{bytes} of at most {}", limiter.max_store_bytes());
    assert!(
        bytes as u64 <= limiter.max_store_bytes() && bytes <= 1024 * 64 * 48,
        "{bytes}"
    );
}

/// What it takes to reserve and settle while others do the same with the same counter.
#[test]
#[ignore = "a measurement: cargo test --release -p tollgate --lib contention -- --ignored --nocapture"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn contention_by_the_number_of_workers() {
    const ROUNDS: u64 = 20_000;
    for workers in [1_u64, 2, 4, 8, 16] {
        let store = Counting::default();
        let begun = std::time::Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    let limiter = limiter_in(total(1_000_000_000, "60s"), 1, 16);
                    let caller = principal("a");
                    for round in 0..ROUNDS {
                        let now = super::at(round / 100);
                        let held = limiter.reserve(&demand(&caller, 1, 9), now, &store).unwrap();
                        limiter.settle(held, spent(1, 5), now, &store);
                    }
                    assert_eq!(limiter.take_failures(), 0);
                });
            }
        });
        let operations = workers * ROUNDS * 2;
        let micros = begun.elapsed().as_micros() as f64;
        let conflicts = store.conflicts.load(std::sync::atomic::Ordering::Relaxed);
        println!(
            "{workers} workers: {:.0} operations a millisecond, {:.3} conflicts an operation",
            operations as f64 * 1_000.0 / micros,
            conflicts as f64 / operations as f64
        );
    }
}

/// A store that threads share and that counts its conflicts.
#[derive(Default)]
struct Counting {
    store: Shared,
    conflicts: std::sync::atomic::AtomicU64,
}

impl SharedStore for Counting {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.store.get(key)
    }
    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        self.store.compare_and_swap(key, value, version).inspect_err(|_| {
            self.conflicts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        })
    }
}
