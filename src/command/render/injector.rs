// SPDX-License-Identifier: Apache-2.0

//! Credentials that Envoy itself adds behind our filter, which never sees them: from a file, or an access token that
//! Envoy fetches with a client's secret and renews before it expires.

use super::envoy::{Options, secret_config};
use super::issuer;
use super::yaml::{Yaml, extension, map, typed};
use crate::command::check::Checked;
use crate::config::{Credential, Endpoint, OAuth2, Provider, token_cluster};
use core::time::Duration;

/// The filter that adds the credential; `None` if it is our own that does.
///
/// # Errors
///
/// A token endpoint that is no URL.
pub(super) fn filter(
    provider: &str,
    settings: &Provider,
    credential: &Credential,
    options: &Options,
) -> Result<Option<Yaml>, String> {
    let source = match credential {
        Credential::Env(_) | Credential::GcpMetadata(_) | Credential::AzureImds(_) => return Ok(None),
        Credential::File(_) => generic(provider, settings, options),
        Credential::OAuth2(oauth2) => client(provider, oauth2, options)?,
    };
    Ok(Some(extension(
        "envoy.filters.http.credential_injector",
        typed(
            "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
            [("overwrite", true.into()), ("credential", source)],
        ),
    )))
}

fn generic(provider: &str, settings: &Provider, options: &Options) -> Yaml {
    let (header, prefix) = settings.credential_header();
    let mut generic = typed(
        "envoy.extensions.http.injected_credentials.generic.v3.Generic",
        [
            ("credential", secret_config(provider, options)),
            ("header", header.into()),
        ],
    );
    if !prefix.is_empty() {
        generic = generic.with("header_value_prefix", prefix);
    }
    extension("envoy.http.injected_credentials.generic", generic)
}

fn client(provider: &str, oauth2: &OAuth2, options: &Options) -> Result<Yaml, String> {
    oauth2.token_url.parse::<Endpoint>()?;
    let endpoint = map([
        ("uri", oauth2.token_url.as_str().into()),
        ("cluster", token_cluster(provider).into()),
        ("timeout", Duration::from_secs(5).into()),
    ]);
    let client = map([
        ("client_id", oauth2.client_id.as_str().into()),
        ("client_secret", secret_config(provider, options)),
        ("auth_type", "URL_ENCODED_BODY".into()),
    ]);
    let scopes: Vec<Yaml> = oauth2.scopes.iter().map(|scope| scope.as_str().into()).collect();
    let mut config = typed(
        "envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2",
        [
            ("token_endpoint", endpoint),
            ("client_credentials", client),
            // The first try may come before Envoy has read the client's secret.
            ("token_fetch_retry_interval", Duration::from_secs(1).into()),
        ],
    );
    if !scopes.is_empty() {
        config = config.with("scopes", scopes);
    }
    Ok(extension("envoy.http.injected_credentials.oauth2", config))
}

/// The clusters that access tokens are fetched from, one for each provider that needs them.
pub(super) fn clusters(checked: &Checked) -> Vec<Yaml> {
    let providers = checked.gateway.providers.iter();
    let clusters = providers.filter_map(|(name, provider)| match provider.credential.as_ref()? {
        Credential::OAuth2(oauth2) => {
            let endpoint = oauth2.token_url.parse::<Endpoint>().ok()?;
            Some(issuer::host_cluster(&token_cluster(name), &endpoint))
        }
        credential @ (Credential::GcpMetadata(_) | Credential::AzureImds(_)) => {
            let request = credential.token_request().ok()??;
            Some(issuer::host_cluster(&token_cluster(name), &request.endpoint))
        }
        Credential::Env(_) | Credential::File(_) => None,
    });
    clusters.collect()
}
