// SPDX-License-Identifier: Apache-2.0

//! Where an issuer's keys are fetched from.
//!
//! The filter cannot connect to anything by itself: it asks Envoy to call a cluster by its name. The command renders
//! that cluster from the same value that the filter calls it by, so the two cannot disagree.
//!
//! Discovery is that of [OpenID Connect](https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig).
//! A cluster reaches one host, so the document may only name a key set at the issuer's own host; one that is
//! elsewhere has to be configured as `uri`. That also keeps whoever can change the document from sending the gateway
//! to other hosts.

use crate::config::{Endpoint, Jwks, JwtProvider, RemoteJwks};
use serde_json::Value;

/// The path of the discovery document, below the issuer's.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Where an issuer's keys are fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource {
    /// The host.
    pub endpoint: Endpoint,
    /// The cluster to call.
    pub cluster: String,
    /// Whether the cluster is to be rendered, and not the operator's own.
    pub is_rendered: bool,
    /// Path and query of the first request.
    pub(super) path: String,
    /// Whether the first request is for a discovery document.
    pub(super) is_discovered: bool,
}

impl KeySource {
    /// The source of an issuer's keys; `None` if they are configured.
    ///
    /// # Errors
    ///
    /// The key, relative to the issuer, and what was expected and found there.
    pub fn of(issuer: &JwtProvider) -> Result<Option<Self>, (&'static str, String)> {
        let Jwks::Remote(remote) = &issuer.jwks else {
            return Ok(None);
        };
        let source = match &remote.uri {
            Some(uri) => Self::at(remote, uri, "").map_err(|fault| ("jwks.remote.uri", fault))?,
            None => Self::at(remote, &issuer.issuer, WELL_KNOWN).map_err(|fault| {
                let next = "configure `jwks`, or an issuer that can be asked for its keys";
                ("issuer", format!("{fault}; {next}"))
            })?,
        };
        Ok(Some(source))
    }

    fn at(remote: &RemoteJwks, uri: &str, below: &str) -> Result<Self, String> {
        let (base, query) = match uri.split_once('?') {
            Some((base, query)) if below.is_empty() => (base, format!("?{query}")),
            _ => (uri, String::new()),
        };
        if !query.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err("expected a URL, found a query with a character that it cannot have".to_owned());
        }
        let endpoint: Endpoint = base.parse()?;
        // A key set may well lie at a path that ends in a slash.
        let slash = if below.is_empty() && (base.ends_with('/') || endpoint.path.is_empty()) {
            "/"
        } else {
            ""
        };
        Ok(Self {
            path: format!("{}{slash}{below}{query}", endpoint.path),
            cluster: remote.cluster.clone().unwrap_or_else(|| rendered_name(&endpoint)),
            is_rendered: remote.cluster.is_none(),
            is_discovered: !below.is_empty(),
            endpoint,
        })
    }

    /// The path of the key set that a discovery document names.
    pub(super) fn path_of_keys(&self, issuer: &str, document: &[u8]) -> Result<String, String> {
        let document: Value =
            serde_json::from_slice(document).map_err(|_| "the discovery document is no JSON".to_owned())?;
        if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err("the discovery document is another issuer's".to_owned());
        }
        let uri = document
            .get("jwks_uri")
            .and_then(Value::as_str)
            .ok_or("the discovery document has no `jwks_uri`")?;
        let found = Self::at(&RemoteJwks::default(), uri, "")
            .map_err(|_| "the discovery document's `jwks_uri` is no URL".to_owned())?;
        let is_ours = (found.endpoint.is_tls, &found.endpoint.host, found.endpoint.port)
            == (self.endpoint.is_tls, &self.endpoint.host, self.endpoint.port);
        if is_ours {
            Ok(found.path)
        } else {
            Err(format!(
                "the discovery document names a key set at another host, {}: configure it as `jwks.remote.uri`",
                found.endpoint.authority()
            ))
        }
    }
}

