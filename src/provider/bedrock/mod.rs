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
mod error;
mod family;
mod media;
mod metadata;
mod model_path;
mod names;
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
pub(super) use request::translate_request;
pub(super) use response::translate_response;
pub use stream::ConverseStream;
