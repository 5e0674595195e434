// SPDX-License-Identifier: Apache-2.0

//! What limits count, how they forget, and for whom they differ.

use super::super::{Demand, RateLimiter, Refusal, Reservation, Spent, Unit};
use super::{at, demand, limiter_in, limits, principal, remaining, retry_after, spent};
use crate::clock::Timestamp;
use crate::config::LimitStore;
use crate::policy::auth::Principal;
use crate::shared_store::LocalStore;
use crate::usage::price::CostBound;
use core::time::Duration;
use proptest::prelude::*;
use serde_json::{Value, json};

fn one(members: Value) -> RateLimiter {
    let mut limit = json!({"name": "x", "count": "total_tokens", "max": 100});
    for (key, value) in members.as_object().unwrap() {
        limit[key] = value.clone();
    }
    limiter_in(json!([limit]), 4, 16)
}

/// A moment, as ISO 8601 writes it.
fn moment(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_nanos(moment.as_nanosecond().try_into().unwrap())
}

/// Takes `output` tokens at once; how many are left then.
fn take(limiter: &RateLimiter, output: u64, now: Timestamp, store: &LocalStore) -> Result<u64, Refusal> {
    let caller = principal("a");
    let held = limiter.reserve(&demand(&caller, 0, output), now, store)?;
    let left = remaining(&held);
    limiter.settle(held, spent(0, output), now, store);
    Ok(left)
}

#[crate::test]
fn a_bucket_gives_a_burst_and_then_its_pace() {
    let limiter = one(json!({"bucket": {"refill": 10, "every": "1s"}}));
    let store = LocalStore::default();
    assert_eq!(take(&limiter, 100, at(0), &store), Ok(0));
    let caller = principal("a");
    let wait = |output, now| retry_after(limiter.reserve(&demand(&caller, 0, output), at(now), &store));
    assert_eq!(wait(1, 0), Duration::from_millis(100));
    assert_eq!(wait(30, 50), Duration::from_millis(2_950));
    assert_eq!(take(&limiter, 30, at(3_000), &store), Ok(0));
    assert_eq!(wait(1, 3_099), Duration::from_millis(1));
    assert_eq!(take(&limiter, 1, at(3_100), &store), Ok(0));
    assert_eq!(
        take(&limiter, 1, at(60_000), &store),
        Ok(99),
        "never more than full"
    );
}

#[crate::test]
fn what_a_request_in_flight_holds_does_not_flow_back_before_it_ends() {
    let limiter = one(json!({"bucket": {"every": "1s"}}));
    let (store, caller) = (LocalStore::default(), principal("a"));
    let held = limiter.reserve(&demand(&caller, 0, 100), at(0), &store).unwrap();
    assert_eq!(
        retry_after(limiter.reserve(&demand(&caller, 0, 1), at(900_000), &store)),
        Duration::from_secs(1)
    );
    limiter.settle(held, spent(0, 60), at(900_000), &store);
    assert_eq!(take(&limiter, 40, at(900_000), &store), Ok(0));
}

#[crate::test]
fn a_budget_is_whole_again_when_its_month_ends_where_the_operator_lives() {
    let limiter = one(json!({"calendar": {"every": "month", "time_zone": "Europe/Berlin"}}));
    let store = LocalStore::default();
    let end = moment("2026-11-30T23:00:00Z");
    assert_eq!(take(&limiter, 90, moment("2026-11-02T10:00:00Z"), &store), Ok(10));
    let caller = principal("a");
    let wait = retry_after(limiter.reserve(&demand(&caller, 0, 11), moment("2026-11-29T23:00:00Z"), &store));
    assert_eq!(wait, Duration::from_secs(86_400));
    let over = limiter
        .reserve(&demand(&caller, 0, 10), moment("2026-11-30T22:59:59.9Z"), &store)
        .unwrap();
    assert_eq!(remaining(&over), 0);
    let next = limiter.reserve(&demand(&caller, 0, 90), end, &store).unwrap();
    assert_eq!(remaining(&next), 0, "what is in flight counts in both months");
    limiter.settle(over, spent(0, 10), end, &store);
    limiter.settle(next, spent(0, 0), end, &store);
    assert_eq!(
        take(&limiter, 90, end, &store),
        Ok(0),
        "it is charged where it ended"
    );
}

