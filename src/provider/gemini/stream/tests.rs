// SPDX-License-Identifier: Apache-2.0

//! Streams that are not in the golden files: sources, log probabilities, bounds and faults.

use super::ContentStream;
use crate::config::ProviderKind;
use crate::provider::{Progress, ResponseStream, Settings, UpstreamFault, UpstreamRequest};
use serde_json::Value;

fn stream(keeps_text: bool) -> ContentStream {
    let settings = Settings {
        created: 7,
        max_event_bytes: 1024,
        ..Settings::of(ProviderKind::Gemini, "gemini-2.5-flash")
    };
    let request = UpstreamRequest {
        is_streaming: true,
        keeps_text,
        ..UpstreamRequest::default()
    };
    ContentStream::new(&settings, &request)
}

/// The choices of the chunks that the events become.
fn run(mut stream: ContentStream, events: &[&str]) -> Result<Vec<Value>, UpstreamFault> {
    let mut out = Vec::new();
    for event in events {
        stream.on_bytes(format!("data: {event}\r\n\r\n").as_bytes(), &mut out)?;
    }
    stream.on_end(&mut out)?;
    let text = String::from_utf8(out).unwrap();
    let chunks = text.strip_suffix("data: [DONE]\n\n").unwrap();
    Ok(chunks
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|json| serde_json::from_str::<Value>(json).unwrap()["choices"][0].take())
        .collect())
}

#[crate::test]
fn sources_are_told_once_with_characters_of_the_whole_text() {
    let choices = run(
        stream(true),
        &[
            r#"{"candidates":[{"content":{"parts":[{"text":"thinking","thought":true},{"text":"Espa\u00f1a "}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"won."}]},"groundingMetadata":{"groundingChunks":[{"web":{"uri":"old"}}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP","groundingMetadata":{"groundingChunks":[{"web":{"uri":"u","title":"t"}}],"groundingSupports":[{"segment":{"startIndex":0,"endIndex":12},"groundingChunkIndices":[0]}]}}]}"#,
        ],
    )
    .unwrap();
    let cited: Vec<_> = choices
        .iter()
        .filter_map(|choice| choice["delta"].get("annotations"))
        .collect();
    assert_eq!(cited.len(), 1);
    let citation = &cited[0][0]["url_citation"];
    assert_eq!(
        (&citation["url"], &citation["start_index"], &citation["end_index"]),
        (&"u".into(), &0.into(), &11.into())
    );
}

#[crate::test]
fn log_probabilities_are_told_with_their_step() {
    let choices = run(
        stream(false),
        &[
            r#"{"candidates":[{"content":{"parts":[{"text":"Yes"}]},"finishReason":"STOP","logprobsResult":{"chosenCandidates":[{"token":"Yes"}]}}]}"#,
        ],
    )
    .unwrap();
    let step = &choices[2]["logprobs"]["content"][0];
    assert_eq!((&step["token"], &step["logprob"]), (&"Yes".into(), &0.into()));
}

#[crate::test]
fn content_counts_from_its_first_word() {
    let mut stream = stream(false);
    let mut out = Vec::new();
    let before =
        br#"data: {"usageMetadata":{"promptTokenCount":3},"candidates":[{"content":{"role":"model"}}]}"#;
    assert_eq!(
        stream.on_bytes(&[&before[..], b"\n\n"].concat(), &mut out),
        Ok(Progress::Preamble)
    );
    let word = b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n\n";
    assert_eq!(stream.on_bytes(word, &mut out), Ok(Progress::Content));
    assert_eq!(stream.tally().output_bytes, 1);
    assert_eq!(stream.tally().usage.input_tokens, Some(3));
}

#[crate::test]
fn what_is_no_stream_of_gemini_s_is_a_fault() {
    for events in [
        &[][..],
        &["{}"],
        &["nonsense"],
        &["[DONE]"],
        &[r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#],
        &[r#"{"candidates":[{"index":0,"finishReason":"STOP"},{"index":1}]}"#],
        &[r#"{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}"#],
    ] {
        let fault = run(stream(false), events).unwrap_err();
        assert_eq!(
            fault.error.code.as_deref(),
            Some("upstream_misbehaved"),
            "{events:?}"
        );
    }
    let many: Vec<String> = (0..200).map(|index| format!(r#"{{"index":{index}}}"#)).collect();
    for some in many.chunks(20).collect::<Vec<_>>().windows(10) {
        let events: Vec<String> = some
            .iter()
            .map(|candidates| format!(r#"{{"candidates":[{}]}}"#, candidates.join(",")))
            .collect();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        assert!(run(stream(false), &events).is_err());
    }
    let large = format!(r#"{{"x":"{}"}}"#, "a".repeat(2000));
    let fault = run(stream(false), &[&large]).unwrap_err();
    assert!(fault.error.message.contains("too large"));
}

#[crate::test]
fn an_error_may_come_in_a_list() {
    let fault = run(
        stream(false),
        &[r#"[{"error":{"code":429,"message":"Slow down.","status":"RESOURCE_EXHAUSTED"}}]"#],
    )
    .unwrap_err();
    assert_eq!((fault.error.status, &*fault.error.message), (429, "Slow down."));
}

#[crate::test]
fn what_the_model_makes_is_told_as_it_comes() {
    let choices = run(
        stream(false),
        &[
            r#"{"responseId":"r","candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"YQ=="}}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"Yg=="}},{"inlineData":{"mimeType":"audio/L16","data":"AAE="}}]},"finishReason":"STOP"}]}"#,
        ],
    )
    .unwrap();
    let told: Vec<_> = choices.iter().map(|choice| &choice["delta"]).collect();
    let images: Vec<_> = told.iter().filter_map(|delta| delta.get("images")).collect();
    assert_eq!(images[0][0]["image_url"]["url"], "data:image/png;base64,YQ==");
    assert_eq!((&images[1][0]["index"], images.len()), (&1.into(), 2));
    let sound: Vec<_> = told.iter().filter_map(|delta| delta.get("audio")).collect();
    assert_eq!(
        (&sound[0]["data"], &sound[0]["id"]),
        (&"AAE=".into(), &"r".into())
    );
}

#[crate::test]
fn an_image_is_content() {
    let mut stream = stream(false);
    let event =
        r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"YQ=="}}]}}]}"#;
    let progress = stream
        .on_bytes(format!("data: {event}\n\n").as_bytes(), &mut Vec::new())
        .unwrap();
    assert_eq!(progress, Progress::Content);
}

#[crate::test]
fn what_is_recited_is_told_once_at_the_end() {
    let choices = run(
        stream(false),
        &[
            r#"{"candidates":[{"content":{"parts":[{"text":"Call me "}]},"citationMetadata":{"citations":[{"endIndex":4,"uri":"u"}]}}]}"#,
            "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Ishmael\"}]},\"citationMetadata\":{\"citations\":[{\"endIndex\":4,\"uri\":\"u\"},{\"endIndex\":9,\ndata:\"title\":\"Book\"}]},\"finishReason\":\"STOP\"}]}",
        ],
    )
    .unwrap();
    let deltas = || choices.iter().map(|choice| &choice["delta"]);
    let annotations: Vec<_> = deltas().filter_map(|delta| delta.get("annotations")).collect();
    assert_eq!(annotations.len(), 1);
    assert_eq!(annotations[0][0]["url_citation"]["end_index"], 4);
    let others: Vec<_> = deltas().filter_map(|delta| delta.get("citations")).collect();
    assert_eq!(others, [&serde_json::json!([{"endIndex":9,"title":"Book"}])]);
}
