// SPDX-License-Identifier: Apache-2.0

//! Why an answer ended: Bedrock's `stopReason` as OpenAI's `finish_reason`
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).

use crate::protocol::openai::completion::FinishReason;

/// The counterpart of a stop reason. One that the vendor adds later means `stop`: the answer is complete. One that could
/// not be read is not what the model would have said, for which OpenAI knows one word.
pub(super) fn finish_reason(stop_reason: &str) -> FinishReason {
    match stop_reason {
        "tool_use" => FinishReason::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "guardrail_intervened" | "content_filtered" | "malformed_model_output" | "malformed_tool_use" => {
            FinishReason::ContentFilter
        }
        // end_turn, stop_sequence.
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
            ("max_tokens", FinishReason::Length),
            ("model_context_window_exceeded", FinishReason::Length),
            ("tool_use", FinishReason::ToolCalls),
            ("guardrail_intervened", FinishReason::ContentFilter),
            ("content_filtered", FinishReason::ContentFilter),
            ("malformed_model_output", FinishReason::ContentFilter),
            ("malformed_tool_use", FinishReason::ContentFilter),
            ("a later invention", FinishReason::Stop),
        ] {
            assert_eq!(finish_reason(stop_reason), expected, "{stop_reason}");
        }
    }
}
