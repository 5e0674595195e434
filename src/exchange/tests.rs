// SPDX-License-Identifier: Apache-2.0

//! Exchanges from the client's headers to the settled account, as the filter drives them.

#[cfg(not(target_family = "wasm"))]
mod listing;
mod refusals;

use super::{Answer, Exchange, HeaderEdit, Policy, ROUTE_HEADER, Step};
use crate::api_error::{API_ERROR, ApiError};
use crate::clock::Timestamp;
use crate::config::Gateway;
use crate::handoff::{AttemptRecord, CredentialOwner, Phase};
use crate::headers::Headers;
use crate::local_reply::LocalReply;
use crate::provider::{Operation, Tally};
use crate::shared_store::LocalStore;
use crate::telemetry::{Record, UsageSource};
use crate::usage::TokenUsage;
use serde_json::{Value, json};
use std::rc::Rc;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const KEY: (&str, &str) = ("authorization", "Bearer key-a");

fn policy(limit: u64) -> Rc<Policy> {
    policy_of(json!({"limits": [
        {"name": "per-team", "per": ["team"], "count": "total_tokens", "max": limit, "window": "60s"},
        {"name": "calls", "per": ["consumer"], "count": "requests", "max": 100, "window": "60s"},
    ]}))
}

/// The policy of a configuration with these sections in place of the usual ones.
fn policy_of(sections: Value) -> Rc<Policy> {
    Rc::new(try_policy_of(sections).unwrap())
}

/// The same of a configuration that may be at fault: its faults, told.
fn try_policy_of(sections: Value) -> Result<Policy, String> {
    let mut gateway = json!({
        "listener": {"max_request_body_bytes": 4096},
        "providers": {"p": {"kind": "openai", "endpoint": "https://llm.example/v1"}},
        "models": [
            {"name": "fast", "targets": [{"provider": "p", "model": "m-1"}]},
            {"name": "secret", "targets": [{"provider": "p"}]},
        ],
        "identity": {"api_keys": [
            // printf %s key-a | sha256sum
            {"sha256": "8e2d9e1b2c4ffdd5c0fa6a3ca7d3ae6ac0ec1a24b2d3e9c1a1f1e6c5d9d8d0aa", "consumer": "a", "team": "t"},
        ]},
        "access": [{"team": "t", "models": ["fast"]}],
    });
    for (key, section) in sections.as_object().unwrap() {
        gateway[key] = section.clone();
    }
    let gateway: Gateway = serde_json::from_value(gateway).unwrap();
    Policy::new(&with_digest(gateway)).map_err(|faults| format!("{faults:?}"))
}

/// The digest of `key-a`, computed where the test reads it.
fn with_digest(mut gateway: Gateway) -> Gateway {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(b"key-a");
    gateway.identity.api_keys[0].sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    gateway
}

fn chat(model: &str, max_tokens: u64) -> Vec<u8> {
    let body = json!({"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": "Hi there"}]});
    serde_json::to_vec(&body).unwrap()
}

fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Headers {
    let pairs = [(":method", method), (":path", path), (":authority", "gw")];
    pairs.into_iter().chain(more.iter().copied()).collect()
}

fn post(more: &[(&str, &str)]) -> Headers {
    request("POST", "/v1/chat/completions", more)
}

/// Drives a request up to the answer to its body.
fn admit(policy: &Rc<Policy>, body: &[u8], store: &LocalStore) -> (Exchange, Step) {
    let mut exchange = Exchange::new(Rc::clone(policy));
    assert_eq!(
        exchange.on_request_headers(&post(&[KEY]), true, NOW),
        Step::Buffer
    );
    let step = exchange.on_request_body(body.to_vec(), NOW, store);
    (exchange, step)
}

/// Plays the provider seat.
fn serve(exchange: &Exchange, usage: TokenUsage, output_bytes: u64, phase: Phase) {
    let handoff = exchange.handoff().unwrap();
    let mut handoff = handoff.borrow_mut();
    handoff.attempts += 1;
    handoff.begin(AttemptRecord {
        provider: "p".into(),
        upstream_model: "m-1".to_owned(),
        provider_model: 0,
        dropped: vec!["seed".into()],
        approximated: vec!["stop".into()],
        tally: Tally { usage, output_bytes },
        credential_owner: Default::default(),
        output_events: 0,
        unread_bytes: None,
        is_refused: false,
        has_only_trailers: false,
        phase,
    });
}

fn reported(input: u64, output: u64) -> TokenUsage {
    TokenUsage {
        input_tokens: Some(input),
        output_tokens: Some(output),
        ..TokenUsage::default()
    }
}

fn reply(step: Step) -> (LocalReply, Value) {
    let Step::Reply(reply) = step else {
        panic!("expected a reply, found {step:?}")
    };
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let text = body["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(!text.contains("key-a"), "an error must not tell the credential");
    (reply, body)
}

fn edit<'a>(edits: &'a [HeaderEdit], name: &str) -> Option<&'a str> {
    edits.iter().find_map(|edit| match edit {
        HeaderEdit::Set(known, value) if *known == name => Some(value.as_str()),
        HeaderEdit::Set(..) | HeaderEdit::Remove(_) => None,
    })
}

/// How many total tokens are left, as the next request is told.
fn remaining(policy: &Rc<Policy>, store: &LocalStore) -> u64 {
    let (mut exchange, step) = admit(policy, &chat("fast", 1), store);
    assert!(matches!(step, Step::Forward(_)), "{step:?}");
    serve(&exchange, reported(0, 0), 0, Phase::Complete);
    assert_eq!(
        exchange.on_response_headers(|| answer("200"), false),
        Answer::Pass(Vec::new())
    );
    let headers = exchange.handoff().unwrap().borrow().answer_headers();
    let (_, remaining) = headers
        .iter()
        .find(|(name, _)| *name == "x-ratelimit-remaining-tokens")
        .unwrap();
    let remaining = remaining.parse().unwrap();
    exchange.finish(NOW, store);
    remaining
}

fn answer(status: &str) -> Headers {
    [(":status", status), ("x-tollgate-provider", "p")]
        .into_iter()
        .collect()
}

#[crate::test]
fn health_needs_no_credential_and_models_lists_what_is_allowed() {
    let policy = policy(1000);
    let mut exchange = Exchange::new(Rc::clone(&policy));
    let (health, _) = reply(exchange.on_request_headers(&request("GET", "/healthz", &[]), false, NOW));
    assert_eq!(health.status, 200);
    let mut exchange = Exchange::new(Rc::clone(&policy));
    let (_, models) = reply(exchange.on_request_headers(&request("GET", "/v1/models", &[KEY]), false, NOW));
    assert_eq!(models["data"].as_array().unwrap().len(), 1);
    assert_eq!(models["data"][0]["id"], "fast");
    let mut exchange = Exchange::new(policy);
    let (refused, _) = reply(exchange.on_request_headers(&request("GET", "/v1/models", &[]), false, NOW));
    assert_eq!(refused.status, 401);
}

