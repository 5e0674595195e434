// SPDX-License-Identifier: Apache-2.0

use super::translate_response;
use crate::config::ProviderKind;
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::{Value, json};

fn translate(body: &str) -> Result<(Value, Tally), UpstreamFault> {
    let settings = Settings {
        created: 7,
        answer_id: "chatcmpl-1".to_owned(),
        max_event_bytes: 1024,
        ..Settings::of(ProviderKind::AwsBedrock, "amazon.nova-lite-v1:0")
    };
    let request = UpstreamRequest {
        renamed_tools: [("f_1".to_owned(), "f.1".to_owned())].into(),
        ..UpstreamRequest::default()
    };
    let mut out = Vec::new();
    let tally = translate_response(body.as_bytes(), &settings, &request, &mut out)?;
    Ok((serde_json::from_slice(&out).unwrap(), tally))
}

/// The message that blocks become.
fn message(blocks: &str) -> Value {
    let body = format!(
        r#"{{"output":{{"message":{{"role":"assistant","content":[{blocks}]}}}},"stopReason":"end_turn"}}"#
    );
    translate(&body).unwrap().0["choices"][0]["message"].clone()
}

#[crate::test]
fn a_whole_answer_is_a_completion() {
    let (completion, tally) = translate(
        r#"{"metrics":{"latencyMs":1},"output":{"message":{"role":"assistant","content":[{"text":"Hé"}]}},"stopReason":"max_tokens","usage":{"inputTokens":5,"outputTokens":2,"totalTokens":7,"cacheReadInputTokens":10,"cacheWriteInputTokens":3}}"#,
    )
    .unwrap();
    assert_eq!(
        completion,
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "amazon.nova-lite-v1:0",
            "choices": [{
                "index": 0, "logprobs": null, "finish_reason": "length",
                "message": {"role": "assistant", "content": "Hé", "refusal": null},
            }],
            "usage": {
                "prompt_tokens": 18, "completion_tokens": 2, "total_tokens": 20,
                "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 3},
            },
        })
    );
    assert_eq!((tally.output_bytes, tally.usage.input_tokens), (3, Some(18)));
}

#[crate::test]
fn calls_get_their_names_back_and_always_have_arguments() {
    let found = message(
        r#"{"toolUse":{"toolUseId":"a","name":"f_1","input":{"x": "é"}}},{"toolUse":{"toolUseId":"b","name":"g"}},{"toolUse":{"toolUseId":"c","name":"nova_grounding","input":{},"type":"server_tool_use"}},{"toolResult":{"toolUseId":"c","content":[]}}"#,
    );
    assert_eq!(found["content"], Value::Null);
    assert_eq!(
        found["tool_calls"],
        json!([
            {"id": "a", "type": "function", "function": {"name": "f.1", "arguments": r#"{"x":"é"}"#}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ])
    );
}

#[crate::test]
fn reasoning_is_kept_apart_and_in_a_form_that_goes_back() {
    let found = message(
        r#"{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}},{"reasoningContent":{"redactedContent":"RXRr"}},{"text":"a"}"#,
    );
    assert_eq!(
        (&found["content"], &found["reasoning_content"]),
        (&json!("a"), &json!("hm"))
    );
    assert_eq!(
        found["thinking_blocks"],
        json!([{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "Etk"}])
    );
    // Without a signature it cannot be sent back.
    let unsigned = message(r#"{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"text":"a"}"#);
    assert_eq!(unsigned["reasoning_content"], "hm");
    assert_eq!(unsigned.get("thinking_blocks"), None);
}

#[crate::test]
fn cited_text_is_text_and_its_pages_are_annotations() {
    let found = message(
        r#"{"text":"é "},{"citationsContent":{"content":[{"text":"Ruby"}],"citations":[{"title":"T","source":"https://example.com/a","location":{"searchResultLocation":{"start":0}}},{"location":{"web":{"url":"https://example.com/b"}}},{"title":"D","source":"doc.pdf","location":{"documentPage":{"start":1}}}]}}"#,
    );
    assert_eq!(found["content"], "é Ruby");
    let page = |url: &str, title: &str| json!({"type": "url_citation", "url_citation": {"start_index": 2, "end_index": 6, "url": url, "title": title}});
    assert_eq!(
        found["annotations"],
        json!([
            page("https://example.com/a", "T"),
            page("https://example.com/b", "")
        ])
    );
    assert_eq!(found["citations"][0]["source"], "doc.pdf");
}

#[crate::test]
fn what_is_no_answer_is_a_fault() {
    for (body, status, message) in [
        ("", 502, "The provider's answer could not be read."),
        ("<html>", 502, "The provider's answer could not be read."),
        ("{}", 502, "The provider's answer could not be read."),
        (
            r#"{"output":{"message":{"content":[{"text":1}]}}}"#,
            502,
            "The provider's answer could not be read.",
        ),
        (
            r#"{"output":{"message":{"content":[{"toolUse":{"name":"f"}}]}}}"#,
            502,
            "The provider's answer could not be read.",
        ),
        (
            r#"{"__type":"ThrottlingException","message":"Too many"}"#,
            429,
            "Too many",
        ),
        (r#"{"Message":"odd"}"#, 502, "odd"),
    ] {
        let fault = translate(body).unwrap_err();
        assert_eq!(
            (fault.error.status, &*fault.error.message),
            (status, message),
            "{body}"
        );
    }
}

#[crate::test]
fn what_the_model_made_is_kept_where_clients_look_for_it() {
    let found = message(
        r#"{"text":"A cat"},{"image":{"format":"png","source":{"bytes":"YQ=="}}},{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/k"}}}},{"image":{"format":"png","source":{},"error":{"message":"x"}}},{"audio":{"format":"wav","source":{"bytes":"AAE="}}}"#,
    );
    let expected = json!([
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,YQ=="}, "index": 0},
        {"type": "image_url", "image_url": {"url": "s3://b/k"}, "index": 1},
    ]);
    assert_eq!(found["images"], expected);
    assert_eq!(found["audio"]["data"], "AAE=");
    assert_eq!(found["audio"]["mime_type"], "audio/wav");
}

#[crate::test]
fn a_trace_is_passed_on_and_tells_the_model() {
    let (completion, _) = translate(
        r#"{"output":{"message":{"content":[{"text":"a"}]}},"stopReason":"end_turn","trace":{"guardrail":{"x":1},"promptRouter":{"invokedModelId":"arn:m"}}}"#,
    )
    .unwrap();
    assert_eq!(completion["model"], "arn:m");
    assert_eq!(completion["trace"]["guardrail"], json!({"x": 1}));
}
