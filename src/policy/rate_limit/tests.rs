// SPDX-License-Identifier: Apache-2.0

//! What limits do, case by case. `promise` tries to break them with random schedules and with threads.

#[cfg(not(target_family = "wasm"))]
mod kinds;
#[cfg(not(target_family = "wasm"))]
mod promise;
mod short;

use super::counter::Counter;
use super::shard::{Block, max_bytes};
use super::sliding_window::SlidingWindow;
use super::window::{Pace, Window};
use super::{Allowance, Demand, RateLimiter, Refusal, Reservation, Spent, Unit};
use crate::clock::Timestamp;
use crate::config::{Limit, LimitStore};
use crate::policy::auth::Principal;
use crate::shared_store::{Conflict, LocalStore, SharedStore};
use core::cell::RefCell;
use core::time::Duration;
use serde_json::{Value, json};

const T0: u64 = 1_790_000_000_000;

/// `millis` after the tests' beginning of time.
fn at(millis: u64) -> Timestamp {
    Timestamp::from_nanos((T0 + millis) * 1_000_000)
}

fn principal(consumer: &str) -> Principal {
    Principal {
        models: None,
        claims: Default::default(),
        consumer: consumer.to_owned(),
        team: None,
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
    }
}

fn limits(json: Value) -> Vec<Limit> {
    serde_json::from_value(json).unwrap()
}

fn limiter_in(json: Value, shards: u16, counters_per_shard: u16) -> RateLimiter {
    let store = LimitStore {
        shards,
        counters_per_shard,
    };
    RateLimiter::new(&limits(json), &store).unwrap()
}

fn limiter(json: Value) -> RateLimiter {
    limiter_in(json, 4, 16)
}

fn demand(principal: &Principal, input_tokens: u64, output_tokens: u64) -> Demand<'_> {
    Demand {
        principal,
        model: "gpt-5",
        route: "gpt-5",
        input_tokens,
        output_tokens,
        choices: 1,
        cost: None,
        output_is_guess: false,
    }
}

fn spent(input_tokens: u64, output_tokens: u64) -> Spent {
    Spent {
        requests: 1,
        input_tokens,
        output_tokens,
        ..Spent::default()
    }
}

fn retry_after(result: Result<Reservation, Refusal>) -> Duration {
    match result {
        Err(Refusal::Exceeded { retry_after, .. }) => retry_after,
        other => panic!("expected a refusal for now, found {other:?}"),
    }
}

fn total(max: u64, window: &str) -> Value {
    json!([{"name": "all", "count": "total_tokens", "max": max, "window": window}])
}

fn remaining(reservation: &Reservation) -> u64 {
    reservation.token_allowance.unwrap().remaining
}

#[crate::test]
fn what_was_reserved_is_replaced_by_what_was_spent() {
    let (limiter, store, caller) = (limiter(total(100, "60s")), LocalStore::default(), principal("a"));
    let first = limiter.reserve(&demand(&caller, 10, 50), at(0), &store).unwrap();
    assert_eq!((remaining(&first), first.output_tokens()), (40, 50));
    assert!(limiter.reserve(&demand(&caller, 1, 40), at(0), &store).is_err());
    limiter.settle(first, spent(12, 8), at(500), &store);
    let second = limiter.reserve(&demand(&caller, 0, 80), at(600), &store).unwrap();
    assert_eq!(remaining(&second), 0);
    limiter.settle(second, Spent::default(), at(700), &store);
    let third = limiter.reserve(&demand(&caller, 0, 1), at(800), &store).unwrap();
    assert_eq!(remaining(&third), 79);
    limiter.settle(third, spent(0, 90), at(900), &store);
    assert!(
        limiter.reserve(&demand(&caller, 0, 1), at(900), &store).is_err(),
        "the excess is charged"
    );
}

