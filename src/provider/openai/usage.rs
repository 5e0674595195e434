// SPDX-License-Identifier: Apache-2.0

//! OpenAI's `usage` object as the gateway's counts
//! (<https://platform.openai.com/docs/api-reference/chat/object#chat/object-usage>).
//!
//! `prompt_tokens` already includes cached tokens and `completion_tokens` reasoning, so nothing is added. A
//! count that is missing, null or no natural number is not reported; the others still are. `DeepSeek` counts
//! cached tokens in a member of its own (<https://api-docs.deepseek.com/guides/kv_cache>).

use crate::usage::TokenUsage;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    prompt_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_cache_hit_tokens: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    cached_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_write_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_tokens: Option<&'a RawValue>,
}

/// The counts of a `usage` object; none if it is not one.
pub(super) fn read(json: &str) -> TokenUsage {
    let Ok(usage) = serde_json::from_str::<Usage<'_>>(json) else {
        return TokenUsage::default();
    };
    let prompt = details(usage.prompt_tokens_details);
    let completion = details(usage.completion_tokens_details);
    TokenUsage {
        input_tokens: count(usage.prompt_tokens),
        output_tokens: count(usage.completion_tokens),
        cache_read_input_tokens: count(prompt.cached_tokens).or_else(|| count(usage.prompt_cache_hit_tokens)),
        cache_creation_input_tokens: count(prompt.cache_write_tokens),
        reasoning_output_tokens: count(completion.reasoning_tokens),
    }
}

fn details(raw: Option<&RawValue>) -> Details<'_> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

fn count(raw: Option<&RawValue>) -> Option<u64> {
    raw?.get().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::usage::TokenUsage;

    #[crate::test]
    fn details_are_parts_of_the_totals() {
        let usage = read(
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,
            "prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":3}}"#,
        );
        let expected = TokenUsage {
            input_tokens: Some(10),
            output_tokens: Some(5),
            cache_read_input_tokens: Some(4),
            cache_creation_input_tokens: Some(0),
            reasoning_output_tokens: Some(3),
        };
        assert_eq!(usage, expected);
    }

    #[crate::test]
    fn cached_tokens_are_found_where_deepseek_counts_them() {
        let usage = read(
            r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2}"#,
        );
        assert_eq!(usage.cache_read_input_tokens, Some(8));
    }

    #[crate::test]
    fn a_count_of_the_wrong_type_does_not_hide_the_others() {
        let usage = read(r#"{"prompt_tokens":"10","completion_tokens":5,"prompt_tokens_details":[]}"#);
        assert_eq!((usage.input_tokens, usage.output_tokens), (None, Some(5)));
        assert_eq!(read("[]"), TokenUsage::default());
    }
}
