// SPDX-License-Identifier: Apache-2.0

//! `credential.gcp_metadata` and `credential.azure_imds`: access tokens of the machine's own identity, from the
//! metadata service that every machine at Google Cloud and at Azure has.

use super::{Credential, Endpoint};
use serde::{Deserialize, Serialize};

/// Google Cloud's metadata server
/// (<https://cloud.google.com/compute/docs/access/authenticate-workloads#applications>).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GcpMetadata {
    /// The metadata server's base URL.
    #[serde(default = "gcp_endpoint")]
    pub endpoint: String,
    /// Whose token is asked for: an email address, or `default`.
    #[serde(default = "default_account")]
    pub service_account: String,
}

/// Azure's Instance Metadata Service
/// (<https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AzureImds {
    /// The metadata service's base URL.
    #[serde(default = "azure_endpoint")]
    pub endpoint: String,
    /// What the token is for.
    #[serde(default = "azure_resource")]
    pub resource: String,
    /// Which of several identities is meant, by its client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

fn gcp_endpoint() -> String {
    "http://metadata.google.internal".to_owned()
}

fn default_account() -> String {
    "default".to_owned()
}

fn azure_endpoint() -> String {
    "http://169.254.169.254".to_owned()
}

fn azure_resource() -> String {
    "https://cognitiveservices.azure.com".to_owned()
}

/// A request for an access token, but for the parts that change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The host.
    pub endpoint: Endpoint,
    /// Path and query.
    pub path: String,
    /// The header without which a metadata service answers nobody, so that nothing can be tricked into asking it.
    pub header: (&'static str, &'static str),
}

impl Credential {
    /// How the filter asks for the access token, if that is its business.
    ///
    /// # Errors
    ///
    /// The key, and what was expected and found there.
    pub fn token_request(&self) -> Result<Option<TokenRequest>, (&'static str, String)> {
        let (endpoint, key, path, header) = match self {
            Self::GcpMetadata(settings) => {
                let account = &settings.service_account;
                if account.starts_with('.') || !is_plain(account, b"-._@") {
                    let message = "expected an email address or `default`, found another text";
                    return Err(("credential.gcp_metadata.service_account", message.to_owned()));
                }
                (
                    &settings.endpoint,
                    "credential.gcp_metadata.endpoint",
                    format!("/computeMetadata/v1/instance/service-accounts/{account}/token"),
                    ("metadata-flavor", "Google"),
                )
            }
            Self::AzureImds(settings) => {
                if !is_plain(&settings.resource, b"-._~:/") {
                    let message =
                        "expected a URL such as \"https://cognitiveservices.azure.com\", found another text";
                    return Err(("credential.azure_imds.resource", message.to_owned()));
                }
                let mut path = format!(
                    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource={}",
                    settings.resource
                );
                if let Some(id) = &settings.client_id {
                    if !is_plain(id, b"-") {
                        let message = "expected a client id, found another text";
                        return Err(("credential.azure_imds.client_id", message.to_owned()));
                    }
                    path.push_str("&client_id=");
                    path.push_str(id);
                }
                let key = "credential.azure_imds.endpoint";
                (&settings.endpoint, key, path, ("metadata", "true"))
            }
            Self::Env(_) | Self::File(_) | Self::OAuth2(_) => return Ok(None),
        };
        let endpoint: Endpoint = endpoint.parse().map_err(|fault| (key, fault))?;
        Ok(Some(TokenRequest {
            path: format!("{}{path}", endpoint.path),
            endpoint,
            header,
        }))
    }
}

/// Whether a text is not empty and has letters, digits and these signs alone.
fn is_plain(text: &str, signs: &[u8]) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || signs.contains(&byte))
}

/// The cluster through which a provider's access token is fetched. No provider's name has a slash.
#[must_use]
pub fn token_cluster(provider: &str) -> String {
    format!("token/{provider}")
}

#[cfg(test)]
mod tests {
    use super::super::Credential;
    use serde_json::{Value, json};

    fn request(credential: Value) -> Result<(String, String), &'static str> {
        let credential: Credential = serde_json::from_value(credential).unwrap();
        match credential.token_request() {
            Ok(found) => {
                let found = found.unwrap();
                Ok((found.endpoint.to_string(), found.path))
            }
            Err((key, message)) => {
                assert!(message.starts_with("expected"), "{message}");
                Err(key)
            }
        }
    }

    #[crate::test]
    fn the_vendors_addresses_are_the_defaults() {
        let (host, path) = request(json!({"gcp_metadata": {}})).unwrap();
        assert_eq!(host, "http://metadata.google.internal");
        assert_eq!(
            path,
            "/computeMetadata/v1/instance/service-accounts/default/token"
        );
        let (host, path) = request(json!({"azure_imds": {"client_id": "1-2"}})).unwrap();
        assert_eq!(host, "http://169.254.169.254");
        assert_eq!(
            path,
            "/metadata/identity/oauth2/token?api-version=2018-02-01\
             &resource=https://cognitiveservices.azure.com&client_id=1-2"
        );
    }

    #[crate::test]
    fn nothing_gets_out_of_its_place() {
        for (credential, key) in [
            (
                json!({"gcp_metadata": {"service_account": "a/../b"}}),
                "credential.gcp_metadata.service_account",
            ),
            (
                json!({"gcp_metadata": {"service_account": ".."}}),
                "credential.gcp_metadata.service_account",
            ),
            (
                json!({"gcp_metadata": {"endpoint": "ftp://a"}}),
                "credential.gcp_metadata.endpoint",
            ),
            (
                json!({"azure_imds": {"resource": "a&b=c"}}),
                "credential.azure_imds.resource",
            ),
            (
                json!({"azure_imds": {"client_id": ""}}),
                "credential.azure_imds.client_id",
            ),
        ] {
            assert_eq!(request(credential), Err(key));
        }
    }
}
