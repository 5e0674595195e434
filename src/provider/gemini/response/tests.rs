// SPDX-License-Identifier: Apache-2.0

//! Answers that are not what they should be; the golden files hold those that are.

use super::translate_response;
use crate::config::ProviderKind;
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::Value;

fn translate(body: &[u8]) -> Result<(Tally, Value), UpstreamFault> {
    let settings = Settings {
        created: 7,
        max_event_bytes: 4096,
        ..Settings::of(ProviderKind::Gemini, "gemini-2.5-flash")
    };
    let mut out = Vec::new();
    let tally = translate_response(body, &settings, &UpstreamRequest::default(), &mut out)?;
    Ok((tally, serde_json::from_slice(&out).unwrap()))
}

#[crate::test]
fn what_is_no_answer_is_a_fault_of_the_provider() {
    for body in [
        &b""[..],
        b"[]",
        b"{}",
        b"<html>",
        br#"{"candidates":[]}"#,
        br#"{"promptFeedback":{}}"#,
        br#"{"candidates":[{"content":{"parts":[{"text":5}]}}]}"#,
        br#"{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}"#,
    ] {
        let fault = translate(body).unwrap_err();
        assert_eq!((fault.error.status, fault.is_retryable), (502, true));
    }
}

#[crate::test]
fn an_answer_without_names_is_given_them() {
    let body = br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":null}},{"executableCode":{"code":"1"}},{"functionCall":{"name":"f","id":""}}]}},{"content":{}}]}"#;
    let (tally, answer) = translate(body).unwrap();
    assert_eq!(answer["id"], "chatcmpl-7");
    assert_eq!(answer["model"], "gemini-2.5-flash");
    let choice = &answer["choices"][0];
    let calls = &choice["message"]["tool_calls"];
    assert_eq!(
        (&calls[0]["id"], &calls[1]["id"]),
        (&"call_7_0".into(), &"call_7_1".into())
    );
    assert_eq!(calls[0]["function"]["arguments"], "{}");
    assert_eq!(choice["message"]["content"], Value::Null);
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(answer["choices"][1]["index"], 1);
    assert_eq!(answer["choices"][1]["message"]["content"], "");
    assert_eq!(tally.usage.input_tokens, None);
}

#[crate::test]
fn what_the_model_made_is_kept_where_clients_look_for_it() {
    let body = br#"{"responseId":"r","candidates":[{"content":{"parts":[
        {"inlineData":{"mimeType":"image/png","data":"dHJ5"},"thought":true},
        {"text":"A cat"},
        {"inlineData":{"mimeType":"image/png","data":"YQ=="},"thoughtSignature":"s"},
        {"fileData":{"mimeType":"image/jpeg","fileUri":"https://files/1"}},
        {"fileData":{"mimeType":"video/mp4","fileUri":"https://files/2"}},
        {"inlineData":{"mimeType":"audio/L16;codec=pcm;rate=24000","data":"AAE="}},
        {"inlineData":{"mimeType":"audio/L16;codec=pcm;rate=24000","data":"AgM="}},
        {"inlineData":{"mimeType":"image/png;x\"","data":"YQ=="}}
    ]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":1300,"trafficType":"ON_DEMAND_FLEX",
        "promptTokensDetails":[{"modality":"TEXT","tokenCount":9}],
        "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290},{"modality":"TEXT","tokenCount":10}]}}"#;
    let (tally, answer) = translate(body).unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "A cat");
    let expected = serde_json::json!([
        {"type":"image_url","image_url":{"url":"data:image/png;base64,YQ=="},"index":0,
         "extra_content":{"google":{"thought_signature":"s"}}},
        {"type":"image_url","image_url":{"url":"https://files/1"},"index":1}
    ]);
    assert_eq!(message["images"], expected);
    let expected = serde_json::json!({"id":"r","data":"AAECAw==","expires_at":7,"transcript":"",
        "mime_type":"audio/L16;codec=pcm;rate=24000"});
    assert_eq!(message["audio"], expected);
    assert_eq!(message.get("extra_content"), None);
    assert_eq!(answer["service_tier"], "flex");
    let usage = &answer["usage"];
    assert_eq!(
        usage["completion_tokens_details"],
        serde_json::json!({"image_tokens":1290,"text_tokens":10})
    );
    assert_eq!(
        usage["prompt_tokens_details"],
        serde_json::json!({"cached_tokens":0})
    );
    // Bytes of media say nothing of their tokens.
    assert_eq!(tally.output_bytes, 5);
}

#[crate::test]
fn what_is_recited_and_what_has_no_address_is_told() {
    let body = br#"{"candidates":[{"content":{"parts":[{"text":"Call me"}]},"finishReason":"STOP",
        "citationMetadata":{"citationSources":[{"startIndex":0,"endIndex":4,"uri":"https://book"}]},
        "groundingMetadata":{"groundingChunks":[{"retrievedContext":{"title":"mine"}},{"maps":{"uri":"https://map","title":"There"}}]}}]}"#;
    let (_, answer) = translate(body).unwrap();
    let message = &answer["choices"][0]["message"];
    let urls: Vec<_> = message["annotations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|annotation| &annotation["url_citation"])
        .map(|cited| {
            (
                cited["url"].as_str().unwrap(),
                cited["end_index"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(urls, [("https://map", 7), ("https://book", 4)]);
    assert_eq!(
        message["citations"],
        serde_json::json!([{"retrievedContext":{"title":"mine"}}])
    );
}
