// SPDX-License-Identifier: Apache-2.0

//! What the filter of one cluster knows of its provider.

use crate::config::{ConfigError, Credential, Endpoint, Listener, Provider, ProviderKind};
use crate::provider::Settings;
use std::rc::Rc;

/// Anthropic requires an output bound. This is sent when neither the client nor the configuration gives one.
const DEFAULT_MAX_TOKENS: u32 = 4096;

/// The provider seat of one cluster.
#[derive(Debug)]
pub struct ProviderSeat {
    /// The cluster that the filter belongs to.
    pub cluster: String,
    /// The provider, as configured.
    pub name: Rc<str>,
    pub(super) endpoint: Endpoint,
    pub(super) bounds: Listener,
    provider: Provider,
}

/// The head of the request that goes to the provider, as a whole: what is not listed is not sent.
pub type UpstreamHead = Vec<(&'static str, Vec<u8>)>;

impl ProviderSeat {
    /// Reads the settings of one provider.
    ///
    /// # Errors
    ///
    /// An endpoint that is not an HTTP URL.
    pub fn new(
        cluster: String,
        name: &str,
        provider: Provider,
        bounds: Listener,
    ) -> Result<Self, ConfigError> {
        let endpoint = provider
            .endpoint
            .parse()
            .map_err(|message| ConfigError::new(format!("providers.{name}.endpoint"), message))?;
        Ok(Self {
            cluster,
            name: name.into(),
            endpoint,
            bounds,
            provider,
        })
    }

    pub(super) const fn kind(&self) -> ProviderKind {
        self.provider.kind
    }

    /// The environment variable that holds the provider's credential, if it comes from one.
    #[must_use]
    pub fn credential_variable(&self) -> Option<&str> {
        match self.provider.credential.as_ref()? {
            Credential::Env(name) => Some(name),
            Credential::File(_) => None,
        }
    }

    /// The environment variables that hold teams' credentials, by team.
    pub fn team_credential_variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let teams = self.provider.team_credentials.iter();
        teams.filter_map(|(team, credential)| match credential {
            Credential::Env(name) => Some((team.as_str(), name.as_str())),
            Credential::File(_) => None,
        })
    }

    /// The header that carries the credential.
    #[must_use]
    pub const fn credential_header_name(&self) -> &'static str {
        self.credential_header().0
    }

    /// The header that carries the credential, and what stands before it there.
    pub(super) const fn credential_header(&self) -> (&'static str, &'static str) {
        self.provider.kind.credential_header()
    }

    pub(super) fn settings(&self, upstream_model: &str, created: u64) -> Settings {
        let provider = &self.provider;
        Settings {
            kind: provider.kind,
            upstream_model: upstream_model.to_owned(),
            on_unsupported: provider.on_unsupported,
            // Mistral reports usage unasked and refuses the field.
            stream_usage: provider
                .stream_usage
                .unwrap_or(provider.kind != ProviderKind::Mistral),
            default_max_tokens: provider.default_max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
            created,
            max_event_bytes: usize::try_from(self.bounds.max_event_bytes.0).unwrap_or(usize::MAX),
        }
    }
}
