// SPDX-License-Identifier: Apache-2.0

//! Principals that somebody before this filter has authenticated.
//!
//! Platform teams that authenticate elsewhere configure where the result is: Envoy's own `jwt_authn` filter leaves a
//! token's claims in the request's metadata, a TLS listener knows its peer's certificate, and any earlier filter may
//! set a header. Each is believed if it is configured, and only then. Metadata and certificates cannot be forged by a
//! client; a header can, unless whoever sets it also removes the client's, which is the operator's to see to.
//!
//! A request without such a principal is judged by its credential, as if nothing were configured here.

use super::deny::Deny;
use super::principal::{ISSUER_LABEL, Principal};
use crate::config::{ClaimMapping, ConfigError, Trusted, TrustedHeaders};
use crate::headers::Headers;
use crate::policy::connection::Connection;
use std::collections::BTreeMap;

/// The name of Envoy's filter, under which its metadata stands.
const JWT_AUTHN: &str = "envoy.filters.http.jwt_authn";
/// The longest value that is taken from a header or an attribute, in bytes.
const MAX_VALUE_BYTES: usize = 1024;

/// Appends what is wrong with the configuration to `faults`.
pub(super) fn check(trusted: &Trusted, faults: &mut Vec<ConfigError>) {
    let mut fault = |key: &str, message: &str| {
        faults.push(ConfigError::new(format!("identity.trusted.{key}"), message));
    };
    match trusted {
        Trusted::JwtAuthn(jwt) if jwt.payload.is_empty() => {
            fault("jwt_authn.payload", "expected a name, found an empty text");
        }
        Trusted::JwtAuthn(_) => {}
        Trusted::Mtls(mtls) => {
            if mtls.trust_domains.is_empty() || mtls.trust_domains.iter().any(String::is_empty) {
                fault(
                    "mtls.trust_domains",
                    "expected at least one trust domain such as \"example.org\", found none",
                );
            }
        }
        Trusted::Header(headers) => {
            let names = [&headers.consumer]
                .into_iter()
                .chain(&headers.team)
                .chain(headers.labels.values());
            if names.into_iter().any(|name| !is_header(name)) {
                fault(
                    "header",
                    "expected headers in lower case, none of which begins with `x-tollgate-` or `:`, found another",
                );
            }
        }
    }
}

fn is_header(name: &str) -> bool {
    let is_lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    !name.is_empty() && name.bytes().all(is_lower) && !name.starts_with("x-tollgate-")
}

/// The principal that was authenticated before; `None` if there is none.
pub(super) fn find(
    trusted: &Trusted,
    kept_claims: &[String],
    headers: &Headers,
    connection: &dyn Connection,
) -> Result<Option<Principal>, Deny> {
    match trusted {
        Trusted::JwtAuthn(jwt) => Ok(from_claims(&jwt.payload, &jwt.claims, kept_claims, connection)),
        Trusted::Mtls(mtls) => Ok(from_certificate(&mtls.trust_domains, connection)),
        Trusted::Header(names) => from_headers(names, headers),
    }
}

/// The claims that `jwt_authn` has verified, as texts; other values are as if they were absent.
fn from_claims(
    payload: &str,
    mapping: &ClaimMapping,
    kept_claims: &[String],
    connection: &dyn Connection,
) -> Option<Principal> {
    let at = |name: &str, connection: &dyn Connection| {
        let root = ["metadata", "filter_metadata", JWT_AUTHN, payload];
        let whole: Vec<&str> = root.into_iter().chain([name]).collect();
        let found = connection.attribute(&whole);
        if found.is_some() || !name.contains('.') {
            return found;
        }
        let parts: Vec<&str> = root.into_iter().chain(name.split('.')).collect();
        connection.attribute(&parts)
    };
    let claim = |name: &String| text(at(name, connection)?);
    let labels = mapping.labels.iter();
    let labels = labels.filter_map(|(label, name)| Some((label.clone(), claim(name)?)));
    let issuer = claim(&"iss".to_owned()).map(|issuer| (ISSUER_LABEL.to_owned(), issuer));
    Some(Principal {
        consumer: claim(&mapping.consumer)?,
        team: mapping
            .team
            .as_ref()
            .and_then(claim)
            .or_else(|| mapping.defaults.team.clone()),
        labels: mapping
            .defaults
            .labels
            .clone()
            .into_iter()
            .chain(labels)
            .chain(issuer)
            .collect(),
        models: None,
        claims: kept_claims
            .iter()
            .filter_map(|name| {
                let found = at(name, connection);
                Some((name.clone(), found.map_or(Some(Vec::new()), values)?))
            })
            .collect(),
    })
}

/// A claim's values as Envoy gives them: a text, or a list in the form of a header map whose names are the members.
/// `None` if it is neither.
fn values(value: Vec<u8>) -> Option<Vec<String>> {
    if let Some(one) = text(value.clone()) {
        return Some(vec![one]);
    }
    let size = value.len();
    let list = Headers::from_serialized(value);
    let members = list.iter().map(|(name, _)| text(name.to_vec()));
    let members = members.collect::<Option<Vec<String>>>()?;
    let written = list.iter().map(|(name, value)| name.len() + value.len() + 10);
    (written.sum::<usize>() + 4 == size && size > 4).then_some(members)
}

