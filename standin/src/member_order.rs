// SPDX-License-Identifier: Apache-2.0

//! Writes JSON with its members in the vendors' order.
//!
//! JSON gives no meaning to the order, but a reader that relies on it by mistake should fare here as it does
//! with the vendor. serde_json's own `preserve_order` is a feature that cargo would switch on for the gateway
//! too whenever both are built together, so the order is made when writing.

use serde_json::{Map, Value};

/// OpenAI's members in their order; unlisted ones follow.
pub(crate) const OPENAI: &[&str] = &[
    "index",
    "id",
    "object",
    "created",
    "model",
    "role",
    "content",
    "choices",
    "message",
    "delta",
    "type",
    "param",
    "code",
    "function",
    "name",
    "arguments",
    "tool_calls",
    "refusal",
    "annotations",
    "logprobs",
    "finish_reason",
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cached_tokens",
    "reasoning_tokens",
    "audio_tokens",
];

/// Google's members in their order; unlisted ones follow.
pub(crate) const GEMINI: &[&str] = &[
    "error",
    "code",
    "candidates",
    "content",
    "parts",
    "text",
    "thought",
    "functionCall",
    "name",
    "args",
    "thoughtSignature",
    "role",
    "finishReason",
    "index",
    "usageMetadata",
    "promptTokenCount",
    "candidatesTokenCount",
    "totalTokenCount",
    "promptTokensDetails",
    "thoughtsTokenCount",
    "modelVersion",
    "responseId",
    "message",
    "status",
    "details",
];

/// Anthropic's members in their order; unlisted ones follow.
pub(crate) const ANTHROPIC: &[&str] = &[
    "type",
    "index",
    "error",
    "message",
    "delta",
    "content_block",
    "id",
    "role",
    "model",
    "content",
    "name",
    "input",
    "thinking",
    "signature",
    "text",
    "stop_reason",
    "stop_sequence",
    "usage",
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "output_tokens",
];

/// The value as JSON text, members in this order at every depth.
pub(crate) fn in_order(value: &Value, order: &[&str]) -> String {
    let mut text = String::new();
    write(value, order, &mut text);
    text
}

fn write(value: &Value, order: &[&str], text: &mut String) {
    match value {
        Value::Object(members) => write_object(members, order, text),
        Value::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(value, order, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

fn write_object(members: &Map<String, Value>, order: &[&str], text: &mut String) {
    let mut sorted: Vec<_> = members.iter().collect();
    // A stable sort: what is not listed keeps the alphabet.
    sorted.sort_by_key(|(name, _)| {
        order
            .iter()
            .position(|known| known == name)
            .unwrap_or(order.len())
    });
    text.push('{');
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(name.as_str()).to_string());
        text.push(':');
        write(value, order, text);
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_stand_in_the_vendors_order() {
        let error = json!({"request_id": "r", "error": {"message": "a\"b", "type": "t"}, "type": "error"});
        let expected = r#"{"type":"error","error":{"type":"t","message":"a\"b"},"request_id":"r"}"#;
        assert_eq!(in_order(&error, ANTHROPIC), expected);
        let error = json!({"error": {"code": null, "type": "t", "message": "m", "param": [1, 2]}});
        let expected = r#"{"error":{"message":"m","type":"t","param":[1,2],"code":null}}"#;
        assert_eq!(in_order(&error, OPENAI), expected);
    }
}
