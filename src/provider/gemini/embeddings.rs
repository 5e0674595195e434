// SPDX-License-Identifier: Apache-2.0

//! Embeddings (<https://ai.google.dev/gemini-api/docs/embeddings>,
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>).
//!
//! AI Studio takes texts in batches. At Vertex AI models are asked by `predict`, which takes several texts, but one for
//! Gemini's own models, and is told to refuse one that is too long, as OpenAI does, where it would cut it; models from
//! Gemini Embedding 2 on are asked by `embedContent`, which takes one. Vectors of fewer dimensions than the first
//! generation's own are not scaled to length 1 at AI Studio, which is reported as approximated. Google's `task_type` says what the vectors are for and is passed on.

use super::error::{malformed_answer, reported_fault};
use crate::api_error::{API_ERROR, ApiError};
use crate::config::ProviderKind;
use crate::protocol::gemini::embeddings::{
    BatchEmbedContentsRequest, EmbedContent, EmbedContentRequest, EmbedPart, EmbeddingsResponse, Instance,
    PredictParameters, PredictRequest,
};
use crate::protocol::json_text;
use crate::protocol::openai::embeddings::EmbeddingsRequest;
use crate::provider::embeddings::{texts, write_list};
use crate::provider::google_path::{studio_path, vertex_path};
use crate::provider::unsupported::{Place, Report, wrong};
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde::Serialize;
use std::borrow::Cow;

/// Translates a request and appends the translated body to `out`.
pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let request = EmbeddingsRequest::parse(body)?;
    let inputs = texts(&request)?;
    let mut report = Report::new(settings.on_unsupported);
    let task_type = task_type(&request, &mut report)?;
    let task_type = task_type.as_deref();
    let output_dimensionality = request.dimensions;
    let model = &settings.upstream_model;
    let is_vertex = settings.kind == ProviderKind::VertexAi;
    if is_vertex && inputs.len() != 1 && embeds_one_at_a_time(model) {
        return Err(wrong(
            "input".to_owned(),
            "one text, since this model embeds one at a time",
        ));
    }
    if !is_vertex && is_unscaled(model, output_dimensionality) {
        report.approximate_field("dimensions");
    }
    let mut path;
    if !is_vertex {
        path = studio_path(model)?;
        let resource = path.trim_start_matches('/').to_owned();
        let requests = inputs
            .iter()
            .map(|text| EmbedContentRequest {
                model: Some(&resource),
                content: content(text),
                task_type,
                output_dimensionality,
            })
            .collect();
        write(&BatchEmbedContentsRequest { requests }, out)?;
        path.push_str(":batchEmbedContents");
    } else if is_asked_by_content(model) {
        let [text] = inputs else {
            return Err(wrong("input".to_owned(), "one text"));
        };
        let embed = EmbedContentRequest {
            model: None,
            content: content(text),
            task_type,
            output_dimensionality,
        };
        write(&embed, out)?;
        path = vertex_path(model, "google")?;
        path.push_str(":embedContent");
    } else {
        let predict = PredictRequest {
            instances: inputs
                .iter()
                .map(|content| Instance { content, task_type })
                .collect(),
            parameters: PredictParameters {
                auto_truncate: false,
                output_dimensionality,
            },
        };
        write(&predict, out)?;
        path = vertex_path(model, "google")?;
        path.push_str(":predict");
    }
    let (dropped, approximated) = report.into_parts();
    Ok(UpstreamRequest {
        path: path.into(),
        dropped,
        approximated,
        encoding_format: request.encoding_format,
        ..UpstreamRequest::default()
    })
}

/// Whether Vertex AI serves a model by `embedContent` alone: Gemini's embeddings from the second generation on.
fn is_asked_by_content(model: &str) -> bool {
    gemini_generation(model).is_some_and(|generation| generation >= 2)
}

/// Whether Vertex AI takes one text of each request for a model: Gemini's embeddings, however they are asked for
/// (<https://cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-text-embeddings>).
fn embeds_one_at_a_time(model: &str) -> bool {
    gemini_generation(model).is_some()
}