/// The SPIFFE ID of a peer whose certificate the listener has verified
/// (<https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/>).
fn from_certificate(trust_domains: &[String], connection: &dyn Connection) -> Option<Principal> {
    if connection.attribute(&["connection", "mtls"])? != [1] {
        return None;
    }
    let id = attribute(connection, &["connection", "uri_san_peer_certificate"])?;
    let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
    if path.is_empty() || !trust_domains.iter().any(|trusted| trusted == domain) {
        return None;
    }
    // Kubernetes workloads are named /ns/NAMESPACE/sa/SERVICE_ACCOUNT.
    let mut labels = BTreeMap::from([("trust_domain".to_owned(), domain.to_owned())]);
    let mut namespace = None;
    if let ["ns", name, "sa", account] = path.split('/').collect::<Vec<_>>().as_slice() {
        labels.insert("service_account".to_owned(), (*account).to_owned());
        namespace = Some((*name).to_owned());
    }
    Some(Principal {
        team: namespace,
        labels,
        consumer: id,
        ..Principal::default()
    })
}

fn from_headers(names: &TrustedHeaders, headers: &Headers) -> Result<Option<Principal>, Deny> {
    let value = |name: &String| {
        let mut values = headers.all(name);
        let Some(first) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Deny::Ambiguous);
        }
        let text = text(first.to_vec()).ok_or(Deny::Malformed)?;
        Ok(Some(text))
    };
    let Some(consumer) = value(&names.consumer)? else {
        return Ok(None);
    };
    let team = match &names.team {
        Some(name) => value(name)?,
        None => None,
    };
    let mut labels = BTreeMap::new();
    for (label, name) in &names.labels {
        if let Some(found) = value(name)? {
            labels.insert(label.clone(), found);
        }
    }
    Ok(Some(Principal {
        consumer,
        team,
        labels,
        ..Principal::default()
    }))
}

fn attribute(connection: &dyn Connection, path: &[&str]) -> Option<String> {
    text(connection.attribute(path)?)
}

