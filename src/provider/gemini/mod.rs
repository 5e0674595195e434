// SPDX-License-Identifier: Apache-2.0

//! Google's Gemini, at AI Studio and at Vertex AI: the request ([`request`]), the answer ([`response`]), its stream
//! ([`stream`]) and its errors ([`error`]), each put together from files that answer one question.
//!
//! The reference is <https://ai.google.dev/api/generate-content>; Vertex AI's is the same but for its paths and a
//! few fields. Schemas are passed on as JSON schema, which the API takes beside its own dialect.
//!
//! Models sign the state of their reasoning and want the signatures back. They travel as Google's own OpenAI
//! endpoint sends them: in `extra_content.google.thought_signature`, of a call and of a message.

mod citations;
mod content;
mod embeddings;
mod error;
pub(super) mod fidelity;
mod fields;
mod function_name;
mod logprobs;
mod media;
mod model;
mod prompt;
mod reasoning;
mod request;
mod response;
mod schema;
mod signature;
mod stop_reason;
mod stream;
mod structured_output;
mod tools;
mod usage;

pub(super) use error::translate_error;
pub use stream::ContentStream;

use super::{Operation, Settings, Tally, UpstreamFault, UpstreamRequest};
use crate::api_error::ApiError;

pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    match settings.operation {
        Operation::Chat => request::translate_request(body, settings, out),
        Operation::Embeddings => embeddings::translate_request(body, settings, out),
    }
}

pub(super) fn translate_response(
    body: &[u8],
    settings: &Settings,
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    match settings.operation {
        Operation::Chat => response::translate_response(body, settings, request, out),
        Operation::Embeddings => embeddings::translate_response(body, settings, request, out),
    }
}
