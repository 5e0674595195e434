// SPDX-License-Identifier: Apache-2.0

//! What happens when a limit runs short, and what it costs to ask several limits.

use super::super::{Demand, RateLimiter, Refusal, Reservation, Spent};
use super::{at, demand, limiter_in, principal, remaining, retry_after, spent};
use crate::shared_store::{Conflict, LocalStore, SharedStore};
use core::cell::Cell;
use core::time::Duration;
use serde_json::{Value, json};

fn clamping(max: u64) -> Value {
    json!([{"name": "all", "count": "total_tokens", "max": max, "window": "60s",
        "on_short": "clamp", "min_useful_output": 20}])
}

/// What was reserved for the output, and whether it is less than was asked for.
fn fit(result: Result<Reservation, Refusal>) -> (u64, bool) {
    let reservation = result.unwrap();
    (reservation.output_tokens(), reservation.is_clamped())
}

#[crate::test]
fn an_output_bound_is_lowered_to_what_is_left() {
    let (limiter, store, caller) = (
        limiter_in(clamping(100), 4, 16),
        LocalStore::default(),
        principal("a"),
    );
    let first = limiter
        .reserve(&demand(&caller, 10, 1_000), at(0), &store)
        .unwrap();
    assert_eq!(
        (first.output_tokens(), first.is_clamped(), remaining(&first)),
        (90, true, 0)
    );
    limiter.settle(first, spent(10, 60), at(1), &store);
    let second = limiter.reserve(&demand(&caller, 5, 25), at(2), &store).unwrap();
    assert_eq!(
        (second.output_tokens(), second.is_clamped()),
        (25, false),
        "it fits"
    );
    limiter.settle(second, spent(5, 0), at(3), &store);
    assert_eq!(
        fit(limiter.reserve(&demand(&caller, 5, 25), at(4), &store)),
        (20, true)
    );
}

#[crate::test]
fn less_than_is_useful_is_refused_until_it_fits() {
    let (limiter, store, caller) = (
        limiter_in(clamping(100), 4, 16),
        LocalStore::default(),
        principal("a"),
    );
    let first = limiter.reserve(&demand(&caller, 0, 76), at(0), &store).unwrap();
    limiter.settle(first, spent(0, 76), at(0), &store);
    let wanted = demand(&caller, 5, 1_000);
    let wait = retry_after(limiter.reserve(&wanted, at(10), &store));
    assert!(wait > Duration::from_secs(59));
    let then = at(10).plus(wait);
    assert_eq!(fit(limiter.reserve(&wanted, then, &store)), (95, true));
    let short = demand(&caller, 95, 19);
    let refusal = limiter.reserve(&short, then, &LocalStore::default()).unwrap_err();
    assert!(
        matches!(refusal, Refusal::TooLarge { asked: 114, .. }),
        "{refusal:?}"
    );
}

#[crate::test]
fn the_choices_of_a_request_share_what_is_left() {
    let (limiter, store, caller) = (
        limiter_in(clamping(100), 4, 16),
        LocalStore::default(),
        principal("a"),
    );
    let three = Demand {
        choices: 3,
        ..demand(&caller, 0, 3_000)
    };
    assert_eq!(fit(limiter.reserve(&three, at(0), &store)), (99, true));
    let six = Demand {
        choices: 6,
        ..demand(&caller, 0, 6_000)
    };
    let refusal = limiter.reserve(&six, at(0), &LocalStore::default());
    assert!(matches!(refusal, Err(Refusal::TooLarge { asked: 120, .. })));
}

