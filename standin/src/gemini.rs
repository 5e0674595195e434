// SPDX-License-Identifier: Apache-2.0

//! The Google stand-in: `generateContent` and `streamGenerateContent` in Google's wire format, at AI Studio's paths
//! and at Vertex AI's, and Claude at Vertex AI.
//!
//! Follows the published reference (<https://ai.google.dev/api/generate-content>). Like Google it wants a key at
//! AI Studio and a bearer credential at Vertex AI, and refuses what [`crate::gemini_request`] says. Here the decided
//! answer becomes a document or a stream, whose events end in CRLF.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::anthropic;
use crate::gemini_request::{Answer, read};
use crate::member_order::{GEMINI, in_order};
use crate::reply::{Event, EventKind, Form, Reply, Scene};
use crate::text;

/// A request's path, taken apart.
#[derive(Clone, Copy)]
pub(crate) struct Target<'p> {
    is_vertex: bool,
    /// The model, without its publisher.
    pub(crate) model: &'p str,
    method: &'p str,
}

impl<'p> Target<'p> {
    /// Reads a path; `None` if it is not one of Google's.
    pub(crate) fn of(path: &'p str) -> Option<Self> {
        let (resource, method) = path.rsplit_once(':')?;
        let (place, model) = resource.rsplit_once("/models/")?;
        Some(Self {
            is_vertex: place.contains("/projects/"),
            model,
            method,
        })
    }
}

/// The credentials of a request.
pub(crate) struct Presented {
    pub(crate) has_api_key: bool,
    pub(crate) has_bearer: bool,
}

/// Answers a request. `query` is what stands behind the path.
pub(crate) fn answer(
    target: Target<'_>,
    query: Option<&str>,
    presented: &Presented,
    body: &[u8],
    scene: &Scene<'_>,
) -> Reply {
    let refused = match (target.is_vertex, presented.has_bearer, presented.has_api_key) {
        (true, true, _) | (false, _, true) => None,
        (true, ..) => Some((401, "Request had invalid authentication credentials.")),
        (false, ..) => Some((403, "Method doesn't allow unregistered callers.")),
    };
    if let Some((status, message)) = refused {
        return error(status, message, scene);
    }
    let is_streaming = match target.method {
        "generateContent" => false,
        "streamGenerateContent" if query == Some("alt=sse") => true,
        "batchEmbedContents" if !target.is_vertex => return embeddings(body, "/requests", scene),
        "predict" if target.is_vertex => return embeddings(body, "/instances", scene),
        "rawPredict" | "streamRawPredict" if target.is_vertex => return claude(target, body, scene),
        _ => return refusal(404, scene),
    };
    match read(target.model, body, scene) {
        Ok(answer) if is_streaming => stream(answer, scene),
        Ok(answer) => document(&answer, scene),
        Err(message) => error(400, &message, scene),
    }
}

/// Claude is asked as Anthropic is, but for the model, which the path names, and the version.
fn claude(target: Target<'_>, body: &[u8], scene: &Scene<'_>) -> Reply {
    let mut request: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let version = request.remove("anthropic_version");
    let streams = request.get("stream") == Some(&Value::Bool(true));
    if version != Some(json!("vertex-2023-10-16")) || streams != (target.method == "streamRawPredict") {
        return refusal(400, scene);
    }
    if request.insert("model".to_owned(), json!(target.model)).is_some() {
        return error(400, "model: Extra inputs are not permitted", scene);
    }
    let presented = anthropic::Presented {
        has_api_key: true,
        has_version: true,
    };
    anthropic::messages(&presented, Value::Object(request).to_string().as_bytes(), scene)
}

/// Answers a request for embeddings, whose texts are the elements at `pointer`: each vector begins with its text's
/// length in bytes.
fn embeddings(body: &[u8], pointer: &str, scene: &Scene<'_>) -> Reply {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let texts = request.pointer(pointer).and_then(Value::as_array);
    let length = |item: &Value| {
        let text = item.get("content").and_then(Value::as_str);
        let text = text.or_else(|| item.pointer("/content/parts/0/text")?.as_str());
        text.map(str::len)
    };
    let lengths: Option<Vec<usize>> = texts.map(|texts| texts.iter().map_while(length).collect());
    let Some(lengths) = lengths.filter(|lengths| Some(lengths.len()) == texts.map(Vec::len)) else {
        return refusal(400, scene);
    };
    let counted: u32 = lengths.iter().map(|length| text::input_tokens(*length)).sum();
    let vectors = lengths.iter().map(|length| {
        let values = json!([length, 0.5, -0.5]);
        if pointer == "/requests" {
            json!({"values": values})
        } else {
            let count = text::input_tokens(*length);
            json!({"embeddings": {"values": values, "statistics": {"token_count": count, "truncated": false}}})
        }
    });
    let vectors: Vec<Value> = vectors.collect();
    let body = if pointer == "/requests" {
        json!({"embeddings": vectors, "usageMetadata": {"promptTokenCount": counted}})
    } else {
        json!({"predictions": vectors})
    };
    let mut reply = Reply::json(200, headers(), in_order(&body, GEMINI));
    reply.input_tokens = counted;
    reply
}

