// SPDX-License-Identifier: Apache-2.0

//! From a request to its counters: which limits apply, and which counter of each.
//!
//! A counter's key is the first half of the SHA-256 of the limit's definition and the request's values. A
//! cryptographic digest, because callers choose some of the values (the model, under a prefix route) and must not
//! be able to choose whose counter they share. The definition is part of it, `max` aside, so that a limit whose
//! window or meaning changes starts afresh, and one that is raised keeps its state. Each value is preceded by its
//! length, so no two lists of values look alike. The definition is digested once, at configuration.

use super::Demand;
use super::shard::CounterKey;
use super::sliding_window::SlidingWindow;
use crate::config::{ConfigError, Limit, LimitCount, LimitMatch, LimitStore};
use crate::policy::auth::Principal;
use core::ops::RangeInclusive;
use core::time::Duration;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(31 * 86_400);
const SHARDS: RangeInclusive<u16> = 1..=4096;
const MIN_COUNTERS_PER_SHARD: u16 = 16;

/// One limit, ready to be asked.
pub(super) struct CompiledLimit {
    pub(super) name: String,
    pub(super) count: LimitCount,
    pub(super) max: u64,
    pub(super) window: SlidingWindow,
    consumer: Option<String>,
    team: Option<String>,
    model: Option<ModelPattern>,
    labels: BTreeMap<String, String>,
    per: Vec<Part>,
    /// The digest of the definition, to be continued with the values.
    definition: Sha256,
}

enum ModelPattern {
    Exact(String),
    Prefix(String),
}

/// What makes a counter of its own.
enum Part {
    Consumer,
    Team,
    Model,
    Label(String),
}

impl CompiledLimit {
    /// Whether the limit concerns the request.
    pub(super) fn applies_to(&self, demand: &Demand<'_>) -> bool {
        let Principal {
            consumer,
            team,
            labels,
            ..
        } = demand.principal;
        self.consumer.as_ref().is_none_or(|wanted| wanted == consumer)
            && self
                .team
                .as_ref()
                .is_none_or(|wanted| Some(wanted) == team.as_ref())
            && self.model.as_ref().is_none_or(|pattern| match pattern {
                ModelPattern::Exact(name) => name == demand.model,
                ModelPattern::Prefix(prefix) => demand.model.starts_with(prefix.as_str()),
            })
            && self
                .labels
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
    }

    /// The counter that the request uses. A missing team or label is the empty value.
    pub(super) fn key(&self, demand: &Demand<'_>) -> CounterKey {
        let mut digest = self.definition.clone();
        for part in &self.per {
            let value = match part {
                Part::Consumer => demand.principal.consumer.as_str(),
                Part::Team => demand.principal.team.as_deref().unwrap_or_default(),
                Part::Model => demand.route,
                Part::Label(name) => demand.principal.labels.get(name).map_or("", String::as_str),
            };
            absorb(&mut digest, value);
        }
        let digest = digest.finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }

    /// What the request asks of the limit, if `output_tokens` are reserved.
    pub(super) const fn amount(&self, demand: &Demand<'_>, output_tokens: u64) -> u64 {
        match self.count {
            LimitCount::InputTokens => demand.input_tokens,
            LimitCount::OutputTokens => output_tokens,
            LimitCount::Requests => 1,
            LimitCount::TotalTokens => demand.input_tokens.saturating_add(output_tokens),
        }
    }
}

fn absorb(digest: &mut Sha256, value: &str) {
    digest.update((value.len() as u64).to_le_bytes());
    digest.update(value.as_bytes());
}

/// The name of a count in configuration and in refusals.
pub(super) const fn count_name(count: LimitCount) -> &'static str {
    match count {
        LimitCount::InputTokens => "input_tokens",
        LimitCount::OutputTokens => "output_tokens",
        LimitCount::Requests => "requests",
        LimitCount::TotalTokens => "total_tokens",
    }
}

