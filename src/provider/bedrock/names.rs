// SPDX-License-Identifier: Apache-2.0

//! Names of tools and ids of calls, as Bedrock takes them: up to 64 of `a-z`, `A-Z`, `0-9`, `_` and `-`
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html>).
//!
//! Another name keeps what may stand of it and ends in a digest of the whole, so that two names stay two and every
//! mention of a name gives the same. The names of tools come back in the answer's calls: what was renamed is
//! noted, and put back there. Ids are Bedrock's own or another provider's, and only ever go up.

use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const MAX_BYTES: usize = 64;
/// Bytes of the digest, two characters each.
const DIGEST_BYTES: usize = 8;

/// A name or an id as Bedrock takes it.
pub(super) fn plain(name: &str) -> Cow<'_, str> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    if name.len() <= MAX_BYTES && !name.is_empty() && name.chars().all(is_plain) {
        return Cow::Borrowed(name);
    }
    let kept = MAX_BYTES
        .saturating_sub(DIGEST_BYTES.saturating_mul(2))
        .saturating_sub(1);
    let mut plain: String = name
        .chars()
        .take(kept)
        .map(|character| if is_plain(character) { character } else { '_' })
        .collect();
    plain.push('_');
    for byte in Sha256::digest(name.as_bytes()).iter().take(DIGEST_BYTES) {
        // Writing into a string cannot fail.
        let _ = write!(plain, "{byte:02x}");
    }
    Cow::Owned(plain)
}

/// Which tools go by another name at the provider: theirs, to the client's.
#[derive(Debug, Default)]
pub(super) struct ToolNames(BTreeMap<String, String>);

impl ToolNames {
    /// A tool's name as Bedrock takes it; noted, if that is another.
    pub(super) fn plain<'r>(&mut self, name: &'r str) -> Cow<'r, str> {
        let plain = plain(name);
        if let Cow::Owned(renamed) = &plain
            && !self.0.contains_key(renamed)
        {
            self.0.insert(renamed.clone(), name.to_owned());
        }
        plain
    }

    pub(super) fn into_renamed(self) -> BTreeMap<String, String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{ToolNames, plain};

    #[crate::test]
    fn plain_names_stay_and_others_stay_apart() {
        let longest = "a".repeat(64);
        for name in ["get_weather", "a-B-9", &longest] {
            assert_eq!(plain(name), name);
        }
        let longer = "a".repeat(65);
        let odd = [
            "files.read",
            "files/read",
            "",
            "\u{e9}t\u{e9}",
            &longer,
            "call:1",
            "call 1",
        ];
        for (index, name) in odd.iter().enumerate() {
            let renamed = plain(name);
            assert!(renamed.len() <= 64 && renamed != *name, "{renamed}");
            assert!(
                renamed
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
            );
            assert!(odd.iter().skip(index + 1).all(|other| plain(other) != renamed));
            // Made plain once, a name stays so.
            assert_eq!(plain(&renamed), renamed);
        }
        assert!(plain("files.read").starts_with("files_read_"));
    }

    #[crate::test]
    fn a_renamed_tool_is_noted_once() {
        let mut names = ToolNames::default();
        for name in ["files.read", "plain", "files.read"] {
            names.plain(name);
        }
        let renamed = names.into_renamed();
        assert_eq!(renamed.into_values().collect::<Vec<_>>(), ["files.read"]);
    }
}
