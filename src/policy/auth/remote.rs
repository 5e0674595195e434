// SPDX-License-Identifier: Apache-2.0

//! Keys that an issuer publishes: fetched, shared among workers, and used for as long as they may be.
//!
//! Pure like everything here: [`RemoteKeys::begin`] answers with the call to make, and
//! [`RemoteKeys::on_answer`] takes what came of it. A planned fetch is made ahead of the end of the time that the
//! answer's `cache-control` gives, within configured bounds. Until the next one succeeds the old keys are used, up to
//! a maximum age; an issuer that cannot be reached is therefore no outage for keys that are known.
//!
//! A token with an unknown `kid` has the keys fetched at once, but not more often than configured: anybody can make up
//! a `kid`. A token that comes in between waits for the next fetch, since its key may have been published after the last
//! one; only when a fetch that began after it came did not bring its key is it refused. So whoever makes up names cannot
//! turn a rotation into an outage. Whether the caller is to wait, is refused, or is told that nothing can be said, [`RemoteKeys::candidates`]
//! answers from this worker's own memory, without a look at the shared store.

use super::algorithm::{Algorithm, PublicKey};
use super::fetch_state::FetchState;
use super::jwks::{KeySet, NoKey};
use super::key_source::KeySource;
use crate::clock::Timestamp;
use crate::config::RemoteJwks;
use crate::shared_store::SharedStore;
use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

/// The largest answer that is read, in bytes. It bounds what shared data holds of one issuer, too.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// The time that keys are fresh if their answer does not tell.
const UNTOLD_LIFETIME: Duration = Duration::from_secs(600);
/// A fetch after a failure that is no further ahead is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for a fetch that an unknown `kid` asks for, which is no failure.
const DEMAND_PATIENCE: Duration = Duration::from_secs(8);
/// How often a write is tried against other workers' writes.
const MOST_WRITES: usize = 8;

/// A request for the host to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCall {
    /// The issuer's place in the configuration.
    pub issuer: usize,
    /// The cluster to call.
    pub cluster: String,
    /// Whether the cluster speaks TLS.
    pub is_tls: bool,
    /// `:authority`.
    pub authority: String,
    /// `:path`.
    pub path: String,
    /// How long to wait for the answer.
    pub timeout: Duration,
    /// Whether the answer is a discovery document, and not the keys themselves.
    pub(super) is_discovery: bool,
}

/// What came of a call.
#[derive(Clone, Copy, Debug)]
pub enum KeyAnswer<'a> {
    /// The host could not make it, or no answer came in time.
    None,
    /// An answer.
    Http {
        /// `:status`.
        status: u16,
        /// `cache-control`, if there is one.
        cache_control: Option<&'a str>,
        /// `age` in seconds, if there is one.
        age: Option<u64>,
        /// The body.
        body: &'a [u8],
    },
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOutcome {
    /// This call is to be made next.
    Call(KeyCall),
    /// So many keys are known now.
    Fetched(usize),
    /// The reason why no keys came. It holds nothing of the answer.
    Failed(String),
}

/// Why a token cannot be verified now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRemoteKey {
    /// The keys are good, and none fits.
    NotThere(NoKey),
    /// Keys are being fetched, or will be at once.
    Awaited,
    /// Keys cannot be had.
    Unavailable,
}

/// The keys of one issuer, as one worker knows them.
pub(super) struct RemoteKeys {
    place: usize,
    issuer: String,
    source: KeySource,
    settings: RemoteJwks,
    shared_key: String,
    state: FetchState,
    version: Option<u32>,
    keys: Option<KeySet>,
    /// Those that have come and are being written: what is read from the store is these, mostly.
    fetched: Option<KeySet>,
    /// Whether a token has asked for keys that are not known.
    is_wanted: Cell<bool>,
}

impl RemoteKeys {
    /// What is wrong with the settings, if anything: the key, and what was expected and found.
    pub(super) fn fault(settings: &RemoteJwks) -> Option<(&'static str, &'static str)> {
        let second = Duration::from_secs(1);
        if settings.timeout.0.is_zero() || settings.timeout.0 > Duration::from_secs(60) {
            return Some(("timeout", "expected a duration from 1ms to 1m, found another"));
        }
        if settings.min_refresh.0 < second || settings.refetch_interval.0 < second {
            let key = if settings.min_refresh.0 < second {
                "min_refresh"
            } else {
                "refetch_interval"
            };
            return Some((key, "expected a duration of at least 1s, found a shorter one"));
        }
        if settings.max_refresh < settings.min_refresh {
            return Some((
                "max_refresh",
                "expected a duration of at least `min_refresh`, found a shorter one",
            ));
        }
        if settings.max_stale < settings.max_refresh {
            return Some((
                "max_stale",
                "expected a duration of at least `max_refresh`, found a shorter one",
            ));
        }
        settings
            .cluster
            .as_ref()
            .filter(|name| name.is_empty())
            .map(|_| ("cluster", "expected a name, found an empty text"))
    }