#[crate::test]
fn only_the_limits_that_allow_it_are_lowered_to() {
    let json = json!([
        {"name": "soft", "count": "output_tokens", "max": 300, "window": "60s", "on_short": "clamp"},
        {"name": "hard", "count": "total_tokens", "max": 80, "window": "60s"},
    ]);
    let (limiter, store, caller) = (limiter_in(json, 4, 16), LocalStore::default(), principal("a"));
    let refusal = limiter.reserve(&demand(&caller, 0, 400), at(0), &store);
    assert!(matches!(refusal, Err(Refusal::TooLarge { limit, asked: 400, .. }) if limit == "hard"));
    assert_eq!(
        fit(limiter.reserve(&demand(&caller, 0, 70), at(0), &store)),
        (70, false)
    );
    let guess = Demand {
        output_is_guess: true,
        ..demand(&caller, 0, 4_000)
    };
    let refusal = limiter.reserve(&guess, at(0), &store);
    assert!(refusal.is_err(), "230 are left, and less than 256 is of no use");
}

/// What a limit that lowers has left must not decide what one that refuses is asked for: later it has more left.
#[crate::test]
fn who_comes_back_when_told_is_admitted_though_a_limit_that_lowers_has_more_by_then() {
    let json = json!([
        {"name": "soft", "count": "output_tokens", "max": 300, "window": "2s", "on_short": "clamp", "min_useful_output": 20},
        {"name": "hard", "count": "total_tokens", "max": 400, "window": "60s"},
    ]);
    let (limiter, store, caller) = (limiter_in(json, 4, 16), LocalStore::default(), principal("a"));
    let take = |amount, now| {
        let held = limiter
            .reserve(&demand(&caller, 0, amount), at(now), &store)
            .unwrap();
        limiter.settle(held, spent(0, amount), at(now), &store);
    };
    take(170, 0);
    take(170, 10_000);
    // The soft limit has 130 left and the hard one 60: each alone would soon do.
    let wanted = demand(&caller, 0, 250);
    let wait = retry_after(limiter.reserve(&wanted, at(10_100), &store));
    let then = at(10_100).plus(wait);
    let before = at(10_100).plus(wait.saturating_sub(Duration::from_nanos(1)));
    assert!(
        limiter.reserve(&wanted, before, &store).is_err(),
        "no later than it must"
    );
    assert_eq!(
        fit(limiter.reserve(&wanted, then, &store)),
        (250, false),
        "{wait:?}"
    );
}

/// Counts what is asked of it.
#[derive(Default)]
struct Counted {
    store: LocalStore,
    reads: Cell<u32>,
    writes: Cell<u32>,
}

impl SharedStore for Counted {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.reads.set(self.reads.get() + 1);
        self.store.get(key)
    }
    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        self.writes.set(self.writes.get() + 1);
        self.store.compare_and_swap(key, value, version)
    }
}

/// How often the store is read and written by a request, its settlement included.
fn accesses(limiter: &RateLimiter, output_is_guess: bool) -> (u32, u32) {
    let (store, caller) = (Counted::default(), principal("a"));
    let demand = Demand {
        output_is_guess,
        ..demand(&caller, 10, 50)
    };
    let held = limiter.reserve(&demand, at(0), &store).unwrap();
    limiter.settle(held, spent(10, 20), at(1), &store);
    (store.reads.get(), store.writes.get())
}

#[crate::test]
fn all_limits_of_one_caller_cost_one_reading_and_one_write() {
    let of_one: Value = (0..16)
        .map(|n| {
            let per = if n % 2 == 0 {
                json!(["consumer"])
            } else {
                json!(["model", "consumer"])
            };
            let count = ["total_tokens", "requests", "input_tokens", "output_tokens"][n % 4];
            json!({"name": format!("l{n}"), "count": count, "max": 1_000, "window": "60s", "per": per})
        })
        .collect();
    for guess in [false, true] {
        assert_eq!(accesses(&limiter_in(of_one.clone(), 1_024, 16), guess), (2, 2));
    }
    let of_two = json!([
        {"name": "own", "count": "total_tokens", "max": 1_000, "window": "60s", "per": ["consumer"]},
        {"name": "calls", "count": "requests", "max": 1_000, "window": "60s", "per": ["consumer"]},
        {"name": "all", "count": "total_tokens", "max": 1_000, "window": "60s"},
        {"name": "all-calls", "count": "requests", "max": 1_000, "window": "60s"},
    ]);
    assert_eq!(accesses(&limiter_in(of_two, 1_024, 16), true), (4, 4));
}

