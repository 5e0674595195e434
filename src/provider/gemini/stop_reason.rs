// SPDX-License-Identifier: Apache-2.0

//! Why an answer ended: Gemini's `finishReason` as OpenAI's `finish_reason`
//! (<https://ai.google.dev/api/generate-content#FinishReason>).

use crate::protocol::openai::completion::FinishReason;

/// The counterpart of a finish reason. Gemini says `STOP` for an answer that calls functions too.
///
/// All others mean that the answer was withheld or broken off: for its content, or because the model's call could
/// not be read. OpenAI knows one word for an answer that is not what the model would have said. A reason that
/// the vendor adds later is taken for one of these, since an answer that is complete ends with `STOP`.
pub(super) fn finish_reason(reason: &str, has_calls: bool) -> FinishReason {
    match reason {
        "STOP" | "FINISH_REASON_UNSPECIFIED" if has_calls => FinishReason::ToolCalls,
        "STOP" | "FINISH_REASON_UNSPECIFIED" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        // SAFETY, RECITATION, LANGUAGE, BLOCKLIST, PROHIBITED_CONTENT, SPII, MODEL_ARMOR, IMAGE_SAFETY, OTHER,
        // MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, TOO_MANY_TOOL_CALLS and so on.
        _ => FinishReason::ContentFilter,
    }
}

#[cfg(test)]
mod tests {
    use super::finish_reason;
    use crate::protocol::openai::completion::FinishReason;

    #[crate::test]
    fn every_finish_reason_has_its_counterpart() {
        for (reason, has_calls, expected) in [
            ("STOP", false, FinishReason::Stop),
            ("STOP", true, FinishReason::ToolCalls),
            ("MAX_TOKENS", false, FinishReason::Length),
            ("MAX_TOKENS", true, FinishReason::Length),
            ("SAFETY", false, FinishReason::ContentFilter),
            ("RECITATION", false, FinishReason::ContentFilter),
            ("PROHIBITED_CONTENT", true, FinishReason::ContentFilter),
            ("MALFORMED_FUNCTION_CALL", false, FinishReason::ContentFilter),
            ("A_LATER_INVENTION", false, FinishReason::ContentFilter),
        ] {
            assert_eq!(finish_reason(reason, has_calls), expected, "{reason}");
        }
    }
}
