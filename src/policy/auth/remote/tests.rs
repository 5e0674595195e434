// SPDX-License-Identifier: Apache-2.0

//! Fetched keys, with a map as the shared store and time stepped by hand; each [`Worker`] is one of Envoy's.

use super::{KeyAnswer, KeyCall, KeyOutcome, MAX_ANSWER_BYTES, NoRemoteKey, RemoteKeys, lifetime};
use crate::clock::Timestamp;
use crate::config::JwtProvider;
use crate::policy::auth::algorithm::Algorithm;
use crate::policy::auth::jwks::{MAX_KEYS, NoKey};
use crate::policy::auth::key_source::KeySource;
use crate::shared_store::LocalStore;
use core::time::Duration;
use serde_json::{Value, json};

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const ISSUER: &str = "https://login.example.com";

/// `secs` after the start.
fn at(secs: u64) -> Timestamp {
    START.plus(Duration::from_secs(secs))
}

fn worker_with(remote: Value, store: &LocalStore) -> RemoteKeys {
    let provider: JwtProvider =
        serde_json::from_value(json!({"issuer": ISSUER, "jwks": {"remote": remote}})).unwrap();
    let crate::config::Jwks::Remote(settings) = &provider.jwks else {
        panic!("not remote")
    };
    assert_eq!(RemoteKeys::fault(settings), None);
    let source = KeySource::of(&provider).unwrap().unwrap();
    let mut keys = RemoteKeys::new(0, ISSUER, source, settings.clone());
    keys.prepare(store);
    keys
}

fn worker(store: &LocalStore) -> RemoteKeys {
    worker_with(json!({"uri": "https://login.example.com/keys"}), store)
}

/// A key set with Ed25519 keys of these names.
fn set(kids: &[&str]) -> String {
    let keys = kids.iter().map(|kid| {
        let seed = [kid.as_bytes()[0]; 32];
        let key = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
        let x = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, key.as_bytes());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
    });
    json!({"keys": keys.collect::<Vec<_>>()}).to_string()
}

fn ok<'a>(body: &'a str, cache_control: Option<&'a str>) -> KeyAnswer<'a> {
    KeyAnswer::Http {
        status: 200,
        cache_control,
        age: None,
        body: body.as_bytes(),
    }
}

fn find(keys: &RemoteKeys, kid: &str, now: Timestamp) -> Result<usize, NoRemoteKey> {
    find_since(keys, kid, now, now)
}

/// The same for a token that has waited since `asked_at`.
fn find_since(
    keys: &RemoteKeys,
    kid: &str,
    asked_at: Timestamp,
    now: Timestamp,
) -> Result<usize, NoRemoteKey> {
    let found = keys.candidates(Some(kid), Algorithm::Ed25519, asked_at, now);
    found.map(Iterator::count)
}

/// A worker that fetched `kids` at the start.
fn fetched(kids: &[&str], store: &LocalStore) -> RemoteKeys {
    let mut keys = worker(store);
    let call = keys.begin(START, store).unwrap();
    let outcome = keys.on_answer(&call, ok(&set(kids), None), START, store);
    assert_eq!(outcome, KeyOutcome::Fetched(kids.len()));
    keys
}

fn fail(keys: &mut RemoteKeys, now: Timestamp, store: &LocalStore) {
    let call = keys.begin(now, store).unwrap();
    assert!(matches!(
        keys.on_answer(&call, KeyAnswer::None, now, store),
        KeyOutcome::Failed(_)
    ));
}

