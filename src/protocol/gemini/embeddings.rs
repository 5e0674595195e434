// SPDX-License-Identifier: Apache-2.0

//! Embeddings: `batchEmbedContents` of AI Studio (<https://ai.google.dev/api/embeddings>), and `predict` and
//! `embedContent` of Vertex AI
//! (<https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>).

use super::error::Status;
use crate::protocol::json_text;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The request of `batchEmbedContents`.
#[derive(Debug, Serialize)]
pub struct BatchEmbedContentsRequest<'a> {
    /// One for each text.
    pub requests: Vec<EmbedContentRequest<'a>>,
}

/// The request of `embedContent`, alone or in a batch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EmbedContentRequest<'a> {
    /// `models/{model}`, in a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// The text.
    pub content: EmbedContent<'a>,
    /// What the embedding is for, for example `RETRIEVAL_QUERY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_type: Option<&'a str>,
    /// How many numbers each vector has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_dimensionality: Option<u64>,
}

/// What is embedded.
#[derive(Debug, Serialize)]
pub struct EmbedContent<'a> {
    /// Always one.
    pub parts: [EmbedPart<'a>; 1],
}

/// A text.
#[derive(Debug, Serialize)]
pub struct EmbedPart<'a> {
    /// The text.
    #[serde(serialize_with = "json_text::text")]
    pub text: &'a str,
}

/// The request of `predict`, as models for embeddings take it.
#[derive(Debug, Serialize)]
pub struct PredictRequest<'a> {
    /// One for each text.
    pub instances: Vec<Instance<'a>>,
    /// For all of them.
    pub parameters: PredictParameters,
}

/// A text.
#[derive(Debug, Serialize)]
pub struct Instance<'a> {
    /// The text.
    #[serde(serialize_with = "json_text::text")]
    pub content: &'a str,
    /// What the embedding is for, for example `RETRIEVAL_QUERY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_type: Option<&'a str>,
}

/// How all texts are embedded.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PredictParameters {
    /// Whether a text that is too long is cut, instead of refused.
    pub auto_truncate: bool,
    /// How many numbers each vector has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_dimensionality: Option<u64>,
}

/// The answer of any of the three, or the error that came instead with a status of success.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EmbeddingsResponse<'a> {
    /// Of `batchEmbedContents`.
    #[serde(borrow)]
    pub embeddings: Option<Vec<ContentEmbedding<'a>>>,
    /// Of `embedContent`.
    #[serde(borrow)]
    pub embedding: Option<ContentEmbedding<'a>>,
    /// Of `predict`.
    #[serde(borrow)]
    pub predictions: Option<Vec<Prediction<'a>>>,
    /// Of the first two; not every model tells it.
    pub usage_metadata: Option<EmbeddingUsage>,
    /// What went wrong.
    #[serde(borrow)]
    pub error: Option<Status<'a>>,
}

/// One of `predictions`.
#[derive(Debug, Deserialize)]
pub struct Prediction<'a> {
    /// The vector of one text.
    #[serde(borrow)]
    pub embeddings: ContentEmbedding<'a>,
}

/// A vector.
#[derive(Debug, Deserialize)]
pub struct ContentEmbedding<'a> {
    /// An array of numbers.
    #[serde(borrow)]
    pub values: &'a RawValue,
    /// What the text was, of `predict`.
    pub statistics: Option<Statistics>,
}

/// What a text was.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Statistics {
    /// Its tokens, which some models count as a fraction.
    pub token_count: Option<f64>,
}

/// Token counts.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EmbeddingUsage {
    /// Of all texts.
    pub prompt_token_count: Option<u64>,
}
