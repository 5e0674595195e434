// SPDX-License-Identifier: Apache-2.0

use super::translate_request;
use crate::api_error::ApiError;
use crate::config::{OnUnsupported, ProviderKind};
use crate::provider::tool_names::Rule;
use crate::provider::{Settings, UpstreamRequest};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";

fn settings(upstream_model: &str, on_unsupported: OnUnsupported) -> Settings {
    Settings {
        on_unsupported,
        created: 7,
        answer_id: "chatcmpl-1".to_owned(),
        max_event_bytes: 1024,
        ..Settings::of(ProviderKind::AwsBedrock, upstream_model)
    }
}

fn translate(body: &str, settings: &Settings) -> Result<(String, UpstreamRequest), ApiError> {
    let mut out = Vec::new();
    let request = translate_request(body.as_bytes(), settings, &mut out)?;
    Ok((String::from_utf8(out).unwrap(), request))
}

/// The members after `messages` of a request whose only message is `Hi`.
fn check(model: &str, members: &str, expected: &str, dropped: &[&str], approximated: &[&str]) {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}]{members}}}"#);
    let (found, request) = translate(&body, &settings(model, OnUnsupported::Drop)).unwrap();
    let start = r#"{"messages":[{"role":"user","content":[{"text":"Hi"}]}]"#;
    assert_eq!(found, format!("{start}{expected}}}"), "{members}");
    assert_eq!(request.dropped, dropped, "{members}");
    assert_eq!(request.approximated, approximated, "{members}");
}

/// What the messages become.
fn check_messages(messages: &str, expected: &str) {
    let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
    let (found, _) = translate(&body, &settings(CLAUDE, OnUnsupported::Drop)).unwrap();
    assert_eq!(found, format!("{{{expected}}}"), "{messages}");
}

fn check_refusal(body: &str, param: &str, code: Option<&str>) {
    let error = translate(body, &settings(CLAUDE, OnUnsupported::Drop)).unwrap_err();
    let found = (error.status, error.param.as_deref(), error.code.as_deref());
    assert_eq!(found, (400, Some(param), code), "{body}: {}", error.message);
}

#[crate::test]
fn the_path_names_the_model_and_the_operation() {
    let body = r#"{"messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;
    let (found, request) = translate(body, &settings(NOVA, OnUnsupported::Drop)).unwrap();
    assert_eq!(request.path, "/model/amazon.nova-lite-v1%3A0/converse-stream");
    assert!(request.is_streaming && request.include_usage);
    assert_eq!(
        found,
        r#"{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}"#
    );
    let whole = r#"{"messages":[{"role":"user","content":"Hi"}]}"#;
    let (_, request) = translate(whole, &settings(NOVA, OnUnsupported::Drop)).unwrap();
    assert_eq!(request.path, "/model/amazon.nova-lite-v1%3A0/converse");
    let error = translate(whole, &settings("a?b", OnUnsupported::Drop)).unwrap_err();
    assert_eq!((error.status, error.param.as_deref()), (400, Some("model")));
}

