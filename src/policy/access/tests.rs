// SPDX-License-Identifier: Apache-2.0

//! The rules, by tables, and by requests made at random against a second reading of what rules mean.

use super::{AccessRules, Caller, Reason, Refused, Use};
use crate::clock::Timestamp;
use crate::config::{AccessOptions, Capability};
use crate::policy::auth::Principal;
use crate::policy::connection::{Connection, NoConnection};
use core::cell::Cell;
use core::net::IpAddr;
use serde_json::{Value, json};

/// 2027-01-15, a Friday, at eight o'clock.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn principal(consumer: &str, team: Option<&str>, labels: &[(&str, &str)]) -> Principal {
    Principal {
        consumer: consumer.to_owned(),
        team: team.map(str::to_owned),
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Principal::default()
    }
}

fn rules_with(options: Value, json: Value) -> AccessRules {
    let rules: Vec<_> = serde_json::from_value(json).unwrap();
    let options: AccessOptions = serde_json::from_value(options).unwrap();
    AccessRules::new(&rules, options).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn rules(json: Value) -> AccessRules {
    rules_with(json!({}), json)
}

fn allows(rules: &AccessRules, principal: &Principal, model: &str) -> bool {
    let caller = Caller::new(principal, &NoConnection, NOW);
    let shown = rules.shows(&caller, model);
    assert_eq!(shown, rules.check(&caller, &Use::smallest(model)).is_ok());
    shown
}

fn reason(rules: &AccessRules, asked: &Use<'_>) -> Option<Reason> {
    let somebody = principal("alice", None, &[]);
    let caller = Caller::new(&somebody, &NoConnection, NOW);
    rules.check(&caller, asked).err().map(|refused| refused.reason)
}

#[crate::test]
fn without_rules_the_default_decides() {
    let alice = principal("alice", None, &[]);
    assert!(allows(&AccessRules::default(), &alice, "gpt-5"));
    assert!(!allows(
        &rules_with(json!({"default": "deny"}), json!([])),
        &alice,
        "gpt-5"
    ));
    let denying = json!([{"effect": "deny", "models": ["gpt-5"]}]);
    assert!(allows(&rules(denying.clone()), &alice, "gpt-4"));
    assert!(!allows(&rules(denying.clone()), &alice, "gpt-5"));
    assert!(!allows(
        &rules_with(json!({"default": "deny"}), denying),
        &alice,
        "gpt-4"
    ));
}

#[crate::test]
fn every_condition_of_a_rule_must_hold() {
    let rules = rules(json!([{
        "consumer": "alice", "team": "search", "labels": {"tier": "gold", "region": "eu"}, "models": ["gpt-5"]
    }]));
    let labels = [("region", "eu"), ("tier", "gold"), ("other", "x")];
    assert!(allows(
        &rules,
        &principal("alice", Some("search"), &labels),
        "gpt-5"
    ));
    for refused in [
        principal("bob", Some("search"), &labels),
        principal("alice", Some("ads"), &labels),
        principal("alice", None, &labels),
        principal("alice", Some("search"), &[("tier", "gold")]),
        principal("alice", Some("search"), &[("tier", "free"), ("region", "eu")]),
    ] {
        assert!(!allows(&rules, &refused, "gpt-5"), "{refused:?}");
    }
}

#[crate::test]
fn a_claim_has_one_value_or_several() {
    let rules = rules(json!([{"claims": {"groups": "admins", "realm.role": "dev"}}]));
    let mut alice = principal("alice", None, &[]);
    for (groups, role, expected) in [
        (&["users", "admins"][..], &["dev"][..], true),
        (&["admins"], &[], false),
        (&["users"], &["dev"], false),
        (&["adminsX"], &["dev"], false),
    ] {
        for (name, values) in [("groups", groups), ("realm.role", role)] {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            alice.claims.insert(name.to_owned(), values);
        }
        assert_eq!(allows(&rules, &alice, "m"), expected, "{groups:?} {role:?}");
    }
    assert_eq!(rules.claims().collect::<Vec<_>>(), ["groups", "realm.role"]);
}

#[crate::test]
fn a_rule_that_denies_by_a_claim_does_not_fail_open() {
    let rules = rules(json!([
        {},
        {"effect": "deny", "claims": {"role": "intern"}, "models": ["gpt-5"]},
    ]));
    // An API key, a certificate, or a claim that could not be read: nothing is known of the claim.
    let mut somebody = principal("alice", None, &[]);
    assert!(!allows(&rules, &somebody, "gpt-5"));
    assert!(allows(&rules, &somebody, "gpt-4"), "other conditions still count");
    for (values, expected) in [
        (vec![], true),
        (vec!["dev"], true),
        (vec!["dev", "intern"], false),
    ] {
        let values = values.into_iter().map(str::to_owned).collect();
        somebody.claims.insert("role".to_owned(), values);
        assert_eq!(allows(&rules, &somebody, "gpt-5"), expected);
    }
}

#[crate::test]
fn a_refusal_by_the_key_s_own_list_is_told_from_one_by_a_rule() {
    let rules = rules(json!([{}]));
    let mut keyed = principal("alice", None, &[]);
    keyed.models = Some(vec!["gpt-4*".to_owned()]);
    let caller = Caller::new(&keyed, &NoConnection, NOW);
    let refused = rules.check(&caller, &Use::smallest("gpt-5")).unwrap_err();
    assert_eq!(refused.rule.as_deref(), Some("api_keys.models"));
    assert!(rules.check(&caller, &Use::smallest("gpt-4o")).is_ok());
}

#[crate::test]
fn rules_that_allow_add_and_models_are_names_or_prefixes() {
    let rules = rules(json!([
        {"models": ["small"]},
        {"team": "search", "models": ["gpt-*"]},
        {"consumer": "alice", "models": []}
    ]));
    let alice = principal("alice", Some("search"), &[]);
    let bob = principal("bob", None, &[]);
    for (who, model, expected) in [
        (&alice, "small", true),
        (&alice, "gpt-5", true),
        (&alice, "smaller", false),
        (&bob, "small", true),
        (&bob, "gpt-5", false),
        (&bob, "", false),
    ] {
        assert_eq!(allows(&rules, who, model), expected, "{} {model}", who.consumer);
    }
}

#[crate::test]
fn a_rule_that_denies_wins_wherever_it_stands() {
    for order in [[0, 1], [1, 0]] {
        let written = [
            json!({"models": ["*"]}),
            json!({"effect": "deny", "team": "trial", "models": ["gpt-5"], "name": "no-trial"}),
        ];
        let rules = rules(order.iter().map(|at| written[*at].clone()).collect());
        let trial = principal("eve", Some("trial"), &[]);
        assert!(allows(&rules, &principal("alice", None, &[]), "gpt-5"));
        assert!(allows(&rules, &trial, "gpt-4"));
        let caller = Caller::new(&trial, &NoConnection, NOW);
        assert_eq!(
            rules.check(&caller, &Use::smallest("gpt-5")),
            Err(Refused {
                reason: Reason::Model,
                rule: Some("no-trial".to_owned())
            })
        );
    }
}

fn graded() -> AccessRules {
    rules(json!([
        {"capabilities": ["streaming"], "max_input_tokens": 500, "max_output_tokens": 100},
        {"models": ["big"], "capabilities": ["images"], "max_output_tokens": 1000},
        {"effect": "deny", "models": ["plain"], "capabilities": ["streaming", "images"]}
    ]))
}

#[crate::test]
fn a_capability_that_is_too_much_is_named() {
    let small = Use::smallest("small");
    let plain = Use::smallest("plain");
    for (asked, expected) in [
        (small, None),
        (
            Use {
                streaming: true,
                ..small
            },
            None,
        ),
        (Use { tools: true, ..small }, Some(Capability::Tools)),
        (
            Use {
                images: true,
                ..small
            },
            Some(Capability::Images),
        ),
        (
            Use {
                streaming: true,
                ..plain
            },
            Some(Capability::Streaming),
        ),
    ] {
        let expected = expected.map(Reason::Capability);
        assert_eq!(reason(&graded(), &asked), expected, "{asked:?}");
    }
}

#[crate::test]
fn a_size_that_is_too_much_is_named_with_what_is_allowed() {
    let ask = |model: &'static str, input_tokens, output_tokens, streaming| Use {
        input_tokens,
        output_tokens,
        streaming,
        ..Use::smallest(model)
    };
    for (asked, expected) in [
        (ask("small", 500, 100, true), None),
        (ask("small", 501, 0, false), Some(Reason::InputTokens(500))),
        (ask("small", 0, 101, false), Some(Reason::OutputTokens(100))),
        (ask("small", 0, u64::MAX, false), Some(Reason::OutputTokens(100))),
        (ask("big", 0, 1000, false), None),
        (ask("big", 0, 1001, false), Some(Reason::OutputTokens(1000))),
        (ask("big", 0, 1000, true), Some(Reason::Combination)),
    ] {
        assert_eq!(reason(&graded(), &asked), expected, "{asked:?}");
    }
}

