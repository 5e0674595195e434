// SPDX-License-Identifier: Apache-2.0

use super::MessageStream;
use crate::config::{OnUnsupported, ProviderKind};
use crate::provider::{Progress, ResponseStream, Settings, UpstreamFault, UpstreamRequest};

const START: &str = r#"{"type":"message_start","message":{"id":"i","model":"m","usage":{"input_tokens":9,"output_tokens":1}}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn stream() -> MessageStream {
    let settings = Settings {
        kind: ProviderKind::Anthropic,
        operation: crate::provider::Operation::Chat,
        upstream_model: "claude".to_owned(),
        on_unsupported: OnUnsupported::Drop,
        stream_usage: true,
        output_bound_field: ProviderKind::Anthropic.output_bound_field(),
        developer_role: ProviderKind::Anthropic.keeps_to_openai(),
        default_max_tokens: 4096,
        max_output_tokens: None,
        created: 7,
        answer_id: String::new(),
        told_input_tokens: None,
        max_event_bytes: 512,
        api_version: None,
        unsupported: &[],
    };
    MessageStream::new(&settings, &UpstreamRequest::default())
}

/// Feeds events one by one; what each of them became, without the head that all chunks share.
fn feed(stream: &mut MessageStream, events: &[&str]) -> Result<Vec<String>, UpstreamFault> {
    let head = r#"data: {"id":"i","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":"#;
    let mut all = Vec::new();
    for event in events {
        let mut out = Vec::new();
        stream.on_bytes(format!("data: {event}\n\n").as_bytes(), &mut out)?;
        all.push(
            String::from_utf8(out)
                .unwrap()
                .replace(head, "")
                .replace("\n\n", ""),
        );
    }
    Ok(all)
}

fn start_block(block: &str) -> String {
    format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#)
}

fn delta(delta: &str) -> String {
    format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#)
}

