// SPDX-License-Identifier: Apache-2.0

use super::ChunkStream;
use crate::config::{OnUnsupported, ProviderKind};
use crate::provider::{Progress, ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};

const ROLE: &str = r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const TEXT: &str = r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}],"usage":null}"#;
const STOP: &str = r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;

fn events(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

fn stream(include_usage: bool) -> ChunkStream {
    let settings = Settings {
        kind: ProviderKind::OpenAi,
        operation: crate::provider::Operation::Chat,
        upstream_model: String::new(),
        on_unsupported: OnUnsupported::Drop,
        stream_usage: true,
        output_bound_field: ProviderKind::OpenAi.output_bound_field(),
        developer_role: ProviderKind::OpenAi.keeps_to_openai(),
        default_max_tokens: 0,
        max_output_tokens: None,
        created: 0,
        answer_id: String::new(),
        told_input_tokens: None,
        max_event_bytes: 4096,
        api_version: None,
        unsupported: &[],
    };
    let request = UpstreamRequest {
        include_usage,
        is_streaming: true,
        ..UpstreamRequest::default()
    };
    ChunkStream::new(&settings, &request)
}

fn run<'c>(
    chunks: impl Iterator<Item = &'c [u8]>,
    include_usage: bool,
) -> (String, Result<(), UpstreamFault>, Tally) {
    let mut stream = stream(include_usage);
    let mut out = Vec::new();
    let mut result = Ok(());
    for chunk in chunks {
        result = result.and_then(|()| stream.on_bytes(chunk, &mut out).map(drop));
    }
    result = result.and_then(|()| stream.on_end(&mut out));
    (String::from_utf8(out).unwrap(), result, stream.tally())
}

/// The same for the whole input, for every byte alone and for every cut in two.
fn run_all(input: &str, include_usage: bool) -> (String, Result<(), UpstreamFault>, Tally) {
    let bytes = input.as_bytes();
    let whole = run([bytes].into_iter(), include_usage);
    assert_eq!(run(bytes.chunks(1), include_usage), whole);
    for at in 0..bytes.len() {
        assert_eq!(
            run([&bytes[..at], &bytes[at..]].into_iter(), include_usage),
            whole,
            "cut at {at}"
        );
    }
    whole
}

fn check(input: &str, include_usage: bool, expected: &str) -> Tally {
    let (out, result, tally) = run_all(input, include_usage);
    assert_eq!(result, Ok(()));
    assert_eq!(out, expected);
    tally
}

fn check_fault(input: &str, message: &str, status: u16, is_retryable: bool) {
    let (_, result, _) = run_all(input, true);
    let fault = result.unwrap_err();
    assert_eq!(
        (&*fault.error.message, fault.error.status, fault.is_retryable),
        (message, status, is_retryable)
    );
}

#[crate::test]
fn a_stream_passes_byte_for_byte() {
    let input = format!(
        ": PROCESSING\n\n: x\r\ndata:{ROLE}\r\n\r\nevent: chunk\ndata: {TEXT}\n\n{}",
        events(&[STOP, "[DONE]"])
    );
    let tally = check(&input, false, &input);
    assert_eq!((tally.output_bytes, tally.usage.input_tokens), (2, None));
}

#[crate::test]
fn the_usage_chunk_goes_to_clients_that_asked() {
    let input = events(&[ROLE, TEXT, STOP, USAGE, "[DONE]"]);
    let tally = check(&input, true, &input);
    assert_eq!(
        (tally.usage.input_tokens, tally.usage.output_tokens),
        (Some(3), Some(1))
    );
    let tally = check(&input, false, &events(&[ROLE, TEXT, STOP, "[DONE]"]));
    assert_eq!(tally.usage.input_tokens, Some(3));
}

