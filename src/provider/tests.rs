// SPDX-License-Identifier: Apache-2.0

//! What every translator owes the gateway, whatever its dialect.

use super::{Settings, response_stream, translate_request, translate_response};
use crate::codec::event_stream::tests::frame;
use crate::config::ProviderKind::{
    self, Anthropic, AwsBedrock, AwsSageMaker, AzureOpenAi, Cohere, Gemini, Mistral, OpenAi,
    OpenAiCompatible, OpenRouter, VertexAi,
};

const KINDS: [ProviderKind; 11] = [
    Anthropic,
    AwsBedrock,
    AwsSageMaker,
    AzureOpenAi,
    Cohere,
    Gemini,
    Mistral,
    OpenAi,
    OpenAiCompatible,
    OpenRouter,
    VertexAi,
];

/// A new kind has to be added to the list.
const fn is_listed(kind: ProviderKind) -> bool {
    match kind {
        Anthropic | AwsBedrock | AwsSageMaker | AzureOpenAi | Cohere | Gemini | Mistral | OpenAi
        | OpenAiCompatible | OpenRouter | VertexAi => true,
    }
}

/// The numbers in a JSON text.
fn numbers(json: &[u8]) -> Vec<u64> {
    let text = core::str::from_utf8(json).unwrap();
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.filter_map(|run| run.parse().ok()).collect()
}

#[crate::test]
fn every_dialect_carries_the_bound_that_limits_set() {
    for kind in KINDS {
        assert!(is_listed(kind));
        for (asked, bound) in [
            ("", 777),
            (r#","max_tokens":9999"#, 777),
            (r#","max_completion_tokens":9999"#, 777),
            (r#","max_tokens":555"#, 555),
        ] {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}]{asked}}}"#);
            let settings = Settings {
                max_output_tokens: Some(777),
                ..Settings::of(kind, "some-model")
            };
            let mut out = Vec::new();
            translate_request(body.as_bytes(), &settings, &mut out).unwrap();
            let found = numbers(&out);
            assert!(
                found.contains(&bound) && !found.contains(&9999),
                "{kind:?} {asked}: {found:?}"
            );
        }
    }
}

/// A whole answer and a stream of each dialect that call `NAME`.
fn answers(kind: ProviderKind) -> (String, Vec<u8>) {
    let sse = |events: &[&str]| {
        let events: Vec<_> = events.iter().map(|data| format!("data: {data}\n\n")).collect();
        events.concat().into_bytes()
    };
    match kind {
        Anthropic => (
            r#"{"id":"m","type":"message","model":"x","content":[{"type":"tool_use","id":"t","name":"NAME","input":{}}],"stop_reason":"tool_use"}"#.to_owned(),
            sse(&[
                r#"{"type":"message_start","message":{"id":"m","type":"message","model":"x","content":[]}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"NAME","input":{}}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"}}"#,
                r#"{"type":"message_stop"}"#,
            ]),
        ),
        Cohere => (
            r#"{"id":"m","finish_reason":"TOOL_CALL","message":{"role":"assistant","tool_calls":[{"id":"t","type":"function","function":{"name":"NAME","arguments":"{}"}}]}}"#.to_owned(),
            sse(&[
                r#"{"type":"message-start","id":"m","delta":{"message":{"role":"assistant"}}}"#,
                r#"{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"t","type":"function","function":{"name":"NAME","arguments":""}}}}}"#,
                r#"{"type":"tool-call-end","index":0}"#,
                r#"{"type":"message-end","delta":{"finish_reason":"TOOL_CALL"}}"#,
            ]),
        ),
        Gemini | VertexAi => {
            let answer = r#"{"responseId":"m","candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"NAME","args":{}}}]},"finishReason":"STOP"}]}"#;
            (answer.to_owned(), sse(&[answer]))
        }
        AwsBedrock => {
            let events = [
                ("messageStart", r#"{"role":"assistant"}"#),
                (
                    "contentBlockStart",
                    r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"t","name":"NAME"}}}"#,
                ),
                ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
                ("messageStop", r#"{"stopReason":"tool_use"}"#),
            ];
            // The frames are made once the name is known.
            let lines: Vec<_> = events.iter().map(|(kind, data)| format!("{kind} {data}\n")).collect();
            (
                r#"{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"NAME","input":{}}}]}},"stopReason":"tool_use"}"#.to_owned(),
                lines.concat().into_bytes(),
            )
        }
        _ => (
            r#"{"id":"m","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"NAME","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#.to_owned(),
            sse(&[
                r#"{"id":"m","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"NAME","arguments":"{}"}}]},"finish_reason":null}]}"#,
                r#"{"id":"m","object":"chat.completion.chunk","created":1,"model":"x","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
                "[DONE]",
            ]),
        ),
    }
}

/// The lines of a stream in Bedrock's frames.
fn framed(lines: &str) -> Vec<u8> {
    let frames = lines.lines().filter_map(|line| line.split_once(' '));
    let frames: Vec<_> = frames
        .map(|(kind, data)| {
            frame(
                &[(":message-type", "event"), (":event-type", kind)],
                data.as_bytes(),
            )
        })
        .collect();
    frames.concat()
}

#[crate::test]
fn a_tool_may_have_any_name_and_comes_back_by_it() {
    let name = format!("files.read/{}", "x".repeat(150));
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}},{{"role":"assistant","tool_calls":[{{"id":"t","type":"function","function":{{"name":"{name}","arguments":"{{}}"}}}}]}},{{"role":"tool","tool_call_id":"t","content":"a"}}],"tools":[{{"type":"function","function":{{"name":"{name}","parameters":{{"type":"object"}}}}}}],"tool_choice":{{"type":"function","function":{{"name":"{name}"}}}}}}"#
    );
    for kind in [
        Anthropic,
        AwsBedrock,
        AzureOpenAi,
        Cohere,
        Gemini,
        Mistral,
        OpenAi,
        VertexAi,
    ] {
        let settings = Settings::of(kind, "some-model");
        let mut sent = Vec::new();
        let request = translate_request(body.as_bytes(), &settings, &mut sent).unwrap();
        let sent = String::from_utf8(sent).unwrap();
        assert!(!sent.contains(&name), "{kind:?}: {sent}");
        let (renamed, given) = request.renamed_tools.first_key_value().unwrap();
        assert_eq!((given, request.renamed_tools.len()), (&name, 1), "{kind:?}");
        assert!(sent.contains(renamed), "{kind:?}: {sent}");
        let (whole, stream) = answers(kind);
        let mut out = Vec::new();
        translate_response(
            whole.replace("NAME", renamed).as_bytes(),
            &settings,
            &request,
            &mut out,
        )
        .unwrap();
        let told = String::from_utf8(out).unwrap();
        assert!(
            told.contains(&name) && !told.contains(renamed),
            "{kind:?}: {told}"
        );
        let stream = String::from_utf8(stream).unwrap().replace("NAME", renamed);
        let stream = match kind {
            AwsBedrock => framed(&stream),
            _ => stream.into_bytes(),
        };
        let (mut translator, mut out) = (response_stream(&settings, &request), Vec::new());
        translator.on_bytes(&stream, &mut out).unwrap();
        translator.on_end(&mut out).unwrap();
        let told = String::from_utf8(out).unwrap();
        assert!(
            told.contains(&name) && !told.contains(renamed),
            "{kind:?}: {told}"
        );
    }
}