    pub(super) fn new(place: usize, issuer: &str, source: KeySource, settings: RemoteJwks) -> Self {
        Self {
            place,
            issuer: issuer.to_owned(),
            shared_key: format!("tollgate.jwks {issuer} {}{}", source.cluster, source.path),
            source,
            settings,
            state: FetchState::default(),
            version: None,
            keys: None,
            fetched: None,
            is_wanted: Cell::new(false),
        }
    }

    /// Reads what other workers have written; whether there was anything new.
    pub(super) fn sync(&mut self, store: &dyn SharedStore) -> bool {
        let Some((bytes, version)) = store.get(&self.shared_key) else {
            return false;
        };
        if self.version == Some(version) {
            return false;
        }
        self.version = Some(version);
        self.adopt(FetchState::decode(&bytes));
        true
    }

    fn adopt(&mut self, state: FetchState) {
        if state.fetched_at != self.state.fetched_at {
            // Whoever still misses a key will say so again.
            self.is_wanted.set(false);
        }
        if state.text != self.state.text || self.keys.is_none() {
            // What is shared was read before it was written, so it can be read again.
            self.keys = core::str::from_utf8(&state.text)
                .ok()
                .and_then(|text| self.read(text).ok());
        }
        self.state = state;
    }

    /// Reads a key set. Keys that are known already keep what they have been prepared with, and what they have verified.
    fn read(&self, text: &str) -> Result<KeySet, String> {
        let known: Vec<&KeySet> = self.keys.iter().chain(&self.fetched).collect();
        KeySet::parse_published(text, &known)
    }

    /// Makes the shared value, where there is none, so that all later writes are compared.
    pub(super) fn prepare(&mut self, store: &dyn SharedStore) {
        if !self.sync(store) && self.version.is_none() {
            let _ = store.compare_and_swap(&self.shared_key, &FetchState::default().encode(), None);
            self.sync(store);
        }
    }

    /// The call to make now, if it is time and nobody else makes it.
    pub(super) fn begin(&mut self, now: Timestamp, store: &dyn SharedStore) -> Option<KeyCall> {
        if self.keys.is_some() && !self.has_keys(now) {
            // What they have verified is forgotten with them.
            self.keys = None;
        }
        let interval = self.settings.refetch_interval.0;
        let is_demanded =
            self.is_wanted.get() && (!self.has_keys(now) || self.state.until_demand(interval, now).is_zero());
        if self.state.is_under_way(self.lease(), now)
            || !self.state.backoff(now).is_zero()
            || !(is_demanded || self.state.is_due(self.settings.max_refresh.0, now))
        {
            return None;
        }
        let mut claimed = self.state.clone();
        claimed.attempt_until = now.plus(self.lease());
        if is_demanded {
            claimed.demanded_at = now;
            self.is_wanted.set(false);
        }
        self.write(claimed, store)
            .then(|| self.call(self.source.path.clone(), self.source.is_discovered))
    }

    fn call(&self, path: String, is_discovery: bool) -> KeyCall {
        KeyCall {
            issuer: self.place,
            cluster: self.source.cluster.clone(),
            is_tls: self.source.endpoint.is_tls,
            authority: self.source.endpoint.authority(),
            path,
            timeout: self.settings.timeout.0,
            is_discovery,
        }
    }

    /// How long a fetch may take: two calls, and some time for the host.
    fn lease(&self) -> Duration {
        let timeout = self.settings.timeout.0;
        timeout
            .saturating_add(timeout)
            .saturating_add(Duration::from_secs(1))
    }

