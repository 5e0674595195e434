// SPDX-License-Identifier: Apache-2.0

//! The filter's own configuration: which seat it takes, and what that seat has to know.
//!
//! `tollgate render` writes it. A hand-written Envoy configuration writes the same as JSON.

use super::{Gateway, Listener, Provider};
use serde::{Deserialize, Serialize};

/// The configuration of one filter instance.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(tag = "seat", rename_all = "snake_case", deny_unknown_fields)]
pub enum PluginConfig {
    /// A listener filter: identity, access, limits, routing.
    Gateway {
        /// The whole of `gateway.yaml`.
        gateway: Box<Gateway>,
    },
    /// An upstream filter of one cluster: translation.
    Provider {
        /// The cluster that this filter belongs to.
        cluster: String,
        /// The key in `providers`; what `x-tollgate-provider` tells the client.
        name: String,
        /// The provider's own settings.
        provider: Box<Provider>,
        /// The bounds to keep.
        #[serde(default)]
        bounds: Listener,
    },
    /// Both halves in one listener filter, where upstream filters cannot be loaded.
    Both {
        /// The whole of `gateway.yaml`.
        gateway: Box<Gateway>,
    },
}
