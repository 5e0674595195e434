// SPDX-License-Identifier: Apache-2.0

//! Cohere's token counts in the house's convention.
//!
//! `tokens` counts what the model has read and written, reasoning and cached input included; `billed_units` leaves
//! out what Cohere adds to a prompt itself, and stands in where the other is missing.

use crate::protocol::cohere::chat::{Counts, Usage};
use crate::protocol::openai::completion::{self, PromptTokensDetails};
use crate::usage::TokenUsage;

/// The counts of an answer.
pub(super) fn token_usage(usage: Option<Usage>) -> TokenUsage {
    let usage = usage.unwrap_or_default();
    let either = |count: fn(Counts) -> Option<f64>| {
        usage
            .read_and_written
            .and_then(count)
            .or_else(|| usage.billed_units.and_then(count))
            .and_then(whole)
    };
    TokenUsage {
        input_tokens: either(|counts| counts.input_tokens),
        output_tokens: either(|counts| counts.output_tokens),
        cache_read_input_tokens: usage.cached_tokens.and_then(whole),
        ..TokenUsage::default()
    }
}

/// A count that is written as `12.0`; none if it is no count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked against the range in which floats are exact"
)]
pub(super) fn whole(count: f64) -> Option<u64> {
    (0.0..=9_007_199_254_740_992.0)
        .contains(&count)
        .then(|| count.round() as u64)
}

/// The counts as OpenAI's clients read them.
pub(super) fn openai_usage(usage: &TokenUsage) -> completion::Usage {
    completion::Usage {
        prompt_tokens: usage.input_tokens.unwrap_or(0),
        completion_tokens: usage.output_tokens.unwrap_or(0),
        total_tokens: usage.total(),
        prompt_tokens_details: PromptTokensDetails {
            cached_tokens: usage.cache_read_input_tokens.unwrap_or(0),
            ..PromptTokensDetails::default()
        },
        completion_tokens_details: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{token_usage, whole};

    #[crate::test]
    fn what_the_model_read_counts_before_what_is_paid() {
        let usage = serde_json::from_str(
            r#"{"billed_units":{"input_tokens":5,"output_tokens":7},"tokens":{"input_tokens":71.0},"cached_tokens":64}"#,
        );
        let usage = token_usage(usage.unwrap());
        assert_eq!(
            (
                usage.input_tokens,
                usage.output_tokens,
                usage.cache_read_input_tokens
            ),
            (Some(71), Some(7), Some(64))
        );
    }

    #[crate::test]
    fn what_is_no_count_is_none() {
        for odd in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(whole(odd), None, "{odd}");
        }
    }
}
