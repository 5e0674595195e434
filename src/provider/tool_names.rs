// SPDX-License-Identifier: Apache-2.0

//! Names of tools that go beyond what a provider allows, there and back.
//!
//! A name that a provider would refuse keeps what may stand of it and ends in a digest of the whole, so that two names
//! stay two and every mention of a name gives the same: in declarations, choices, and the calls of earlier turns. What
//! was renamed is told in [`super::UpstreamRequest::renamed_tools`], and put back where an answer calls it.

use crate::protocol::openai::chat::ChatCompletionRequest;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Bytes of the digest, two characters each.
const DIGEST_BYTES: usize = 8;

/// What a provider allows in the name of a tool: beside letters and digits of ASCII, and `_`.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    max_bytes: usize,
    others: &'static [char],
    /// Whether a name may begin with a digit.
    digit_first: bool,
}

impl Rule {
    /// <https://docs.claude.com/en/docs/agents-and-tools/tool-use/implement-tool-use>, and the refusal that tells the
    /// pattern: `^[a-zA-Z0-9_-]{1,128}$`.
    pub(super) const ANTHROPIC: Self = Self {
        max_bytes: 128,
        others: &['-'],
        digit_first: true,
    };
    /// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html>, which holds for the
    /// ids of calls as well.
    pub(super) const BEDROCK: Self = Self::OPENAI;
    /// <https://docs.cohere.com/reference/chat-v1>: `must not begin with a digit`. A bound is not told.
    pub(super) const COHERE: Self = Self {
        max_bytes: 64,
        others: &[],
        digit_first: false,
    };
    /// <https://ai.google.dev/api/caching#FunctionDeclaration>, for names that need no other care.
    pub(super) const GEMINI: Self = Self {
        max_bytes: 128,
        others: &['-', '.', ':'],
        digit_first: false,
    };
    /// <https://docs.mistral.ai/capabilities/function_calling>.
    pub(super) const MISTRAL: Self = Self::OPENAI;
    /// <https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools>.
    pub(super) const OPENAI: Self = Self {
        max_bytes: 64,
        others: &['-'],
        digit_first: true,
    };

    /// A name as the provider takes it.
    pub(super) fn plain(self, name: &str) -> Cow<'_, str> {
        if self.allows(name) {
            return Cow::Borrowed(name);
        }
        let begins_well = |first: char| self.digit_first || !first.is_ascii_digit();
        let mut plain = String::with_capacity(self.max_bytes);
        if !name.starts_with(begins_well) {
            plain.push('_');
        }
        let kept = self
            .max_bytes
            .saturating_sub(DIGEST_BYTES.saturating_mul(2))
            .saturating_sub(1);
        let kept = kept.saturating_sub(plain.len());
        plain.extend(
            name.chars()
                .take(kept)
                .map(|character| if self.holds(character) { character } else { '_' }),
        );
        plain.push('_');
        for byte in Sha256::digest(name.as_bytes()).iter().take(DIGEST_BYTES) {
            // Writing into a string cannot fail.
            let _ = write!(plain, "{byte:02x}");
        }
        Cow::Owned(plain)
    }

    /// Whether a name may stay as it is.
    pub(super) fn allows(self, name: &str) -> bool {
        name.len() <= self.max_bytes
            && !name.is_empty()
            && (self.digit_first || !name.starts_with(|first: char| first.is_ascii_digit()))
            && name.chars().all(|character| self.holds(character))
    }

    fn holds(self, character: char) -> bool {
        character.is_ascii_alphanumeric() || character == '_' || self.others.contains(&character)
    }

    /// Which tools of a request go by another name: theirs, to the client's.
    pub(super) fn renamed(self, request: &ChatCompletionRequest<'_>) -> BTreeMap<String, String> {
        names(request)
            .filter_map(|name| match self.plain(name) {
                Cow::Owned(plain) => Some((plain, name.to_owned())),
                Cow::Borrowed(_) => None,
            })
            .collect()
    }
}

/// The names of the tools that an answer may call: those that are declared, and those that were called before.
pub(super) fn names<'r>(request: &'r ChatCompletionRequest<'_>) -> impl Iterator<Item = &'r str> {
    let declared = request.tools.iter().flatten().filter_map(|tool| {
        let function = tool.function.as_ref()?;
        function.name.as_deref()
    });
    let messages = request.messages.iter().flatten();
    let calls = messages.flat_map(|message| message.tool_calls.iter().flatten());
    let called = calls.filter_map(|call| call.function.as_ref()?.name.as_deref());
    declared.chain(called)
}

/// The client's name of a tool that an answer calls.
pub(super) fn at_client<'n>(renamed: &'n BTreeMap<String, String>, name: &'n str) -> &'n str {
    renamed.get(name).map_or(name, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::{Rule, at_client};
    use crate::protocol::openai::chat::ChatCompletionRequest;

    #[crate::test]
    fn plain_names_stay_and_others_stay_apart() {
        for (rule, max) in [(Rule::OPENAI, 64), (Rule::ANTHROPIC, 128)] {
            let longest = "a".repeat(max);
            for name in ["get_weather", "a-B-9", "9a", &longest] {
                assert_eq!(rule.plain(name), name);
            }
            let longer = "a".repeat(max + 1);
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
                let renamed = rule.plain(name);
                assert!(renamed.len() <= max && renamed != *name, "{renamed}");
                assert!(
                    renamed
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
                );
                assert!(
                    odd.iter()
                        .skip(index + 1)
                        .all(|other| rule.plain(other) != renamed)
                );
                // Made plain once, a name stays so.
                assert_eq!(rule.plain(&renamed), renamed);
            }
            assert!(rule.plain("files.read").starts_with("files_read_"));
        }
    }

    #[crate::test]
    fn a_name_begins_as_the_provider_wants_it() {
        let long = "9".repeat(200);
        for name in ["3d-render", "get-weather", "", &long] {
            let plain = Rule::COHERE.plain(name);
            assert!(Rule::COHERE.allows(&plain), "{plain}");
            assert_ne!(plain, name);
        }
        assert_eq!(Rule::COHERE.plain("get_weather"), "get_weather");
    }

    #[crate::test]
    fn an_answer_calls_the_client_s_tool() {
        let body = br#"{"tools":[{"function":{"name":"files.read"}},{"function":{"name":"plain"}}],"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"files.read"}},{"function":{"name":"old.tool"}}]}]}"#;
        let request = ChatCompletionRequest::parse(body).unwrap();
        let renamed = Rule::OPENAI.renamed(&request);
        let mut names: Vec<_> = renamed.values().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["files.read", "old.tool"]);
        assert_eq!(
            at_client(&renamed, &Rule::OPENAI.plain("files.read")),
            "files.read"
        );
        assert_eq!(at_client(&renamed, "plain"), "plain");
    }
}
