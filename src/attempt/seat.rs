// SPDX-License-Identifier: Apache-2.0

//! What the filter of one cluster knows of its provider.

use super::access_token::AccessToken;
use crate::clock::Timestamp;
use crate::config::{ConfigError, Credential, Endpoint, Listener, Provider, ProviderKind};
use crate::provider::{Operation, Settings, configured};
use std::cell::Cell;
use std::rc::Rc;

/// Anthropic requires an output bound. This is sent when neither the client nor the configuration gives one.
const DEFAULT_MAX_TOKENS: u32 = 4096;

/// The header in which AWS's temporary credentials travel beside the signature.
pub const SESSION_HEADER: &str = "x-amz-security-token";

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
    /// When the log last told that the credential was refused.
    pub(super) told_of_refusal: Cell<Option<Timestamp>>,
}

/// The head of the request that goes to the provider, as a whole: what is not listed is not sent.
pub type UpstreamHead = Vec<(&'static str, Vec<u8>)>;

impl ProviderSeat {
    /// Reads the settings of one provider.
    ///
    /// # Errors
    ///
    /// An endpoint that is missing or not an HTTP URL, or a key that this kind of provider does not take.
    pub fn new(
        cluster: String,
        name: &str,
        provider: Provider,
        bounds: Listener,
    ) -> Result<Self, ConfigError> {
        let endpoint = provider.base_url(name)?;
        if let Some((key, message)) = configured::fault(&provider) {
            return Err(ConfigError::new(format!("providers.{name}.{key}"), message));
        }
        Ok(Self {
            cluster,
            name: name.into(),
            endpoint,
            bounds,
            provider,
            told_of_refusal: Cell::new(None),
        })
    }

    pub(super) const fn kind(&self) -> ProviderKind {
        self.provider.kind
    }

    /// Whether the provider is sent the client's `baggage`.
    pub(super) const fn forwards_baggage(&self) -> bool {
        self.provider.forward_baggage
    }

    /// The environment variable that holds the provider's credential, if it comes from one.
    #[must_use]
    pub fn credential_variable(&self) -> Option<&str> {
        match self.provider.credential.as_ref()? {
            Credential::Env(name) => Some(name),
            Credential::File(_)
            | Credential::OAuth2(_)
            | Credential::GcpMetadata(_)
            | Credential::AzureImds(_) => None,
        }
    }

    /// The provider's access token, if the filter fetches it.
    #[must_use]
    pub fn access_token(&self) -> Option<AccessToken> {
        AccessToken::new(&self.name, self.provider.credential.as_ref()?)
    }

    /// The environment variables that hold teams' credentials, by team.
    pub fn team_credential_variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let teams = self.provider.team_credentials.iter();
        teams.filter_map(|(team, credential)| match credential {
            Credential::Env(name) => Some((team.as_str(), name.as_str())),
            Credential::File(_)
            | Credential::OAuth2(_)
            | Credential::GcpMetadata(_)
            | Credential::AzureImds(_) => None,
        })
    }

    /// Whether Envoy signs the provider's requests.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.provider.is_signed()
    }

    /// The headers that carry the credential, Envoy's signature included.
    pub fn credential_header_names(&self) -> impl Iterator<Item = &'static str> {
        [self.credential_header().0]
            .into_iter()
            .chain(self.is_signed().then_some(SESSION_HEADER))
    }

    /// The header that carries the credential, and what stands before it there.
    pub(super) const fn credential_header(&self) -> (&'static str, &'static str) {
        self.provider.credential_header()
    }

    pub(super) fn settings(&self, upstream_model: &str, operation: Operation, created: u64) -> Settings {
        let provider = &self.provider;
        Settings {
            kind: provider.kind,
            operation,
            upstream_model: upstream_model.to_owned(),
            on_unsupported: provider.on_unsupported,
            stream_usage: provider.stream_usage.unwrap_or(true),
            output_bound_field: provider
                .output_bound_field
                .unwrap_or_else(|| provider.kind.output_bound_field()),
            developer_role: provider
                .developer_role
                .unwrap_or_else(|| provider.kind.keeps_to_openai()),
            default_max_tokens: provider.default_max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
            max_output_tokens: None,
            created,
            answer_id: String::new(),
            told_input_tokens: None,
            api_version: provider.api_version.clone(),
            unsupported: provider.preset.map_or(&[], |preset| preset.facts().unsupported),
            max_event_bytes: usize::try_from(self.bounds.max_event_bytes.0).unwrap_or(usize::MAX),
        }
    }
}