#[crate::test]
fn a_bad_request_is_refused_in_openai_s_shape_and_holds_nothing() {
    let policy = policy(1000);
    let store = LocalStore::default();
    let before = remaining(&policy, &store);
    let cases: [(&[u8], u16, Value, Value); 7] = [
        (b"{", 400, Value::Null, Value::Null),
        (b"[]", 400, Value::Null, Value::Null),
        (
            br#"{"messages":[{"role":"user","content":"x"}]}"#,
            400,
            json!("model"),
            Value::Null,
        ),
        (br#"{"model":"fast"}"#, 400, json!("messages"), Value::Null),
        (
            br#"{"model":"none","messages":[{"role":"user","content":"x"}]}"#,
            404,
            json!("model"),
            json!("model_not_found"),
        ),
        (
            br#"{"model":"secret","messages":[{"role":"user","content":"x"}]}"#,
            403,
            json!("model"),
            json!("model_not_allowed"),
        ),
        (b"\xff", 400, Value::Null, Value::Null),
    ];
    for (body, status, param, code) in cases {
        let (exchange, step) = admit(&policy, body, &store);
        let (reply, error) = reply(step);
        assert_eq!(reply.status, status, "{}", String::from_utf8_lossy(body));
        assert_eq!(error["error"]["param"], param);
        if code != Value::Null {
            assert_eq!(error["error"]["code"], code);
        }
        assert_eq!(error["error"]["type"], "invalid_request_error");
        assert!(exchange.finish(NOW, &store).usage_source.is_none());
    }
    assert_eq!(remaining(&policy, &store), before);
}

/// A policy with these rules for `key-a`, of team `t`.
fn policy_with_access(access: Value, options: Value) -> Rc<Policy> {
    let gateway: Gateway = serde_json::from_value(json!({
        "providers": {"p": {"kind": "openai", "endpoint": "https://llm.example/v1"}},
        "models": [
            {"name": "fast", "targets": [{"provider": "p"}]},
            {"name": "secret", "targets": [{"provider": "p"}]},
        ],
        "identity": {"api_keys": [{"sha256": "00", "consumer": "a", "team": "t"}]},
        "access": access,
        "access_options": options,
    }))
    .unwrap();
    Rc::new(Policy::new(&with_digest(gateway)).ok().unwrap())
}

#[crate::test]
fn what_a_request_asks_for_is_held_against_the_rules() {
    let policy = policy_with_access(
        json!([{"team": "t", "models": ["fast"], "capabilities": ["streaming"], "max_output_tokens": 100}]),
        json!({}),
    );
    let store = LocalStore::default();
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let image =
        json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]);
    for (changes, status, param) in [
        (json!({}), 200, Value::Null),
        (json!({"stream": true}), 200, Value::Null),
        (json!({"tools": []}), 200, Value::Null),
        (json!({"tools": null}), 200, Value::Null),
        (json!({"tools": tool}), 403, json!("tools")),
        (json!({"messages": image}), 403, json!("messages")),
        (json!({"max_tokens": 101}), 403, json!("max_completion_tokens")),
        (json!({"max_tokens": null}), 403, json!("max_completion_tokens")),
        (json!({"model": "secret"}), 403, json!("model")),
    ] {
        let mut body: Value = serde_json::from_slice(&chat("fast", 100)).unwrap();
        body.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let (exchange, step) = admit(&policy, &serde_json::to_vec(&body).unwrap(), &store);
        if status == 200 {
            assert!(matches!(step, Step::Forward(_)), "{changes}: {step:?}");
        } else {
            let (reply, error) = reply(step);
            assert_eq!(
                (reply.status, &error["error"]["param"]),
                (status, &param),
                "{error}"
            );
            let record = exchange.finish(NOW, &store);
            assert_eq!(record.refused_by, Some("access"));
            assert_eq!(record.refused_rule.as_deref(), Some("default"));
        }
    }
}

/// The credential, the prompt and the answer leave no trace in what workers share or what logs tell.
#[crate::test]
fn no_secret_is_kept_and_every_refusal_names_its_rule() {
    const CANARY: &str = "canary-3f9a";
    let policy = policy_with_access(
        json!([{"team": "t", "name": "the-team"}, {"effect": "deny", "name": "no-secret", "models": ["secret"]}]),
        json!({}),
    );
    let store = LocalStore::default();
    let body = |model: &str| {
        let body =
            json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": CANARY}]});
        serde_json::to_vec(&body).unwrap()
    };
    let mut traces = Vec::new();
    let (exchange, _) = admit(&policy, &body("fast"), &store);
    serve(&exchange, reported(3, 4), 40, Phase::Complete);
    traces.push(format!("{:?}", exchange.finish(NOW, &store)));
    let (exchange, step) = admit(&policy, &body("secret"), &store);
    traces.push(format!("{step:?}"));
    let record = exchange.finish(NOW, &store);
    assert_eq!(record.refused_rule.as_deref(), Some("no-secret"));
    traces.push(format!("{record:?}"));
    let mut exchange = Exchange::new(Rc::clone(&policy));
    let step = exchange.on_request_headers(&post(&[("x-api-key", CANARY)]), true, NOW);
    traces.push(format!("{step:?}"));
    let record = exchange.finish(NOW, &store);
    assert_eq!(record.refused_rule.as_deref(), Some("unknown_key"));
    traces.push(format!("{record:?}"));
    traces.push(format!("{store:?}"));
    for trace in traces {
        assert!(!trace.contains(CANARY) && !trace.contains("key-a"), "{trace}");
    }
}

#[crate::test]
fn a_credential_that_the_caller_brings_is_for_its_provider_and_goes_no_further() {
    let gateway: Gateway = serde_json::from_value(json!({
        "providers": {
            "p": {"kind": "openai", "endpoint": "https://llm.example/v1", "caller_credential_header": "x-p-key"},
            "q": {"kind": "openai", "endpoint": "https://llm.example/v1", "team_credentials": {"t": {"env": "T"}}},
        },
        "models": [{"name": "fast", "targets": [{"provider": "p"}]}],
        "identity": {"api_keys": [{"sha256": "00", "consumer": "a", "team": "t"}]},
    }))
    .unwrap();
    let policy = Rc::new(Policy::new(&with_digest(gateway)).ok().unwrap());
    let store = LocalStore::default();
    let mut exchange = Exchange::new(Rc::clone(&policy));
    exchange.on_request_headers(&post(&[KEY, ("x-p-key", "sk-mine")]), true, NOW);
    let Step::Forward(edits) = exchange.on_request_body(chat("fast", 5), NOW, &store) else {
        panic!("not forwarded")
    };
    assert!(edits.contains(&HeaderEdit::Remove("x-p-key".to_owned())));
    {
        let handoff = exchange.handoff().unwrap();
        let handoff = handoff.borrow();
        assert_eq!(handoff.brought_credential("p"), Some("sk-mine"));
        assert_eq!(handoff.brought_credential("q"), None);
        assert_eq!(handoff.team.as_deref(), Some("t"));
    }
    exchange.finish(NOW, &store);
    let mut exchange = Exchange::new(policy);
    let step = exchange.on_request_headers(&post(&[KEY, ("x-p-key", "sk mine")]), true, NOW);
    let (reply, error) = reply(step);
    assert_eq!(reply.status, 400);
    assert_eq!(error["error"]["code"], "invalid_provider_credential");
    assert!(!error.to_string().contains("sk mine"));
}

#[crate::test]
fn a_hidden_model_is_refused_as_one_that_is_not_there() {
    let policy = policy_with_access(
        json!([{"team": "t", "models": ["fast"]}]),
        json!({"hidden_models": "not_found"}),
    );
    let store = LocalStore::default();
    let refusal = |model: &str| {
        let (_, step) = admit(&policy, &chat(model, 5), &store);
        let (reply, error) = reply(step);
        (reply.status, error.to_string().replace(model, "MODEL"))
    };
    let hidden = refusal("secret");
    assert_eq!(hidden.0, 404);
    assert_eq!(hidden, refusal("absent"), "not to be told apart");
}

