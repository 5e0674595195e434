// SPDX-License-Identifier: Apache-2.0

//! Embeddings by `InvokeModel`, whose body is each vendor's own.
//!
//! Titan: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>,
//! Cohere: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html>,
//! Nova: <https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html>

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The header that tells how many tokens the input had.
pub const INPUT_TOKENS_HEADER: &str = "x-amzn-bedrock-input-token-count";

/// What Titan is asked: one text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TitanRequest<'a> {
    /// The text.
    pub input_text: &'a str,
    /// How many numbers the vector has; from the second version on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u64>,
    /// The same for the multimodal model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_config: Option<TitanConfig>,
    /// Whether the vector has the length 1; from the second version on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<&'a RawValue>,
}

/// What is wanted of the multimodal Titan.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TitanConfig {
    /// How many numbers the vector has.
    pub output_embedding_length: u64,
}

/// What Cohere is asked: up to 96 texts.
#[derive(Debug, Serialize)]
pub struct CohereRequest<'a> {
    /// The texts.
    pub texts: &'a [Cow<'a, str>],
    /// What the vectors are for: `search_document`, `search_query`, `classification` or `clustering`.
    pub input_type: Cow<'a, RawValue>,
    /// What is done with a text that is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<&'a RawValue>,
    /// How many numbers a vector has; from the fourth version on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_dimension: Option<u64>,
    /// The form of the numbers: always `float`.
    pub embedding_types: [&'static str; 1],
}

/// What Nova is asked: one text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NovaRequest<'a> {
    /// Always `SINGLE_EMBEDDING`.
    pub task_type: &'static str,
    /// The text and what is wanted of it.
    pub single_embedding_params: NovaParams<'a>,
}

/// A text and what is wanted of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NovaParams<'a> {
    /// What the vector is for, for example `GENERIC_INDEX`.
    pub embedding_purpose: Cow<'a, RawValue>,
    /// How many numbers the vector has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_dimension: Option<u64>,
    /// The text.
    pub text: NovaText<'a>,
}

/// A text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NovaText<'a> {
    /// What is done with a text that is too long: `NONE` refuses it.
    pub truncation_mode: Cow<'a, RawValue>,
    /// The text.
    pub value: &'a str,
}

/// What is answered, by any of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EmbeddingsResponse<'a> {
    /// Titan's vector.
    #[serde(borrow)]
    pub embedding: Option<&'a RawValue>,
    /// The input tokens that Titan counted.
    pub input_text_token_count: Option<u64>,
    /// Cohere's or Nova's vectors, in a form of their own.
    #[serde(borrow)]
    pub embeddings: Option<&'a RawValue>,
}

impl<'a> EmbeddingsResponse<'a> {
    /// The vectors; `None` if the answer holds none.
    #[must_use]
    pub fn vectors(&self) -> Option<Vec<&'a RawValue>> {
        #[derive(Deserialize)]
        struct ByType<'a> {
            #[serde(borrow)]
            float: Vec<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            embedding: &'a RawValue,
        }
        if let Some(embedding) = self.embedding {
            return Some(vec![embedding]);
        }
        let json = self.embeddings?.get();
        if json.starts_with('{') {
            return serde_json::from_str(json).ok().map(|ByType { float }| float);
        }
        let named: Result<Vec<Named<'a>>, _> = serde_json::from_str(json);
        match named {
            Ok(named) => Some(named.into_iter().map(|named| named.embedding).collect()),
            Err(_) => serde_json::from_str(json).ok(),
        }
    }
}