#[crate::test]
fn requests_in_flight_are_counted_until_they_end() {
    let json = json!([
        {"name": "calls", "count": "concurrent_requests", "max": 2, "per": ["consumer"]},
        {"name": "tokens", "count": "concurrent_tokens", "max": 100},
    ]);
    let (limiter, store, caller) = (limiter_in(json, 4, 16), LocalStore::default(), principal("a"));
    let first = limiter.reserve(&demand(&caller, 10, 60), at(0), &store).unwrap();
    let wait = retry_after(limiter.reserve(&demand(&caller, 0, 31), at(1), &store));
    assert_eq!(wait, Duration::from_secs(1));
    let second = limiter.reserve(&demand(&caller, 0, 30), at(2), &store).unwrap();
    let calls = second.request_allowance.unwrap();
    assert_eq!((calls.limit, calls.remaining), (2, 0));
    assert!(limiter.reserve(&demand(&caller, 0, 0), at(3), &store).is_err());
    limiter.settle(first, spent(10, 500), at(4), &store);
    let third = limiter.reserve(&demand(&caller, 0, 70), at(4), &store).unwrap();
    assert_eq!(remaining(&third), 0, "what was spent is over");
    for reservation in [second, third] {
        limiter.settle(reservation, Spent::default(), at(5), &store);
    }
    let (bytes, _) = store.get_any();
    assert_eq!(super::Block::open(&bytes, at(5).as_nanos()).len(), 0);
}

impl LocalStore {
    fn get_any(&self) -> (Vec<u8>, u32) {
        use crate::shared_store::SharedStore as _;
        (0..4)
            .find_map(|shard| self.get(&super::super::shard_key(shard)))
            .unwrap()
    }
}

#[crate::test]
fn each_kind_of_token_has_its_weight() {
    let limiter = one(
        json!({"count": "weighted_tokens", "window": "60s", "on_short": "clamp", "min_useful_output": 1,
        "weights": {"cached_input": 0.1, "output": 4, "reasoning": 2}}),
    );
    let (store, caller) = (LocalStore::default(), principal("a"));
    let held = limiter.reserve(&demand(&caller, 20, 15), at(0), &store).unwrap();
    assert_eq!(remaining(&held), 20, "20 + 15 * 4 are held");
    let cost = Spent {
        cached_input_tokens: 15,
        reasoning_tokens: 3,
        ..spent(20, 5)
    };
    limiter.settle(held, cost, at(0), &store);
    let next = limiter
        .reserve(&demand(&caller, 0, 1_000), at(1), &store)
        .unwrap();
    assert_eq!(
        (next.output_tokens(), next.is_clamped()),
        (19, true),
        "5 + 1.5 + 6 + 8 of 100 are spent"
    );
    assert_eq!(remaining(&next), 3, "3.5, rounded down");
}

fn dollars(max: Value) -> RateLimiter {
    one(json!({"count": "usd", "max": max, "calendar": {"every": "day"}}))
}

#[crate::test]
fn money_is_counted_to_the_last_picodollar() {
    let (limiter, store, caller) = (dollars(json!("0.000001")), LocalStore::default(), principal("a"));
    let priced = |input, output| Demand {
        cost: Some(CostBound {
            fixed: 1,
            input: 3,
            output: 999,
        }),
        ..demand(&caller, input, output)
    };
    for turn in 0..1_000 {
        let held = limiter.reserve(&priced(0, 1), at(0), &store);
        let held = held.unwrap_or_else(|refusal| panic!("turn {turn}: {refusal:?}"));
        assert_eq!(held.budget_allowance.unwrap().limit, 1);
        let cost = Spent {
            cost: 1_000,
            ..spent(0, 1)
        };
        limiter.settle(held, cost, at(0), &store);
    }
    let refusal = limiter.reserve(&priced(0, 0), at(0), &store).unwrap_err();
    let Refusal::Exceeded {
        unit,
        allowance,
        count,
        ..
    } = refusal
    else {
        panic!("{refusal:?}")
    };
    assert_eq!(
        (unit, allowance.limit, allowance.remaining, count),
        (Unit::MicroUsd, 1, 0, "usd")
    );
}

