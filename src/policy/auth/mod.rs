// SPDX-License-Identifier: Apache-2.0

//! Who is calling.
//!
//! One credential, and the cheapest question first: is it a token that was verified before, a known API key, or a
//! JSON Web Token that has to be verified now? The exchange asks once per request and
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
mod fetch_state;
mod fingerprint;
mod host_signature;
mod jwks;
mod jwt;
mod key_form;
mod key_source;
mod prepared_key;
mod principal;
mod refused;
mod remote;
mod strict_json;
#[cfg(test)]
mod tests;
mod trusted;
mod verification;

pub use credential::{MAX_CREDENTIAL_BYTES, Sources};
pub use deny::Deny;
pub use host_signature::{NoSignatureHost, SignatureHost};
pub use key_form::{digest_of_api_key, new_api_key};
pub use key_source::KeySource;
pub use principal::{ANONYMOUS, Principal};
pub use remote::{KeyAnswer, KeyCall, KeyOutcome, MAX_ANSWER_BYTES};

use crate::clock::Timestamp;
use crate::config::{ConfigError, Identity, Trusted};
use crate::headers::Headers;
use crate::policy::connection::{Connection, NoConnection};
use crate::shared_store::SharedStore;
use api_key::ApiKeys;
use cache::{Cache, Verified};
use core::time::Duration;
use fingerprint::{Fingerprint, Fingerprints};
use jwt::{Issuers, Work};
use refused::Refused;
use std::collections::BTreeSet;
use std::rc::Rc;
use verification::VerificationBudget;

/// Recognises callers by their credentials.
pub struct Authenticator {
    api_keys: ApiKeys,
    issuers: Issuers,
    fingerprints: Fingerprints,
    cache: Cache,
    anonymous: Option<Rc<Principal>>,
    sources: Rc<Sources>,
    refused: Refused,
    budget: VerificationBudget,
    trusted: Option<Trusted>,
    /// The claims that access rules ask about.
    kept_claims: Vec<String>,
    connection: Rc<dyn Connection>,
    signature_host: Rc<dyn SignatureHost>,
}

impl Authenticator {
    /// Reads the keys and key sets.
    ///
    /// # Errors
    ///
    /// Every fault of the `identity` section.
    pub fn new(identity: &Identity) -> Result<Self, Vec<ConfigError>> {
        let mut faults = Vec::new();
        let has_credentials = !identity.jwt.is_empty() || !identity.api_keys.is_empty();
        if !has_credentials && !identity.allow_anonymous && identity.trusted.is_none() {
            faults.push(ConfigError::new(
                "identity",
                "expected at least one of `jwt`, `api_keys`, `trusted` and `allow_anonymous: true`, found none",
            ));
        }
        if let Some(trusted) = &identity.trusted {
            trusted::check(trusted, &mut faults);
        }
        let authenticator = Self {
            trusted: identity.trusted.clone(),
            kept_claims: Vec::new(),
            api_keys: ApiKeys::new(&identity.api_keys, &mut faults),
            issuers: Issuers::new(&identity.jwt, &mut faults),
            fingerprints: Fingerprints::new(),
            cache: Cache::default(),
            anonymous: identity.allow_anonymous.then(|| Rc::new(Principal::anonymous())),
            sources: Rc::new(Sources::new(identity, &mut faults)),
            refused: Refused::default(),
            budget: VerificationBudget::new(),
            connection: Rc::new(NoConnection),
            signature_host: Rc::new(NoSignatureHost),
        };
        if faults.is_empty() {
            Ok(authenticator)
        } else {
            Err(faults)
        }
    }

