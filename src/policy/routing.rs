// SPDX-License-Identifier: Apache-2.0

//! Which route serves a model.
//!
//! A route is one entry of `models`: an exact name, or a prefix followed by `*`. An exact name wins over a
//! prefix, a longer prefix over a shorter one; the order in the file never matters. Looking a model up allocates
//! nothing and takes a few string comparisons, whatever the number of routes, because both kinds are kept sorted.
//!
//! The routes also fix how Envoy names the targets. Each target has an upstream filter of its own that knows
//! nothing but its cluster's name, so (route, cluster) must tell the target: the first target of a provider
//! within a route uses the cluster named like the provider, the second one `provider.2`, and so on. Different
//! routes share these clusters, and with them connection pools, health and outlier detection. This is why a
//! provider's name may hold no dot.
//!
//! Nothing here chooses among targets: weights, failover and retries are Envoy's.

use crate::config::{ConfigError, Model, Provider, Target as ConfiguredTarget};
use core::ops::Bound;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

/// All routes.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// As written.
    routes: Vec<Rc<Route>>,
    /// Exact names, with the route's position.
    exact: BTreeMap<Vec<u8>, usize>,
    /// Prefixes without their `*`, with the route's position.
    prefixes: BTreeMap<Vec<u8>, usize>,
    /// Each provider and model of it that a target names, by [`Target::index`].
    provider_models: Vec<(String, String)>,
}

/// One entry of `models`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// As configured: `gpt-4o`, or a pattern such as `claude-*`.
    pub name: String,
    /// Who serves it: ordered by priority, and as written within a priority.
    pub targets: Vec<Target>,
    /// Output tokens to reserve for a request without a bound, until the route has learned better.
    pub expected_output_tokens: Option<u32>,
    /// The output bound of a request that sets none.
    pub default_max_output_tokens: Option<u32>,
    /// How long a whole exchange may take.
    pub timeout: Option<Duration>,
    /// How long one attempt may be silent.
    pub per_try_idle_timeout: Option<Duration>,
}

/// One place that serves a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A key of `providers`.
    pub provider: String,
    /// The name of its Envoy cluster. Unique within the route.
    pub cluster: String,
    /// The model as the provider names it. `None`: the name that the client asked for.
    pub model: Option<String>,
    /// 0 is tried first.
    pub priority: u32,
    /// The share of requests within the priority.
    pub weight: u32,
    /// The place of this (provider, model) pair in [`Routes::provider_models`]. Targets of
    /// different routes that mean the same model of the same provider share it.
    pub index: usize,
}

impl Routes {
    /// Reads `models`.
    ///
    /// # Errors
    ///
    /// Every fault of `models`, and every provider name that cannot name a cluster.
    pub fn new(models: &[Model], providers: &BTreeMap<String, Provider>) -> Result<Self, Vec<ConfigError>> {
        let mut faults = faults_of_provider_names(providers);
        let mut found = Self::default();
        let mut indices = BTreeMap::new();
        for (position, model) in models.iter().enumerate() {
            let path = format!("models[{position}]");
            faults.extend(fault_of_name(&format!("{path}.name"), &model.name));
            faults.extend(faults_of_targets(&path, &model.targets, providers));
            let names = match model.name.strip_suffix('*') {
                Some(prefix) => found.prefixes.insert(prefix.into(), position),
                None => found.exact.insert(model.name.as_bytes().into(), position),
            };
            if let Some(first) = names {
                faults.push(ConfigError::new(
                    format!("{path}.name"),
                    format!(
                        "expected a name that is used once, found `{}`, which models[{first}] has too",
                        model.name
                    ),
                ));
            }
            found.routes.push(Rc::new(route(model, &mut indices)));
        }
        if models.is_empty() {
            faults.push(ConfigError::new(
                "models",
                "expected at least one model, found none",
            ));
        }
        let mut named: Vec<_> = indices.into_iter().collect();
        named.sort_unstable_by_key(|(_, index)| *index);
        found.provider_models = named
            .into_iter()
            .map(|((provider, model), _)| (provider.to_owned(), model.to_owned()))
            .collect();
        if faults.is_empty() { Ok(found) } else { Err(faults) }
    }

    /// The route that serves `model`, the name that a client asked for.
    #[must_use]
    pub fn resolve(&self, model: &str) -> Option<&Rc<Route>> {
        let position = match self.exact.get(model.as_bytes()) {
            Some(position) => *position,
            None => self.longest_prefix(model.as_bytes())?,
        };
        self.routes.get(position)
    }

    /// All routes, as written.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().map(Rc::as_ref)
    }

    /// The distinct (provider, model) pairs that the targets name, by [`Target::index`].
    pub fn provider_models(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.provider_models.iter();
        named.map(|(provider, model)| (provider.as_str(), model.as_str()))
    }

    /// The greatest prefix that does not sort after `name` is the longest match, or else whatever matches is a
    /// part of what the two have in common, so the search goes on with that.
    fn longest_prefix(&self, name: &[u8]) -> Option<usize> {
        let mut rest = name;
        loop {
            let upto = (Bound::Unbounded, Bound::Included(rest));
            let (prefix, position) = self.prefixes.range::<[u8], _>(upto).next_back()?;
            let common = rest.iter().zip(prefix).take_while(|(a, b)| a == b).count();
            if common == prefix.len() {
                return Some(*position);
            }
            rest = rest.get(..common)?;
        }
    }
}