#[crate::test]
fn parameters_have_their_counterparts() {
    check(
        NOVA,
        r#","max_completion_tokens":9,"max_tokens":8,"temperature":0.5,"top_p":0.9,"stop":"END""#,
        r#","inferenceConfig":{"maxTokens":9,"temperature":0.5,"topP":0.9,"stopSequences":["END"]}"#,
        &[],
        &[],
    );
    check(NOVA, r#","stop":null,"stream_options":{}"#, "", &[], &[]);
    check(
        NOVA,
        r#","stop":[]"#,
        r#","inferenceConfig":{"stopSequences":[]}"#,
        &[],
        &[],
    );
    check(
        NOVA,
        r#","service_tier":"flex","metadata":{"team":"a b","user_id":"u","odd":"<>","n":1}"#,
        r#","requestMetadata":{"user_id":"u","team":"a b"},"serviceTier":{"type":"flex"}"#,
        &["metadata.odd", "metadata.n"],
        &[],
    );
    check(
        NOVA,
        r#","seed":1,"user":"u","safety_identifier":"s","presence_penalty":0,"frequency_penalty":1,"service_tier":"scale","x y":1"#,
        "",
        &[
            "seed",
            "frequency_penalty",
            "(other)",
            "user",
            "safety_identifier",
            "service_tier",
        ],
        &[],
    );
}

#[crate::test]
fn bedrock_s_own_members_pass_and_win() {
    check(
        CLAUDE,
        r#","top_k":5,"reasoning_effort":"low","additionalModelRequestFields":{"top_k":7,"anthropic_beta":["x"]},"guardrailConfig":{"guardrailIdentifier":"g"},"performanceConfig":{"latency":"optimized"},"requestMetadata":{"a":"b"},"promptVariables":{}"#,
        r#","inferenceConfig":{"maxTokens":5120},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":1024},"anthropic_beta":["x"],"top_k":7},"requestMetadata":{"a":"b"},"guardrailConfig":{"guardrailIdentifier":"g"},"performanceConfig":{"latency":"optimized"},"promptVariables":{}"#,
        &["top_k"],
        &[],
    );
}

#[crate::test]
fn a_budget_of_thinking_leaves_room_for_the_answer() {
    check(
        CLAUDE,
        r#","reasoning_effort":"high","temperature":1"#,
        r#","inferenceConfig":{"maxTokens":20480,"temperature":1},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":16384}}"#,
        &[],
        &[],
    );
    check(
        CLAUDE,
        r#","thinking":{"type":"enabled","budget_tokens":2000},"max_tokens":3000"#,
        r#","inferenceConfig":{"maxTokens":3000},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000}}"#,
        &[],
        &[],
    );
}

#[crate::test]
fn schemas_travel_as_text() {
    check(
        NOVA,
        r#","response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","strict":true,"schema":{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}}}"#,
        r#","outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"additionalProperties\":false}","name":"n","description":"d"}}}}"#,
        &[],
        &[],
    );
    check(
        NOVA,
        r#","response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}}"#,
        r#","outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\",\"additionalProperties\":false}"}}}}"#,
        &[],
        &["response_format"],
    );
    check(
        NOVA,
        r#","response_format":{"type":"json_object"}"#,
        "",
        &["response_format"],
        &[],
    );
}

#[crate::test]
fn tools_and_the_choice_among_them() {
    let tools = r#","tools":[{"type":"function","function":{"name":"f","description":" ","parameters":{"properties":{},"additionalProperties":false},"strict":true}},{"type":"function","function":{"name":"g.h","description":"d"},"cache_control":{"type":"ephemeral"}}]"#;
    let f = r#"{"toolSpec":{"name":"f","inputSchema":{"json":{"properties":{},"additionalProperties":false,"type":"object"}},"strict":true}}"#;
    let g = r#"{"toolSpec":{"name":"g_h_HASH","description":"d","inputSchema":{"json":{"type":"object","properties":{}}}}},{"cachePoint":{"type":"default"}}"#;
    let hash = Rule::BEDROCK.plain("g.h");
    let g = g.replace("g_h_HASH", &hash);
    for (choice, expected, dropped) in [
        ("", String::new(), &[][..]),
        (
            r#","tool_choice":"auto""#,
            r#","toolChoice":{"auto":{}}"#.to_owned(),
            &[],
        ),
        (
            r#","tool_choice":"required""#,
            r#","toolChoice":{"any":{}}"#.to_owned(),
            &[],
        ),
        (
            r#","tool_choice":{"type":"function","function":{"name":"g.h"}},"parallel_tool_calls":false"#,
            format!(r#","toolChoice":{{"tool":{{"name":"{hash}"}}}}"#),
            &["parallel_tool_calls"],
        ),
    ] {
        let expected = format!(r#","toolConfig":{{"tools":[{f},{g}]{expected}}}"#);
        check(CLAUDE, &format!("{tools}{choice}"), &expected, dropped, &[]);
    }
    // Without earlier calls, to declare no tools says the same.
    check(CLAUDE, &format!(r#"{tools},"tool_choice":"none""#), "", &[], &[]);
    let allowed = r#","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#;
    let expected = format!(r#","toolConfig":{{"tools":[{f}],"toolChoice":{{"any":{{}}}}}}"#);
    check(CLAUDE, &format!("{tools}{allowed}"), &expected, &[], &[]);
    check(CLAUDE, r#","tool_choice":"required""#, "", &["tool_choice"], &[]);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}]{tools}}}"#);
    let (_, request) = translate(&body, &settings(CLAUDE, OnUnsupported::Drop)).unwrap();
    assert_eq!(request.renamed_tools.get(&*hash).map(String::as_str), Some("g.h"));
}

#[crate::test]
fn tools_of_earlier_calls_are_declared_when_the_client_declares_none() {
    let messages = r#"[{"role":"user","content":"Hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}},{"id":"b","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}}]},{"role":"tool","tool_call_id":"a","content":"1"},{"role":"tool","tool_call_id":"b","content":""},{"role":"user","content":"And?"}]"#;
    let turns = r#"{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"a","name":"f","input":{}}},{"toolUse":{"toolUseId":"b","name":"f","input":{"x": 1}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"1"}]}},{"toolResult":{"toolUseId":"b","content":[]}},{"text":"And?"}]}]"#;
    let config = r#","toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{}}}}}]}}"#;
    for (members, approximated) in [
        ("", "tools"),
        (r#","tools":[]"#, "tools"),
        (
            r#","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none""#,
            "tool_choice",
        ),
    ] {
        let body = format!(r#"{{"messages":{messages}{members}}}"#);
        let (found, request) = translate(&body, &settings(NOVA, OnUnsupported::Drop)).unwrap();
        assert_eq!(found, format!("{turns}{config}"), "{members}");
        assert_eq!(request.approximated, [approximated], "{members}");
    }
}

#[crate::test]
fn roles_are_put_in_order() {
    check_messages(
        r#"[{"role":"system","content":"a"},{"role":"user","content":"b"},{"role":"user","content":[{"type":"text","text":"c"},{"type":"text","text":" "}]},{"role":"developer","content":"d"},{"role":"assistant","content":"e \n"}]"#,
        r#""messages":[{"role":"user","content":[{"text":"b"},{"text":"c"}]},{"role":"assistant","content":[{"text":"e"}]}],"system":[{"text":"a"},{"text":"d"}]"#,
    );
    check_messages(
        r#"[{"role":"assistant","content":[{"type":"refusal","refusal":"no"}],"refusal":"never"}]"#,
        r#""messages":[{"role":"user","content":[{"text":"."}]},{"role":"assistant","content":[{"text":"no"},{"text":"never"}]}]"#,
    );
    check_messages(
        r#"[{"role":"system","content":"a"}]"#,
        r#""messages":[{"role":"user","content":[{"text":"."}]}],"system":[{"text":"a"}]"#,
    );
}

#[crate::test]
fn images_documents_and_recordings() {
    check_messages(
        r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/jpg;base64,aGk=","detail":"auto"}},{"type":"file","file":{"filename":"Q1_2.pdf","file_data":"data:application/pdf;base64,aGk="}},{"type":"file","file":{"filename":"Q1_2.pdf","file_id":"s3://b/k.csv"}},{"type":"input_audio","input_audio":{"data":"aGk=","format":"wav"}}]}]"#,
        r#""messages":[{"role":"user","content":[{"image":{"format":"jpeg","source":{"bytes":"aGk="}}},{"document":{"format":"pdf","name":"Q1 2","source":{"bytes":"aGk="}}},{"document":{"format":"csv","name":"Q1 2 [2]","source":{"s3Location":{"uri":"s3://b/k.csv"}}}},{"audio":{"format":"wav","source":{"bytes":"aGk="}}},{"text":"."}]}]"#,
    );
    check_messages(
        r#"[{"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[{"id":"call 1","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call 1","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="},"cache_control":{"type":"ephemeral","ttl":"1h"}}]}]"#,
        &r#""messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"ID","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"ID","content":[{"text":"a"},{"image":{"format":"png","source":{"bytes":"aGk="}}}]}},{"cachePoint":{"type":"default","ttl":"1h"}}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{}}}}}]}"#
            .replace("ID", &Rule::BEDROCK.plain("call 1")),
    );
}

#[crate::test]
fn a_document_that_had_to_be_renamed_is_told() {
    for (name, approximated) in [
        ("Q1 report.pdf", &[][..]),
        ("Q1_report.pdf", &["messages[].content[].file.filename"]),
    ] {
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"file","file":{{"filename":"{name}","file_data":"aGk="}}}}]}}]}}"#
        );
        let (_, request) = translate(&body, &settings(NOVA, OnUnsupported::Drop)).unwrap();
        assert_eq!(request.approximated, approximated, "{name}");
    }
}

