// SPDX-License-Identifier: Apache-2.0

//! JSON Web Tokens: their form, and the order in which they are judged.
//!
//! [RFC 7519](https://www.rfc-editor.org/rfc/rfc7519) tokens in the compact form of
//! [RFC 7515](https://www.rfc-editor.org/rfc/rfc7515#section-7.1), read as
//! [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725) advises. A token that brings its own key, or the address of
//! one (`jwk`, `jku`, `x5c`, `x5u`), is refused. `iss` is read before the signature is verified, but only to choose whose keys to
//! verify with, and `exp` and `nbf`, because a token whose time is over needs no signature. Every other claim is judged
//! after the signature, so that a refusal tells the truth about a token that the issuer really made, and nobody can ask
//! what would be accepted.
//!
//! base64url is read strictly: no padding, no other alphabet, no loose bits at the end. So one token has one
//! spelling, and one digest.

use super::algorithm::{Algorithm, PublicKey};
use super::cache::Verified;
use super::claims::{self, Claims};
use super::deny::Deny;
use super::host_signature::SignatureHost;
use super::jwks::{KeySet, NoKey};
use super::key_source::KeySource;
use super::principal::ISSUER_LABEL;
use super::remote::{NoRemoteKey, RemoteKeys};
use super::strict_json;
use crate::clock::Timestamp;
use crate::config::{ClaimMapping, ConfigError, Jwks, JwtProvider};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use core::time::Duration;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Header parameters by which a token would say what to verify it with (RFC 7515, section 4.1).
const OWN_KEYS: [&str; 4] = ["jku", "jwk", "x5c", "x5u"];

/// One issuer, ready to judge its tokens.
pub(super) struct Issuer {
    /// Its place in the configuration.
    place: usize,
    name: String,
    audiences: Vec<String>,
    authorized_parties: Vec<String>,
    types: Vec<String>,
    denied_ids: BTreeSet<String>,
    leeway: Duration,
    mapping: ClaimMapping,
    /// The claims that access rules ask about.
    kept_claims: Vec<String>,
    keys: Keys,
}

/// Where an issuer's keys come from.
enum Keys {
    /// The configuration.
    Fixed(KeySet),
    /// The issuer, at the given place in the configuration.
    Remote(Box<RemoteKeys>),
}

impl Issuer {
    /// Reads one issuer; appends its faults to `faults`.
    fn new(provider: &JwtProvider, place: usize, path: &str, faults: &mut Vec<ConfigError>) -> Option<Self> {
        let before = faults.len();
        let mapping = &provider.claims;
        let lists = [
            ("audiences", &provider.audiences),
            ("authorized_parties", &provider.authorized_parties),
            ("types", &provider.types),
            ("denied_ids", &provider.denied_ids),
        ];
        let listed = lists.into_iter().flat_map(|(key, list)| {
            let items = list.iter().enumerate();
            items.map(move |(index, item)| (format!("{key}[{index}]"), item))
        });
        let names = [("issuer".to_owned(), &provider.issuer)]
            .into_iter()
            .chain(listed)
            .chain([("claims.consumer".to_owned(), &mapping.consumer)])
            .chain(mapping.team.iter().map(|team| ("claims.team".to_owned(), team)))
            .chain(
                mapping
                    .labels
                    .iter()
                    .map(|(label, claim)| (format!("claims.labels.{label}"), claim)),
            )
            .chain(
                mapping
                    .defaults
                    .team
                    .iter()
                    .map(|team| ("claims.defaults.team".to_owned(), team)),
            );
        for (key, _) in names.filter(|(_, name)| name.is_empty()) {
            faults.push(ConfigError::new(
                format!("{path}.{key}"),
                "expected a name, found an empty text",
            ));
        }
        let is_taken =
            mapping.labels.contains_key(ISSUER_LABEL) || mapping.defaults.labels.contains_key(ISSUER_LABEL);
        if is_taken {
            faults.push(ConfigError::new(
                format!("{path}.claims.labels.{ISSUER_LABEL}"),
                "expected other labels than `issuer`, which is the issuer's name, found it",
            ));
        }
        if provider.audiences.is_empty() && !provider.allow_any_audience {
            faults.push(ConfigError::new(
                format!("{path}.audiences"),
                "expected at least one audience, or `allow_any_audience: true`, found none",
            ));
        }
        let keys = keys(provider, place, path, faults)?;
        (faults.len() == before).then(|| Self {
            place,
            name: provider.issuer.clone(),
            audiences: provider.audiences.clone(),
            authorized_parties: provider.authorized_parties.clone(),
            types: provider.types.iter().map(|name| media_type(name)).collect(),
            denied_ids: provider.denied_ids.iter().cloned().collect(),
            leeway: provider.leeway.0,
            mapping: mapping.clone(),
            kept_claims: Vec::new(),
            keys,
        })
    }