#[crate::test]
fn a_request_in_flight_stays_charged_longer_than_its_window() {
    let (limiter, store, caller) = (limiter(total(100, "1s")), LocalStore::default(), principal("a"));
    let mut long = limiter.reserve(&demand(&caller, 0, 100), at(0), &store).unwrap();
    let one = demand(&caller, 0, 1);
    assert_eq!(
        retry_after(limiter.reserve(&one, at(3_600_000), &store)),
        Duration::from_secs(1)
    );
    for minute in 0..600 {
        limiter.renew(&mut long, at(minute * 60_000), &store);
        assert!(
            limiter.reserve(&one, at(minute * 60_000), &store).is_err(),
            "minute {minute}"
        );
    }
    limiter.settle(long, spent(0, 60), at(36_000_000), &store);
    let after = limiter
        .reserve(&demand(&caller, 0, 40), at(36_000_500), &store)
        .unwrap();
    assert_eq!(remaining(&after), 0);
}

#[crate::test]
fn a_hold_that_nobody_settles_expires_by_itself() {
    for (window, longest_ms) in [
        ("60s", 60_000 + 3_600_000 + 900_000),
        ("31d", 86_400_000 * 31 * 5 / 4 + 3_600_000),
    ] {
        let (limiter, store, caller) = (limiter(total(100, window)), LocalStore::default(), principal("a"));
        let lost = limiter.reserve(&demand(&caller, 0, 100), at(0), &store).unwrap();
        let one = demand(&caller, 0, 1);
        let window_ms = u64::try_from(limits(total(1, window))[0].window.unwrap().0.as_millis()).unwrap();
        assert!(limiter.reserve(&one, at(window_ms + 3_600_000), &store).is_err());
        let next = limiter.reserve(&one, at(longest_ms), &store).unwrap();
        assert_eq!(remaining(&next), 99);
        limiter.settle(lost, spent(0, 50), at(longest_ms), &store);
        let third = limiter.reserve(&one, at(longest_ms), &store).unwrap();
        assert_eq!(
            remaining(&third),
            48,
            "a late settlement charges, and releases nobody else's hold"
        );
    }
}

#[crate::test]
fn the_wait_that_is_named_is_exact() {
    let (limiter, caller) = (limiter(total(100, "24s")), principal("a"));
    for (asked, freed_by) in [(1, 0), (30, 0), (31, 5_000), (61, 9_000), (100, 9_000)] {
        let store = LocalStore::default();
        for (time, cost) in [(0, 30), (5_000, 30), (9_000, 40)] {
            let held = limiter
                .reserve(&demand(&caller, 0, cost), at(time), &store)
                .unwrap();
            limiter.settle(held, spent(0, cost), at(time), &store);
        }
        let wanted = demand(&caller, 0, asked);
        let wait = retry_after(limiter.reserve(&wanted, at(10_000), &store));
        let until = 10_000 + u64::try_from(wait.as_millis()).unwrap();
        assert!(
            (freed_by + 24_000..=freed_by + 25_000).contains(&until),
            "{asked}: {until}"
        );
        assert!(limiter.reserve(&wanted, at(until - 1), &store).is_err());
        assert!(limiter.reserve(&wanted, at(until), &store).is_ok());
    }
}

#[crate::test]
fn a_request_that_can_never_fit_is_told_so() {
    let (limiter, store, caller) = (limiter(total(100, "60s")), LocalStore::default(), principal("a"));
    let refusal = limiter
        .reserve(&demand(&caller, 60, 41), at(0), &store)
        .unwrap_err();
    let expected = Refusal::TooLarge {
        limit: "all".to_owned(),
        count: "total_tokens",
        unit: Unit::Tokens,
        max: 100,
        asked: 101,
    };
    assert_eq!(refusal, expected);
    assert!(store.get("tollgate.limits.v1.0").is_none());
}

