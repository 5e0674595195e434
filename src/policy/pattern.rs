// SPDX-License-Identifier: Apache-2.0

//! The one pattern language of the configuration: a name, or a prefix followed by `*`.
//!
//! Access rules, limits and routes match models with it. It is no glob: a `*` anywhere but at the end is an
//! ordinary character, so that a match costs one comparison and nobody has to guess what `gpt-*-mini` means.

/// Whether `name` is `pattern`, or begins with what stands before the `*` that ends `pattern`.
#[must_use]
pub(crate) fn matches_pattern(pattern: &str, name: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or_else(|| pattern == name, |prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[crate::test]
    fn a_pattern_is_a_name_or_a_prefix() {
        for (pattern, name, expected) in [
            ("gpt-5", "gpt-5", true),
            ("gpt-5", "gpt-5-mini", false),
            ("gpt-5", "GPT-5", false),
            ("gpt-*", "gpt-5", true),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "gpt", false),
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "x", false),
            ("gpt-*-mini", "gpt-5-mini", false),
            ("gpt-*-mini", "gpt-*-mini", true),
            ("a**", "a*b", true),
            ("a**", "ab", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        }
    }
}
