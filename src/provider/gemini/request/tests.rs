// SPDX-License-Identifier: Apache-2.0

//! What is sent, beside the golden files: paths, headers, and what depends on the model and on the place.

use super::translate_request;
use crate::api_error::ApiError;
use crate::config::{OnUnsupported, ProviderKind};
use crate::provider::{Settings, UpstreamRequest};
use serde_json::{Value, json};

fn settings(kind: ProviderKind, model: &str) -> Settings {
    Settings {
        created: 7,
        ..Settings::of(kind, model)
    }
}

fn translate(settings: &Settings, body: &Value) -> Result<(UpstreamRequest, Value), ApiError> {
    let mut out = Vec::new();
    let request = translate_request(body.to_string().as_bytes(), settings, &mut out)?;
    Ok((request, serde_json::from_slice(&out).unwrap()))
}

fn gemini(model: &str, body: &Value) -> (UpstreamRequest, Value) {
    translate(&settings(ProviderKind::Gemini, model), body).unwrap()
}

fn vertex(body: &Value) -> (UpstreamRequest, Value) {
    translate(&settings(ProviderKind::VertexAi, "gemini-2.5-flash"), body).unwrap()
}

fn hi(rest: &Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in rest.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[crate::test]
fn the_path_names_the_model_and_whether_it_streams() {
    let stream = hi(&json!({"stream": true}));
    let (request, sent) = gemini("gemini-2.5-flash", &stream);
    assert_eq!(
        request.path,
        "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    );
    assert!(request.is_streaming && sent.get("stream").is_none() && sent.get("model").is_none());
    let (request, _) = vertex(&hi(&json!({})));
    assert_eq!(
        request.path,
        "/publishers/google/models/gemini-2.5-flash:generateContent"
    );
    let wrong = settings(ProviderKind::Gemini, "..");
    let error = translate(&wrong, &hi(&json!({}))).unwrap_err();
    assert_eq!((error.status, error.param.as_deref()), (400, Some("model")));
}

#[crate::test]
fn a_processing_tier_is_a_field_or_a_header() {
    for (tier, field, header) in [
        ("auto", None, None),
        ("default", Some("standard"), None),
        ("flex", Some("flex"), Some("flex")),
        ("priority", Some("priority"), Some("priority")),
    ] {
        let body = hi(&json!({"service_tier": tier}));
        let (request, sent) = gemini("gemini-2.5-flash", &body);
        assert_eq!(sent.get("serviceTier").and_then(Value::as_str), field);
        assert!(request.headers.is_empty() && request.dropped.is_empty());
        let (request, sent) = vertex(&body);
        assert!(sent.get("serviceTier").is_none() && request.dropped.is_empty());
        let found = request.headers.first().map(|(name, value)| (*name, &**value));
        assert_eq!(
            found,
            header.map(|tier| ("x-vertex-ai-llm-shared-request-type", tier))
        );
    }
    let (request, _) = vertex(&hi(&json!({"service_tier": "scale\r\nx: y"})));
    assert!(request.headers.is_empty());
    assert_eq!(request.dropped, ["service_tier"]);
}

#[crate::test]
fn metadata_are_labels_where_there_are_labels() {
    let body = hi(
        &json!({"metadata": {"user_id": "u-1", "team": "search", "Case": "x", "size": 3, "note": "two words"}}),
    );
    let (request, sent) = vertex(&body);
    assert_eq!(sent["labels"], json!({"team": "search", "user_id": "u-1"}));
    assert_eq!(
        request.dropped,
        ["metadata.Case", "metadata.note", "metadata.size"]
    );
    let (request, sent) = gemini("gemini-2.5-flash", &body);
    assert!(sent.get("labels").is_none());
    assert_eq!(request.dropped, ["metadata"]);
}

#[crate::test]
fn a_call_without_a_signature_says_so_to_models_that_ask() {
    let body = json!({"messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [
            {"id": "a", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "function": {"name": "g", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "b", "content": [
            {"type": "text", "text": "a "}, {"type": "text", "text": "b"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
        ]},
        {"role": "tool", "tool_call_id": "a"}
    ]});
    let (request, sent) = gemini("gemini-3-flash-preview", &body);
    assert!(request.approximated.is_empty());
    let parts = &sent["contents"][1]["parts"];
    assert_eq!(parts[0]["thoughtSignature"], "skip_thought_signature_validator");
    assert!(parts[1].get("thoughtSignature").is_none());
    assert_eq!(
        sent["contents"][2]["parts"],
        json!([
            {"functionResponse": {"id": "b", "name": "g", "response": {"output": "a b"},
             "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}},
            {"functionResponse": {"id": "a", "name": "f", "response": {"output": ""}}}
        ])
    );
    let (request, sent) = gemini("gemini-2.5-flash", &body);
    assert_eq!(request.approximated, ["messages[].content"]);
    assert!(sent["contents"][1]["parts"][0].get("thoughtSignature").is_none());
}

#[crate::test]
fn state_of_another_provider_is_told_and_never_refused() {
    let body = json!({"messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": null, "extra_content": {"google": {"thought_signature": "c2ln"}}},
        {"role": "assistant", "content": "x", "extra_content": {"other": 1}, "annotations": [],
         "tool_calls": [{"id": "a", "function": {"name": "f"}, "extra_content": 5}]}
    ]});
    let mut settings = settings(ProviderKind::Gemini, "gemini-2.5-flash");
    settings.on_unsupported = OnUnsupported::Reject;
    let (request, sent) = translate(&settings, &body).unwrap();
    assert_eq!(
        request.dropped,
        [
            "messages[].extra_content",
            "messages[].tool_calls[].extra_content"
        ]
    );
    assert_eq!(
        sent["contents"][1]["parts"][0],
        json!({"text": "", "thoughtSignature": "c2ln"})
    );
}

#[crate::test]
fn what_cannot_be_served_is_refused_with_its_place() {
    for (messages, rest, param) in [
        (json!([]), json!({}), "messages"),
        (json!([{"content": "a"}]), json!({}), "messages[0].role"),
        (
            json!([{"role": "bishop", "content": "a"}]),
            json!({}),
            "messages[0].role",
        ),
        (
            json!([{"role": "function", "content": "a"}]),
            json!({}),
            "messages[0].role",
        ),
        (json!([{"role": "user"}]), json!({}), "messages[0].content"),
        (
            json!([{"role": "tool", "tool_call_id": "a", "content": "b"}]),
            json!({}),
            "messages[0].tool_call_id",
        ),
        (
            json!([{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[]"}}]}]),
            json!({}),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            json!([{"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}]),
            json!({}),
            "messages[0].tool_calls[0].type",
        ),
        (
            json!([{"role": "user", "content": "a"}]),
            json!({"functions": []}),
            "functions",
        ),
        (
            json!([{"role": "user", "content": "a"}]),
            json!({"response_format": {"type": "grammar"}}),
            "response_format.type",
        ),
        (
            json!([{"role": "user", "content": "a"}]),
            json!({"response_format": {"type": "json_schema", "json_schema": {}}}),
            "response_format.json_schema.schema",
        ),
    ] {
        let mut body = hi(&rest);
        body["messages"] = messages;
        let error = translate(&settings(ProviderKind::Gemini, "gemini-2.5-flash"), &body).unwrap_err();
        assert_eq!(
            (error.status, error.param.as_deref()),
            (400, Some(param)),
            "{body}"
        );
    }
}

#[crate::test]
fn instructions_alone_are_given_a_turn() {
    let body = json!({"messages": [{"role": "system", "content": "Speak."}]});
    let (_, sent) = gemini("gemini-2.5-flash", &body);
    assert_eq!(
        sent["contents"],
        json!([{"role": "user", "parts": [{"text": "."}]}])
    );
}

#[crate::test]
fn a_streamed_answer_s_text_is_kept_only_if_it_may_be_cited() {
    let search = json!({"stream": true, "web_search_options": {"search_context_size": "low"}});
    let (request, sent) = gemini("gemini-2.5-flash", &hi(&search));
    assert!(request.keeps_text);
    assert_eq!(sent["tools"], json!([{"googleSearch": {}}]));
    assert_eq!(request.approximated, ["web_search_options"]);
    assert!(
        !gemini("gemini-2.5-flash", &hi(&json!({"stream": true})))
            .0
            .keeps_text
    );
}

#[crate::test]
fn kinds_of_output_and_the_voice_are_asked_for() {
    let config = |fields: &Value| {
        let (request, sent) = gemini("gemini-2.5-flash-image", &hi(fields));
        (request, sent["generationConfig"].clone())
    };
    let (request, sent) = config(&json!({"modalities": ["text", "image"]}));
    assert_eq!(sent, json!({"responseModalities": ["TEXT", "IMAGE"]}));
    assert!(request.dropped.is_empty() && request.approximated.is_empty());
    // Text goes without saying.
    let (request, sent) = config(&json!({"modalities": ["text"]}));
    assert_eq!((sent, request.approximated.len()), (Value::Null, 0));
    let spoken = json!({"modalities": ["text", "audio"], "audio": {"voice": "Kore", "format": "pcm16"}});
    let (request, sent) = config(&spoken);
    assert_eq!(sent["responseModalities"], json!(["AUDIO"]));
    assert_eq!(
        sent["speechConfig"],
        json!({"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}})
    );
    assert_eq!(request.approximated, ["modalities"]);
    let (request, sent) = config(&json!({"modalities": ["smell"], "audio": {"voice": {"id": "v"}}}));
    assert_eq!(sent, Value::Null);
    assert_eq!(request.dropped, ["audio", "modalities"]);
    let (request, _) = config(&json!({"top_logprobs": 3}));
    assert_eq!(request.dropped, ["top_logprobs"]);
}

#[crate::test]
fn an_image_of_an_answer_goes_back_with_its_signature() {
    let body = |images: &Value| {
        json!({"messages": [
            {"role": "user", "content": "A cat"},
            {"role": "assistant", "content": "Here", "images": images, "audio": {"id": "a"}},
            {"role": "user", "content": "Bigger"},
        ]})
    };
    let image = |extra: &Value| {
        let mut image =
            json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,YQ=="}, "index": 0});
        image["extra_content"] = extra.clone();
        json!([image])
    };
    let signed = image(&json!({"google": {"thought_signature": "s"}}));
    let (request, sent) = gemini("gemini-2.5-flash-image", &body(&signed));
    let data = json!({"mimeType": "image/png", "data": "YQ=="});
    assert_eq!(
        sent["contents"][1]["parts"],
        json!([{"text": "Here"}, {"inlineData": data, "thoughtSignature": "s"}])
    );
    assert_eq!(request.dropped, ["messages[].audio"]);
    // Newer models refuse an image without one.
    let unsigned = image(&Value::Null);
    let (_, sent) = gemini("gemini-3-pro-image-preview", &body(&unsigned));
    assert_eq!(
        sent["contents"][1]["parts"][1]["thoughtSignature"],
        "skip_thought_signature_validator"
    );
    let (request, sent) = gemini("gemini-2.5-flash-image", &body(&json!(["x"])));
    assert_eq!(sent["contents"][1]["parts"], json!([{"text": "Here"}]));
    assert_eq!(request.dropped, ["messages[].audio", "messages[].images"]);
    let strict = Settings {
        on_unsupported: OnUnsupported::Reject,
        ..settings(ProviderKind::Gemini, "gemini-2.5-flash-image")
    };
    assert!(
        translate(&strict, &body(&signed)).is_ok(),
        "an answer may come back"
    );
}
