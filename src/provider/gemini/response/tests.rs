// SPDX-License-Identifier: Apache-2.0

//! Answers that are not what they should be; the golden files hold those that are.

use super::translate_response;
use crate::config::ProviderKind;
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::Value;

fn translate(body: &[u8]) -> Result<(Tally, Value), UpstreamFault> {
    let settings = Settings {
        created: 7,
        max_event_bytes: 4096,
        ..Settings::of(ProviderKind::Gemini, "gemini-2.5-flash")
    };
    let mut out = Vec::new();
    let tally = translate_response(body, &settings, &UpstreamRequest::default(), &mut out)?;
    Ok((tally, serde_json::from_slice(&out).unwrap()))
}

#[crate::test]
fn what_is_no_answer_is_a_fault_of_the_provider() {
    for body in [
        &b""[..],
        b"[]",
        b"{}",
        b"<html>",
        br#"{"candidates":[]}"#,
        br#"{"promptFeedback":{}}"#,
        br#"{"candidates":[{"content":{"parts":[{"text":5}]}}]}"#,
        br#"{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}"#,
    ] {
        let fault = translate(body).unwrap_err();
        assert_eq!((fault.error.status, fault.is_retryable), (502, true));
    }
}

#[crate::test]
fn an_answer_without_names_is_given_them() {
    let body = br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":null}},{"executableCode":{"code":"1"}},{"functionCall":{"name":"f","id":""}}]}},{"content":{}}]}"#;
    let (tally, answer) = translate(body).unwrap();
    assert_eq!(answer["id"], "chatcmpl-7");
    assert_eq!(answer["model"], "gemini-2.5-flash");
    let choice = &answer["choices"][0];
    let calls = &choice["message"]["tool_calls"];
    assert_eq!(
        (&calls[0]["id"], &calls[1]["id"]),
        (&"call_7_0".into(), &"call_7_1".into())
    );
    assert_eq!(calls[0]["function"]["arguments"], "{}");
    assert_eq!(choice["message"]["content"], Value::Null);
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(answer["choices"][1]["index"], 1);
    assert_eq!(answer["choices"][1]["message"]["content"], "");
    assert_eq!(tally.usage.input_tokens, None);
}