/// A value that can be a name: some text, not too long, without control characters.
fn text(value: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(value).ok()?;
    let is_name = !text.is_empty() && text.len() <= MAX_VALUE_BYTES && !text.contains(char::is_control);
    is_name.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::{check, find};
    use crate::config::Trusted;
    use crate::headers::Headers;
    use crate::policy::auth::{Deny, Principal};
    use crate::policy::connection::Connection;
    use core::net::IpAddr;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    /// A host that knows these attributes, by their joined paths.
    struct Host(BTreeMap<&'static str, Vec<u8>>);

    impl Connection for Host {
        fn source_address(&self) -> Option<IpAddr> {
            None
        }
        fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
            self.0.get(path.join("/").as_str()).cloned()
        }
    }

    fn ask(
        trusted: Value,
        attributes: &[(&'static str, &[u8])],
        headers: &[(&str, &str)],
    ) -> Result<Option<Principal>, Deny> {
        let trusted: Trusted = serde_json::from_value(trusted).unwrap();
        let host = Host(
            attributes
                .iter()
                .map(|(path, value)| (*path, value.to_vec()))
                .collect(),
        );
        let headers: Headers = headers.iter().copied().collect();
        find(&trusted, &["groups".to_owned()], &headers, &host)
    }

    #[crate::test]
    fn claims_that_envoy_has_verified_make_the_principal() {
        let trusted = json!({"jwt_authn": {"payload": "p", "claims": {
            "team": "realm.team", "labels": {"tier": "https://x.example/tier", "plan": "plan"},
            "defaults": {"labels": {"plan": "free"}}
        }}});
        let attributes: [(&str, &[u8]); 4] = [
            (
                "metadata/filter_metadata/envoy.filters.http.jwt_authn/p/sub",
                b"alice",
            ),
            (
                "metadata/filter_metadata/envoy.filters.http.jwt_authn/p/realm/team",
                b"search",
            ),
            (
                "metadata/filter_metadata/envoy.filters.http.jwt_authn/p/https://x.example/tier",
                b"gold",
            ),
            (
                "metadata/filter_metadata/envoy.filters.http.jwt_authn/p/groups",
                b"admins",
            ),
        ];
        let principal = ask(trusted.clone(), &attributes, &[]).unwrap().unwrap();
        assert_eq!(
            (principal.consumer.as_str(), principal.team.as_deref()),
            ("alice", Some("search"))
        );
        assert_eq!(
            (
                principal.labels["tier"].as_str(),
                principal.labels["plan"].as_str()
            ),
            ("gold", "free")
        );
        assert_eq!(principal.claims["groups"], ["admins"]);
        let groups = "metadata/filter_metadata/envoy.filters.http.jwt_authn/p/groups";
        let with_groups = |value: &[u8]| {
            let mut attributes: Vec<(&'static str, Vec<u8>)> = attributes
                .iter()
                .map(|(path, value)| (*path, value.to_vec()))
                .collect();
            attributes[3] = (groups, value.to_vec());
            let borrowed: Vec<_> = attributes
                .iter()
                .map(|(path, value)| (*path, value.as_slice()))
                .collect();
            ask(trusted.clone(), &borrowed, &[])
                .unwrap()
                .unwrap()
                .claims
                .remove("groups")
        };
        let list = crate::headers::serialize([("users", &b""[..]), ("admins", &b""[..])].into_iter());
        assert_eq!(
            with_groups(&list),
            Some(vec!["users".to_owned(), "admins".to_owned()])
        );
        // What cannot be read is not taken for a claim that is absent.
        for unreadable in [&list[..list.len() - 1], &[0xff; 9], b"", &[0; 4]] {
            assert_eq!(with_groups(unreadable), None, "{unreadable:?}");
        }
        let without = ask(trusted.clone(), &attributes[..3], &[]).unwrap().unwrap();
        assert!(without.claims["groups"].is_empty());
        // Without the consumer there is nobody.
        assert_eq!(ask(trusted, &attributes[1..], &[]), Ok(None));
    }

    #[crate::test]
    fn a_peer_is_known_by_its_spiffe_id_in_a_trusted_domain() {
        let ask_for = |mtls: &'static [u8], id: &'static str| {
            let attributes: [(&str, &[u8]); 2] = [
                ("connection/mtls", mtls),
                ("connection/uri_san_peer_certificate", id.as_bytes()),
            ];
            ask(
                json!({"mtls": {"trust_domains": ["example.org"]}}),
                &attributes,
                &[],
            )
            .unwrap()
        };
        let principal = ask_for(&[1], "spiffe://example.org/ns/web/sa/frontend").unwrap();
        assert_eq!(principal.consumer, "spiffe://example.org/ns/web/sa/frontend");
        assert_eq!(principal.team.as_deref(), Some("web"));
        assert_eq!(principal.labels["service_account"], "frontend");
        let other = ask_for(&[1], "spiffe://example.org/batch/job").unwrap();
        assert_eq!(
            (other.team, other.labels["trust_domain"].as_str()),
            (None, "example.org")
        );
        for (mtls, id) in [
            (&[0][..], "spiffe://example.org/a"),
            (&[], "spiffe://example.org/a"),
            (&[1], "spiffe://evil.org/a"),
            (&[1], "spiffe://example.org.evil.org/a"),
            (&[1], "spiffe://example.org/"),
            (&[1], "spiffe://example.org"),
            (&[1], "https://example.org/a"),
            (&[1], ""),
        ] {
            assert_eq!(ask_for(mtls, id), None, "{mtls:?} {id}");
        }
    }

    #[crate::test]
    fn a_header_of_an_earlier_filter_names_the_consumer() {
        let trusted =
            json!({"header": {"consumer": "x-user", "team": "x-team", "labels": {"tier": "x-tier"}}});
        let all = [("x-user", "alice"), ("x-team", "search"), ("x-tier", "gold")];
        let principal = ask(trusted.clone(), &[], &all).unwrap().unwrap();
        assert_eq!(
            (principal.consumer.as_str(), principal.team.as_deref()),
            ("alice", Some("search"))
        );
        assert_eq!(principal.labels["tier"], "gold");
        let long = "x".repeat(1025);
        for (headers, expected) in [
            (vec![("x-team", "search")], Ok(None)),
            (
                vec![("x-user", "alice"), ("x-user", "alice")],
                Err(Deny::Ambiguous),
            ),
            (
                vec![("x-user", "alice"), ("x-team", "a"), ("x-team", "b")],
                Err(Deny::Ambiguous),
            ),
            (vec![("x-user", "")], Err(Deny::Malformed)),
            (vec![("x-user", "a\u{7}")], Err(Deny::Malformed)),
            (vec![("x-user", long.as_str())], Err(Deny::Malformed)),
        ] {
            assert_eq!(ask(trusted.clone(), &[], &headers), expected, "{headers:?}");
        }
    }

    #[crate::test]
    fn faults_of_the_configuration_have_paths() {
        for (trusted, path) in [
            (
                json!({"jwt_authn": {"payload": ""}}),
                "identity.trusted.jwt_authn.payload",
            ),
            (
                json!({"mtls": {"trust_domains": []}}),
                "identity.trusted.mtls.trust_domains",
            ),
            (
                json!({"header": {"consumer": "X-User"}}),
                "identity.trusted.header",
            ),
            (
                json!({"header": {"consumer": "x-tollgate-user"}}),
                "identity.trusted.header",
            ),
            (
                json!({"header": {"consumer": "x-user", "team": ""}}),
                "identity.trusted.header",
            ),
        ] {
            let mut faults = Vec::new();
            check(&serde_json::from_value(trusted).unwrap(), &mut faults);
            assert_eq!(
                faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(),
                [path]
            );
        }
    }
}
