// SPDX-License-Identifier: Apache-2.0

//! A whole answer: counted, and passed on byte for byte unless OpenAI's SDKs could not read it.

use super::chunk::Chunk;
use super::error::{misbehaved, reported_fault};
use super::head::Head;
use super::{reshape, usage};
use crate::protocol::json_object::{Editor, Object};
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::value::RawValue;

const OBJECT: &str = r#""chat.completion""#;
const NOT_A_COMPLETION: &str = "The provider's answer is not a chat completion.";

/// Reads a JSON answer with a status below 400.
///
/// # Errors
///
/// An error in place of choices, which `OpenRouter` sends with status 200, or an answer that is no completion.
pub(super) fn translate_response(
    body: &[u8],
    settings: &Settings,
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| misbehaved(NOT_A_COMPLETION))?;
    let completion: Chunk<'_> = serde_json::from_str(text).map_err(|_| misbehaved(NOT_A_COMPLETION))?;
    if let Some(error) = completion.error(text) {
        return Err(reported_fault(error.as_bytes()));
    }
    let Some(choices) = &completion.choices else {
        return Err(misbehaved(NOT_A_COMPLETION));
    };
    let has_head = completion.has_head(OBJECT);
    if choices.is_foreign || !has_head || !request.renamed_tools.is_empty() {
        let object = Object::parse(text).map_err(|_| misbehaved(NOT_A_COMPLETION))?;
        let mut numbers = reshape::Numbers::new(settings.created, &request.renamed_tools);
        let reshaped = reshape::choices(&object, &mut numbers).ok_or_else(|| misbehaved(NOT_A_COMPLETION))?;
        let mut editor = Editor::new(&object);
        if !has_head {
            Head::new(settings).complete(&completion, text, OBJECT, &mut editor);
        }
        editor.set("choices", reshaped);
        editor.write(out);
    } else {
        out.extend_from_slice(body);
    }
    Ok(Tally {
        usage: completion
            .usage
            .map(RawValue::get)
            .map(usage::read)
            .unwrap_or_default(),
        output_bytes: choices.output_bytes,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::ProviderKind;
    use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};

    fn translate_response(body: &[u8], out: &mut Vec<u8>) -> Result<Tally, UpstreamFault> {
        let settings = Settings::of(ProviderKind::OpenAiCompatible, "up-1");
        super::translate_response(body, &settings, &UpstreamRequest::default(), out)
    }

    /// What a completion says beside its choices.
    const HEAD: &str = r#""id":"c-1","object":"chat.completion","created":5,"model":"m","#;

    #[crate::test]
    fn a_completion_passes_byte_for_byte_and_is_counted() {
        let body = format!(
            r#" {{{HEAD} "choices": [{{"index":0,"message":{{"role":"assistant","content":"h\u00e9"}},"finish_reason":"stop"}}],
            "usage":{{"prompt_tokens":3,"completion_tokens":1.0}},"vendor": 1e2}} "#
        );
        let mut out = b"before".to_vec();
        let tally = translate_response(body.as_bytes(), &mut out).unwrap();
        assert_eq!(out.strip_prefix(b"before").unwrap(), body.as_bytes());
        assert_eq!(
            (tally.usage.input_tokens, tally.usage.output_tokens),
            (Some(3), None)
        );
        assert_eq!(tally.output_bytes, 4);
    }

    #[crate::test]
    fn an_error_with_status_200_is_a_fault() {
        let body = br#"{"error":{"message":"upstream is full","code":429},"user_id":"secret"}"#;
        let fault = translate_response(body, &mut Vec::new()).unwrap_err();
        assert_eq!((fault.error.status, fault.is_retryable), (429, true));
        assert_eq!(fault.error.message, "upstream is full");
    }

    #[crate::test]
    fn what_is_no_completion_is_a_fault_that_tells_nothing_of_it() {
        for body in [
            "",
            "secret",
            "[]",
            "{}",
            "{\"choices\":null}",
            "{\"choices\":\"secret\"}",
            "{\"choices\":[7]}",
        ] {
            let fault = translate_response(body.as_bytes(), &mut Vec::new()).unwrap_err();
            assert_eq!((fault.error.status, fault.is_retryable), (502, true), "{body}");
            assert_eq!(
                fault.error.message,
                "The provider's answer is not a chat completion."
            );
        }
        assert!(translate_response(b"{\"choices\":[]}\xFF", &mut Vec::new()).is_err());
    }

    fn check(choice: &str, expected: &str) {
        let body = format!(r#"{{{HEAD}"choices":[{choice}]}}"#);
        let mut out = Vec::new();
        translate_response(body.as_bytes(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(r#"{{{HEAD}"choices":[{expected}]}}"#)
        );
    }

    #[crate::test]
    fn what_the_sdks_do_not_read_is_reshaped() {
        check(
            r#"{"index":0,"message":{"content":[{"type":"text","text":"hi"}]},"finish_reason":"eos_token"}"#,
            r#"{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}"#,
        );
        check(
            r#"{"message":{"content":"hi","reasoning":"why"}}"#,
            r#"{"message":{"content":"hi","reasoning":"why","reasoning_content":"why"},"index":0,"finish_reason":"stop"}"#,
        );
        check(
            r#"{"index":0,"message":{"content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}"#,
            r#"{"index":0,"message":{"content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}"#,
        );
    }

    #[crate::test]
    fn an_answer_that_does_not_say_whose_it_is_is_given_that() {
        let body = br#"{"id":"","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
        let (mut out, mut again) = (Vec::new(), Vec::new());
        translate_response(body, &mut out).unwrap();
        translate_response(body, &mut again).unwrap();
        assert_eq!(out, again);
        let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert!(
            answer["id"].as_str().unwrap().starts_with("chatcmpl-"),
            "{answer}"
        );
        assert_eq!(
            (&answer["object"], &answer["model"]),
            (&"chat.completion".into(), &"up-1".into())
        );
        assert_eq!(answer["created"], 1_700_000_000);
    }

    #[crate::test]
    fn calls_without_ids_are_told_apart() {
        let call = r#"{"function":{"name":"f","arguments":{"a":1}}}"#;
        let body = format!(
            r#"{{{HEAD}"choices":[{{"index":0,"message":{{"tool_calls":[{call},{call}]}},"finish_reason":"stop"}}]}}"#
        );
        let mut out = Vec::new();
        translate_response(body.as_bytes(), &mut out).unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let calls = answer["choices"][0]["message"]["tool_calls"].as_array().unwrap();
        assert_ne!(calls[0]["id"], calls[1]["id"]);
        for call in calls {
            assert!(call["id"].as_str().unwrap().starts_with("call_"));
            assert_eq!(
                (&call["type"], &call["function"]["arguments"]),
                (&"function".into(), &r#"{"a":1}"#.into())
            );
        }
    }
}
