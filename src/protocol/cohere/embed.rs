// SPDX-License-Identifier: Apache-2.0

//! Embeddings (<https://docs.cohere.com/reference/embed>).

use super::chat::Counts;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The request.
#[derive(Debug, Serialize)]
pub struct EmbedRequest<'a> {
    /// The model.
    pub model: &'a str,
    /// What is embedded; at most 96.
    pub texts: &'a [Cow<'a, str>],
    /// The forms of the vectors.
    pub embedding_types: [&'static str; 1],
    /// How many numbers each vector has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_dimension: Option<u64>,
    /// `input_type` and other members of Cohere's own.
    #[serde(flatten)]
    pub own: BTreeMap<&'a str, &'a RawValue>,
}

/// The answer.
#[derive(Debug, Deserialize)]
pub struct EmbedResponse<'a> {
    /// The vectors, by their form.
    #[serde(borrow)]
    pub embeddings: Option<Vectors<'a>>,
    /// What it cost.
    pub meta: Option<Meta>,
    /// The text of an error.
    #[serde(borrow)]
    pub message: Option<Cow<'a, str>>,
}

/// The vectors, by their form.
#[derive(Debug, Deserialize)]
pub struct Vectors<'a> {
    /// Arrays of numbers.
    #[serde(borrow)]
    pub float: Option<Vec<&'a RawValue>>,
}

/// What it cost.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Meta {
    /// What is paid for.
    pub billed_units: Option<Counts>,
}