#[crate::test]
fn a_hidden_model_is_one_that_is_not_shown() {
    let rules = rules_with(
        json!({"hidden_models": "not_found"}),
        json!([{"models": ["small"], "capabilities": []}]),
    );
    assert_eq!(reason(&rules, &Use::smallest("big")), Some(Reason::HiddenModel));
    // Who may use it for something may know of it.
    assert_eq!(
        reason(
            &rules,
            &Use {
                tools: true,
                ..Use::smallest("small")
            }
        ),
        Some(Reason::Capability(Capability::Tools))
    );
}

#[crate::test]
fn a_key_s_own_models_narrow_what_rules_allow() {
    let rules = rules(json!([{"models": ["gpt-*"]}]));
    let mut key = principal("alice", None, &[]);
    key.models = Some(vec!["gpt-5".to_owned(), "claude-*".to_owned()]);
    for (model, expected) in [("gpt-5", true), ("gpt-4", false), ("claude-1", false)] {
        assert_eq!(allows(&rules, &key, model), expected, "{model}");
    }
    key.models = Some(Vec::new());
    assert!(!allows(&AccessRules::default(), &key, "gpt-5"));
}

#[crate::test]
fn the_address_is_asked_for_once_and_only_if_a_rule_names_one() {
    struct From(Option<IpAddr>, Cell<u32>);
    impl Connection for From {
        fn source_address(&self) -> Option<IpAddr> {
            self.1.set(self.1.get() + 1);
            self.0
        }
        fn attribute(&self, _: &[&str]) -> Option<Vec<u8>> {
            None
        }
    }
    let alice = principal("alice", None, &[]);
    let ask = |rules: &AccessRules, address: Option<&str>| {
        let connection = From(address.map(|text| text.parse().unwrap()), Cell::new(0));
        let caller = Caller::new(&alice, &connection, NOW);
        (rules.shows(&caller, "m"), connection.1.get())
    };
    let inside = rules(json!([
        {"source": ["10.0.0.0/8", "2001:db8::/32"]},
        {"effect": "deny", "source": ["10.6.6.0/24"]}
    ]));
    for (address, expected) in [
        (Some("10.1.2.3"), true),
        (Some("10.6.6.6"), false),
        (Some("2001:db8::1"), true),
        (Some("192.0.2.1"), false),
        (None, false),
    ] {
        assert_eq!(ask(&inside, address), (expected, 1), "{address:?}");
    }
    assert_eq!(ask(&rules(json!([{"models": ["m"]}])), None), (true, 0));
}