#[crate::test]
fn callers_are_spread_over_the_blocks() {
    let json = json!([{"name": "x", "count": "requests", "max": 1, "window": "60s", "per": ["consumer"]}]);
    let (limiter, store) = (limiter_in(json, 16, 64), LocalStore::default());
    for n in 0..320 {
        let caller = principal(&format!("caller-{n}"));
        drop(limiter.reserve(&demand(&caller, 0, 0), at(0), &store).unwrap());
    }
    let sizes: Vec<usize> = (0..16)
        .map(|shard| {
            let (bytes, _) = store.get(&super::super::shard_key(shard)).unwrap();
            super::Block::open(&bytes, at(0).as_nanos()).len()
        })
        .collect();
    assert!(sizes.iter().all(|size| (8..=34).contains(size)), "{sizes:?}");
}

#[crate::test]
fn what_several_limits_cannot_grant_together_leaves_none_of_them_changed() {
    let json = json!([
        {"name": "own", "per": ["consumer"], "count": "output_tokens", "max": 100, "window": "60s"},
        {"name": "all", "count": "total_tokens", "max": 70, "window": "60s"},
        {"name": "calls", "per": ["team"], "count": "requests", "max": 9, "window": "60s"},
    ]);
    let (limiter, store, caller) = (limiter_in(json, 64, 16), LocalStore::default(), principal("a"));
    let mut held = limiter.reserve(&demand(&caller, 5, 50), at(0), &store).unwrap();
    assert_eq!(limiter.extend(&mut held, 10, at(1), &store), 10);
    assert_eq!(
        limiter.extend(&mut held, 10, at(2), &store),
        5,
        "as much as the tightest has"
    );
    assert_eq!(limiter.extend(&mut held, 10, at(3), &store), 0);
    assert_eq!(held.output_tokens(), 65);
    limiter.settle(held, spent(5, 20), at(4), &store);
    let next = limiter.reserve(&demand(&caller, 0, 45), at(5), &store).unwrap();
    assert_eq!(
        remaining(&next),
        0,
        "25 of 70 are spent, and nothing else is held"
    );
}

/// What a reservation and its settlement cost, by the number of limits: `cargo test --release -- --ignored --nocapture`.
#[test]
#[cfg(not(target_family = "wasm"))]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn what_a_request_costs_by_its_limits() {
    for (count, callers) in [
        (1, 1_u64),
        (2, 1),
        (16, 1),
        (1, 10_000),
        (2, 10_000),
        (16, 10_000),
    ] {
        let json: Value = (0..count)
            .map(|n| {
                let kind = ["total_tokens", "requests", "input_tokens", "output_tokens"][n % 4];
                json!({"name": format!("l{n}"), "count": kind, "max": 1_000_000_000, "window": "60s",
                    "per": ["consumer"]})
            })
            .collect();
        let (limiter, store) = (limiter_in(json, 1_024, 256), LocalStore::default());
        let names: Vec<_> = (0..callers).map(|n| principal(&format!("caller-{n}"))).collect();
        let run = |rounds: u64| {
            for round in 0..rounds {
                let caller = &names[usize::try_from(round % callers).unwrap()];
                let held = limiter
                    .reserve(&demand(caller, 10, 50), at(round / 100), &store)
                    .unwrap();
                limiter.settle(held, spent(10, 20), at(round / 100), &store);
            }
        };
        run(callers.max(1_000));
        let begin = std::time::Instant::now();
        run(20_000);
        println!(
            "{count} limits, {callers} callers: {} ns",
            begin.elapsed().as_nanos() / 20_000
        );
    }
}

/// Refuses every write of one key.
struct Blocked<'a> {
    store: LocalStore,
    key: &'a str,
}

