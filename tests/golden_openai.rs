// SPDX-License-Identifier: Apache-2.0

//! Golden tests of the translator for OpenAI and its kin: whole bodies and whole streams, compared by bytes.
//!
//! Each case stands in `tests/fixtures/`; its result was read and judged by hand before it was kept.

use std::borrow::Cow;
use tollgate::config::{OnUnsupported, ProviderKind};
use tollgate::provider::{Settings, UpstreamRequest, response_stream, translate_request};
use tollgate::usage::TokenUsage;

fn settings(kind: ProviderKind) -> Settings {
    Settings {
        kind,
        operation: tollgate::provider::Operation::Chat,
        upstream_model: "vendor/large-1".to_owned(),
        on_unsupported: OnUnsupported::Drop,
        stream_usage: kind != ProviderKind::Mistral,
        output_bound_field: kind.output_bound_field(),
        developer_role: kind.keeps_to_openai(),
        default_max_tokens: 4096,
        max_output_tokens: None,
        created: 1_700_000_000,
        answer_id: String::new(),
        told_input_tokens: None,
        max_event_bytes: 1 << 20,
        api_version: None,
        unsupported: &[],
    }
}

fn check_request(kind: ProviderKind, body: &str, expected: &str, dropped: &[&'static str]) {
    let mut out = Vec::new();
    let dropped: Vec<Cow<'_, str>> = dropped.iter().map(|path| Cow::Borrowed(*path)).collect();
    let request = translate_request(body.as_bytes(), &settings(kind), &mut out);
    assert_eq!(request.map(|request| request.dropped), Ok(dropped));
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

fn check_stream(kind: ProviderKind, include_usage: bool, input: &str, expected: &str) -> TokenUsage {
    let request = UpstreamRequest {
        is_streaming: true,
        include_usage,
        ..UpstreamRequest::default()
    };
    let mut usage = TokenUsage::default();
    for size in [1, 7, 100, input.len()] {
        let mut stream = response_stream(&settings(kind), &request);
        let mut out = Vec::new();
        for chunk in input.as_bytes().chunks(size) {
            assert!(stream.on_bytes(chunk, &mut out).is_ok());
        }
        assert_eq!(stream.on_end(&mut out), Ok(()));
        assert_eq!(String::from_utf8_lossy(&out), expected, "in chunks of {size}");
        usage = stream.tally().usage;
    }
    usage
}

macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!("fixtures/", $path))
    };
}

#[test]
fn sampling_parameters() {
    let body = fixture!("requests/sampling.json");
    check_request(
        ProviderKind::OpenAi,
        body,
        fixture!("golden/openai/sampling.openai.json"),
        &[],
    );
    let dropped = ["user", "logit_bias", "messages[].name"];
    check_request(
        ProviderKind::Mistral,
        body,
        fixture!("golden/openai/sampling.mistral.json"),
        &dropped,
    );
}

#[test]
fn tools_and_their_results() {
    let body = fixture!("requests/tools.json");
    check_request(
        ProviderKind::OpenRouter,
        body,
        fixture!("golden/openai/tools.openai.json"),
        &[],
    );
    check_request(
        ProviderKind::Mistral,
        body,
        fixture!("golden/openai/tools.mistral.json"),
        &[],
    );
}

#[test]
fn content_parts_and_a_schema() {
    let body = fixture!("requests/parts.json");
    check_request(
        ProviderKind::OpenAiCompatible,
        body,
        fixture!("golden/openai/parts.openai.json"),
        &[],
    );
    let dropped = ["messages[].content[].cache_control"];
    check_request(
        ProviderKind::Mistral,
        body,
        fixture!("golden/openai/parts.mistral.json"),
        &dropped,
    );
}

#[test]
fn mistrals_reasoning_stream() {
    let input = fixture!("streams/documented-mistral-reasoning.sse");
    let asked = fixture!("golden/openai/mistral-reasoning.asked.sse");
    let unasked = fixture!("golden/openai/mistral-reasoning.unasked.sse");
    check_stream(ProviderKind::Mistral, false, input, unasked);
    let usage = check_stream(ProviderKind::Mistral, true, input, asked);
    assert_eq!((usage.input_tokens, usage.output_tokens), (Some(12), Some(7)));
}

#[test]
fn openrouters_tool_stream() {
    let input = fixture!("streams/documented-openrouter-tools.sse");
    let asked = fixture!("golden/openai/openrouter-tools.asked.sse");
    let unasked = fixture!("golden/openai/openrouter-tools.unasked.sse");
    check_stream(ProviderKind::OpenRouter, false, input, unasked);
    let usage = check_stream(ProviderKind::OpenRouter, true, input, asked);
    assert_eq!(
        (usage.input_tokens, usage.cache_read_input_tokens),
        (Some(30), Some(20))
    );
    assert_eq!(usage.cache_creation_input_tokens, Some(5));
}
