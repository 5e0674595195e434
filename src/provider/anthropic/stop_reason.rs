// SPDX-License-Identifier: Apache-2.0

//! Why a message ended: Anthropic's `stop_reason` as OpenAI's `finish_reason`
//! (<https://docs.claude.com/en/api/handling-stop-reasons>).

use crate::protocol::openai::completion::FinishReason;

/// The counterpart of a stop reason. One that the vendor adds later means `stop`: the answer is complete.
pub(super) fn finish_reason(stop_reason: &str) -> FinishReason {
    match stop_reason {
        "tool_use" => FinishReason::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "refusal" => FinishReason::ContentFilter,
        // end_turn, stop_sequence, pause_turn.
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::finish_reason;
    use crate::protocol::openai::completion::FinishReason;

    #[crate::test]
    fn every_stop_reason_has_its_counterpart() {
        for (stop_reason, expected) in [
            ("end_turn", FinishReason::Stop),
            ("stop_sequence", FinishReason::Stop),
            ("pause_turn", FinishReason::Stop),
            ("max_tokens", FinishReason::Length),
            ("model_context_window_exceeded", FinishReason::Length),
            ("tool_use", FinishReason::ToolCalls),
            ("refusal", FinishReason::ContentFilter),
            ("a later invention", FinishReason::Stop),
        ] {
            assert_eq!(finish_reason(stop_reason), expected, "{stop_reason}");
        }
    }
}