#[crate::test]
fn a_guessed_output_is_cut_to_the_room_that_is_left() {
    let (limiter, store, caller) = (limiter(total(160, "60s")), LocalStore::default(), principal("a"));
    let guess = |input| Demand {
        output_is_guess: true,
        ..demand(&caller, input, 4_096)
    };
    let first = limiter.reserve(&guess(60), at(0), &store).unwrap();
    assert_eq!((first.output_tokens(), remaining(&first)), (100, 0));
    assert!(limiter.reserve(&guess(1), at(0), &store).is_err());
    limiter.settle(first, spent(60, 20), at(1), &store);
    let second = limiter.reserve(&guess(60), at(2), &store).unwrap();
    assert_eq!(second.output_tokens(), 20);
    limiter.settle(second, spent(60, 15), at(3), &store);
    assert!(
        limiter.reserve(&guess(1), at(4), &store).is_err(),
        "4 are left, the least guess is 9"
    );
    assert!(matches!(
        limiter.reserve(&guess(160), at(5), &store),
        Err(Refusal::TooLarge { asked: 161, .. })
    ));
}

#[crate::test]
fn requests_count_when_they_are_admitted() {
    let json = json!([{"name": "rpm", "count": "requests", "max": 2, "window": "60s"}]);
    let (limiter, store, caller) = (limiter(json), LocalStore::default(), principal("a"));
    let one = demand(&caller, 5, 5);
    let first = limiter.reserve(&one, at(0), &store).unwrap();
    let second = limiter.reserve(&one, at(0), &store).unwrap();
    assert_eq!(second.token_allowance, None);
    assert_eq!(
        second.request_allowance.map(|it| (it.limit, it.remaining)),
        Some((2, 0))
    );
    assert!(retry_after(limiter.reserve(&one, at(10), &store)) > Duration::from_secs(59));
    limiter.settle(second, Spent::default(), at(30_000), &store);
    let third = limiter.reserve(&one, at(30_000), &store).unwrap();
    let fourth = limiter.reserve(&one, at(62_500), &store).unwrap();
    limiter.settle(first, spent(5, 5), at(62_500), &store);
    for reservation in [third, fourth] {
        limiter.settle(reservation, spent(5, 5), at(62_500), &store);
    }
    assert!(limiter.reserve(&one, at(62_501), &store).is_err());
}

#[crate::test]
fn a_refusal_by_one_limit_leaves_the_others_as_they_were() {
    // The names decide in which order the limits are asked.
    for names in ["a", "b", "c", "d", "e", "f"] {
        let json: Value = (0..16)
            .map(|n| {
                let max = 1_000 - n * 10;
                json!({"name": format!("{names}{n}"), "count": "total_tokens", "max": max, "window": "60s"})
            })
            .collect();
        for shards in [1, 64] {
            let limiter = limiter_in(json.clone(), shards, 16);
            let (store, caller) = (LocalStore::default(), principal("a"));
            let held = limiter.reserve(&demand(&caller, 0, 800), at(0), &store).unwrap();
            assert_eq!((held.charges.len(), remaining(&held)), (16, 50));
            for step in 0..50 {
                let refusal = limiter.reserve(&demand(&caller, 0, 60), at(step * 100), &store);
                assert!(refusal.is_err());
            }
            limiter.settle(held, Spent::default(), at(9_000), &store);
            let whole = limiter
                .reserve(&demand(&caller, 0, 850), at(9_000), &store)
                .unwrap();
            for charge in &whole.charges {
                assert_eq!(charge.used, 850, "limit {names}{}", charge.limit);
            }
        }
    }
}

#[crate::test]
fn of_several_refusals_the_longest_wait_is_reported() {
    let json = json!([
        {"name": "minute", "count": "total_tokens", "max": 10, "window": "60s"},
        {"name": "hour", "count": "output_tokens", "max": 10, "window": "1h"},
        {"name": "second", "count": "total_tokens", "max": 10, "window": "1s"},
    ]);
    let (limiter, store, caller) = (limiter(json), LocalStore::default(), principal("a"));
    let held = limiter.reserve(&demand(&caller, 0, 10), at(0), &store).unwrap();
    limiter.settle(held, spent(0, 10), at(0), &store);
    match limiter.reserve(&demand(&caller, 0, 1), at(1), &store) {
        Err(Refusal::Exceeded {
            limit,
            count,
            retry_after,
            allowance,
            ..
        }) => {
            assert_eq!((limit.as_str(), count), ("hour", "output_tokens"));
            assert_eq!(
                allowance,
                Allowance {
                    limit: 10,
                    remaining: 0,
                    reset: retry_after
                }
            );
        }
        other => panic!("expected the hour to refuse, found {other:?}"),
    }
}

