// SPDX-License-Identifier: Apache-2.0

//! The room as a whole: real signatures of every algorithm; [`attacks`] has the known attacks, [`standards`] the
//! examples of the standards.
//!
//! `vectors.json` holds public keys and tokens made once with Python's `cryptography` (OpenSSL), so that signer
//! and verifier share no code; its private keys were thrown away. Tests about claims sign for themselves, with
//! Ed25519 and a fixed seed, because that needs no random numbers.

mod attacks;
mod floods;
mod hosts;
mod standards;
mod wycheproof;

use super::{Authenticator, Deny, Principal};
use crate::clock::Timestamp;
use crate::config::Identity;
use crate::headers::Headers;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.example";
const NOW: u64 = 1_800_000_000;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn identity(json: Value) -> Identity {
    serde_json::from_value(json).unwrap()
}

fn provider(issuer: &str, jwks: &Value) -> Value {
    json!({"issuer": issuer, "audiences": ["tollgate"], "jwks": {"inline": jwks.to_string()}})
}

fn authenticator(json: Value) -> Authenticator {
    Authenticator::new(&identity(json)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// Trusts the keys of `vectors.json`.
fn vector_authenticator() -> Authenticator {
    authenticator(json!({"jwt": [provider(ISSUER, &vectors()["jwks"])]}))
}

fn bearer(authenticator: &mut Authenticator, credential: &str, now: Timestamp) -> Result<String, Deny> {
    let headers = [("authorization", format!("Bearer {credential}"))];
    let headers: Headers = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    authenticator
        .authenticate(&headers, now)
        .map(|principal| principal.consumer.clone())
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The seed of the tests' own issuer.
fn own_key() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[7; 32])
}

fn own_jwks() -> Value {
    let x = encode(own_key().verifying_key().as_bytes());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "own", "x": x}]})
}

/// An authenticator that trusts the tests' own issuer, with further settings of the provider.
fn own_authenticator(settings: Value) -> Authenticator {
    let mut provider = provider(ISSUER, &own_jwks());
    let members = settings.as_object().unwrap().clone();
    provider.as_object_mut().unwrap().extend(members);
    authenticator(json!({"jwt": [provider]}))
}

fn sign(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = own_key().sign(message.as_bytes());
    format!("{message}.{}", encode(signature.to_bytes()))
}

