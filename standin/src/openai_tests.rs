// SPDX-License-Identifier: Apache-2.0

//! Wire shapes of the OpenAI stand-in, member by member.

use super::*;
use crate::clock::Identifiers;
use crate::faults::Fault;

fn ask(request: &Value, fault: &Fault) -> Reply {
    let ids = Identifiers::seeded(1);
    chat_completions(
        true,
        request.to_string().as_bytes(),
        &Scene {
            unix_now: 5,
            ids: &ids,
            fault,
        },
    )
}

fn text(reply: Reply) -> String {
    match reply.form {
        Form::Whole { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
        Form::Events { events, .. } => events
            .map(|event| String::from_utf8_lossy(&event.bytes).into_owned())
            .collect(),
    }
}

fn document(request: &Value) -> Value {
    serde_json::from_str(&text(ask(request, &Fault::default()))).expect("a document")
}

fn chunks(request: &Value, fault: &Fault) -> Vec<Value> {
    let text = text(ask(request, fault));
    let events = text
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").expect("data"));
    events
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}

fn request(content: &str) -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": content}]})
}

fn with(mut request: Value, members: Value) -> Value {
    let (Some(target), Value::Object(members)) = (request.as_object_mut(), members) else {
        panic!("expected objects")
    };
    target.extend(members);
    request
}

#[test]
fn a_document_has_every_member_of_the_reference() {
    let found = document(&request("Hello"));
    let id = found["id"].as_str().expect("an id");
    assert!(id.starts_with("chatcmpl-") && id.len() == 38, "{id}");
    let expected = json!({
        "id": id, "object": "chat.completion", "created": 5, "model": "gpt-4o", "service_tier": "default",
        "system_fingerprint": "fp_standin",
        "choices": [{"index": 0, "logprobs": null, "finish_reason": "stop", "message": {
            "role": "assistant", "content": "OpenAI stand-in: Hello", "refusal": null, "annotations": []}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}});
    assert_eq!(found, expected);
}

#[test]
fn a_stream_has_usage_only_if_asked_for() {
    let streamed = with(request("count:3"), json!({"stream": true}));
    let plain = chunks(&streamed, &Fault::default());
    assert_eq!(plain.len(), 5);
    assert!(plain.iter().all(|chunk| chunk.get("usage").is_none()));
    let asked = with(streamed, json!({"stream_options": {"include_usage": true}}));
    let counted = chunks(&asked, &Fault::default());
    assert_eq!(counted.len(), 6);
    assert!(
        counted[..5]
            .iter()
            .all(|chunk| chunk.get("usage") == Some(&Value::Null))
    );
    assert_eq!(counted[5]["choices"], json!([]));
    assert_eq!(counted[5]["usage"]["completion_tokens"], 3);
    let opening = json!({"role": "assistant", "content": "", "refusal": null});
    assert_eq!(counted[0]["choices"][0]["delta"], opening);
    assert_eq!(counted[4]["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        chunks(
            &asked,
            &Fault {
                no_usage: true,
                ..Fault::default()
            }
        )
        .len(),
        5
    );
}

#[test]
fn a_limit_cuts_the_answer_unless_ignored() {
    let limited = with(request("count:9"), json!({"max_completion_tokens": 4}));
    let found = document(&limited);
    assert_eq!(found["choices"][0]["finish_reason"], "length");
    assert_eq!(found["usage"]["completion_tokens"], 4);
    let fault = Fault {
        ignore_max_tokens: true,
        ..Fault::default()
    };
    assert!(text(ask(&limited, &fault)).contains("\"completion_tokens\":9"));
}

#[test]
fn tool_calls_stream_in_fragments_that_make_up_the_arguments() {
    let tools = json!([{"type": "function", "function": {"name": "look"}}]);
    let asked = with(
        request("weather in both"),
        json!({"tools": tools, "stream": true}),
    );
    let mut arguments = [String::new(), String::new()];
    for chunk in chunks(&asked, &Fault::default()) {
        for call in chunk["choices"][0]["delta"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let index = usize::try_from(call["index"].as_u64().expect("an index")).expect("small");
            arguments[index].push_str(call["function"]["arguments"].as_str().expect("arguments"));
        }
    }
    assert_eq!(arguments, [r#"{"location":"Paris"}"#, r#"{"location":"Rome"}"#]);
    let after = json!([{"role": "user", "content": "weather"}, {"role": "tool", "content": "sunny"}]);
    let found = document(&with(asked, json!({"messages": after, "stream": false})));
    assert_eq!(found["choices"][0]["finish_reason"], "stop");
}

#[test]
fn refusals_have_openais_shape() {
    let cases = [
        (
            json!({"messages": []}),
            Value::Null,
            "you must provide a model parameter",
        ),
        (
            json!({"model": "m"}),
            json!("messages"),
            "Missing required parameter: 'messages'.",
        ),
        (
            with(request("x"), json!({"zzz": 1})),
            Value::Null,
            "Unrecognized request argument supplied: zzz",
        ),
    ];
    for (request, param, message) in cases {
        let reply = ask(&request, &Fault::default());
        assert_eq!(reply.status, 400);
        let error: Value = serde_json::from_str(&text(reply)).expect("JSON");
        assert_eq!(error["error"]["message"], message);
        assert_eq!(error["error"]["param"], param);
        assert_eq!(error["error"]["type"], "invalid_request_error");
        assert!(error["error"].get("code").is_some());
    }
}
