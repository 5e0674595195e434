// SPDX-License-Identifier: Apache-2.0

//! Resolution, naming and validation of routes.

use super::Routes;
use crate::config::{Model, Provider};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn providers() -> BTreeMap<String, Provider> {
    serde_json::from_value(json!({
        "openai": {"kind": "openai", "endpoint": "https://api.openai.com/v1"},
        "anthropic": {"kind": "anthropic", "endpoint": "https://api.anthropic.com"},
    }))
    .unwrap()
}

fn routes(models: Value) -> Result<Routes, Vec<String>> {
    let models: Vec<Model> = serde_json::from_value(models).unwrap();
    Routes::new(&models, &providers()).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn named(names: &[&str]) -> Routes {
    let models = names
        .iter()
        .map(|name| json!({"name": name, "targets": [{"provider": "openai"}]}));
    routes(models.collect()).unwrap()
}

#[crate::test]
fn an_exact_name_wins_over_a_pattern_and_a_longer_prefix_over_a_shorter_one() {
    let routes = named(&["gpt-*", "*", "gpt-4o", "gpt-4*", "gpt-4.1-mini*", "claude-x"]);
    for (model, route) in [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4*"),
        ("gpt-4", "gpt-4*"),
        ("gpt-4.1", "gpt-4*"),
        ("gpt-4.1-mini-2025", "gpt-4.1-mini*"),
        ("gpt-5", "gpt-*"),
        ("gpt-", "gpt-*"),
        ("gpt", "*"),
        ("claude-x", "claude-x"),
        ("claude-xy", "*"),
        ("", "*"),
        ("gpt-4é", "gpt-4*"),
    ] {
        assert_eq!(
            routes.resolve(model).map(|r| r.name.as_str()),
            Some(route),
            "{model}"
        );
    }
    let routes = named(&["gpt-*", "b"]);
    for model in ["", "a", "b2", "gpt", "h"] {
        assert!(routes.resolve(model).is_none(), "{model}");
    }
}

#[crate::test]
fn resolution_agrees_with_trying_every_pattern() {
    let names = ["a*", "ab*", "abc", "abd*", "b", "ba*", "c*", "cab*", "cabbage*"];
    let routes = named(&names);
    let letters = ['a', 'b', 'c', 'd', 'g'];
    let mut words = vec![String::new()];
    for _ in 0..4 {
        let longer: Vec<String> = words
            .iter()
            .flat_map(|w| letters.iter().map(move |l| format!("{w}{l}")))
            .collect();
        words.extend(longer);
    }
    for word in &words {
        let longest = names
            .iter()
            .filter(|n| n.strip_suffix('*').is_some_and(|prefix| word.starts_with(prefix)))
            .max_by_key(|n| n.len());
        let expected = names.iter().find(|n| *n == word).or(longest).copied();
        assert_eq!(routes.resolve(word).map(|r| r.name.as_str()), expected, "{word}");
    }
}

#[crate::test]
fn a_cluster_tells_the_target_within_its_route() {
    let routes = routes(json!([
        {"name": "fast", "targets": [
            {"provider": "anthropic", "priority": 1},
            {"provider": "openai", "model": "gpt-4o", "weight": 9},
            {"provider": "openai", "model": "gpt-5"},
        ]},
        {"name": "gpt-4o", "targets": [{"provider": "openai"}]},
    ]))
    .unwrap();
    let fast = routes.resolve("fast").unwrap();
    let clusters: Vec<Vec<&str>> = fast
        .groups()
        .map(|group| group.iter().map(|t| t.cluster.as_str()).collect())
        .collect();
    assert_eq!(clusters, [vec!["openai", "openai.2"], vec!["anthropic"]]);
    assert_eq!(fast.target("openai.2").unwrap().model.as_deref(), Some("gpt-5"));
    assert_eq!(fast.target("openai").unwrap().weight, 9);
    assert!(fast.target("openai.3").is_none());
    assert_eq!(routes.iter().count(), 2);

    let gpt = routes.resolve("gpt-4o").unwrap();
    assert_eq!(gpt.targets[0].index, fast.target("openai").unwrap().index);
    assert_eq!(routes.provider_models().count(), 3);
    assert!(fast.targets.iter().all(|target| target.index < 3));
}

#[crate::test]
fn every_fault_is_reported_with_its_path() {
    let faults = routes(json!([
        {"name": "a", "targets": [{"provider": "opnai"}, {"provider": "openai", "weight": 0, "model": ""}]},
        {"name": "a", "targets": []},
        {"name": "", "targets": [{"provider": "openai", "priority": 2}, {"provider": "mine"}]},
        {"name": "x*y", "targets": [{"provider": "openai"}]},
        {"name": "zwei Worte", "targets": [{"provider": "openai"}]},
    ]))
    .unwrap_err();
    assert_eq!(
        faults,
        [
            "models[0].targets[0].provider: unknown provider `opnai`, did you mean `openai`?",
            "models[0].targets[1].model: expected the model as the provider names it, found an empty name",
            "models[0].targets[1].weight: expected a weight of at least 1, found 0",
            "models[1].targets: expected at least one target, found none",
            "models[1].name: expected a name that is used once, found `a`, which models[0] has too",
            "models[2].name: expected a model name, found an empty one",
            "models[2].targets[0].priority: expected priorities without gaps, found 2 but no target of priority 1",
            "models[2].targets[1].provider: unknown provider `mine`, expected one of `anthropic`, `openai`",
            "models[3].name: expected `*` at the end only, found `x*y`",
            "models[4].name: expected visible ASCII characters, found `zwei Worte`",
        ]
    );
    assert_eq!(
        routes(json!([])).unwrap_err(),
        ["models: expected at least one model, found none"]
    );
}

#[crate::test]
fn a_provider_name_that_could_be_another_ones_cluster_is_refused() {
    let mut providers = providers();
    let provider = providers["openai"].clone();
    providers.insert("openai.2".to_owned(), provider);
    let models: Vec<Model> =
        serde_json::from_value(json!([{"name": "a", "targets": [{"provider": "openai"}]}])).unwrap();
    let faults = Routes::new(&models, &providers).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "providers.openai.2: expected a name of letters, digits, `-` and `_`, found `openai.2`"
    );
}
