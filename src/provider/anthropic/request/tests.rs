// SPDX-License-Identifier: Apache-2.0

use super::translate_request;
use crate::api_error::ApiError;
use crate::config::{OnUnsupported, ProviderKind};
use crate::provider::{Settings, UpstreamRequest};

fn settings(upstream_model: &str, on_unsupported: OnUnsupported) -> Settings {
    Settings {
        kind: ProviderKind::Anthropic,
        operation: crate::provider::Operation::Chat,
        upstream_model: upstream_model.to_owned(),
        on_unsupported,
        stream_usage: true,
        output_bound_field: ProviderKind::Anthropic.output_bound_field(),
        developer_role: ProviderKind::Anthropic.keeps_to_openai(),
        default_max_tokens: 4096,
        max_output_tokens: None,
        created: 7,
        answer_id: String::new(),
        told_input_tokens: None,
        max_event_bytes: 1024,
        api_version: None,
        unsupported: &[],
    }
}

fn translate(body: &str, settings: &Settings) -> Result<(String, UpstreamRequest), ApiError> {
    let mut out = Vec::new();
    let request = translate_request(body.as_bytes(), settings, &mut out)?;
    Ok((String::from_utf8(out).unwrap(), request))
}

/// The members after `messages` of a request whose only message is `Hi`.
fn check(model: &str, members: &str, expected: &str, dropped: &[&str]) {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}]{members}}}"#);
    let (found, request) = translate(&body, &settings(model, OnUnsupported::Drop)).unwrap();
    let start =
        format!(r#"{{"model":"{model}","max_tokens":4096,"messages":[{{"role":"user","content":"Hi"}}]"#);
    assert_eq!(found, format!("{start}{expected}}}"), "{members}");
    assert_eq!(request.dropped, dropped, "{members}");
}

/// What the messages become.
fn check_messages(messages: &str, expected: &str) {
    let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
    let (found, _) = translate(&body, &settings("claude", OnUnsupported::Drop)).unwrap();
    let start = r#"{"model":"claude","max_tokens":4096,"#;
    assert_eq!(found, format!("{start}{expected}}}"), "{messages}");
}

fn check_refusal(body: &str, param: &str, code: Option<&str>) {
    let error = translate(body, &settings("claude", OnUnsupported::Drop)).unwrap_err();
    let found = (error.status, error.param.as_deref(), error.code.as_deref());
    assert_eq!(found, (400, Some(param), code), "{body}: {}", error.message);
}

#[crate::test]
fn tools_of_earlier_calls_are_not_declared() {
    let body = br#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t","content":"b"}]}"#;
    for kind in [ProviderKind::Anthropic, ProviderKind::VertexAi] {
        let mut out = Vec::new();
        let settings = Settings::of(kind, "claude-sonnet-4-5");
        let request = translate_request(body, &settings, &mut out).unwrap();
        let sent: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(sent["messages"][1]["content"][0]["type"], "tool_use");
        assert!(sent.get("tools").is_none() && sent.get("tool_choice").is_none());
        assert!(request.dropped.is_empty() && request.approximated.is_empty());
    }
}

