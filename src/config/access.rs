// SPDX-License-Identifier: Apache-2.0

//! `access` and `access_options`: which principals may use which models, and for what.

use super::Moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One rule. A request is served if no `deny` rule fits it and, where there are `allow` rules, one of them does.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// A name for the rule, which the access log tells of a request that it refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What becomes of a request that fits.
    #[serde(default)]
    pub effect: AccessEffect,
    /// Only this consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Only this team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Only principals with all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Only JSON Web Tokens with all of these claims. A name with dots reaches into objects, and a claim that is a
    /// list has each of its members as a value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
    /// Only callers from these networks: addresses, or prefixes such as `10.0.0.0/8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Vec<String>>,
    /// Only at these times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<AccessTime>,
    /// The models: exact names of `models`, or prefixes followed by `*`. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// The endpoints. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<AccessEndpoint>>,
    /// `allow`: all that a request may use of these capabilities; absent: everything. `deny`: a request that uses any
    /// of them fits; absent: every request does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<Capability>>,
    /// `allow` only: the most input tokens of a request, as they are estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    /// `allow` only: the highest output bound of a request. A request without one does not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
}

/// What becomes of a request that fits a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AccessEffect {
    /// It may be served.
    #[default]
    Allow,
    /// It is refused, whatever other rules say.
    Deny,
}

/// What a request may ask of a model beside text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Images in the prompt.
    Images,
    /// An answer that comes in pieces.
    Streaming,
    /// Tools or functions to call.
    Tools,
}

/// An endpoint of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AccessEndpoint {
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/embeddings`.
    Embeddings,
}

/// When a rule holds. All conditions must be met; every time is in UTC.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AccessTime {
    /// Not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// Not at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Only on these days of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<Vec<Weekday>>,
    /// Only at these hours: `08:00-18:00`, or over midnight `22:00-06:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Thursday, on which the Unix epoch began.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
}

/// What holds for all rules together.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AccessOptions {
    /// What becomes of a request where there is no `allow` rule at all.
    #[serde(default)]
    pub default: AccessEffect,
    /// How a model is refused that the principal may not use for anything.
    #[serde(default)]
    pub hidden_models: HiddenModels,
}

/// How a model is refused that the principal may not use for anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HiddenModels {
    /// With 403.
    #[default]
    Forbidden,
    /// With 404, as if there were no such model.
    NotFound,
}
