// SPDX-License-Identifier: Apache-2.0

//! Wire shapes of the Anthropic stand-in, event by event.

use super::*;
use crate::clock::Identifiers;
use crate::faults::Fault;

const PRESENTED: Presented = Presented {
    has_api_key: true,
    has_version: true,
};

fn ask(presented: &Presented, request: &Value) -> (u16, String) {
    let (ids, fault) = (Identifiers::seeded(1), Fault::default());
    let scene = Scene {
        unix_now: 5,
        ids: &ids,
        fault: &fault,
    };
    let reply = messages(presented, request.to_string().as_bytes(), &scene);
    let text = match reply.form {
        Form::Whole { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
        Form::Events { events, .. } => events
            .map(|event| String::from_utf8_lossy(&event.bytes).into_owned())
            .collect(),
    };
    (reply.status, text)
}

fn request(content: Value) -> Value {
    json!({"model": "claude", "max_tokens": 100, "messages": [{"role": "user", "content": content}]})
}

fn events(request: &Value) -> Vec<Value> {
    let (_, text) = ask(&PRESENTED, request);
    let parse = |event: &str| {
        let (name, data) = event.split_once("\ndata: ").expect("two lines");
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        data
    };
    text.split_terminator("\n\n").map(parse).collect()
}

#[test]
fn a_document_has_every_member_of_the_reference() {
    let (status, text) = ask(&PRESENTED, &request(json!("Hello cached:2")));
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let expected = json!({
        "id": found["id"], "type": "message", "role": "assistant", "model": "claude",
        "content": [{"type": "text", "text": "Anthropic stand-in: Hello cached:2"}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 4, "service_tier": "standard"}});
    assert_eq!((status, found), (200, expected));
}

#[test]
fn a_stream_comes_in_anthropics_order() {
    let mut asked = request(json!("count:2"));
    asked["stream"] = json!(true);
    asked["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    let found = events(&asked);
    let kinds: Vec<&str> = found
        .iter()
        .map(|event| {
            event
                .pointer("/delta/type")
                .unwrap_or_else(|| &event["type"])
                .as_str()
                .expect("a type")
        })
        .collect();
    let expected = [
        "message_start",
        "ping",
        "content_block_start",
        "thinking_delta",
        "thinking_delta",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "content_block_start",
        "text_delta",
        "text_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(found[8]["index"], 1);
    assert_eq!(found[12]["usage"]["output_tokens"], 5);
    assert_eq!(
        found[12]["delta"],
        json!({"stop_reason": "end_turn", "stop_sequence": null})
    );
}

#[test]
fn tool_input_streams_as_partial_json() {
    let mut asked = request(json!("weather in both"));
    asked["stream"] = json!(true);
    asked["tools"] = json!([{"name": "look", "input_schema": {"type": "object"}}]);
    let mut inputs = [String::new(), String::new()];
    for event in events(&asked) {
        if let Some(part) = event.pointer("/delta/partial_json").and_then(Value::as_str) {
            inputs[usize::try_from(event["index"].as_u64().expect("an index")).expect("small")]
                .push_str(part);
        }
    }
    assert_eq!(inputs, [r#"{"location":"Paris"}"#, r#"{"location":"Rome"}"#]);
}

#[test]
fn max_tokens_cuts_the_answer() {
    let mut asked = request(json!("count:9"));
    asked["max_tokens"] = json!(4);
    let found: Value = serde_json::from_str(&ask(&PRESENTED, &asked).1).expect("JSON");
    assert_eq!(found["stop_reason"], "max_tokens");
    assert_eq!(found["content"][0]["text"], "1 2 3 4 ");
}

#[test]
fn what_anthropic_refuses_is_refused() {
    let alter = |member: &str, value: Value| {
        let mut request = request(json!("x"));
        request[member] = value;
        request
    };
    let mut without_limit = request(json!("x"));
    without_limit
        .as_object_mut()
        .expect("an object")
        .remove("max_tokens");
    let result = json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]);
    let unanswered = json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "n", "input": {}}]}, {"role": "user", "content": "y"}]);
    let cases = [
        (without_limit, "max_tokens: Field required"),
        (alter("n", json!(1)), "n: Extra inputs are not permitted"),
        (
            request(json!([{"type": "text", "text": ""}])),
            "messages: text content blocks must be non-empty",
        ),
        (
            alter("messages", json!([])),
            "messages: at least one message is required",
        ),
        (
            alter("messages", json!([{"role": "system", "content": "x"}])),
            "Unexpected role \"system\"",
        ),
        (
            alter("messages", json!([{"role": "assistant", "content": "x"}])),
            "first message must use",
        ),
        (alter("messages", result), "unexpected `tool_use_id`"),
        (alter("messages", unanswered), "without `tool_result` blocks"),
    ];
    for (request, message) in cases {
        let (status, text) = ask(&PRESENTED, &request);
        let error: Value = serde_json::from_str(&text).expect("JSON");
        let found = error["error"]["message"].as_str().expect("a message");
        assert!(status == 400 && found.contains(message), "{status} {found}");
        assert_eq!(error["type"], "error");
        assert!(
            error["request_id"]
                .as_str()
                .is_some_and(|id| id.starts_with("req_"))
        );
    }
    let (status, text) = ask(
        &Presented {
            has_api_key: false,
            has_version: true,
        },
        &request(json!("x")),
    );
    assert!(status == 401 && text.contains("authentication_error"));
    let (status, _) = ask(
        &Presented {
            has_api_key: true,
            has_version: false,
        },
        &request(json!("x")),
    );
    assert_eq!(status, 400);
}
