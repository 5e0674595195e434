// SPDX-License-Identifier: Apache-2.0

//! Embeddings, as Cohere serves them (<https://docs.cohere.com/reference/embed>).
//!
//! Cohere asks what the vectors are for. OpenAI's API does not, so texts are taken for documents unless the client
//! sends `input_type`, which is reported.

use super::error::{malformed_answer, reported};
use super::usage::whole;
use crate::api_error::{API_ERROR, ApiError};
use crate::config::OnUnsupported;
use crate::protocol::cohere::embed::{EmbedRequest, EmbedResponse};
use crate::protocol::json_text;
use crate::protocol::openai::embeddings::EmbeddingsRequest;
use crate::provider::dropped::{Dropped, plain_name};
use crate::provider::embeddings::{texts, write_list};
use crate::provider::unsupported::unsupported;
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Members of Cohere's own that clients may send through OpenAI's SDKs.
const OWN: [&str; 4] = ["input_type", "max_tokens", "priority", "truncate"];

/// Translates a request.
///
/// # Errors
///
/// A body that is no request for embeddings, or one that Cohere has no counterpart for.
pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let request = EmbeddingsRequest::parse(body)?;
    let mut dropped = Dropped::default();
    let mut own: BTreeMap<&str, &RawValue> = BTreeMap::new();
    for (name, value) in &request.rest {
        if OWN.contains(&&**name)
            && let Ok(value) = serde_json::from_str(value)
        {
            own.insert(name, value);
        } else if settings.on_unsupported == OnUnsupported::Reject {
            return Err(unsupported(plain_name(name).to_owned()));
        } else {
            dropped.add(plain_name(name).to_owned().into());
        }
    }
    let mut approximated = Vec::new();
    if !own.contains_key("input_type")
        && let Ok(document) = serde_json::from_str(r#""search_document""#)
    {
        own.insert("input_type", document);
        approximated.push(Cow::Borrowed("input"));
    }
    let translated = EmbedRequest {
        model: &settings.upstream_model,
        texts: texts(&request)?,
        embedding_types: ["float"],
        output_dimension: request.dimensions,
        own,
    };
    json_text::write(out, &translated)
        .map_err(|_| ApiError::new(500, API_ERROR, "The request could not be translated."))?;
    Ok(UpstreamRequest {
        path: Cow::Borrowed("/v2/embed"),
        dropped: dropped.into_paths(),
        approximated,
        encoding_format: request.encoding_format,
        ..UpstreamRequest::default()
    })
}

/// Translates an answer.
///
/// # Errors
///
/// An answer that reports an error, or holds no vectors.
pub(super) fn translate_response(
    body: &[u8],
    settings: &Settings,
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    let answer: EmbedResponse<'_> = serde_json::from_slice(body).map_err(|_| malformed_answer())?;
    let Some(vectors) = answer.embeddings.and_then(|embeddings| embeddings.float) else {
        return Err(answer
            .message
            .map_or_else(malformed_answer, |message| reported(&message)));
    };
    let billed = answer.meta.and_then(|meta| meta.billed_units);
    let input_tokens = billed.and_then(|billed| billed.input_tokens).and_then(whole);
    write_list(
        vectors,
        &settings.upstream_model,
        request.encoding_format,
        input_tokens,
        out,
    )
}

#[cfg(test)]
mod tests {
    use crate::config::{OnUnsupported, ProviderKind};
    use crate::protocol::openai::embeddings::EncodingFormat;
    use crate::provider::{Operation, Settings, UpstreamRequest, translate_request, translate_response};

    fn settings() -> Settings {
        Settings {
            operation: Operation::Embeddings,
            ..Settings::of(ProviderKind::Cohere, "embed-v4.0")
        }
    }

    #[crate::test]
    fn texts_go_under_cohere_s_names() {
        let mut out = Vec::new();
        let body =
            br#"{"model":"m","input":["a","b"],"dimensions":256,"encoding_format":"base64","user":"u"}"#;
        let request = translate_request(body, &settings(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"model":"embed-v4.0","texts":["a","b"],"embedding_types":["float"],"output_dimension":256,"input_type":"search_document"}"#
        );
        assert_eq!(
            (&*request.path, request.encoding_format),
            ("/v2/embed", EncodingFormat::Base64)
        );
        assert_eq!(
            (request.dropped.as_slice(), request.approximated.as_slice()),
            (&["user".into()][..], &["input".into()][..])
        );
        let mut out = Vec::new();
        let body = br#"{"model":"m","input":"a","input_type":"search_query"}"#;
        assert!(
            translate_request(body, &settings(), &mut out)
                .unwrap()
                .approximated
                .is_empty()
        );
        assert!(
            String::from_utf8(out)
                .unwrap()
                .contains(r#""input_type":"search_query""#)
        );
    }

    #[crate::test]
    fn what_cohere_cannot_embed_is_refused() {
        let refuse = |body: &[u8], settings: &Settings| {
            translate_request(body, settings, &mut Vec::new()).unwrap_err()
        };
        let error = refuse(br#"{"model":"m","input":[1]}"#, &settings());
        assert_eq!((error.status, error.param.as_deref()), (400, Some("input")));
        let strict = Settings {
            on_unsupported: OnUnsupported::Reject,
            ..settings()
        };
        let error = refuse(br#"{"model":"m","input":"a","user":"u"}"#, &strict);
        assert_eq!(error.param.as_deref(), Some("user"));
    }

    #[crate::test]
    fn vectors_are_numbered_and_counted() {
        let body = br#"{"id":"x","embeddings":{"float":[[0.5],[1]]},"texts":["a","b"],"meta":{"billed_units":{"input_tokens":3}}}"#;
        let mut out = Vec::new();
        let tally = translate_response(body, &settings(), &UpstreamRequest::default(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]},{"object":"embedding","index":1,"embedding":[1]}],"model":"embed-v4.0","usage":{"prompt_tokens":3,"total_tokens":3}}"#
        );
        assert_eq!(tally.usage.input_tokens, Some(3));
        for odd in [
            &b"{}"[..],
            b"[]",
            br#"{"message":"no"}"#,
            br#"{"embeddings":{"float":["x"]}}"#,
        ] {
            let mut out = Vec::new();
            let fault = translate_response(odd, &settings(), &UpstreamRequest::default(), &mut out);
            assert_eq!(fault.unwrap_err().error.status, 502);
        }
    }
}
