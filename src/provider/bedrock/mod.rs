// SPDX-License-Identifier: Apache-2.0

//! Amazon Bedrock's Converse API: the request ([`request`]), the answer ([`response`]), its stream ([`stream`])
//! and its errors ([`error`]), each put together from files that answer one question.
//!
//! The reference is <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>. Converse
//! is one API for the models of many vendors; where it depends on the vendor what is sent, [`family`] tells whose
//! model it is. Signing is Envoy's work, after this translator has had its say.

mod cache;
mod citations;
mod content;
mod embeddings;
mod error;
mod family;
pub(super) mod fidelity;
mod media;
mod metadata;
mod model_path;
mod prompt;
mod reasoning;
mod request;
mod response;
mod sampling;
mod stop_reason;
mod stream;
mod structured_output;
mod tools;
mod usage;

pub(super) use error::{reported_fault, translate_error};
pub use stream::ConverseStream;

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
