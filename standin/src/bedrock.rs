// SPDX-License-Identifier: Apache-2.0

//! The Amazon Bedrock stand-in: `Converse` and `ConverseStream` in Bedrock's wire format.
//!
//! Follows the published reference
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>). A stream is not
//! server-sent events but binary messages with two checksums each, padded by a member `p` as Bedrock pads them; an
//! error in its midst is an exception message. What is refused is in [`crate::bedrock_request`].

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bedrock_request::{Answer, Refused, Tool, read};
use crate::reply::{Event, Form, Reply, Scene};
use crate::text::Prose;

/// Whether a path is one of Bedrock's, and if so its model, decoded, and its operation.
pub(crate) fn operation(path: &str) -> Option<(String, &str)> {
    let (model, operation) = path.strip_prefix("/model/")?.split_once('/')?;
    Some((model.replace("%3A", ":").replace("%2F", "/"), operation))
}

/// Answers `POST /model/{model}/converse` and `.../converse-stream`.
pub(crate) fn converse(is_authorized: bool, is_streaming: bool, body: &[u8], scene: &Scene<'_>) -> Reply {
    if !is_authorized {
        let message = "Missing Authentication Token";
        return error(403, "MissingAuthenticationTokenException", message, scene);
    }
    match read(body, scene) {
        Ok(answer) if is_streaming => stream(answer, scene),
        Ok(answer) => whole(&answer, scene),
        Err(Refused(message)) => error(400, "ValidationException", &message, scene),
    }
}

/// Bedrock's error with this status.
pub(crate) fn refusal(status: u16, scene: &Scene<'_>) -> Reply {
    let (kind, message) = match status {
        400 => (
            "ValidationException",
            "Malformed input request, please reformat your input and try again.",
        ),
        401 => (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        403 => (
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
        ),
        404 => (
            "ResourceNotFoundException",
            "Could not resolve the foundation model from the provided model identifier.",
        ),
        408 => (
            "ModelTimeoutException",
            "Model has timed out in processing the request. Try your request again.",
        ),
        424 => (
            "ModelErrorException",
            "The system encountered an unexpected error during processing. Try your request again.",
        ),
        429 => (
            "ThrottlingException",
            "Too many requests, please wait before trying again.",
        ),
        503 => (
            "ServiceUnavailableException",
            "Bedrock is unable to process your request.",
        ),
        _ => (
            "InternalServerException",
            "The system encountered an unexpected error during processing. Try your request again.",
        ),
    };
    let fault = scene.fault;
    error(
        status,
        fault.error_type.as_deref().unwrap_or(kind),
        fault.message.as_deref().unwrap_or(message),
        scene,
    )
}

/// An error of AWS with this status and name.
pub(crate) fn error(status: u16, kind: &str, message: &str, scene: &Scene<'_>) -> Reply {
    let mut headers = headers(scene);
    let address = "http://internal.amazon.com/coral/com.amazon.bedrock/";
    headers.push(("x-amzn-errortype".to_owned(), format!("{kind}:{address}")));
    Reply::json(status, headers, json!({"message": message}).to_string())
}

/// The headers of an answer.
pub(crate) fn headers(scene: &Scene<'_>) -> Vec<(String, String)> {
    vec![("x-amzn-requestid".to_owned(), scene.ids.alphanumeric(36))]
}

fn usage(answer: &Answer) -> Value {
    json!({
        "cacheReadInputTokens": answer.cached_tokens,
        "cacheWriteInputTokens": 0,
        "inputTokens": answer.input_tokens,
        "outputTokens": answer.output_tokens(),
        "totalTokens": answer.input_tokens.saturating_add(answer.output_tokens()),
    })
}

fn whole(answer: &Answer, scene: &Scene<'_>) -> Reply {
    let mut content = Vec::new();
    if let Some(thinking) = &answer.thinking {
        let text = json!({"text": thinking.concat(), "signature": answer.signature});
        content.push(json!({"reasoningContent": {"reasoningText": text}}));
    }
    if let Some(prose) = &answer.prose {
        content.push(json!({"text": prose.whole()}));
    }
    for tool in &answer.tools {
        let input: Value = serde_json::from_str(&tool.fragments.concat()).unwrap_or_else(|_| json!({}));
        content.push(json!({"toolUse": {"toolUseId": tool.id, "name": tool.name, "input": input}}));
    }
    let mut document = json!({
        "metrics": {"latencyMs": 7},
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": answer.stop_reason,
    });
    if let (false, Some(document)) = (scene.fault.no_usage, document.as_object_mut()) {
        document.insert("usage".to_owned(), usage(answer));
    }
    let mut reply = Reply::json(200, headers(scene), document.to_string());
    reply.input_tokens = answer.input_tokens.saturating_add(answer.cached_tokens);
    if let Form::Whole { output_tokens, .. } = &mut reply.form {
        *output_tokens = answer.output_tokens();
    }
    reply
}

fn stream(answer: Answer, scene: &Scene<'_>) -> Reply {
    let input_tokens = answer.input_tokens.saturating_add(answer.cached_tokens);
    let message =
        json!({"message": "The system encountered an unexpected error during processing. Try again."});
    let error_event = frame(
        &[
            (":exception-type", "internalServerException"),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ],
        message.to_string().as_bytes(),
    );
    let form = Form::Events {
        events: events(answer, !scene.fault.no_usage),
        error_event: Bytes::from(error_event),
    };
    let mut reply = Reply {
        status: 200,
        headers: headers(scene),
        input_tokens,
        form,
    };
    reply.set_header("content-type", "application/vnd.amazon.eventstream");
    reply
}

/// One message of an event stream (<https://smithy.io/2.0/aws/amazon-eventstream.html>).
pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        encoded.extend_from_slice(name.as_bytes());
        // 7 is text.
        encoded.push(7);
        encoded.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        encoded.extend_from_slice(value.as_bytes());
    }
    let wide = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let mut message = wide(16 + encoded.len() + payload.len()).to_vec();
    message.extend_from_slice(&wide(encoded.len()));
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&encoded);
    message.extend_from_slice(payload);
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message
}

