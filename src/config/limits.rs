// SPDX-License-Identifier: Apache-2.0

//! `limits` and `limit_store`: how much may be used, and the memory it takes to know.

use super::{Decimal, Period};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One limit: what it counts, for whom, how much and how long.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The name that a refusal tells the client. Unique.
    pub name: String,
    /// Which requests it applies to. Absent: all.
    #[serde(default, rename = "match")]
    pub applies_to: LimitMatch,
    /// One counter for each combination of these: `consumer`, `team`, `model` (the route, so
    /// that all names under a pattern share one), `label:NAME`. Empty: one counter for everybody together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per: Vec<String>,
    /// What is counted.
    pub count: LimitCount,
    /// With `count: weighted_tokens`, what each kind of token counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// How much may be counted: in any window, at once from a full bucket, in a period, or in flight. USD for
    /// `count: usd`.
    pub max: Decimal,
    /// Other values of `max` for some. The first that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<LimitOverride>,
    /// The length of a sliding window, from `1s` to `31d`. One of `window`, `bucket` and `calendar`, and none where
    /// only requests in flight count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Period>,
    /// A bucket that holds `max` and fills again evenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<Bucket>,
    /// A period of the calendar, at whose end all is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarWindow>,
    /// Whether the limit refuses, or only tells what it would refuse.
    #[serde(default, skip_serializing_if = "LimitMode::is_default")]
    pub mode: LimitMode,
    /// What happens to a request whose output bound is more than is left.
    #[serde(default, skip_serializing_if = "OnShort::is_default")]
    pub on_short: OnShort,
    /// With `on_short: clamp`, the least output tokens of a choice that a request is lowered to. With less left it
    /// is refused.
    #[serde(default = "min_useful_output", skip_serializing_if = "is_min_useful_output")]
    pub min_useful_output: u64,
}

impl Limit {
    /// Whether `min_useful_output` is what it is where it is absent.
    #[must_use]
    pub fn has_default_min_useful_output(&self) -> bool {
        is_min_useful_output(&self.min_useful_output)
    }
}

/// What each kind of token counts in a limit on weighted tokens, with up to six decimal places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Tokens of the prompt that were not read from a cache.
    pub input: Decimal,
    /// Tokens of the prompt that were read from a cache.
    pub cached_input: Decimal,
    /// Tokens produced, reasoning aside.
    pub output: Decimal,
    /// Tokens of reasoning.
    pub reasoning: Decimal,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            input: Decimal::ONE,
            cached_input: Decimal::ONE,
            output: Decimal::ONE,
            reasoning: Decimal::ONE,
        }
    }
}

/// Another `max` for some.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LimitOverride {
    /// For which requests; at least one condition.
    #[serde(rename = "match")]
    pub applies_to: LimitMatch,
    /// How much they may use.
    pub max: Decimal,
}

/// A bucket that fills again evenly.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// How much comes back in each `every`. Absent: `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refill: Option<Decimal>,
    /// From `1s` to `31d`.
    pub every: Period,
}

/// A period of the calendar.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CalendarWindow {
    /// Its length.
    pub every: CalendarUnit,
    /// Where it begins and ends: a name of the time zone database, for example `Europe/Berlin`.
    #[serde(default = "utc")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// The length of a period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CalendarUnit {
    /// An hour of the clock.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first to the last.
    Month,
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LimitMode {
    /// It does.
    #[default]
    Enforce,
    /// It counts, and tells what it would have refused.
    Shadow,
}

impl LimitMode {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn min_useful_output() -> u64 {
    256
}

fn is_min_useful_output(min_useful_output_tokens: &u64) -> bool {
    *min_useful_output_tokens == min_useful_output()
}

/// What happens to a request whose output bound is more than a limit has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnShort {
    /// Its output bound is lowered to what is left, so that the provider stops in time.
    Clamp,
    /// It is refused.
    #[default]
    Refuse,
}

impl OnShort {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which requests a limit applies to: all conditions must hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LimitMatch {
    /// Only this consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Only this team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Only this route: an exact name of `models`, or a prefix followed by `*`, compared with the model that the
    /// client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Only principals with all of these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl LimitMatch {
    /// Whether there is no condition at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.consumer.is_none() && self.team.is_none() && self.model.is_none() && self.labels.is_empty()
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LimitCount {
    /// Requests in flight.
    ConcurrentRequests,
    /// Input and output tokens that requests in flight have reserved.
    ConcurrentTokens,
    /// Tokens of the prompt, cached parts included.
    InputTokens,
    /// Tokens produced, reasoning included.
    OutputTokens,
    /// Requests.
    Requests,
    /// Input and output tokens together.
    TotalTokens,
    /// What requests cost, by the prices that are known, in USD.
    Usd,
    /// Tokens, each kind with its weight.
    WeightedTokens,
}

/// The memory for counters. Together they bound it, whatever the number of callers: see docs/configuration.md.
/// A counter takes about 40 bytes, one in constant use about 200, and never more than 440.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LimitStore {
    /// How many blocks the counters are spread over, from 1 to 4096. More blocks: less contention between workers.
    pub shards: u16,
    /// How many counters one block may hold, at least 16. Beyond it the counters closest to expiry make room and
    /// forget what they had counted; those of requests in flight stay.
    pub counters_per_shard: u16,
}

impl Default for LimitStore {
    fn default() -> Self {
        Self {
            shards: 1024,
            counters_per_shard: 64,
        }
    }
}