impl SharedStore for Blocked<'_> {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.store.get(key)
    }
    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        if key == self.key {
            return Err(Conflict);
        }
        self.store.compare_and_swap(key, value, version)
    }
}

fn shadow_beside_enforced() -> Value {
    json!([
        {"name": "each", "count": "total_tokens", "max": 100, "window": "60s", "per": ["consumer"]},
        {"name": "shadow", "count": "total_tokens", "max": 50, "window": "60s", "mode": "shadow"},
    ])
}

#[crate::test]
fn a_contended_counter_in_shadow_mode_refuses_nothing() {
    let limiter = limiter_in(shadow_beside_enforced(), 64, 16);
    let caller = principal("a");
    let wanted = Demand {
        output_is_guess: true,
        ..demand(&caller, 10, 20)
    };
    let probe = limiter.charges(&wanted, at(0));
    let shadow = probe.iter().find(|charge| charge.is_shadow).unwrap();
    assert_ne!(
        shadow.shard,
        probe.iter().find(|charge| !charge.is_shadow).unwrap().shard
    );
    let key = super::super::shard_key(shadow.shard);
    let store = Blocked {
        store: LocalStore::default(),
        key: &key,
    };
    let mut held = limiter.reserve(&wanted, at(0), &store).unwrap();
    assert_eq!((held.output_tokens(), remaining(&held)), (20, 70));
    assert_eq!(limiter.extend(&mut held, 30, at(1), &store), 30);
    limiter.settle(held, spent(10, 50), at(2), &store);
    assert!(limiter.take_failures() > 0, "that it went uncounted is told");
    // One that was counted at first, and cannot be any more.
    let open = LocalStore::default();
    let mut held = limiter.reserve(&wanted, at(0), &open).unwrap();
    let store = Blocked {
        store: open,
        key: &key,
    };
    assert_eq!(limiter.extend(&mut held, 30, at(1), &store), 30);
    assert_eq!(
        limiter.extend(&mut held, 90, at(1), &store),
        40,
        "what the other has left"
    );
}

#[crate::test]
fn a_full_block_of_counters_in_shadow_mode_refuses_nothing() {
    let json = json!([
        {"name": "each", "count": "total_tokens", "max": 100, "window": "60s"},
        {"name": "shadow", "count": "total_tokens", "max": 50, "window": "60s", "per": ["model"], "mode": "shadow"},
    ]);
    let (limiter, store, caller) = (limiter_in(json, 1, 16), LocalStore::default(), principal("a"));
    for n in 0..20 {
        let route = format!("m-{n}");
        let wanted = Demand {
            route: &route,
            ..demand(&caller, 1, 1)
        };
        let held = limiter.reserve(&wanted, at(0), &store).unwrap();
        assert_eq!(remaining(&held), 98 - 2 * n);
    }
}

#[crate::test]
fn a_limit_in_shadow_mode_bounds_no_output() {
    let json = json!([
        {"name": "shadow", "count": "total_tokens", "max": 50, "window": "60s", "mode": "shadow"},
    ]);
    let (limiter, store, caller) = (limiter_in(json, 1, 16), LocalStore::default(), principal("a"));
    let held = limiter.reserve(&demand(&caller, 1, 900), at(0), &store).unwrap();
    assert!(!held.bounds_output());
    assert_eq!(held.output_tokens(), 900);
}

const DAY: u64 = 86_400_000;

