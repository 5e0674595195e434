// SPDX-License-Identifier: Apache-2.0

//! The Amazon Bedrock stand-in's embeddings, by `InvokeModel`, whose bodies are each vendor's own.
//!
//! Titan: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>,
//! Cohere: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html>,
//! Nova: <https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html>

use serde_json::{Value, json};

use crate::bedrock::{error, headers};
use crate::openai_embeddings::vector;
use crate::reply::{Reply, Scene};
use crate::text;

/// Answers `POST /model/{model}/invoke`.
pub(crate) fn invoke(is_authorized: bool, model: &str, body: &[u8], scene: &Scene<'_>) -> Reply {
    if !is_authorized {
        let message = "Missing Authentication Token";
        return error(403, "MissingAuthenticationTokenException", message, scene);
    }
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let answered = match model {
        _ if model.contains("titan-embed") => titan(&request),
        _ if model.contains("cohere.embed") => cohere(&request),
        _ if model.contains("nova") => nova(&request),
        _ => None,
    };
    let Some((answer, input_tokens)) = answered else {
        let message = "Malformed input request, please reformat your input and try again.";
        return error(400, "ValidationException", message, scene);
    };
    let mut reply = Reply::json(200, headers(scene), answer.to_string());
    reply.set_header("x-amzn-bedrock-input-token-count", input_tokens.to_string());
    reply.input_tokens = input_tokens;
    reply
}

fn counted(text: &str) -> u32 {
    text::input_tokens(text.len())
}

fn titan(request: &Value) -> Option<(Value, u32)> {
    let text = request.get("inputText")?.as_str()?;
    let dimensions = request.get("dimensions").and_then(Value::as_u64).unwrap_or(1024);
    let answer =
        json!({"embedding": vector(text.as_bytes(), dimensions), "inputTextTokenCount": counted(text)});
    Some((answer, counted(text)))
}

fn cohere(request: &Value) -> Option<(Value, u32)> {
    request.get("input_type")?.as_str()?;
    let texts: Option<Vec<&str>> = request
        .get("texts")?
        .as_array()?
        .iter()
        .map(Value::as_str)
        .collect();
    let texts = texts.filter(|texts| !texts.is_empty() && texts.len() <= 96)?;
    let dimensions = request
        .get("output_dimension")
        .and_then(Value::as_u64)
        .unwrap_or(1536);
    let vectors: Vec<_> = texts
        .iter()
        .map(|text| vector(text.as_bytes(), dimensions))
        .collect();
    let answer = json!({"id": "e", "texts": texts, "embeddings": {"float": vectors},
        "response_type": "embeddings_by_type"});
    Some((answer, texts.iter().map(|text| counted(text)).sum()))
}

fn nova(request: &Value) -> Option<(Value, u32)> {
    (request.get("taskType")? == "SINGLE_EMBEDDING").then_some(())?;
    let params = request.get("singleEmbeddingParams")?;
    params.get("embeddingPurpose")?.as_str()?;
    let text = params.get("text")?;
    text.get("truncationMode")?.as_str()?;
    let text = text.get("value")?.as_str()?;
    let dimensions = params
        .get("embeddingDimension")
        .and_then(Value::as_u64)
        .unwrap_or(3072);
    let embedding = json!({"embeddingType": "TEXT", "embedding": vector(text.as_bytes(), dimensions)});
    Some((json!({"embeddings": [embedding]}), counted(text)))
}