/// Whether AI Studio gives vectors of these dimensions in another length than the 1 that OpenAI's have: the first
/// generation scales only those of its full size (<https://ai.google.dev/gemini-api/docs/embeddings#quality>).
fn is_unscaled(model: &str, dimensions: Option<u64>) -> bool {
    gemini_generation(model) == Some(1) && dimensions.is_some_and(|dimensions| dimensions != 3072)
}

/// The generation of Gemini's own embeddings, whose first is called 001.
fn gemini_generation(model: &str) -> Option<u32> {
    let name = model.rsplit('/').next().unwrap_or(model);
    let version = name.strip_prefix("gemini-embedding-")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn content(text: &str) -> EmbedContent<'_> {
    EmbedContent {
        parts: [EmbedPart { text }],
    }
}

/// Google's `task_type`; other members are reported.
fn task_type<'r>(
    request: &'r EmbeddingsRequest<'_>,
    report: &mut Report,
) -> Result<Option<Cow<'r, str>>, ApiError> {
    let mut found = None;
    for (name, value) in &request.rest {
        if name == "task_type" {
            let read = serde_json::from_str(value);
            found = Some(read.map_err(|_| wrong("task_type".to_owned(), "a string"))?);
        } else {
            report.drop_member(Place::TOP, name)?;
        }
    }
    Ok(found)
}

fn write(body: &impl Serialize, out: &mut Vec<u8>) -> Result<(), ApiError> {
    json_text::write(out, body)
        .map_err(|_| ApiError::new(500, API_ERROR, "The request could not be translated."))
}

/// Translates the answer and appends it to `out`.
pub(super) fn translate_response(
    body: &[u8],
    settings: &Settings,
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    let response: EmbeddingsResponse<'_> = serde_json::from_slice(body).map_err(|_| malformed_answer())?;
    if let Some(error) = &response.error {
        return Err(reported_fault(error));
    }
    let predictions = response.predictions.into_iter().flatten();
    let embeddings: Vec<_> = response
        .embeddings
        .into_iter()
        .flatten()
        .chain(response.embedding)
        .chain(predictions.map(|prediction| prediction.embeddings))
        .collect();
    if embeddings.is_empty() {
        return Err(malformed_answer());
    }
    let counted = embeddings
        .iter()
        .filter_map(|embedding| embedding.statistics?.token_count)
        .map(whole)
        .reduce(u64::saturating_add);
    let input_tokens = response
        .usage_metadata
        .and_then(|usage| usage.prompt_token_count)
        .or(counted);
    write_list(
        embeddings.iter().map(|embedding| embedding.values),
        &settings.upstream_model,
        request.encoding_format,
        input_tokens,
        out,
    )
}