    /// Keeps these claims of every token for access rules.
    pub fn keep_claims<'a>(&mut self, claims: impl Iterator<Item = &'a str>) {
        let claims: BTreeSet<String> = claims.map(str::to_owned).collect();
        self.kept_claims = claims.into_iter().collect();
        self.issuers.keep_claims(&self.kept_claims);
        self.api_keys.keep_claims(&self.kept_claims);
    }

    /// Asks this host about requests from now on.
    pub fn connect(&mut self, connection: Rc<dyn Connection>) {
        self.connection = connection;
    }

    /// Asks this host about signatures from now on.
    pub fn verify_with(&mut self, host: Rc<dyn SignatureHost>) {
        self.signature_host = host;
    }

    /// The places that may carry a credential.
    #[must_use]
    pub fn sources(&self) -> Rc<Sources> {
        Rc::clone(&self.sources)
    }

    /// The name of the issuer at this place in the configuration.
    #[must_use]
    pub fn issuer(&self, place: usize) -> Option<&str> {
        self.issuers.name(place)
    }

    /// Whether any issuer's keys are fetched.
    pub fn has_remote_keys(&mut self) -> bool {
        self.issuers.remote().next().is_some()
    }

    /// Reads the keys that other workers, or this one in an earlier life, have fetched.
    pub fn prepare_keys(&mut self, store: &dyn SharedStore) {
        self.issuers.remote().for_each(|keys| keys.prepare(store));
    }

    /// Reads what other workers have fetched; whether there was anything new.
    pub fn sync_keys(&mut self, store: &dyn SharedStore) -> bool {
        let mut is_new = false;
        for keys in self.issuers.remote() {
            is_new |= keys.sync(store);
        }
        if is_new {
            self.refused.clear();
        }
        is_new
    }

    /// The calls that are to be made now for keys, each by this worker alone.
    pub fn calls_for_keys(&mut self, now: Timestamp, store: &dyn SharedStore) -> Vec<KeyCall> {
        self.issuers
            .remote()
            .filter_map(|keys| keys.begin(now, store))
            .collect()
    }

    /// Takes what came of a call for keys.
    pub fn on_key_answer(
        &mut self,
        call: &KeyCall,
        answer: KeyAnswer<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> KeyOutcome {
        self.refused.clear();
        match self.issuers.remote_at(call.issuer) {
            Some(keys) => keys.on_answer(call, answer, now, store),
            None => KeyOutcome::Failed("the issuer is not configured".to_owned()),
        }
    }

    /// Recognises the caller by the request's headers.
    ///
    /// # Errors
    ///
    /// Why the caller was not recognised.
    pub fn authenticate(&mut self, headers: &Headers, now: Timestamp) -> Result<Rc<Principal>, Deny> {
        self.authenticate_waiting(headers, now, now)
    }

    /// The same for a request that came at `asked_at` and may have waited for its issuer's keys since.
    ///
    /// # Errors
    ///
    /// Why the caller was not recognised.
    pub fn authenticate_waiting(
        &mut self,
        headers: &Headers,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<Rc<Principal>, Deny> {
        if let Some(trusted) = &self.trusted
            && let Some(principal) =
                trusted::find(trusted, &self.kept_claims, headers, self.connection.as_ref())?
        {
            return Ok(Rc::new(principal));
        }
        let sources = Rc::clone(&self.sources);
        let Some(credential) = sources.find(headers)? else {
            return self.anonymous.as_ref().map(Rc::clone).ok_or(Deny::Missing);
        };
        let fingerprint = self.fingerprints.of(&credential);
        if let Some(principal) = self.cache.find(&fingerprint, now) {
            return Ok(principal);
        }
        if let Some(outcome) = self.api_keys.find(&credential, now) {
            return outcome;
        }
        if key_form::is_mistyped(&credential) {
            return Err(Deny::MistypedKey);
        }
        if let Some(deny) = self.refused.find(&fingerprint, now) {
            return Err(deny);
        }
        let verified = self.verify(&credential, fingerprint, asked_at, now)?;
        let principal = Rc::clone(&verified.principal);
        self.cache.insert(fingerprint, verified);
        Ok(principal)
    }

    /// Verifies a JSON Web Token that is not remembered, if there is time for it.
    fn verify(
        &mut self,
        credential: &str,
        fingerprint: Fingerprint,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<Verified, Deny> {
        let (budget, connection) = (&self.budget, &self.connection);
        let mut asker = None;
        let mut begin = |issuer: &str, consumer: Option<&str>| {
            let caller = consumer.map(|consumer| (issuer, consumer));
            asker = Some(budget.ask(connection.source_address(), caller, now)?);
            Ok(())
        };
        let mut work = Work {
            begin: &mut begin,
            host: self.signature_host.as_ref(),
            asked_at,
            cost: Duration::ZERO,
        };
        let outcome = self.issuers.verify(credential, now, &mut work);
        let cost = work.cost;
        let outcome = outcome.unwrap_or(Err(Deny::UnknownKey));
        if let Some(asker) = asker {
            self.budget.spend(asker, cost, outcome.is_err(), now);
        }
        match outcome {
            // To say that took a signature, or a wait for a fetch.
            Err(deny) if asker.is_some() || deny == Deny::UnknownKeyId => {
                self.refused.insert(fingerprint, deny, now);
            }
            Ok(_) | Err(_) => {}
        }
        outcome
    }
}
