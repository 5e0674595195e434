// SPDX-License-Identifier: Apache-2.0

//! Names that nothing else in the file has.
//!
//! A name of a model is the file's own, so one that can never match is a fault. Who calls is often told from outside;
//! where the file says it all, a team, a consumer or a label that nobody has is worth a warning.

use super::Faults;
use crate::config::{ConfigError, Gateway, LimitMatch, Moment, Trusted};
use crate::policy::auth::ANONYMOUS;
use std::collections::{BTreeMap, BTreeSet};

/// Names that are certain to match nothing, or that say something twice.
pub(super) fn faults(gateway: &Gateway, faults: &mut Faults) {
    for (path, pattern) in models(gateway) {
        let is_matched = gateway.models.iter().any(|model| overlap(&model.name, pattern));
        if !is_matched {
            let known = gateway.models.iter().map(|model| model.name.as_str());
            faults.0.push(ConfigError::unknown(path, "model", pattern, known));
        }
    }
    let mut priced = BTreeMap::new();
    for (index, price) in gateway.prices.iter().enumerate() {
        let name = (price.provider.as_str(), price.model.as_str());
        if let Some(first) = priced.insert(name, index) {
            let message = format!(
                "expected one price for `{}`, found prices[{first}] too",
                price.model
            );
            faults.add(format!("prices[{index}].model"), message);
        }
    }
    if let Some(Trusted::Mtls(peers)) = &gateway.identity.trusted {
        for (index, domain) in peers.trust_domains.iter().enumerate() {
            if domain.contains('/') {
                let message = format!("expected a name such as \"example.org\", found \"{domain}\"");
                faults.add(format!("identity.trusted.mtls.trust_domains[{index}]"), message);
            }
        }
    }
}

/// What is sound at this time and most likely not meant.
pub(super) fn warnings(gateway: &Gateway, now: Moment, warnings: &mut Faults) {
    let targets = gateway.models.iter().flat_map(|model| &model.targets);
    let used: BTreeSet<&String> = targets.map(|target| &target.provider).collect();
    for name in gateway.providers.keys().filter(|name| !used.contains(name)) {
        let path = format!("providers.{name}");
        warnings.add(path, "no target of `models` names this provider");
    }
    for (index, key) in gateway.identity.api_keys.iter().enumerate() {
        if let Some(expires) = key.expires.filter(|expires| *expires <= now) {
            let path = format!("identity.api_keys[{index}].expires");
            warnings.add(path, format!("the key has expired on {expires}"));
        }
    }
    let mut rules = BTreeMap::new();
    for (index, rule) in gateway.access.iter().enumerate() {
        if let Some(name) = &rule.name
            && let Some(first) = rules.insert(name, index)
        {
            let message =
                format!("access[{first}] has this name too, and the access log cannot tell them apart");
            warnings.add(format!("access[{index}].name"), message);
        }
    }
    let known = Known::of(gateway);
    for (path, name) in names(gateway) {
        let (what, known, name) = match name {
            Name::Consumer(name) => ("consumer", &known.consumers, name),
            Name::Team(name) => ("team", &known.teams, name),
            Name::Label(name) => ("label", &known.labels, name),
        };
        if let Some(known) = known.as_ref().filter(|known| !known.contains(name)) {
            let known = known.iter().copied();
            warnings.0.push(ConfigError::unknown(path, what, name, known));
        }
    }
}

/// Whether some name fits both patterns.
fn overlap(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (None, None) => one == other,
        (Some(prefix), None) => other.starts_with(prefix),
        (None, Some(prefix)) => one.starts_with(prefix),
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
    }
}

/// Every pattern that models are compared with, and its path.
fn models(gateway: &Gateway) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    for (index, rule) in gateway.access.iter().enumerate() {
        for (nth, name) in rule.models.iter().flatten().enumerate() {
            found.push((format!("access[{index}].models[{nth}]"), name.as_str()));
        }
    }
    for (index, key) in gateway.identity.api_keys.iter().enumerate() {
        for (nth, name) in key.models.iter().flatten().enumerate() {
            found.push((format!("identity.api_keys[{index}].models[{nth}]"), name.as_str()));
        }
    }
    for (path, condition) in conditions_of_limits(gateway) {
        if let Some(name) = &condition.model {
            found.push((format!("{path}.model"), name.as_str()));
        }
    }
    found
}