#[crate::test]
fn usage_beside_content_moves_to_a_chunk_of_its_own() {
    let beside = |usage: &str| STOP.replace("]}", &format!("]{usage}}}"));
    let last = beside(r#","usage":{"prompt_tokens":3,"completion_tokens":1}"#);
    let input = events(&[TEXT, &last, "[DONE]"]);
    let null = beside(r#","usage":null"#);
    check(&input, true, &events(&[TEXT, &null, USAGE, "[DONE]"]));
    check(&input, false, &events(&[TEXT, STOP, "[DONE]"]));
    // The finish reason comes again beside the usage.
    let again = events(&[TEXT, STOP, &last, "[DONE]"]);
    check(&again, true, &events(&[TEXT, STOP, USAGE, "[DONE]"]));
    check(&again, false, &events(&[TEXT, STOP, "[DONE]"]));
    // That of another choice is news.
    let other = |chunk: &str| chunk.replace(r#""index":0"#, r#""index":1"#);
    let both = events(&[TEXT, &last, &other(&last), "[DONE]"]);
    check(&both, false, &events(&[TEXT, STOP, &other(STOP), "[DONE]"]));
}

#[crate::test]
fn of_usage_on_every_chunk_the_last_one_counts() {
    let running = TEXT.replace(
        r#""usage":null"#,
        r#""usage":{"prompt_tokens":3,"completion_tokens":0}"#,
    );
    let input = events(&[&running, STOP, USAGE, "[DONE]"]);
    let tally = check(&input, true, &events(&[TEXT, STOP, USAGE, "[DONE]"]));
    assert_eq!(tally.usage.output_tokens, Some(1));
    let bare = TEXT.replace(r#","usage":null"#, "");
    check(&input, false, &events(&[&bare, STOP, "[DONE]"]));
}

#[crate::test]
fn groqs_usage_is_read() {
    let groq = STOP.replace(
        "]}",
        r#"],"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":1}}}"#,
    );
    let usage = groq
        .replace(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#, "")
        .replace("}}}", r#"}},"usage":{"prompt_tokens":3,"completion_tokens":1}}"#);
    let input = events(&[TEXT, &groq, "[DONE]"]);
    let tally = check(&input, true, &events(&[TEXT, &groq, &usage, "[DONE]"]));
    assert_eq!(tally.usage.input_tokens, Some(3));
    check(&input, false, &input);
}

#[crate::test]
fn comments_before_a_removed_event_stay() {
    let input = format!("data: {TEXT}\n\ndata: {STOP}\n\n: ping\n\ndata: {USAGE}\n\ndata: [DONE]\n\n");
    check(
        &input,
        false,
        &format!("data: {TEXT}\n\ndata: {STOP}\n\n: ping\n\ndata: [DONE]\n\n"),
    );
    check(
        &format!("data:\n\n{input}"),
        true,
        &format!("data: {TEXT}\n\ndata: {STOP}\n\n: ping\n\ndata: {USAGE}\n\ndata: [DONE]\n\n"),
    );
}

#[crate::test]
fn a_forgotten_end_is_supplied_after_a_finish_reason() {
    let whole = events(&[TEXT, STOP, USAGE, "[DONE]"]);
    check(&events(&[TEXT, STOP, USAGE]), true, &whole);
    check(whole.trim_end(), true, &whole);
    check(&(whole.trim_end().to_owned() + " \n"), true, &whole);
    let cut = events(&[TEXT, STOP]) + "data: {\"cut";
    check(&cut, true, &events(&[TEXT, STOP, "[DONE]"]));
}

#[crate::test]
fn an_early_end_is_a_fault() {
    check_fault("", "The provider's stream was empty.", 502, true);
    check_fault(": ping\n\n", "The provider's stream was empty.", 502, true);
    check_fault("data: [DONE]\n\n", "The provider's stream was empty.", 502, true);
    check_fault(
        &events(&[ROLE, TEXT]),
        "The provider's stream ended early.",
        502,
        true,
    );
    check_fault(
        &(events(&[TEXT]) + "data: {\"id\":"),
        "The provider's stream ended early.",
        502,
        true,
    );
}

#[crate::test]
fn errors_in_the_stream_are_faults() {
    let error = r#"{"error":{"message":"too fast","type":"rate_limit_error"}}"#;
    check_fault(&events(&[TEXT, error]), "too fast", 429, true);
    check_fault(&format!("event: error\ndata: {error}\n\n"), "too fast", 429, true);
    check_fault(
        "event: error\ndata: {\"message\":\"wrong\",\"code\":400}\n\n",
        "wrong",
        400,
        false,
    );
    check_fault(
        &events(&[r#"{"choices":[{"delta":{},"error":{"code":503,"message":"full"}}]}"#]),
        "full",
        503,
        true,
    );
    check_fault(
        &events(&[TEXT, r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#]),
        "The provider failed during the answer.",
        502,
        true,
    );
    check_fault("data: {\"error\":\"text\"}", "text", 502, true);
    for garbage in ["secret", "[]", "7", r#"{"choices":7}"#] {
        check_fault(&format!("data: {garbage}\n\n"), super::NOT_A_CHUNK, 502, true);
    }
    let large = format!("data: {}\n\n", "x".repeat(5000));
    let fault = run([large.as_bytes()].into_iter(), false).1.unwrap_err();
    assert_eq!((fault.error.status, fault.is_retryable), (502, true));
}

#[crate::test]
fn progress_tells_content_from_preamble() {
    let mut stream = stream(false);
    let mut out = Vec::new();
    let mut feed = |text: &str| stream.on_bytes(text.as_bytes(), &mut out).unwrap();
    assert_eq!(feed(": ping\n\n"), Progress::Preamble);
    assert_eq!(feed(&events(&[ROLE, r#"{"choices":[]}"#])), Progress::Preamble);
    assert_eq!(feed(&events(&[TEXT])), Progress::Content);
    assert_eq!(feed(": ping\n\n"), Progress::Content);
    assert_eq!(feed(&events(&[STOP, "[DONE]"])), Progress::Done);
    assert_eq!(feed(&events(&[TEXT])), Progress::Done);
    let before = out.len();
    stream.on_end(&mut out).unwrap();
    assert_eq!(out.len(), before);
    for bearing in [
        r#"{"choices":[{"delta":{"reasoning":"a"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}]}"#,
        STOP,
    ] {
        let mut stream = self::stream(false);
        assert_eq!(
            stream.on_bytes(events(&[bearing]).as_bytes(), &mut Vec::new()),
            Ok(Progress::Content)
        );
    }
}

#[crate::test]
fn mistrals_content_parts_become_strings() {
    let parts = r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]},"finish_reason":null}]}"#;
    let plain = r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"","reasoning_content":"hm"},"finish_reason":null}]}"#;
    let input = events(&[parts, STOP, "[DONE]"]);
    check(&input, true, &events(&[plain, STOP, "[DONE]"]));
}

#[crate::test]
fn a_chunk_over_several_lines_is_edited_into_one() {
    let input = format!(
        "data: {{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\ndata: \"choices\":[],\ndata: \"usage\":{{\"prompt_tokens\":3}}}}\n\n{}",
        events(&[STOP, "[DONE]"])
    );
    let usage = r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m", "choices":[], "usage":{"prompt_tokens":3}}"#;
    check(&input, true, &events(&[STOP, usage, "[DONE]"]));
}

#[cfg(not(target_family = "wasm"))]
mod properties {
    use super::{ROLE, STOP, TEXT, USAGE, run};
    use proptest::prelude::*;

    fn input() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            ROLE,
            TEXT,
            STOP,
            USAGE,
            "data: ",
            "data:",
            "event: error\n",
            ": ping",
            "[DONE]",
            "\n",
            "\n\n",
            "\r\n\r\n",
            "{",
            "\u{feff}",
            r#"{"error":{"message":"x"}}"#,
            r#"{"choices":[{"delta":{"content":[{"text":"a"}]}}]}"#,
        ]);
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_output(input in input(), size in 1_usize..40, include_usage: bool) {
            let whole = run([input.as_bytes()].into_iter(), include_usage);
            prop_assert_eq!(run(input.as_bytes().chunks(size), include_usage), whole);
        }

        #[test]
        fn usage_leaves_at_most_once_and_last(
            pieces in prop::collection::vec(prop::sample::select(vec![ROLE, TEXT, STOP, USAGE]), 1..20),
            include_usage: bool,
        ) {
            let input: String = pieces.iter().chain(&["[DONE]"]).map(|data| format!("data: {data}\n\n")).collect();
            let (out, result, _) = run([input.as_bytes()].into_iter(), include_usage);
            prop_assert_eq!(result, Ok(()));
            let with_usage = include_usage && pieces.contains(&USAGE);
            prop_assert_eq!(out.matches("prompt_tokens").count(), usize::from(with_usage));
            let end = format!("data: {USAGE}\n\ndata: [DONE]\n\n");
            prop_assert_eq!(out.ends_with(&end), with_usage);
        }
    }
}

#[crate::test]
fn azures_judgement_of_the_prompt_travels_with_the_first_choice() {
    let filters = r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}"#;
    let first = ROLE.replace(
        "}]}",
        r#"}],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}"#,
    );
    let input = events(&[filters, ROLE, TEXT, STOP, "[DONE]"]);
    check(&input, false, &events(&[&first, TEXT, STOP, "[DONE]"]));
}

#[crate::test]
fn azures_late_judgement_of_an_answer_is_a_chunk_that_clients_read() {
    let late = r#"{"id":"","object":"","created":0,"model":"","choices":[{"index":0,"finish_reason":null,"content_filter_results":{"hate":{}},"content_filter_offsets":{"check_offset":44}}]}"#;
    let told = r#"{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"finish_reason":null,"content_filter_results":{"hate":{}},"content_filter_offsets":{"check_offset":44},"delta":{}}]}"#;
    let input = events(&[ROLE, TEXT, late, STOP, "[DONE]"]);
    check(&input, false, &events(&[ROLE, TEXT, told, STOP, "[DONE]"]));
}

#[crate::test]
fn a_server_that_never_says_whose_chunks_they_are_is_given_one_id() {
    let bare = |choice: &str| {
        format!(
            r#"{{"object":"chat.completion.chunk","id":"","created":1,"model":"m","choices":[{choice}]}}"#
        )
    };
    let input = events(&[
        &bare(r#"{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null}"#),
        &bare(r#"{"index":0,"delta":{"content":"b"},"finish_reason":"eos_token"}"#),
        &bare(r#"{"index":0,"delta":{"content":""},"finish_reason":"stop"}"#),
    ]);
    let (out, result, _) = run_all(&input, false);
    assert_eq!(result, Ok(()));
    let ids: Vec<&str> = out
        .match_indices(r#""id":""#)
        .map(|(at, _)| &out[at + 6..at + 24])
        .collect();
    assert!(
        ids.len() == 3 && ids.iter().all(|id| *id == ids[0] && id.starts_with("chatcmpl-")),
        "{out}"
    );
    assert!(!out.contains("eos_token"), "{out}");
}

#[crate::test]
fn calls_that_a_server_does_not_number_are_numbered() {
    let call = |call: &str| {
        format!(
            r#"{{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{"tool_calls":[{call}]}},"finish_reason":null}}]}}"#
        )
    };
    let input = events(&[
        &call(r#"{"id":"a","type":"function","function":{"name":"f","arguments":"{"}}"#),
        &call(r#"{"function":{"arguments":"}"}}"#),
        &call(r#"{"function":{"name":"g","arguments":"{}"}}"#),
        STOP,
    ]);
    let (out, result, _) = run_all(&input, false);
    assert_eq!(result, Ok(()));
    let calls: Vec<serde_json::Value> = out
        .split("data: ")
        .filter(|data| data.contains("tool_calls"))
        .map(|data| serde_json::from_str::<serde_json::Value>(data.trim()).unwrap()["choices"][0]["delta"]["tool_calls"][0].clone())
        .collect();
    let indices: Vec<_> = calls.iter().map(|call| call["index"].as_u64()).collect();
    assert_eq!(indices, [Some(0), Some(0), Some(1)]);
    assert_eq!(calls[0]["id"], "a");
    assert!(calls[1].get("id").is_none() && calls[2]["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(calls[2]["type"], "function");
}

#[crate::test]
fn reasoning_is_told_under_the_name_that_clients_know() {
    let chunk = |delta: &str| {
        format!(
            r#"{{"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#
        )
    };
    let (given, told) = (
        chunk(r#"{"content":"","reasoning":"h\u00e9","reasoning_details":[]}"#),
        chunk(r#"{"content":"","reasoning":"h\u00e9","reasoning_details":[],"reasoning_content":"h\u00e9"}"#),
    );
    check(&events(&[&given, STOP]), false, &events(&[&told, STOP, "[DONE]"]));
}

#[crate::test]
fn the_cost_that_a_provider_tells_stays_in_the_usage() {
    let usage = USAGE.replace(
        r#""completion_tokens":1"#,
        r#""completion_tokens":1,"cost":1.4e-7,"cost_details":{"x":1}"#,
    );
    let input = events(&[TEXT, STOP, &usage, "[DONE]"]);
    check(&input, true, &input);
}