#[crate::test]
fn the_request_goes_to_messages_with_its_version() {
    let body = r#"{"messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;
    let (found, request) = translate(body, &settings("claude", OnUnsupported::Drop)).unwrap();
    assert_eq!(request.path, "/v1/messages");
    assert!(
        request
            .headers
            .contains(&("anthropic-version", "2023-06-01".into()))
    );
    assert!(request.is_streaming && request.include_usage);
    assert!(found.ends_with(r#""stream":true}"#));
}

#[crate::test]
fn sampling_is_kept_within_what_the_model_accepts() {
    let both = r#","temperature":0.5,"top_p":0.9"#;
    check("claude-3-5-haiku-20241022", both, both, &[]);
    check("claude-sonnet-4-5", both, r#","temperature":0.5"#, &["top_p"]);
    check("claude-opus-4-7", both, "", &["temperature", "top_p"]);
    check("claude-opus-4-7", r#","temperature":1,"top_p":1.0"#, "", &[]);
    check(
        "claude-sonnet-4-5",
        r#","temperature":2"#,
        r#","temperature":1"#,
        &[],
    );
    check("claude-sonnet-4-5", r#","top_k":5"#, r#","top_k":5"#, &[]);
    let thinking = r#","thinking":{"type":"enabled","budget_tokens":2000}"#;
    let dropped = ["temperature", "top_p", "top_k"];
    check(
        "claude-sonnet-4-5",
        &format!(r#"{thinking},"temperature":0.5,"top_p":0.9,"top_k":5"#),
        thinking,
        &dropped,
    );
    check(
        "claude-sonnet-4-5",
        &format!(r#"{thinking},"top_p":0.95"#),
        &format!(r#"{thinking},"top_p":0.95"#),
        &[],
    );
}

#[crate::test]
fn a_stop_sequence_that_cannot_be_seen_is_reported() {
    check("claude", r#","stop":"END""#, r#","stop_sequences":["END"]"#, &[]);
    check(
        "claude",
        r#","stop":["\n","END",""]"#,
        r#","stop_sequences":["END"]"#,
        &["stop"],
    );
    check("claude", r#","stop":[]"#, "", &[]);
}

#[crate::test]
fn the_end_user_is_named_once() {
    let user = r#","metadata":{"user_id":"u"}"#;
    check("claude", r#","user":"u""#, user, &[]);
    check(
        "claude",
        r#","safety_identifier":"u","user":"old""#,
        user,
        &["user"],
    );
    check(
        "claude",
        r#","metadata":{"user_id":"u","team":"t"}"#,
        user,
        &["metadata.team"],
    );
    check(
        "claude",
        r#","metadata":{"user_id":7}"#,
        "",
        &["metadata.user_id"],
    );
    check(
        "claude",
        r#","user":"u","metadata":{"user_id":"v"}"#,
        user,
        &["metadata.user_id"],
    );
}

#[crate::test]
fn what_means_nothing_is_not_reported() {
    let members = r#","logprobs":false,"n":1,"presence_penalty":0.0,"frequency_penalty":0,"store":false,"logit_bias":{},"modalities":["text"],"seed":null,"tool_choice":"auto","parallel_tool_calls":true,"response_format":{"type":"text"},"stream":false"#;
    check("claude", members, "", &[]);
    check(
        "claude",
        r#","logprobs":true,"seed":1"#,
        "",
        &["logprobs", "seed"],
    );
}

#[crate::test]
fn what_has_no_counterpart_is_refused_where_configured() {
    let body = r#"{"messages":[{"role":"user","content":"Hi"}],"seed":1}"#;
    let error = translate(body, &settings("claude", OnUnsupported::Reject)).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("seed"));
    assert_eq!(error.code.as_deref(), Some("unsupported_parameter"));
}

#[crate::test]
fn what_changes_the_answer_s_form_is_always_refused() {
    let unsupported = Some("unsupported_parameter");
    check_refusal(r#"{"messages":[],"n":2}"#, "n", unsupported);
    check_refusal(r#"{"messages":[],"functions":[]}"#, "functions", unsupported);
    check_refusal(
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"input_audio","input_audio":{}}]}]}"#,
        "messages[0].content[1].type",
        unsupported,
    );
    check_refusal(
        r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]}"#,
        "messages[0].content[0].file.file_id",
        unsupported,
    );
}

#[crate::test]
fn a_request_that_is_wrong_is_refused_with_its_place() {
    for (messages, param) in [
        (r#"[{"content":"Hi"}]"#, "messages[0].role"),
        (r#"[{"role":"robot","content":"Hi"}]"#, "messages[0].role"),
        (r#"[{"role":"user"}]"#, "messages[0].content"),
        (r#"[{"role":"user","content":""}]"#, "messages"),
        ("[]", "messages"),
        (r#"[{"role":"tool","content":"x"}]"#, "messages[0].tool_call_id"),
        (
            r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/tiff;base64,AA=="}}]}]"#,
            "messages[0].content[0].image_url.url",
        ),
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}},{"id":"2","function":{"name":"f","arguments":"{oops"}}]}]"#,
            "messages[1].tool_calls[1].function.arguments",
        ),
        (
            r#"[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"[1]"}}]}]"#,
            "messages[0].tool_calls[0].function.arguments",
        ),
    ] {
        check_refusal(&format!(r#"{{"messages":{messages}}}"#), param, None);
    }
}

#[crate::test]
fn instructions_move_to_the_top_and_turns_alternate() {
    check_messages(
        r#"[{"role":"user","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"b"},{"role":"assistant","content":"c \n"}]"#,
        r#""system":"s","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"c"}]"#,
    );
    check_messages(
        r#"[{"role":"developer","content":"s"}]"#,
        r#""system":"s","messages":[{"role":"user","content":"."}]"#,
    );
    check_messages(
        r#"[{"role":"assistant","content":"a"},{"role":"user","content":"b"}]"#,
        r#""messages":[{"role":"user","content":"."},{"role":"assistant","content":"a"},{"role":"user","content":"b"}]"#,
    );
    check_messages(
        r#"[{"role":"user","content":"a"},{"role":"assistant","content":" "},{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"b"}]}]"#,
        r#""messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]"#,
    );
}

#[crate::test]
fn answers_of_tools_come_first_in_their_turn() {
    check_messages(
        r#"[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"x.1","type":"function","function":{"name":"f","arguments":" {\"k\": 1}"}}]},{"role":"user","content":"b"},{"role":"tool","tool_call_id":"x.1","content":"1"},{"role":"tool","tool_call_id":"y","content":null}]"#,
        r#""messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"x_2e1","name":"f","input":{"k": 1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"x_2e1","content":"1"},{"type":"tool_result","tool_use_id":"y"},{"type":"text","text":"b"}]}]"#,
    );
    // Each turn has its own, in the order in which they came.
    check_messages(
        r#"[{"role":"user","content":"a"},{"role":"tool","tool_call_id":"1","content":"x"},{"role":"user","content":"b"},{"role":"tool","tool_call_id":"2","content":"y"},{"role":"assistant","content":"c"},{"role":"tool","tool_call_id":"3","content":"z"}]"#,
        r#""messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"},{"type":"tool_result","tool_use_id":"2","content":"y"},{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"c"},{"role":"user","content":[{"type":"tool_result","tool_use_id":"3","content":"z"}]}]"#,
    );
}

#[crate::test]
fn signed_thinking_is_put_back_first_and_unchanged() {
    check_messages(
        r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b","thinking_blocks":[{"type":"thinking", "thinking":"t","signature":"s"}]},{"role":"user","content":"c"}]"#,
        r#""messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking", "thinking":"t","signature":"s"},{"type":"text","text":"b"}]},{"role":"user","content":"c"}]"#,
    );
}

#[crate::test]
fn an_answer_may_be_put_back_where_unsupported_fields_are_refused() {
    let answer = r#"{"role":"assistant","content":"b","refusal":null,"reasoning_content":"r","thinking_blocks":[{"type":"thinking","thinking":"t","signature":""}],"annotations":[{"type":"url_citation"}],"citations":[{}]}"#;
    let body = |answer: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"a"}},{answer},{{"role":"user","content":"c"}}]}}"#
        )
    };
    let settings = settings("claude", OnUnsupported::Reject);
    let (_, request) = translate(&body(answer), &settings).unwrap();
    let told = ["annotations", "citations", "thinking_blocks"].map(|member| format!("messages[].{member}"));
    assert_eq!(request.dropped, told);
    let error = translate(&body(&answer.replace("assistant", "user")), &settings).unwrap_err();
    assert_eq!(error.code.as_deref(), Some("unsupported_parameter"));
}

