// SPDX-License-Identifier: Apache-2.0

//! Why an answer ended, in one of OpenAI's words
//! (<https://platform.openai.com/docs/api-reference/chat/object#chat/object-choices>).
//!
//! Servers add words of their own: Mistral, Text Generation Inference, vLLM, `DeepSeek`, Together.

/// OpenAI's word for the JSON string `reason`, as JSON; `None` if it is one of OpenAI's.
pub(super) fn translated(reason: &str) -> Option<&'static str> {
    Some(match reason.trim_matches('"') {
        "stop" | "length" | "tool_calls" | "content_filter" | "function_call" => return None,
        // What was cut off is not whole, whoever cut it.
        "model_length" | "max_tokens" | "MAX_TOKENS" | "abort" | "insufficient_system_resource" => {
            r#""length""#
        }
        "tool_use" | "tool_call" => r#""tool_calls""#,
        "safety" | "SAFETY" | "content_filtered" | "recitation" | "refusal" => r#""content_filter""#,
        // `eos`, `eos_token`, `stop_sequence`, `end_turn`, and what is added later.
        _ => r#""stop""#,
    })
}

#[cfg(test)]
mod tests {
    use super::translated;

    #[crate::test]
    fn a_reason_is_always_one_of_openai_s() {
        for own in ["stop", "length", "tool_calls", "content_filter", "function_call"] {
            assert_eq!(translated(&format!("\"{own}\"")), None);
        }
        for (reason, expected) in [
            (r#""eos_token""#, r#""stop""#),
            (r#""stop_sequence""#, r#""stop""#),
            (r#""model_length""#, r#""length""#),
            (r#""abort""#, r#""length""#),
            (r#""content_filtered""#, r#""content_filter""#),
            (r#""tool_use""#, r#""tool_calls""#),
            ("7", r#""stop""#),
        ] {
            assert_eq!(translated(reason), Some(expected), "{reason}");
        }
    }
}
