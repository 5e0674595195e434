// SPDX-License-Identifier: Apache-2.0

//! What is written down of a refusal, whatever refused.

use super::{KEY, LocalStore, NOW, admit, policy_of, post, reply, reported, serve};
use crate::api_error::ApiError;
use crate::exchange::{Exchange, Step};
use crate::handoff::Phase;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::rc::Rc;

#[crate::test]
fn every_refusal_names_its_rule() {
    let policy = policy_of(json!({
        "access": [
            {"team": "t", "models": ["fast"]},
            {"effect": "deny", "name": "no-secret", "models": ["secret"]},
        ],
        "access_options": {"hidden_models": "not_found"},
        "limits": [
            {"name": "calls", "per": ["team"], "count": "requests", "max": 1, "window": "60s"},
            {"name": "sizes", "per": ["team"], "count": "total_tokens", "max": 1000, "window": "60s"},
        ],
    }));
    let store = LocalStore::default();
    let with = |changes: Value| {
        let mut body =
            json!({"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
        body.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        body.to_string()
    };
    // By its headers.
    for (headers, status, expected) in [
        (
            &[("x-api-key", "none")][..],
            401,
            ("authentication", "unknown_key"),
        ),
        (
            &[KEY, ("content-encoding", "gzip")],
            415,
            ("request", "unsupported_content_encoding"),
        ),
        (
            &[KEY, ("content-length", "5000")],
            413,
            ("request", "request_too_large"),
        ),
        (
            &[KEY, ("x-tollgate-explain", "true")],
            403,
            ("access", "explain_not_allowed"),
        ),
    ] {
        let mut exchange = Exchange::new(Rc::clone(&policy));
        let (reply, _) = reply(exchange.on_request_headers(&post(headers), true, NOW));
        assert_eq!(reply.status, status);
        assert_refused_by(exchange, &store, expected);
    }
    // By its body. The last two are what is left of the limits.
    for (body, status, expected) in [
        ("{".to_owned(), 400, ("request", "invalid_request_error")),
        // A name that the client made up is not repeated.
        (
            r#"{"canary": 1, "canary": 2}"#.to_owned(),
            400,
            ("request", "invalid_request_error"),
        ),
        (with(json!({"messages": []})), 400, ("request", "messages")),
        (
            with(json!({"model": "none"})),
            404,
            ("request", "model_not_found"),
        ),
        (with(json!({"model": "secret"})), 404, ("access", "no-secret")),
        (with(json!({"n_predict": 9})), 400, ("request", "n_predict")),
        (with(json!({"max_tokens": 2000})), 400, ("limit", "sizes")),
        (with(json!({})), 200, ("", "")),
        (with(json!({})), 429, ("limit", "calls")),
    ] {
        let (exchange, step) = admit(&policy, body.as_bytes(), &store);
        if status == 200 {
            assert!(matches!(step, Step::Forward(_)), "{step:?}");
            serve(&exchange, reported(1, 1), 1, Phase::Complete);
            exchange.finish(NOW, &store);
            continue;
        }
        assert_eq!(reply(step).0.status, status, "{body}");
        assert_refused_by(exchange, &store, expected);
    }
}

fn assert_refused_by(exchange: Exchange, store: &LocalStore, expected: (&str, &str)) {
    let record = exchange.finish(NOW, store);
    let found = (
        record.refused_by.unwrap_or_default(),
        record.refused_rule.as_deref().unwrap_or_default(),
    );
    assert_eq!(found, expected);
}

/// The provider seat refuses what its provider cannot serve; what the provider refuses, the gateway has not refused.
#[crate::test]
fn what_a_provider_cannot_serve_is_refused_by_the_gateway() {
    let policy = policy_of(json!({}));
    let body = json!({"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    for (is_refused, expected) in [(true, ("request", "logit_bias")), (false, ("", ""))] {
        let store = LocalStore::default();
        let (exchange, _) = admit(&policy, body.to_string().as_bytes(), &store);
        let error = ApiError::bad_request("logit_bias", "logit_bias: expected no such field");
        serve(&exchange, reported(0, 0), 0, Phase::Failed(error));
        exchange
            .handoff()
            .unwrap()
            .borrow_mut()
            .attempt
            .as_mut()
            .unwrap()
            .is_refused = is_refused;
        assert_refused_by(exchange, &store, expected);
    }
}

#[crate::test]
fn a_request_for_which_there_is_no_room_to_wait_is_told_the_issuer() {
    const ISSUER: &str = "https://issuer.example";
    let policy = policy_of(json!({"identity": {
        "jwt": [{"issuer": ISSUER, "audiences": ["tollgate"]}],
        "api_keys": [{"sha256": "0".repeat(64), "consumer": "a"}],
    }}));
    let encode = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = encode(json!({"alg": "ES256", "kid": "k"}));
    let claims = encode(json!({"iss": ISSUER, "aud": "tollgate", "sub": "a", "exp": 1_900_000_000}));
    let jwt = format!("Bearer {header}.{claims}.{}", URL_SAFE_NO_PAD.encode([1; 64]));
    let mut exchange = Exchange::new(policy);
    let headers = post(&[("authorization", &jwt)]);
    assert_eq!(exchange.on_request_headers(&headers, true, NOW), Step::AwaitKeys);
    let (reply, error) = reply(exchange.on_no_room_to_wait());
    assert_eq!(reply.status, 503);
    assert_eq!(error["error"]["code"], "issuer_unavailable");
    assert!(
        error["error"]["message"].as_str().unwrap().contains(ISSUER),
        "{error}"
    );
    assert_refused_by(
        exchange,
        &LocalStore::default(),
        ("authentication", "keys_unavailable"),
    );
}
