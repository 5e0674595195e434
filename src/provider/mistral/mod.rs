// SPDX-License-Identifier: Apache-2.0

//! Mistral, which speaks OpenAI's language and is strict about it (<https://docs.mistral.ai/api>).
//!
//! What it answers is read with everybody else's that speak this language ([`super::openai`]); here stands what it has to
//! be asked in another way ([`request`], [`embeddings`]).

mod allowed_tools;
mod embeddings;
pub(super) mod fidelity;
mod request;

use super::{Operation, Settings, UpstreamRequest};
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
