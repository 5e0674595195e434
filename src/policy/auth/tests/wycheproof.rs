// SPDX-License-Identifier: Apache-2.0

//! Project Wycheproof's signatures: those with which implementations have been broken.
//!
//! `wycheproof.json` is a selection from <https://github.com/C2SP/wycheproof>, which is under the Apache License 2.0: of
//! every kind of vector some, with the private parts of the keys left out.

use crate::policy::auth::algorithm::{Algorithm, PublicKey};
use crate::policy::auth::jwks::KeySet;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::rc::Rc;

/// Tokens that are good by the vectors and are refused here, each with the reason.
const STRICTER: [(u64, &str); 4] = [
    (346, "the key's `alg` is PS256, the token's PS384"),
    (347, "the key's `alg` is ES521, which is not registered"),
    (350, "the key's `alg` is PS256, the token's PS384"),
    (351, "the key's `alg` is ES521, which is not registered"),
];

fn wycheproof() -> Value {
    serde_json::from_str(include_str!("../wycheproof.json")).unwrap()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v Vec<Value> {
    value[name].as_array().unwrap()
}

fn decode(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

fn only_key(jwk: &Value) -> Option<KeySet> {
    KeySet::parse(&json!({ "keys": [jwk] }).to_string()).ok()
}

/// Whether a key of `keys` made this token, as far as its header and its signature tell.
fn is_signed(keys: &KeySet, jws: &str) -> Option<bool> {
    let (message, signature) = jws.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    URL_SAFE_NO_PAD.decode(payload).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let algorithm = Algorithm::from_name(header["alg"].as_str()?)?;
    let mut candidates = keys.candidates(header["kid"].as_str(), algorithm).ok()?;
    Some(candidates.any(|key: &Rc<PublicKey>| key.verifies(algorithm, message.as_bytes(), &signature)))
}

#[crate::test]
fn every_signature_has_the_verdict_that_it_should_have() {
    let vectors = wycheproof();
    let mut counts = [0, 0];
    for group in list(&vectors, "signatures") {
        let algorithm = Algorithm::from_name(group["alg"].as_str().unwrap()).unwrap();
        // A key that is refused as such verifies nothing, and none of a good vector may be.
        let keys = only_key(&group["jwk"]);
        for test in list(group, "tests") {
            let is_good = keys.as_ref().is_some_and(|keys| {
                let key = keys.candidates(None, algorithm).ok().unwrap().next().unwrap();
                key.verifies(algorithm, &decode(&test["msg"]), &decode(&test["sig"]))
            });
            // What is `acceptable`, such as PKCS #1 padding without its NULL, is not accepted.
            let expected = test["result"] == "valid";
            assert_eq!(is_good, expected, "{} {test}", group["file"]);
            counts[usize::from(expected)] += 1;
        }
    }
    assert_eq!(counts, [126, 77]);
}

#[crate::test]
fn every_token_has_the_verdict_that_it_should_have() {
    let vectors = wycheproof();
    let mut counts = [0, 0];
    let mut stricter = Vec::new();
    for group in list(&vectors, "json_web_signatures") {
        let is_symmetric = group["jwk"]["kty"] == "oct";
        let keys = only_key(&group["jwk"]);
        assert!(!is_symmetric || keys.is_none(), "{}", group["comment"]);
        for test in list(group, "tests") {
            let jws = test["jws"].as_str().unwrap();
            let is_good = keys
                .as_ref()
                .and_then(|keys| is_signed(keys, jws))
                .unwrap_or(false);
            let expected = test["result"] == "valid" && !is_symmetric;
            if expected && !is_good {
                stricter.push(test["tcId"].as_u64().unwrap());
            } else {
                assert_eq!(is_good, expected, "{} {test}", group["comment"]);
            }
            counts[usize::from(is_good)] += 1;
        }
    }
    assert_eq!(stricter, STRICTER.map(|(id, _)| id));
    assert_eq!(counts, [122, 32]);
}