#[crate::test]
fn one_worker_fetches_and_all_have_the_keys() {
    let store = LocalStore::default();
    let mut workers: Vec<_> = (0..4).map(|_| worker(&store)).collect();
    assert_eq!(find(&workers[3], "a", START), Err(NoRemoteKey::Awaited));
    let mut calls: Vec<KeyCall> = Vec::new();
    for worker in &mut workers {
        worker.sync(&store);
        calls.extend(worker.begin(START, &store));
    }
    let [call] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(
        (call.cluster.as_str(), call.path.as_str(), call.is_tls),
        ("issuer/login.example.com:443", "/keys", true)
    );
    workers[0].on_answer(call, ok(&set(&["a", "b"]), None), at(1), &store);
    for worker in &mut workers {
        worker.sync(&store);
        assert_eq!(find(worker, "a", at(1)), Ok(1));
        assert!(!worker.sync(&store), "nothing new");
    }
    // A worker that begins later, or again after a fault, has them at once.
    assert_eq!(find(&worker(&store), "b", at(1)), Ok(1));
}

#[crate::test]
fn workers_that_race_for_a_call_make_one() {
    let store = LocalStore::default();
    let (mut one, mut other) = (worker(&store), worker(&store));
    // Both have read the same value; neither has seen the other's claim.
    assert!(one.begin(START, &store).is_some());
    assert_eq!(other.begin(START, &store), None);
}

#[crate::test]
fn a_claim_of_a_worker_that_died_expires() {
    let store = LocalStore::default();
    let mut dead = worker(&store);
    dead.begin(START, &store).unwrap();
    let mut other = worker(&store);
    assert_eq!(
        other.begin(at(10), &store),
        None,
        "two calls of 5 s, and one more"
    );
    assert!(other.begin(at(11), &store).is_some());
}

#[crate::test]
fn keys_are_fetched_ahead_of_their_end_and_within_bounds() {
    // (cache-control, age, not before, not after), in seconds.
    for (cache_control, age, earliest, latest) in [
        (None, None, 420, 480),
        (Some("public, max-age=1000"), None, 700, 800),
        (Some("Max-Age=\"1000\""), Some(500), 350, 400),
        (Some("max-age=1"), None, 42, 48),
        (Some("no-store"), None, 42, 48),
        (Some("max-age=1000000"), None, 2520, 2880),
        (Some("max-age=1000"), Some(u64::MAX), 42, 48),
        (Some("max-age=x"), None, 420, 480),
    ] {
        for nanos in [0, 250, 999] {
            let store = LocalStore::default();
            let mut keys = worker(&store);
            let now = Timestamp::from_nanos(START.as_nanos() + nanos);
            let call = keys.begin(now, &store).unwrap();
            let body = set(&["a"]);
            let answer = KeyAnswer::Http {
                status: 200,
                cache_control,
                age,
                body: body.as_bytes(),
            };
            keys.on_answer(&call, answer, now, &store);
            let label = format!("{cache_control:?} {age:?} {nanos}");
            assert_eq!(keys.begin(at(earliest - 1), &store), None, "{label}");
            assert!(keys.begin(at(latest + 1), &store).is_some(), "{label}");
        }
    }
}

#[crate::test]
fn old_keys_are_used_while_the_issuer_is_down_and_not_for_ever() {
    let store = LocalStore::default();
    let mut keys = fetched(&["a"], &store);
    let mut now = 600;
    while now < 86_400 {
        if keys.begin(at(now), &store).is_some_and(|call| {
            keys.on_answer(&call, KeyAnswer::None, at(now), &store);
            true
        }) {
            assert_eq!(find(&keys, "a", at(now)), Ok(1), "{now}");
        }
        now += 61;
    }
    assert_eq!(find(&keys, "a", at(86_399)), Ok(1));
    assert!(find(&keys, "a", at(86_400)).is_err());
}

