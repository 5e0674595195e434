// SPDX-License-Identifier: Apache-2.0

//! `models`: what clients may ask for, and where it is served.

use super::Period;
use serde::{Deserialize, Serialize};

/// A route: one model name, or all names with a prefix, and the targets that serve it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The model as clients name it: exact, or a prefix followed by `*`. An exact name wins over a pattern, a
    /// longer prefix over a shorter one.
    pub name: String,
    /// Who serves it. Targets of priority 0 are tried first, those of priority 1 when that failed, and so on;
    /// among targets of one priority the weights decide.
    pub targets: Vec<Target>,
    /// Output tokens to reserve for a request that sets no bound, until the route has learned better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_output_tokens: Option<u32>,
    /// The output bound of a request that sets none: it is reserved in full, and the provider is told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_output_tokens: Option<u32>,
    /// How long a whole exchange may take, all attempts together. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// How long one attempt may be silent before the next target is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_try_idle_timeout: Option<Period>,
}

/// One place that serves a model.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// A key of `providers`.
    pub provider: String,
    /// The model as this provider names it. Absent: the name that the client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// 0 is tried first. Priorities have no gaps.
    #[serde(default)]
    pub priority: u32,
    /// The share of requests among the targets of the same priority.
    #[serde(default = "default_weight")]
    pub weight: u32,
}

fn default_weight() -> u32 {
    1
}