/// Reads and checks the `limits` and `limit_store` sections.
///
/// # Errors
///
/// Every fault of both.
pub(super) fn compile(limits: &[Limit], store: &LimitStore) -> Result<Vec<CompiledLimit>, Vec<ConfigError>> {
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    let mut compiled = Vec::with_capacity(limits.len());
    for (index, limit) in limits.iter().enumerate() {
        let mut fault = |key: &str, message: String| {
            faults.push(ConfigError::new(format!("limits[{index}].{key}"), message));
        };
        if limit.name.trim().is_empty() {
            fault("name", "expected a name, found an empty text".to_owned());
        } else if !names.insert(limit.name.as_str()) {
            fault(
                "name",
                format!("expected a unique name, found \"{}\" again", limit.name),
            );
        }
        if limit.max == 0 {
            fault(
                "max",
                "expected a number above 0, found 0; use `access` to forbid a model".to_owned(),
            );
        }
        if !WINDOWS.contains(&limit.window.0) {
            fault(
                "window",
                format!("expected a duration from 1s to 31d, found {}", limit.window),
            );
        }
        let model = read_pattern(&limit.applies_to, &mut fault);
        let per = read_parts(&limit.per, &mut fault);
        compiled.push(build(limit, model, per));
    }
    check_store(limits.len(), store, &mut faults);
    if faults.is_empty() {
        Ok(compiled)
    } else {
        Err(faults)
    }
}

fn check_store(limits: usize, store: &LimitStore, faults: &mut Vec<ConfigError>) {
    if !SHARDS.contains(&store.shards) {
        let message = format!("expected a number from 1 to 4096, found {}", store.shards);
        faults.push(ConfigError::new("limit_store.shards", message));
    }
    let least = usize::from(MIN_COUNTERS_PER_SHARD).max(limits);
    if usize::from(store.counters_per_shard) < least {
        let message = format!(
            "expected at least {MIN_COUNTERS_PER_SHARD}, and no fewer than there are limits ({limits}), found {}",
            store.counters_per_shard
        );
        faults.push(ConfigError::new("limit_store.counters_per_shard", message));
    }
}

fn build(limit: &Limit, model: Option<ModelPattern>, per: Vec<Part>) -> CompiledLimit {
    let mut definition = Sha256::new();
    absorb(&mut definition, &limit.name);
    absorb(&mut definition, count_name(limit.count));
    definition.update(limit.window.0.as_nanos().to_le_bytes());
    for part in &limit.per {
        absorb(&mut definition, part);
    }
    // The end of the list: a length that no part has.
    definition.update(u64::MAX.to_le_bytes());
    CompiledLimit {
        name: limit.name.clone(),
        count: limit.count,
        max: limit.max,
        window: SlidingWindow::new(limit.window.0),
        consumer: limit.applies_to.consumer.clone(),
        team: limit.applies_to.team.clone(),
        model,
        labels: limit.applies_to.labels.clone(),
        per,
        definition,
    }
}

fn read_pattern(applies_to: &LimitMatch, fault: &mut impl FnMut(&str, String)) -> Option<ModelPattern> {
    let model = applies_to.model.as_deref()?;
    let (text, pattern) = match model.strip_suffix('*') {
        Some(prefix) => (prefix, ModelPattern::Prefix(prefix.to_owned())),
        None => (model, ModelPattern::Exact(model.to_owned())),
    };
    if model.is_empty() || text.contains('*') {
        let message = format!("expected a model's name or a prefix followed by one `*`, found \"{model}\"");
        fault("match.model", message);
    }
    Some(pattern)
}

fn read_parts(per: &[String], fault: &mut impl FnMut(&str, String)) -> Vec<Part> {
    let mut parts = Vec::with_capacity(per.len());
    for (index, text) in per.iter().enumerate() {
        let key = format!("per[{index}]");
        if per.iter().take(index).any(|earlier| earlier == text) {
            fault(&key, format!("expected each part once, found \"{text}\" again"));
        }
        match text.as_str() {
            "consumer" => parts.push(Part::Consumer),
            "team" => parts.push(Part::Team),
            "model" => parts.push(Part::Model),
            _ => match text.strip_prefix("label:").filter(|name| !name.is_empty()) {
                Some(name) => parts.push(Part::Label(name.to_owned())),
                None => fault(&key, unknown_part(text)),
            },
        }
    }
    parts
}

fn unknown_part(text: &str) -> String {
    let nearest = ["consumer", "team", "model", "label:NAME"]
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(known, text), known))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    let hint = nearest.map_or_else(String::new, |(_, known)| format!("; did you mean \"{known}\"?"));
    format!("expected \"consumer\", \"team\", \"model\" or \"label:NAME\", found \"{text}\"{hint}")
}