#[crate::test]
fn an_unknown_kid_has_the_keys_fetched_once_in_a_while() {
    let store = LocalStore::default();
    let mut keys = fetched(&["a"], &store);
    assert_eq!(find(&keys, "b", at(10)), Err(NoRemoteKey::Awaited));
    let call = keys.begin(at(10), &store).expect("the token asked for it");
    assert_eq!(find(&keys, "b", at(10)), Err(NoRemoteKey::Awaited), "under way");
    keys.on_answer(&call, ok(&set(&["a", "b"]), None), at(10), &store);
    assert_eq!(find(&keys, "b", at(10)), Ok(1));
    // Whoever makes up further names gets no further fetch for as long as is configured, and waits for the next.
    let unknown = Err(NoRemoteKey::NotThere(NoKey::UnknownId));
    assert_eq!(find_since(&keys, "c", at(10), at(11)), unknown);
    for secs in 11..15 {
        let outcome = find_since(&keys, "c", at(11), at(secs));
        assert_eq!(outcome, Err(NoRemoteKey::Awaited));
        assert_eq!(keys.begin(at(secs), &store), None);
    }
    let call = keys.begin(at(15), &store).unwrap();
    assert_eq!(find_since(&keys, "c", at(11), at(15)), Err(NoRemoteKey::Awaited));
    keys.on_answer(&call, ok(&set(&["a", "b"]), None), at(16), &store);
    assert_eq!(find_since(&keys, "c", at(11), at(16)), unknown);
}

#[crate::test]
fn a_name_that_a_stranger_makes_up_does_not_turn_a_rotation_into_an_outage() {
    let store = LocalStore::default();
    let mut keys = fetched(&["a"], &store);
    assert_eq!(find(&keys, "made-up", at(100)), Err(NoRemoteKey::Awaited));
    let call = keys.begin(at(100), &store).unwrap();
    keys.on_answer(&call, ok(&set(&["a"]), None), at(100), &store);
    // At this moment the issuer begins to sign with `b`.
    assert_eq!(
        find(&keys, "b", at(101)),
        Err(NoRemoteKey::Awaited),
        "not refused"
    );
    assert_eq!(
        keys.begin(at(101), &store),
        None,
        "not more often than configured"
    );
    assert_eq!(
        find_since(&keys, "b", at(101), at(105)),
        Err(NoRemoteKey::Awaited)
    );
    let call = keys.begin(at(105), &store).expect("somebody waits for it");
    keys.on_answer(&call, ok(&set(&["a", "b"]), None), at(105), &store);
    assert_eq!(find_since(&keys, "b", at(101), at(105)), Ok(1));
    // Where the next fetch is too far ahead to wait for it, nothing is said about the token.
    let mut slow = worker_with(
        json!({"uri": "https://login.example.com/keys", "refetch_interval": "1m"}),
        &store,
    );
    assert_eq!(find(&slow, "c", at(200)), Err(NoRemoteKey::Awaited));
    let call = slow.begin(at(200), &store).unwrap();
    slow.on_answer(&call, ok(&set(&["a"]), None), at(200), &store);
    assert_eq!(find(&slow, "c", at(201)), Err(NoRemoteKey::Unavailable));
}

#[crate::test]
fn what_old_keys_have_verified_is_forgotten_with_them() {
    let store = LocalStore::default();
    let mut keys = fetched(&["a"], &store);
    let of_a = |keys: &RemoteKeys| {
        let found = keys.candidates(Some("a"), Algorithm::Ed25519, at(0), at(0)).ok();
        found.and_then(|mut found| found.next().map(std::rc::Rc::downgrade))
    };
    let held = of_a(&keys).unwrap();
    fail(&mut keys, at(86_399), &store);
    assert!(held.upgrade().is_some());
    let call = keys.begin(at(86_400), &store).unwrap();
    assert!(held.upgrade().is_none(), "a cached token is no longer believed");
    keys.on_answer(&call, ok(&set(&["a"]), None), at(86_400), &store);
    assert_eq!(find(&keys, "a", at(86_400)), Ok(1), "the same set, fetched anew");
}

