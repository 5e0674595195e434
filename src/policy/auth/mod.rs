// SPDX-License-Identifier: Apache-2.0

//! Who is calling.
//!
//! One credential, one SHA-256, and then the cheapest question first: is it a known API key, a token that was
//! verified before, or a JSON Web Token that has to be verified now? The exchange asks once per request and
//! turns a [`Deny`] into an answer; nothing here speaks HTTP, and no credential leaves this room or is kept.
//!
//! A configured API key is asked for before a token's form is looked at: some vendors' keys have the form of a
//! JSON Web Token, and whoever lists a key's digest means that key.
//!
//! A request with a bad credential is refused even where anonymous callers are served. Otherwise a client with
//! an expired token would be served as somebody else and nobody would notice.

mod algorithm;
mod api_key;
mod cache;
mod claims;
mod credential;
mod deny;
mod digest;
mod jwks;
mod jwt;
mod principal;
mod strict_json;
#[cfg(test)]
mod tests;

pub use credential::{CREDENTIAL_HEADERS, MAX_CREDENTIAL_BYTES, Sources};
pub use deny::Deny;
pub use principal::{ANONYMOUS, Principal};

use crate::clock::Timestamp;
use crate::config::{ConfigError, Identity};
use crate::headers::Headers;
use api_key::ApiKeys;
use cache::Cache;
use digest::Digest;
use jwt::Issuers;
use std::rc::Rc;

/// Recognises callers by their credentials.
pub struct Authenticator {
    api_keys: ApiKeys,
    issuers: Issuers,
    cache: Cache,
    anonymous: Option<Rc<Principal>>,
    sources: Rc<Sources>,
}

impl Authenticator {
    /// Reads the keys and key sets.
    ///
    /// # Errors
    ///
    /// Every fault of the `identity` section.
    pub fn new(identity: &Identity) -> Result<Self, Vec<ConfigError>> {
        let mut faults = Vec::new();
        if identity.jwt.is_empty() && identity.api_keys.is_empty() && !identity.allow_anonymous {
            faults.push(ConfigError::new(
                "identity",
                "expected at least one of `jwt`, `api_keys` and `allow_anonymous: true`, found none",
            ));
        }
        let authenticator = Self {
            api_keys: ApiKeys::new(&identity.api_keys, &mut faults),
            issuers: Issuers::new(&identity.jwt, &mut faults),
            cache: Cache::default(),
            anonymous: identity.allow_anonymous.then(|| Rc::new(Principal::anonymous())),
            sources: Rc::new(Sources::new(identity, &mut faults)),
        };
        if faults.is_empty() {
            Ok(authenticator)
        } else {
            Err(faults)
        }
    }

    /// The places that may carry a credential.
    #[must_use]
    pub fn sources(&self) -> Rc<Sources> {
        Rc::clone(&self.sources)
    }

    /// Recognises the caller by the request's headers.
    ///
    /// # Errors
    ///
    /// Why the caller was not recognised.
    pub fn authenticate(&mut self, headers: &Headers, now: Timestamp) -> Result<Rc<Principal>, Deny> {
        let Some(credential) = self.sources.find(headers)? else {
            return self.anonymous.as_ref().map(Rc::clone).ok_or(Deny::Missing);
        };
        let digest = Digest::of(&credential);
        let known = self
            .api_keys
            .find(&digest)
            .or_else(|| self.cache.find(&digest, now));
        if let Some(principal) = known {
            return Ok(principal);
        }
        let verified = self.issuers.verify(&credential, now).ok_or(Deny::UnknownKey)??;
        let principal = Rc::clone(&verified.principal);
        self.cache.insert(digest, verified);
        Ok(principal)
    }
}