fn conditions_of_limits(gateway: &Gateway) -> impl Iterator<Item = (String, &LimitMatch)> {
    gateway.limits.iter().enumerate().flat_map(|(index, limit)| {
        let own = (format!("limits[{index}].match"), &limit.applies_to);
        let others = limit.overrides.iter().enumerate();
        let others = others.map(move |(nth, other)| {
            let path = format!("limits[{index}].overrides[{nth}].match");
            (path, &other.applies_to)
        });
        [own].into_iter().chain(others)
    })
}

/// A name that some principal should have.
enum Name<'a> {
    Consumer(&'a str),
    Team(&'a str),
    Label(&'a str),
}

/// Every such name, and its path.
fn names(gateway: &Gateway) -> Vec<(String, Name<'_>)> {
    let mut found = Vec::new();
    let rules = gateway.access.iter().enumerate();
    let rules = rules.map(|(index, rule)| {
        let path = format!("access[{index}]");
        (path, &rule.consumer, &rule.team, &rule.labels)
    });
    let limits = conditions_of_limits(gateway);
    let limits = limits.map(|(path, who)| (path, &who.consumer, &who.team, &who.labels));
    let explain = gateway.explain.iter().enumerate();
    let explain = explain.map(|(index, who)| {
        let path = format!("explain[{index}]");
        (path, &who.consumer, &who.team, &who.labels)
    });
    for (path, consumer, team, labels) in rules.chain(limits).chain(explain) {
        let consumer = consumer.as_deref().map(Name::Consumer);
        found.extend(consumer.map(|name| (format!("{path}.consumer"), name)));
        let team = team.as_deref().map(Name::Team);
        found.extend(team.map(|name| (format!("{path}.team"), name)));
        for label in labels.keys() {
            found.push((format!("{path}.labels.{label}"), Name::Label(label)));
        }
    }
    for (index, limit) in gateway.limits.iter().enumerate() {
        for (nth, part) in limit.per.iter().enumerate() {
            if let Some(label) = part.strip_prefix("label:") {
                found.push((format!("limits[{index}].per[{nth}]"), Name::Label(label)));
            }
        }
    }
    for (name, provider) in &gateway.providers {
        for team in provider.team_credentials.keys() {
            found.push((
                format!("providers.{name}.team_credentials.{team}"),
                Name::Team(team),
            ));
        }
    }
    found
}

/// The names that principals have; `None` where somebody else gives them.
struct Known<'a> {
    consumers: Option<BTreeSet<&'a str>>,
    teams: Option<BTreeSet<&'a str>>,
    labels: Option<BTreeSet<&'a str>>,
}

impl<'a> Known<'a> {
    fn of(gateway: &'a Gateway) -> Self {
        let identity = &gateway.identity;
        let mut consumers: BTreeSet<&str> = BTreeSet::new();
        consumers.extend(identity.allow_anonymous.then_some(ANONYMOUS));
        let mut teams: BTreeSet<&str> = BTreeSet::new();
        let mut labels: BTreeSet<&str> = BTreeSet::new();
        for key in &identity.api_keys {
            consumers.insert(&key.consumer);
            teams.extend(key.team.as_deref());
            labels.extend(key.labels.keys().map(String::as_str));
            labels.extend(key.name.as_ref().map(|_| "api_key"));
        }
        let mut are_teams_told = false;
        let trusted = match &identity.trusted {
            Some(Trusted::JwtAuthn(trusted)) => Some(&trusted.claims),
            Some(Trusted::Mtls(_)) => {
                labels.extend(["trust_domain", "service_account"]);
                are_teams_told = true;
                None
            }
            Some(Trusted::Header(headers)) => {
                labels.extend(headers.labels.keys().map(String::as_str));
                are_teams_told = headers.team.is_some();
                None
            }
            None => None,
        };
        for claims in identity.jwt.iter().map(|issuer| &issuer.claims).chain(trusted) {
            are_teams_told |= claims.team.is_some();
            teams.extend(claims.defaults.team.as_deref());
            labels.insert("issuer");
            let given = claims.labels.keys().chain(claims.defaults.labels.keys());
            labels.extend(given.map(String::as_str));
        }
        let are_consumers_told = identity.trusted.is_some() || !identity.jwt.is_empty();
        Self {
            consumers: Some(consumers).filter(|_| !are_consumers_told),
            teams: Some(teams).filter(|_| !are_teams_told),
            labels: Some(labels),
        }
    }
}
