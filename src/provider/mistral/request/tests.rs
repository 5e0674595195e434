// SPDX-License-Identifier: Apache-2.0

use super::translate_request;
use crate::config::{OnUnsupported, ProviderKind};
use crate::provider::{Settings, UpstreamRequest};

fn settings() -> Settings {
    Settings::of(ProviderKind::Mistral, "gpt-x")
}

fn translate(body: &str, settings: &Settings) -> (String, UpstreamRequest) {
    let mut out = Vec::new();
    let request = translate_request(body.as_bytes(), settings, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), request)
}

/// Mistral's form of the members of a request, beside the model.
fn check_mistral(members: &str, expected: &str, dropped: &[&str]) {
    let (out, request) = translate(&format!(r#"{{"model":"gpt-x",{members}}}"#), &settings());
    let expected = if expected.is_empty() {
        String::new()
    } else {
        format!(",{expected}")
    };
    assert_eq!(out, format!(r#"{{"model":"gpt-x"{expected}}}"#));
    assert_eq!(request.dropped, dropped);
}

#[crate::test]
fn mistral_has_other_names_for_some_fields() {
    check_mistral(
        r#""seed":7,"max_completion_tokens":5"#,
        r#""random_seed":7,"max_tokens":5"#,
        &[],
    );
    check_mistral(
        r#""max_tokens":9,"max_completion_tokens":5"#,
        r#""max_tokens":5"#,
        &[],
    );
    check_mistral(
        r#""max_tokens":9,"max_completion_tokens":null"#,
        r#""max_tokens":9"#,
        &[],
    );
    check_mistral(
        r#""stream":true,"stream_options":{"include_usage":true}"#,
        r#""stream":true"#,
        &[],
    );
    check_mistral(
        r#""messages":[{"role":"developer","content":"a"},{"role":"user","content":"b"}]"#,
        r#""messages":[{"role":"system","content":"a"},{"role":"user","content":"b"}]"#,
        &[],
    );
}

#[crate::test]
fn what_mistral_does_not_know_is_dropped_and_named() {
    check_mistral(
        r#""user":"u","store":null,"logit_bias":{"1":2},"temperature":0"#,
        r#""temperature":0"#,
        &["user", "logit_bias"],
    );
    check_mistral(
        r#""messages":[{"role":"user","name":"n","content":[{"type":"text","text":"a","cache_control":{}}]},{"role":"user","name":"n","content":"b"},{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"abcDEF123","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{}}]},{"role":"tool","tool_call_id":"abcDEF123","name":"f","content":"c"}]"#,
        r#""messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"user","content":"b"},{"role":"assistant","content":null,"tool_calls":[{"id":"abcDEF123","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"abcDEF123","name":"f","content":"c"}]"#,
        &[
            "messages[].name",
            "messages[].content[].cache_control",
            "messages[].tool_calls[].extra_content",
        ],
    );
    check_mistral(
        r#""tools":[{"type":"function","function":{"name":"f"}}]"#,
        r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]"#,
        &[],
    );
}

#[crate::test]
fn the_name_of_what_was_dropped_cannot_become_a_header() {
    check_mistral(
        r#""a\r\nset-cookie: b":1,"messages":[{"role":"user","content":"a","\u0000":1}]"#,
        r#""messages":[{"role":"user","content":"a"}]"#,
        &["(other)", "messages[].(other)"],
    );
    let many: Vec<_> = (0..1000).map(|number| format!(r#""k{number}":1"#)).collect();
    let body = format!(r#"{{"model":"gpt-x",{}}}"#, many.join(","));
    let (out, request) = translate(&body, &settings());
    assert_eq!((&*out, request.dropped.len()), (r#"{"model":"gpt-x"}"#, 49));
}

#[crate::test]
fn a_call_and_its_answer_keep_one_id_in_mistrals_form() {
    check_mistral(
        r#""messages":[{"role":"assistant","content":"a","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call\u005f1","content":"c"},{"role":"user","content":"d","tool_call_id":"call_1"}]"#,
        r#""messages":[{"role":"assistant","content":"a","tool_calls":[{"id":"9gD2Dimct","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"9gD2Dimct","content":"c"},{"role":"user","content":"d"}]"#,
        &["messages[].tool_call_id"],
    );
}

#[crate::test]
fn mistral_has_its_own_form_of_audio_files_and_refusals() {
    check_mistral(
        r#""messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"QQ==","format":"wav"}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,QQ=="}},{"type":"file","file":{"file_id":"f"}},{"type":"refusal","refusal":"no"}]}]"#,
        r#""messages":[{"role":"user","content":[{"type":"input_audio","input_audio":"QQ=="},{"type":"document_url","document_url":"data:application/pdf;base64,QQ==","document_name":"a.pdf"},{"type":"file","file_id":"f"},{"type":"text","text":"no"}]}]"#,
        &[],
    );
    let connector = r#""tools":[{"type":"web_search"}]"#;
    check_mistral(connector, connector, &[]);
}

#[crate::test]
fn what_mistral_does_not_know_is_refused_if_so_configured() {
    let mut settings = settings();
    settings.on_unsupported = OnUnsupported::Reject;
    let error = translate_request(br#"{"model":"m","user":"u"}"#, &settings, &mut Vec::new()).unwrap_err();
    let found = (error.status, error.param.as_deref(), error.code.as_deref());
    assert_eq!(found, (400, Some("user"), Some("unsupported_parameter")));
    assert!(translate_request(br#"{"model":"m","user":null}"#, &settings, &mut Vec::new()).is_ok());
    // An answer of the gateway's own, put back into the conversation.
    let answer = br#"{"messages":[{"role":"assistant","content":"a","reasoning_content":"r"}]}"#;
    let request = translate_request(answer, &settings, &mut Vec::new()).unwrap();
    assert_eq!(request.dropped, ["messages[].reasoning_content"]);
}

fn sent_to_mistral(messages: &str) -> (serde_json::Value, Vec<String>) {
    let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
    let mut out = Vec::new();
    let settings = Settings::of(ProviderKind::Mistral, "m");
    let request = translate_request(body.as_bytes(), &settings, &mut out).unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let approximated = request.approximated.iter().map(ToString::to_string).collect();
    (sent["messages"].clone(), approximated)
}

#[crate::test]
fn an_assistant_that_speaks_last_begins_mistrals_answer() {
    let (messages, approximated) =
        sent_to_mistral(r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#);
    assert_eq!((&messages[1]["prefix"], approximated.len()), (&true.into(), 1));
    for kept in [
        r#"[{"role":"assistant","content":"b"},{"role":"user","content":"a"}]"#,
        r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b","prefix":false}]"#,
        r#"[{"role":"user","content":"a"},{"role":"tool","content":"b"},{"role":"user","content":"c"}]"#,
    ] {
        let (messages, approximated) = sent_to_mistral(kept);
        assert_eq!(messages, serde_json::from_str::<serde_json::Value>(kept).unwrap());
        assert!(approximated.is_empty());
    }
}

#[crate::test]
fn a_limit_lowers_the_output_bound() {
    let check = |members: &str, expected: &str| {
        let settings = Settings {
            max_output_tokens: Some(50),
            ..settings()
        };
        let (out, request) = translate(&format!(r#"{{"model":"gpt-x"{members}}}"#), &settings);
        assert_eq!(out, format!(r#"{{"model":"gpt-x"{expected}}}"#), "{members}");
        assert_eq!(request.dropped, [""; 0]);
    };
    check("", r#","max_tokens":50"#);
    check(r#","max_tokens":7"#, r#","max_tokens":7"#);
    check(
        r#","max_completion_tokens":99,"max_tokens":7"#,
        r#","max_tokens":50"#,
    );
    check(
        r#","max_completion_tokens":9,"max_tokens":7"#,
        r#","max_tokens":9"#,
    );
}

#[crate::test]
fn processing_tiers_are_mistral_s_two() {
    check_mistral(r#""service_tier":"auto""#, r#""service_tier":"auto""#, &[]);
    check_mistral(
        r#""service_tier":"default""#,
        r#""service_tier":"standard_only""#,
        &[],
    );
    for tier in ["flex", "priority", "fast", "scale"] {
        check_mistral(&format!(r#""service_tier":"{tier}""#), "", &["service_tier"]);
    }
}

#[crate::test]
fn a_prediction_in_parts_becomes_one_text() {
    check_mistral(
        r#""prediction":{"type":"content","content":[{"type":"text","text":"a\n"},{"type":"text","text":"b"}]}"#,
        r#""prediction":{"type":"content","content":"a\nb"}"#,
        &[],
    );
    let plain = r#""prediction":{"type":"content","content":"a"}"#;
    check_mistral(plain, plain, &[]);
}
