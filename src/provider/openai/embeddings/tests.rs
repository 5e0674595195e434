// SPDX-License-Identifier: Apache-2.0

use crate::config::{OnUnsupported, ProviderKind};
use crate::protocol::openai::embeddings::EncodingFormat;
use crate::provider::{Operation, Settings, UpstreamRequest, translate_request, translate_response};

fn settings(kind: ProviderKind, on_unsupported: OnUnsupported) -> Settings {
    Settings {
        operation: Operation::Embeddings,
        on_unsupported,
        ..Settings::of(kind, "up-1")
    }
}

fn check_request(kind: ProviderKind, body: &str, expected: &str, dropped: &[&str]) {
    let mut out = Vec::new();
    let request = translate_request(body.as_bytes(), &settings(kind, OnUnsupported::Drop), &mut out).unwrap();
    assert_eq!(
        (request.path.as_ref(), request.is_streaming),
        ("/embeddings", false)
    );
    assert_eq!(request.dropped, dropped);
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[crate::test]
fn the_request_keeps_every_byte_but_the_model() {
    for kind in [
        ProviderKind::OpenAi,
        ProviderKind::OpenAiCompatible,
        ProviderKind::OpenRouter,
    ] {
        check_request(
            kind,
            r#"{"model": "m", "input": [[1, 2],[3]], "dimensions": 256, "encoding_format": "base64", "user": "u", "x": 1e2}"#,
            r#"{"model": "up-1", "input": [[1, 2],[3]], "dimensions": 256, "encoding_format": "base64", "user": "u", "x": 1e2}"#,
            &[],
        );
    }
}

#[crate::test]
fn a_provider_without_embeddings_refuses() {
    let settings = settings(ProviderKind::Anthropic, OnUnsupported::Drop);
    let error = translate_request(br#"{"model":"m","input":"a"}"#, &settings, &mut Vec::new()).unwrap_err();
    assert_eq!((error.status, error.param.as_deref()), (400, Some("model")));
    assert_eq!(error.code.as_deref(), Some("unsupported_operation"));
}

fn answer(body: &str, encoding_format: EncodingFormat) -> Result<(String, Option<u64>), String> {
    let request = UpstreamRequest {
        encoding_format,
        ..UpstreamRequest::default()
    };
    let mut out = Vec::new();
    let settings = settings(ProviderKind::OpenAi, OnUnsupported::Drop);
    translate_response(body.as_bytes(), &settings, &request, &mut out)
        .map(|tally| (String::from_utf8(out).unwrap(), tally.usage.input_tokens))
        .map_err(|fault| format!("{} {}", fault.error.status, fault.error.message))
}

const FLOATS: &str = r#"{"id":"x", "object":"list","data":[{"object":"embedding","index":0,"embedding":[1.0,-0.5]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3,"cost":1e-7}}"#;
const BASE64: &str = r#"{"id":"x", "object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAL8="}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3,"cost":1e-7}}"#;

#[crate::test]
fn the_answer_has_the_form_that_the_client_asked_for() {
    for (body, encoding_format, expected) in [
        (FLOATS, EncodingFormat::Float, FLOATS),
        (BASE64, EncodingFormat::Base64, BASE64),
        (FLOATS, EncodingFormat::Base64, BASE64),
        (BASE64, EncodingFormat::Float, FLOATS),
    ] {
        assert_eq!(answer(body, encoding_format), Ok((expected.to_owned(), Some(3))));
    }
}

#[crate::test]
fn what_is_no_list_is_a_fault_that_tells_nothing_of_it() {
    for body in [
        "",
        "secret",
        "[]",
        "{}",
        r#"{"data":[{"embedding":null}]}"#,
        r#"{"data":["secret"]}"#,
    ] {
        let expected = "502 The provider's answer is not a list of embeddings.";
        assert_eq!(
            answer(body, EncodingFormat::Float),
            Err(expected.to_owned()),
            "{body}"
        );
    }
    let error = r#"{"error":{"message":"upstream is full","code":429}}"#;
    assert_eq!(
        answer(error, EncodingFormat::Float),
        Err("429 upstream is full".to_owned())
    );
}