#[crate::test]
fn a_rule_holds_at_its_time() {
    let rules = rules(json!([{"time": {"hours": "09:00-17:00"}}]));
    let alice = principal("alice", None, &[]);
    for (secs, expected) in [(0, false), (3600, true)] {
        let caller = Caller::new(
            &alice,
            &NoConnection,
            NOW.plus(core::time::Duration::from_secs(secs)),
        );
        assert_eq!(rules.shows(&caller, "m"), expected);
    }
}

#[crate::test]
fn faults_of_the_configuration_have_paths() {
    let written = json!([
        {},
        {"source": ["10.0.0.1/8", "10.0.0.0/8", "x"], "time": {"hours": "9-5"}, "name": ""},
        {"effect": "deny", "max_input_tokens": 1, "max_output_tokens": 1},
        {"source": [], "endpoints": []},
        {"max_input_tokens": 15, "max_output_tokens": 0},
        {"max_input_tokens": 16, "max_output_tokens": 1}
    ]);
    let rules: Vec<_> = serde_json::from_value(written).unwrap();
    let faults = AccessRules::new(&rules, AccessOptions::default()).err().unwrap();
    let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "access[1].source[0]",
            "access[1].source[2]",
            "access[1].time.hours",
            "access[1].name",
            "access[2].max_input_tokens",
            "access[2].max_output_tokens",
            "access[3].source",
            "access[3].endpoints",
            "access[4].max_input_tokens",
            "access[4].max_output_tokens",
        ]
    );
    assert!(faults.iter().all(|fault| fault.message.starts_with("expected")));
}

#[crate::test]
fn a_thousand_rules_are_asked_about_a_thousand_models() {
    let rules = rules(
        (0..1000)
            .map(|n| json!({"consumer": format!("c{n}"), "models": [format!("m{n}")]}))
            .collect(),
    );
    let last = principal("c999", None, &[]);
    let allowed = (0..1000)
        .filter(|n| allows(&rules, &last, &format!("m{n}")))
        .count();
    assert_eq!(allowed, 1);
}

#[cfg(not(target_family = "wasm"))]
mod properties {
    use super::{AccessRules, Caller, NOW, NoConnection, Principal, Use, principal};
    use crate::config::{AccessEffect, AccessEndpoint, AccessOptions, AccessRule, Capability, HiddenModels};
    use proptest::prelude::*;

    const MODELS: [&str; 4] = ["a", "ab", "b", "c"];

    fn capability() -> impl Strategy<Value = Capability> {
        prop_oneof![
            Just(Capability::Images),
            Just(Capability::Streaming),
            Just(Capability::Tools)
        ]
    }

    fn effect() -> impl Strategy<Value = AccessEffect> {
        prop_oneof![Just(AccessEffect::Allow), Just(AccessEffect::Deny)]
    }