#[crate::test]
fn limits_pick_their_requests_and_their_counters() {
    let json = json!([{
        "name": "x", "count": "total_tokens", "max": 10, "window": "60s",
        "match": {"model": "gpt-*", "labels": {"tier": "gold"}}, "per": ["consumer", "team", "label:tier"],
    }]);
    let (limiter, store) = (limiter(json), LocalStore::default());
    let (a, b) = (principal("a"), principal("b"));
    let mut in_team = a.clone();
    in_team.team = Some("t".to_owned());
    let mut silver = a.clone();
    silver.labels.insert("tier".to_owned(), "silver".to_owned());
    for who in [&a, &b, &in_team] {
        assert!(
            limiter.reserve(&demand(who, 0, 10), at(0), &store).is_ok(),
            "a counter of its own"
        );
        assert!(limiter.reserve(&demand(who, 0, 1), at(0), &store).is_err());
    }
    let other_model = Demand {
        model: "claude",
        route: "claude",
        ..demand(&a, 0, 1)
    };
    for free in [demand(&silver, 0, 99), other_model] {
        assert_eq!(
            limiter.reserve(&free, at(0), &store).unwrap().token_allowance,
            None
        );
    }
    let mut nobody = a.clone();
    nobody.team = Some(String::new());
    assert!(
        limiter.reserve(&demand(&nobody, 0, 1), at(0), &store).is_err(),
        "no team is the empty team"
    );
}

#[crate::test]
fn values_that_read_the_same_in_a_row_are_different_counters() {
    let json = json!([
        {"name": "x", "count": "total_tokens", "max": 10, "window": "60s", "per": ["consumer", "team", "model"]},
    ]);
    let (limiter, store) = (limiter(json), LocalStore::default());
    for (consumer, team, model) in [
        ("ab", "c", "d"),
        ("a", "bc", "d"),
        ("a", "b", "cd"),
        ("abc", "d", ""),
    ] {
        let mut caller = principal(consumer);
        caller.team = Some(team.to_owned());
        let whole = Demand {
            model,
            ..demand(&caller, 0, 10)
        };
        assert!(
            limiter.reserve(&whole, at(0), &store).is_ok(),
            "{consumer} {team} {model}"
        );
    }
}

#[crate::test]
fn a_clock_that_steps_back_credits_nothing() {
    let (limiter, store, caller) = (limiter(total(100, "10s")), LocalStore::default(), principal("a"));
    let held = limiter
        .reserve(&demand(&caller, 0, 100), at(60_000), &store)
        .unwrap();
    limiter.settle(held, spent(0, 100), at(20_000), &store);
    let one = demand(&caller, 0, 1);
    for time in [0, 30_000, 60_000, 69_999] {
        assert!(limiter.reserve(&one, at(time), &store).is_err(), "at {time}");
    }
    assert!(limiter.reserve(&one, at(70_500), &store).is_ok());
}

/// Lets somebody else act between a reading and the swap that follows from it.
struct Interloper<'a> {
    store: &'a LocalStore,
    acts: RefCell<Vec<Box<dyn FnOnce() + 'a>>>,
}

impl SharedStore for Interloper<'_> {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let value = self.store.get(key);
        let act = self.acts.borrow_mut().pop();
        if let Some(act) = act {
            act();
        }
        value
    }
    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        self.store.compare_and_swap(key, value, version)
    }
}

#[crate::test]
fn who_loses_the_race_for_the_last_of_a_limit_is_refused() {
    let (limiter, store, caller) = (limiter(total(100, "60s")), LocalStore::default(), principal("a"));
    let take = || {
        let _ = limiter.reserve(&demand(&caller, 0, 50), at(0), &store).unwrap();
    };
    let contended = Interloper {
        store: &store,
        acts: RefCell::new(vec![Box::new(take), Box::new(take)]),
    };
    assert!(
        limiter
            .reserve(&demand(&caller, 0, 50), at(0), &contended)
            .is_err()
    );
    assert!(limiter.reserve(&demand(&caller, 0, 1), at(0), &store).is_err());
}