#[crate::test]
fn thinking_is_not_asked_for_when_a_call_comes_back_without_its_own() {
    let messages = |thinking: &str| {
        format!(
            r#"{{"reasoning_effort":"low","messages":[{{"role":"user","content":"a"}},{{"role":"assistant",{thinking}"tool_calls":[{{"id":"1","function":{{"name":"f"}}}}]}},{{"role":"tool","tool_call_id":"1","content":"x"}}]}}"#
        )
    };
    let settings = settings("claude-sonnet-4-5", OnUnsupported::Drop);
    let (found, request) = translate(&messages(""), &settings).unwrap();
    assert!(!found.contains("budget_tokens"));
    assert_eq!(request.dropped, ["reasoning_effort"]);
    let signed = r#""thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"}],"#;
    let (found, request) = translate(&messages(signed), &settings).unwrap();
    assert!(found.contains(r#""thinking":{"type":"enabled","budget_tokens":1024}"#));
    assert!(request.dropped.is_empty());
}

#[crate::test]
fn the_newer_name_of_the_output_bound_wins() {
    let body = r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":9,"max_completion_tokens":5}"#;
    let (found, _) = translate(body, &settings("claude", OnUnsupported::Drop)).unwrap();
    assert!(found.contains(r#""max_tokens":5,"#));
}

#[crate::test]
fn at_vertex_ai_the_path_names_the_model_and_the_body_the_version() {
    let mut settings = settings("claude-sonnet-4-5@20250929", OnUnsupported::Drop);
    settings.kind = ProviderKind::VertexAi;
    for (stream, member, method) in [
        ("false", "", "rawPredict"),
        ("true", r#","stream":true"#, "streamRawPredict"),
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}],"stream":{stream}}}"#);
        let (found, request) = translate(&body, &settings).unwrap();
        assert_eq!(
            request.path,
            format!("/publishers/anthropic/models/claude-sonnet-4-5@20250929:{method}")
        );
        assert!(request.headers.is_empty());
        assert_eq!(
            found,
            format!(
                r#"{{"anthropic_version":"vertex-2023-10-16","max_tokens":4096,"messages":[{{"role":"user","content":"Hi"}}]{member}}}"#
            )
        );
    }
}

/// A request under a limit that leaves room for 2000 output tokens.
fn check_lowered(members: &str, expected: &str, dropped: &[&str]) {
    let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}]{members}}}"#);
    let settings = Settings {
        max_output_tokens: Some(2_000),
        ..settings("claude-3-7", OnUnsupported::Drop)
    };
    let (found, request) = translate(&body, &settings).unwrap();
    let messages = r#""messages":[{"role":"user","content":"Hi"}]"#;
    let start = r#"{"model":"claude-3-7","max_tokens":"#;
    let (bound, rest) = expected.split_once(',').unwrap_or((expected, ""));
    let rest = if rest.is_empty() {
        String::new()
    } else {
        format!(",{rest}")
    };
    assert_eq!(found, format!("{start}{bound},{messages}{rest}}}"), "{members}");
    assert_eq!(request.dropped, dropped, "{members}");
}

