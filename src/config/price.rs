// SPDX-License-Identifier: Apache-2.0

//! `prices`: what providers charge, where it differs from the list that ships.

use super::Decimal;
use serde::{Deserialize, Serialize};

/// The price of a provider's model.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// A key of `providers`.
    pub provider: String,
    /// The model as the provider names it, or a prefix followed by `*`.
    pub model: String,
    /// A million input tokens, in USD.
    pub input: Decimal,
    /// A million input tokens that were read from a cache. Absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Decimal>,
    /// A million input tokens that were written to a cache. Absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Decimal>,
    /// A million output tokens, in USD.
    pub output: Decimal,
    /// A million output tokens of reasoning. Absent: as `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Decimal>,
    /// An image of the prompt, beside its tokens, in USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Decimal>,
    /// A request, beside its tokens, in USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Decimal>,
    /// What requests with a long prompt cost, with all of their tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_prompt: Option<LongPrompt>,
}

/// The price of a request whose prompt is long.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LongPrompt {
    /// More input tokens than this make a prompt long, cached ones included.
    pub above: u64,
    /// A million input tokens, in USD.
    pub input: Decimal,
    /// A million input tokens that were read from a cache. Absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Decimal>,
    /// A million input tokens that were written to a cache. Absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Decimal>,
    /// A million output tokens, in USD.
    pub output: Decimal,
    /// A million output tokens of reasoning. Absent: as `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Decimal>,
}