#[crate::test]
fn hints_of_caching_become_cache_points() {
    let point = r#"{"cachePoint":{"type":"default"}}"#;
    check_messages(
        r#"[{"role":"system","content":"a","cache_control":{"type":"ephemeral"}},{"role":"user","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral"}},{"type":"text","text":"c","cachePoint":{"type":"default"}},{"cachePoint":{"type":"default"}},{"type":"text","text":"d"}]},{"role":"user","content":"e","cachePoint":{"type":"default"}},{"role":"user","content":"","cache_control":{"type":"ephemeral"}}]"#,
        &format!(
            r#""messages":[{{"role":"user","content":[{{"text":"b"}},{point},{{"text":"c"}},{point},{point},{{"text":"d"}},{{"text":"e"}},{point}]}}],"system":[{{"text":"a"}},{point}]"#
        ),
    );
    let body =
        r#"{"messages":[{"role":"user","content":"Hi"}],"cache_control":{"type":"ephemeral","ttl":"5m"}}"#;
    let (found, request) = translate(body, &settings(CLAUDE, OnUnsupported::Reject)).unwrap();
    let expected = r#"{"messages":[{"role":"user","content":[{"text":"Hi"},{"cachePoint":{"type":"default","ttl":"5m"}}]}]}"#;
    assert_eq!((found.as_str(), request.dropped.len()), (expected, 0));
}

