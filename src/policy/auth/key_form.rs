// SPDX-License-Identifier: Apache-2.0

//! The form of API keys that `tollgate key new` makes.
//!
//! `tgk_`, then 256 random bits in 43 letters and digits, then a checksum in six: 53 characters that a double click
//! selects as one word, and that a scanner for leaked secrets can recognise. The checksum tells a slip of the pen from
//! a key that is not known; it is no secret and proves nothing. Keys of any other form work too, without that.

use sha2::{Digest as _, Sha256};

/// What every key begins with.
const PREFIX: &str = "tgk_";
/// The characters of 256 bits.
const RANDOM_CHARACTERS: usize = 43;
/// The characters of the checksum.
const CHECKSUM_CHARACTERS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The key that these random bits make.
#[must_use]
pub fn new_api_key(random: [u8; 32]) -> String {
    let mut key = PREFIX.to_owned();
    key.push_str(&base62(random, RANDOM_CHARACTERS));
    let checksum = checksum(&key);
    key.push_str(&checksum);
    key
}

/// The digest of a key, as the configuration has it.
#[must_use]
pub fn digest_of_api_key(key: &str) -> String {
    Sha256::digest(key)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether a credential has the form of such a key, and another checksum than it should.
pub(super) fn is_mistyped(credential: &str) -> bool {
    let Some(rest) = credential.strip_prefix(PREFIX) else {
        return false;
    };
    if rest.len() != RANDOM_CHARACTERS + CHECKSUM_CHARACTERS {
        return true;
    }
    credential
        .split_at_checked(PREFIX.len() + RANDOM_CHARACTERS)
        .is_none_or(|(key, sum)| checksum(key) != sum)
}

fn checksum(key: &str) -> String {
    let mut bytes = [0; 32];
    if let Some(last) = bytes.last_chunk_mut::<4>() {
        *last = crc32(key.as_bytes()).to_be_bytes();
    }
    base62(bytes, CHECKSUM_CHARACTERS)
}

/// The CRC-32 of IEEE 802.3, bit by bit: fifty bytes need no table.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    })
}

/// A big-endian number in this many digits, as far as they reach.
fn base62(mut number: [u8; 32], characters: usize) -> String {
    let mut digits: Vec<char> = (0..characters)
        .map(|_| {
            let mut rest = 0_u16;
            for byte in &mut number {
                let value = rest << 8 | u16::from(*byte);
                *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
                rest = value % 62;
            }
            DIGITS
                .get(usize::from(rest))
                .map_or('0', |digit| char::from(*digit))
        })
        .collect();
    digits.reverse();
    digits.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{base62, crc32, is_mistyped, new_api_key};

    #[crate::test]
    fn a_key_has_its_form() {
        // The check value of the CRC catalogue.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let mut one = [0; 32];
        one[31] = 62;
        assert_eq!(base62(one, 3), "010");
        // 2^256 - 1 has 43 digits to the base of 62.
        assert_eq!(base62([0xff; 32], 44).chars().next(), Some('0'));
        assert_ne!(base62([0xff; 32], 43).chars().next(), Some('0'));
        let key = new_api_key([0xff; 32]);
        assert_eq!(key.len(), 53);
        assert!(
            key.strip_prefix("tgk_")
                .unwrap()
                .bytes()
                .all(|b| b.is_ascii_alphanumeric())
        );
        assert_ne!(key, new_api_key([0xfe; 32]));
    }

    #[crate::test]
    fn a_slip_is_told_from_a_key() {
        let key = new_api_key([7; 32]);
        assert!(!is_mistyped(&key));
        for at in 4..key.len() {
            let mut other = key.clone().into_bytes();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            assert!(is_mistyped(&String::from_utf8(other).unwrap()), "{at}");
            assert!(is_mistyped(&key[..at]), "{at}");
        }
        let mut swapped = key.clone().into_bytes();
        swapped.swap(10, 11);
        assert_eq!(
            is_mistyped(core::str::from_utf8(&swapped).unwrap()),
            swapped != key.as_bytes()
        );
        assert!(is_mistyped(&format!("{key}x")) && is_mistyped("tgk_") && is_mistyped("tgk_é"));
        assert!(!is_mistyped("sk-1234") && !is_mistyped(""));
    }
}