#[crate::test]
fn what_headers_say_is_refused_before_the_body_is_read() {
    let cases = [
        (request("POST", "/v2/nothing", &[KEY]), 404),
        (request("GET", "/v1/chat/completions", &[KEY]), 405),
        (post(&[]), 401),
        (post(&[("authorization", "Bearer wrong")]), 401),
        (post(&[KEY, ("content-length", "4097")]), 413),
        (post(&[KEY, ("content-encoding", "gzip")]), 415),
    ];
    for (headers, status) in cases {
        let mut exchange = Exchange::new(policy(1000));
        let (reply, error) = reply(exchange.on_request_headers(&headers, true, NOW));
        assert_eq!(reply.status, status, "{error}");
    }
    let mut exchange = Exchange::new(policy(1000));
    assert!(exchange.is_too_large(4097) && !exchange.is_too_large(4096));
    let (reply, error) = reply(exchange.on_body_too_large());
    assert_eq!(reply.status, 413);
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("max_request_body_bytes")
    );
}

#[crate::test]
fn neither_credential_nor_forged_header_goes_on() {
    let store = LocalStore::default();
    let mut exchange = Exchange::new(policy(1000));
    let headers = post(&[
        KEY,
        ("x-tollgate-cluster", "evil"),
        ("x-tollgate-route", "secret"),
    ]);
    exchange.on_request_headers(&headers, true, NOW);
    let Step::Forward(edits) = exchange.on_request_body(chat("fast", 5), NOW, &store) else {
        panic!("not forwarded")
    };
    for name in ["authorization", "x-tollgate-route", "x-tollgate-cluster"] {
        assert!(edits.contains(&HeaderEdit::Remove(name.to_owned())), "{name}");
    }
    let last = edits.last().unwrap();
    assert_eq!(
        last,
        &HeaderEdit::Set(ROUTE_HEADER, "fast".to_owned()),
        "set after the forged one was removed"
    );
}

#[crate::test]
fn a_reservation_is_replaced_by_what_was_reported() {
    let (policy, store) = (policy(1000), LocalStore::default());
    let (exchange, _) = admit(&policy, &chat("fast", 500), &store);
    let (_, refused) = admit(&policy, &chat("fast", 600), &store);
    let (reply, error) = reply(refused);
    assert_eq!(reply.status, 429);
    assert_eq!(error["error"]["code"], "rate_limit_exceeded");
    assert!(error["error"]["message"].as_str().unwrap().contains("per-team"));
    for name in [
        "retry-after",
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
    ] {
        assert!(reply.headers.iter().any(|(known, _)| *known == name), "{name}");
    }
    serve(&exchange, reported(12, 30), 100, Phase::Complete);
    let record = exchange.finish(NOW, &store);
    assert_eq!((record.input_tokens, record.output_tokens), (12, 30));
    assert_eq!(record.usage_source, Some(UsageSource::Reported));
    let (_, again) = admit(&policy, &chat("fast", 600), &store);
    assert!(matches!(again, Step::Forward(_)));
}

#[crate::test]
fn a_request_that_can_never_fit_is_a_bad_request() {
    let (policy, store) = (policy(1000), LocalStore::default());
    let (_, step) = admit(&policy, &chat("fast", 5000), &store);
    let (reply, error) = reply(step);
    assert_eq!(reply.status, 400);
    assert_eq!(error["error"]["code"], "request_exceeds_limit");
}

/// However an exchange ends, what remains of the limit is the limit less what was charged.
#[crate::test]
fn every_ending_settles() {
    let failed = || Phase::Failed(ApiError::new(503, "api_error", "x"));
    let endings = [
        (None, Some(0)),
        (Some((reported(10, 20), 60, Phase::Complete)), Some(30)),
        (Some((reported(10, 0), 0, Phase::Complete)), Some(10)),
        (Some((TokenUsage::default(), 0, failed())), Some(0)),
        (Some((TokenUsage::default(), 40, Phase::Answering)), None),
        (Some((TokenUsage::default(), 40, failed())), None),
        // The client left before a word came back.
        (Some((TokenUsage::default(), 0, Phase::Waiting)), None),
    ];
    for (ending, charged) in endings {
        let (policy, store) = (policy(1000), LocalStore::default());
        let whole = remaining(&policy, &store);
        let (exchange, _) = admit(&policy, &chat("fast", 500), &store);
        let label = format!("{ending:?}");
        if let Some((usage, bytes, phase)) = ending {
            serve(&exchange, usage, bytes, phase);
        }
        let record = exchange.finish(NOW, &store);
        let cost = record.input_tokens + record.output_tokens;
        assert_eq!(whole - remaining(&policy, &store), cost, "{label}");
        match charged {
            Some(charged) => assert_eq!(cost, charged, "{label}"),
            None => assert!(
                cost > 0 && record.usage_source != Some(UsageSource::Reported),
                "{label}"
            ),
        }
    }
}

#[crate::test]
fn a_refusal_of_envoy_s_keeps_its_status() {
    for (status, expected, code) in [
        ("403", 403, "request_refused"),
        ("429", 429, "request_refused"),
        ("413", 413, "request_too_large"),
        ("503", 503, "upstream_unavailable"),
        ("500", 503, "upstream_unavailable"),
        ("504", 504, "upstream_timeout"),
    ] {
        let (policy, store) = (policy(10_000), LocalStore::default());
        let body = br#"{"model":"fast","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#;
        let (mut exchange, _) = admit(&policy, body, &store);
        let headers: Headers = [(":status", status)].into_iter().collect();
        let Answer::Replace(edits, body) = exchange.on_response_headers(|| headers, false) else {
            panic!("{status}");
        };
        assert!(
            edits.contains(&HeaderEdit::Set(":status", expected.to_string())),
            "{edits:?}"
        );
        let error: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(error["error"]["code"], code);
    }
}

#[crate::test]
fn a_credential_that_the_host_does_not_have_is_no_fault_of_the_caller_s() {
    let (policy, store) = (policy(10_000), LocalStore::default());
    let (mut exchange, _) = admit(&policy, &chat("fast", 9), &store);
    serve(&exchange, TokenUsage::default(), 0, Phase::Waiting);
    let headers: Headers = [(":status", "401")].into_iter().collect();
    let Answer::Replace(edits, body) = exchange.on_response_headers(|| headers, false) else {
        panic!("the host's words went through");
    };
    assert!(
        edits.contains(&HeaderEdit::Set(":status", "503".to_owned())),
        "{edits:?}"
    );
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(error["error"]["code"], "upstream_credential_unavailable");
    assert_eq!(exchange.finish(NOW, &store).output_tokens, 0, "nothing was asked");
}

#[crate::test]
fn a_provider_that_breaks_off_after_signs_of_life_has_produced_nothing() {
    for (phase, was_broken_off, expected) in [
        (Phase::Alive, true, 0),
        (Phase::Alive, false, 500),
        (Phase::Begun, true, 500),
    ] {
        let (policy, store) = (policy(10_000), LocalStore::default());
        let (mut exchange, _) = admit(&policy, &chat("fast", 500), &store);
        let label = format!("{phase:?} {was_broken_off}");
        serve(&exchange, TokenUsage::default(), 0, phase);
        exchange.on_end(|| was_broken_off);
        let record = exchange.finish(NOW, &store);
        assert_eq!(record.output_tokens, expected, "{label}");
        assert!(record.input_tokens > 0, "{label}");
    }
}