#[crate::test]
fn blocks_of_bedrock_s_own_pass() {
    check_messages(
        r#"[{"role":"system","content":[{"guardContent":{"text":{"text":"a"}}}]},{"role":"user","content":[{"type":"guardContent","guardContent":{"text":{"text":"b","qualifiers":["query"]}}},{"type":"text","text":"c"}]}]"#,
        r#""messages":[{"role":"user","content":[{"guardContent":{"text":{"text":"b","qualifiers":["query"]}}},{"text":"c"}]}],"system":[{"guardContent":{"text":{"text":"a"}}}]"#,
    );
}

#[crate::test]
fn signed_thoughts_go_back_first_and_others_are_told() {
    let thought = r#"{"role":"assistant","content":"a","reasoning_content":"t","thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"Etk"}]}"#;
    check_messages(
        &format!(r#"[{{"role":"user","content":"Hi"}},{thought},{{"role":"user","content":"b"}}]"#),
        r#""messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"t","signature":"s"}}},{"reasoningContent":{"redactedContent":"RXRr"}},{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]"#,
    );
    let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi"}},{thought}]}}"#);
    let (found, request) = translate(&body, &settings(NOVA, OnUnsupported::Reject)).unwrap();
    assert!(!found.contains("reasoningContent"));
    assert_eq!(request.dropped, ["messages[].thinking_blocks"]);
}

#[crate::test]
fn what_has_no_counterpart_is_refused_with_its_place() {
    let unsupported = Some("unsupported_parameter");
    let user = |part: &str| format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
    for (body, param, code) in [
        (r#"{"messages":[{"role":"user","content":"a"}],"n":2}"#.to_owned(), "n", unsupported),
        (r#"{"messages":[{"role":"user","content":"a"}],"functions":[]}"#.to_owned(), "functions", unsupported),
        (r#"{"messages":[]}"#.to_owned(), "messages", None),
        (r#"{"messages":[{"role":"function","content":"a"}]}"#.to_owned(), "messages[0].role", unsupported),
        (r#"{"messages":[{"role":"robot","content":"a"}]}"#.to_owned(), "messages[0].role", None),
        (
            user(r#"{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}"#),
            "messages[0].content[0].image_url.url",
            None,
        ),
        (
            user(r#"{"type":"file","file":{"file_id":"file-1"}}"#),
            "messages[0].content[0].file.file_id",
            unsupported,
        ),
        (
            user(r#"{"type":"input_audio","input_audio":{"data":"aGk=","format":"exe"}}"#),
            "messages[0].content[0].input_audio.format",
            None,
        ),
        (user(r#"{"text":"a"}"#), "messages[0].content[0].type", None),
        (user(r#"{"type":"refusal","refusal":"a"}"#), "messages[0].content[0].type", unsupported),
        (
            r#"{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"custom","custom":{"name":"c"}}]}"#.to_owned(),
            "tools[0].type",
            unsupported,
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"}],"tools":[{"function":{"name":"f","parameters":[]}}]}"#.to_owned(),
            "tools[0].function.parameters",
            None,
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"}],"tools":[{"function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}}"#.to_owned(),
            "tool_choice.allowed_tools.tools",
            None,
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"}],"additionalModelRequestFields":[]}"#.to_owned(),
            "additionalModelRequestFields",
            None,
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"[]"}}]}]}"#.to_owned(),
            "messages[1].tool_calls[0].function.arguments",
            None,
        ),
    ] {
        check_refusal(&body, param, code);
    }
    let body = r#"{"messages":[{"role":"user","content":"a"}],"seed":1}"#;
    let error = translate(body, &settings(NOVA, OnUnsupported::Reject)).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("seed"));
}

#[crate::test]
fn only_models_that_cache_get_cache_points() {
    let body = r#"{"messages":[{"role":"user","content":"Hi"}],"cache_control":{"type":"ephemeral"}}"#;
    for (model, caches) in [
        (CLAUDE, true),
        (NOVA, true),
        ("meta.llama3-3-70b-instruct-v1:0", false),
        ("openai.gpt-oss-120b-1:0", false),
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
            true,
        ),
    ] {
        let (sent, request) = translate(body, &settings(model, OnUnsupported::Drop)).unwrap();
        assert_eq!(sent.contains("cachePoint"), caches, "{model}");
        assert_eq!(request.dropped.is_empty(), caches, "{model}");
    }
}
