// SPDX-License-Identifier: Apache-2.0

use super::ChatStream;
use crate::config::ProviderKind;
use crate::provider::{Progress, ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::Value;

const START: &str = r#"{"type":"message-start","id":"c-1","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#;
const END: &str = r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":3,"output_tokens":2},"tokens":{"input_tokens":9,"output_tokens":4}}}}"#;

fn stream(include_usage: bool) -> ChatStream {
    let request = UpstreamRequest {
        is_streaming: true,
        include_usage,
        ..UpstreamRequest::default()
    };
    ChatStream::new(&Settings::of(ProviderKind::Cohere, "command-a"), &request)
}

fn sse(events: &[&str]) -> String {
    events
        .iter()
        .map(|event| format!("event: x\ndata: {event}\n\n"))
        .collect()
}

fn run(input: &str, size: usize, include_usage: bool) -> (String, Result<(), UpstreamFault>, Tally) {
    let mut stream = stream(include_usage);
    let mut out = Vec::new();
    let mut result = Ok(());
    for chunk in input.as_bytes().chunks(size) {
        result = result.and_then(|()| stream.on_bytes(chunk, &mut out).map(drop));
    }
    result = result.and_then(|()| stream.on_end(&mut out));
    (String::from_utf8(out).unwrap(), result, stream.tally())
}

/// The choices of every chunk; the input is cut every way.
fn choices(events: &[&str]) -> (Vec<Value>, Result<(), u16>, Tally) {
    let input = sse(events);
    let whole = run(&input, input.len(), true);
    for size in [1, 7, 100] {
        assert_eq!(run(&input, size, true), whole, "in chunks of {size}");
    }
    let (out, result, tally) = whole;
    let data = out
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap());
    let chunks = data
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str::<Value>(data).unwrap());
    let found: Vec<Value> = chunks
        .inspect(|chunk| {
            assert_eq!(
                (&chunk["id"], &chunk["model"]),
                (&"c-1".into(), &"command-a".into())
            )
        })
        .map(|chunk| chunk["choices"].clone())
        .collect();
    (found, result.map_err(|fault| fault.error.status), tally)
}

fn deltas(choices: &[Value]) -> Vec<String> {
    choices
        .iter()
        .filter_map(|choices| choices.get(0))
        .map(|choice| choice["delta"].to_string())
        .collect()
}

#[crate::test]
fn text_and_thinking_stream_and_usage_comes_last() {
    let (found, result, tally) = choices(&[
        START,
        r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"thinking","thinking":""}}}}"#,
        r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"thinking":"h\u00e9"}}}}"#,
        r#"{"type":"content-end","index":0}"#,
        r#"{"type":"content-delta","index":1,"delta":{"message":{"content":{"text":"a\nb"}}}}"#,
        r#"{"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":0,"end":1,"sources":[]}}}}"#,
        r#"{"type":"citation-end","index":0}"#,
        r#"{"type":"something-new"}"#,
        END,
        "[DONE]",
    ]);
    assert_eq!(result, Ok(()));
    assert_eq!(
        deltas(&found),
        [
            r#"{"role":"assistant"}"#,
            r#"{"reasoning_content":"hé"}"#,
            r#"{"content":"a\nb"}"#,
            r#"{"citations":[{"end":1,"sources":[],"start":0}]}"#,
            "{}",
        ]
    );
    assert_eq!(found[4][0]["finish_reason"], "stop");
    assert_eq!(found[5], serde_json::json!([]), "the usage chunk");
    assert_eq!(
        (
            tally.usage.input_tokens,
            tally.usage.output_tokens,
            tally.output_bytes
        ),
        (Some(9), Some(4), 6)
    );
    let (out, _, _) = run(&sse(&[START, END]), 1, false);
    assert!(
        !out.contains("usage") && out.ends_with("data: [DONE]\n\n"),
        "{out}"
    );
}

#[crate::test]
fn calls_are_numbered_and_have_arguments() {
    let (found, result, _) = choices(&[
        START,
        r#"{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I will"}}}"#,
        r#"{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"get_1","type":"function","function":{"name":"get","arguments":""}}}}}"#,
        r#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"a\""}}}}}"#,
        r#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":":1}"}}}}}"#,
        r#"{"type":"tool-call-end","index":0}"#,
        r#"{"type":"tool-call-start","index":1,"delta":{"message":{"tool_calls":{"id":"put_1","type":"function","function":{"name":"put","arguments":""}}}}}"#,
        r#"{"type":"tool-call-end","index":1}"#,
        r#"{"type":"message-end","delta":{"finish_reason":"TOOL_CALL"}}"#,
    ]);
    assert_eq!(result, Ok(()));
    let calls: Vec<Value> = found
        .iter()
        .filter_map(|choices| Some(choices.get(0)?["delta"]["tool_calls"].get(0)?.clone()))
        .collect();
    let pieces: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call["index"].as_u64(),
                call["id"].as_str(),
                call["function"]["arguments"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        pieces,
        [
            (Some(0), Some("get_1"), ""),
            (Some(0), None, "{\"a\""),
            (Some(0), None, ":1}"),
            (Some(1), Some("put_1"), ""),
            (Some(1), None, "{}"),
        ]
    );
    assert_eq!(deltas(&found)[1], r#"{"content":"I will"}"#);
    assert_eq!(
        found.iter().rev().find_map(|choices| choices.get(0)).unwrap()["finish_reason"],
        "tool_calls"
    );
}

#[crate::test]
fn a_stream_that_fails_or_breaks_off_is_a_fault() {
    let text = r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}"#;
    for (events, status) in [
        (vec![START, text], 502),
        (vec![], 502),
        (
            vec![
                START,
                r#"{"type":"message-end","delta":{"error":"boom","finish_reason":"ERROR"}}"#,
            ],
            502,
        ),
        (
            vec![
                START,
                r#"{"type":"message-end","delta":{"finish_reason":"TIMEOUT"}}"#,
            ],
            504,
        ),
        (vec![r#"{"message":"too many"}"#], 502),
        (vec![text], 502),
        (vec!["{"], 502),
        (vec![END], 502),
    ] {
        assert_eq!(
            run(&sse(&events), 1, true).1.unwrap_err().error.status,
            status,
            "{events:?}"
        );
    }
    let (_, result, _) = run(
        &sse(&[
            START,
            r#"{"type":"message-end","delta":{"error":"boom","finish_reason":"ERROR"}}"#,
        ]),
        9,
        true,
    );
    assert_eq!(result.unwrap_err().error.message, "boom");
}

#[crate::test]
fn the_first_chunk_is_no_content_yet() {
    let mut stream = stream(true);
    let mut out = Vec::new();
    assert_eq!(
        stream.on_bytes(sse(&[START]).as_bytes(), &mut out),
        Ok(Progress::Preamble)
    );
}

#[crate::test]
fn what_a_content_begins_with_is_told() {
    let (choices, outcome, _) = choices(&[
        r#"{"type":"message-start","id":"c-1","delta":{"message":{"role":"assistant","content":[]}}}"#,
        r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":"He"}}}}"#,
        r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"y"}}}}"#,
        r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}"#,
    ]);
    outcome.unwrap();
    let text: String = choices
        .iter()
        .filter_map(|choices| choices[0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "Hey");
}
