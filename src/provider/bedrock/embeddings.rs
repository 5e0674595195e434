// SPDX-License-Identifier: Apache-2.0

//! Embeddings: OpenAI's request as `InvokeModel`'s, whose body depends on the vendor, and its answer back
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>).
//!
//! Titan and Nova embed one text a call, and the gateway makes one call a request: more texts are refused. What a
//! vector is for has no place in OpenAI's request; clients tell it by the vendor's own members (`input_type`,
//! `embeddingPurpose`), else it is that of a document to be found, which is reported.

use super::model_path;
use super::tools::unwritten;
use crate::api_error::{ApiError, INVALID_REQUEST};
use crate::protocol::bedrock::embeddings::{
    CohereRequest, EmbeddingsResponse, NovaParams, NovaRequest, NovaText, TitanConfig, TitanRequest,
};
use crate::protocol::json_text;
use crate::protocol::openai::embeddings::EmbeddingsRequest;
use crate::provider::embeddings::{not_embeddings, texts, write_list};
use crate::provider::unsupported::{Place, Report};
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;

/// Whose model it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// Amazon's Titan for texts, first version: no choice of dimensions.
    TitanText1,
    /// The same from the second version on.
    TitanText2,
    /// Amazon's Titan for texts and images.
    TitanImage,
    /// Cohere's Embed before the fourth version: no choice of dimensions.
    Cohere3,
    /// The same from the fourth version on.
    Cohere4,
    /// Amazon's Nova.
    Nova,
}

impl Family {
    /// Reads a model's id or ARN.
    fn of(model: &str) -> Option<Self> {
        let id = model.rsplit('/').next().unwrap_or(model);
        let mut rest = id;
        while let Some((publisher, name)) = rest.split_once('.') {
            match publisher {
                "amazon" if name.starts_with("titan-embed-image") => return Some(Self::TitanImage),
                "amazon" if name.starts_with("titan-embed-text-v1") || name.starts_with("titan-embed-g1") => {
                    return Some(Self::TitanText1);
                }
                "amazon" if name.starts_with("titan-embed") => return Some(Self::TitanText2),
                "amazon" if name.starts_with("nova") && name.contains("embed") => return Some(Self::Nova),
                "cohere"
                    if name.starts_with("embed-english-v3") || name.starts_with("embed-multilingual-v3") =>
                {
                    return Some(Self::Cohere3);
                }
                "cohere" if name.starts_with("embed") => return Some(Self::Cohere4),
                _ => rest = name,
            }
        }
        None
    }

    const fn has_dimensions(self) -> bool {
        !matches!(self, Self::TitanText1 | Self::Cohere3)
    }

    /// The member that tells what a vector is for.
    const fn purpose(self) -> Option<&'static str> {
        match self {
            Self::TitanText1 | Self::TitanText2 | Self::TitanImage => None,
            Self::Cohere3 | Self::Cohere4 => Some("input_type"),
            Self::Nova => Some("embeddingPurpose"),
        }
    }

    /// The vendor's own members that are passed on.
    const fn own(self) -> &'static [&'static str] {
        match self {
            Self::TitanText1 | Self::TitanImage => &[],
            Self::TitanText2 => &["normalize"],
            Self::Cohere3 | Self::Cohere4 => &["input_type", "truncate"],
            Self::Nova => &["embeddingPurpose", "truncationMode"],
        }
    }
}

