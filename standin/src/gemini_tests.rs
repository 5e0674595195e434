// SPDX-License-Identifier: Apache-2.0

//! Wire shapes of the Google stand-in, event by event.

use super::*;
use crate::clock::Identifiers;
use crate::faults::Fault;

const STUDIO: &str = "/v1beta/models/gemini-3-flash:generateContent";
const STREAM: &str = "/v1beta/models/gemini-3-flash:streamGenerateContent";
const CLAUDE: &str = "/v1/projects/p/locations/l/publishers/anthropic/models/claude:rawPredict";

fn ask(path: &str, request: &Value) -> (u16, String) {
    let (ids, fault) = (Identifiers::seeded(1), Fault::default());
    let scene = Scene {
        unix_now: 5,
        ids: &ids,
        fault: &fault,
    };
    let target = Target::of(path).expect("a path of Google's");
    let presented = Presented {
        has_api_key: true,
        has_bearer: true,
    };
    let query = path.contains(":stream").then_some("alt=sse");
    let reply = answer(target, query, &presented, request.to_string().as_bytes(), &scene);
    let text = match reply.form {
        Form::Whole { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
        Form::Events { events, .. } => events
            .map(|event| String::from_utf8_lossy(&event.bytes).into_owned())
            .collect(),
    };
    (reply.status, text)
}

fn request(text: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": text}]}]})
}

#[test]
fn a_document_has_the_members_of_the_reference() {
    let (status, text) = ask(STUDIO, &request("Hello cached:2"));
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let part = &found["candidates"][0]["content"]["parts"][0];
    assert_eq!(part["text"], "Gemini stand-in: Hello cached:2");
    assert!(part["thoughtSignature"].is_string());
    assert_eq!(found["candidates"][0]["finishReason"], "STOP");
    assert_eq!(
        found["usageMetadata"],
        json!({"promptTokenCount": 7, "candidatesTokenCount": 4, "totalTokenCount": 11,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}], "cachedContentTokenCount": 2})
    );
    assert_eq!((status, &found["modelVersion"]), (200, &json!("gemini-3-flash")));
}

#[test]
fn a_stream_counts_up_and_ends_with_its_reason() {
    let mut asked = request("count:2");
    asked["generationConfig"] = json!({"thinkingConfig": {"includeThoughts": true}});
    let (_, text) = ask(STREAM, &asked);
    let events: Vec<Value> = text
        .split_terminator("\r\n\r\n")
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").expect("data")).expect("JSON"))
        .collect();
    let counts: Vec<(u64, u64)> = events
        .iter()
        .map(|event| {
            let count = |name: &str| event["usageMetadata"][name].as_u64().unwrap_or(0);
            (count("thoughtsTokenCount"), count("candidatesTokenCount"))
        })
        .collect();
    assert_eq!(counts, [(1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (3, 2)]);
    let last = &events[5]["candidates"][0];
    assert_eq!(last["finishReason"], "STOP");
    assert!(last["content"]["parts"][0]["thoughtSignature"].is_string());
}

#[test]
fn calls_are_signed_and_wanted_back_so() {
    let mut asked = request("both weather");
    asked["tools"] = json!([{"functionDeclarations": [{"name": "f"}]}]);
    let (_, text) = ask(STUDIO, &asked);
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let parts = &found["candidates"][0]["content"]["parts"];
    assert_eq!(
        parts[1]["functionCall"],
        json!({"name": "f", "args": {"location": "Rome"}})
    );
    assert!(parts[0]["thoughtSignature"].is_string() && parts[1].get("thoughtSignature").is_none());
    let answers = json!([{"functionResponse": {"name": "f", "response": {}}},
        {"functionResponse": {"name": "f", "response": {}}}]);
    let mut again = asked.clone();
    again["contents"] = json!([asked["contents"][0], {"role": "model", "parts": parts},
        {"role": "user", "parts": answers}]);
    assert_eq!(ask(STUDIO, &again).0, 200);
    again["contents"][1]["parts"][0]
        .as_object_mut()
        .expect("a part")
        .remove("thoughtSignature");
    assert!(ask(STUDIO, &again).1.contains("missing a thought_signature"));
}

#[test]
fn google_refuses_what_it_does_not_know() {
    for (wrong, message) in [
        (
            json!({"contents": [], "model": "m"}),
            "Unknown name \\\"model\\\"",
        ),
        (json!({"contents": []}), "contents is not specified"),
        (
            json!({"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}),
            "valid role",
        ),
        (
            json!({"contents": [{"role": "user", "parts": []}]}),
            "must not be empty",
        ),
        (
            json!({"contents": [{"role": "user", "parts": [{"text": ""}]}]}),
            "empty text",
        ),
        (
            json!({"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]}),
            "number of function response parts",
        ),
        (
            json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}],
                "tools": [{"functionDeclarations": [{"name": "3d"}]}]}),
            "Invalid function name",
        ),
    ] {
        let (status, text) = ask(STUDIO, &wrong);
        assert!(status == 400 && text.contains(message), "{status} {text}");
        assert!(text.contains("INVALID_ARGUMENT"));
    }
}

#[test]
fn claude_is_asked_with_the_version_in_the_body() {
    let asked = json!({"anthropic_version": "vertex-2023-10-16", "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hi"}]});
    let (status, text) = ask(CLAUDE, &asked);
    assert!(status == 200 && text.contains("Anthropic stand-in: Hi"), "{text}");
    let mut wrong = asked.clone();
    wrong["model"] = json!("claude");
    assert_eq!(ask(CLAUDE, &wrong).0, 400);
    wrong = asked;
    wrong["anthropic_version"] = json!("2023-06-01");
    assert_eq!(ask(CLAUDE, &wrong).0, 400);
}

#[test]
fn vectors_come_in_the_form_of_their_place() {
    let batch = json!({"requests": [{"content": {"parts": [{"text": "Hello"}]}}]});
    let (status, text) = ask("/v1beta/models/embedding:batchEmbedContents", &batch);
    let found: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, &found["embeddings"][0]["values"][0]), (200, &json!(5)));
    let predict = "/v1/projects/p/locations/l/publishers/google/models/embedding:predict";
    let (status, text) = ask(predict, &json!({"instances": [{"content": "Hello"}]}));
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let count = &found["predictions"][0]["embeddings"]["statistics"]["token_count"];
    assert_eq!((status, count), (200, &json!(5)));
    assert_eq!(ask(predict, &json!({"instances": [{}]})).0, 400);
}