/// A count that came as a number with a fraction.
fn whole(count: f64) -> u64 {
    format!("{:.0}", count.max(0.0).ceil()).parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{translate_request, translate_response};
    use crate::api_error::ApiError;
    use crate::config::ProviderKind;
    use crate::protocol::openai::embeddings::EncodingFormat;
    use crate::provider::{Operation, Settings, UpstreamFault, UpstreamRequest};
    use serde_json::Value;

    fn settings(kind: ProviderKind, model: &str) -> Settings {
        Settings {
            operation: Operation::Embeddings,
            ..Settings::of(kind, model)
        }
    }

    fn ask(kind: ProviderKind, model: &str, body: &str) -> Result<(UpstreamRequest, String), ApiError> {
        let mut out = Vec::new();
        let request = translate_request(body.as_bytes(), &settings(kind, model), &mut out)?;
        Ok((request, String::from_utf8(out).unwrap()))
    }

    fn answer(body: &str, encoding_format: EncodingFormat) -> Result<Value, UpstreamFault> {
        let request = UpstreamRequest {
            encoding_format,
            ..UpstreamRequest::default()
        };
        let mut out = Vec::new();
        let settings = settings(ProviderKind::Gemini, "m");
        translate_response(body.as_bytes(), &settings, &request, &mut out)?;
        Ok(serde_json::from_slice(&out).unwrap())
    }

    const TWO: &str = r#"{"model":"x","input":["a","b"],"dimensions":8,"encoding_format":"base64","task_type":"CLUSTERING","user":"u"}"#;

    #[crate::test]
    fn each_place_is_asked_in_its_way() {
        let (request, sent) = ask(ProviderKind::Gemini, "gemini-embedding-001", TWO).unwrap();
        assert_eq!(request.path, "/models/gemini-embedding-001:batchEmbedContents");
        assert_eq!(
            sent,
            r#"{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a"}]},"taskType":"CLUSTERING","outputDimensionality":8},{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"b"}]},"taskType":"CLUSTERING","outputDimensionality":8}]}"#
        );
        assert_eq!(request.dropped, ["user"]);
        assert_eq!(request.approximated, ["dimensions"]);
        assert_eq!(request.encoding_format, EncodingFormat::Base64);
        let (request, sent) = ask(ProviderKind::VertexAi, "text-embedding-005", TWO).unwrap();
        assert_eq!(
            request.path,
            "/publishers/google/models/text-embedding-005:predict"
        );
        assert_eq!(
            sent,
            r#"{"instances":[{"content":"a","task_type":"CLUSTERING"},{"content":"b","task_type":"CLUSTERING"}],"parameters":{"autoTruncate":false,"outputDimensionality":8}}"#
        );
        let one = r#"{"model":"x","input":"a"}"#;
        let (request, sent) = ask(ProviderKind::VertexAi, "gemini-embedding-2-preview", one).unwrap();
        assert_eq!(
            request.path,
            "/publishers/google/models/gemini-embedding-2-preview:embedContent"
        );
        assert_eq!(sent, r#"{"content":{"parts":[{"text":"a"}]}}"#);
        let (request, _) = ask(ProviderKind::VertexAi, "gemini-embedding-001", one).unwrap();
        assert!(request.path.ends_with(":predict"));
    }

    #[crate::test]
    fn what_google_does_not_take_is_refused() {
        for (model, body, param) in [
            ("gemini-embedding-2", TWO, "input"),
            ("gemini-embedding-001", TWO, "input"),
            ("text-embedding-005", r#"{"model":"x","input":[1,2]}"#, "input"),
            (
                "text-embedding-005",
                r#"{"model":"x","input":"a","task_type":5}"#,
                "task_type",
            ),
        ] {
            let error = ask(ProviderKind::VertexAi, model, body).unwrap_err();
            assert_eq!((error.status, error.param.as_deref()), (400, Some(param)));
        }
    }

    #[crate::test]
    fn every_answer_becomes_openai_s_list() {
        for (body, count, input_tokens) in [
            (r#"{"embeddings":[{"values":[1,0.5]},{"values":[2]}]}"#, 2, 0),
            (
                r#"{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":9}}"#,
                1,
                9,
            ),
            (
                r#"{"predictions":[{"embeddings":{"values":[1],"statistics":{"token_count":4.0,"truncated":false}}},{"embeddings":{"values":[2],"statistics":{"token_count":3}}}]}"#,
                2,
                7,
            ),
        ] {
            let list = answer(body, EncodingFormat::Float).unwrap();
            assert_eq!(list["data"].as_array().unwrap().len(), count, "{body}");
            assert_eq!(list["usage"]["prompt_tokens"], input_tokens, "{body}");
        }
        let list = answer(r#"{"embedding":{"values":[1.0]}}"#, EncodingFormat::Base64).unwrap();
        assert_eq!(list["data"][0]["embedding"], "AACAPw==");
    }

    #[crate::test]
    fn what_is_no_list_is_a_fault() {
        for body in [
            "{}",
            "[]",
            r#"{"embeddings":[]}"#,
            r#"{"embeddings":[{"values":"x"}]}"#,
            r#"{"predictions":[{}]}"#,
        ] {
            let fault = answer(body, EncodingFormat::Float).unwrap_err();
            assert_eq!(fault.error.status, 502, "{body}");
        }
        let error = r#"{"error":{"code":429,"message":"Slow down.","status":"RESOURCE_EXHAUSTED"}}"#;
        assert_eq!(
            answer(error, EncodingFormat::Float).unwrap_err().error.status,
            429
        );
    }
}
