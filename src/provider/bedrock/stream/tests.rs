// SPDX-License-Identifier: Apache-2.0

use super::ConverseStream;
use crate::codec::event_stream::tests::frame;
use crate::config::ProviderKind;
use crate::provider::{Progress, ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::{Value, json};

fn stream() -> ConverseStream {
    let settings = Settings {
        created: 7,
        answer_id: "chatcmpl-1".to_owned(),
        max_event_bytes: 512,
        ..Settings::of(ProviderKind::AwsBedrock, "m")
    };
    let request = UpstreamRequest {
        is_streaming: true,
        include_usage: true,
        renamed_tools: [("f_1".to_owned(), "f.1".to_owned())].into(),
        ..UpstreamRequest::default()
    };
    ConverseStream::new(&settings, &request)
}

fn event(kind: &str, payload: &str) -> Vec<u8> {
    let headers = [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, payload.as_bytes())
}

fn events(events: &[(&str, &str)]) -> Vec<u8> {
    events
        .iter()
        .flat_map(|(kind, payload)| event(kind, payload))
        .collect()
}

struct Told {
    /// The `delta` and `finish_reason` of each chunk, or the whole usage chunk.
    chunks: Vec<Value>,
    is_done: bool,
    outcome: Result<(), UpstreamFault>,
    tally: Tally,
}

fn tell(bytes: &[u8], size: usize) -> Told {
    let mut stream = stream();
    let mut out = Vec::new();
    let outcome = bytes
        .chunks(size.max(1))
        .try_for_each(|chunk| stream.on_bytes(chunk, &mut out).map(|_| ()))
        .and_then(|()| stream.on_end(&mut out));
    let text = String::from_utf8(out).unwrap();
    let mut chunks = Vec::new();
    let mut is_done = false;
    for line in text.split("\n\n").filter(|line| !line.is_empty()) {
        let data = line.strip_prefix("data: ").unwrap();
        if data == "[DONE]" {
            is_done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).unwrap();
        assert_eq!(
            (&chunk["id"], &chunk["model"]),
            (&json!("chatcmpl-1"), &json!("m"))
        );
        chunks.push(match chunk["choices"].get(0) {
            Some(choice) if choice["finish_reason"].is_null() => choice["delta"].clone(),
            Some(choice) => choice["finish_reason"].clone(),
            None => chunk["usage"].clone(),
        });
    }
    Told {
        chunks,
        is_done,
        outcome,
        tally: stream.tally(),
    }
}

/// What comes of a stream, whatever its cuts.
fn check(bytes: &[u8]) -> Told {
    let whole = tell(bytes, bytes.len());
    for size in [1, 2, 7, 64] {
        let cut = tell(bytes, size);
        assert_eq!(
            (&cut.chunks, &cut.outcome),
            (&whole.chunks, &whole.outcome),
            "{size}"
        );
        assert_eq!(cut.tally, whole.tally, "{size}");
    }
    whole
}

const END: [(&str, &str); 2] = [
    ("messageStop", r#"{"p":"ab","stopReason":"end_turn"}"#),
    (
        "metadata",
        r#"{"metrics":{"latencyMs":1},"usage":{"inputTokens":5,"outputTokens":2,"totalTokens":7,"cacheReadInputTokens":1}}"#,
    ),
];

fn with_end(blocks: &[(&str, &str)]) -> Vec<u8> {
    let start = ("messageStart", r#"{"p":"abc","role":"assistant"}"#);
    let all: Vec<_> = [start]
        .into_iter()
        .chain(blocks.iter().copied())
        .chain(END)
        .collect();
    events(&all)
}

fn usage() -> Value {
    json!({"prompt_tokens": 6, "completion_tokens": 2, "total_tokens": 8, "prompt_tokens_details": {"cached_tokens": 1}})
}

#[crate::test]
fn words_become_chunks_at_once() {
    let told = check(&with_end(&[
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"H\u00e9"},"p":"x"}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":""}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"😀\n"}}"#,
        ),
        ("aLaterInvention", "[1]"),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
    ]));
    assert_eq!(
        told.chunks,
        [
            json!({"role": "assistant", "content": ""}),
            json!({"content": "Hé"}),
            json!({"content": "😀\n"}),
            json!("stop"),
            usage(),
        ]
    );
    assert_eq!((told.is_done, told.outcome), (true, Ok(())));
    assert_eq!(
        (told.tally.output_bytes, told.tally.usage.input_tokens),
        (8, Some(6))
    );
}