/// What several attempts in turn have cost: input, output, and where that is known from.
fn cost_of(
    attempts: Vec<(TokenUsage, u64, Phase)>,
    envoy_status: Option<&str>,
    is_streaming: bool,
) -> (u64, u64, Option<UsageSource>) {
    let (policy, store) = (policy(10_000), LocalStore::default());
    let whole = remaining(&policy, &store);
    let body = json!({"model": "fast", "max_tokens": 500, "stream": is_streaming,
        "messages": [{"role": "user", "content": "Hi there"}]});
    let (mut exchange, _) = admit(&policy, &serde_json::to_vec(&body).unwrap(), &store);
    for (usage, bytes, phase) in attempts {
        serve(&exchange, usage, bytes, phase);
    }
    if let Some(status) = envoy_status {
        let headers: Headers = [(":status", status)].into_iter().collect();
        let _ = exchange.on_response_headers(|| headers, false);
    }
    let record = exchange.finish(NOW, &store);
    let cost = record.input_tokens + record.output_tokens;
    assert_eq!(
        whole - remaining(&policy, &store),
        cost,
        "what is told is what was charged"
    );
    (record.input_tokens, record.output_tokens, record.usage_source)
}

#[crate::test]
fn every_attempt_is_charged_for_what_it_produced() {
    let failed = || Phase::Failed(ApiError::new(503, "api_error", "x"));
    let nothing = TokenUsage::default;
    let read_only = TokenUsage {
        input_tokens: Some(30),
        ..nothing()
    };
    let (estimate, _, _) = cost_of(vec![(nothing(), 0, Phase::Waiting)], None, true);
    for (attempts, expected) in [
        // The second served; of the first nothing is known, or its prompt, or its output as well.
        (
            vec![(nothing(), 0, failed())],
            (10, 20, Some(UsageSource::Reported)),
        ),
        (
            vec![(read_only, 0, failed())],
            (40, 20, Some(UsageSource::Partial)),
        ),
        (
            vec![(reported(30, 1), 40, failed())],
            (40, 30, Some(UsageSource::Partial)),
        ),
        (
            vec![(nothing(), 40, failed()), (nothing(), 8, failed())],
            (10 + 2 * estimate, 32, Some(UsageSource::Partial)),
        ),
        // A whole answer that was cut has been written all the same.
        (
            vec![(nothing(), 0, Phase::Begun)],
            (10 + estimate, 520, Some(UsageSource::Estimated)),
        ),
        (
            vec![(nothing(), 0, Phase::Waiting)],
            (10, 20, Some(UsageSource::Reported)),
        ),
    ] {
        let label = format!("{attempts:?}");
        let served = (reported(10, 20), 80, Phase::Complete);
        let all: Vec<_> = attempts.into_iter().chain([served]).collect();
        assert_eq!(cost_of(all, None, false), expected, "{label}");
    }
}

#[crate::test]
fn an_answer_that_never_came_whole_is_charged_as_far_as_it_may_have_been_written() {
    let nothing = TokenUsage::default;
    let (estimate, _, _) = cost_of(vec![(nothing(), 0, Phase::Waiting)], None, true);
    let failed = || Phase::Failed(ApiError::new(503, "api_error", "x"));
    let estimated = Some(UsageSource::Estimated);
    for (phase, status, is_streaming, expected) in [
        (Phase::Waiting, Some("503"), false, (0, 0, estimated)),
        (Phase::Waiting, Some("504"), false, (estimate, 500, estimated)),
        (Phase::Begun, Some("503"), false, (estimate, 500, estimated)),
        (
            Phase::Begun,
            Some("503"),
            true,
            (estimate, 0, Some(UsageSource::Partial)),
        ),
        (
            Phase::Waiting,
            Some("504"),
            true,
            (estimate, 0, Some(UsageSource::Partial)),
        ),
        // The client leaves before content, whether or not it was shown that the provider lives.
        (Phase::Begun, None, true, (estimate, 500, estimated)),
        (Phase::Alive, None, true, (estimate, 500, estimated)),
        // A failure that tells nothing is not taken for a report of zero.
        (failed(), None, false, (0, 0, estimated)),
    ] {
        let label = format!("{phase:?} {status:?} {is_streaming}");
        assert_eq!(
            cost_of(vec![(nothing(), 0, phase)], status, is_streaming),
            expected,
            "{label}"
        );
    }
}

/// A provider has written what nobody can read, and charges for it.
#[crate::test]
fn an_answer_that_cannot_be_read_is_charged_by_its_size_up_to_what_was_reserved() {
    let failed = || Phase::Failed(ApiError::new(502, "api_error", "x"));
    let (estimate, _, _) = cost_of(vec![(TokenUsage::default(), 0, Phase::Waiting)], None, true);
    let read_only = TokenUsage {
        input_tokens: Some(30),
        ..TokenUsage::default()
    };
    for (unread, usage, expected) in [
        (0, TokenUsage::default(), (estimate, 0)),
        (400, TokenUsage::default(), (estimate, 100)),
        (9_000_000, TokenUsage::default(), (estimate, 500)),
        (0, read_only, (30, 0)),
    ] {
        for is_retried in [false, true] {
            let (policy, store) = (policy(10_000), LocalStore::default());
            let whole = remaining(&policy, &store);
            let (exchange, _) = admit(&policy, &chat("fast", 500), &store);
            serve(&exchange, usage, 0, failed());
            let handoff = exchange.handoff().unwrap();
            handoff.borrow_mut().attempt.as_mut().unwrap().unread_bytes = Some(unread);
            let mut expected = expected;
            if is_retried {
                serve(&exchange, reported(10, 20), 80, Phase::Complete);
                expected = (expected.0 + 10, expected.1 + 20);
            }
            let record = exchange.finish(NOW, &store);
            assert_eq!(
                (record.input_tokens, record.output_tokens),
                expected,
                "{unread} {is_retried}"
            );
            assert_eq!(record.usage_source, Some(UsageSource::Estimated));
            assert_eq!(whole - remaining(&policy, &store), expected.0 + expected.1);
        }
    }
}

#[crate::test]
fn reasoning_that_was_not_seen_is_charged_where_an_answer_breaks_off() {
    let (policy, store) = (policy(1_000_000), LocalStore::default());
    for _ in 0..40 {
        let (exchange, _) = admit(&policy, &chat("fast", 900), &store);
        let usage = TokenUsage {
            reasoning_output_tokens: Some(300),
            ..reported(10, 400)
        };
        serve(&exchange, usage, 400, Phase::Complete);
        exchange.finish(NOW, &store);
    }
    for (reserved, bytes, expected) in [(900, 40, 280..=312), (200, 40, 200..=200), (900, 0, 0..=0)] {
        let (exchange, _) = admit(&policy, &chat("fast", reserved), &store);
        serve(&exchange, TokenUsage::default(), bytes, Phase::Answering);
        let charged = exchange.finish(NOW, &store).output_tokens;
        assert!(expected.contains(&charged), "{charged} of {reserved}");
    }
}