#[crate::test]
fn keys_that_came_meanwhile_are_not_asked_for_again() {
    let store = LocalStore::default();
    let (mut one, mut other) = (worker(&store), worker(&store));
    let call = one.begin(START, &store).unwrap();
    assert_eq!(find(&other, "a", START), Err(NoRemoteKey::Awaited));
    one.on_answer(&call, ok(&set(&["a"]), None), START, &store);
    other.sync(&store);
    assert_eq!(other.begin(START, &store), None);
    assert_eq!(find(&other, "a", START), Ok(1));
}

#[crate::test]
fn failures_are_waited_out_and_then_nothing_can_be_said() {
    let store = LocalStore::default();
    let mut keys = worker(&store);
    fail(&mut keys, START, &store);
    assert_eq!(keys.begin(START, &store), None, "not at once");
    assert_eq!(
        find(&keys, "a", START),
        Err(NoRemoteKey::Awaited),
        "the next try is near"
    );
    for secs in [1, 3, 6, 11] {
        fail(&mut keys, at(secs), &store);
    }
    assert_eq!(find(&keys, "a", at(11)), Err(NoRemoteKey::Unavailable));
    let call = keys.begin(at(30), &store).unwrap();
    keys.on_answer(&call, ok(&set(&["a"]), None), at(30), &store);
    assert_eq!(find(&keys, "a", at(30)), Ok(1));
    // A known key is known whatever happens; of an unknown one nothing can be said.
    for secs in [700, 701, 703, 706, 711] {
        fail(&mut keys, at(secs), &store);
        assert_eq!(find(&keys, "a", at(secs)), Ok(1));
    }
    assert_eq!(find(&keys, "b", at(711)), Err(NoRemoteKey::Unavailable));
}

