// SPDX-License-Identifier: Apache-2.0

//! The examples of the standards: signatures that somebody else made and published.
//!
//! `standards.json` holds them in the compact form: the JOSE cookbook
//! ([RFC 7520](https://www.rfc-editor.org/rfc/rfc7520#section-4)), the appendices of
//! [RFC 7515](https://www.rfc-editor.org/rfc/rfc7515#appendix-A) and of
//! [RFC 8037](https://www.rfc-editor.org/rfc/rfc8037#appendix-A.4). Their payloads are prose and expired claims, so
//! only signatures are judged here.

use crate::policy::auth::algorithm::Algorithm;
use crate::policy::auth::jwks::KeySet;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

fn standards() -> Value {
    serde_json::from_str(include_str!("../standards.json")).unwrap()
}

#[crate::test]
fn the_examples_of_the_standards_are_verified() {
    let standards = standards();
    let examples = standards["valid"].as_array().unwrap();
    assert_eq!(examples.len(), 7);
    for example in examples {
        let source = &example["source"];
        let algorithm = Algorithm::from_name(example["alg"].as_str().unwrap()).unwrap();
        let set = json!({"keys": [example["jwk"]]}).to_string();
        let keys = KeySet::parse(&set).unwrap_or_else(|fault| panic!("{source}: {fault}"));
        let kid = example["jwk"]["kid"].as_str();
        let key = keys.candidates(kid, algorithm).ok().unwrap().next().unwrap();
        let (message, signature) = example["jws"].as_str().unwrap().rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(
            key.verifies(algorithm, message.as_bytes(), &signature),
            "{source}"
        );
        let mut other = message.as_bytes().to_vec();
        *other.last_mut().unwrap() ^= 1;
        assert!(!key.verifies(algorithm, &other, &signature), "{source}");
    }
}

#[crate::test]
fn the_cookbook_s_hmac_example_has_no_algorithm_here() {
    let standards = standards();
    let (header, _) = standards["hmac"]["jws"]
        .as_str()
        .unwrap()
        .split_once('.')
        .unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(header["alg"], "HS256");
    assert_eq!(Algorithm::from_name("HS256"), None);
}