#[crate::test]
fn an_answer_that_comes_whole_has_no_more_than_is_reserved_for_it() {
    let body = |n: u64| {
        let body = json!({"model": "fast", "n": n, "messages": [{"role": "user", "content": "Hi"}]});
        serde_json::to_vec(&body).unwrap()
    };
    for (max, n, cap, told) in [
        (100_000, 1, 4_096, None),
        (100_000, 3, 4_096, None),
        (1_016, 1, 1_000, Some("max_output_tokens=1000")),
    ] {
        let (policy, store) = (policy(max), LocalStore::default());
        let (exchange, _) = admit(&policy, &body(n), &store);
        let handoff = exchange.handoff().unwrap();
        let found = handoff.borrow().max_output_tokens.unwrap();
        let reserved = handoff.borrow().lease.clone().unwrap().output_tokens();
        assert!(
            found.abs_diff(cap) < 20 && found * n <= reserved,
            "{found} of {cap}"
        );
        let headers = handoff.borrow().answer_headers();
        let clamped = headers.iter().find(|(name, _)| *name == "x-tollgate-clamped");
        assert_eq!(clamped.is_some(), told.is_some(), "{clamped:?}");
    }
    // Where no limit counts output, the provider may write as much as it likes.
    let policy = policy_of(json!({"limits": []}));
    let (exchange, _) = admit(&policy, &body(1), &LocalStore::default());
    assert_eq!(exchange.handoff().unwrap().borrow().max_output_tokens, None);
}

#[crate::test]
fn the_last_failure_keeps_its_own_status() {
    let (policy, store) = (policy(1000), LocalStore::default());
    let (mut exchange, _) = admit(&policy, &chat("fast", 5), &store);
    let error = ApiError::new(429, "rate_limit_error", "The provider is busy.");
    serve(&exchange, TokenUsage::default(), 0, Phase::Failed(error));
    let Answer::Pass(edits) = exchange.on_response_headers(|| answer("529"), false) else {
        panic!("expected a pass")
    };
    assert_eq!(edit(&edits, ":status"), Some("429"));
    // A failure after content is told by the stream: its status stands.
    let Answer::Pass(edits) = exchange.on_response_headers(|| answer("200"), false) else {
        panic!("expected a pass")
    };
    assert_eq!(edit(&edits, ":status"), None);
    // Without a body of its own the answer is replaced whole.
    let Answer::Reply(reply) = exchange.on_response_headers(|| answer("529"), true) else {
        panic!("expected a reply")
    };
    assert_eq!(reply.status, 429);
    assert!(String::from_utf8(reply.body).unwrap().contains("busy"));
    for (name, value) in [
        ("x-tollgate-attempts", "1"),
        ("x-tollgate-dropped", "seed"),
        ("x-tollgate-approximated", "stop"),
        ("x-tollgate-provider", "p"),
    ] {
        assert!(reply.headers.contains(&(name, value.to_owned())), "{name}");
    }
    exchange.finish(NOW, &store);
}

#[crate::test]
fn what_envoy_makes_up_is_said_in_openai_s_shape() {
    let (policy, store) = (policy(1000), LocalStore::default());
    for (status, expected) in [("503", 503), ("504", 504), ("404", 500), ("413", 413)] {
        let (mut exchange, _) = admit(&policy, &chat("fast", 5), &store);
        let headers: Headers = [(":status", status), ("content-type", "text/plain")]
            .into_iter()
            .collect();
        let Answer::Replace(edits, body) = exchange.on_response_headers(|| headers, false) else {
            panic!("not replaced")
        };
        assert_eq!(edit(&edits, ":status"), Some(expected.to_string().as_str()));
        assert_eq!(edit(&edits, "content-type"), Some("application/json"));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body["error"]["code"].is_string());
        assert_eq!(
            exchange.finish(NOW, &store),
            Record {
                consumer: "a".into(),
                team: Some("t".into()),
                model: "fast".into(),
                ..Record::default()
            }
        );
    }
}

#[crate::test]
fn an_answer_is_lowered_to_what_is_left_and_the_client_told() {
    let policy = policy_of(json!({"limits": [
        {"name": "soft", "count": "output_tokens", "max": 1_000, "window": "60s", "on_short": "clamp"},
    ]}));
    let store = LocalStore::default();
    for (asked, cap) in [(400, None), (900, Some(600)), (300, None)] {
        let (exchange, step) = admit(&policy, &chat("fast", asked), &store);
        assert!(matches!(step, Step::Forward(_)), "{step:?}");
        let handoff = exchange.handoff().unwrap();
        assert_eq!(handoff.borrow().max_output_tokens, cap, "{asked}");
        let told = handoff.borrow().answer_headers();
        let told = told.iter().find(|(name, _)| *name == "x-tollgate-clamped");
        let cap = cap.map(|cap| format!("max_output_tokens={cap}"));
        assert_eq!(told.map(|(_, value)| value), cap.as_ref());
        if asked == 900 {
            serve(&exchange, reported(0, 0), 0, Phase::Complete);
            exchange.finish(NOW, &store);
        }
    }
}

#[crate::test]
fn a_request_without_a_bound_gets_the_route_s() {
    let policy = policy_of(json!({"models": [
        {"name": "fast", "default_max_output_tokens": 700, "targets": [{"provider": "p"}]},
    ]}));
    for (body, cap) in [
        (chat("fast", 9_000), None),
        (
            br#"{"model":"fast","messages":[{"role":"user","content":"Hi"}]}"#.to_vec(),
            Some(700),
        ),
    ] {
        let (exchange, _) = admit(&policy, &body, &LocalStore::default());
        let handoff = exchange.handoff().unwrap();
        assert_eq!(handoff.borrow().max_output_tokens, cap);
        let told = handoff.borrow().answer_headers();
        assert!(told.iter().all(|(name, _)| *name != "x-tollgate-clamped"));
    }
}

#[crate::test]
fn an_answer_without_a_bound_may_have_more_until_nothing_is_left() {
    let policy = policy_of(json!({
        "models": [{"name": "fast", "expected_output_tokens": 100, "targets": [{"provider": "p"}]}],
        "limits": [
            {"name": "own", "per": ["consumer"], "count": "output_tokens", "max": 280, "window": "60s"},
            {"name": "all", "count": "total_tokens", "max": 300, "window": "60s"},
        ],
    }));
    let store = LocalStore::default();
    let body = br#"{"model":"fast","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let (exchange, _) = admit(&policy, body, &store);
    let handoff = exchange.handoff().unwrap();
    assert_eq!(
        handoff.borrow().max_output_tokens,
        None,
        "it is stopped where there is no more"
    );
    let ceiling = handoff.borrow().ceiling.unwrap();
    assert_eq!((ceiling.output_tokens, ceiling.output_guess), (100, Some(100)));
    let lease = handoff.borrow().lease.clone().unwrap();
    let granted: Vec<u64> = (0..4).map(|_| lease.extend(64, NOW, &store)).collect();
    let input = exchange.admitted.as_ref().unwrap().input_tokens;
    assert!(input < 20);
    assert_eq!(granted[..2], [64, 64]);
    assert!((40..=52).contains(&granted[2]) && granted[3] == 0, "{granted:?}");
    handoff.borrow_mut().raise_ceiling(granted.iter().sum());
    let raised = handoff.borrow().ceiling.unwrap();
    assert_eq!(raised.output_tokens, lease.output_tokens());
    assert_eq!(raised.bytes_per_thousand, ceiling.bytes_per_thousand);
    let (_, step) = admit(&policy, body, &store);
    assert_eq!(reply(step).0.status, 429);
    serve(&exchange, TokenUsage::default(), 300, Phase::Stopped);
    let record = exchange.finish(NOW, &store);
    assert_eq!(
        (record.output_tokens, record.usage_source),
        (75, Some(UsageSource::Partial))
    );
    assert_eq!(lease.extend(1, NOW, &store), 0, "a settled lease has no more");
    let (_, step) = admit(&policy, &chat("fast", 180), &store);
    assert!(
        matches!(step, Step::Forward(_)),
        "what was not used is free again: {step:?}"
    );
}