#[crate::test]
fn a_limit_lowers_the_output_bound_and_what_hangs_on_it() {
    check_lowered("", "2000", &[]);
    check_lowered(r#","max_tokens":1999"#, "1999", &[]);
    check_lowered(r#","max_tokens":9000"#, "2000", &[]);
    check_lowered(
        r#","max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":8000}"#,
        r#"2000,"thinking":{"type":"enabled","budget_tokens":1024}"#,
        &[],
    );
    let fitting = r#""thinking":{"type":"enabled","budget_tokens":1500}"#;
    check_lowered(
        &format!(r#","max_tokens":9000,{fitting}"#),
        &format!("2000,{fitting}"),
        &[],
    );
    let body = r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":1024}}"#;
    let settings = Settings {
        max_output_tokens: Some(1_000),
        ..settings("claude-3-7", OnUnsupported::Drop)
    };
    let (found, request) = translate(body, &settings).unwrap();
    assert!(
        !found.contains("thinking"),
        "there is no room for the smallest budget"
    );
    assert_eq!(request.dropped, ["thinking"]);
}

#[crate::test]
fn a_document_of_plain_text_is_told_as_text() {
    check_messages(
        r#"[{"role":"user","content":[{"type":"file","file":{"filename":"a.txt","file_data":"data:text/plain;charset=utf-8;base64,SGkgIngi"}}]}]"#,
        r#""messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"Hi \"x\""},"title":"a.txt"}]}]"#,
    );
}

#[crate::test]
fn at_vertex_the_mark_of_the_whole_request_is_on_its_last_block() {
    let settings = Settings::of(ProviderKind::VertexAi, "claude-sonnet-4-5");
    let body = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],"cache_control":{"type":"ephemeral"}}"#;
    let (sent, request) = translate(body, &settings).unwrap();
    assert_eq!(
        sent,
        r#"{"anthropic_version":"vertex-2023-10-16","max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}]}]}"#
    );
    assert_eq!(
        request.path,
        "/publishers/anthropic/models/claude-sonnet-4-5:rawPredict"
    );
}
