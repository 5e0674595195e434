// SPDX-License-Identifier: Apache-2.0

//! The fidelity contract: what becomes of each request field on its way to each provider, as data.
//!
//! A dialect declares its [`Contract`] in its own `fidelity.rs` and is listed in [`CONTRACTS`]. `docs/providers.md` is
//! made of it and `tests/fidelity.rs` runs it against the translators, so that neither can say what the other does not.

use super::{anthropic, bedrock, cohere, gemini, mistral, openai};
use crate::config::ProviderKind;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Passed on with its value.
    Kept,
    /// Sent under another name, or in another form: the path in the provider's request.
    Mapped(&'static str),
    /// The same, but not quite equal, which the answer's `x-tollgate-approximated` tells.
    Approximated(&'static str),
    /// Not sent, and nothing is lost.
    LeftOut,
    /// Not sent, which `x-tollgate-dropped` tells, or refused with `on_unsupported: reject`.
    Dropped,
    /// Always answered with 400.
    Refused,
}

/// A field, what becomes of it, and what has to be added to that in words: `, see below`.
pub type Clause = (&'static str, Fate, &'static str);

/// What one dialect promises.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    /// The column's title in the document.
    pub title: &'static str,
    /// The kinds that it holds for.
    pub kinds: &'static [ProviderKind],
    /// A model for chat: what it can do may depend on its name.
    pub chat_model: &'static str,
    /// A model for embeddings.
    pub embeddings_model: &'static str,
    /// Every field of [`CHAT_FIELDS`], in that order.
    pub chat: &'static [Clause],
    /// Every field of [`EMBEDDINGS_FIELDS`], in that order; none if the dialect has no embeddings.
    pub embeddings: &'static [Clause],
}

/// All of them: first those of OpenAI's language, then those of the others.
pub const CONTRACTS: [&Contract; 11] = [
    &openai::fidelity::OPENAI,
    &openai::fidelity::OPENROUTER,
    &openai::fidelity::COMPATIBLE,
    &openai::fidelity::SAGEMAKER,
    &mistral::fidelity::CONTRACT,
    &cohere::fidelity::CONTRACT,
    &anthropic::fidelity::CONTRACT,
    &gemini::fidelity::STUDIO,
    &gemini::fidelity::VERTEX,
    &anthropic::fidelity::VERTEX,
    &bedrock::fidelity::CONTRACT,
];

/// The fields of a chat completion request.
pub const CHAT_FIELDS: [&str; 40] = [
    "model",
    "messages",
    "max_completion_tokens",
    "max_tokens",
    "n",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "metadata",
    "user",
    "safety_identifier",
    "service_tier",
    "reasoning_effort",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "prediction",
    "store",
    "verbosity",
    "modalities",
    "audio",
    "web_search_options",
    "thinking",
    "cache_control",
    "moderation",
];

/// The fields of a request for embeddings. `input` is text, `input as ids` is tokenized text.
pub const EMBEDDINGS_FIELDS: [&str; 6] = [
    "model",
    "input",
    "input as ids",
    "encoding_format",
    "dimensions",
    "user",
];

/// The table of the chat fields, in Markdown.
#[must_use]
pub fn chat_table() -> String {
    tables(&CHAT_FIELDS, |contract| contract.chat)
}

/// The table of the embeddings' fields, in Markdown.
#[must_use]
pub fn embeddings_table() -> String {
    tables(&EMBEDDINGS_FIELDS, |contract| contract.embeddings)
}

/// How many of [`CONTRACTS`] are of OpenAI's language.
const OF_OPENAI: usize = 5;

/// Two tables, because one of all would be too wide to read.
fn tables(fields: &[&str], clauses: fn(&Contract) -> &'static [Clause]) -> String {
    let (of_openai, others) = CONTRACTS.split_at(OF_OPENAI);
    [table(of_openai, fields, clauses), table(others, fields, clauses)].join("\n")
}

fn table(contracts: &[&Contract], fields: &[&str], clauses: fn(&Contract) -> &'static [Clause]) -> String {
    let mut text = String::from("| field |");
    for contract in contracts {
        text.push_str(&[" ", contract.title, " |"].concat());
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(contracts.len()));
    for field in fields {
        text.push_str(&["\n| `", field, "` |"].concat());
        for contract in contracts {
            let clause = clauses(contract).iter().find(|(name, _, _)| name == field);
            let cell = clause.map_or_else(|| "refused: `unsupported_operation`".to_owned(), cell);
            text.push_str(&[" ", &cell, " |"].concat());
        }
    }
    text.push('\n');
    text
}

fn cell((_, fate, note): &Clause) -> String {
    let fate = match fate {
        Fate::Kept => "kept".to_owned(),
        Fate::Mapped(path) => format!("as `{path}`"),
        Fate::Approximated(path) => format!("approximated as `{path}`"),
        Fate::LeftOut => "left out".to_owned(),
        Fate::Dropped => "dropped".to_owned(),
        Fate::Refused => "refused".to_owned(),
    };
    fate + note
}

#[cfg(test)]
mod tests {
    use super::{CHAT_FIELDS, CONTRACTS, EMBEDDINGS_FIELDS};
    use crate::config::ProviderKind;

    #[crate::test]
    fn every_contract_says_of_every_field_what_becomes_of_it() {
        for contract in CONTRACTS {
            let names: Vec<_> = contract.chat.iter().map(|(name, _, _)| *name).collect();
            assert_eq!(names, CHAT_FIELDS, "{}", contract.title);
            let names: Vec<_> = contract.embeddings.iter().map(|(name, _, _)| *name).collect();
            assert!(
                names.is_empty() || names == EMBEDDINGS_FIELDS,
                "{}",
                contract.title
            );
        }
    }

    #[crate::test]
    fn every_kind_has_a_contract() {
        for kind in [
            ProviderKind::Anthropic,
            ProviderKind::AwsBedrock,
            ProviderKind::AwsSageMaker,
            ProviderKind::AzureOpenAi,
            ProviderKind::Cohere,
            ProviderKind::Gemini,
            ProviderKind::Mistral,
            ProviderKind::OpenAi,
            ProviderKind::OpenAiCompatible,
            ProviderKind::OpenRouter,
            ProviderKind::VertexAi,
        ] {
            let has = CONTRACTS.iter().any(|contract| contract.kinds.contains(&kind));
            assert!(has, "{kind:?}");
        }
    }
}