#[crate::test]
fn each_event_becomes_its_chunk_at_once() {
    let events = [
        START,
        &start_block(r#"{"type":"text","text":""}"#),
        r#"{"type":"ping"}"#,
        &delta(r#"{"type":"text_delta","text":"a\u00e9\n"}"#),
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":2}}"#,
        STOP,
    ];
    let mut stream = stream();
    assert_eq!(
        feed(&mut stream, &events).unwrap(),
        [
            r#"{"role":"assistant","content":""},"finish_reason":null}]}"#,
            "",
            "",
            r#"{"content":"a\u00e9\n"},"finish_reason":null}]}"#,
            "",
            r#"{},"finish_reason":"length"}]}"#,
            "data: [DONE]",
        ]
    );
    let tally = stream.tally();
    assert_eq!(tally.output_bytes, 4);
    assert_eq!(
        (tally.usage.input_tokens, tally.usage.output_tokens),
        (Some(9), Some(2))
    );
    stream.on_end(&mut Vec::new()).unwrap();
}

#[crate::test]
fn progress_is_made_by_content_only() {
    let mut stream = stream();
    for (event, expected) in [
        (START, Progress::Preamble),
        (r#"{"type":"ping"}"#, Progress::Preamble),
        (
            &*start_block(r#"{"type":"thinking","thinking":""}"#),
            Progress::Preamble,
        ),
        (
            &*delta(r#"{"type":"thinking_delta","thinking":""}"#),
            Progress::Preamble,
        ),
        (
            &*delta(r#"{"type":"thinking_delta","thinking":"t"}"#),
            Progress::Content,
        ),
        (STOP, Progress::Done),
        ("not read any more", Progress::Done),
    ] {
        let progress = stream.on_bytes(format!("data: {event}\n\n").as_bytes(), &mut Vec::new());
        assert_eq!(progress, Ok(expected), "{event}");
    }
}

#[crate::test]
fn an_error_before_content_leaves_the_attempt_open_to_another() {
    let mut stream = stream();
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let fault = feed(&mut stream, &[START, error]).unwrap_err();
    assert_eq!((fault.error.status, fault.is_retryable), (503, true));
    assert_eq!(fault.error.message, "Overloaded");
}

#[crate::test]
fn a_call_without_arguments_says_an_empty_object() {
    let stop = r#"{"type":"content_block_stop","index":0}"#;
    for (input, expected) in [("{}", r#"{}"#), (r#"{ "a": 1 }"#, r#"{\"a\":1}"#)] {
        let call = start_block(&format!(
            r#"{{"type":"tool_use","id":"1","name":"f","input":{input}}}"#
        ));
        let empty = delta(r#"{"type":"input_json_delta","partial_json":""}"#);
        let said = feed(&mut stream(), &[START, &call, &empty, stop, STOP]).unwrap();
        assert_eq!(
            said[1],
            r#"{"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}"#
        );
        let piece = format!(
            r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":"{expected}"}}}}]}},"finish_reason":null}}]}}"#
        );
        assert_eq!(said[3], piece);
        assert_eq!(said[4], r#"{},"finish_reason":"tool_calls"}]}data: [DONE]"#);
    }
}

#[crate::test]
fn thinking_ends_with_its_signed_whole() {
    let events = [
        START,
        &start_block(r#"{"type":"thinking","thinking":"","signature":""}"#),
        &delta(r#"{"type":"thinking_delta","thinking":"a \"b\" "}"#),
        &delta(r#"{"type":"thinking_delta","thinking":"c"}"#),
        &delta(r#"{"type":"signature_delta","signature":"si\/g"}"#),
        r#"{"type":"content_block_stop","index":0}"#,
    ];
    let said = feed(&mut stream(), &events).unwrap();
    assert_eq!(
        said[2],
        r#"{"reasoning_content":"a \"b\" "},"finish_reason":null}]}"#
    );
    assert_eq!(said[4], "");
    assert_eq!(
        said[5],
        r#"{"thinking_blocks":[{"type":"thinking","thinking":"a \"b\" c","signature":"si/g"}]},"finish_reason":null}]}"#
    );
}

#[crate::test]
fn thinking_beyond_the_bound_is_told_but_not_kept() {
    let piece = delta(&format!(
        r#"{{"type":"thinking_delta","thinking":"{}"}}"#,
        "t".repeat(300)
    ));
    let events = [
        START,
        &start_block(r#"{"type":"thinking","thinking":""}"#),
        &piece,
        &piece,
        &delta(r#"{"type":"signature_delta","signature":"s"}"#),
        r#"{"type":"content_block_stop","index":0}"#,
    ];
    let said = feed(&mut stream(), &events).unwrap();
    assert!(said[3].starts_with(r#"{"reasoning_content":"ttt"#));
    assert_eq!(said[5], "");
}

#[crate::test]
fn a_stream_that_ends_early_is_a_fault_with_what_was_seen() {
    let mut stream = stream();
    let text = delta(r#"{"type":"text_delta","text":"half"}"#);
    feed(&mut stream, &[START, &start_block(r#"{"type":"text"}"#), &text]).unwrap();
    let fault = stream.on_end(&mut Vec::new()).unwrap_err();
    assert_eq!((fault.error.status, fault.is_retryable), (502, true));
    assert_eq!(stream.tally().output_bytes, 4);
}

#[crate::test]
fn a_last_event_without_its_blank_line_still_counts() {
    let mut stream = stream();
    feed(&mut stream, &[START]).unwrap();
    let mut out = Vec::new();
    stream
        .on_bytes(format!("data: {STOP}\n").as_bytes(), &mut out)
        .unwrap();
    stream.on_end(&mut out).unwrap();
    assert!(out.ends_with(b"data: [DONE]\n\n"));
}

#[crate::test]
fn bytes_that_are_no_stream_of_anthropic_s_are_a_fault() {
    let text = delta(r#"{"type":"text_delta","text":"x"}"#);
    let wrong = delta(r#"{"type":"text_delta","text":5}"#);
    let too_large = format!(r#"{{"type":"ping","x":"{}"}}"#, "x".repeat(600));
    for events in [
        &["{"][..],
        &[r#"{"type":"message_start"}"#],
        &[&text],
        &[STOP],
        &[START, &wrong],
        &[START, &too_large],
    ] {
        let fault = feed(&mut stream(), events).unwrap_err();
        assert_eq!(
            (fault.error.status, fault.is_retryable),
            (502, true),
            "{events:?}"
        );
    }
}

#[crate::test]
fn blocks_without_end_are_bounded() {
    let mut stream = stream();
    feed(&mut stream, &[START]).unwrap();
    let block = start_block(r#"{"type":"text"}"#);
    let outcome = (0..1000).try_for_each(|_| feed(&mut stream, &[&block]).map(|_| ()));
    assert!(outcome.is_err());
}
