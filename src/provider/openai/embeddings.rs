// SPDX-License-Identifier: Apache-2.0

//! Embeddings of OpenAI and the servers that speak its language
//! (<https://platform.openai.com/docs/api-reference/embeddings/create>).

use super::azure;
use super::error::reported_fault;
use super::usage;
use crate::api_error::ApiError;
use crate::protocol::json_object::{Editor, Object};
use crate::protocol::openai::embeddings::{EmbeddingsRequest, Vector};
use crate::provider::embeddings::{not_embeddings, tally, vector};
use crate::provider::json_edit;
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Translates a request.
///
/// # Errors
///
/// A body that is no request for embeddings.
pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let request = EmbeddingsRequest::parse(body)?;
    let object = json_edit::object_of(body)?;
    let mut editor = Editor::new(&object);
    json_edit::name_model(&object, &mut editor, &settings.upstream_model);
    json_edit::write(editor, body, out);
    Ok(UpstreamRequest {
        path: azure::path(settings, "/embeddings")?,
        encoding_format: request.encoding_format,
        ..UpstreamRequest::default()
    })
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Option<Vec<Item<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    embedding: &'a RawValue,
}

/// Reads a JSON answer with a status below 400. It passes byte for byte unless its vectors have another form than
/// the client asked for.
///
/// # Errors
///
/// An error in place of the list, or an answer that is no list of embeddings.
pub(super) fn translate_response(
    body: &[u8],
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    let text = str::from_utf8(body).map_err(|_| not_embeddings())?;
    let list: List<'_> = serde_json::from_str(text).map_err(|_| not_embeddings())?;
    let Some(items) = &list.data else {
        return Err(match (list.error, list.message) {
            (Some(error), _) if error.get().starts_with(['{', '"']) => reported_fault(error.get().as_bytes()),
            (Some(_), _) | (None, Some(_)) => reported_fault(body),
            (None, None) => not_embeddings(),
        });
    };
    let vectors: Option<Vec<Vector<'_>>> = items
        .iter()
        .map(|item| vector(item.embedding, request.encoding_format))
        .collect();
    let vectors = vectors.ok_or_else(not_embeddings)?;
    if vectors.iter().all(|vector| matches!(vector, Vector::Raw(_))) {
        out.extend_from_slice(body);
    } else {
        let object = Object::parse(text).map_err(|_| not_embeddings())?;
        let data = rewritten(object.get("data").unwrap_or_default(), &vectors).ok_or_else(not_embeddings)?;
        let mut editor = Editor::new(&object);
        editor.set("data", data);
        editor.write(out);
    }
    let reported = list
        .usage
        .map(|usage| usage::read(usage.get()))
        .unwrap_or_default();
    Ok(tally(reported.input_tokens))
}

/// The items with other vectors, and everything else that they hold.
fn rewritten(data: &str, vectors: &[Vector<'_>]) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(data).ok()?;
    let mut out = Vec::with_capacity(data.len());
    out.push(b'[');
    for (index, (item, vector)) in items.iter().zip(vectors).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let item = Object::parse(item.get()).ok()?;
        let mut editor = Editor::new(&item);
        editor.set("embedding", serde_json::to_string(vector).ok()?);
        editor.write(&mut out);
    }
    out.push(b']');
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests;
