// SPDX-License-Identifier: Apache-2.0

//! `GET /v1/models` agrees with the rules, whatever they ask for: what is served is listed, and what is listed serves
//! some name.

use super::{KEY, LocalStore, Policy, Step, policy_of, post, request};
use crate::clock::Timestamp;
use crate::exchange::Exchange;
use crate::policy::connection::Connection;
use core::net::IpAddr;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
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

const ROUTES: [&str; 5] = ["a", "a-*", "a-b-*", "a-b-c", "d*"];
const NAMES: [&str; 9] = ["a", "a-", "a-x", "a-b", "a-b-", "a-b-c", "a-b-x", "d", "d-e"];

fn models() -> impl Strategy<Value = Value> {
    let pattern = prop::sample::select(
        &[
            "a", "a*", "a-*", "a-b*", "a-b-*", "a-b-x", "a-x", "d", "d-e", "*", "z",
        ][..],
    );
    prop::option::weighted(0.7, prop::collection::vec(pattern, 0..3)).prop_map(|models| json!(models))
}

fn maybe(values: &'static [&'static str]) -> impl Strategy<Value = Option<Value>> {
    let value = prop::sample::select(values).prop_map(|text| serde_json::from_str(text).unwrap());
    prop::option::weighted(0.3, value)
}

fn rule() -> impl Strategy<Value = Value> {
    (
        prop::bool::ANY,
        models(),
        maybe(&[r#""a""#, r#""b""#]),
        maybe(&[
            r#"{"tier": "gold"}"#,
            r#"{"tier": "free"}"#,
            r#"{"api_key": "k"}"#,
        ]),
        maybe(&[r#"{"role": "dev"}"#, r#"{"role": "intern"}"#]),
        maybe(&[r#"["192.0.2.0/24"]"#, r#"["10.0.0.0/8"]"#]),
        maybe(&[
            r#"{"hours": "08:00-18:00"}"#,
            r#"{"hours": "22:00-06:00"}"#,
            r#"{"days": ["fri"]}"#,
        ]),
        maybe(&[r#"["embeddings"]"#, r#"["chat_completions"]"#]),
        (
            maybe(&[r#"["tools"]"#, r#"["streaming"]"#, r#"["images"]"#]),
            maybe(&["16", "17"]),
            maybe(&["1", "2"]),
            maybe(&[r#""red""#, r#""blue""#]),
        ),
    )
        .prop_map(
            |(denies, models, consumer, labels, claims, source, time, endpoints, more)| {
                let (capabilities, input, output, team) = more;
                let mut rule = json!({"effect": if denies { "deny" } else { "allow" }});
                let conditions = [
                    ("models", Some(models).filter(|models| !models.is_null())),
                    ("consumer", consumer),
                    ("labels", labels),
                    ("claims", claims),
                    ("source", source),
                    ("time", time),
                    ("endpoints", endpoints),
                    ("capabilities", capabilities),
                    ("max_input_tokens", input.filter(|_| !denies)),
                    ("max_output_tokens", output.filter(|_| !denies)),
                    ("team", team),
                ];
                for (name, condition) in conditions {
                    if let Some(condition) = condition {
                        rule[name] = condition;
                    }
                }
                rule
            },
        )
}

fn policy(rules: &[Value], default: &str, key_models: Value, claims: Option<Value>) -> Rc<Policy> {
    let mut key =
        json!({"sha256": "", "consumer": "a", "team": "red", "name": "k", "labels": {"tier": "gold"}});
    if !key_models.is_null() {
        key["models"] = key_models;
    }
    if let Some(claims) = claims {
        key["claims"] = claims;
    }
    let routes: Vec<_> = ROUTES
        .iter()
        .map(|name| json!({"name": name, "targets": [{"provider": "p"}]}))
        .collect();
    let policy = policy_of(json!({
        "models": routes,
        "identity": {"api_keys": [key]},
        "access": rules,
        "access_options": {"default": default},
    }));
    let policy = Rc::try_unwrap(policy).unwrap_or_else(|_| panic!("nobody else has it"));
    Rc::new(policy.connected(Rc::new(From([192, 0, 2, 7].into()))))
}

fn listed(policy: &Rc<Policy>, now: Timestamp) -> BTreeSet<String> {
    let mut exchange = Exchange::new(Rc::clone(policy));
    let step = exchange.on_request_headers(&request("GET", "/v1/models", &[KEY]), false, now);
    let Step::Reply(reply) = step else {
        panic!("expected a list")
    };
    let list: Value = serde_json::from_slice(&reply.body).unwrap();
    let models = list["data"].as_array().unwrap().iter();
    models
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Whether a request is served, of one of four kinds: with nothing special, with a stream and tools, of another endpoint,
/// or the smallest of all.
fn is_served(policy: &Rc<Policy>, model: &str, kind: u8, now: Timestamp) -> bool {
    let headers = match kind {
        2 => request("POST", "/v1/embeddings", &[KEY]),
        _ => post(&[KEY]),
    };
    let body = match kind {
        0 => json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]}),
        1 => json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"type": "function", "function": {"name": "f"}}]}),
        2 => json!({"model": model, "input": "Hi"}),
        _ => json!({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}),
    };
    let mut exchange = Exchange::new(Rc::clone(policy));
    assert_eq!(exchange.on_request_headers(&headers, true, now), Step::Buffer);
    let step = exchange.on_request_body(body.to_string().into_bytes(), now, &LocalStore::default());
    matches!(step, Step::Forward(_))
}

proptest! {
    #[test]
    fn the_list_of_models_agrees_with_what_is_served(
        rules in prop::collection::vec(rule(), 0..5),
        default in prop::sample::select(&["allow", "deny"][..]),
        key_models in models(),
        claims in maybe(&[r#"{"role": ["dev"]}"#, r#"{"role": ["intern", "dev"]}"#]),
        hour in 0_u64..48,
    ) {
        let now = Timestamp::from_secs(1_800_000_000 + hour * 3600);
        let policy = policy(&rules, default, key_models, claims);
        let listed = listed(&policy, now);
        let mut useful = BTreeSet::new();
        for name in NAMES.into_iter().chain(["a-~", "a-b-~", "a-b~", "d~"]) {
            let route = policy.routes.resolve(name).map(|route| route.name.clone());
            for kind in 0..4 {
                if is_served(&policy, name, kind, now) {
                    useful.extend(route.clone());
                }
            }
        }
        prop_assert_eq!(listed, useful);
    }
}

#[crate::test]
fn a_pattern_is_listed_if_a_rule_allows_a_part_of_it() {
    let now = Timestamp::from_secs(1_800_000_000);
    for (rule, expected) in [
        (json!(["a-x*"]), vec!["a-*"]),
        (json!(["a-x"]), vec!["a-*"]),
        (json!(["a-b-c"]), vec!["a-b-c"]),
        (json!(["a-b-*"]), vec!["a-b-*", "a-b-c"]),
        (json!(["d"]), vec!["d*"]),
        (json!(["z*"]), vec![]),
    ] {
        let policy = policy(&[json!({"models": rule})], "deny", Value::Null, None);
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(listed(&policy, now), expected, "{rule}");
    }
}