    fn verify(&self, jwt: &Jwt<'_>, now: Timestamp, work: &mut Work<'_>) -> Result<Verified, Deny> {
        let validity = claims::validity(&jwt.claims, self.leeway, now)?;
        let key = match &self.keys {
            Keys::Fixed(keys) => {
                let found = keys.candidates(jwt.kid.as_deref(), jwt.algorithm);
                self.signer(jwt, found.map_err(no_key)?, work)?
            }
            Keys::Remote(remote) => {
                let found = remote.candidates(jwt.kid.as_deref(), jwt.algorithm, work.asked_at, now);
                let found = found.map_err(|fault| match fault {
                    NoRemoteKey::NotThere(fault) => no_key(fault),
                    NoRemoteKey::Awaited => Deny::KeysAwaited(self.place),
                    NoRemoteKey::Unavailable => Deny::KeysUnavailable(self.place),
                })?;
                self.signer(jwt, found, work)?
            }
        };
        if !self.types.is_empty() && !jwt.typ.as_ref().is_some_and(|typ| self.types.contains(typ)) {
            return Err(Deny::WrongType);
        }
        claims::check_audience(&jwt.claims, &self.audiences)?;
        claims::check_authorized_party(&jwt.claims, &self.authorized_parties)?;
        claims::check_id(&jwt.claims, &self.denied_ids)?;
        let principal = claims::principal(&self.name, &jwt.claims, &self.mapping, &self.kept_claims)?;
        Ok(claims::verified(principal, validity, key))
    }

    /// The key that made the signature.
    fn signer<'k>(
        &self,
        jwt: &Jwt<'_>,
        keys: impl Iterator<Item = &'k Rc<PublicKey>>,
        work: &mut Work<'_>,
    ) -> Result<&'k Rc<PublicKey>, Deny> {
        let consumer = claims::consumer(&jwt.claims, &self.mapping);
        (work.begin)(&self.name, consumer.as_deref())?;
        let message = jwt.signed.as_bytes();
        for key in keys {
            let (is_good, cost) = key.judge(jwt.algorithm, message, &jwt.signature, work.host);
            work.cost = work.cost.saturating_add(cost);
            if is_good {
                return Ok(key);
            }
        }
        Err(Deny::BadSignature)
    }
}

/// Whether there is time for a token of this issuer and consumer.
type Begin<'a> = dyn FnMut(&str, Option<&str>) -> Result<(), Deny> + 'a;

/// What verifying takes. `begin` is asked, with the issuer and the consumer that the token names, before a signature is
/// looked at.
pub(super) struct Work<'a> {
    pub(super) begin: &'a mut Begin<'a>,
    pub(super) host: &'a dyn SignatureHost,
    /// When the token came; it may have waited for its key since.
    pub(super) asked_at: Timestamp,
    /// About how long the signatures took that were looked at.
    pub(super) cost: Duration,
}

/// Every issuer.
pub(super) struct Issuers(Vec<Issuer>);

impl Issuers {
    /// Reads the issuers; appends their faults to `faults`.
    pub(super) fn new(providers: &[JwtProvider], faults: &mut Vec<ConfigError>) -> Self {
        let mut issuers: Vec<Issuer> = Vec::new();
        for (index, provider) in providers.iter().enumerate() {
            let path = format!("identity.jwt[{index}]");
            let first = providers
                .iter()
                .position(|other| other.issuer == provider.issuer)
                .filter(|first| *first < index);
            if let Some(first) = first {
                faults.push(ConfigError::new(
                    format!("{path}.issuer"),
                    format!("expected each issuer once, found that of identity.jwt[{first}] again"),
                ));
            }
            issuers.extend(Issuer::new(provider, index, &path, faults));
        }
        Self(issuers)
    }

    /// Verifies `credential` if it is a JSON Web Token; `None` if it is something else.
    pub(super) fn verify(
        &self,
        credential: &str,
        now: Timestamp,
        work: &mut Work<'_>,
    ) -> Option<Result<Verified, Deny>> {
        let parts = Parts::split(credential)?;
        Some(parts.read().and_then(|jwt| {
            let name = jwt.claims.get("iss").ok_or(Deny::MissingClaim)?;
            let issuer = self.0.iter().find(|issuer| name == issuer.name.as_str());
            issuer.ok_or(Deny::UnknownIssuer)?.verify(&jwt, now, work)
        }))
    }

    /// The name of the issuer at this place in the configuration.
    pub(super) fn name(&self, place: usize) -> Option<&str> {
        let issuer = self.0.iter().find(|issuer| issuer.place == place)?;
        Some(&issuer.name)
    }

