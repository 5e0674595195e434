// SPDX-License-Identifier: Apache-2.0

//! A credential's fingerprint, as the key under which its verified owner is remembered.
//!
//! SipHash-2-4 with 128 bits of output is a message authentication code: without its key, which this worker draws at
//! random and never shows, nobody can make a credential whose fingerprint is another's. It takes a tenth of the
//! instructions of SHA-256, which every request would pay for. What is compared with digests from a
//! configuration still needs SHA-256 ([`super::digest`]).

use super::digest::FirstBytes;
use core::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::collections::HashMap;
use std::hash::RandomState;

/// A map from credentials, by fingerprint.
pub(super) type FingerprintMap<V> = HashMap<Fingerprint, V, BuildHasherDefault<FirstBytes>>;

/// The fingerprint of one credential, meaningful to the [`Fingerprints`] that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(u64, u64);

impl Fingerprint {
    /// A place in a table of so many.
    pub(super) fn place_among(self, places: usize) -> usize {
        let places = u64::try_from(places).unwrap_or(1);
        let place = self.1.checked_rem(places).unwrap_or(0);
        usize::try_from(place).unwrap_or(0)
    }
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Makes fingerprints under a key of its own.
pub(super) struct Fingerprints(SipHasher24);

impl Fingerprints {
    /// Draws a key. The standard library has its seed from the system's (in Envoy, the host's) random source.
    pub(super) fn new() -> Self {
        let [first, second] = [1_u8, 2].map(|half| RandomState::new().hash_one(half));
        Self(SipHasher24::new_with_keys(first, second))
    }

    /// The fingerprint of `credential`.
    pub(super) fn of(&self, credential: &str) -> Fingerprint {
        self.of_parts([credential.as_bytes()])
    }

    /// The fingerprint of these bytes, one after the other.
    pub(super) fn of_parts<const N: usize>(&self, parts: [&[u8]; N]) -> Fingerprint {
        let mut hasher = self.0;
        parts.into_iter().for_each(|part| hasher.write(part));
        let hash = hasher.finish128();
        Fingerprint(hash.h1, hash.h2)
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprints;

    #[crate::test]
    fn a_fingerprint_depends_on_every_byte() {
        let fingerprints = Fingerprints::new();
        let credential = "x".repeat(700);
        let own = fingerprints.of(&credential);
        assert_eq!(own, fingerprints.of(&credential));
        for at in 0..credential.len() {
            let mut other = credential.clone();
            other.replace_range(at..=at, "y");
            assert_ne!(own, fingerprints.of(&other), "byte {at}");
        }
        assert_ne!(own, fingerprints.of(&credential[1..]));
    }

    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    #[crate::test]
    fn every_worker_has_its_own() {
        assert_ne!(Fingerprints::new().of("a"), Fingerprints::new().of("a"));
    }
}
