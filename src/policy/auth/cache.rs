// SPDX-License-Identifier: Apache-2.0

//! Verified JSON Web Tokens, remembered until they expire.
//!
//! A signature costs the better part of a millisecond and the same client sends the same credential again and
//! again, so the outcome is kept under the credential's fingerprint. Only success is kept here, so that strangers have
//! no say in what this memory holds; refusals, which take as long to find out, are in [`super::refused`].
//!
//! Two generations stand in for a list by last use. New and used entries go into the young one; when that is
//! full it becomes the old one and the former old one is dropped whole. Each step costs constant time, whatever
//! is used within half a capacity's worth of other entries stays, and there is no order to maintain.
//!
//! Memory is bounded by entries and by bytes: at most [`MAX_ENTRIES`] and about [`MAX_BYTES`], both for the two
//! generations together. A principal above [`MAX_PRINCIPAL_BYTES`] is not kept; its token is verified each time.

use super::algorithm::PublicKey;
use super::fingerprint::{Fingerprint, FingerprintMap};
use super::principal::Principal;
use crate::clock::Timestamp;
use std::rc::{Rc, Weak};

/// The most entries that are kept.
pub(super) const MAX_ENTRIES: usize = 4096;
/// The most bytes that entries take: 4 MiB.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// The largest principal that is kept, in bytes.
pub(super) const MAX_PRINCIPAL_BYTES: usize = 4096;

/// A principal, and when its token is valid: `from <= now < until`, and while its key is the issuer's.
#[derive(Clone)]
pub(super) struct Verified {
    /// Whom the token stands for.
    pub(super) principal: Rc<Principal>,
    /// `nbf`, moved ahead by the leeway; the epoch if there is none.
    pub(super) from: Timestamp,
    /// `exp`, moved back by the leeway.
    pub(super) until: Timestamp,
    /// The key that verified the token; gone when the issuer no longer publishes it.
    pub(super) key: Weak<PublicKey>,
}

#[derive(Default)]
struct Generation {
    entries: FingerprintMap<Verified>,
    bytes: usize,
}

/// The verified tokens of one worker.
///
/// Invariant: each generation holds at most `MAX_ENTRIES / 2` entries of at most `MAX_BYTES / 2` bytes together.
#[derive(Default)]
pub(super) struct Cache {
    young: Generation,
    old: Generation,
}

impl Cache {
    /// The principal of the token with this fingerprint, if it is remembered and valid at `now`.
    pub(super) fn find(&mut self, fingerprint: &Fingerprint, now: Timestamp) -> Option<Rc<Principal>> {
        if let Some(verified) = self.young.entries.get(fingerprint) {
            return verified.principal_at(now);
        }
        let verified = self.old.entries.get(fingerprint)?.clone();
        let principal = verified.principal_at(now)?;
        self.insert(*fingerprint, verified);
        Some(principal)
    }

    /// Remembers a token.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, verified: Verified) {
        let bytes = verified.bytes();
        if bytes > MAX_PRINCIPAL_BYTES {
            return;
        }
        let is_full = self.young.entries.len() >= MAX_ENTRIES / 2
            || self.young.bytes.saturating_add(bytes) > MAX_BYTES / 2;
        if is_full {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.bytes = self.young.bytes.saturating_add(bytes);
        if let Some(replaced) = self.young.entries.insert(fingerprint, verified) {
            self.young.bytes = self.young.bytes.saturating_sub(replaced.bytes());
        }
    }
}

impl Verified {
    fn principal_at(&self, now: Timestamp) -> Option<Rc<Principal>> {
        let is_valid = self.from <= now && now < self.until && self.key.strong_count() > 0;
        is_valid.then(|| Rc::clone(&self.principal))
    }

