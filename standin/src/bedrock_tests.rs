// SPDX-License-Identifier: Apache-2.0

//! What the Bedrock stand-in refuses and decides.

use serde_json::{Value, json};

use super::read;
use crate::clock::Identifiers;
use crate::faults::Fault;
use crate::reply::Scene;

fn check(request: &Value) -> Result<(u32, &'static str, usize), String> {
    let scene = Scene {
        unix_now: 0,
        ids: &Identifiers::seeded(1),
        fault: &Fault::default(),
    };
    let answer = read(request.to_string().as_bytes(), &scene).map_err(|refused| refused.0)?;
    Ok((answer.output_tokens(), answer.stop_reason, answer.tools.len()))
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": [{"text": text}]})
}

#[test]
fn an_answer_is_decided_on() {
    let tools = json!({"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]});
    for (request, expected) in [
        (json!({"messages": [user("Hi")]}), (3, "end_turn", 0)),
        (
            json!({"messages": [user("count:9")], "inferenceConfig": {"maxTokens": 2}}),
            (2, "max_tokens", 0),
        ),
        (
            json!({"messages": [user("weather in both")], "toolConfig": tools}),
            (6, "tool_use", 2),
        ),
        (
            json!({"messages": [user("Hi")], "additionalModelRequestFields": {"thinking": {"type": "enabled"}}}),
            (6, "end_turn", 0),
        ),
    ] {
        assert_eq!(check(&request), Ok(expected), "{request}");
    }
}

#[test]
fn what_bedrock_refuses_is_refused() {
    let call =
        json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}]});
    let result = json!({"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": []}}]});
    let tools = json!({"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]});
    for (request, words) in [
        (json!({"messages": []}), "at least one message"),
        (json!({"messages": [user("a"), user("b")]}), "must alternate"),
        (json!({"messages": [call]}), "must alternate"),
        (json!({"messages": [user(" ")]}), "is blank"),
        (json!({"messages": [{"role": "user", "content": []}]}), "is empty"),
        (json!({"messages": [user("a"), call, result]}), "toolConfig"),
        (
            json!({"messages": [user("a"), call, user("b")], "toolConfig": tools}),
            "toolResult",
        ),
        (
            json!({"messages": [user("a")], "model": "m"}),
            "extraneous key [model]",
        ),
        (
            json!({"messages": [user("a")], "inferenceConfig": {"temperature": 1.5}}),
            "temperature",
        ),
        (
            json!({"messages": [user("a")], "inferenceConfig": {"maxTokens": 0}}),
            "maxTokens",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"document": {"name": "d"}}]}]}),
            "text block",
        ),
    ] {
        let message = check(&request).expect_err("a refusal");
        assert!(message.contains(words), "{request}: {message}");
    }
    assert!(check(&json!({"messages": [user("a"), call, result], "toolConfig": tools})).is_ok());
}