#[crate::test]
fn without_a_price_a_budget_admits_nothing() {
    let (limiter, store, caller) = (dollars(json!(5)), LocalStore::default(), principal("a"));
    assert!(limiter.counts_money());
    let refusal = limiter.reserve(&demand(&caller, 1, 1), at(0), &store);
    assert_eq!(
        refusal.unwrap_err(),
        Refusal::Unpriced {
            limit: "x".to_owned()
        }
    );
}

#[crate::test]
fn who_is_special_has_a_limit_of_its_own_size() {
    let limiter = one(json!({"window": "60s", "per": ["consumer"], "overrides": [
        {"match": {"consumer": "batch"}, "max": 5},
        {"match": {"labels": {"tier": "platinum"}}, "max": 1_000},
        {"match": {"team": "t"}, "max": 500},
    ]}));
    let store = LocalStore::default();
    let in_tier = |tier: &str| Principal {
        team: Some("t".to_owned()),
        labels: [("tier".to_owned(), tier.to_owned())].into(),
        ..principal(tier)
    };
    for (who, max) in [
        (principal("a"), 100),
        (principal("batch"), 5),
        (in_tier("platinum"), 1_000),
        (in_tier("silver"), 500),
    ] {
        let held = limiter.reserve(&demand(&who, 0, 1), at(0), &store).unwrap();
        let left = held.token_allowance.unwrap();
        assert_eq!((left.limit, left.remaining), (max, max - 1), "{who:?}");
        assert!(limiter.reserve(&demand(&who, 0, max), at(0), &store).is_err());
    }
}

#[crate::test]
fn a_limit_in_shadow_mode_counts_and_refuses_nothing() {
    let json = json!([
        {"name": "shadow", "count": "total_tokens", "max": 50, "window": "60s", "mode": "shadow"},
        {"name": "real", "count": "total_tokens", "max": 100, "window": "60s"},
    ]);
    let (limiter, store, caller) = (limiter_in(json, 4, 16), LocalStore::default(), principal("a"));
    let would_refuse = |held: &Reservation| -> Vec<String> {
        let names = held.would_refuse().iter();
        names.map(|limit| limiter.name_of(*limit).to_owned()).collect()
    };
    let first = limiter.reserve(&demand(&caller, 0, 50), at(0), &store).unwrap();
    assert_eq!(would_refuse(&first), [""; 0]);
    assert_eq!(remaining(&first), 50, "the client is told of the real one");
    let second = limiter.reserve(&demand(&caller, 0, 50), at(0), &store).unwrap();
    assert_eq!(would_refuse(&second), ["shadow"]);
    assert!(limiter.reserve(&demand(&caller, 0, 1), at(0), &store).is_err());
    for reservation in [first, second] {
        limiter.settle(reservation, Spent::default(), at(1), &store);
    }
    let third = limiter.reserve(&demand(&caller, 0, 50), at(2), &store).unwrap();
    assert_eq!(would_refuse(&third), [""; 0], "it was settled, too");
}

