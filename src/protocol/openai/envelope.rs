// SPDX-License-Identifier: Apache-2.0

//! The outermost object of a chat completion request: what the gateway acts on, and where it stands.
//!
//! Read once, borrowed, without looking into messages. [`Field::span`] is where a value lies in the body, so
//! that a field can be replaced and every other byte kept.

use crate::api_error::ApiError;
use core::ops::Range;
use std::borrow::Cow;

/// One top-level member of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The key, unescaped.
    pub key: Cow<'a, str>,
    /// The member in the body, from the key's opening quote to the end of its value.
    pub member: Range<usize>,
    /// The value in the body.
    pub span: Range<usize>,
}

/// A chat completion request, read as far as the gateway needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatEnvelope<'a> {
    /// All top-level members, in order.
    pub fields: Vec<Field<'a>>,
    /// `model`.
    pub model: Cow<'a, str>,
    /// `stream`; false if absent or null.
    pub is_streaming: bool,
    /// `stream_options.include_usage`; false if absent or null.
    pub include_usage: bool,
    /// The largest of `max_completion_tokens` and `max_tokens` that was given.
    pub max_output_tokens: Option<u64>,
    /// `n`; 1 if absent or null.
    pub n: u64,
    /// Bytes of the prompt that cost input tokens by their length: messages, tools and the like, without the
    /// base64 data of images.
    pub text_bytes: u64,
    /// How many images the prompt holds.
    pub images: u64,
}

impl<'a> ChatEnvelope<'a> {
    /// Reads a request body.
    ///
    /// # Errors
    ///
    /// 400 that names what is wrong: not UTF-8, not JSON, not an object, nested too deeply, a repeated key, no
    /// `model`, no `messages`, or a field of the wrong type.
    pub fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        let _ = body;
        Err(ApiError::bad_request(None, "not built yet"))
    }
}
