// SPDX-License-Identifier: Apache-2.0

//! Anthropic's token counts in the house's convention.
//!
//! Anthropic counts tokens that were read from the cache or written to it beside `input_tokens`; we count them
//! within (<https://docs.claude.com/en/docs/build-with-claude/prompt-caching>). A stream reports opening counts in
//! `message_start` and running totals in `message_delta`, any of which may be absent: a count that comes again
//! replaces the one before it, and the sum is made afterwards.

use crate::protocol::anthropic::messages::{OutputTokensDetails, Usage};
use crate::usage::TokenUsage;

/// Replaces every count that `later` reports.
pub(super) fn update(usage: &mut Usage, later: Usage) {
    usage.input_tokens = later.input_tokens.or(usage.input_tokens);
    usage.cache_creation_input_tokens = later
        .cache_creation_input_tokens
        .or(usage.cache_creation_input_tokens);
    usage.cache_read_input_tokens = later.cache_read_input_tokens.or(usage.cache_read_input_tokens);
    usage.output_tokens = later.output_tokens.or(usage.output_tokens);
    usage.service_tier = later.service_tier.or(usage.service_tier);
    usage.output_tokens_details = later.output_tokens_details.or(usage.output_tokens_details);
}

/// The counts with the cache's tokens included.
pub(super) fn token_usage(usage: &Usage) -> TokenUsage {
    let parts = [
        usage.input_tokens,
        usage.cache_creation_input_tokens,
        usage.cache_read_input_tokens,
    ];
    TokenUsage {
        input_tokens: parts.into_iter().flatten().reduce(u64::saturating_add),
        output_tokens: usage.output_tokens,
        cache_read_input_tokens: usage.cache_read_input_tokens,
        cache_creation_input_tokens: usage.cache_creation_input_tokens,
        reasoning_output_tokens: usage
            .output_tokens_details
            .and_then(|OutputTokensDetails { thinking_tokens }| thinking_tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::{token_usage, update};
    use crate::protocol::anthropic::messages::Usage;

    #[crate::test]
    fn cache_tokens_are_part_of_the_input() {
        let usage = Usage {
            input_tokens: Some(10),
            cache_creation_input_tokens: Some(7),
            cache_read_input_tokens: Some(100),
            output_tokens: Some(3),
            ..Usage::default()
        };
        let counts = token_usage(&usage);
        assert_eq!(
            (
                counts.input_tokens,
                counts.cache_read_input_tokens,
                counts.total()
            ),
            (Some(117), Some(100), 120)
        );
    }

    #[crate::test]
    fn later_counts_replace_and_zero_is_a_count() {
        let mut usage = Usage {
            input_tokens: Some(10),
            output_tokens: Some(1),
            ..Usage::default()
        };
        let later = Usage {
            input_tokens: Some(0),
            cache_read_input_tokens: Some(10),
            ..Usage::default()
        };
        update(&mut usage, later);
        let counts = token_usage(&usage);
        assert_eq!((counts.input_tokens, counts.output_tokens), (Some(10), Some(1)));
        assert_eq!(token_usage(&Usage::default()).input_tokens, None);
    }
}