    prop_compose! {
        fn rule()(
            effect in effect(),
            consumer in proptest::option::of(prop_oneof![Just("alice"), Just("bob")]),
            team in proptest::option::of(Just("search")),
            models in proptest::option::of(proptest::collection::vec(
                prop_oneof![Just("a"), Just("a*"), Just("b"), Just("*")], 0..3)),
            capabilities in proptest::option::of(proptest::collection::vec(capability(), 0..3)),
            input in proptest::option::of(16_u64..20),
            output in proptest::option::of(1_u64..5),
        ) -> AccessRule {
            let is_allow = effect == AccessEffect::Allow;
            AccessRule {
                effect,
                consumer: consumer.map(str::to_owned),
                team: team.map(str::to_owned),
                models: models.map(|models| models.into_iter().map(str::to_owned).collect()),
                capabilities,
                max_input_tokens: input.filter(|_| is_allow),
                max_output_tokens: output.filter(|_| is_allow),
                ..AccessRule::default()
            }
        }
    }

    prop_compose! {
        fn asked()(
            model in prop_oneof![Just("a"), Just("ab"), Just("b"), Just("c")],
            images: bool, streaming: bool, tools: bool,
            input_tokens in 15_u64..21,
            output_tokens in prop_oneof![0_u64..5, Just(u64::MAX)],
        ) -> Use<'static> {
            Use { endpoint: AccessEndpoint::ChatCompletions, model, images, streaming, tools, input_tokens, output_tokens }
        }
    }

    /// What the rules mean, told in another way: as the documentation tells it.
    fn is_served(rules: &[AccessRule], options: AccessOptions, who: &Principal, asked: &Use<'_>) -> bool {
        let fits = |rule: &&AccessRule| {
            let used: Vec<Capability> = [
                (asked.images, Capability::Images),
                (asked.streaming, Capability::Streaming),
                (asked.tools, Capability::Tools),
            ]
            .into_iter()
            .filter_map(|(is_used, capability)| is_used.then_some(capability))
            .collect();
            let named = |pattern: &String| match pattern.strip_suffix('*') {
                Some(prefix) => asked.model.starts_with(prefix),
                None => pattern == asked.model,
            };
            rule.consumer
                .as_ref()
                .is_none_or(|consumer| *consumer == who.consumer)
                && (rule.team.is_none() || rule.team == who.team)
                && rule.models.as_ref().is_none_or(|models| models.iter().any(named))
                && match (&rule.capabilities, rule.effect) {
                    (None, _) => true,
                    (Some(listed), AccessEffect::Allow) => used.iter().all(|one| listed.contains(one)),
                    (Some(listed), AccessEffect::Deny) => used.iter().any(|one| listed.contains(one)),
                }
                && asked.input_tokens <= rule.max_input_tokens.unwrap_or(u64::MAX)
                && asked.output_tokens <= rule.max_output_tokens.unwrap_or(u64::MAX)
        };
        let (allowing, denying): (Vec<_>, Vec<_>) =
            rules.iter().partition(|rule| rule.effect == AccessEffect::Allow);
        let is_allowed = if allowing.is_empty() {
            options.default == AccessEffect::Allow
        } else {
            allowing.iter().any(fits)
        };
        is_allowed && !denying.iter().any(fits)
    }

    proptest! {
        #[test]
        fn a_request_is_served_as_documented_and_only_for_models_that_are_listed(
            written in proptest::collection::vec(rule(), 0..5),
            default in effect(),
            is_hidden: bool,
            team in proptest::option::of(Just("search")),
            consumer in prop_oneof![Just("alice"), Just("bob"), Just("carol")],
            asked in asked(),
        ) {
            let hidden_models = if is_hidden { HiddenModels::NotFound } else { HiddenModels::Forbidden };
            let options = AccessOptions { default, hidden_models };
            let rules = AccessRules::new(&written, options).unwrap();
            let who = principal(consumer, team, &[]);
            let caller = Caller::new(&who, &NoConnection, NOW);
            let outcome = rules.check(&caller, &asked);
            prop_assert_eq!(outcome.is_ok(), is_served(&written, options, &who, &asked));
            // What is served is listed, and what is listed can be used for something.
            prop_assert!(outcome.is_err() || rules.shows(&caller, asked.model));
            for model in MODELS {
                let smallest = Use::smallest(model);
                prop_assert_eq!(
                    rules.shows(&caller, model),
                    is_served(&written, options, &who, &smallest)
                );
            }
            // Only what is not listed is refused as if it were not there.
            if let Err(refused) = outcome {
                let is_told = refused.reason != super::Reason::HiddenModel;
                prop_assert_eq!(is_told, !is_hidden || rules.shows(&caller, asked.model));
            }
        }
    }
}