    /// Takes what came of a call.
    pub(super) fn on_answer(
        &mut self,
        call: &KeyCall,
        answer: KeyAnswer<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> KeyOutcome {
        let outcome = self.judge(call, answer, now, store);
        if let KeyOutcome::Failed(_) = outcome {
            self.rewrite(store, |state| state.fail(now));
        }
        outcome
    }

    fn judge(
        &mut self,
        call: &KeyCall,
        answer: KeyAnswer<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> KeyOutcome {
        let KeyAnswer::Http {
            status,
            cache_control,
            age,
            body,
        } = answer
        else {
            return KeyOutcome::Failed("no answer came".to_owned());
        };
        if status != 200 {
            return KeyOutcome::Failed(format!("the answer's status is {status}"));
        }
        if body.len() > MAX_ANSWER_BYTES {
            return KeyOutcome::Failed(format!("the answer is larger than {MAX_ANSWER_BYTES} bytes"));
        }
        if call.is_discovery {
            return match self.source.path_of_keys(&self.issuer, body) {
                Ok(path) => KeyOutcome::Call(self.call(path, false)),
                Err(fault) => KeyOutcome::Failed(fault),
            };
        }
        let keys = core::str::from_utf8(body)
            .map_err(|_| "expected a JSON Web Key Set, found bytes that are not UTF-8".to_owned())
            .and_then(|text| self.read(text));
        match keys {
            Ok(keys) => {
                let count = keys.len();
                let refresh = self.refresh(cache_control, age, now);
                self.fetched = Some(keys);
                self.rewrite(store, |state| state.succeed(body, refresh, now));
                self.fetched = None;
                KeyOutcome::Fetched(count)
            }
            Err(fault) => KeyOutcome::Failed(fault),
        }
    }

    /// When to fetch again: after four fifths of the time that the answer is fresh, and up to a tenth of it earlier,
    /// so that many gateways do not ask at the same time.
    fn refresh(&self, cache_control: Option<&str>, age: Option<u64>, now: Timestamp) -> Duration {
        let told = cache_control.and_then(lifetime);
        let left = told.map(|told| told.saturating_sub(Duration::from_secs(age.unwrap_or(0))));
        let (shortest, longest) = (self.settings.min_refresh.0, self.settings.max_refresh.0);
        let lifetime = left.unwrap_or(UNTOLD_LIFETIME).max(shortest).min(longest);
        let tenth = lifetime / 10;
        let share = u32::try_from(now.scattered() % 1000).unwrap_or(0);
        (tenth * 8)
            .saturating_sub(tenth * share / 1000)
            .max(shortest * 7 / 10)
    }

    /// Changes the shared value, whatever else is written meanwhile.
    fn rewrite(&mut self, store: &dyn SharedStore, change: impl Fn(&mut FetchState)) {
        for _ in 0..MOST_WRITES {
            let mut state = self.state.clone();
            change(&mut state);
            if self.write(state, store) {
                return;
            }
        }
    }

    /// Writes the shared value, unless somebody was faster: then theirs is read, and it was not written.
    fn write(&mut self, state: FetchState, store: &dyn SharedStore) -> bool {
        let written = store.compare_and_swap(&self.shared_key, &state.encode(), self.version);
        if written.is_ok() {
            self.version = None;
            self.adopt(state);
        }
        self.sync(store);
        written.is_ok()
    }

    fn has_keys(&self, now: Timestamp) -> bool {
        self.keys.is_some() && now.since(self.state.fetched_at) < self.settings.max_stale.0
    }

    /// The keys that a token may have been signed with, which came at `asked_at`.
    pub(super) fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<impl Iterator<Item = &Rc<PublicKey>>, NoRemoteKey> {
        let keys = self.keys.as_ref().filter(|_| self.has_keys(now));
        match keys.map(|keys| keys.candidates(kid, algorithm)) {
            Some(Ok(found)) => Ok(found),
            Some(Err(NoKey::OtherAlgorithm)) => Err(NoRemoteKey::NotThere(NoKey::OtherAlgorithm)),
            Some(Err(NoKey::UnknownId)) => Err(self.without(true, asked_at, now)),
            None => Err(self.without(false, asked_at, now)),
        }
    }

    /// What to do about a token whose key is not known. `has_others`: other keys are.
    fn without(&self, has_others: bool, asked_at: Timestamp, now: Timestamp) -> NoRemoteKey {
        let state = &self.state;
        if has_others && state.was_demanded_since(asked_at) {
            return NoRemoteKey::NotThere(NoKey::UnknownId);
        }
        if state.backoff(now) > PATIENCE {
            return NoRemoteKey::Unavailable;
        }
        self.is_wanted.set(true);
        if has_others && state.until_demand(self.settings.refetch_interval.0, now) > DEMAND_PATIENCE {
            return NoRemoteKey::Unavailable;
        }
        NoRemoteKey::Awaited
    }
}

/// How long an answer with this `cache-control` is fresh (RFC 9111, section 5.2.2); `None` if it does not tell.
fn lifetime(cache_control: &str) -> Option<Duration> {
    let mut told = None;
    for directive in cache_control.split(',') {
        let directive = directive.trim().to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return Some(Duration::ZERO);
        }
        if let Some(secs) = directive.strip_prefix("max-age=") {
            told = secs.trim_matches('"').parse().ok().map(Duration::from_secs);
        }
    }
    told
}

#[cfg(test)]
mod tests;