#[crate::test]
fn limits_that_count_no_output_stop_nothing() {
    let policy = policy_of(json!({"limits": [
        {"name": "calls", "count": "requests", "max": 100, "window": "60s"},
    ]}));
    let (exchange, _) = admit(&policy, &chat("fast", 9), &LocalStore::default());
    assert_eq!(exchange.handoff().unwrap().borrow().ceiling, None);
    let policy = policy_of(json!({"limits": [
        {"name": "seen", "count": "total_tokens", "max": 5, "window": "60s", "mode": "shadow"},
    ]}));
    let (exchange, _) = admit(&policy, &chat("fast", 9), &LocalStore::default());
    assert_eq!(exchange.handoff().unwrap().borrow().ceiling, None);
}

fn budget(max: &str, prices: Value) -> Value {
    json!({
        "limits": [{"name": "team", "per": ["team"], "count": "usd", "max": max, "calendar": {"every": "month"}}],
        "prices": prices,
    })
}

#[crate::test]
fn a_budget_is_charged_with_what_an_answer_cost() {
    // A dollar a million in, two out: 8 + 2 and 5 at once, and the request 0.001.
    let prices = json!([{"provider": "p", "model": "*", "input": 1, "cached_input": 0.5, "output": 2, "request": 0.001}]);
    let policy = policy_of(budget("0.002", prices));
    let store = LocalStore::default();
    let (exchange, step) = admit(&policy, &chat("fast", 400), &store);
    assert!(matches!(step, Step::Forward(_)), "{step:?}");
    let usage = TokenUsage {
        cache_read_input_tokens: Some(4),
        ..reported(10, 100)
    };
    serve(&exchange, usage, 9, Phase::Complete);
    let record = exchange.finish(NOW, &store);
    assert_eq!(record.cost.as_deref(), Some("0.001208"));
    let (_, step) = admit(&policy, &chat("fast", 400), &store);
    let (refusal, body) = reply(step);
    assert_eq!(
        (refusal.status, &body["error"]["code"]),
        (429, &json!("insufficient_quota"))
    );
    assert_eq!(body["error"]["type"], "insufficient_quota");
    let has = |name: &str| refusal.headers.iter().find(|(known, _)| *known == name);
    assert_eq!(
        has("x-should-retry").map(|(_, value)| value.as_str()),
        Some("false")
    );
    assert_eq!(has("retry-after"), None);
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("The budget \"team\" of 0.002 USD is used up."),
        "{message}"
    );
}

#[crate::test]
fn a_cost_is_marked_with_whose_credential_it_was_and_counts_all_the_same() {
    use CredentialOwner::{Caller, Gateway, Team};
    let prices = json!([{"provider": "p", "model": "*", "input": 1, "output": 2}]);
    for (owners, broke_off_after, expected, cost) in [
        (&[Caller][..], 0, "caller", "0.00021"),
        (&[Team], 0, "team", "0.00021"),
        // What has cost nothing has no payer.
        (&[Caller, Gateway], 0, "gateway", "0.00021"),
        (&[Caller, Gateway], 50, "several", "0.00032"),
        (&[Caller, Caller], 50, "caller", "0.00032"),
    ] {
        let policy = policy_of(budget("0.001", prices.clone()));
        let store = LocalStore::default();
        let (exchange, _) = admit(&policy, &chat("fast", 400), &store);
        for (at, owner) in owners.iter().enumerate() {
            let is_last = at + 1 == owners.len();
            if is_last {
                serve(&exchange, reported(10, 100), 9, Phase::Complete);
            } else {
                let error = ApiError::new(500, API_ERROR, "Overloaded.");
                let input = broke_off_after.min(1) * 10;
                serve(
                    &exchange,
                    reported(input, broke_off_after),
                    0,
                    Phase::Failed(error),
                );
            }
            let handoff = exchange.handoff().unwrap();
            handoff.borrow_mut().attempt.as_mut().unwrap().credential_owner = *owner;
        }
        let record = exchange.finish(NOW, &store);
        assert_eq!(record.credential, Some(expected), "{owners:?}");
        assert_eq!(record.cost.as_deref(), Some(cost), "{owners:?}");
        // 0.0008 do not fit any more.
        let (_, step) = admit(&policy, &chat("fast", 400), &store);
        assert_eq!(reply(step).0.status, 429, "{owners:?}");
    }
}

#[crate::test]
fn a_failed_attempt_costs_no_money() {
    let prices = json!([{"provider": "p", "model": "m-1", "input": 1, "output": 2, "request": 1},
        {"provider": "p", "model": "secret", "input": 1, "output": 2}]);
    let policy = policy_of(budget("1.5", prices));
    let store = LocalStore::default();
    for _ in 0..3 {
        let (exchange, step) = admit(&policy, &chat("fast", 4), &store);
        assert!(matches!(step, Step::Forward(_)), "{step:?}");
        serve(
            &exchange,
            TokenUsage::default(),
            0,
            Phase::Failed(ApiError::new(500, "api_error", "No.")),
        );
        assert_eq!(exchange.finish(NOW, &store).cost.as_deref(), Some("0"));
    }
}

#[crate::test]
fn a_budget_needs_a_price_for_every_model() {
    let mut gateway = budget(
        "1",
        json!([{"provider": "p", "model": "m-1", "input": 1, "output": 2}]),
    );
    gateway["models"] = json!([{"name": "fast", "targets": [{"provider": "p", "model": "m-1"}]},
        {"name": "secret", "targets": [{"provider": "p"}]}, {"name": "x-*", "targets": [{"provider": "p"}]}]);
    let faults = try_policy_of(gateway.clone()).err().unwrap();
    assert!(faults.contains("a price for `secret`"), "{faults}");
    gateway["models"].as_array_mut().unwrap().remove(1);
    gateway["access"] = json!([]);
    let (_, step) = admit(&policy_of(gateway), &chat("x-1", 4), &LocalStore::default());
    let (refusal, body) = reply(step);
    assert_eq!(
        (refusal.status, &body["error"]["code"]),
        (403, &json!("model_without_price"))
    );
}

#[crate::test]
fn the_cost_is_told_to_who_asks() {
    let prices = json!([{"provider": "p", "model": "*", "input": 1, "output": 2}]);
    let policy = policy_of(json!({"prices": prices, "limits": []}));
    for (ask, expected) in [(None, None), (Some("true"), Some("0.000021"))] {
        let mut exchange = Exchange::new(Rc::clone(&policy));
        let mut headers = vec![KEY];
        headers.extend(ask.map(|value| ("x-tollgate-usage-cost", value)));
        exchange.on_request_headers(&post(&headers), true, NOW);
        let step = exchange.on_request_body(chat("fast", 9), NOW, &LocalStore::default());
        assert!(matches!(step, Step::Forward(_)), "{step:?}");
        serve(&exchange, reported(1, 10), 9, Phase::Complete);
        let handoff = exchange.handoff().unwrap();
        let cost = handoff.borrow().cost(&reported(1, 10));
        assert_eq!(cost.as_deref(), expected);
    }
}

