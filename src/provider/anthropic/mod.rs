// SPDX-License-Identifier: Apache-2.0

//! Anthropic Messages: the request ([`request`]), the answer ([`response`]), its stream ([`stream`]) and its
//! errors ([`error`]), each put together from files that answer one question.
//!
//! The reference is <https://docs.claude.com/en/api/messages>. Where Anthropic offers less than OpenAI, the
//! field is reported ([`crate::provider::unsupported`]); where it offers more (thinking with signatures, citations, prompt
//! caching), the answer carries it under the names that OpenAI's clients have come to expect, and requests take
//! it back.

mod citations;
mod content;
mod error;
pub(super) mod fidelity;
mod prompt;
mod reasoning;
mod request;
mod response;
mod stop_reason;
mod stream;
mod structured_output;
mod tools;
mod usage;

pub(super) use error::{translate_error, translate_vertex_error};
pub(super) use reasoning::{Circumstances, Effort, Generation, Reasoning, reasoning};
pub(super) use request::translate_request;
pub(super) use response::translate_response;
pub use stream::MessageStream;
