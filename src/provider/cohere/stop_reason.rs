// SPDX-License-Identifier: Apache-2.0

//! Why an answer ended.

use super::error::ended_in_failure;
use crate::protocol::openai::completion::FinishReason;
use crate::provider::UpstreamFault;

/// OpenAI's word for Cohere's. What is added later is taken for a plain end.
///
/// # Errors
///
/// An answer that a failure has ended.
pub(super) fn finish_reason(reason: Option<&str>) -> Result<FinishReason, UpstreamFault> {
    match reason {
        Some("MAX_TOKENS") => Ok(FinishReason::Length),
        Some("TOOL_CALL") => Ok(FinishReason::ToolCalls),
        Some("ERROR_TOXIC") => Ok(FinishReason::ContentFilter),
        Some("ERROR") => Err(ended_in_failure(502, None)),
        Some("TIMEOUT") => Err(ended_in_failure(504, None)),
        Some(_) | None => Ok(FinishReason::Stop),
    }
}

#[cfg(test)]
mod tests {
    use super::finish_reason;
    use crate::protocol::openai::completion::FinishReason;

    #[crate::test]
    fn every_reason_has_a_word_of_openai_s_or_is_a_failure() {
        for (reason, expected) in [
            (Some("COMPLETE"), Ok(FinishReason::Stop)),
            (Some("STOP_SEQUENCE"), Ok(FinishReason::Stop)),
            (Some("MAX_TOKENS"), Ok(FinishReason::Length)),
            (Some("TOOL_CALL"), Ok(FinishReason::ToolCalls)),
            (Some("ERROR"), Err(502)),
            (Some("TIMEOUT"), Err(504)),
            (Some("LATER"), Ok(FinishReason::Stop)),
            (None, Ok(FinishReason::Stop)),
        ] {
            assert_eq!(
                finish_reason(reason).map_err(|fault| fault.error.status),
                expected,
                "{reason:?}"
            );
        }
    }
}
