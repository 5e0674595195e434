// SPDX-License-Identifier: Apache-2.0

use super::{Family, translate_request, translate_response};
use crate::api_error::ApiError;
use crate::config::ProviderKind;
use crate::protocol::openai::embeddings::EncodingFormat;
use crate::provider::{Operation, Settings, Tally, UpstreamFault, UpstreamRequest};

const TITAN: &str = "amazon.titan-embed-text-v2:0";
const COHERE: &str = "cohere.embed-v4:0";
const NOVA: &str = "amazon.nova-2-multimodal-embeddings-v1:0";

fn settings(model: &str) -> Settings {
    Settings {
        operation: Operation::Embeddings,
        told_input_tokens: Some(4),
        ..Settings::of(ProviderKind::AwsBedrock, model)
    }
}

fn translate(model: &str, body: &str) -> Result<(String, UpstreamRequest), ApiError> {
    let mut out = Vec::new();
    let request = translate_request(body.as_bytes(), &settings(model), &mut out)?;
    Ok((String::from_utf8(out).unwrap(), request))
}

fn check(model: &str, members: &str, expected: &str, dropped: &[&str]) {
    let (sent, request) = translate(model, &format!(r#"{{"model":"m",{members}}}"#)).unwrap();
    assert_eq!(sent, expected, "{model} {members}");
    assert_eq!(request.dropped, dropped, "{model} {members}");
    let encoded = model.replace(':', "%3A");
    assert_eq!(request.path, format!("/model/{encoded}/invoke"));
}

#[crate::test]
fn a_purpose_that_the_client_did_not_tell_is_reported() {
    for (model, members, expected) in [
        (TITAN, r#""input":"a""#, &[][..]),
        (COHERE, r#""input":"a""#, &["input"]),
        (COHERE, r#""input":"a","input_type":"search_query""#, &[]),
        (NOVA, r#""input":"a""#, &["input"]),
        (NOVA, r#""input":"a","embeddingPurpose":"TEXT_RETRIEVAL""#, &[]),
    ] {
        let (_, request) = translate(model, &format!(r#"{{"model":"m",{members}}}"#)).unwrap();
        assert_eq!(request.approximated, expected, "{model} {members}");
    }
}

#[crate::test]
fn each_vendor_is_asked_in_its_own_words() {
    check(
        TITAN,
        r#""input":"a","dimensions":256,"normalize":true,"user":"u""#,
        r#"{"inputText":"a","dimensions":256,"normalize":true}"#,
        &["user"],
    );
    check(
        "amazon.titan-embed-text-v1",
        r#""input":["a"],"dimensions":256"#,
        r#"{"inputText":"a"}"#,
        &["dimensions"],
    );
    check(
        "amazon.titan-embed-image-v1",
        r#""input":["a"],"dimensions":256"#,
        r#"{"inputText":"a","embeddingConfig":{"outputEmbeddingLength":256}}"#,
        &[],
    );
    check(
        COHERE,
        r#""input":["a","b"],"dimensions":512,"input_type":"search_query""#,
        r#"{"texts":["a","b"],"input_type":"search_query","output_dimension":512,"embedding_types":["float"]}"#,
        &[],
    );
    check(
        "cohere.embed-english-v3",
        r#""input":"a","truncate":"END","dimensions":512"#,
        r#"{"texts":["a"],"input_type":"search_document","truncate":"END","embedding_types":["float"]}"#,
        &["dimensions"],
    );
    check(
        NOVA,
        r#""input":"a","dimensions":384,"embeddingPurpose":"CLUSTERING""#,
        r#"{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"CLUSTERING","embeddingDimension":384,"text":{"truncationMode":"NONE","value":"a"}}}"#,
        &[],
    );
}

#[crate::test]
fn what_a_model_cannot_embed_is_refused() {
    for (model, input, param) in [
        (TITAN, r#"["a","b"]"#, "input"),
        (NOVA, r#"["a","b"]"#, "input"),
        (COHERE, "[[1,2]]", "input"),
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/x",
            r#""a""#,
            "model",
        ),
        ("meta.llama3-8b-instruct-v1:0", r#""a""#, "model"),
        ("a?b", r#""a""#, "model"),
    ] {
        let error = translate(model, &format!(r#"{{"model":"m","input":{input}}}"#)).unwrap_err();
        assert_eq!(
            (error.status, error.param.as_deref()),
            (400, Some(param)),
            "{model} {input}"
        );
    }
    assert_eq!(Family::of("us.cohere.embed-v4:0"), Some(Family::Cohere4));
}

fn answer(body: &str, encoding_format: EncodingFormat) -> Result<(String, Tally), UpstreamFault> {
    let request = UpstreamRequest {
        encoding_format,
        ..UpstreamRequest::default()
    };
    let mut out = Vec::new();
    let tally = translate_response(body.as_bytes(), &settings("m"), &request, &mut out)?;
    Ok((String::from_utf8(out).unwrap(), tally))
}

#[crate::test]
fn each_vendor_s_vectors_become_a_list() {
    let one = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]}],"model":"m","usage":{"prompt_tokens":N,"total_tokens":N}}"#;
    for (body, tokens) in [
        (
            r#"{"embedding":[0.5,-1],"embeddingsByType":{"float":[0.5,-1]},"inputTextTokenCount":9}"#,
            "9",
        ),
        (
            r#"{"id":"x","embeddings":{"float":[[0.5,-1]]},"response_type":"embeddings_by_type"}"#,
            "4",
        ),
        (
            r#"{"embeddings":[[0.5,-1]],"response_type":"embeddings_floats"}"#,
            "4",
        ),
        (
            r#"{"embeddings":[{"embeddingType":"TEXT","embedding":[0.5,-1]}]}"#,
            "4",
        ),
    ] {
        let (list, tally) = answer(body, EncodingFormat::Float).unwrap();
        assert_eq!(list, one.replace('N', tokens), "{body}");
        assert_eq!(
            tally.usage.input_tokens.map(|count| count.to_string()).as_deref(),
            Some(tokens)
        );
    }
    let (list, _) = answer(r#"{"embedding":[1.0,-0.5]}"#, EncodingFormat::Base64).unwrap();
    assert!(list.contains(r#""embedding":"AACAPwAAAL8=""#), "{list}");
}

#[crate::test]
fn what_holds_no_vectors_is_a_fault() {
    for body in [
        "",
        "{}",
        r#"{"embeddings":7}"#,
        r#"{"embeddings":{"int8":[[1]]}}"#,
        r#"{"embedding":"?"}"#,
    ] {
        assert_eq!(
            answer(body, EncodingFormat::Float).unwrap_err().error.status,
            502,
            "{body}"
        );
    }
    let fault = answer(r#"{"message":"why"}"#, EncodingFormat::Float).unwrap_err();
    assert_eq!(fault.error.message, "why");
}