#[crate::test]
fn calls_are_counted_named_and_never_without_arguments() {
    let told = check(&with_end(&[
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"a","name":"f_1"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":""}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"x\":"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":" 1}"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"s","name":"web","type":"server_tool_use"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{}"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"b","name":"g"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":3}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"c","name":"h"}}}"#,
        ),
    ]));
    let opened = |index: u32, id: &str, name: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]});
    let added =
        |index: u32, piece: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]});
    assert_eq!(
        told.chunks[1..told.chunks.len() - 2],
        [
            opened(0, "a", "f.1"),
            added(0, "{\"x\":"),
            added(0, " 1}"),
            opened(1, "b", "g"),
            added(1, "{}"),
            opened(2, "c", "h"),
            added(2, "{}"),
        ]
    );
}

#[crate::test]
fn reasoning_is_told_while_it_comes_and_whole_when_it_is_signed() {
    let told = check(&with_end(&[
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"a\n"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"\"b\""}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"s1"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"s2"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"RXQ="}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"aw=="}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":2,"delta":{"reasoningContent":{"text":"c"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
    ]));
    assert_eq!(
        told.chunks[1..told.chunks.len() - 2],
        [
            json!({"reasoning_content": "a\n"}),
            json!({"reasoning_content": "\"b\""}),
            json!({"thinking_blocks": [{"type": "thinking", "thinking": "a\n\"b\"", "signature": "s1s2"}]}),
            json!({"thinking_blocks": [{"type": "redacted_thinking", "data": "Etk"}]}),
            json!({"reasoning_content": "c"}),
        ]
    );
}

#[crate::test]
fn reasoning_beyond_the_bound_is_told_as_text_only() {
    let piece = format!(
        r#"{{"contentBlockIndex":0,"delta":{{"reasoningContent":{{"text":"{}"}}}}}}"#,
        "x".repeat(200)
    );
    let signed = r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"s"}}}"#;
    let mut blocks = vec![("contentBlockDelta", piece.as_str()); 3];
    blocks.extend([
        ("contentBlockDelta", signed),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
    ]);
    let told = check(&with_end(&blocks));
    assert_eq!(told.chunks.len(), 1 + 3 + 2);
    assert_eq!(told.tally.output_bytes, 600);
}

#[crate::test]
fn citations_span_their_block() {
    let told = check(&with_end(&[
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"é"}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"text":"Ruby"}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"citation":{"source":"https://a.example","title":"T"}}}"#,
        ),
        (
            "contentBlockDelta",
            "{\"contentBlockIndex\":1,\"delta\":{\"citation\":{\"source\":\n\"d\"}}}",
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
    ]));
    assert_eq!(
        told.chunks[3..5],
        [
            json!({"annotations": [{"type": "url_citation", "url_citation": {"start_index": 1, "end_index": 5, "url": "https://a.example", "title": "T"}}]}),
            json!({"citations": [{"source": "d"}]}),
        ]
    );
}