#[crate::test]
fn nothing_gets_around_what_a_request_is_judged_by() {
    let limited =
        json!({"limits": [{"name": "all", "count": "total_tokens", "max": 9_000, "window": "60s"}]});
    let open = json!({"limits": [], "access": []});
    let by_requests =
        json!({"limits": [{"name": "rpm", "count": "requests", "max": 9, "window": "60s"}], "access": []});
    let mut budgeted = budget(
        "1",
        json!([{"provider": "p", "model": "*", "input": 1, "output": 2}]),
    );
    budgeted["access"] = json!([]);
    let bounds = ["n_predict", "num_predict", "max_new_tokens", "best_of"];
    for (policy, refused) in [
        (open, vec![]),
        (by_requests, vec![]),
        (limited, [&bounds[..], &["models", "fallbacks"]].concat()),
        (
            budgeted,
            [&bounds[..], &["models", "fallbacks", "service_tier"]].concat(),
        ),
    ] {
        let policy = policy_of(policy);
        for (name, value) in [
            ("n_predict", json!(-1)),
            ("num_predict", json!(9_999)),
            ("max_new_tokens", json!(9_999)),
            ("best_of", json!(20)),
            ("models", json!(["dear"])),
            ("fallbacks", json!(["dear"])),
            ("service_tier", json!("priority")),
            ("service_tier", json!("fast")),
        ] {
            let mut body: Value = serde_json::from_slice(&chat("fast", 5)).unwrap();
            body[name] = value;
            let (_, step) = admit(
                &policy,
                &serde_json::to_vec(&body).unwrap(),
                &LocalStore::default(),
            );
            if !refused.contains(&name) {
                assert!(matches!(step, Step::Forward(_)), "{name}: {step:?}");
                continue;
            }
            let (refusal, error) = reply(step);
            assert_eq!((refusal.status, &error["error"]["param"]), (400, &json!(name)));
        }
        for (name, value) in [
            ("n_predict", json!(null)),
            ("models", json!([])),
            ("service_tier", json!("flex")),
        ] {
            let mut body: Value = serde_json::from_slice(&chat("fast", 5)).unwrap();
            body[name] = value;
            let (_, step) = admit(
                &policy,
                &serde_json::to_vec(&body).unwrap(),
                &LocalStore::default(),
            );
            assert!(matches!(step, Step::Forward(_)), "{name}: {step:?}");
        }
    }
}

/// What a principal with these limits is told of them.
fn usage(policy: &Rc<Policy>, store: &LocalStore) -> Value {
    let mut exchange = Exchange::new(Rc::clone(policy));
    let step = exchange.on_request_headers(&request("GET", "/v1/tollgate/usage", &[KEY]), false, NOW);
    assert_eq!(step, Step::TellUsage);
    let (reply, body) = reply(exchange.usage(NOW, store));
    assert_eq!(reply.status, 200);
    body
}

#[crate::test]
fn a_caller_is_told_its_own_limits() {
    let policy = policy_of(json!({
        "models": [{"name": "fast", "targets": [{"provider": "p"}]}, {"name": "slow-*", "targets": [{"provider": "p"}]},
            {"name": "secret", "targets": [{"provider": "p"}]}],
        "access": [{"models": ["fast", "slow-*"]}],
        "prices": [{"provider": "p", "model": "*", "input": 1, "output": 2}],
        "limits": [
            {"name": "own", "per": ["consumer"], "count": "requests", "max": 5, "window": "60s"},
            {"name": "each", "per": ["model"], "count": "total_tokens", "max": 1000, "window": "60s"},
            {"name": "money", "count": "usd", "max": 2.5, "window": "60s", "mode": "shadow"},
            {"name": "other", "match": {"consumer": "b"}, "count": "requests", "max": 5, "window": "60s"},
        ],
    }));
    let store = LocalStore::default();
    let (exchange, _) = admit(&policy, &chat("fast", 100), &store);
    serve(&exchange, reported(10, 40), 9, Phase::Complete);
    exchange.finish(NOW, &store);
    let body = usage(&policy, &store);
    assert_eq!(
        (&body["object"], &body["consumer"], &body["team"]),
        (&json!("tollgate.usage"), &json!("a"), &json!("t"))
    );
    let limits: Vec<_> = body["limits"].as_array().unwrap().clone();
    let short: Vec<Value> = limits
        .iter()
        .map(|limit| {
            json!([
                limit["name"],
                limit["model"],
                limit["max"],
                limit["used"],
                limit["remaining"],
                limit["mode"]
            ])
        })
        .collect();
    let expected = [
        json!(["own", null, 5, 1, 4, "enforce"]),
        json!(["each", "fast", 1000, 50, 950, "enforce"]),
        json!(["money", null, 2.5, 0.00009, 2.49991, "shadow"]),
        json!(["each", "slow-*", 1000, 0, 1000, "enforce"]),
    ];
    assert_eq!(short, expected);
    assert!(limits[0]["reset_seconds"].as_f64().unwrap() > 50.0);
    assert_eq!(limits[3]["reset_seconds"], 0.0);
    // One that took more than it had reserved, and one that is in flight.
    let (exchange, _) = admit(&policy, &chat("fast", 100), &store);
    serve(&exchange, reported(10, 1_500), 9, Phase::Complete);
    exchange.finish(NOW, &store);
    let (_flying, _) = admit(&policy, &chat("slow-1", 100), &store);
    let body = usage(&policy, &store);
    let parts =
        |index: usize| ["spent", "held", "used", "remaining"].map(|key| body["limits"][index][key].as_u64());
    assert_eq!(parts(1), [1_560, 0, 1_560, 0].map(Some));
    let [spent, held, used, remaining] = parts(3).map(Option::unwrap);
    assert!(spent == 0 && held > 100 && used == held && remaining == 1_000 - held);
}

/// What an explanation of a request says; the store is as before.
fn explained(policy: &Rc<Policy>, body: &[u8], store: &LocalStore) -> (LocalReply, Value) {
    let mut exchange = Exchange::new(Rc::clone(policy));
    let asking = [KEY, ("x-tollgate-explain", "true")];
    match exchange.on_request_headers(&post(&asking), true, NOW) {
        Step::Buffer => reply(exchange.on_request_body(body.to_vec(), NOW, store)),
        step => reply(step),
    }
}

