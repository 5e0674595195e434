// SPDX-License-Identifier: Apache-2.0

//! The Anthropic stand-in: `POST /v1/messages` in Anthropic's wire format.
//!
//! Follows the published reference (<https://docs.claude.com/en/api/messages>). Like Anthropic it insists on
//! its headers, on `max_tokens`, on known top-level members and on non-empty text; see
//! [`crate::anthropic_request`]. Here the decided answer becomes a document or a stream.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::anthropic_request::{Message, Tool, read};
use crate::clock::rfc3339;
use crate::member_order::{ANTHROPIC, in_order};
use crate::reply::{Event, Form, Reply, Scene};
use crate::text::Prose;

/// The credential and version headers of a request.
pub(crate) struct Presented {
    pub(crate) has_api_key: bool,
    pub(crate) has_version: bool,
}

/// Answers `POST /v1/messages`.
pub(crate) fn messages(presented: &Presented, body: &[u8], scene: &Scene<'_>) -> Reply {
    match check_headers(presented).and_then(|()| read(body, scene)) {
        Ok(message) => reply(message, scene),
        Err(refused) => error(refused.status, refused.kind, &refused.message, scene),
    }
}

/// Answers `POST /v1/messages/count_tokens`.
pub(crate) fn count_tokens(presented: &Presented, body: &[u8], scene: &Scene<'_>) -> Reply {
    let counted = check_headers(presented).and_then(|()| crate::anthropic_request::count(body));
    match counted {
        Ok(count) => Reply::json(
            200,
            headers(scene).0,
            in_order(&json!({"input_tokens": count}), ANTHROPIC),
        ),
        Err(refused) => error(refused.status, refused.kind, &refused.message, scene),
    }
}

/// Answers `GET /v1/models`.
pub(crate) fn models(scene: &Scene<'_>) -> Reply {
    let model = json!({"type": "model", "id": "claude-sonnet-4-5", "display_name": "Claude Sonnet 4.5",
        "created_at": "2025-09-29T00:00:00Z"});
    let body = json!({"data": [model], "has_more": false, "first_id": "claude-sonnet-4-5",
        "last_id": "claude-sonnet-4-5"});
    Reply::json(200, headers(scene).0, in_order(&body, ANTHROPIC))
}

/// Answers a body above the limit.
pub(crate) fn too_large(scene: &Scene<'_>) -> Reply {
    error(
        413,
        "request_too_large",
        "Request exceeds the maximum size",
        scene,
    )
}

/// Anthropic's error with this status.
pub(crate) fn refusal(status: u16, scene: &Scene<'_>) -> Reply {
    let (kind, message) = match status {
        400 => ("invalid_request_error", "Invalid request"),
        401 => ("authentication_error", "invalid x-api-key"),
        402 => (
            "billing_error",
            "Your credit balance is too low to access the Anthropic API.",
        ),
        403 => (
            "permission_error",
            "Your API key does not have permission to use the specified resource.",
        ),
        404 => ("not_found_error", "Not Found"),
        413 => ("request_too_large", "Request exceeds the maximum size"),
        429 => (
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 50,000 input tokens per minute.",
        ),
        504 => ("timeout_error", "Request timed out"),
        529 => ("overloaded_error", "Overloaded"),
        _ => ("api_error", "Internal server error"),
    };
    let fault = scene.fault;
    error(
        status,
        fault.error_type.as_deref().unwrap_or(kind),
        fault.message.as_deref().unwrap_or(message),
        scene,
    )
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl Refused {
    /// 400 `invalid_request_error`.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: "invalid_request_error",
            message: message.into(),
        }
    }
}

fn check_headers(presented: &Presented) -> Result<(), Refused> {
    if !presented.has_api_key {
        let message = "x-api-key header is required".to_owned();
        return Err(Refused {
            status: 401,
            kind: "authentication_error",
            message,
        });
    }
    if !presented.has_version {
        return Err(Refused::invalid("anthropic-version: header is required"));
    }
    Ok(())
}

fn error(status: u16, kind: &str, message: &str, scene: &Scene<'_>) -> Reply {
    let (headers, request_id) = headers(scene);
    let body =
        json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id});
    Reply::json(status, headers, in_order(&body, ANTHROPIC))
}

/// The headers of an answer, and the request identifier among them.
fn headers(scene: &Scene<'_>) -> (Vec<(String, String)>, String) {
    let request_id = format!("req_{}", scene.ids.alphanumeric(24));
    let reset = rfc3339(scene.unix_now + 1);
    let mut headers = vec![
        ("request-id".to_owned(), request_id.clone()),
        (
            "anthropic-organization-id".to_owned(),
            "6e9f2a1c-5d0b-4b5e-9a51-5f0a2d8c7b11".to_owned(),
        ),
    ];
    let limits = [
        ("requests", 4_000),
        ("tokens", 480_000),
        ("input-tokens", 400_000),
        ("output-tokens", 80_000),
    ];
    for (what, limit) in limits {
        let name = |aspect| format!("anthropic-ratelimit-{what}-{aspect}");
        headers.push((name("limit"), limit.to_string()));
        headers.push((name("remaining"), (limit - 1).to_string()));
        headers.push((name("reset"), reset.clone()));
    }
    (headers, request_id)
}

