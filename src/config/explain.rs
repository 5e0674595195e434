// SPDX-License-Identifier: Apache-2.0

//! `explain`: who may have decisions explained.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Principals: all conditions must hold, and without any it is everybody.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PrincipalMatch {
    /// Only this consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Only this team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Only principals with all of these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}