#[crate::test]
fn what_is_no_key_set_changes_nothing() {
    let store = LocalStore::default();
    let mut keys = fetched(&["a"], &store);
    let huge = format!("{}{}", set(&["b"]), " ".repeat(MAX_ANSWER_BYTES));
    let many = json!({"keys": vec![json!({}); MAX_KEYS + 1]}).to_string();
    let mut now = 1000;
    for (status, body) in [
        (500, set(&["b"])),
        (304, String::new()),
        (200, String::new()),
        (200, "<html>".to_owned()),
        (200, r#"{"keys":[]}"#.to_owned()),
        (200, r#"{"keys":[1,{"kty":"RSA","n":"AQ","e":"AQ"}]}"#.to_owned()),
        (200, huge),
        (200, many),
    ] {
        let call = keys.begin(at(now), &store).unwrap();
        let answer = KeyAnswer::Http {
            status,
            cache_control: None,
            age: None,
            body: body.as_bytes(),
        };
        let outcome = keys.on_answer(&call, answer, at(now), &store);
        assert!(matches!(outcome, KeyOutcome::Failed(_)), "{status} {outcome:?}");
        assert_eq!(find(&keys, "a", at(now)), Ok(1));
        now += 100;
    }
}

#[crate::test]
fn a_broken_key_does_not_spoil_the_set() {
    let store = LocalStore::default();
    let mut keys = worker(&store);
    let mut published: Value = serde_json::from_str(&set(&["a"])).unwrap();
    let list = published["keys"].as_array_mut().unwrap();
    list.push(json!({"kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB"}));
    list.push(json!({"kty": "OKP", "crv": "Ed25519", "kid": "short", "x": "AA"}));
    list.push(json!("nonsense"));
    let call = keys.begin(START, &store).unwrap();
    let outcome = keys.on_answer(&call, ok(&published.to_string(), None), START, &store);
    assert_eq!(outcome, KeyOutcome::Fetched(1));
    assert_eq!(find(&keys, "a", START), Ok(1));
}

#[crate::test]
fn a_key_that_stays_is_the_same_and_one_that_goes_is_gone() {
    let store = LocalStore::default();
    let mut keys = fetched(&["a", "b"], &store);
    let of = |keys: &RemoteKeys, kid: &str| {
        let found = keys
            .candidates(Some(kid), Algorithm::Ed25519, at(1000), at(1000))
            .ok();
        found
            .and_then(|mut found| found.next().map(std::rc::Rc::downgrade))
            .unwrap()
    };
    let (a, b) = (of(&keys, "a"), of(&keys, "b"));
    let call = keys.begin(at(1000), &store).unwrap();
    keys.on_answer(&call, ok(&set(&["b", "c"]), None), at(1000), &store);
    assert!(a.upgrade().is_none(), "what it verified is forgotten");
    assert!(b.ptr_eq(&of(&keys, "b")) && b.upgrade().is_some());
    assert_eq!(find(&keys, "c", at(1000)), Ok(1));
}

#[crate::test]
fn discovery_is_two_calls() {
    let store = LocalStore::default();
    let mut keys = worker_with(json!({}), &store);
    let first = keys.begin(START, &store).unwrap();
    assert_eq!(first.path, "/.well-known/openid-configuration");
    let document = json!({"issuer": ISSUER, "jwks_uri": "https://login.example.com/keys?v=1"}).to_string();
    let KeyOutcome::Call(second) = keys.on_answer(&first, ok(&document, None), START, &store) else {
        panic!("expected a second call")
    };
    assert_eq!(second.path, "/keys?v=1");
    let outcome = keys.on_answer(&second, ok(&set(&["a"]), None), START, &store);
    assert_eq!(outcome, KeyOutcome::Fetched(1));
    let document = json!({"issuer": ISSUER, "jwks_uri": "https://elsewhere.example/keys"}).to_string();
    let first = keys.begin(at(1000), &store).unwrap();
    let outcome = keys.on_answer(&first, ok(&document, None), at(1000), &store);
    assert!(
        matches!(&outcome, KeyOutcome::Failed(reason) if reason.contains("`jwks.remote.uri`")),
        "{outcome:?}"
    );
}

#[crate::test]
fn a_store_that_fails_stops_nothing_and_invents_nothing() {
    struct Broken;
    impl crate::shared_store::SharedStore for Broken {
        fn get(&self, _: &str) -> Option<(Vec<u8>, u32)> {
            Some((vec![7; 3], u32::MAX))
        }
        fn compare_and_swap(
            &self,
            _: &str,
            _: &[u8],
            _: Option<u32>,
        ) -> Result<(), crate::shared_store::Conflict> {
            Err(crate::shared_store::Conflict)
        }
    }
    let mut keys = worker(&LocalStore::default());
    keys.sync(&Broken);
    assert_eq!(keys.begin(START, &Broken), None);
    assert!(find(&keys, "a", START).is_err());
}

#[crate::test]
fn settings_that_contradict_each_other_are_faults() {
    for (remote, key) in [
        (json!({"timeout": "0s"}), "timeout"),
        (json!({"timeout": "61s"}), "timeout"),
        (json!({"min_refresh": "500ms"}), "min_refresh"),
        (json!({"refetch_interval": "0s"}), "refetch_interval"),
        (json!({"max_refresh": "30s"}), "max_refresh"),
        (json!({"max_stale": "30m"}), "max_stale"),
        (json!({"cluster": ""}), "cluster"),
    ] {
        let settings = serde_json::from_value(remote.clone()).unwrap();
        let fault = RemoteKeys::fault(&settings);
        assert_eq!(fault.map(|(key, _)| key), Some(key), "{remote}");
    }
}

#[crate::test]
fn a_lifetime_is_read_from_cache_control() {
    for (text, secs) in [
        ("max-age=5", Some(5)),
        ("public, max-age=5, must-revalidate", Some(5)),
        ("NO-CACHE", Some(0)),
        ("max-age=5, no-store", Some(0)),
        ("", None),
        ("s-maxage=5", None),
        ("max-age=-1", None),
        ("max-age=99999999999999999999", None),
    ] {
        assert_eq!(lifetime(text), secs.map(Duration::from_secs), "{text}");
    }
}
