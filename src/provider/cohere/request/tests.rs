// SPDX-License-Identifier: Apache-2.0

use crate::config::{OnUnsupported, ProviderKind};
use crate::provider::{Settings, UpstreamRequest, translate_request};
use serde_json::{Value, json};

fn translate(mut request: Value) -> (Value, UpstreamRequest) {
    request["model"] = json!("m");
    let mut out = Vec::new();
    let settings = Settings::of(ProviderKind::Cohere, "command-a");
    let translated = translate_request(request.to_string().as_bytes(), &settings, &mut out).unwrap();
    (serde_json::from_slice(&out).unwrap(), translated)
}

fn with(members: Value) -> (Value, UpstreamRequest) {
    let mut request = json!({"messages": [{"role": "user", "content": "a"}]});
    request
        .as_object_mut()
        .unwrap()
        .extend(members.as_object().unwrap().clone());
    translate(request)
}

fn refused(mut request: Value) -> Option<String> {
    request["model"] = json!("m");
    let settings = Settings::of(ProviderKind::Cohere, "command-a");
    let error = translate_request(request.to_string().as_bytes(), &settings, &mut Vec::new()).unwrap_err();
    assert_eq!(error.status, 400);
    error.param.map(Into::into)
}

#[crate::test]
fn every_field_with_a_counterpart_is_sent_under_its_name() {
    let (sent, request) = with(json!({
        "max_completion_tokens": 9, "stop": "x", "temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 7,
        "frequency_penalty": 0.5, "presence_penalty": 2, "stream": true, "stream_options": {"include_usage": true},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": {"type": "object"}}},
        "safety_mode": "NONE", "documents": ["d"],
    }));
    assert_eq!(
        sent,
        json!({"model": "command-a", "messages": [{"role": "user", "content": "a"}], "stream": true, "max_tokens": 9,
            "stop_sequences": ["x"], "temperature": 0.5, "p": 0.9, "k": 5, "seed": 7, "frequency_penalty": 0.5,
            "presence_penalty": 1.0, "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
            "safety_mode": "NONE", "documents": ["d"]})
    );
    assert_eq!(
        (&*request.path, request.is_streaming, request.include_usage),
        ("/v2/chat", true, true)
    );
    assert!(request.dropped.is_empty());
    assert_eq!(request.approximated, ["presence_penalty"]);
}

#[crate::test]
fn what_has_no_counterpart_is_named() {
    let (sent, request) = with(json!({
        "user": "u", "metadata": {"a": "b"}, "service_tier": "auto", "logit_bias": {"1": 1}, "logprobs": false,
        "top_p": 1, "store": true, "parallel_tool_calls": false,
    }));
    assert_eq!(
        sent,
        json!({"model": "command-a", "messages": [{"role": "user", "content": "a"}], "stream": false})
    );
    assert_eq!(
        request.dropped,
        [
            "logit_bias",
            "store",
            "user",
            "metadata",
            "service_tier",
            "parallel_tool_calls"
        ]
    );
    let body = json!({"model": "m", "messages": [], "user": "u"}).to_string();
    let strict = Settings {
        on_unsupported: OnUnsupported::Reject,
        ..Settings::of(ProviderKind::Cohere, "c")
    };
    let error = translate_request(body.as_bytes(), &strict, &mut Vec::new()).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("user"));
    let message = json!([{"role": "user", "content": "a"}]);
    for (member, value) in [
        ("n", json!(2)),
        ("functions", json!([])),
        ("response_format", json!({"type": "grammar"})),
        ("reasoning_effort", json!("odd")),
    ] {
        let param = refused(json!({"messages": message, member: value})).unwrap();
        assert!(param.starts_with(member), "{param}");
    }
}

