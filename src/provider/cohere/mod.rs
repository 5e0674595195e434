// SPDX-License-Identifier: Apache-2.0

//! Cohere's version 2: chat (<https://docs.cohere.com/reference/chat>) and embeddings
//! (<https://docs.cohere.com/reference/embed>).
//!
//! One file answers one question: the request ([`request`], [`messages`], [`tools`]), the answer ([`response`]) and
//! its stream ([`stream`]), why it ended ([`stop_reason`]), what it cost ([`usage`]), what went wrong ([`error`]).

mod embeddings;
mod error;
pub(super) mod fidelity;
mod messages;
mod request;
mod response;
mod stop_reason;
mod stream;
mod tools;
mod usage;

pub use stream::ChatStream;

pub(super) use error::translate_error;

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