/// Never lets anybody write.
struct Jammed;

impl SharedStore for Jammed {
    fn get(&self, _: &str) -> Option<(Vec<u8>, u32)> {
        None
    }
    fn compare_and_swap(&self, _: &str, _: &[u8], _: Option<u32>) -> Result<(), Conflict> {
        Err(Conflict)
    }
}

#[crate::test]
fn nothing_is_admitted_that_could_not_be_reserved() {
    let (limiter, caller) = (limiter(total(100, "60s")), principal("a"));
    let wait = retry_after(limiter.reserve(&demand(&caller, 0, 1), at(0), &Jammed));
    assert_eq!((wait, limiter.take_failures()), (Duration::from_secs(1), 1));
}

#[crate::test]
fn foreign_bytes_are_an_empty_block() {
    let (limiter, caller) = (limiter_in(total(100, "60s"), 1, 16), principal("a"));
    let store = LocalStore::default();
    let held = limiter.reserve(&demand(&caller, 0, 70), at(0), &store).unwrap();
    let (block, _) = store.get("tollgate.limits.v1.0").unwrap();
    for cut in 0..block.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = block.clone();
            bytes[cut] ^= flip;
            let store = LocalStore::default();
            for bytes in [&bytes[..], &block[..cut]] {
                let version = store.get("tollgate.limits.v1.0").map(|(_, version)| version);
                store
                    .compare_and_swap("tollgate.limits.v1.0", bytes, version)
                    .unwrap();
                let _ = limiter.reserve(&demand(&caller, 0, 70), at(0), &store);
            }
        }
        let store = LocalStore::default();
        store
            .compare_and_swap("tollgate.limits.v1.0", &block[..cut], None)
            .unwrap();
        let fresh = limiter.reserve(&demand(&caller, 0, 100), at(0), &store).unwrap();
        assert_eq!(remaining(&fresh), 0, "cut at {cut}");
    }
    limiter.settle(held, spent(0, 1), at(0), &store);
}

#[crate::test]
fn idle_counters_make_room_and_busy_ones_stay() {
    let json =
        json!([{"name": "x", "count": "total_tokens", "max": 10, "window": "60s", "per": ["consumer"]}]);
    let (limiter, store) = (limiter_in(json, 1, 16), LocalStore::default());
    let busy = principal("busy");
    let held = limiter.reserve(&demand(&busy, 0, 10), at(0), &store).unwrap();
    for n in 0..100 {
        let caller = principal(&format!("c{n}"));
        let reservation = limiter
            .reserve(&demand(&caller, 0, 10), at(n * 1_000), &store)
            .unwrap();
        limiter.settle(reservation, spent(0, 10), at(n * 1_000), &store);
    }
    assert!(
        limiter.reserve(&demand(&busy, 0, 1), at(99_000), &store).is_err(),
        "what is held is never evicted"
    );
    assert!(
        limiter
            .reserve(&demand(&principal("c99"), 0, 1), at(99_000), &store)
            .is_err()
    );
    assert_eq!(limiter.take_evictions(), 85);
    limiter.settle(held, Spent::default(), at(99_000), &store);

    let flights: Vec<_> = (0..17)
        .map(|n| limiter.reserve(&demand(&principal(&format!("f{n}")), 0, 10), at(100_000), &store))
        .collect();
    assert!(flights[..16].iter().all(Result::is_ok));
    assert!(flights[16].is_err(), "a block full of flights takes no more");
    for flight in flights.into_iter().flatten() {
        limiter.settle(flight, spent(0, 1), at(101_000), &store);
    }
    let (bytes, _) = store.get("tollgate.limits.v1.0").unwrap();
    assert_eq!(Block::open(&bytes, at(101_000).as_nanos()).len(), 16);
    assert_eq!(Block::open(&bytes, at(200_000).as_nanos()).len(), 0);
    assert!(bytes.len() as u64 <= max_bytes(16));
}

