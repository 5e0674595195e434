// SPDX-License-Identifier: Apache-2.0

//! `access`: which principals may use which models.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One permission. Rules only add: a model may be used if any rule for the principal names it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// Only this consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Only this team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Only principals with all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The models: exact names of `models`, or prefixes followed by `*`.
    pub models: Vec<String>,
}
