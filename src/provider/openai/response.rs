// SPDX-License-Identifier: Apache-2.0

//! A whole answer: counted, and passed on byte for byte unless OpenAI's SDKs could not read it.

use super::chunk::Chunk;
use super::error::{misbehaved, reported_fault};
use super::{reshape, usage};
use crate::provider::{Tally, UpstreamFault};
use serde_json::value::RawValue;

const NOT_A_COMPLETION: &str = "The provider's answer is not a chat completion.";

/// Reads a JSON answer with a status below 400.
///
/// # Errors
///
/// An error in place of choices, which `OpenRouter` sends with status 200, or an answer that is no completion.
pub(super) fn translate_response(body: &[u8], out: &mut Vec<u8>) -> Result<Tally, UpstreamFault> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| misbehaved(NOT_A_COMPLETION))?;
    let completion: Chunk<'_> = serde_json::from_str(text).map_err(|_| misbehaved(NOT_A_COMPLETION))?;
    if let Some(error) = completion.error(text) {
        return Err(reported_fault(error.as_bytes()));
    }
    let Some(choices) = &completion.choices else {
        return Err(misbehaved(NOT_A_COMPLETION));
    };
    if choices.is_foreign {
        out.append(&mut reshape::completion(text).ok_or_else(|| misbehaved(NOT_A_COMPLETION))?);
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
    use super::translate_response;

    #[crate::test]
    fn a_completion_passes_byte_for_byte_and_is_counted() {
        let body =
            br#" {"choices": [{"message":{"role":"assistant","content":"h\u00e9"},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":3,"completion_tokens":1.0},"vendor": 1e2} "#;
        let mut out = b"before".to_vec();
        let tally = translate_response(body, &mut out).unwrap();
        assert_eq!(out.strip_prefix(b"before").unwrap(), body);
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

    #[crate::test]
    fn content_parts_become_a_string() {
        let body = br#"{"choices":[{"message":{"content":[{"type":"text","text":"hi"}]}}]}"#;
        let mut out = Vec::new();
        translate_response(body, &mut out).unwrap();
        assert_eq!(out, br#"{"choices":[{"message":{"content":"hi"}}]}"#);
    }
}
