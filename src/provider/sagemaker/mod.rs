// SPDX-License-Identifier: Apache-2.0

//! Amazon SageMaker endpoints whose container speaks OpenAI's language: vLLM, SGLang, TGI, DJL-LMI
//! (<https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html>).
//!
//! What is said is the business of [`super::openai`]; here stands how it is wrapped: the endpoint's name in the path
//! ([`request`]), the container's bytes in the messages of an event stream ([`stream`]), and the container's errors
//! in those of the service ([`error`]).

mod error;
mod request;
mod stream;

pub(super) use error::translate_error;
pub(super) use request::translate_request;
pub use stream::EndpointStream;
