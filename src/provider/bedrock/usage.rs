// SPDX-License-Identifier: Apache-2.0

//! Bedrock's token counts in the house's convention.
//!
//! Bedrock counts tokens that were read from the cache or written to it beside `inputTokens`; we count them within
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html>). Its own total is not
//! read: whether it includes the cache's tokens depends on the model.

use crate::protocol::bedrock::answer;
use crate::usage::TokenUsage;

/// The counts with the cache's tokens included.
pub(super) fn token_usage(usage: &answer::TokenUsage) -> TokenUsage {
    let cache_read = usage
        .cache_read_input_tokens
        .or(usage.cache_read_input_token_count);
    let cache_write = usage
        .cache_write_input_tokens
        .or(usage.cache_write_input_token_count);
    let parts = [usage.input_tokens, cache_read, cache_write];
    TokenUsage {
        input_tokens: parts.into_iter().flatten().reduce(u64::saturating_add),
        output_tokens: usage.output_tokens,
        cache_read_input_tokens: cache_read,
        cache_creation_input_tokens: cache_write,
        reasoning_output_tokens: None,
    }
}

#[cfg(test)]
mod tests {
    use super::token_usage;

    #[crate::test]
    fn cache_tokens_are_part_of_the_input_by_either_name() {
        for (json, expected) in [
            (
                r#"{"inputTokens":10,"cacheReadInputTokens":100,"cacheWriteInputTokens":7,"outputTokens":3,"totalTokens":120}"#,
                (Some(117), Some(3), Some(100)),
            ),
            (
                r#"{"inputTokens":10,"cacheReadInputTokenCount":100,"outputTokens":3,"totalTokens":13}"#,
                (Some(110), Some(3), Some(100)),
            ),
            (
                r#"{"inputTokens":10,"cacheReadInputTokens":0,"cacheReadInputTokenCount":0,"outputTokens":0}"#,
                (Some(10), Some(0), Some(0)),
            ),
            ("{}", (None, None, None)),
        ] {
            let usage = token_usage(&serde_json::from_str(json).unwrap());
            let found = (
                usage.input_tokens,
                usage.output_tokens,
                usage.cache_read_input_tokens,
            );
            assert_eq!(found, expected, "{json}");
        }
    }
}
