// SPDX-License-Identifier: Apache-2.0

//! `listener` and `admin`.

use super::ByteSize;
use serde::{Deserialize, Serialize};

/// The listener, as rendered for Envoy, and the bounds that the filter keeps.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// The address to bind.
    pub address: String,
    /// The port to bind.
    pub port: u16,
    /// Whether the access log is rendered, and the filter state written that it shows.
    pub access_log: bool,
    /// The largest request body that is read. A larger one is answered with 413.
    pub max_request_body_bytes: ByteSize,
    /// The largest provider answer that is held in memory when it cannot be streamed.
    pub max_response_body_bytes: ByteSize,
    /// The largest single event of a stream.
    pub max_event_bytes: ByteSize,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: "0.0.0.0".to_owned(),
            port: 10000,
            access_log: true,
            max_request_body_bytes: ByteSize(10 << 20),
            max_response_body_bytes: ByteSize(10 << 20),
            max_event_bytes: ByteSize(1 << 20),
        }
    }
}

/// Envoy's admin interface, as rendered for Envoy.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// The address to bind. Keep it private: the admin interface can stop Envoy.
    pub address: String,
    /// The port to bind.
    pub port: u16,
}
