// SPDX-License-Identifier: Apache-2.0

//! What a request asks for, whatever its operation: what the gateway seat judges it by.

use super::detours::Detours;
use crate::api_error::ApiError;
use crate::config::AccessEndpoint;
use crate::policy::access::Use;
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
    /// Whether the answer is to come in pieces.
    pub(super) is_streaming: bool,
    /// Whether tools may be called.
    has_tools: bool,
    /// Fields that would get around what the request is judged by.
    pub(super) detours: Detours,
}

impl<'a> Ask<'a> {
    /// Reads a request body.
    pub(super) fn read(operation: Operation, body: &'a [u8]) -> Result<Self, ApiError> {
        match operation {
            Operation::Chat => {
                let envelope = ChatEnvelope::parse(body)?;
                let has_tools = has_tools(&envelope, body);
                Ok(Self {
                    detours: Detours::find(&envelope, body),
                    is_streaming: envelope.is_streaming,
                    has_tools,
                    model: envelope.model,
                    prompt: envelope.prompt,
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
                        ..PromptSize::default()
                    },
                    input_ids: request.input.ids(),
                    model: request.model,
                    max_output_tokens: Some(0),
                    n: 1,
                    is_streaming: false,
                    has_tools: false,
                    detours: Detours::default(),
                })
            }
        }
    }

    /// The request, as access rules see it.
    pub(super) fn as_use(&self, operation: Operation, input_tokens: u64) -> Use<'_> {
        Use {
            model: &self.model,
            endpoint: match operation {
                Operation::Chat => AccessEndpoint::ChatCompletions,
                Operation::Embeddings => AccessEndpoint::Embeddings,
            },
            images: self.prompt.images > 0,
            streaming: self.is_streaming,
            tools: self.has_tools,
            input_tokens,
            output_tokens: self.max_output_tokens.unwrap_or(u64::MAX),
        }
    }
}

fn has_tools(envelope: &ChatEnvelope<'_>, body: &[u8]) -> bool {
    let mut tools = envelope
        .fields
        .iter()
        .filter(|field| field.key == "tools" || field.key == "functions");
    tools.any(|field| {
        let value = body.get(field.span.clone()).unwrap_or_default();
        !matches!(value, b"null" | b"[]")
    })
}
