// SPDX-License-Identifier: Apache-2.0

use super::translate_request;
use crate::config::{OnUnsupported, OutputBoundField, ProviderKind};
use crate::provider::{Settings, UpstreamRequest};

fn settings(kind: ProviderKind, stream_usage: bool) -> Settings {
    Settings {
        kind,
        operation: crate::provider::Operation::Chat,
        upstream_model: "gpt-x".to_owned(),
        on_unsupported: OnUnsupported::Drop,
        stream_usage,
        output_bound_field: kind.output_bound_field(),
        developer_role: kind.keeps_to_openai(),
        default_max_tokens: 0,
        max_output_tokens: None,
        created: 0,
        answer_id: String::new(),
        told_input_tokens: None,
        max_event_bytes: 0,
        api_version: None,
        unsupported: &[],
    }
}

fn translate(body: &str, settings: &Settings) -> (String, UpstreamRequest) {
    let mut out = Vec::new();
    let request = translate_request(body.as_bytes(), settings, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), request)
}

fn check(body: &str, expected: &str) -> UpstreamRequest {
    let (out, request) = translate(body, &settings(ProviderKind::OpenAi, true));
    assert_eq!(out, expected);
    assert_eq!(request.path, "/chat/completions");
    request
}

#[crate::test]
fn nothing_but_the_model_changes() {
    let same = " {\"model\":\"gpt-x\", \"temperature\": 1.0, \"x\":{\"b\":1,\"a\":1e0} }\n";
    let request = check(same, same);
    assert!(!request.is_streaming && !request.include_usage && request.dropped.is_empty());
    check(
        r#"{"model" : "fast","seed":1}"#,
        r#"{"model" : "gpt-x","seed":1}"#,
    );
    check(r#"{"model":"gpt\u002dx"}"#, r#"{"model":"gpt\u002dx"}"#);
}

#[crate::test]
fn a_stream_is_asked_for_its_usage() {
    let ask = |options: &str| format!(r#"{{"model":"gpt-x","stream":true{options}}}"#);
    let asked = ask(r#","stream_options":{"include_usage":true}"#);
    let request = check(&ask(""), &asked);
    assert!(request.is_streaming && !request.include_usage);
    check(&ask(r#","stream_options":null"#), &asked);
    check(&ask(r#","stream_options":{"include_usage":false}"#), &asked);
    check(
        &ask(r#","stream_options":{"include_obfuscation":false}"#),
        &ask(r#","stream_options":{"include_obfuscation":false,"include_usage":true}"#),
    );
    assert!(check(&asked, &asked).include_usage);
}

#[crate::test]
fn an_answer_of_another_provider_may_be_put_back() {
    let body = |told: &str| {
        format!(r#"{{"model":"gpt-x","messages":[{{"role":"assistant","content":"a"{told}}}],"seed":1}}"#)
    };
    let given = body(r#","thinking_blocks":[{"type":"thinking"}]"#);
    let request = check(&given, &body(""));
    assert_eq!(request.dropped, ["messages[].thinking_blocks"]);
    let (found, request) = translate(&given, &settings(ProviderKind::OpenRouter, true));
    assert_eq!((found, request.dropped.len()), (given, 0));
}

#[crate::test]
fn a_server_that_does_not_know_the_option_is_not_sent_it() {
    let settings = settings(ProviderKind::OpenAiCompatible, false);
    let plain = r#"{"model":"gpt-x","stream":true}"#;
    assert_eq!(translate(plain, &settings).0, plain);
    let asking = r#"{"model":"gpt-x","stream":true,"stream_options":{"include_usage":true}}"#;
    let (out, request) = translate(asking, &settings);
    assert_eq!((out.as_str(), request.include_usage), (plain, true));
    let more = r#"{"model":"gpt-x","stream":true,"stream_options":{"include_usage":true,"x":1}}"#;
    assert_eq!(
        translate(more, &settings).0,
        r#"{"model":"gpt-x","stream":true,"stream_options":{"x":1}}"#
    );
}

#[crate::test]
fn a_limit_lowers_the_output_bound_in_the_provider_s_own_field() {
    let check = |kind, members: &str, expected: &str| {
        let settings = Settings {
            max_output_tokens: Some(50),
            ..settings(kind, false)
        };
        let (out, request) = translate(&format!(r#"{{"model":"gpt-x"{members}}}"#), &settings);
        assert_eq!(out, format!(r#"{{"model":"gpt-x"{expected}}}"#), "{members}");
        assert_eq!(request.dropped, [""; 0]);
    };
    for kind in [
        ProviderKind::OpenAi,
        ProviderKind::OpenAiCompatible,
        ProviderKind::OpenRouter,
    ] {
        check(kind, r#","max_tokens":51"#, r#","max_tokens":50"#);
        check(kind, r#","max_tokens":49"#, r#","max_tokens":49"#);
        let both = r#","max_completion_tokens":99,"max_tokens":7"#;
        let expected = match kind {
            ProviderKind::OpenAiCompatible => r#","max_tokens":50"#,
            _ => r#","max_completion_tokens":50,"max_tokens":7"#,
        };
        check(kind, both, expected);
    }
    check(ProviderKind::OpenAi, "", r#","max_completion_tokens":50"#);
    check(
        ProviderKind::OpenAi,
        r#","max_tokens":null"#,
        r#","max_tokens":null,"max_completion_tokens":50"#,
    );
    check(ProviderKind::OpenAiCompatible, "", r#","max_tokens":50"#);
    check(
        ProviderKind::OpenRouter,
        r#","max_tokens":null"#,
        r#","max_tokens":50"#,
    );
}

#[crate::test]
fn what_a_preset_s_service_refuses_is_left_out_by_name() {
    let body = br#"{"model":"m","messages":[],"logit_bias":{"1":2},"top_logprobs":null,"seed":7}"#;
    let mut settings = Settings::of(ProviderKind::OpenAiCompatible, "m");
    settings.unsupported = crate::config::Preset::Groq.facts().unsupported;
    let mut out = Vec::new();
    let request = translate_request(body, &settings, &mut out).unwrap();
    assert_eq!(request.dropped, ["logit_bias"]);
    assert_eq!(out, br#"{"model":"m","messages":[],"seed":7}"#);
    settings.on_unsupported = OnUnsupported::Reject;
    let error = translate_request(body, &settings, &mut Vec::new()).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("logit_bias"));
}

#[crate::test]
fn servers_that_only_speak_the_language_are_sent_its_older_words() {
    let given = r#"{"model":"gpt-x", "max_completion_tokens":5,"messages":[{"role":"developer","content":"a"},{"role":"user","content":"b"}]}"#;
    let older = r#"{"model":"gpt-x", "max_tokens":5,"messages":[{"role":"system","content":"a"},{"role":"user","content":"b"}]}"#;
    for kind in [
        ProviderKind::OpenAi,
        ProviderKind::AzureOpenAi,
        ProviderKind::OpenRouter,
    ] {
        assert_eq!(translate(given, &settings(kind, true)).0, given);
    }
    let mut settings = settings(ProviderKind::OpenAiCompatible, true);
    assert_eq!(translate(given, &settings).0, older);
    assert_eq!(translate(older, &settings).0, older);
    settings.developer_role = true;
    settings.output_bound_field = OutputBoundField::MaxCompletionTokens;
    assert_eq!(translate(given, &settings).0, given);
}

#[crate::test]
fn what_openai_does_not_know_is_refused_if_so_configured() {
    let mut settings = settings(ProviderKind::OpenAi, true);
    settings.on_unsupported = OnUnsupported::Reject;
    let error = translate_request(br#"{"model":"m","top_k":5}"#, &settings, &mut Vec::new()).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("top_k"));
}