fn reply(message: Message, scene: &Scene<'_>) -> Reply {
    let (headers, _) = headers(scene);
    // What was read from a cache counts as input for the record, though Anthropic lists it apart.
    let input_tokens = message.input_tokens + message.cached_tokens;
    if !message.is_streaming {
        let mut reply = Reply::json(200, headers, in_order(&document(&message, scene), ANTHROPIC));
        reply.input_tokens = input_tokens;
        if let Form::Whole { output_tokens, .. } = &mut reply.form {
            *output_tokens = message.output_tokens();
        }
        return reply;
    }
    let error_event = Bytes::from_static(
        b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\
          \"message\":\"Overloaded\"}}\n\n",
    );
    let form = Form::Events {
        events: events(message, !scene.fault.no_usage),
        error_event,
    };
    let mut reply = Reply {
        status: 200,
        headers,
        input_tokens,
        form,
    };
    reply.set_header("content-type", "text/event-stream; charset=utf-8");
    reply
}

fn usage(message: &Message, output_tokens: u32) -> Value {
    json!({
        "input_tokens": message.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": message.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "service_tier": "standard",
    })
}

fn document(message: &Message, scene: &Scene<'_>) -> Value {
    let mut content = Vec::new();
    if let Some(thinking) = &message.thinking {
        content
            .push(json!({"type": "thinking", "thinking": thinking.concat(), "signature": message.signature}));
    }
    if let Some(prose) = &message.prose {
        content.push(json!({"type": "text", "text": prose.whole()}));
    }
    for tool in &message.tools {
        let input: Value = serde_json::from_str(&tool.fragments.concat()).unwrap_or_else(|_| json!({}));
        content.push(json!({"type": "tool_use", "id": tool.id, "name": tool.name, "input": input}));
    }
    let mut document = json!({
        "id": message.id,
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": content,
        "stop_reason": message.stop_reason,
        "stop_sequence": null,
    });
    if let (false, Some(document)) = (scene.fault.no_usage, document.as_object_mut()) {
        document.insert("usage".to_owned(), usage(message, message.output_tokens()));
    }
    document
}

/// An event whose name is its `type`, as all of Anthropic's are.
fn named(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {}\n\n", in_order(data, ANTHROPIC))
}

fn delta(index: usize, delta: &Value) -> String {
    named(
        "content_block_delta",
        &json!({"type": "content_block_delta", "index": index, "delta": delta}),
    )
}

fn events(message: Message, shows_usage: bool) -> Box<dyn Iterator<Item = Event>> {
    let mut start = json!({
        "id": message.id,
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
    });
    let mut end = json!({"type": "message_delta", "delta": {
        "stop_reason": message.stop_reason, "stop_sequence": null}});
    if shows_usage {
        let total = json!({
            "input_tokens": message.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": message.cached_tokens,
            "output_tokens": message.output_tokens(),
        });
        if let (Some(start), Some(end)) = (start.as_object_mut(), end.as_object_mut()) {
            start.insert("usage".to_owned(), usage(&message, 1));
            end.insert("usage".to_owned(), total);
        }
    }
    let opening = [
        Event::frame(named(
            "message_start",
            &json!({"type": "message_start", "message": start}),
        )),
        Event::frame(named("ping", &json!({"type": "ping"}))),
    ];
    let closing = [
        Event::frame(named("message_delta", &end)),
        Event::done("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
    ];
    let (thoughts, texts) = (
        usize::from(message.thinking.is_some()),
        usize::from(message.prose.is_some()),
    );
    let thinking = thought(message.thinking, &message.signature);
    let text = spoken(thoughts, message.prose);
    let tools = message.tools.into_iter().enumerate();
    let tools = tools.flat_map(move |(index, tool)| tool_used(thoughts + texts + index, tool));
    Box::new(
        opening
            .into_iter()
            .chain(thinking)
            .chain(text)
            .chain(tools)
            .chain(closing),
    )
}

/// A content block: its start, what is inside, its stop.
fn block<I: Iterator<Item = Event>>(
    index: usize,
    content_block: &Value,
    inside: I,
) -> impl Iterator<Item = Event> + use<I> {
    let start = json!({"type": "content_block_start", "index": index, "content_block": content_block});
    let stop = json!({"type": "content_block_stop", "index": index});
    std::iter::once(Event::frame(named("content_block_start", &start)))
        .chain(inside)
        .chain(std::iter::once(Event::frame(named("content_block_stop", &stop))))
}

fn thought(thinking: Option<Vec<String>>, signature: &str) -> impl Iterator<Item = Event> + use<> {
    let signed = delta(0, &json!({"type": "signature_delta", "signature": signature}));
    thinking.into_iter().flat_map(move |pieces| {
        let inside = pieces
            .into_iter()
            .map(|piece| Event::content(delta(0, &json!({"type": "thinking_delta", "thinking": piece}))));
        let signed = std::iter::once(Event::frame(signed.clone()));
        block(
            0,
            &json!({"type": "thinking", "thinking": "", "signature": ""}),
            inside.chain(signed),
        )
    })
}

fn spoken(index: usize, prose: Option<Prose>) -> impl Iterator<Item = Event> {
    prose.into_iter().flat_map(move |prose| {
        let inside = prose
            .into_pieces()
            .map(move |piece| Event::content(delta(index, &json!({"type": "text_delta", "text": piece}))));
        block(index, &json!({"type": "text", "text": ""}), inside)
    })
}

fn tool_used(index: usize, tool: Tool) -> impl Iterator<Item = Event> {
    let start = json!({"type": "tool_use", "id": tool.id, "name": tool.name, "input": {}});
    // Anthropic opens the input with an empty piece.
    let empty = Event::frame(delta(
        index,
        &json!({"type": "input_json_delta", "partial_json": ""}),
    ));
    let inside = tool.fragments.into_iter().map(move |fragment| {
        Event::content(delta(
            index,
            &json!({"type": "input_json_delta", "partial_json": fragment}),
        ))
    });
    block(index, &start, std::iter::once(empty).chain(inside))
}

#[cfg(test)]
#[path = "anthropic_tests.rs"]
mod tests;