#[crate::test]
fn every_fault_of_a_kind_is_named() {
    let bad = json!([
        {"name": "a", "count": "usd", "max": 10_000_001, "window": "1s", "calendar": {"every": "day"}},
        {"name": "b", "count": "requests", "max": 1.5},
        {"name": "c", "count": "concurrent_requests", "max": 1, "window": "1s"},
        {"name": "d", "count": "weighted_tokens", "max": 1, "window": "1s"},
        {"name": "e", "count": "requests", "max": 1, "bucket": {"every": "1ms", "refill": 0}, "weights": {}},
        {"name": "f", "count": "requests", "max": 1, "calendar": {"every": "week", "time_zone": "Middle/Earth"},
            "overrides": [{"match": {}, "max": 0}, {"match": {"model": "**"}, "max": 1}]},
    ]);
    let faults = RateLimiter::new(&limits(bad), &LimitStore::default())
        .err()
        .unwrap();
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let zero = "expected a number above 0, found 0; use `access` to forbid a model";
    let expected = [
        "limits[0].max: expected at most 10000000 USD, found 10000001",
        "limits[0].window: expected one of `window`, `bucket` and `calendar`, found 2",
        "limits[1].max: expected a whole number, found 1.5",
        "limits[1].window: expected one of `window`, `bucket` and `calendar`, found 0",
        "limits[2].window: expected none with `count: concurrent_requests`: only requests in flight count",
        "limits[3].weights: expected weights with `count: weighted_tokens`, and only there",
        "limits[4].weights: expected weights with `count: weighted_tokens`, and only there",
        "limits[4].bucket.every: expected a duration from 1s to 31d, found 1ms",
        &format!("limits[4].bucket.refill: {zero}"),
        "limits[5].calendar.time_zone: expected a time zone such as \"Europe/Berlin\" or \"UTC\", found \"Middle/Earth\"",
        "limits[5].overrides[0].match: expected at least one condition, found none",
        &format!("limits[5].overrides[0].max: {zero}"),
        "limits[5].overrides[1].match.model: expected a model's name or a prefix followed by one `*`, found \"**\"",
    ];
    assert_eq!(texts, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// No interval sees more than a full bucket and what flows into it meanwhile; and none of the pace is lost.
    #[test]
    fn a_bucket_keeps_its_promise(
        steps in proptest::collection::vec((0..3_000_u64, 1..120_u64), 1..120),
        refill in 1..200_u64,
        every in 1..7_u64,
    ) {
        let limiter = one(json!({"bucket": {"refill": refill, "every": format!("{every}s")}}));
        let (store, caller) = (LocalStore::default(), principal("a"));
        let (mut now, mut log) = (0, Vec::<(u64, u64)>::new());
        for (wait, amount) in steps {
            now += wait;
            match limiter.reserve(&demand(&caller, 0, amount), at(now), &store) {
                Ok(held) => {
                    limiter.settle(held, spent(0, amount), at(now), &store);
                    log.push((now, amount));
                }
                Err(Refusal::Exceeded { retry_after, .. }) => {
                    let told = at(now).plus(retry_after);
                    let copy = LocalStore::default();
                    let (bytes, _) = store.get_any();
                    for shard in 0..4 {
                        use crate::shared_store::SharedStore as _;
                        copy.compare_and_swap(&super::super::shard_key(shard), &bytes, None).unwrap();
                    }
                    prop_assert!(limiter.reserve(&demand(&caller, 0, amount), told, &copy).is_ok());
                }
                Err(_) => prop_assert!(amount > 100),
            }
        }
        for (first, (start, _)) in log.iter().enumerate() {
            let mut sum = 0;
            for (time, amount) in &log[first..] {
                sum += amount;
                prop_assert!(sum <= 100 + (time - start) * refill / (every * 1_000) + 1);
            }
        }
    }
}

#[crate::test]
fn a_clock_that_steps_credits_nothing_twice() {
    for pace in [
        json!({"window": "60s"}),
        json!({"bucket": {"every": "60s"}}),
        json!({"calendar": {"every": "hour"}}),
    ] {
        let limiter = one(pace.clone());
        let store = LocalStore::default();
        let noon = moment("2026-11-21T12:00:30Z");
        let seconds = |seconds: u64| noon.plus(Duration::from_secs(seconds));
        assert_eq!(take(&limiter, 100, noon, &store), Ok(0));
        let back = moment("2026-11-21T11:00:00Z");
        assert!(take(&limiter, 1, back, &store).is_err(), "{pace}: an hour back");
        assert_eq!(
            take(&limiter, 100, seconds(3_600), &store),
            Ok(0),
            "{pace}: an hour ahead"
        );
        assert!(
            take(&limiter, 1, seconds(1_800), &store).is_err(),
            "{pace}: half of it back"
        );
        assert!(
            take(&limiter, 1, seconds(3_599), &store).is_err(),
            "{pace}: nearly caught up"
        );
        assert_eq!(
            take(&limiter, 100, seconds(7_300), &store),
            Ok(0),
            "{pace}: true time again"
        );
    }
}
