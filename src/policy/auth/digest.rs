// SPDX-License-Identifier: Apache-2.0

//! The SHA-256 of a credential, as a map's key.
//!
//! Credentials are looked up by digest and never by themselves, so none is kept in memory. Who presents a credential
//! chooses its digest's bits by trial alone, and learning how many of them agree with a stored digest does not help
//! to find a preimage; two digests are compared in constant time all the same.
//!
//! A digest is already a hash, so the map takes its first eight bytes instead of hashing again. That also keeps
//! the map from asking the host for random numbers.

use core::hash::{BuildHasherDefault, Hash, Hasher};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// A map from credentials, by digest.
pub(super) type DigestMap<V> = HashMap<Digest, V, BuildHasherDefault<FirstBytes>>;

/// A SHA-256 digest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest([u8; 32]);

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(&other.0).fold(0, |sum, (a, b)| sum | (a ^ b));
        core::hint::black_box(difference) == 0
    }
}

impl Eq for Digest {}

impl Digest {
    /// The digest of `credential`.
    pub(super) fn of(credential: &str) -> Self {
        Self(Sha256::digest(credential.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits, in either case.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() || pairs.len() != 32 {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            let value = char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?;
            *byte = u8::try_from(value).ok()?;
        }
        Some(Self(digest))
    }
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (first, _) = self.0.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        state.write_u64(u64::from_le_bytes(*first));
    }
}

/// The hasher that takes a digest's first bytes as they are.
#[derive(Default)]
pub(super) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[crate::test]
    fn a_digest_is_read_from_hexadecimal() {
        // FIPS 180-4, the example "abc".
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::from_hex(hex), Some(Digest::of("abc")));
        assert_eq!(Digest::from_hex(&hex.to_uppercase()), Some(Digest::of("abc")));
        let faults = [
            String::new(),
            hex[1..].to_owned(),
            format!("{hex}0"),
            format!("{hex}00"),
            hex.replace('b', "g"),
        ];
        for fault in faults {
            assert_eq!(Digest::from_hex(&fault), None, "{fault}");
        }
        assert_eq!(Digest::from_hex(&"é".repeat(32)), None);
    }
}