/// The name of the cluster that is rendered for a host. No provider's name has a slash.
fn rendered_name(endpoint: &Endpoint) -> String {
    format!("issuer/{}:{}", endpoint.host, endpoint.port)
}

#[cfg(test)]
mod tests {
    use super::KeySource;
    use crate::config::JwtProvider;
    use serde_json::{Value, json};

    fn source(issuer: &str, remote: Value) -> Result<Option<KeySource>, (&'static str, String)> {
        let provider: JwtProvider =
            serde_json::from_value(json!({"issuer": issuer, "jwks": {"remote": remote}})).unwrap();
        KeySource::of(&provider)
    }

    #[crate::test]
    fn the_issuer_alone_suffices() {
        for issuer in [
            "https://login.example.com/tenant",
            "https://login.example.com/tenant/",
        ] {
            let provider: JwtProvider = serde_json::from_value(json!({"issuer": issuer})).unwrap();
            let source = KeySource::of(&provider).unwrap().unwrap();
            assert_eq!(source.path, "/tenant/.well-known/openid-configuration");
            assert_eq!(source.cluster, "issuer/login.example.com:443");
            assert!(source.is_rendered && source.is_discovered && source.endpoint.is_tls);
        }
    }

    #[crate::test]
    fn a_key_set_has_an_address_and_maybe_a_cluster() {
        for (uri, path) in [
            ("http://keys.example:8080", "/"),
            ("http://keys.example:8080/certs", "/certs"),
            ("http://keys.example:8080/certs/", "/certs/"),
            ("http://keys.example:8080/certs?p=a&v=2", "/certs?p=a&v=2"),
        ] {
            let source = source("anything", json!({"uri": uri, "cluster": "idp"}))
                .unwrap()
                .unwrap();
            assert_eq!((source.path.as_str(), source.cluster.as_str()), (path, "idp"));
            assert!(!source.is_rendered && !source.is_discovered);
        }
        for (issuer, remote, key) in [
            ("not a url", json!({}), "issuer"),
            ("https://a?b", json!({}), "issuer"),
            ("https://a", json!({"uri": "ftp://a"}), "jwks.remote.uri"),
            (
                "https://a",
                json!({"uri": "https://me:pw@a/b"}),
                "jwks.remote.uri",
            ),
            ("https://a", json!({"uri": "https://a/b?c d"}), "jwks.remote.uri"),
        ] {
            let (found, message) = source(issuer, remote).unwrap_err();
            assert_eq!(found, key, "{message}");
            assert!(
                message.starts_with("expected") && !message.contains("pw"),
                "{message}"
            );
        }
    }

    #[crate::test]
    fn a_discovery_document_is_believed_for_its_own_issuer_and_host_only() {
        let issuer = "https://login.example.com";
        let source = source(issuer, json!({})).unwrap().unwrap();
        let ask = |document: Value| source.path_of_keys(issuer, document.to_string().as_bytes());
        let uri = "https://login.example.com/keys";
        assert_eq!(
            ask(json!({"issuer": issuer, "jwks_uri": uri})),
            Ok("/keys".to_owned())
        );
        for (document, part) in [
            (
                json!({"issuer": "https://evil.example", "jwks_uri": uri}),
                "another issuer's",
            ),
            (json!({"jwks_uri": uri}), "another issuer's"),
            (json!({"issuer": issuer}), "no `jwks_uri`"),
            (json!({"issuer": issuer, "jwks_uri": "x"}), "no URL"),
            (
                json!({"issuer": issuer, "jwks_uri": "https://evil.example/keys"}),
                "another host, evil.example",
            ),
            (
                json!({"issuer": issuer, "jwks_uri": "http://login.example.com/keys"}),
                "another host",
            ),
        ] {
            let fault = ask(document).unwrap_err();
            assert!(fault.contains(part), "{fault}");
        }
        assert!(source.path_of_keys(issuer, b"<html>").is_err());
    }
}
