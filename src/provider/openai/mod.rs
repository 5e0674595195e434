// SPDX-License-Identifier: Apache-2.0

//! OpenAI and the servers that speak its language.
//!
//! The gateway's own dialect is OpenAI's, so this translator is mostly a passthrough: bytes that need no change
//! are never spelt anew. One file answers one question: what is sent (`request`, without what OpenAI refuses, `foreign`,
//! in words that other servers know, `older`, and with names of tools that are allowed, `names`; `azure` for its paths), `embeddings` both ways, what a whole answer or a chunk says (`chunk`, `response`, `stream`, `usage`), what
//! has to be reshaped for OpenAI's SDKs (`reshape`, `head`, `finish_reason`) and what a refusal means (`error`).

mod azure;
mod chunk;
mod embeddings;
mod error;
pub(super) mod fidelity;
mod finish_reason;
mod foreign;
mod head;
pub(super) mod names;
pub(super) mod older;
mod refused;
mod request;
mod reshape;
mod response;
mod stream;
mod usage;

pub use stream::ChunkStream;

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
        Operation::Embeddings => embeddings::translate_response(body, request, out),
    }
}

pub(super) fn translate_error(status: u16, body: &[u8]) -> UpstreamFault {
    error::translate_error(status, body)
}