/// Translates a request and appends the translated body to `out`.
pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let request = EmbeddingsRequest::parse(body)?;
    let path = model_path::path(&settings.upstream_model, "invoke")?;
    let family = Family::of(&settings.upstream_model).ok_or_else(|| {
        let message = "The model's name does not tell which of Bedrock's embedding models it is.";
        ApiError::new(400, INVALID_REQUEST, message)
            .with_param("model")
            .with_code("unsupported_operation")
    })?;
    let mut report = Report::new(settings.on_unsupported);
    for (name, _) in request
        .rest
        .iter()
        .filter(|(name, _)| !family.own().contains(&&**name))
    {
        report.drop_member(Place::TOP, name)?;
    }
    if request.dimensions.is_some() && !family.has_dimensions() {
        report.drop_field("dimensions")?;
    }
    if let Some(purpose) = family.purpose()
        && !request.rest.iter().any(|(name, _)| name == purpose)
    {
        report.approximate_field("input");
    }
    write(&request, family, out)?;
    let (dropped, approximated) = report.into_parts();
    Ok(UpstreamRequest {
        path: Cow::Owned(path),
        dropped,
        approximated,
        encoding_format: request.encoding_format,
        ..UpstreamRequest::default()
    })
}

fn write(request: &EmbeddingsRequest<'_>, family: Family, out: &mut Vec<u8>) -> Result<(), ApiError> {
    let texts = texts(request)?;
    let dimensions = request.dimensions.filter(|_| family.has_dimensions());
    let own = |name: &str| -> Option<&RawValue> {
        let (_, value) = request.rest.iter().find(|(found, _)| found == name)?;
        serde_json::from_str(value).ok()
    };
    let own_or = |name: &str, otherwise: &'static str| -> Result<Cow<'_, RawValue>, ApiError> {
        match own(name) {
            Some(value) => Ok(Cow::Borrowed(value)),
            None => to_raw_value(otherwise).map(Cow::Owned).map_err(|_| unwritten()),
        }
    };
    match family {
        Family::TitanText1 | Family::TitanText2 | Family::TitanImage => {
            let is_image = family == Family::TitanImage;
            json(
                &TitanRequest {
                    input_text: only(texts)?,
                    dimensions: dimensions.filter(|_| !is_image),
                    embedding_config: dimensions.filter(|_| is_image).map(|dimensions| TitanConfig {
                        output_embedding_length: dimensions,
                    }),
                    normalize: own("normalize").filter(|_| family == Family::TitanText2),
                },
                out,
            )
        }
        Family::Cohere3 | Family::Cohere4 => json(
            &CohereRequest {
                texts,
                input_type: own_or("input_type", "search_document")?,
                truncate: own("truncate"),
                output_dimension: dimensions,
                embedding_types: ["float"],
            },
            out,
        ),
        Family::Nova => json(
            &NovaRequest {
                task_type: "SINGLE_EMBEDDING",
                single_embedding_params: NovaParams {
                    embedding_purpose: own_or("embeddingPurpose", "GENERIC_INDEX")?,
                    embedding_dimension: dimensions,
                    text: NovaText {
                        truncation_mode: own_or("truncationMode", "NONE")?,
                        value: only(texts)?,
                    },
                },
            },
            out,
        ),
    }
}

fn json(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), ApiError> {
    json_text::write(out, value).map_err(|_| unwritten())
}

/// The only text, for models that embed one a call.
fn only<'r>(texts: &'r [Cow<'_, str>]) -> Result<&'r str, ApiError> {
    match texts {
        [text] => Ok(text),
        _ => {
            let message = "input: expected one text, since this model embeds one a call, found several";
            Err(ApiError::bad_request("input", message).with_code("unsupported_parameter"))
        }
    }
}

/// Translates a whole answer and appends it to `out`.
pub(super) fn translate_response(
    body: &[u8],
    settings: &Settings,
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    let malformed = || super::error::disguised_fault(body).unwrap_or_else(not_embeddings);
    let response: EmbeddingsResponse<'_> = serde_json::from_slice(body).map_err(|_| malformed())?;
    let vectors = response.vectors().ok_or_else(malformed)?;
    // Cohere and Nova count in a header alone.
    let input_tokens = response.input_text_token_count.or(settings.told_input_tokens);
    let model = &settings.upstream_model;
    write_list(vectors, model, request.encoding_format, input_tokens, out)
}

#[cfg(test)]
mod tests;
