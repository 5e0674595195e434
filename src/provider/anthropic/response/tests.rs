// SPDX-License-Identifier: Apache-2.0

use super::translate_response;
use crate::config::{OnUnsupported, ProviderKind};
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};

fn translate(body: &str) -> Result<(serde_json::Value, Tally), UpstreamFault> {
    let settings = Settings {
        kind: ProviderKind::Anthropic,
        operation: crate::provider::Operation::Chat,
        upstream_model: "claude".to_owned(),
        on_unsupported: OnUnsupported::Drop,
        stream_usage: true,
        output_bound_field: ProviderKind::Anthropic.output_bound_field(),
        developer_role: ProviderKind::Anthropic.keeps_to_openai(),
        default_max_tokens: 4096,
        max_output_tokens: None,
        created: 7,
        answer_id: String::new(),
        told_input_tokens: None,
        max_event_bytes: 1024,
        api_version: None,
        unsupported: &[],
    };
    let mut out = Vec::new();
    let tally = translate_response(body.as_bytes(), &settings, &UpstreamRequest::default(), &mut out)?;
    Ok((serde_json::from_slice(&out).unwrap(), tally))
}

#[crate::test]
fn text_is_joined_and_stands_alone() {
    let body = r#"{"type":"message","id":"i","model":"m","content":[{"type":"text","text":"a\n"},{"type":"a later invention","text":7},{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"é"}],"stop_reason":"end_turn","usage":{"input_tokens":0,"output_tokens":2}}"#;
    let (answer, tally) = translate(body).unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "a\né");
    assert_eq!(message["reasoning_content"], "t");
    assert_eq!(
        message["thinking_blocks"],
        serde_json::json!([{"type":"thinking","thinking":"t","signature":"s"}])
    );
    assert_eq!(
        (answer["created"].as_u64(), answer["id"].as_str()),
        (Some(7), Some("i"))
    );
    assert_eq!(tally.output_bytes, 5);
    assert_eq!(tally.usage.input_tokens, Some(0));
}

#[crate::test]
fn calls_without_text_have_null_content_and_compact_arguments() {
    let body = r#"{"type":"message","content":[{"type":"tool_use","id":"1","name":"f","input":{ "a b" : 1.50 }},{"type":"tool_use","id":"2","name":"g"}],"stop_reason":"tool_use"}"#;
    let (answer, _) = translate(body).unwrap();
    let choice = &answer["choices"][0];
    assert!(choice["message"]["content"].is_null());
    assert_eq!(choice["finish_reason"], "tool_calls");
    let calls = &choice["message"]["tool_calls"];
    assert_eq!(calls[0]["function"]["arguments"], r#"{"a b":1.50}"#);
    assert_eq!(calls[1]["function"]["arguments"], "{}");
    assert_eq!(calls[1]["type"], "function");
}

#[crate::test]
fn usage_counts_the_cache_within_the_prompt() {
    let body = r#"{"type":"message","content":[],"usage":{"input_tokens":1,"cache_creation_input_tokens":2,"cache_read_input_tokens":3,"output_tokens":4}}"#;
    let (answer, _) = translate(body).unwrap();
    let expected = r#"{"prompt_tokens":6,"completion_tokens":4,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":2}}"#;
    assert_eq!(
        answer["usage"],
        serde_json::from_str::<serde_json::Value>(expected).unwrap()
    );
    assert_eq!(answer["choices"][0]["message"]["content"], "");
}

#[crate::test]
fn an_error_with_a_status_of_success_is_an_error() {
    let fault =
        translate(r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow."}}"#).unwrap_err();
    assert_eq!((fault.error.status, fault.is_retryable), (429, true));
    assert_eq!(fault.error.message, "Slow.");
}

#[crate::test]
fn what_is_no_message_is_not_repeated() {
    for body in [
        "",
        "secret",
        "{}",
        "[]",
        r#"{"content":"secret"}"#,
        r#"{"content":[{"type":"text","text":5}]}"#,
    ] {
        let fault = translate(body).unwrap_err();
        assert_eq!((fault.error.status, fault.is_retryable), (502, true), "{body}");
        assert_eq!(fault.error.message, "The provider's answer could not be read.");
    }
}
