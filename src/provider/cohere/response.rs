// SPDX-License-Identifier: Apache-2.0

//! The whole answer: Cohere's message as OpenAI's chat completion.
//!
//! Text parts are joined as they stand; what the model says before it calls tools is text as well, as it is with other
//! providers. Thinking never enters `content`. Citations have no URL and are told in Cohere's own form.

use super::error::{malformed_answer, reported};
use super::stop_reason::finish_reason;
use super::usage::{openai_usage, token_usage};
use crate::protocol::cohere::chat::{AnswerMessage, ChatResponse};
use crate::protocol::json_text;
use crate::protocol::openai::completion::{self, ChatCompletion, Choice, FunctionCall, ToolCall};
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use std::borrow::Cow;

/// Translates a whole answer and appends it to `out`.
///
/// # Errors
///
/// An answer that reports an error, or is not what it claims to be.
pub(super) fn translate_response(
    body: &[u8],
    settings: &Settings,
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    let answer: ChatResponse<'_> = serde_json::from_slice(body).map_err(|_| malformed_answer())?;
    let message = answer.message.ok_or_else(malformed_answer)?.get();
    if message.starts_with('"') {
        let message: Cow<'_, str> = serde_json::from_str(message).map_err(|_| malformed_answer())?;
        return Err(reported(&message));
    }
    let message: AnswerMessage<'_> = serde_json::from_str(message).map_err(|_| malformed_answer())?;
    let finish_reason = finish_reason(answer.finish_reason.as_deref())?;
    let usage = token_usage(answer.usage);
    let (mut text, mut reasoning) = (message.tool_plan, None);
    for part in message.content.into_iter().flatten() {
        join(&mut text, part.text);
        join(&mut reasoning, part.thinking);
    }
    let calls = message.tool_calls.into_iter().flatten().enumerate();
    let tool_calls: Vec<ToolCall<'_>> = calls
        .map(|(index, call)| ToolCall {
            id: call.id.unwrap_or_else(|| Cow::Owned(format!("call_{index}"))),
            kind: "function",
            function: FunctionCall {
                name: match call.function.name {
                    Some(name) => match request.renamed_tools.get(&*name) {
                        Some(at_client) => Cow::Borrowed(at_client.as_str()),
                        None => name,
                    },
                    None => Cow::Borrowed(""),
                },
                arguments: call
                    .function
                    .arguments
                    .filter(|json| !json.is_empty())
                    .unwrap_or(Cow::Borrowed("{}")),
            },
            extra_content: None,
        })
        .collect();
    let called = tool_calls
        .iter()
        .map(|call| call.function.name.len() + call.function.arguments.len());
    let said = [&text, &reasoning].into_iter().flatten().map(|text| text.len());
    let output_bytes = called.chain(said).fold(0_usize, usize::saturating_add);
    let completion = ChatCompletion {
        id: answer.id.as_deref().unwrap_or_default(),
        object: "chat.completion",
        created: settings.created,
        model: &settings.upstream_model,
        choices: vec![Choice {
            index: 0,
            message: completion::AnswerMessage {
                role: "assistant",
                content: text.filter(|text| !text.is_empty() || tool_calls.is_empty()),
                reasoning_content: reasoning.filter(|text| !text.is_empty()),
                tool_calls,
                citations: message.citations.unwrap_or_default(),
                ..completion::AnswerMessage::default()
            },
            logprobs: None,
            finish_reason,
        }],
        usage: openai_usage(&usage),
        service_tier: None,
        trace: None,
    };
    json_text::write(out, &completion).map_err(|_| malformed_answer())?;
    Ok(Tally {
        usage,
        output_bytes: u64::try_from(output_bytes).unwrap_or(u64::MAX),
    })
}

fn join<'a>(whole: &mut Option<Cow<'a, str>>, more: Option<Cow<'a, str>>) {
    *whole = match (whole.take(), more) {
        (Some(whole), Some(more)) => Some(whole + more),
        (whole, more) => whole.or(more),
    };
}

#[cfg(test)]
mod tests {
    use super::translate_response;
    use crate::config::ProviderKind;
    use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
    use serde_json::{Value, json};

    fn translate(answer: &Value) -> Result<(Value, Tally), UpstreamFault> {
        let mut out = Vec::new();
        let settings = Settings::of(ProviderKind::Cohere, "command-a");
        let tally = translate_response(
            answer.to_string().as_bytes(),
            &settings,
            &UpstreamRequest::default(),
            &mut out,
        )?;
        Ok((serde_json::from_slice(&out).unwrap(), tally))
    }

    #[crate::test]
    fn text_thinking_and_citations_have_their_places() {
        let citation =
            json!({"start": 0, "end": 2, "text": "Hi", "sources": [{"type": "document", "id": "d"}]});
        let (found, tally) = translate(&json!({
            "id": "c-1", "finish_reason": "MAX_TOKENS",
            "message": {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "H\u{e9}"}, {"type": "text", "text": "!"}],
                "citations": [citation]},
            "usage": {"billed_units": {"input_tokens": 1, "output_tokens": 2}, "tokens": {"input_tokens": 10.0, "output_tokens": 4.0}},
        }))
        .unwrap();
        assert_eq!(
            (&found["id"], &found["model"], &found["object"]),
            (&json!("c-1"), &json!("command-a"), &json!("chat.completion"))
        );
        assert_eq!(
            found["choices"][0],
            json!({"index": 0, "finish_reason": "length", "logprobs": null, "message": {
                "role": "assistant", "content": "H\u{e9}!", "refusal": null, "reasoning_content": "hm", "citations": [citation]}})
        );
        assert_eq!(found["usage"]["total_tokens"], 14);
        assert_eq!((tally.usage.input_tokens, tally.output_bytes), (Some(10), 6));
    }

    #[crate::test]
    fn calls_have_ids_and_arguments_and_the_plan_is_said() {
        let (found, _) = translate(&json!({
            "id": "c-1", "finish_reason": "TOOL_CALL",
            "message": {"role": "assistant", "tool_plan": "I will look.", "tool_calls": [
                {"id": "get_1", "type": "function", "function": {"name": "get", "arguments": "{\"a\":1}"}},
                {"type": "function", "function": {"name": "put", "arguments": ""}}]},
        }))
        .unwrap();
        let choice = &found["choices"][0];
        assert_eq!(
            (&choice["finish_reason"], &choice["message"]["content"]),
            (&json!("tool_calls"), &json!("I will look."))
        );
        assert_eq!(
            choice["message"]["tool_calls"],
            json!([
                {"id": "get_1", "type": "function", "function": {"name": "get", "arguments": "{\"a\":1}"}},
                {"id": "call_1", "type": "function", "function": {"name": "put", "arguments": "{}"}}])
        );
    }

    #[crate::test]
    fn what_is_no_answer_is_a_fault() {
        for (answer, status) in [
            (json!({"message": "overloaded"}), 502),
            (
                json!({"id": "a", "finish_reason": "ERROR", "message": {"content": []}}),
                502,
            ),
            (json!({"id": "a", "finish_reason": "TIMEOUT", "message": {}}), 504),
            (json!({"id": "a"}), 502),
            (json!([]), 502),
        ] {
            let fault = translate(&answer).unwrap_err();
            assert_eq!(
                (fault.error.status, fault.is_retryable),
                (status, true),
                "{answer}"
            );
        }
    }
}