#[crate::test]
fn an_exception_is_an_error_whenever_it_comes() {
    let exception = frame(
        &[
            (":message-type", "exception"),
            (":exception-type", "throttlingException"),
        ],
        br#"{"message":"Too many"}"#,
    );
    let text = (
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#,
    );
    for (before, chunks) in [
        (vec![], 0),
        (vec![("messageStart", r#"{"role":"assistant"}"#)], 1),
        (vec![("messageStart", r#"{"role":"assistant"}"#), text], 2),
        (vec![("messageStart", r#"{"role":"assistant"}"#), text, END[0]], 3),
    ] {
        let told = check(&[events(&before), exception.clone()].concat());
        let fault = told.outcome.unwrap_err();
        assert_eq!((fault.error.status, &*fault.error.message), (429, "Too many"));
        assert_eq!((told.chunks.len(), told.is_done), (chunks, false));
    }
}

#[crate::test]
fn a_stream_is_complete_once_it_has_said_why_it_ends() {
    let without_usage = check(&events(&[("messageStart", "{}"), END[0]]));
    assert_eq!((without_usage.is_done, &without_usage.outcome), (true, &Ok(())));
    assert_eq!(without_usage.tally.usage.input_tokens, None);
    let whole = with_end(&[(
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#,
    )]);
    let stop = events(&END).len();
    for cut in [whole.len() - stop, whole.len() - stop + 5, whole.len() - 1] {
        let told = check(&whole[..cut]);
        let message = told.outcome.unwrap_err().error.message;
        assert_eq!(
            message, "The provider's stream ended before it was complete.",
            "{cut}"
        );
        assert!(!told.is_done);
    }
    assert!(check(b"").outcome.is_err());
    // What follows the end is ignored.
    let told = check(
        &[
            whole,
            event("messageStart", "{}"),
            b"noise that is no message".to_vec(),
        ]
        .concat(),
    );
    assert_eq!(told.outcome, Ok(()));
}

#[crate::test]
fn damaged_and_senseless_streams_are_faults() {
    let sound = with_end(&[]);
    let mut damaged = sound.clone();
    damaged[40] ^= 1;
    let message = |bytes: &[u8]| check(bytes).outcome.unwrap_err().error.message;
    assert_eq!(message(&damaged), "The provider's stream is damaged.");
    assert_eq!(
        message(b"data: {}\n\ndata: [DONE]\n\n"),
        "The provider's stream is damaged."
    );
    let large = format!(r#"{{"delta":{{"text":"{}"}}}}"#, "x".repeat(600));
    assert_eq!(
        message(&event("contentBlockDelta", &large)),
        "The provider's stream holds an event that is too large."
    );
    for (kind, payload) in [
        ("contentBlockDelta", "no json"),
        ("contentBlockDelta", r#"{"contentBlockIndex":0}"#),
        ("contentBlockDelta", r#"{"delta":{"text":"a"}}"#),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":7}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"?"}}}"#,
        ),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":{"toolUse":{"name":"f"}}}"#,
        ),
    ] {
        let expected = "The provider's answer could not be read.";
        assert_eq!(message(&event(kind, payload)), expected, "{payload}");
    }
    let many: Vec<String> = (0..65)
        .map(|index| format!(r#"{{"contentBlockIndex":{index},"start":{{}}}}"#))
        .collect();
    let many: Vec<_> = many
        .iter()
        .map(|payload| ("contentBlockStart", payload.as_str()))
        .collect();
    assert!(check(&events(&many)).outcome.is_err());
}

#[crate::test]
fn nothing_but_content_and_ends_is_progress() {
    let mut stream = stream();
    let mut out = Vec::new();
    let mut feed = |kind: &str, payload: &str| stream.on_bytes(&event(kind, payload), &mut out).unwrap();
    assert_eq!(
        feed("messageStart", r#"{"role":"assistant"}"#),
        Progress::Preamble
    );
    assert_eq!(
        feed(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":""}}"#
        ),
        Progress::Preamble
    );
    assert_eq!(
        feed(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#
        ),
        Progress::Content
    );
    assert_eq!(feed(END[0].0, END[0].1), Progress::Content);
    assert_eq!(feed(END[1].0, END[1].1), Progress::Done);
}

#[crate::test]
fn an_image_is_told_when_it_is_whole() {
    let told = check(&events(&[
        ("messageStart", r#"{"role":"assistant"}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":{"image":{"format":"png"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"image":{"source":{"bytes":"YQ=="}}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"image":{"source":{"bytes":"Yg=="}}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":1,"start":{"image":{"format":"png"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"image":{"source":{"s3Location":{"uri":"s3://b/k"}}}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
    ]));
    told.outcome.unwrap();
    let images: Vec<_> = told
        .chunks
        .iter()
        .filter_map(|delta| delta.get("images"))
        .collect();
    assert_eq!(
        images,
        [
            &json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,YWI="}, "index": 0}]),
            &json!([{"type": "image_url", "image_url": {"url": "s3://b/k"}, "index": 1}]),
        ]
    );
    let long = "YWFh".repeat(200);
    let too_large = check(&events(&[
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":{"image":{"format":"png"}}}"#,
        ),
        (
            "contentBlockDelta",
            &format!(
                r#"{{"contentBlockIndex":0,"delta":{{"image":{{"source":{{"bytes":"{}"}}}}}}}}"#,
                &long[..400]
            ),
        ),
        (
            "contentBlockDelta",
            &format!(
                r#"{{"contentBlockIndex":0,"delta":{{"image":{{"source":{{"bytes":"{}"}}}}}}}}"#,
                &long[..400]
            ),
        ),
    ]));
    assert!(too_large.outcome.is_err());
}

#[crate::test]
fn what_guardrails_found_is_told_beside_the_usage() {
    let told = |include_usage| {
        let request = UpstreamRequest {
            include_usage,
            ..UpstreamRequest::default()
        };
        let mut stream = ConverseStream::new(&Settings::of(ProviderKind::AwsBedrock, "m"), &request);
        let mut out = Vec::new();
        let bytes = events(&[
            ("messageStop", r#"{"stopReason":"guardrail_intervened"}"#),
            (
                "metadata",
                "{\"usage\":{},\"trace\":{\"guardrail\":\n{\"actionReason\":\"a b\"}}}",
            ),
        ]);
        stream.on_bytes(&bytes, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(told(true).contains(r#""trace":{"guardrail":{"actionReason":"a b"}}}"#));
    assert!(!told(false).contains("trace"));
}