    fn bytes(&self) -> usize {
        size_of::<(Fingerprint, Self)>().saturating_add(self.principal.heap_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, MAX_BYTES, MAX_ENTRIES, Verified};
    use crate::clock::Timestamp;
    use crate::policy::auth::Principal;
    use crate::policy::auth::algorithm::PublicKey;
    use crate::policy::auth::fingerprint::Fingerprints;
    use std::rc::Rc;

    thread_local! {
        static KEY: Rc<PublicKey> = Rc::new(PublicKey::Ed25519(ed25519_dalek::VerifyingKey::default()));
    }

    fn verified(consumer: String, from: u64, until: u64) -> Verified {
        let mut principal = Principal::anonymous();
        principal.consumer = consumer;
        Verified {
            principal: Rc::new(principal),
            from: Timestamp::from_secs(from),
            until: Timestamp::from_secs(until),
            key: KEY.with(Rc::downgrade),
        }
    }

    #[crate::test]
    fn an_entry_is_forgotten_with_its_key() {
        let mut cache = Cache::default();
        let key = Rc::new(PublicKey::Ed25519(ed25519_dalek::VerifyingKey::default()));
        let mut entry = verified("alice".to_owned(), 0, 2);
        entry.key = Rc::downgrade(&key);
        let fingerprint = Fingerprints::new().of("a");
        cache.insert(fingerprint, entry);
        let mut find = || cache.find(&fingerprint, Timestamp::from_secs(1));
        assert!(find().is_some());
        drop(key);
        assert!(find().is_none());
    }

    #[crate::test]
    fn an_entry_is_served_within_its_validity_only() {
        let (mut cache, fingerprints) = (Cache::default(), Fingerprints::new());
        let fingerprint = fingerprints.of("a");
        cache.insert(fingerprint, verified("alice".to_owned(), 10, 20));
        for (secs, expected) in [
            (9, false),
            (10, true),
            (19, true),
            (20, false),
            (21, false),
            (15, true),
        ] {
            let found = cache.find(&fingerprint, Timestamp::from_secs(secs));
            assert_eq!(found.is_some(), expected, "at {secs}");
        }
        assert!(
            cache
                .find(&fingerprints.of("b"), Timestamp::from_secs(15))
                .is_none()
        );
    }

    #[crate::test]
    fn a_hundred_thousand_tokens_leave_it_bounded() {
        for padding in [0, 1500] {
            let (mut cache, fingerprints) = (Cache::default(), Fingerprints::new());
            let now = Timestamp::from_secs(1);
            let favourite = fingerprints.of("favourite");
            cache.insert(favourite, verified("favourite".to_owned(), 0, 2));
            for n in 0..100_000 {
                let fingerprint = fingerprints.of(&n.to_string());
                cache.insert(fingerprint, verified(format!("{n:padding$}"), 0, 2));
                assert!(cache.find(&fingerprint, now).is_some());
                assert!(cache.find(&favourite, now).is_some(), "used, so kept");
                let entries = cache.young.entries.len() + cache.old.entries.len();
                assert!(entries <= MAX_ENTRIES && cache.young.bytes + cache.old.bytes <= MAX_BYTES);
            }
            assert!(
                cache.find(&fingerprints.of("0"), now).is_none(),
                "unused, so dropped"
            );
        }
    }

    #[crate::test]
    fn a_huge_principal_is_not_kept() {
        let (mut cache, fingerprints) = (Cache::default(), Fingerprints::new());
        let fingerprint = fingerprints.of("a");
        cache.insert(fingerprint, verified("x".repeat(5000), 0, 2));
        assert!(cache.find(&fingerprint, Timestamp::from_secs(1)).is_none());
    }

    #[crate::test]
    fn the_same_token_is_counted_once() {
        let (mut cache, fingerprints) = (Cache::default(), Fingerprints::new());
        for _ in 0..10 {
            cache.insert(fingerprints.of("a"), verified("alice".to_owned(), 0, 2));
        }
        assert_eq!(cache.young.entries.len(), 1);
        assert_eq!(cache.young.bytes, verified("alice".to_owned(), 0, 2).bytes());
    }
}