    /// Keeps these claims of every token.
    pub(super) fn keep_claims(&mut self, claims: &[String]) {
        for issuer in &mut self.0 {
            issuer.kept_claims = claims.to_vec();
        }
    }

    /// The issuers whose keys are fetched.
    pub(super) fn remote(&mut self) -> impl Iterator<Item = &mut RemoteKeys> {
        self.0.iter_mut().filter_map(|issuer| match &mut issuer.keys {
            Keys::Fixed(_) => None,
            Keys::Remote(remote) => Some(remote.as_mut()),
        })
    }

    /// The fetched keys of the issuer at this place in the configuration.
    pub(super) fn remote_at(&mut self, place: usize) -> Option<&mut RemoteKeys> {
        let issuer = self.0.iter_mut().find(|issuer| issuer.place == place)?;
        match &mut issuer.keys {
            Keys::Fixed(_) => None,
            Keys::Remote(remote) => Some(remote),
        }
    }
}

const fn no_key(fault: NoKey) -> Deny {
    match fault {
        NoKey::UnknownId => Deny::UnknownKeyId,
        NoKey::OtherAlgorithm => Deny::AlgorithmNotAllowed,
    }
}

/// Reads or locates an issuer's keys; appends what is wrong with them to `faults`.
fn keys(provider: &JwtProvider, place: usize, path: &str, faults: &mut Vec<ConfigError>) -> Option<Keys> {
    let mut fault = |key: &str, message: String| {
        faults.push(ConfigError::new(format!("{path}.{key}"), message));
        None
    };
    match &provider.jwks {
        Jwks::Inline(json) => match KeySet::parse(json) {
            Ok(keys) => Some(Keys::Fixed(keys)),
            Err(message) => fault("jwks", message),
        },
        Jwks::File(_) => fault(
            "jwks",
            "expected the key set inline, found a file, which the filter cannot read: `tollgate render` writes \
             the keys inline"
                .to_owned(),
        ),
        Jwks::Remote(settings) => {
            if let Some((key, message)) = RemoteKeys::fault(settings) {
                return fault(&format!("jwks.remote.{key}"), message.to_owned());
            }
            match KeySource::of(provider) {
                Ok(Some(source)) if !source.endpoint.is_tls && !provider.allow_plaintext => {
                    let key = match settings.uri {
                        Some(_) => "jwks.remote.uri",
                        None => "issuer",
                    };
                    let message = "expected an `https` URL to fetch keys from, or `allow_plaintext: true`, found `http`";
                    fault(key, message.to_owned())
                }
                Ok(Some(source)) => Some(Keys::Remote(Box::new(RemoteKeys::new(
                    place,
                    &provider.issuer,
                    source,
                    settings.clone(),
                )))),
                Ok(None) => None,
                Err((key, message)) => fault(key, message),
            }
        }
    }
}

/// The three parts of what has a token's form: the header decodes to an object with `alg`.
struct Parts<'a> {
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn split(credential: &'a str) -> Option<Self> {
        let (signed, signature) = credential.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let parts = Self {
            header: decode(header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
            signed,
        };
        // This reading takes the last of two members of one name; the strict one follows.
        let header: Map<String, Value> = serde_json::from_slice(&parts.header).ok()?;
        header.contains_key("alg").then_some(parts)
    }

    fn read(self) -> Result<Jwt<'a>, Deny> {
        let header = strict_json::object(&self.header).ok_or(Deny::Malformed)?;
        let claims = strict_json::object(&self.payload).ok_or(Deny::Malformed)?;
        let Some(Value::String(algorithm)) = header.get("alg") else {
            return Err(Deny::Malformed);
        };
        let algorithm = Algorithm::from_name(algorithm).ok_or(Deny::AlgorithmNotAllowed)?;
        // `b64` (RFC 7797) changes what is signed and must be listed in `crit`.
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(Deny::UnsupportedExtension);
        }
        if OWN_KEYS.iter().any(|name| header.contains_key(*name)) {
            return Err(Deny::EmbeddedKey);
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Deny::Malformed),
        };
        Ok(Jwt {
            algorithm,
            kid: text("kid")?.map(str::to_owned),
            typ: text("typ")?.map(media_type),
            claims,
            signed: self.signed,
            signature: self.signature,
        })
    }
}

/// A `typ` in the form in which two are compared: case does not count, and `application/` may be left out (RFC 7515,
/// section 4.1.9).
fn media_type(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("application/") {
        Some(rest) if !rest.contains('/') => rest.to_owned(),
        _ => lower,
    }
}

/// A token that is well-formed, and of which nothing is verified yet.
struct Jwt<'a> {
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}
