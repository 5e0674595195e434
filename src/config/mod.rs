// SPDX-License-Identifier: Apache-2.0

//! The schema of `gateway.yaml`, and of the JSON that the filter is configured with.
//!
//! These are the words that people write, and nothing else: no behaviour, no defaults that depend on one
//! another. Runtime types are built from them elsewhere (`TryFrom`), next to themselves, so this room imports
//! nothing of ours. Unknown keys are errors everywhere.

pub mod access;
mod aws;
mod confidential;
pub mod endpoint;
pub mod error;
pub mod explain;
pub mod identity;
pub mod limits;
pub mod listener;
pub mod load;
mod metadata;
pub mod model;
mod moment;
mod place;
pub mod plugin;
mod preset;
pub mod price;
pub mod provider;
mod quantity;
mod text;

pub use access::{
    AccessEffect, AccessEndpoint, AccessOptions, AccessRule, AccessTime, Capability, HiddenModels, Weekday,
};
pub use aws::Signing;
pub use endpoint::Endpoint;
pub use error::ConfigError;
pub use explain::PrincipalMatch;
pub use identity::{
    ApiKey, ClaimDefaults, ClaimMapping, Identity, Jwks, JwtProvider, RemoteJwks, Trusted, TrustedHeaders,
};
pub use limits::{
    Bucket, CalendarUnit, CalendarWindow, Limit, LimitCount, LimitMatch, LimitMode, LimitOverride,
    LimitStore, OnShort, Weights,
};
pub use listener::{Admin, Listener};
pub use metadata::{AzureImds, GcpMetadata, TokenRequest, token_cluster};
pub use model::{Model, Target};
pub use moment::Moment;
pub use plugin::PluginConfig;
pub use preset::{Facts, Preset};
pub use price::{LongPrompt, Price};
pub use provider::{
    ClientSecret, Credential, CredentialScheme, OAuth2, OnUnsupported, OutputBoundField, Provider,
    ProviderKind,
};
pub use quantity::{ByteSize, Decimal, Period};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `gateway.yaml`: the one file that people write.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Where clients connect, and how large a request may be.
    #[serde(default)]
    pub listener: Listener,
    /// Envoy's admin interface. Absent: it is not opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// The providers, by a name of your choice. The name becomes the Envoy cluster's name.
    pub providers: BTreeMap<String, Provider>,
    /// The models that clients may ask for, and where each is served.
    pub models: Vec<Model>,
    /// Who may call.
    pub identity: Identity,
    /// Which principals may use which models, and for what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<AccessRule>,
    /// What holds for all rules of `access` together.
    #[serde(default)]
    pub access_options: AccessOptions,
    /// How much may be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    /// Who may have decisions explained. Empty: nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explain: Vec<PrincipalMatch>,
    /// What providers charge, where it differs from the list that ships with the gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<Price>,
    /// The memory that limits may take.
    #[serde(default)]
    pub limit_store: LimitStore,
}
