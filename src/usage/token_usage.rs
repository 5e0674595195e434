// SPDX-License-Identifier: Apache-2.0

//! What one answer cost, in tokens, in one convention for every provider.
//!
//! Names and meaning follow the OpenTelemetry GenAI conventions: `input_tokens` counts the whole prompt, cache
//! reads and writes included, and `output_tokens` includes reasoning. Providers that count otherwise (Anthropic
//! reports cache tokens beside its input tokens) are brought to this form by their own `usage.rs`.
//!
//! A count that was never reported is `None`. An explicit zero is `Some(0)` and stays so: it is never replaced
//! by an estimate.

/// Token counts of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Tokens of the whole prompt, cached parts included.
    pub input_tokens: Option<u64>,
    /// Tokens produced, reasoning included.
    pub output_tokens: Option<u64>,
    /// The part of `input_tokens` that was read from a provider's cache.
    pub cache_read_input_tokens: Option<u64>,
    /// The part of `input_tokens` that was written to a provider's cache.
    pub cache_creation_input_tokens: Option<u64>,
    /// The part of `output_tokens` that was reasoning.
    pub reasoning_output_tokens: Option<u64>,
}

impl TokenUsage {
    /// Input and output together; a count that was not reported adds nothing.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input_tokens
            .unwrap_or(0)
            .saturating_add(self.output_tokens.unwrap_or(0))
    }

    /// Replaces every count that `later` reports. Providers repeat running totals, so a later count replaces an
    /// earlier one and is never added to it.
    pub fn update(&mut self, later: Self) {
        let merge = |old: &mut Option<u64>, new: Option<u64>| *old = new.or(*old);
        merge(&mut self.input_tokens, later.input_tokens);
        merge(&mut self.output_tokens, later.output_tokens);
        merge(&mut self.cache_read_input_tokens, later.cache_read_input_tokens);
        merge(
            &mut self.cache_creation_input_tokens,
            later.cache_creation_input_tokens,
        );
        merge(&mut self.reasoning_output_tokens, later.reasoning_output_tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::TokenUsage;

    #[crate::test]
    fn a_later_count_replaces_and_a_missing_one_keeps() {
        let mut usage = TokenUsage {
            input_tokens: Some(10),
            output_tokens: Some(1),
            ..TokenUsage::default()
        };
        usage.update(TokenUsage {
            output_tokens: Some(0),
            ..TokenUsage::default()
        });
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.total()),
            (Some(10), Some(0), 10)
        );
    }
}