/// An event, padded so that its length tells nothing of its text.
fn event(kind: &str, mut payload: Value) -> Vec<u8> {
    if let Some(payload) = payload.as_object_mut() {
        let padding: String = ('a'..='z').take(1 + kind.len() % 13).collect();
        payload.insert("p".to_owned(), Value::String(padding));
    }
    let headers = [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, payload.to_string().as_bytes())
}

fn delta(index: usize, delta: &Value) -> Event {
    Event::content(event(
        "contentBlockDelta",
        json!({"contentBlockIndex": index, "delta": delta}),
    ))
}

fn stop(index: usize) -> Event {
    Event::frame(event("contentBlockStop", json!({"contentBlockIndex": index})))
}

fn events(answer: Answer, shows_usage: bool) -> Box<dyn Iterator<Item = Event>> {
    let mut metadata = json!({"metrics": {"latencyMs": 7}});
    if let (true, Some(metadata)) = (shows_usage, metadata.as_object_mut()) {
        metadata.insert("usage".to_owned(), usage(&answer));
    }
    let opening = Event::frame(event("messageStart", json!({"role": "assistant"})));
    let closing = [
        Event::done(event("messageStop", json!({"stopReason": answer.stop_reason}))),
        Event::done(event("metadata", metadata)),
    ];
    let thoughts = usize::from(answer.thinking.is_some());
    let texts = usize::from(answer.prose.is_some());
    let thinking = thought(answer.thinking, answer.signature);
    let text = spoken(thoughts, answer.prose);
    let tools = answer.tools.into_iter().enumerate();
    let tools = tools.flat_map(move |(index, tool)| tool_used(thoughts + texts + index, tool));
    Box::new(
        std::iter::once(opening)
            .chain(thinking)
            .chain(text)
            .chain(tools)
            .chain(closing),
    )
}

/// Text and reasoning begin with their first delta: only calls have a start.
fn thought(thinking: Option<Vec<String>>, signature: String) -> impl Iterator<Item = Event> {
    thinking.into_iter().flat_map(move |pieces| {
        let signed = json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": signature}}});
        let signed = Event::frame(event("contentBlockDelta", signed));
        pieces
            .into_iter()
            .map(|piece| delta(0, &json!({"reasoningContent": {"text": piece}})))
            .chain([signed, stop(0)])
    })
}

fn spoken(index: usize, prose: Option<Prose>) -> impl Iterator<Item = Event> {
    prose.into_iter().flat_map(move |prose| {
        prose
            .into_pieces()
            .map(move |piece| delta(index, &json!({"text": piece})))
            .chain(std::iter::once(stop(index)))
    })
}

fn tool_used(index: usize, tool: Tool) -> impl Iterator<Item = Event> {
    let start = json!({"toolUse": {"toolUseId": tool.id, "name": tool.name}});
    let start = event(
        "contentBlockStart",
        json!({"contentBlockIndex": index, "start": start}),
    );
    std::iter::once(Event::frame(start))
        .chain(
            tool.fragments
                .into_iter()
                .map(move |fragment| delta(index, &json!({"toolUse": {"input": fragment}}))),
        )
        .chain(std::iter::once(stop(index)))
}

#[cfg(test)]
mod tests {
    use super::{event, operation};

    #[test]
    fn a_message_is_framed_as_published() {
        let message = event("messageStop", serde_json::json!({"stopReason": "end_turn"}));
        let length = u32::from_be_bytes(message[..4].try_into().unwrap());
        assert_eq!(length as usize, message.len());
        let checksum = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        assert_eq!(checksum(&message[8..12]), crc32fast::hash(&message[..8]));
        let end = message.len() - 4;
        assert_eq!(checksum(&message[end..]), crc32fast::hash(&message[..end]));
        // The empty message of the specification's own examples.
        assert_eq!(
            super::frame(&[], b""),
            [
                0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff
            ]
        );
    }

    #[test]
    fn the_model_is_read_from_the_path() {
        assert_eq!(
            operation("/model/amazon.nova-lite-v1%3A0/converse-stream"),
            Some(("amazon.nova-lite-v1:0".to_owned(), "converse-stream"))
        );
        assert_eq!(operation("/v1/messages"), None);
    }
}