#[crate::test]
fn a_clock_that_was_far_ahead_and_is_set_right_stops_no_limit_for_long() {
    for json in [
        json!([{"name": "all", "count": "total_tokens", "max": 100, "window": "60s"}]),
        json!([{"name": "all", "count": "total_tokens", "max": 100, "bucket": {"every": "60s"}}]),
        json!([{"name": "all", "count": "total_tokens", "max": 100, "calendar": {"every": "hour"}}]),
    ] {
        let (limiter, store, caller) = (limiter_in(json, 4, 16), LocalStore::default(), principal("a"));
        let wrong = limiter.reserve(&demand(&caller, 0, 60), at(DAY), &store).unwrap();
        limiter.settle(wrong, spent(0, 60), at(DAY), &store);
        let flying = limiter.reserve(&demand(&caller, 0, 40), at(DAY), &store).unwrap();
        // What was served then counts as of now: nothing is credited, and nothing is held for a day.
        assert!(limiter.reserve(&demand(&caller, 0, 1), at(0), &store).is_err());
        limiter.settle(flying, spent(0, 10), at(1_000), &store);
        let more = limiter
            .reserve(&demand(&caller, 0, 30), at(1_000), &store)
            .unwrap();
        limiter.settle(more, spent(0, 30), at(1_000), &store);
        let wait = retry_after(limiter.reserve(&demand(&caller, 0, 100), at(1_000), &store));
        assert!(wait <= Duration::from_secs(3_600), "{wait:?}");
        let again = limiter
            .reserve(&demand(&caller, 0, 100), at(1_000).plus(wait), &store)
            .unwrap();
        limiter.settle(again, Spent::default(), at(1_000), &store);
    }
}

#[crate::test]
fn a_request_of_a_wrong_clock_can_be_taken_back() {
    let json = json!([{"name": "rpm", "count": "requests", "max": 2, "window": "60s"}]);
    let (limiter, store, caller) = (limiter_in(json, 4, 16), LocalStore::default(), principal("a"));
    let first = limiter.reserve(&demand(&caller, 0, 1), at(DAY), &store).unwrap();
    let second = limiter.reserve(&demand(&caller, 0, 1), at(0), &store).unwrap();
    assert!(limiter.reserve(&demand(&caller, 0, 1), at(0), &store).is_err());
    limiter.settle(first, Spent::default(), at(500), &store);
    assert!(limiter.reserve(&demand(&caller, 0, 1), at(600), &store).is_ok());
    limiter.settle(second, spent(0, 1), at(700), &store);
}

#[crate::test]
fn a_hold_of_a_wrong_clock_is_let_go_however_late_its_request_ends() {
    let (limiter, store, caller) = (
        limiter_in(super::total(100, "60s"), 4, 16),
        LocalStore::default(),
        principal("a"),
    );
    let flying = limiter.reserve(&demand(&caller, 0, 40), at(DAY), &store).unwrap();
    // The clock is set right, and holds are moved to the present generation. The request ends in a later one.
    let other = limiter.reserve(&demand(&caller, 0, 5), at(0), &store).unwrap();
    let later = 1_000_000;
    limiter.settle(flying, Spent::default(), at(later), &store);
    let after = limiter
        .reserve(&demand(&caller, 0, 90), at(later), &store)
        .unwrap();
    assert_eq!(remaining(&after), 5, "and those of others stay");
    limiter.settle(other, Spent::default(), at(later), &store);
}

#[crate::test]
fn who_is_told_to_come_back_while_time_stands_still_is_told_to_wait_for_that_too() {
    for pace in [
        json!({"window": "60s"}),
        json!({"bucket": {"every": "60s"}}),
        json!({"calendar": {"every": "hour"}}),
    ] {
        let mut limit = json!({"name": "all", "count": "total_tokens", "max": 100});
        limit
            .as_object_mut()
            .unwrap()
            .extend(pace.as_object().unwrap().clone());
        let limiter = limiter_in(json!([limit]), 4, 16);
        let (store, caller) = (LocalStore::default(), principal("a"));
        let held = limiter
            .reserve(&demand(&caller, 0, 100), at(30_000), &store)
            .unwrap();
        limiter.settle(held, spent(0, 100), at(30_000), &store);
        // The clock goes back by half a minute.
        let wanted = demand(&caller, 0, 100);
        let wait = retry_after(limiter.reserve(&wanted, at(0), &store));
        assert!(
            limiter.reserve(&wanted, at(0).plus(wait), &store).is_ok(),
            "{pace}: {wait:?}"
        );
    }
}