#[crate::test]
fn a_decision_is_explained_and_not_made() {
    let policy = policy_of(json!({
        "explain": [{"team": "other"}, {"team": "t"}],
        "models": [{"name": "fast", "targets": [
            {"provider": "p", "model": "m-2", "priority": 1}, {"provider": "p", "model": "m-1", "weight": 3}]}],
        "limits": [
            {"name": "soft", "count": "output_tokens", "max": 1000, "window": "60s", "on_short": "clamp"},
            {"name": "calls", "per": ["consumer"], "count": "requests", "max": 1, "window": "60s"},
        ],
    }));
    let store = LocalStore::default();
    for _ in 0..3 {
        let (reply, body) = explained(&policy, &chat("fast", 5_000), &store);
        assert_eq!(
            (reply.status, &body["object"]),
            (200, &json!("tollgate.explanation"))
        );
        assert_eq!(
            body["principal"],
            json!({"consumer": "a", "team": "t", "labels": {}})
        );
        assert_eq!(body["access_rule"], 0);
        let targets = body["route"]["targets"].as_array().unwrap();
        assert_eq!(
            (targets.len(), &targets[0]["model"], &targets[1]["model"]),
            (2, &json!("m-1"), &json!("m-2"))
        );
        assert_eq!(body["estimate"]["output_tokens"], 5_000);
        assert_eq!(body["estimate"]["prompts_seen"], 0);
        assert_eq!(
            body["decision"],
            json!({"admitted": true, "output_tokens": 1_000, "clamped": true, "refusal": null})
        );
        assert_eq!(
            (&body["limits"][0]["asked"], &body["limits"][0]["remaining"]),
            (&json!(1_000), &json!(1_000))
        );
    }
    let (exchange, _) = admit(&policy, &chat("fast", 100), &store);
    let (_, body) = explained(&policy, &chat("fast", 100), &store);
    assert_eq!(body["decision"]["admitted"], false);
    assert_eq!(
        body["decision"]["refusal"]["error"]["code"],
        "rate_limit_exceeded"
    );
    let calls = &body["limits"][1];
    assert_eq!(
        (&calls["admits"], &calls["remaining"]),
        (&json!(false), &json!(0))
    );
    assert!(calls["wait_seconds"].as_f64().unwrap() > 59.0);
    assert_eq!(exchange.finish(NOW, &store).attempts, 0);
}

#[crate::test]
fn a_refusal_is_explained_like_anything_else() {
    let policy = policy_of(json!({
        "explain": [{"team": "t"}],
        "access": [
            {"name": "no-secrets", "effect": "deny", "models": ["secret"]},
            {"team": "t", "models": ["*"]},
            {"effect": "deny", "models": ["fast"], "capabilities": ["tools"]},
        ],
        "limits": [{"name": "calls", "count": "requests", "max": 9, "window": "60s"}],
    }));
    let store = LocalStore::default();
    let (reply, body) = explained(&policy, &chat("secret", 5), &store);
    assert_eq!((reply.status, &body["denied_by"]), (200, &json!("no-secrets")));
    assert_eq!(
        (&body["access_rule"], &body["route"]["name"]),
        (&json!(1), &json!("secret"))
    );
    let decision = &body["decision"];
    assert_eq!(
        (&decision["admitted"], &decision["output_tokens"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(decision["refusal"]["error"]["code"], "model_not_allowed");
    assert_eq!(body["limits"][0]["remaining"], 9);
    let tools = json!({"model": "fast", "tools": [{}], "messages": [{"role": "user", "content": "Hi"}]});
    let (_, body) = explained(&policy, &serde_json::to_vec(&tools).unwrap(), &store);
    assert_eq!(body["denied_by"], "access[2]");
    let (_, body) = explained(&policy, &chat("none", 5), &store);
    assert_eq!(
        (&body["route"], &body["estimate"], &body["limits"]),
        (&json!(null), &json!(null), &json!([]))
    );
    assert_eq!(body["decision"]["refusal"]["error"]["code"], "model_not_found");
    let (_, body) = explained(&policy, &chat("fast", 5), &store);
    assert_eq!(
        (&body["denied_by"], &body["decision"]["admitted"]),
        (&json!(null), &json!(true))
    );
}

#[crate::test]
fn only_who_may_is_explained_anything() {
    let policy = policy_of(json!({"explain": [{"team": "other"}]}));
    let (reply, body) = explained(&policy, &chat("fast", 5), &LocalStore::default());
    assert_eq!(
        (reply.status, &body["error"]["code"]),
        (403, &json!("explain_not_allowed"))
    );
}

fn embeddings(policy: &Rc<Policy>, input: &Value, store: &LocalStore) -> (Exchange, Step) {
    let mut exchange = Exchange::new(Rc::clone(policy));
    let headers = request("POST", "/v1/embeddings", &[KEY]);
    assert_eq!(exchange.on_request_headers(&headers, true, NOW), Step::Buffer);
    let body = serde_json::to_vec(&json!({"model": "fast", "input": input})).unwrap();
    let step = exchange.on_request_body(body, NOW, store);
    (exchange, step)
}

#[crate::test]
fn embeddings_reserve_their_input_and_no_output() {
    let (policy, store) = (policy(1000), LocalStore::default());
    let before = remaining(&policy, &store);
    let ids: Vec<u32> = (0..900).collect();
    let (exchange, step) = embeddings(&policy, &json!(ids), &store);
    assert!(matches!(step, Step::Forward(_)), "{step:?}");
    assert_eq!(
        exchange.handoff().unwrap().borrow().operation,
        Operation::Embeddings
    );
    let (_, refused) = embeddings(&policy, &json!(ids), &store);
    assert_eq!(
        reply(refused).0.status,
        429,
        "the ids are reserved, one token each"
    );
    serve(&exchange, reported(11, 0), 0, Phase::Complete);
    let record = exchange.finish(NOW, &store);
    assert_eq!((record.input_tokens, record.output_tokens), (11, 0));
    assert_eq!(record.usage_source, Some(UsageSource::Reported));
    assert_eq!(remaining(&policy, &store), before - 11);
    let (_, step) = embeddings(&policy, &json!((0..1001).collect::<Vec<u32>>()), &store);
    assert_eq!(reply(step).1["error"]["code"], "request_exceeds_limit");
}

#[crate::test]
fn embeddings_without_a_report_are_charged_by_their_estimate() {
    let (policy, store) = (policy(1000), LocalStore::default());
    let (exchange, _) = embeddings(&policy, &json!(["a".repeat(400), "b".repeat(400)]), &store);
    serve(&exchange, TokenUsage::default(), 0, Phase::Complete);
    let record = exchange.finish(NOW, &store);
    assert_eq!((record.input_tokens, record.output_tokens), (208, 0));
    assert_eq!(record.usage_source, Some(UsageSource::Estimated));
}

#[crate::test]
fn embeddings_do_not_teach_what_answers_are_long() {
    let (policy, store) = (policy(1000), LocalStore::default());
    for _ in 0..20 {
        let (exchange, _) = embeddings(&policy, &json!("a"), &store);
        serve(&exchange, reported(1, 0), 0, Phase::Complete);
        exchange.finish(NOW, &store);
    }
    let body = json!({"model": "fast", "messages": [{"role": "user", "content": "Hi"}]});
    let (exchange, _) = admit(&policy, &serde_json::to_vec(&body).unwrap(), &store);
    assert!(exchange.admitted.unwrap().lease.output_tokens() > 60);
}

#[crate::test]
fn bad_embeddings_are_refused_and_hold_nothing() {
    let (policy, store) = (policy(1000), LocalStore::default());
    let before = remaining(&policy, &store);
    for input in [json!(null), json!([]), json!([1, "a"]), json!({})] {
        let (exchange, step) = embeddings(&policy, &input, &store);
        let (reply, error) = reply(step);
        assert_eq!(
            (reply.status, &error["error"]["param"]),
            (400, &json!("input")),
            "{input}"
        );
        assert!(exchange.finish(NOW, &store).usage_source.is_none());
    }
    assert_eq!(remaining(&policy, &store), before);
}
