// SPDX-License-Identifier: Apache-2.0

//! Credentials for providers that callers bring along.
//!
//! A provider may name a request header for them. What comes in it is presented to that provider, in place of the
//! gateway's own credential and for that request alone. It is removed from the request like a caller's credential, and
//! nothing here can print it.

use super::auth::MAX_CREDENTIAL_BYTES;
use crate::config::{ConfigError, Credential, Provider};
use crate::headers::Headers;
use core::fmt;
use std::collections::BTreeMap;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// The headers in which callers may bring credentials, and for whom.
#[derive(Clone, Debug, Default)]
pub struct BroughtHeaders {
    /// Header and provider.
    headers: Vec<(String, String)>,
    /// Whether any provider has credentials for teams.
    pub(crate) are_for_teams: bool,
}

impl BroughtHeaders {
    /// Reads the providers.
    ///
    /// # Errors
    ///
    /// Every fault of their `caller_credential_header` and `team_credentials`.
    pub fn new(providers: &BTreeMap<String, Provider>) -> Result<Self, Vec<ConfigError>> {
        let mut faults = Vec::new();
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, provider) in providers {
            let mut fault = |key: &str, message: &str| {
                faults.push(ConfigError::new(format!("providers.{name}.{key}"), message));
            };
            if let Some(header) = &provider.caller_credential_header {
                if !is_free_header(header) {
                    fault(
                        "caller_credential_header",
                        "expected a header in lower case that nothing else uses, such as \"x-openai-key\", found another",
                    );
                } else if headers.iter().any(|(other, _)| other == header) {
                    fault(
                        "caller_credential_header",
                        "expected a header of its own for each provider, found another's",
                    );
                }
                headers.push((header.clone(), name.clone()));
            }
            let is_injected = provider.credential.as_ref().is_some_and(Credential::is_injected);
            let replaces =
                provider.caller_credential_header.is_some() || !provider.team_credentials.is_empty();
            if is_injected && replaces {
                fault(
                    "credential",
                    "expected a credential by `env` where callers or teams have others, found one that Envoy \
                     would put in their place",
                );
            }
            for (team, credential) in &provider.team_credentials {
                if !matches!(credential, Credential::Env(_)) {
                    fault(
                        &format!("team_credentials.{team}"),
                        "expected a credential by `env`, found another",
                    );
                }
            }
        }
        if faults.is_empty() {
            Ok(Self {
                headers,
                are_for_teams: providers
                    .values()
                    .any(|provider| !provider.team_credentials.is_empty()),
            })
        } else {
            Err(faults)
        }
    }

    /// Whether this header, in lower case, may carry a credential.
    #[must_use]
    pub fn contain(&self, name: &str) -> bool {
        self.headers.iter().any(|(header, _)| header == name)
    }

    /// What a request brings: for each provider its credential.
    ///
    /// # Errors
    ///
    /// The header that holds no credential, or several.
    pub fn find(&self, headers: &Headers) -> Result<Vec<(String, Secret)>, String> {
        let mut found = Vec::new();
        for (header, provider) in &self.headers {
            let mut values = headers.all(header);
            let Some(value) = values.next() else { continue };
            let text = core::str::from_utf8(value).ok().map(str::trim);
            let is_one_word = |text: &&str| {
                !text.is_empty()
                    && text.len() <= MAX_CREDENTIAL_BYTES
                    && text.bytes().all(|b| b.is_ascii_graphic())
            };
            match text.filter(is_one_word) {
                Some(text) if values.next().is_none() => {
                    found.push((provider.clone(), Secret(text.to_owned())));
                }
                Some(_) | None => return Err(header.clone()),
            }
        }
        Ok(found)
    }
}

/// Whether a header is in lower case, and has no meaning to the gateway or a provider.
fn is_free_header(name: &str) -> bool {
    name.starts_with("x-")
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && ![
            "x-api-key",
            "x-request-id",
            "x-b3-traceid",
            "x-forwarded-for",
            "x-forwarded-proto",
        ]
        .contains(&name)
        && !name.starts_with("x-tollgate-")
        && !name.starts_with("x-envoy-")
}

#[cfg(test)]
mod tests {
    use super::BroughtHeaders;
    use crate::config::Provider;
    use crate::headers::Headers;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn providers(json: Value) -> BTreeMap<String, Provider> {
        let mut json = json;
        for provider in json.as_object_mut().unwrap().values_mut() {
            provider["kind"] = json!("openai");
            provider["endpoint"] = json!("https://llm.example/v1");
        }
        serde_json::from_value(json).unwrap()
    }

    #[crate::test]
    fn a_credential_is_found_for_its_provider_and_cannot_be_printed() {
        let providers = providers(json!({
            "a": {"caller_credential_header": "x-a-key"}, "b": {"caller_credential_header": "x-b-key"}, "c": {}
        }));
        let brought = BroughtHeaders::new(&providers).unwrap();
        assert!(brought.contain("x-a-key") && !brought.contain("x-c-key") && !brought.are_for_teams);
        let find = |pairs: &[(&str, &str)]| brought.find(&pairs.iter().copied().collect::<Headers>());
        assert_eq!(find(&[]), Ok(Vec::new()));
        let found = find(&[("x-b-key", " sk-secret "), ("x-c-key", "other")]).unwrap();
        assert_eq!((found[0].0.as_str(), found[0].1.expose()), ("b", "sk-secret"));
        assert_eq!(format!("{found:?}"), r#"[("b", Secret(9 bytes))]"#);
        for bad in [
            vec![("x-a-key", "")],
            vec![("x-a-key", "a b")],
            vec![("x-a-key", "a\tb")],
            vec![("x-a-key", "é")],
            vec![("x-a-key", "a"), ("x-a-key", "a")],
        ] {
            assert_eq!(find(&bad), Err("x-a-key".to_owned()), "{bad:?}");
        }
        let long = "x".repeat(super::MAX_CREDENTIAL_BYTES + 1);
        assert!(find(&[("x-a-key", &long)]).is_err());
    }

    #[crate::test]
    fn faults_of_the_configuration_have_paths() {
        let faults = BroughtHeaders::new(&providers(json!({
            "a": {"caller_credential_header": "x-key"},
            "b": {"caller_credential_header": "x-key"},
            "c": {"caller_credential_header": "X-Key"},
            "d": {"caller_credential_header": "x-api-key"},
            "e": {"caller_credential_header": "x-e", "credential": {"file": "/e"}},
            "f": {"team_credentials": {"search": {"file": "/f"}}},
            "g": {"team_credentials": {"search": {"env": "G"}}},
        })));
        let faults = faults.err().unwrap();
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "providers.b.caller_credential_header",
                "providers.c.caller_credential_header",
                "providers.d.caller_credential_header",
                "providers.e.credential",
                "providers.f.team_credentials.search",
            ]
        );
    }
}
