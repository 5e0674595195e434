// SPDX-License-Identifier: Apache-2.0

//! Gemini's token counts in the house's convention (<https://ai.google.dev/api/generate-content#UsageMetadata>).
//!
//! Gemini counts cached tokens within the prompt, as we do, but thoughts beside the answer, and what its own tools
//! brought beside the prompt; we count both within. Every event of a stream tells running totals, any of which
//! may be absent: a count that comes again replaces the one before it.

use crate::protocol::gemini::response::{Modalities, UsageMetadata};
use crate::protocol::openai::completion::Usage;
use crate::usage::TokenUsage;

/// Replaces every count that `later` reports.
pub(super) fn update(usage: &mut UsageMetadata, later: UsageMetadata) {
    usage.prompt_token_count = later.prompt_token_count.or(usage.prompt_token_count);
    usage.cached_content_token_count = later
        .cached_content_token_count
        .or(usage.cached_content_token_count);
    usage.tool_use_prompt_token_count = later
        .tool_use_prompt_token_count
        .or(usage.tool_use_prompt_token_count);
    usage.candidates_token_count = later.candidates_token_count.or(usage.candidates_token_count);
    usage.thoughts_token_count = later.thoughts_token_count.or(usage.thoughts_token_count);
    usage.prompt_tokens_details = later.prompt_tokens_details.or(usage.prompt_tokens_details);
    usage.candidates_tokens_details = later
        .candidates_tokens_details
        .or(usage.candidates_tokens_details);
    usage.service_tier = later.service_tier.or(usage.service_tier);
    usage.traffic_type = later.traffic_type.or(usage.traffic_type);
}

/// The counts as OpenAI's clients read them. What tokens stand for is told where it is not text alone.
pub(super) fn openai_usage(usage: &UsageMetadata) -> Usage {
    let mut told = Usage::from(&token_usage(usage));
    let mixed = |modalities: &Modalities| modalities.audio.or(modalities.image).is_some();
    if let Some(prompt) = usage.prompt_tokens_details.filter(mixed) {
        told.prompt_tokens_details.audio_tokens = prompt.audio;
        told.prompt_tokens_details.image_tokens = prompt.image;
        told.prompt_tokens_details.text_tokens = prompt.text;
    }
    if let Some(answers) = usage.candidates_tokens_details.filter(mixed) {
        let details = told.completion_tokens_details.get_or_insert_default();
        details.audio_tokens = answers.audio;
        details.image_tokens = answers.image;
        details.text_tokens = answers.text;
    }
    told
}

/// The counts with everything included. An answer without tokens comes without their count.
pub(super) fn token_usage(usage: &UsageMetadata) -> TokenUsage {
    let sum = |parts: [Option<u64>; 2]| parts.into_iter().flatten().reduce(u64::saturating_add);
    TokenUsage {
        input_tokens: sum([usage.prompt_token_count, usage.tool_use_prompt_token_count]),
        output_tokens: sum([usage.candidates_token_count, usage.thoughts_token_count]),
        cache_read_input_tokens: usage.cached_content_token_count,
        cache_creation_input_tokens: None,
        reasoning_output_tokens: usage.thoughts_token_count,
    }
}

#[cfg(test)]
mod tests {
    use super::{token_usage, update};
    use crate::protocol::gemini::response::UsageMetadata;

    #[crate::test]
    fn thoughts_and_tools_are_counted_within() {
        let usage = UsageMetadata {
            prompt_token_count: Some(100),
            cached_content_token_count: Some(60),
            tool_use_prompt_token_count: Some(7),
            candidates_token_count: Some(20),
            thoughts_token_count: Some(30),
            ..UsageMetadata::default()
        };
        let counts = token_usage(&usage);
        assert_eq!((counts.input_tokens, counts.output_tokens), (Some(107), Some(50)));
        assert_eq!(counts.cache_read_input_tokens, Some(60));
        assert_eq!(counts.reasoning_output_tokens, Some(30));
    }

    #[crate::test]
    fn later_counts_replace_and_absent_ones_stay() {
        let mut usage = UsageMetadata {
            prompt_token_count: Some(10),
            candidates_token_count: Some(1),
            ..UsageMetadata::default()
        };
        let later = UsageMetadata {
            candidates_token_count: Some(5),
            ..UsageMetadata::default()
        };
        update(&mut usage, later);
        let counts = token_usage(&usage);
        assert_eq!((counts.input_tokens, counts.output_tokens), (Some(10), Some(5)));
        assert_eq!(token_usage(&UsageMetadata::default()).output_tokens, None);
    }
}
