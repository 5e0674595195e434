// SPDX-License-Identifier: Apache-2.0

//! JSON Web Tokens that were verified in vain, remembered for a while.
//!
//! A client with a bad token sends it again and again, and so does an attacker who has found one that is expensive to
//! refuse. To look it up costs microseconds. Only refusals that took a signature are kept: what is refused without one is
//! cheap to refuse again, and would only push others out.
//!
//! Strangers decide what is in here, so it is apart from the memory of good tokens, small, and of fixed size. It is
//! emptied when an issuer's keys change, since a signature that was bad may be good with a new key.

use super::deny::Deny;
use super::fingerprint::{Fingerprint, FingerprintMap};
use crate::clock::Timestamp;
use core::time::Duration;

/// The most refusals that are kept, in two generations.
const MOST: usize = 4096;
/// How long one is kept.
const LIFETIME: Duration = Duration::from_secs(60);

/// Credentials that were refused.
#[derive(Default)]
pub(super) struct Refused {
    young: FingerprintMap<(Deny, Timestamp)>,
    old: FingerprintMap<(Deny, Timestamp)>,
}

impl Refused {
    /// Why the credential with this fingerprint was refused, if that is remembered.
    pub(super) fn find(&self, fingerprint: &Fingerprint, now: Timestamp) -> Option<Deny> {
        let found = self.young.get(fingerprint).or_else(|| self.old.get(fingerprint));
        let (deny, since) = found?;
        (*since <= now && now.since(*since) < LIFETIME).then_some(*deny)
    }

    /// Remembers a refusal.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, deny: Deny, now: Timestamp) {
        if self.young.len() >= MOST / 2 {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.insert(fingerprint, (deny, now));
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Refused};
    use crate::clock::Timestamp;
    use crate::policy::auth::Deny;
    use crate::policy::auth::fingerprint::Fingerprints;

    #[crate::test]
    fn a_refusal_is_remembered_for_a_while() {
        let (mut refused, fingerprints) = (Refused::default(), Fingerprints::new());
        let bad = fingerprints.of("bad");
        refused.insert(bad, Deny::BadSignature, Timestamp::from_secs(100));
        for (secs, expected) in [
            (99, None),
            (100, Some(Deny::BadSignature)),
            (159, Some(Deny::BadSignature)),
            (160, None),
        ] {
            assert_eq!(refused.find(&bad, Timestamp::from_secs(secs)), expected, "{secs}");
        }
        assert_eq!(
            refused.find(&fingerprints.of("other"), Timestamp::from_secs(100)),
            None
        );
        refused.clear();
        assert_eq!(refused.find(&bad, Timestamp::from_secs(100)), None);
    }

    #[crate::test]
    fn a_hundred_thousand_refusals_leave_it_bounded() {
        let (mut refused, fingerprints) = (Refused::default(), Fingerprints::new());
        for n in 0..100_000 {
            let fingerprint = fingerprints.of(&n.to_string());
            refused.insert(fingerprint, Deny::BadSignature, Timestamp::from_secs(1));
            assert!(refused.young.len() + refused.old.len() <= MOST);
        }
    }
}
