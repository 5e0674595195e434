// SPDX-License-Identifier: Apache-2.0

//! Which principal may use which model.
//!
//! Rules only add, as RBAC roles do: there is no rule that forbids, so their order means nothing and a rule can
//! be read by itself. All conditions of a rule must hold; a rule without conditions is for everybody. No rules
//! at all mean that every principal may use every model, because access is then not being managed here.
//!
//! One question costs at most one pass over the rules and stops at the first that says yes.

use super::auth::Principal;
use super::pattern::matches_pattern;
use crate::config::AccessRule;

/// All permissions.
#[derive(Clone, Debug, Default)]
pub struct AccessRules(Vec<AccessRule>);

impl AccessRules {
    /// Takes the rules as written. No rules: everything is allowed.
    #[must_use]
    pub const fn new(rules: Vec<AccessRule>) -> Self {
        Self(rules)
    }

    /// Whether `principal` may use `model`, the name that the client asked for.
    #[must_use]
    pub fn allows(&self, principal: &Principal, model: &str) -> bool {
        let is_for_key = |models: &Vec<String>| models.iter().any(|pattern| matches_pattern(pattern, model));
        if !principal.models.as_ref().is_none_or(is_for_key) {
            return false;
        }
        self.0.is_empty()
            || self.0.iter().any(|rule| {
                concerns(rule, principal) && rule.models.iter().any(|pattern| matches_pattern(pattern, model))
            })
    }
}

/// Whether every condition of `rule` holds for `principal`.
fn concerns(rule: &AccessRule, principal: &Principal) -> bool {
    rule.consumer
        .as_ref()
        .is_none_or(|consumer| *consumer == principal.consumer)
        && rule
            .team
            .as_ref()
            .is_none_or(|team| principal.team.as_ref() == Some(team))
        && rule
            .labels
            .iter()
            .all(|(name, value)| principal.labels.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::AccessRules;
    use crate::policy::auth::Principal;

    fn principal(consumer: &str, team: Option<&str>, labels: &[(&str, &str)]) -> Principal {
        Principal {
            consumer: consumer.to_owned(),
            team: team.map(str::to_owned),
            labels: labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            models: None,
        }
    }

    fn rules(json: serde_json::Value) -> AccessRules {
        AccessRules::new(serde_json::from_value(json).unwrap())
    }

    #[crate::test]
    fn without_rules_everything_is_allowed() {
        assert!(AccessRules::default().allows(&principal("alice", None, &[]), "gpt-5"));
    }

    #[crate::test]
    fn every_condition_of_a_rule_must_hold() {
        let rules = rules(serde_json::json!([{
            "consumer": "alice", "team": "search", "labels": {"tier": "gold", "region": "eu"}, "models": ["gpt-5"]
        }]));
        let labels = [("region", "eu"), ("tier", "gold"), ("other", "x")];
        assert!(rules.allows(&principal("alice", Some("search"), &labels), "gpt-5"));
        for refused in [
            principal("bob", Some("search"), &labels),
            principal("alice", Some("ads"), &labels),
            principal("alice", None, &labels),
            principal("alice", Some("search"), &[("tier", "gold")]),
            principal("alice", Some("search"), &[("tier", "free"), ("region", "eu")]),
        ] {
            assert!(!rules.allows(&refused, "gpt-5"), "{refused:?}");
        }
    }

    #[crate::test]
    fn rules_only_add_and_models_are_names_or_prefixes() {
        let rules = rules(serde_json::json!([
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
            assert_eq!(rules.allows(who, model), expected, "{} {model}", who.consumer);
        }
    }

    #[crate::test]
    fn a_thousand_rules_are_asked_about_a_thousand_models() {
        let rules = rules(
            (0..1000)
                .map(|n| serde_json::json!({"consumer": format!("c{n}"), "models": [format!("m{n}")]}))
                .collect(),
        );
        let last = principal("c999", None, &[]);
        let allowed = (0..1000)
            .filter(|n| rules.allows(&last, &format!("m{n}")))
            .count();
        assert_eq!(allowed, 1);
    }
}