/// Google's error with this status.
pub(crate) fn refusal(status: u16, scene: &Scene<'_>) -> Reply {
    let message = match status {
        400 => "Request contains an invalid argument.",
        401 => "Request had invalid authentication credentials.",
        403 => "The caller does not have permission.",
        404 => "models/unknown is not found for API version v1beta, or is not supported for generateContent.",
        429 => "You exceeded your current quota, please check your plan and billing details.",
        503 => "The model is overloaded. Please try again later.",
        504 => "The request timed out.",
        _ => "An internal error has occurred.",
    };
    error(status, scene.fault.message.as_deref().unwrap_or(message), scene)
}

/// Answers a body above the limit.
pub(crate) fn too_large(scene: &Scene<'_>) -> Reply {
    error(400, "Request payload size exceeds the limit.", scene)
}

fn error(status: u16, message: &str, scene: &Scene<'_>) -> Reply {
    let name = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    };
    let name = scene.fault.error_type.as_deref().unwrap_or(name);
    let mut error = json!({"code": status, "message": message, "status": name});
    if status == 429 {
        // Google tells the wait here, and in no header.
        let info = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.250s"}]);
        put(&mut error, "details", info);
    }
    Reply::json(status, headers(), in_order(&json!({"error": error}), GEMINI))
}

/// Adds a member to an object.
pub(crate) fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

fn headers() -> Vec<(String, String)> {
    [("vary", "Origin"), ("server", "scaffolding on HTTPServer2")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

fn usage(answer: &Answer, thoughts: u32, spoken: u32) -> Value {
    let input = answer.input_tokens;
    let mut usage = json!({
        "promptTokenCount": input,
        "candidatesTokenCount": spoken,
        "totalTokenCount": input + spoken + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": input}],
    });
    if thoughts > 0 {
        put(&mut usage, "thoughtsTokenCount", json!(thoughts));
    }
    if answer.cached_tokens > 0 {
        put(&mut usage, "cachedContentTokenCount", json!(answer.cached_tokens));
    }
    usage
}

/// An answer, or an event, that holds these parts.
fn response(
    answer: &Answer,
    parts: &[Value],
    finish_reason: Option<&str>,
    counts: Option<(u32, u32)>,
) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let Some(reason) = finish_reason {
        put(&mut candidate, "finishReason", json!(reason));
    }
    let mut response = json!({
        "candidates": [candidate],
        "modelVersion": answer.model,
        "responseId": answer.id,
    });
    if let Some((thoughts, spoken)) = counts {
        put(&mut response, "usageMetadata", usage(answer, thoughts, spoken));
    }
    response
}

fn document(answer: &Answer, scene: &Scene<'_>) -> Reply {
    let mut parts = Vec::new();
    if !answer.thoughts.is_empty() {
        parts.push(json!({"text": answer.thoughts.concat(), "thought": true}));
    }
    if let Some(prose) = &answer.prose {
        parts.push(answer.signed(json!({"text": prose.whole()})));
    }
    parts.extend(answer.calls());
    let counts = (!scene.fault.no_usage).then(|| answer.output_tokens());
    let body = response(answer, &parts, Some(answer.finish_reason), counts);
    let mut reply = Reply::json(200, headers(), in_order(&body, GEMINI));
    reply.input_tokens = answer.input_tokens;
    if let Form::Whole { output_tokens, .. } = &mut reply.form {
        let (thoughts, spoken) = answer.output_tokens();
        *output_tokens = thoughts + spoken;
    }
    reply
}

fn stream(answer: Answer, scene: &Scene<'_>) -> Reply {
    let input_tokens = answer.input_tokens;
    let error = json!({"error": {"code": 503, "message": "The model is overloaded. Please try again later.",
        "status": "UNAVAILABLE"}});
    let form = Form::Events {
        error_event: Bytes::from(event(&error)),
        events: Box::new(events(answer, !scene.fault.no_usage)),
    };
    let mut reply = Reply {
        status: 200,
        headers: headers(),
        input_tokens,
        form,
    };
    reply.set_header("content-type", "text/event-stream");
    reply
}

fn event(data: &Value) -> String {
    format!("data: {}\r\n\r\n", in_order(data, GEMINI))
}

fn events(mut answer: Answer, shows_usage: bool) -> impl Iterator<Item = Event> {
    let thoughts = std::mem::take(&mut answer.thoughts).into_iter();
    let thoughts = thoughts.map(|piece| json!({"text": piece, "thought": true}));
    let prose = answer.prose.take().into_iter();
    let prose = prose.flat_map(|prose| prose.into_pieces().map(|piece| json!({"text": piece})));
    let calls: Vec<Value> = answer.calls();
    // The signature of text comes in a part of its own, when all has been said.
    let last = if calls.is_empty() {
        answer.signed(json!({"text": ""}))
    } else {
        json!({"text": ""})
    };
    let (mut thought, mut spoken) = (0, 0);
    thoughts
        .chain(prose)
        .chain(calls)
        .map(Some)
        .chain(std::iter::once(None))
        .map(move |part| {
            let Some(part) = part else {
                let counts = shows_usage.then_some((thought, spoken));
                let closing = response(
                    &answer,
                    std::slice::from_ref(&last),
                    Some(answer.finish_reason),
                    counts,
                );
                return Event {
                    bytes: Bytes::from(event(&closing)),
                    output_tokens: 0,
                    kind: EventKind::Done,
                };
            };
            if part.get("thought").is_some() {
                thought += 1;
            } else {
                spoken += 1;
            }
            let counts = shows_usage.then_some((thought, spoken));
            Event::content(event(&response(&answer, &[part], None, counts)))
        })
}

#[cfg(test)]
#[path = "gemini_tests.rs"]
mod tests;