impl Route {
    /// The target that a cluster stands for.
    #[must_use]
    pub fn target(&self, cluster: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.cluster == cluster)
    }

    /// A target of the first priority, by weight.
    #[must_use]
    pub fn pick(&self, random: u64) -> Option<&Target> {
        let group = self.groups().next()?;
        let total: u64 = group.iter().map(|target| u64::from(target.weight)).sum();
        let mut point = random.checked_rem(total)?;
        group.iter().find(|target| {
            let weight = u64::from(target.weight);
            let is_hit = point < weight;
            point = point.saturating_sub(weight);
            is_hit
        })
    }

    /// The targets of each priority, in the order in which they are tried.
    pub fn groups(&self) -> impl Iterator<Item = &[Target]> {
        self.targets.chunk_by(|a, b| a.priority == b.priority)
    }
}

fn route<'a>(model: &'a Model, indices: &mut BTreeMap<(&'a str, &'a str), usize>) -> Route {
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    let mut targets = Vec::with_capacity(model.targets.len());
    for target in &model.targets {
        let provider = target.provider.as_str();
        let use_of_provider = uses.entry(provider).or_default();
        *use_of_provider += 1;
        let next = indices.len();
        let upstream_model = target.model.as_deref().unwrap_or(&model.name);
        targets.push(Target {
            provider: provider.to_owned(),
            cluster: match *use_of_provider {
                1 => provider.to_owned(),
                nth => format!("{provider}.{nth}"),
            },
            model: target.model.clone(),
            priority: target.priority,
            weight: target.weight,
            index: *indices.entry((provider, upstream_model)).or_insert(next),
        });
    }
    targets.sort_by_key(|target| target.priority);
    Route {
        name: model.name.clone(),
        targets,
        expected_output_tokens: model.expected_output_tokens,
        default_max_output_tokens: model.default_max_output_tokens,
        timeout: model.timeout.map(|period| period.0),
        per_try_idle_timeout: model.per_try_idle_timeout.map(|period| period.0),
    }
}

fn faults_of_provider_names(providers: &BTreeMap<String, Provider>) -> Vec<ConfigError> {
    let is_fit = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    providers
        .keys()
        .filter(|name| !is_fit(name))
        .map(|name| {
            let message = format!(
                "expected a name of letters, digits, `-` and `_`, found `{}`",
                name.escape_debug()
            );
            ConfigError::new(format!("providers.{name}"), message)
        })
        .collect()
}

/// A route's name travels in a header, and a client has to be able to write it.
fn fault_of_name(path: &str, name: &str) -> Option<ConfigError> {
    let message = if name.is_empty() {
        "expected a model name, found an empty one".to_owned()
    } else if !name.bytes().all(|b| b.is_ascii_graphic()) {
        format!(
            "expected visible ASCII characters, found `{}`",
            name.escape_debug()
        )
    } else if name.strip_suffix('*').unwrap_or(name).contains('*') {
        format!("expected `*` at the end only, found `{name}`")
    } else {
        return None;
    };
    Some(ConfigError::new(path, message))
}

fn faults_of_targets(
    path: &str,
    targets: &[ConfiguredTarget],
    providers: &BTreeMap<String, Provider>,
) -> Vec<ConfigError> {
    if targets.is_empty() {
        return vec![ConfigError::new(
            format!("{path}.targets"),
            "expected at least one target, found none",
        )];
    }
    let mut faults = Vec::new();
    for (position, target) in targets.iter().enumerate() {
        let path = format!("{path}.targets[{position}]");
        if !providers.contains_key(&target.provider) {
            let known = providers.keys().map(String::as_str);
            faults.push(ConfigError::unknown(
                format!("{path}.provider"),
                "provider",
                &target.provider,
                known,
            ));
        }
        if target.model.as_deref() == Some("") {
            let message = "expected the model as the provider names it, found an empty name";
            faults.push(ConfigError::new(format!("{path}.model"), message));
        }
        if target.weight == 0 {
            let message = "expected a weight of at least 1, found 0";
            faults.push(ConfigError::new(format!("{path}.weight"), message));
        }
        let has_one_before = |target: &ConfiguredTarget| {
            target
                .priority
                .checked_sub(1)
                .is_none_or(|before| targets.iter().any(|t| t.priority == before))
        };
        if !has_one_before(target) {
            let before = target.priority.saturating_sub(1);
            let message = format!(
                "expected priorities without gaps, found {} but no target of priority {before}",
                target.priority
            );
            faults.push(ConfigError::new(format!("{path}.priority"), message));
        }
    }
    faults
}

#[cfg(test)]
mod tests;