/// A token of the tests' own issuer; `null` takes a claim away.
fn own_jwt(changes: Value) -> String {
    let mut claims = json!({"iss": ISSUER, "sub": "alice", "aud": "tollgate", "exp": NOW + 100});
    claims
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    sign(r#"{"alg":"EdDSA","kid":"own"}"#, &claims.to_string())
}

fn check_claims(changes: Value, expected: Result<&str, Deny>) {
    let outcome = bearer(
        &mut own_authenticator(json!({})),
        &own_jwt(changes.clone()),
        Timestamp::from_secs(NOW),
    );
    assert_eq!(outcome, expected.map(str::to_owned), "{changes}");
}

#[crate::test]
fn every_algorithm_is_verified() {
    let mut authenticator = vector_authenticator();
    let vectors = vectors();
    let good = vectors["good"].as_object().unwrap();
    assert_eq!(good.len(), 10);
    for (algorithm, credential) in good {
        let outcome = bearer(
            &mut authenticator,
            credential.as_str().unwrap(),
            Timestamp::from_secs(NOW),
        );
        assert_eq!(outcome, Ok("alice".to_owned()), "{algorithm}");
    }
}

#[crate::test]
fn headers_that_ask_for_less_are_refused() {
    let payload = json!({"iss": ISSUER, "sub": "alice", "aud": "tollgate", "exp": NOW + 100}).to_string();
    let mut authenticator = own_authenticator(json!({}));
    for (header, expected) in [
        (r#"{"alg":"none","kid":"own"}"#, Deny::AlgorithmNotAllowed),
        (r#"{"alg":"None","kid":"own"}"#, Deny::AlgorithmNotAllowed),
        (r#"{"alg":"NONE"}"#, Deny::AlgorithmNotAllowed),
        (r#"{"alg":"HS256","kid":"own"}"#, Deny::AlgorithmNotAllowed),
        (r#"{"alg":"eddsa","kid":"own"}"#, Deny::AlgorithmNotAllowed),
        (r#"{"alg":"","kid":"own"}"#, Deny::AlgorithmNotAllowed),
        (r#"{"alg":"ES256","kid":"own"}"#, Deny::AlgorithmNotAllowed),
        (r#"{"alg":null,"kid":"own"}"#, Deny::Malformed),
        (r#"{"alg":["EdDSA"],"kid":"own"}"#, Deny::Malformed),
        (r#"{"alg":"EdDSA","alg":"EdDSA","kid":"own"}"#, Deny::Malformed),
        (r#"{"alg":"none","alg":"EdDSA","kid":"own"}"#, Deny::Malformed),
        (r#"{"alg":"EdDSA","kid":7}"#, Deny::Malformed),
        (r#"{"alg":"EdDSA","kid":"other"}"#, Deny::UnknownKeyId),
        (r#"{"alg":"EdDSA","kid":""}"#, Deny::UnknownKeyId),
        (
            r#"{"alg":"EdDSA","kid":"own","crit":["exp"]}"#,
            Deny::UnsupportedExtension,
        ),
        (
            r#"{"alg":"EdDSA","kid":"own","crit":[]}"#,
            Deny::UnsupportedExtension,
        ),
        (r#"{"kid":"own"}"#, Deny::UnknownKey),
        (r#"["EdDSA"]"#, Deny::UnknownKey),
    ] {
        let outcome = bearer(
            &mut authenticator,
            &sign(header, &payload),
            Timestamp::from_secs(NOW),
        );
        assert_eq!(outcome, Err(expected), "{header}");
        let unsigned = format!("{}.{}.", encode(header), encode(&payload));
        assert!(
            bearer(&mut authenticator, &unsigned, Timestamp::from_secs(NOW)).is_err(),
            "{header}"
        );
    }
    for header in [
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"Ed25519","kid":"own","x5t":"AA","cty":"x"}"#,
    ] {
        let outcome = bearer(
            &mut authenticator,
            &sign(header, &payload),
            Timestamp::from_secs(NOW),
        );
        assert_eq!(outcome, Ok("alice".to_owned()), "{header}");
    }
}

#[crate::test]
fn a_token_that_is_not_quite_one_is_refused() {
    let mut authenticator = own_authenticator(json!({}));
    // A payload that standard base64 spells differently at each of three offsets, and that wants padding.
    let whole = ["???", "????", "?????"]
        .map(|sub| own_jwt(json!({ "sub": sub })))
        .into_iter()
        .find(|whole| whole.split('.').nth(1).unwrap().len() % 4 != 0)
        .unwrap();
    let [header, payload, signature] = whole.split('.').collect::<Vec<_>>()[..] else {
        panic!("a token has three parts");
    };
    let raw = URL_SAFE_NO_PAD.decode(payload).unwrap();
    let standard = STANDARD_NO_PAD.encode(&raw);
    let padded = URL_SAFE.encode(&raw);
    assert_ne!(standard, payload);
    assert!(padded.ends_with('='));
    for (form, expected) in [
        (format!("{header}.{payload}"), Deny::UnknownKey),
        (
            format!("{header}.{payload}.{signature}.{signature}"),
            Deny::UnknownKey,
        ),
        (format!(".{payload}.{signature}"), Deny::UnknownKey),
        (format!("{header}..{signature}"), Deny::Malformed),
        (format!("{header}.{payload}."), Deny::BadSignature),
        (whole[..whole.len() - 1].to_owned(), Deny::UnknownKey),
        (whole[..whole.len() - 2].to_owned(), Deny::BadSignature),
        (format!("{header}.{standard}.{signature}"), Deny::UnknownKey),
        (format!("{header}.{padded}.{signature}"), Deny::UnknownKey),
        (format!("{whole}=="), Deny::UnknownKey),
        (format!("{header}.{payload}.AAAA{signature}"), Deny::BadSignature),
    ] {
        let outcome = bearer(&mut authenticator, &form, Timestamp::from_secs(NOW));
        assert_eq!(outcome, Err(expected), "{form}");
    }
    for payload in ["", "x", "[]", "1", r#"{"iss":"a","iss":"a"}"#, r#"{"exp":1e400}"#] {
        let outcome = bearer(
            &mut authenticator,
            &sign(r#"{"alg":"EdDSA","kid":"own"}"#, payload),
            Timestamp::from_secs(NOW),
        );
        assert_eq!(outcome, Err(Deny::Malformed), "{payload}");
    }
    assert!(bearer(&mut authenticator, &whole, Timestamp::from_secs(NOW)).is_ok());
}

#[crate::test]
fn a_bit_flipped_in_any_byte_of_the_signature_is_noticed() {
    let mut authenticator = vector_authenticator();
    let vectors = vectors();
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let credential = vectors["good"][algorithm].as_str().unwrap();
        let (signed, signature) = credential.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for at in 0..signature.len() {
            let mut flipped = signature.clone();
            flipped[at] ^= 1 << (at % 8);
            let forged = format!("{signed}.{}", encode(flipped));
            let outcome = bearer(&mut authenticator, &forged, Timestamp::from_secs(NOW));
            assert_eq!(outcome, Err(Deny::BadSignature), "{algorithm}, byte {at}");
        }
        for hollow in [vec![0; signature.len()], vec![0xff; signature.len()], vec![]] {
            let forged = format!("{signed}.{}", encode(hollow));
            let outcome = bearer(&mut authenticator, &forged, Timestamp::from_secs(NOW));
            assert_eq!(outcome, Err(Deny::BadSignature), "{algorithm}");
        }
    }
}

#[crate::test]
fn time_is_judged_with_leeway() {
    // The leeway is 60 s by default.
    for (exp, expected) in [
        (json!(NOW), Ok("alice")),
        (json!(NOW - 59), Ok("alice")),
        (json!(NOW - 60), Err(Deny::Expired)),
        (json!(NOW as f64 - 59.5), Ok("alice")),
        (json!(NOW as f64 - 60.5), Err(Deny::Expired)),
        (json!(0), Err(Deny::Expired)),
        (json!(-1), Err(Deny::Expired)),
        (json!(i64::MIN), Err(Deny::Expired)),
        (json!(-1e300), Err(Deny::Expired)),
        (json!(1e300), Ok("alice")),
        (json!(u64::MAX), Ok("alice")),
        (json!((NOW + 100).to_string()), Err(Deny::Malformed)),
        (json!(true), Err(Deny::Malformed)),
        (json!([NOW + 100]), Err(Deny::Malformed)),
        (json!(null), Err(Deny::MissingClaim)),
    ] {
        check_claims(json!({"exp": exp}), expected);
    }
    for (nbf, expected) in [
        (json!(NOW), Ok("alice")),
        (json!(NOW + 60), Ok("alice")),
        (json!(NOW + 61), Err(Deny::NotYetValid)),
        (json!(NOW as f64 + 60.5), Err(Deny::NotYetValid)),
        (json!(u64::MAX), Err(Deny::NotYetValid)),
        (json!(-1), Ok("alice")),
        (json!("0"), Err(Deny::Malformed)),
    ] {
        check_claims(json!({"nbf": nbf}), expected);
    }
    let literal_null = sign(
        r#"{"alg":"EdDSA","kid":"own"}"#,
        &format!(r#"{{"iss":"{ISSUER}","sub":"alice","aud":"tollgate","exp":null}}"#),
    );
    let outcome = bearer(
        &mut own_authenticator(json!({})),
        &literal_null,
        Timestamp::from_secs(NOW),
    );
    assert_eq!(outcome, Err(Deny::Malformed));
}

#[crate::test]
fn issuer_and_audience_are_compared_exactly() {
    for (iss, expected) in [
        (json!("https://issuer.example/"), Err(Deny::UnknownIssuer)),
        (json!("HTTPS://issuer.example"), Err(Deny::UnknownIssuer)),
        (json!([ISSUER]), Err(Deny::UnknownIssuer)),
        (json!(7), Err(Deny::UnknownIssuer)),
        (json!(null), Err(Deny::MissingClaim)),
    ] {
        check_claims(json!({"iss": iss}), expected);
    }
    for (aud, expected) in [
        (json!(["other", "tollgate"]), Ok("alice")),
        (json!("other"), Err(Deny::WrongAudience)),
        (json!("tollgate2"), Err(Deny::WrongAudience)),
        (json!([]), Err(Deny::WrongAudience)),
        (json!([["tollgate"]]), Err(Deny::WrongAudience)),
        (json!({"tollgate": "tollgate"}), Err(Deny::WrongAudience)),
        (json!(null), Err(Deny::WrongAudience)),
    ] {
        check_claims(json!({"aud": aud}), expected);
    }
    let mut any = own_authenticator(json!({"audiences": [], "allow_any_audience": true}));
    let outcome = bearer(
        &mut any,
        &own_jwt(json!({"aud": null})),
        Timestamp::from_secs(NOW),
    );
    assert_eq!(outcome, Ok("alice".to_owned()));
}

#[crate::test]
fn the_consumer_must_be_a_text_or_a_number() {
    for (sub, expected) in [
        (json!(42), Ok("42")),
        (json!(""), Err(Deny::MissingClaim)),
        (json!(true), Err(Deny::MissingClaim)),
        (json!({"name": "alice"}), Err(Deny::MissingClaim)),
        (json!(["alice"]), Err(Deny::MissingClaim)),
        (json!(null), Err(Deny::MissingClaim)),
    ] {
        check_claims(json!({"sub": sub}), expected);
    }
}

#[crate::test]
fn claims_become_the_principal_by_name_or_path() {
    let mut authenticator = own_authenticator(json!({"claims": {
        "consumer": "realm.user",
        "team": "https://example.com/team",
        "labels": {
            "tier": "https://example.com/plan.tier", "deep": "a.b.c", "level": "level", "flag": "flag",
            "list": "list", "empty": "empty", "absent": "a.b.d", "through": "level.x"
        }
    }}));
    let credential = own_jwt(json!({
        "realm": {"user": "inner"}, "realm.user": "literal",
        "https://example.com/team": "search", "https://example.com/plan": {"tier": "gold"},
        "a": {"b": {"c": 1.5}}, "level": 3, "flag": true, "list": ["x"], "empty": ""
    }));
    let header = format!("bearer {credential}");
    let headers: Headers = [("authorization", header.as_str())].into_iter().collect();
    let principal = authenticator
        .authenticate(&headers, Timestamp::from_secs(NOW))
        .unwrap();
    let labels = [
        ("deep", "1.5"),
        ("flag", "true"),
        ("issuer", ISSUER),
        ("level", "3"),
        ("tier", "gold"),
    ];
    assert_eq!(
        *principal,
        Principal {
            consumer: "literal".to_owned(),
            team: Some("search".to_owned()),
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            ..Principal::default()
        }
    );
    let inner = own_jwt(json!({"realm": {"user": "inner"}}));
    assert_eq!(
        bearer(&mut authenticator, &inner, Timestamp::from_secs(NOW)),
        Ok("inner".to_owned())
    );
}

#[crate::test]
fn defaults_stand_in_for_absent_claims_and_claims_are_kept_on_demand() {
    let mut authenticator = own_authenticator(json!({"claims": {
        "team": "team", "labels": {"tier": "plan"},
        "defaults": {"team": "guests", "labels": {"tier": "free", "region": "eu"}}
    }}));
    authenticator.keep_claims(["groups", "realm.role", "absent"].into_iter());
    let mut principal = |changes: Value| {
        let header = format!("Bearer {}", own_jwt(changes));
        let headers: Headers = [("authorization", header.as_str())].into_iter().collect();
        authenticator
            .authenticate(&headers, Timestamp::from_secs(NOW))
            .unwrap()
    };
    let bare = principal(json!({}));
    assert_eq!(bare.team.as_deref(), Some("guests"));
    assert_eq!(bare.labels["tier"], "free");
    let told = principal(json!({
        "team": "search", "plan": "gold", "groups": ["a", "b", 7, null], "realm": {"role": "dev"}
    }));
    assert_eq!(told.team.as_deref(), Some("search"));
    assert_eq!(
        (told.labels["tier"].as_str(), told.labels["region"].as_str()),
        ("gold", "eu")
    );
    assert_eq!(told.claims["groups"], ["a", "b", "7"]);
    assert_eq!(told.claims["realm.role"], ["dev"]);
    assert!(told.claims["absent"].is_empty());
}

#[crate::test]
fn the_cache_shares_the_principal_and_does_not_outlive_exp() {
    let mut authenticator = own_authenticator(json!({"leeway": "10s"}));
    let credential = own_jwt(json!({"nbf": NOW - 100}));
    let header = format!("Bearer {credential}");
    let headers: Headers = [("authorization", header.as_str())].into_iter().collect();
    let mut at = |secs| authenticator.authenticate(&headers, Timestamp::from_secs(secs));
    let first = at(NOW).unwrap();
    assert!(std::rc::Rc::ptr_eq(&first, &at(NOW + 109).unwrap()), "remembered");
    assert_eq!(at(NOW + 110), Err(Deny::Expired));
    assert_eq!(at(NOW - 111), Err(Deny::NotYetValid));
    assert!(std::rc::Rc::ptr_eq(&first, &at(NOW - 110).unwrap()));
}

#[crate::test]
fn an_api_key_is_known_by_its_digest() {
    let mut authenticator = authenticator(json!({"api_keys": [
        // `printf %s abc | sha256sum`
        {"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
         "consumer": "alice", "team": "search", "labels": {"tier": "gold"}}
    ]}));
    let headers: Headers = [("x-api-key", "abc")].into_iter().collect();
    let now = Timestamp::from_secs(NOW);
    let principal = authenticator.authenticate(&headers, now).unwrap();
    assert_eq!(
        (principal.consumer.as_str(), principal.team.as_deref()),
        ("alice", Some("search"))
    );
    assert!(std::rc::Rc::ptr_eq(
        &principal,
        &authenticator.authenticate(&headers, now).unwrap()
    ));
    for other in [
        "ab",
        "abcd",
        "ABC",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ] {
        assert_eq!(bearer(&mut authenticator, other, now), Err(Deny::UnknownKey));
    }
    let jwt = own_jwt(json!({}));
    assert_eq!(bearer(&mut authenticator, &jwt, now), Err(Deny::UnknownIssuer));
    assert_eq!(
        authenticator.authenticate(&Headers::default(), now),
        Err(Deny::Missing)
    );
}

#[crate::test]
fn a_key_expires_and_a_slip_of_the_pen_is_told_from_an_unknown_key() {
    use sha2::Digest as _;
    let hex = |key: &str| -> String {
        let digest = sha2::Sha256::digest(key);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let keys = [[1; 32], [2; 32], [3; 32]].map(super::new_api_key);
    let mut authenticator = authenticator(json!({"api_keys": [
        {"sha256": hex(&keys[0]), "consumer": "a", "name": "ci", "expires": "2027-01-15", "models": ["gpt-*"]},
        {"sha256": hex(&keys[1]), "consumer": "b"},
    ]}));
    // NOW is 2027-01-15T08:00:00Z.
    let midnight = Timestamp::from_secs(NOW - 8 * 3600);
    let just_before = Timestamp::from_nanos(midnight.as_nanos() - 1);
    let headers: Headers = [("x-api-key", keys[0].as_str())].into_iter().collect();
    let principal = authenticator.authenticate(&headers, just_before).unwrap();
    assert_eq!(principal.labels.get("api_key").map(String::as_str), Some("ci"));
    assert_eq!(principal.models, Some(vec!["gpt-*".to_owned()]));
    assert_eq!(
        authenticator.authenticate(&headers, midnight),
        Err(Deny::ExpiredKey)
    );
    let now = Timestamp::from_secs(NOW);
    assert_eq!(bearer(&mut authenticator, &keys[1], now), Ok("b".to_owned()));
    assert_eq!(bearer(&mut authenticator, &keys[2], now), Err(Deny::UnknownKey));
    let slip = keys[1].replace(&keys[1][20..21], "!");
    assert_eq!(bearer(&mut authenticator, &slip, now), Err(Deny::MistypedKey));
}

#[crate::test]
fn a_hundred_thousand_api_keys_are_loaded() {
    use sha2::Digest as _;
    let hex = |key: &str| -> String {
        sha2::Sha256::digest(key)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    let keys: Value = (0..100_000)
        .map(|n| json!({"sha256": hex(&format!("key-{n}")), "consumer": format!("c{n}")}))
        .collect();
    let mut authenticator = authenticator(json!({"api_keys": keys}));
    for n in [0, 1, 50_000, 99_999] {
        let outcome = bearer(&mut authenticator, &format!("key-{n}"), Timestamp::from_secs(NOW));
        assert_eq!(outcome, Ok(format!("c{n}")));
    }
    let outcome = bearer(&mut authenticator, "key-100000", Timestamp::from_secs(NOW));
    assert_eq!(outcome, Err(Deny::UnknownKey));
}

#[crate::test]
fn a_trusted_principal_is_believed_only_where_it_is_configured() {
    let headers: Headers = [("x-user", "alice"), ("authorization", "Bearer nonsense")]
        .into_iter()
        .collect();
    let now = Timestamp::from_secs(NOW);
    let mut trusting = authenticator(json!({"trusted": {"header": {"consumer": "x-user"}}}));
    assert_eq!(trusting.authenticate(&headers, now).unwrap().consumer, "alice");
    let without: Headers = [("authorization", "Bearer nonsense")].into_iter().collect();
    assert_eq!(trusting.authenticate(&without, now), Err(Deny::UnknownKey));
    assert_eq!(
        trusting.authenticate(&Headers::default(), now),
        Err(Deny::Missing)
    );
    let mut other = own_authenticator(json!({}));
    assert_eq!(other.authenticate(&headers, now), Err(Deny::UnknownKey));
}

#[crate::test]
fn anonymous_callers_are_those_without_any_credential() {
    let mut authenticator = authenticator(json!({"allow_anonymous": true}));
    let now = Timestamp::from_secs(NOW);
    let principal = authenticator.authenticate(&Headers::default(), now).unwrap();
    assert_eq!(principal.consumer, "anonymous");
    assert_eq!(bearer(&mut authenticator, "wrong", now), Err(Deny::UnknownKey));
    let empty: Headers = [("x-api-key", "")].into_iter().collect();
    assert_eq!(authenticator.authenticate(&empty, now), Err(Deny::Malformed));
}

#[crate::test]
fn messages_are_short_and_for_clients() {
    let all = [
        Deny::Missing,
        Deny::Malformed,
        Deny::Ambiguous,
        Deny::TooLong,
        Deny::UnknownKey,
        Deny::UnknownIssuer,
        Deny::UnknownKeyId,
        Deny::AlgorithmNotAllowed,
        Deny::UnsupportedExtension,
        Deny::BadSignature,
        Deny::Expired,
        Deny::NotYetValid,
        Deny::WrongAudience,
        Deny::MissingClaim,
        Deny::WrongParty,
        Deny::WrongType,
        Deny::Revoked,
        Deny::EmbeddedKey,
        Deny::TooManyFailures,
        Deny::TooManyVerifications,
        Deny::MistypedKey,
        Deny::ExpiredKey,
        Deny::KeysUnavailable(0),
    ];
    let messages: std::collections::BTreeSet<_> = all.iter().map(|deny| deny.message()).collect();
    assert_eq!(messages.len(), all.len());
    let codes: std::collections::BTreeSet<_> = all.iter().map(|deny| deny.code()).collect();
    assert_eq!(codes.len(), all.len());
    for message in messages {
        assert!(message.ends_with('.') && message.len() < 110, "{message}");
    }
}

#[crate::test]
fn two_issuers_with_the_same_consumer_are_told_apart_by_a_label() {
    let mut own = own_authenticator(json!({}));
    let headers = [("authorization", format!("Bearer {}", own_jwt(json!({}))))];
    let headers: Headers = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let principal = own.authenticate(&headers, Timestamp::from_secs(NOW)).unwrap();
    assert_eq!(principal.labels["issuer"], ISSUER);
    let mut taken = provider(ISSUER, &own_jwks());
    taken["claims"] = json!({"labels": {"issuer": "tenant"}});
    check_faults(
        json!({"jwt": [taken]}),
        &[("identity.jwt[0].claims.labels.issuer", "the issuer's name")],
    );
}

#[crate::test]
fn what_weakens_an_issuer_has_to_be_asked_for() {
    let remote = |settings: Value| {
        let mut issuer = json!({"issuer": "https://a.example", "audiences": ["a"]});
        let more = settings.as_object().unwrap().clone();
        issuer.as_object_mut().unwrap().extend(more);
        json!({"jwt": [issuer]})
    };
    check_faults(
        remote(json!({"audiences": []})),
        &[("identity.jwt[0].audiences", "allow_any_audience")],
    );
    check_faults(
        remote(json!({"issuer": "http://a.example"})),
        &[("identity.jwt[0].issuer", "allow_plaintext")],
    );
    check_faults(
        remote(json!({"jwks": {"remote": {"uri": "http://a.example/keys"}}})),
        &[("identity.jwt[0].jwks.remote.uri", "allow_plaintext")],
    );
    for sound in [
        json!({}),
        json!({"audiences": [], "allow_any_audience": true}),
        json!({"issuer": "http://a.example", "allow_plaintext": true}),
    ] {
        check_faults(remote(sound), &[]);
    }
}

#[crate::test]
fn a_claim_that_cannot_be_compared_is_not_taken_for_one_that_is_absent() {
    let mut own = own_authenticator(json!({}));
    own.keep_claims(["role"].into_iter());
    for (role, expected) in [
        (json!(null), Some(vec![])),
        (json!("dev"), Some(vec!["dev"])),
        (json!(["dev", 7, true]), Some(vec!["dev", "7", "true"])),
        (json!({"dev": true}), None),
        (json!(["dev", {"name": "intern"}]), None),
    ] {
        let credential = own_jwt(json!({"role": role.clone()}));
        let headers = [("x-api-key", credential.as_str())].into_iter().collect();
        let principal = own.authenticate(&headers, Timestamp::from_secs(NOW)).unwrap();
        let found = principal
            .claims
            .get("role")
            .map(|values| values.iter().collect::<Vec<_>>());
        let expected: Option<Vec<String>> =
            expected.map(|values| values.into_iter().map(str::to_owned).collect());
        assert_eq!(
            found,
            expected.as_ref().map(|values| values.iter().collect()),
            "{role}"
        );
    }
}

#[crate::test]
fn of_an_api_key_s_claims_only_those_are_known_that_it_has() {
    let digest = |key: &str| crate::policy::auth::digest_of_api_key(key);
    let mut authenticator = authenticator(json!({"api_keys": [
        {"sha256": digest("plain"), "consumer": "a"},
        {"sha256": digest("told"), "consumer": "b", "claims": {"role": ["dev"]}},
    ]}));
    authenticator.keep_claims(["role", "groups"].into_iter());
    let mut claims = |key: &str| {
        let headers = [("x-api-key", key)].into_iter().collect();
        let principal = authenticator.authenticate(&headers, Timestamp::from_secs(NOW));
        principal.unwrap().claims.clone()
    };
    assert!(claims("plain").is_empty());
    let told = claims("told");
    assert_eq!(told["role"], ["dev"]);
    assert!(told["groups"].is_empty());
}

fn check_faults(json: Value, expected: &[(&str, &str)]) {
    let faults = Authenticator::new(&identity(json)).err().unwrap_or_default();
    let found: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    let paths: Vec<_> = expected.iter().map(|(path, _)| *path).collect();
    assert_eq!(found, paths, "{faults:?}");
    for (fault, (_, part)) in faults.iter().zip(expected) {
        assert!(
            fault.message.starts_with("expected ") && fault.message.contains(part),
            "{fault}"
        );
    }
}

#[crate::test]
fn faults_of_the_configuration_have_paths() {
    check_faults(json!({}), &[("identity", "`allow_anonymous: true`")]);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    check_faults(
        json!({"api_keys": [
            {"sha256": abc, "consumer": "a"},
            {"sha256": "sk-live-1234", "consumer": "b"},
            {"sha256": abc.to_uppercase(), "consumer": ""},
            {"sha256": empty, "consumer": "c"},
            {"sha256": abc.replace('b', "x"), "consumer": "d"},
            {"sha256": abc.replace('b', "c"), "consumer": "e", "name": "", "labels": {"api_key": "x"}},
        ]}),
        &[
            ("identity.api_keys[1].sha256", "found 12 bytes of text"),
            ("identity.api_keys[2].consumer", "empty"),
            ("identity.api_keys[2].sha256", "identity.api_keys[0] again"),
            ("identity.api_keys[3].sha256", "empty text"),
            ("identity.api_keys[4].sha256", "another character"),
            ("identity.api_keys[5].name", "empty"),
            ("identity.api_keys[5].labels.api_key", "the key's name"),
        ],
    );
    let mut nameless = provider("", &own_jwks());
    nameless["audiences"] = json!(["a", ""]);
    nameless["authorized_parties"] = json!([""]);
    nameless["types"] = json!([""]);
    nameless["denied_ids"] = json!([""]);
    nameless["claims"] = json!({"consumer": "", "team": "", "labels": {"tier": ""}});
    check_faults(
        json!({"jwt": [
            provider(ISSUER, &own_jwks()),
            {"issuer": "f", "audiences": ["a"], "jwks": {"file": "keys.json"}},
            provider(ISSUER, &own_jwks()),
            nameless,
        ]}),
        &[
            ("identity.jwt[1].jwks", "`tollgate render`"),
            ("identity.jwt[2].issuer", "identity.jwt[0] again"),
            ("identity.jwt[3].issuer", "empty"),
            ("identity.jwt[3].audiences[1]", "empty"),
            ("identity.jwt[3].authorized_parties[0]", "empty"),
            ("identity.jwt[3].types[0]", "empty"),
            ("identity.jwt[3].denied_ids[0]", "empty"),
            ("identity.jwt[3].claims.consumer", "empty"),
            ("identity.jwt[3].claims.team", "empty"),
            ("identity.jwt[3].claims.labels.tier", "empty"),
        ],
    );
}
