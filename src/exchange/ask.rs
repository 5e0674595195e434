// SPDX-License-Identifier: Apache-2.0

//! What a request asks for, whatever its operation: what the gateway seat judges it by.

use crate::api_error::ApiError;
use crate::protocol::openai::embeddings::EmbeddingsRequest;
use crate::protocol::openai::envelope::ChatEnvelope;
use crate::provider::Operation;
use crate::usage::estimate::PromptSize;
use std::borrow::Cow;

/// A request, as far as admission goes.
pub(super) struct Ask<'a> {
    pub(super) model: Cow<'a, str>,
    pub(super) prompt: PromptSize,
    /// Input tokens that the client has counted itself, beside `prompt`.
    pub(super) input_ids: u64,
    /// The most output tokens for each answer, if that is known.
    pub(super) max_output_tokens: Option<u64>,
    /// How many answers.
    pub(super) n: u64,
}

impl<'a> Ask<'a> {
    /// Reads a request body.
    pub(super) fn read(operation: Operation, body: &'a [u8]) -> Result<Self, ApiError> {
        match operation {
            Operation::Chat => {
                let envelope = ChatEnvelope::parse(body)?;
                Ok(Self {
                    model: envelope.model,
                    prompt: PromptSize {
                        text_bytes: envelope.text_bytes,
                        images: envelope.images,
                    },
                    input_ids: 0,
                    max_output_tokens: envelope.max_output_tokens,
                    n: envelope.n,
                })
            }
            Operation::Embeddings => {
                let request = EmbeddingsRequest::parse(body)?;
                Ok(Self {
                    prompt: PromptSize {
                        text_bytes: request.input.text_bytes(),
                        images: 0,
                    },
                    input_ids: request.input.ids(),
                    model: request.model,
                    max_output_tokens: Some(0),
                    n: 1,
                })
            }
        }
    }
}
