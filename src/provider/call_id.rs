// SPDX-License-Identifier: Apache-2.0

//! The ids of tool calls as Mistral takes them, nine letters or digits
//! (<https://mistralai.github.io/mistral-common/usage/tools/>), and of whatever else is to be named after a text.
//!
//! Mistral refuses any other id, also in the turns that came before. A conversation that began with another
//! provider (a failover, a change of model) is full of those, so they are replaced. A call and its answer pass
//! through here apart and in every later request again, hence the replacement depends on the id alone.

use std::borrow::Cow;

const LENGTH: usize = 9;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The id itself if Mistral takes it, else nine digits of its hash. Two ids of one conversation becoming one is
/// as likely as two of 2^53 numbers being the same.
pub(super) fn call_id(id: &str) -> Cow<'_, str> {
    if id.len() == LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Cow::Borrowed(id);
    }
    let mut rest = hash(id.as_bytes());
    let mut digits = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        digits.push(DIGITS.get(digit).copied().map_or('0', char::from));
        rest /= 62;
    }
    Cow::Owned(digits)
}

/// FNV-1a with 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): stable over versions and builds, unlike the standard library's hashers.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::{call_id, hash};

    #[crate::test]
    fn an_id_of_mistrals_own_form_stays() {
        assert_eq!(call_id("6IgxW8LfZ"), "6IgxW8LfZ");
    }

    #[crate::test]
    fn any_other_id_becomes_one_of_that_form_and_ids_stay_apart() {
        let foreign = [
            "",
            "call_1",
            "call_2",
            "toolu_01A09q90qw90lq917835lq9",
            "6IgxW8Lf-",
            "\u{e9}\u{e9}abcde",
        ];
        let mut plain: Vec<_> = foreign.iter().map(|id| call_id(id)).collect();
        for id in &plain {
            assert!(
                id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{id}"
            );
            assert_eq!(call_id(id), *id);
        }
        plain.sort_unstable();
        plain.dedup();
        assert_eq!(plain.len(), foreign.len());
    }

    #[crate::test]
    fn the_hash_is_the_published_one() {
        assert_eq!(
            (hash(b""), hash(b"foobar")),
            (0xcbf2_9ce4_8422_2325, 0x8594_4171_f739_67e8)
        );
    }
}