#[crate::test]
fn a_conversation_with_tools_keeps_its_meaning() {
    let (sent, request) = translate(json!({"messages": [
        {"role": "developer", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}]},
        {"role": "assistant", "content": "I will look.", "reasoning_content": "hm", "annotations": [],
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "1"}]},
        {"role": "assistant", "content": "done", "refusal": null},
        {"role": "user", "name": "bob", "content": "b"},
    ]}));
    assert_eq!(
        sent["messages"],
        json!([
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}], "tool_plan": "I will look.",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get", "arguments": "{}"}}]},
            {"role": "tool", "content": [{"type": "text", "text": "1"}], "tool_call_id": "c1"},
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "b"},
        ])
    );
    assert_eq!(request.dropped, ["messages[].annotations", "messages[].name"]);
    for (messages, param) in [
        (json!([{"role": "function", "content": "a"}]), "messages[0].role"),
        (
            json!([{"role": "user", "content": [{"type": "input_audio"}]}]),
            "messages[0].content[0].type",
        ),
        (
            json!([{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
            "messages[0].content[0].type",
        ),
    ] {
        assert_eq!(refused(json!({"messages": messages})).as_deref(), Some(param));
    }
}

#[crate::test]
fn tools_and_the_choice_among_them() {
    let tool = |name: &str, strict: bool| json!({"type": "function", "function": {"name": name, "description": "d", "strict": strict}});
    let sent_tool = |name: &str| json!({"type": "function", "function": {"name": name, "description": "d", "parameters": {"type": "object", "properties": {}}}});
    let tools = json!([tool("f", true), tool("g", false)]);
    for (choice, expected, left) in [
        (json!("auto"), Value::Null, 2),
        (json!("none"), json!("NONE"), 2),
        (json!("required"), json!("REQUIRED"), 2),
        (
            json!({"type": "function", "function": {"name": "g"}}),
            json!("REQUIRED"),
            1,
        ),
    ] {
        let (sent, request) = with(json!({"tools": tools, "tool_choice": choice}));
        assert_eq!(
            (&sent["tool_choice"], &sent["strict_tools"]),
            (&expected, &json!(true)),
            "{choice}"
        );
        assert_eq!(sent["tools"].as_array().unwrap().len(), left);
        assert_eq!(sent["tools"][left - 1], sent_tool("g"));
        assert!(request.approximated.contains(&"tools[].function.strict".into()));
        assert_eq!(
            request.approximated.contains(&"tool_choice".into()),
            choice.is_object()
        );
    }
    let message = json!([{"role": "user", "content": "a"}]);
    let named = json!({"type": "function", "function": {"name": "h"}});
    assert_eq!(
        refused(json!({"messages": message, "tools": tools, "tool_choice": named})).as_deref(),
        Some("tool_choice")
    );
    assert_eq!(
        refused(json!({"messages": message, "tools": [{"type": "custom"}]})).as_deref(),
        Some("tools[0].type")
    );
    let (_, request) = with(json!({"tool_choice": "required"}));
    assert_eq!(request.dropped, ["tool_choice"]);
}

#[crate::test]
fn effort_becomes_a_budget() {
    for (effort, expected) in [
        ("none", json!({"type": "disabled"})),
        ("low", json!({"type": "enabled", "token_budget": 1024})),
        ("max", json!({"type": "enabled"})),
    ] {
        assert_eq!(with(json!({"reasoning_effort": effort})).0["thinking"], expected);
    }
    let given = json!({"type": "enabled", "token_budget": 7});
    assert_eq!(
        with(json!({"reasoning_effort": "low", "thinking": given})).0["thinking"],
        given
    );
    let (_, request) = with(json!({"reasoning_effort": "low", "thinking": given}));
    assert_eq!(request.dropped, ["reasoning_effort"]);
}

#[crate::test]
fn thinking_in_anthropic_s_words_is_understood() {
    for (given, expected) in [
        (
            json!({"type": "enabled", "budget_tokens": 2048}),
            json!({"type": "enabled", "token_budget": 2048}),
        ),
        (json!({"type": "adaptive"}), json!({"type": "enabled"})),
        (json!({"type": "disabled"}), json!({"type": "disabled"})),
    ] {
        assert_eq!(with(json!({"thinking": given})).0["thinking"], expected);
    }
}

#[crate::test]
fn a_word_for_detail_that_cohere_does_not_know_is_dropped() {
    let image = json!([{"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "original"}}]);
    let (sent, request) = with(json!({"messages": [{"role": "user", "content": image}]}));
    assert_eq!(
        sent["messages"][0]["content"][0]["image_url"],
        json!({"url": "https://x/y.png"})
    );
    assert_eq!(request.dropped, ["messages[].content[].image_url.detail"]);
}