#[crate::test]
fn a_counter_never_outgrows_its_bound() {
    for secs in [1, 7, 60, 3_600, 86_400, 31 * 86_400] {
        let window = Window::new(Pace::Sliding(SlidingWindow::new(secs * 1_000_000_000)));
        let mut counter = Counter::default();
        let step = secs * 1_000_000_000 / 97;
        for n in 0..2_000 {
            let now = at(0).as_nanos() + n * step;
            window.expire(&mut counter, now);
            window.charge(&mut counter, u64::MAX / 4_096, now);
            window.hold(&mut counter, u64::MAX / 4_096, now);
            let mut bytes = Vec::new();
            counter.encode(&mut bytes);
            assert!(bytes.len() <= super::counter::MAX_COUNTER_BYTES);
            assert_eq!(
                Counter::decode(&bytes).as_ref(),
                Some(&counter),
                "{secs} s, step {n}"
            );
        }
    }
}

#[crate::test]
fn prepared_blocks_exist_and_stay_as_they_are() {
    let (limiter, store, caller) = (limiter(total(100, "60s")), LocalStore::default(), principal("a"));
    limiter.prepare(at(0), &store);
    assert!((0..4).all(|shard| store.get(&super::shard_key(shard)).is_some()));
    let _held = limiter.reserve(&demand(&caller, 0, 100), at(0), &store).unwrap();
    limiter.prepare(at(1), &store);
    assert!(limiter.reserve(&demand(&caller, 0, 1), at(2), &store).is_err());
}

#[crate::test]
fn every_fault_of_the_configuration_is_named() {
    let bad = json!([
        {"name": "", "count": "requests", "max": 1, "window": "1s"},
        {"name": "b", "count": "requests", "max": 0, "window": "999ms", "match": {"model": "a*b"}},
        {"name": "b", "count": "total_tokens", "max": 1, "window": "32d", "per": ["consumr", "label:", "team", "team"],
            "on_short": "clamp"},
    ]);
    let store = LimitStore {
        shards: 4097,
        counters_per_shard: 15,
    };
    let faults = RateLimiter::new(&limits(bad), &store).err().unwrap();
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let expected = [
        "limits[0].name: expected a name, found an empty text",
        "limits[1].max: expected a number above 0, found 0; use `access` to forbid a model",
        "limits[1].window: expected a duration from 1s to 31d, found 999ms",
        "limits[1].match.model: expected a model's name or a prefix followed by one `*`, found \"a*b\"",
        "limits[2].name: expected a unique name, found \"b\" again",
        "limits[2].window: expected a duration from 1s to 31d, found 32d",
        "limits[2].min_useful_output: expected a number from 1 to `max`, found 256",
        "limits[2].per[0]: expected \"consumer\", \"team\", \"model\" or \"label:NAME\", found \"consumr\"; \
         did you mean \"consumer\"?",
        "limits[2].per[1]: expected \"consumer\", \"team\", \"model\" or \"label:NAME\", found \"label:\"",
        "limits[2].per[3]: expected each part once, found \"team\" again",
        "limit_store.shards: expected a number from 1 to 4096, found 4097",
        "limit_store.counters_per_shard: expected at least 16, and no fewer than there are limits (3), found 15",
    ];
    assert_eq!(texts, expected);
    assert!(RateLimiter::new(&[], &LimitStore::default()).is_ok());
}

#[crate::test]
fn the_bound_of_the_store_is_the_one_that_is_documented() {
    let keys = 10 * 20 + 90 * 21 + 900 * 22 + 24 * 23;
    let limiter = RateLimiter::new(&[], &LimitStore::default()).unwrap();
    assert_eq!(limiter.max_store_bytes(), 1024 * (9 + 64 * 440) + keys);
    let largest = limiter_in(json!([]), 4096, u16::MAX);
    assert!(largest.max_store_bytes() > 1 << 36, "no overflow on 32 bits");
}
