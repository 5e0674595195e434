// SPDX-License-Identifier: Apache-2.0

//! The Cohere stand-in: chat and embeddings of version 2.
//!
//! Follows <https://docs.cohere.com/reference/chat>, <https://docs.cohere.com/v2/docs/streaming> and
//! <https://docs.cohere.com/reference/embed>. It refuses what Cohere refuses in the simple cases: no credential, broken
//! JSON, a member that it does not know, a model or texts that are missing.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::openai_embeddings::vector;
use crate::reply::{Event, Form, Reply, Scene};
use crate::text::{self, Prose};

const CHAT_MEMBERS: &[&str] = &[
    "citation_options",
    "documents",
    "frequency_penalty",
    "k",
    "logprobs",
    "max_tokens",
    "messages",
    "model",
    "p",
    "presence_penalty",
    "priority",
    "raw_prompting",
    "response_format",
    "safety_mode",
    "seed",
    "stop_sequences",
    "stream",
    "strict_tools",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
];
const EMBED_MEMBERS: &[&str] = &[
    "embedding_types",
    "images",
    "input_type",
    "inputs",
    "max_tokens",
    "model",
    "output_dimension",
    "priority",
    "texts",
    "truncate",
];

/// Answers `POST /v2/chat`.
pub(crate) fn chat(has_bearer: bool, body: &[u8], scene: &Scene<'_>) -> Reply {
    let request = match read(has_bearer, body, CHAT_MEMBERS, scene) {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    let Some(messages) = request
        .get("messages")
        .and_then(Value::as_array)
        .filter(|messages| !messages.is_empty())
    else {
        return refusal_with(400, "invalid request: list of messages must not be empty", scene);
    };
    let content = |message: &Value| message.get("content").cloned().unwrap_or_default();
    let input_tokens = text::input_tokens(
        messages
            .iter()
            .map(|message| text::text_bytes(&content(message)))
            .sum(),
    );
    let asked = messages
        .last()
        .map(|message| text::text_of(&content(message)))
        .unwrap_or_default();
    let tool = request
        .get("tools")
        .and_then(|tools| tools.pointer("/0/function/name"))
        .and_then(Value::as_str);
    let is_forced = request.get("tool_choice") == Some(&json!("REQUIRED"));
    let limit = request
        .get("max_tokens")
        .and_then(Value::as_u64)
        .map_or(u32::MAX, |limit| limit as u32);
    let whole = Prose::answering("Cohere", &asked);
    let is_cut = whole.output_tokens() > limit;
    let answer = Answer {
        id: scene.ids.alphanumeric(36),
        call: tool
            .filter(|_| is_forced)
            .map(|name| (format!("{name}_{}", scene.ids.alphanumeric(12)), name.to_owned())),
        pieces: whole.cut_to(limit).into_pieces().collect(),
        is_cut,
        input_tokens,
    };
    if request.get("stream") == Some(&Value::Bool(true)) {
        answer.stream(scene)
    } else {
        answer.whole(scene)
    }
}

struct Answer {
    id: String,
    /// Id and name of the only call.
    call: Option<(String, String)>,
    pieces: Vec<String>,
    is_cut: bool,
    input_tokens: u32,
}

const ARGUMENTS: &str = r#"{"location": "Paris"}"#;

impl Answer {
    fn end(&self) -> Value {
        let reason = match (&self.call, self.is_cut) {
            (Some(_), _) => "TOOL_CALL",
            (None, true) => "MAX_TOKENS",
            (None, false) => "COMPLETE",
        };
        let output = self.output_tokens();
        json!({"finish_reason": reason, "usage": {
            "billed_units": {"input_tokens": self.input_tokens, "output_tokens": output},
            "tokens": {"input_tokens": f64::from(self.input_tokens), "output_tokens": f64::from(output)}}})
    }

    fn output_tokens(&self) -> u32 {
        if self.call.is_some() {
            1
        } else {
            u32::try_from(self.pieces.len()).unwrap_or(u32::MAX)
        }
    }

    fn whole(&self, scene: &Scene<'_>) -> Reply {
        let mut document = self.end();
        let message = match &self.call {
            Some((id, name)) => json!({"role": "assistant", "tool_plan": "I will look.", "tool_calls": [
                {"id": id, "type": "function", "function": {"name": name, "arguments": ARGUMENTS}}]}),
            None => json!({"role": "assistant", "content": [{"type": "text", "text": self.pieces.concat()}]}),
        };
        if let Some(members) = document.as_object_mut() {
            members.insert("id".to_owned(), json!(self.id));
            members.insert("message".to_owned(), message);
        }
        let mut reply = Reply::json(200, headers(scene), document.to_string());
        reply.input_tokens = self.input_tokens;
        reply
    }

    fn stream(self, scene: &Scene<'_>) -> Reply {
        let event = |data: Value| {
            let kind = data
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            format!("event: {kind}\ndata: {data}\n\n")
        };
        let delta = |kind: &str, message: Value| {
            event(json!({"type": kind, "index": 0, "delta": {"message": message}}))
        };
        let mut events = vec![Event::frame(event(
            json!({"type": "message-start", "id": self.id, "delta": {"message":
            {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}}),
        ))];
        if let Some((id, name)) = &self.call {
            events.push(Event::frame(delta(
                "tool-plan-delta",
                json!({"tool_plan": "I will look."}),
            )));
            let start = json!({"tool_calls": {"id": id, "type": "function", "function": {"name": name, "arguments": ""}}});
            events.push(Event::frame(delta("tool-call-start", start)));
            let more = json!({"tool_calls": {"function": {"arguments": ARGUMENTS}}});
            events.push(Event::content(delta("tool-call-delta", more)));
            events.push(Event::frame(event(json!({"type": "tool-call-end", "index": 0}))));
        } else {
            let start = json!({"content": {"type": "text", "text": ""}});
            events.push(Event::frame(delta("content-start", start)));
            for piece in &self.pieces {
                events.push(Event::content(delta(
                    "content-delta",
                    json!({"content": {"text": piece}}),
                )));
            }
            events.push(Event::frame(event(json!({"type": "content-end", "index": 0}))));
        }
        let mut end = Event::done("");
        end.bytes = Bytes::from(event(json!({"type": "message-end", "delta": self.end()})));
        events.push(end);
        let failure =
            json!({"type": "message-end", "delta": {"error": "internal error", "finish_reason": "ERROR"}});
        let mut reply = Reply {
            status: 200,
            headers: headers(scene),
            input_tokens: self.input_tokens,
            form: Form::Events {
                events: Box::new(events.into_iter()),
                error_event: Bytes::from(event(failure)),
            },
        };
        reply.set_header("content-type", "text/event-stream");
        reply
    }
}

/// Answers `POST /v2/embed`.
pub(crate) fn embed(has_bearer: bool, body: &[u8], scene: &Scene<'_>) -> Reply {
    let request = match read(has_bearer, body, EMBED_MEMBERS, scene) {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    let texts: Option<Vec<&str>> = request
        .get("texts")
        .and_then(Value::as_array)
        .and_then(|texts| texts.iter().map(Value::as_str).collect());
    let (Some(texts), true) = (texts, request.contains_key("input_type")) else {
        return refusal_with(400, "invalid request: texts and input_type are required", scene);
    };
    let dimensions = request
        .get("output_dimension")
        .and_then(Value::as_u64)
        .unwrap_or(1536);
    let vectors: Vec<_> = texts
        .iter()
        .map(|text| vector(text.as_bytes(), dimensions))
        .collect();
    let input_tokens = texts.iter().map(|text| text::input_tokens(text.len())).sum();
    let document = json!({"id": scene.ids.alphanumeric(36), "embeddings": {"float": vectors}, "texts": texts,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": input_tokens}},
        "response_type": "embeddings_by_type"});
    let mut reply = Reply::json(200, headers(scene), document.to_string());
    reply.input_tokens = input_tokens;
    reply
}

/// Cohere's error with this status.
pub(crate) fn refusal(status: u16, scene: &Scene<'_>) -> Reply {
    let message = match status {
        401 => "invalid api token",
        429 => "You are using a Trial key, which is limited",
        _ => "internal server error",
    };
    refusal_with(status, scene.fault.message.as_deref().unwrap_or(message), scene)
}

fn refusal_with(status: u16, message: &str, scene: &Scene<'_>) -> Reply {
    let body = json!({"id": scene.ids.alphanumeric(36), "message": message});
    Reply::json(status, headers(scene), body.to_string())
}

fn read(
    has_bearer: bool,
    body: &[u8],
    known: &[&str],
    scene: &Scene<'_>,
) -> Result<Map<String, Value>, Reply> {
    if !has_bearer {
        return Err(refusal_with(401, "no api key supplied", scene));
    }
    let Ok(Value::Object(request)) = serde_json::from_slice(body) else {
        return Err(refusal_with(400, "invalid type: expected a JSON object", scene));
    };
    if let Some(unknown) = request.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(refusal_with(
            422,
            &format!("unknown field: parameter '{unknown}' is not a valid field"),
            scene,
        ));
    }
    if request.get("model").and_then(Value::as_str).is_none() {
        return Err(refusal_with(400, "invalid request: model is required", scene));
    }
    Ok(request)
}

fn headers(scene: &Scene<'_>) -> Vec<(String, String)> {
    vec![("x-debug-trace-id".to_owned(), scene.ids.alphanumeric(32))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Identifiers;
    use crate::faults::Fault;

    fn ask(request: &Value) -> (u16, String) {
        let ids = Identifiers::seeded(1);
        let scene = Scene {
            unix_now: 5,
            ids: &ids,
            fault: &Fault::default(),
        };
        let reply = chat(true, request.to_string().as_bytes(), &scene);
        let text = match reply.form {
            Form::Whole { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
            Form::Events { events, .. } => events
                .map(|event| String::from_utf8_lossy(&event.bytes).into_owned())
                .collect(),
        };
        (reply.status, text)
    }

    #[test]
    fn an_answer_is_whole_or_a_stream_that_ends() {
        let request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        let (status, text) = ask(&request);
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((status, &document["finish_reason"]), (200, &json!("COMPLETE")));
        let mut streamed = request.clone();
        streamed["stream"] = json!(true);
        let (_, events) = ask(&streamed);
        assert!(
            events.starts_with("event: message-start\n") && events.contains("event: message-end\n"),
            "{events}"
        );
        let mut odd = request;
        odd["top_p"] = json!(1);
        assert_eq!(ask(&odd).0, 422);
    }
}
