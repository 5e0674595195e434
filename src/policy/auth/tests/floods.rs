// SPDX-License-Identifier: Apache-2.0

//! Floods of credentials: what of them is looked at, and who is served meanwhile.

use super::{ISSUER, NOW, bearer, encode, own_authenticator, own_jwt};
use crate::clock::Timestamp;
use crate::policy::auth::{Authenticator, Deny};
use crate::policy::connection::Connection;
use core::net::IpAddr;
use core::time::Duration;
use serde_json::json;
use std::rc::Rc;

struct From(IpAddr);

impl Connection for From {
    fn source_address(&self) -> Option<IpAddr> {
        Some(self.0)
    }

    fn attribute(&self, _: &[&str]) -> Option<Vec<u8>> {
        None
    }
}

/// From 192.0.2.1, or from somewhere else.
fn connect(authenticator: &mut Authenticator, nth: u8) {
    let source = match nth {
        1 => [192, 0, 2, 1].into(),
        _ => authenticator.budget.another_source(),
    };
    authenticator.connect(Rc::new(From(source)));
}

/// The nth of many forged tokens.
fn forged(n: u32) -> String {
    let header = encode(r#"{"alg":"EdDSA","kid":"own"}"#);
    let claims = json!({"iss": ISSUER, "sub": "mallory", "aud": "tollgate", "exp": NOW + 100});
    let signed = format!("{header}.{}", encode(claims.to_string()));
    let mut signature = [1; 64];
    signature[..4].copy_from_slice(&n.to_be_bytes());
    format!("{signed}.{}", encode(signature))
}

fn millis_after(millis: u64) -> Timestamp {
    Timestamp::from_secs(NOW).plus(Duration::from_millis(millis))
}

#[crate::test]
fn a_flood_of_bad_signatures_is_refused_unread() {
    let mut authenticator = own_authenticator(json!({}));
    let now = Timestamp::from_secs(NOW);
    let (known, unseen) = (own_jwt(json!({})), own_jwt(json!({"sub": "bob"})));
    assert!(bearer(&mut authenticator, &known, now).is_ok());
    connect(&mut authenticator, 1);
    authenticator.budget.have_failed(90, now);
    let refusals: Vec<_> = (0..200)
        .map(|n| bearer(&mut authenticator, &forged(n), now).unwrap_err())
        .collect();
    assert_eq!(refusals[..10], [Deny::BadSignature; 10]);
    assert_eq!(refusals[100..], [Deny::TooManyFailures; 100]);
    // What is known is served, and others are heard.
    assert_eq!(
        bearer(&mut authenticator, &unseen, now),
        Err(Deny::TooManyFailures)
    );
    assert_eq!(bearer(&mut authenticator, &known, now), Ok("alice".to_owned()));
    connect(&mut authenticator, 2);
    assert_eq!(bearer(&mut authenticator, &unseen, now), Ok("bob".to_owned()));
}

#[crate::test]
fn a_refused_token_that_is_sent_again_costs_no_signature() {
    for (settings, bad) in [
        (json!({}), forged(1)),
        (json!({}), own_jwt(json!({"aud": "other"}))),
        (json!({"types": ["at+jwt"]}), own_jwt(json!({}))),
        (json!({"denied_ids": ["1"]}), own_jwt(json!({"jti": "1"}))),
        (json!({"authorized_parties": ["a"]}), own_jwt(json!({"azp": "b"}))),
        (json!({}), own_jwt(json!({"sub": null}))),
    ] {
        let mut authenticator = own_authenticator(settings);
        connect(&mut authenticator, 1);
        let now = Timestamp::from_secs(NOW);
        let first = bearer(&mut authenticator, &bad, now);
        assert!(first.is_err());
        for _ in 0..1_000 {
            assert_eq!(bearer(&mut authenticator, &bad, now), first);
        }
        // Nothing was spent: there is time for another caller's token.
        assert!(authenticator.budget.ask(None, None, now).is_ok());
        assert_eq!(
            bearer(&mut authenticator, &forged(2), now),
            Err(Deny::BadSignature)
        );
    }
}

#[crate::test]
fn every_kind_of_failure_is_counted_and_what_has_expired_needs_no_signature() {
    for (claims, expected) in [
        (json!({"aud": "other"}), Deny::TooManyFailures),
        (json!({"sub": null}), Deny::TooManyFailures),
        (json!({"exp": NOW - 100}), Deny::Expired),
        (json!({"nbf": NOW + 100}), Deny::NotYetValid),
    ] {
        let mut authenticator = own_authenticator(json!({}));
        connect(&mut authenticator, 1);
        let now = Timestamp::from_secs(NOW);
        authenticator.budget.have_failed(99, now);
        let _ = bearer(&mut authenticator, &own_jwt(claims.clone()), now);
        authenticator.budget.fill_trickle(now);
        let mut again = claims.clone();
        again["n"] = json!(1);
        let last = bearer(&mut authenticator, &own_jwt(again), now);
        assert_eq!(last, Err(expected), "{claims}");
    }
}

#[crate::test]
fn a_good_caller_behind_the_address_of_a_flood_gets_new_tokens_accepted() {
    let mut authenticator = own_authenticator(json!({}));
    connect(&mut authenticator, 1);
    let carol = |n: u64| own_jwt(json!({"sub": "carol", "n": n}));
    assert!(bearer(&mut authenticator, &carol(0), millis_after(0)).is_ok());
    authenticator.budget.have_failed(99, millis_after(0));
    let mut refused = 0;
    for n in 1..500 {
        let bad = forged(u32::try_from(n).unwrap());
        refused += u32::from(bearer(&mut authenticator, &bad, millis_after(n)) == Err(Deny::TooManyFailures));
        if n % 50 == 0 {
            let outcome = bearer(&mut authenticator, &carol(n), millis_after(n));
            assert_eq!(outcome, Ok("carol".to_owned()), "at {n} ms");
        }
    }
    assert!(refused > 250, "{refused}: there was a flood");
}

#[crate::test]
fn distinct_good_tokens_cannot_take_all_of_a_worker_s_time() {
    let mut authenticator = own_authenticator(json!({}));
    let known = own_jwt(json!({"sub": "known"}));
    assert!(bearer(&mut authenticator, &known, millis_after(0)).is_ok());
    // What a thousand and more of them take.
    let now = millis_after(0);
    let eager = authenticator.budget.ask(Some([192, 0, 2, 1].into()), None, now);
    let cost = Duration::from_millis(600);
    authenticator.budget.spend(eager.unwrap(), cost, false, now);
    connect(&mut authenticator, 1);
    let fresh = own_jwt(json!({"sub": "eager"}));
    assert_eq!(
        bearer(&mut authenticator, &fresh, now),
        Err(Deny::TooManyVerifications)
    );
    assert_eq!(bearer(&mut authenticator, &known, now), Ok("known".to_owned()));
    connect(&mut authenticator, 2);
    let other = own_jwt(json!({"sub": "other"}));
    assert_eq!(bearer(&mut authenticator, &other, now), Ok("other".to_owned()));
    connect(&mut authenticator, 1);
    let later = millis_after(4_000);
    assert_eq!(bearer(&mut authenticator, &fresh, later), Ok("eager".to_owned()));
}

#[crate::test]
fn a_refusal_is_forgotten_when_keys_change() {
    let mut authenticator = own_authenticator(json!({}));
    let now = Timestamp::from_secs(NOW);
    assert_eq!(
        bearer(&mut authenticator, &forged(1), now),
        Err(Deny::BadSignature)
    );
    let fingerprint = authenticator.fingerprints.of(&forged(1));
    assert!(authenticator.refused.find(&fingerprint, now).is_some());
    let call = crate::policy::auth::KeyCall {
        issuer: 0,
        cluster: String::new(),
        is_tls: false,
        authority: String::new(),
        path: String::new(),
        timeout: Duration::ZERO,
        is_discovery: false,
    };
    let store = crate::shared_store::LocalStore::default();
    let _ = authenticator.on_key_answer(&call, crate::policy::auth::KeyAnswer::None, now, &store);
    assert!(authenticator.refused.find(&fingerprint, now).is_none());
}
