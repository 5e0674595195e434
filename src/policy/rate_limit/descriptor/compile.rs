// SPDX-License-Identifier: Apache-2.0

//! Reads the `limits` and `limit_store` sections, and tells every fault of them.

use super::super::calendar::Calendar;
use super::super::measure::{Measure, Unit};
use super::super::sliding_window::SlidingWindow;
use super::super::token_bucket::TokenBucket;
use super::super::window::{Pace, Window};
use super::{CompiledLimit, LimitPace, ModelPattern, Part, Who, absorb, half};
use crate::config::{
    CalendarUnit, ConfigError, Decimal, Limit, LimitCount, LimitMatch, LimitMode, LimitStore, OnShort, Period,
};
use core::ops::RangeInclusive;
use core::time::Duration;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(31 * 86_400);
const SHARDS: RangeInclusive<u16> = 1..=4096;
const MIN_COUNTERS_PER_SHARD: u16 = 16;

/// The largest budget, in USD: what one counter holds has to stay far below what 64 bits do.
const MOST_USD: u64 = 10_000_000;

/// Reads and checks the `limits` and `limit_store` sections.
///
/// # Errors
///
/// Every fault of both.
pub(in super::super) fn compile(
    limits: &[Limit],
    store: &LimitStore,
) -> Result<Vec<CompiledLimit>, Vec<ConfigError>> {
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
        let measure = Measure::new(limit);
        if limit.weights.is_some() != (limit.count == LimitCount::WeightedTokens) {
            let message = "expected weights with `count: weighted_tokens`, and only there".to_owned();
            fault("weights", message);
        }
        let max = read_max("max", limit.max, measure, &mut fault);
        let pace = read_pace(limit, measure, &mut fault);
        check_useful(limit, measure, max, &mut fault);
        let overrides = read_overrides(limit, measure, &mut fault);
        let who = read_who("match", &limit.applies_to, &mut fault);
        let per = read_parts(&limit.per, &mut fault);
        let definition = definition(limit, measure);
        compiled.push(CompiledLimit {
            name: limit.name.clone(),
            measure,
            min_useful_output: (limit.on_short == OnShort::Clamp).then_some(limit.min_useful_output),
            is_shadow: limit.mode == LimitMode::Shadow,
            max,
            overrides,
            pace,
            who,
            per,
            identity: half(definition.clone()),
            definition,
        });
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

fn read_max(key: &str, max: Decimal, measure: Measure, fault: &mut impl FnMut(&str, String)) -> u64 {
    if max.0 == 0 {
        let message = "expected a number above 0, found 0; use `access` to forbid a model".to_owned();
        fault(key, message);
    }
    if measure == Measure::Usd && max > Decimal::from_whole(MOST_USD) {
        fault(key, format!("expected at most {MOST_USD} USD, found {max}"));
    }
    measure.amount_of(max).unwrap_or_else(|| {
        fault(key, format!("expected a whole number, found {max}"));
        1
    })
}

/// `window`, `bucket` or `calendar`: one of them, or none where only requests in flight count.
fn read_pace(limit: &Limit, measure: Measure, fault: &mut impl FnMut(&str, String)) -> LimitPace {
    let given = [
        limit.window.is_some(),
        limit.bucket.is_some(),
        limit.calendar.is_some(),
    ];
    let in_flight = LimitPace::Fixed(Window::new(Pace::InFlight));
    let count = given.iter().filter(|given| **given).count();
    if measure.is_in_flight() {
        if count > 0 {
            let message = format!(
                "expected none with `count: {}`: only requests in flight count",
                measure.name()
            );
            fault("window", message);
        }
        return in_flight;
    }
    if count != 1 {
        let message = format!("expected one of `window`, `bucket` and `calendar`, found {count}");
        fault("window", message);
        return in_flight;
    }
    if let Some(window) = limit.window {
        check_duration("window", window, fault);
        return LimitPace::Fixed(Window::new(Pace::Sliding(SlidingWindow::new(nanos(window)))));
    }
    if let Some(bucket) = &limit.bucket {
        check_duration("bucket.every", bucket.every, fault);
        let refill = read_max(
            "bucket.refill",
            bucket.refill.unwrap_or(limit.max),
            measure,
            fault,
        );
        return LimitPace::Fixed(Window::new(Pace::Bucket(TokenBucket::new(
            refill,
            nanos(bucket.every),
        ))));
    }
    let Some(calendar) = &limit.calendar else {
        return in_flight;
    };
    match Calendar::new(calendar.every, &calendar.time_zone) {
        Ok(calendar) => LimitPace::Calendar(calendar),
        Err(message) => {
            fault("calendar.time_zone", message);
            in_flight
        }
    }
}

fn check_duration(key: &str, period: Period, fault: &mut impl FnMut(&str, String)) {
    if !WINDOWS.contains(&period.0) {
        fault(key, format!("expected a duration from 1s to 31d, found {period}"));
    }
}

/// Never zero, for time is divided by it.
fn nanos(period: Period) -> u64 {
    u64::try_from(period.0.as_nanos()).unwrap_or(u64::MAX).max(1)
}

fn check_useful(limit: &Limit, measure: Measure, max: u64, fault: &mut impl FnMut(&str, String)) {
    let most = match measure.unit() {
        Unit::Tokens => measure.told(max),
        Unit::MicroUsd | Unit::Requests => u64::MAX,
    };
    if limit.on_short == OnShort::Clamp && !(1..=most).contains(&limit.min_useful_output) {
        let message = format!(
            "expected a number from 1 to `max`, found {}",
            limit.min_useful_output
        );
        fault("min_useful_output", message);
    }
}

fn read_overrides(limit: &Limit, measure: Measure, fault: &mut impl FnMut(&str, String)) -> Vec<(Who, u64)> {
    let read = |(index, other): (usize, &crate::config::LimitOverride)| {
        let key = |name: &str| format!("overrides[{index}].{name}");
        if other.applies_to.is_empty() {
            fault(
                &key("match"),
                "expected at least one condition, found none".to_owned(),
            );
        }
        let who = read_who(&key("match"), &other.applies_to, fault);
        (who, read_max(&key("max"), other.max, measure, fault))
    };
    limit.overrides.iter().enumerate().map(read).collect()
}

fn read_who(key: &str, applies_to: &LimitMatch, fault: &mut impl FnMut(&str, String)) -> Who {
    Who {
        consumer: applies_to.consumer.clone(),
        team: applies_to.team.clone(),
        model: read_pattern(&format!("{key}.model"), applies_to, fault),
        labels: applies_to.labels.clone(),
    }
}

/// What a counter's meaning depends on: with any other definition it starts afresh.
fn definition(limit: &Limit, measure: Measure) -> Sha256 {
    let mut definition = Sha256::new();
    absorb(&mut definition, &limit.name);
    absorb(&mut definition, measure.name());
    if let Some(window) = limit.window {
        definition.update(window.0.as_nanos().to_le_bytes());
    }
    if let Some(weights) = &limit.weights {
        for weight in [
            weights.input,
            weights.cached_input,
            weights.output,
            weights.reasoning,
        ] {
            definition.update(weight.0.to_le_bytes());
        }
    }
    if limit.bucket.is_some() {
        absorb(&mut definition, "bucket");
    }
    if let Some(calendar) = &limit.calendar {
        absorb(
            &mut definition,
            match calendar.every {
                CalendarUnit::Hour => "hour",
                CalendarUnit::Day => "day",
                CalendarUnit::Week => "week",
                CalendarUnit::Month => "month",
            },
        );
        absorb(&mut definition, &calendar.time_zone);
    }
    for part in &limit.per {
        absorb(&mut definition, part);
    }
    // The end of the list: a length that no part has.
    definition.update(u64::MAX.to_le_bytes());
    definition
}

fn read_pattern(
    key: &str,
    applies_to: &LimitMatch,
    fault: &mut impl FnMut(&str, String),
) -> Option<ModelPattern> {
    let model = applies_to.model.as_deref()?;
    let (text, pattern) = match model.strip_suffix('*') {
        Some(prefix) => (prefix, ModelPattern::Prefix(prefix.to_owned())),
        None => (model, ModelPattern::Exact(model.to_owned())),
    };
    if model.is_empty() || text.contains('*') {
        let message = format!("expected a model's name or a prefix followed by one `*`, found \"{model}\"");
        fault(key, message);
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
