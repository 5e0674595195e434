// SPDX-License-Identifier: Apache-2.0

//! `identity`: who may call, and how they prove it.

use super::{Moment, Period};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The ways of proving who is calling. At least one must be given.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Issuers whose JSON Web Tokens are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwt: Vec<JwtProvider>,
    /// API keys, as digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_keys: Vec<ApiKey>,
    /// Whether a request without any credential is served, as the consumer `anonymous`.
    #[serde(default)]
    pub allow_anonymous: bool,
    /// A further header that may carry a credential, beside `authorization`, `x-api-key` and `api-key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_header: Option<String>,
    /// A query parameter that may carry a credential. It is taken out of the path before anything else reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_query: Option<String>,
    /// A principal that was authenticated before this filter. A request without one is judged by its credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<Trusted>,
}

/// Where somebody before the filter leaves whom it has authenticated. It is believed without further proof.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trusted {
    /// Claims that Envoy's `jwt_authn` filter has verified.
    JwtAuthn(TrustedClaims),
    /// The SPIFFE ID in the certificate of the client, which the listener has verified.
    Mtls(TrustedPeers),
    /// Headers that an earlier filter sets, and that it removes where a client sends them.
    Header(TrustedHeaders),
}

/// Claims in the metadata of Envoy's `jwt_authn` filter.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustedClaims {
    /// What the filter's provider has as `payload_in_metadata`.
    pub payload: String,
    /// Which claims make the principal; they have to be texts.
    #[serde(default)]
    pub claims: ClaimMapping,
}

/// Peers with a SPIFFE ID.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustedPeers {
    /// The trust domains whose workloads are accepted; at least one.
    pub trust_domains: Vec<String>,
}

/// Headers that name the principal.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustedHeaders {
    /// The header that names the consumer.
    pub consumer: String,
    /// The header that names the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Labels, each from a header.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// One issuer of JSON Web Tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JwtProvider {
    /// The `iss` claim, compared exactly.
    pub issuer: String,
    /// Accepted `aud` claims. Required, unless `allow_any_audience` is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Whether tokens are accepted that the issuer has made for somebody else.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub allow_any_audience: bool,
    /// Whether keys may be fetched over `http`, where whoever can answer in the issuer's place makes them.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub allow_plaintext: bool,
    /// Accepted `azp` claims: the clients that a token may have been issued to. Empty: it is not checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorized_parties: Vec<String>,
    /// Accepted `typ` header parameters, such as `at+jwt` (RFC 9068). Empty: it is not checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// The `jti` claims of tokens that are refused although they are valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied_ids: Vec<String>,
    /// The issuer's public keys. Absent: they are fetched from where the issuer's OpenID Connect discovery
    /// document says.
    #[serde(default)]
    pub jwks: Jwks,
    /// Clock difference that is forgiven in `exp` and `nbf`.
    #[serde(default = "default_leeway")]
    pub leeway: Period,
    /// Which claims make the principal.
    #[serde(default)]
    pub claims: ClaimMapping,
}

fn default_leeway() -> Period {
    Period::from_secs(60)
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Jwks {
    /// The key set itself, as JSON text.
    Inline(String),
    /// A file, relative to `gateway.yaml`. `tollgate render` reads it and writes its keys inline: they are
    /// public, and the filter cannot read files.
    File(String),
    /// Fetched by Envoy while it runs, and again before it is old.
    Remote(RemoteJwks),
}

impl Default for Jwks {
    fn default() -> Self {
        Self::Remote(RemoteJwks::default())
    }
}

/// A key set that is fetched over HTTP.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RemoteJwks {
    /// The URL of the key set. Absent: `jwks_uri` of the document at `ISSUER/.well-known/openid-configuration`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The Envoy cluster that reaches it. Absent: one is rendered for its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// How long to wait for one answer.
    pub timeout: Period,
    /// The shortest time between two planned fetches, whatever the answer's `cache-control` says.
    pub min_refresh: Period,
    /// The longest time between two planned fetches, whatever the answer's `cache-control` says.
    pub max_refresh: Period,
    /// How long keys are used after the last fetch that succeeded.
    pub max_stale: Period,
    /// How long to wait after a token with an unknown `kid` had the set fetched, before another one may.
    pub refetch_interval: Period,
}

impl Default for RemoteJwks {
    fn default() -> Self {
        Self {
            uri: None,
            cluster: None,
            timeout: Period::from_secs(5),
            min_refresh: Period::from_secs(60),
            max_refresh: Period::from_secs(3600),
            max_stale: Period::from_secs(86_400),
            refetch_interval: Period::from_secs(5),
        }
    }
}

/// Which claims become what. A name with dots reaches into objects: `realm.team`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ClaimMapping {
    /// The claim that names the consumer. A token without it is refused.
    pub consumer: String,
    /// The claim that names the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Labels, each from a claim: `{ tier: plan }` makes the label `tier` of the claim `plan`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What stands in for claims that are absent.
    #[serde(skip_serializing_if = "ClaimDefaults::is_empty")]
    pub defaults: ClaimDefaults,
}

/// What stands in for claims that are absent. There is none for the consumer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ClaimDefaults {
    /// The team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Labels, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl ClaimDefaults {
    fn is_empty(&self) -> bool {
        self.team.is_none() && self.labels.is_empty()
    }
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self {
            consumer: "sub".to_owned(),
            team: None,
            labels: BTreeMap::new(),
            defaults: ClaimDefaults::default(),
        }
    }
}

/// One API key, as a digest, and whom it stands for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// SHA-256 of the key, as 64 hexadecimal digits: `tollgate key new` tells it, or
    /// `printf %s "$KEY" | sha256sum`.
    pub sha256: String,
    /// A name for the key. It becomes the label `api_key`, which limits and access rules may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When the key stops being accepted: a day (midnight UTC) or a time in UTC. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    /// The models that the key may be used for, as names or prefixes followed by `*`, among those that access rules
    /// give its consumer. Absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// The consumer.
    pub consumer: String,
    /// The consumer's team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Labels of the consumer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What the key has in place of a JSON Web Token's claims. Absent: nothing is known of any claim, so that no rule
    /// allows by one and every rule denies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<BTreeMap<String, Vec<String>>>,
}
