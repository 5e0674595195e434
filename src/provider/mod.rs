// SPDX-License-Identifier: Apache-2.0

//! Translators: OpenAI's Chat Completions in, a provider's dialect out, and back.
//!
//! A translator knows one vendor's mapping and nothing else: no caller, no limit, no clock, no host. The
//! request is translated afresh for every attempt, from the bytes that the client sent, so a translator never
//! changes its input. Whatever has no counterpart is named in [`UpstreamRequest::dropped`] or
//! [`UpstreamRequest::approximated`], or refused; nothing is lost in silence.
//!
//! Every translator bounds the output by [`Settings::output_bound`], in the provider's own field (`max_tokens`,
//! `max_completion_tokens`, `maxOutputTokens`, `inferenceConfig.maxTokens`) and after all that it makes of the
//! client's own bound: what the gateway has reserved is what the provider may produce. A bound that the client
//! gave is only ever lowered; where it gave none, the field is added. Thinking that has no room below it goes
//! the way of every field without a counterpart.

pub mod anthropic;
pub mod bedrock;
mod call_id;
mod closed_schema;
pub mod cohere;
pub mod configured;
mod cost;
mod dropped;
mod embeddings;
mod ending;
mod event_shape;
pub mod fidelity;
pub mod gemini;
mod google_path;
mod json_edit;
mod json_slice;
mod losses;
mod mistral;
pub mod openai;
mod path_segment;
pub mod sagemaker;
mod sound;
#[cfg(test)]
mod tests;
mod tool_choice;
mod tool_names;
mod unsupported;

pub use cost::{add_cost_to_events, with_cost};
pub use ending::{Ending, end_for_length};

use crate::api_error::{API_ERROR, ApiError, INVALID_REQUEST};
use crate::codec::event_stream::Fault;
use crate::codec::sse::EventTooLarge;
use crate::config::{OnUnsupported, OutputBoundField, ProviderKind};
use crate::headers::Headers;
use crate::protocol::bedrock::embeddings::INPUT_TOKENS_HEADER;
use crate::protocol::openai::embeddings::EncodingFormat;
use crate::usage::TokenUsage;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a request is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operation {
    /// `POST /v1/chat/completions`.
    #[default]
    Chat,
    /// `POST /v1/embeddings`.
    Embeddings,
}

/// What a translator has to know of an attempt, beside the body.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider's dialect.
    pub kind: ProviderKind,
    /// What the request is for.
    pub operation: Operation,
    /// The model, as the provider names it.
    pub upstream_model: String,
    /// What happens to a field without a counterpart.
    pub on_unsupported: OnUnsupported,
    /// Whether `stream_options.include_usage` may be sent.
    pub stream_usage: bool,
    /// The field that bounds the output, in OpenAI's language.
    pub output_bound_field: OutputBoundField,
    /// Whether messages of the role `developer` are known, in OpenAI's language.
    pub developer_role: bool,
    /// The output bound for providers that require one, when the client gave none.
    pub default_max_tokens: u32,
    /// The most output tokens that each choice may have: what the client's limits leave room for. `None`: as many
    /// as the client asked for.
    pub max_output_tokens: Option<u64>,
    /// Unix seconds, for `created` where the provider does not report it.
    pub created: u64,
    /// An id for answers whose provider gives none; empty where it does.
    pub answer_id: String,
    /// The input tokens that the answer's headers tell of, where the provider counts there.
    pub told_input_tokens: Option<u64>,
    /// The largest single event of a stream, in bytes.
    pub max_event_bytes: usize,
    /// The version of the provider's API, where it is told with each request.
    pub api_version: Option<String>,
    /// Request fields that the provider is known to refuse, though its dialect has them.
    pub unsupported: &'static [&'static str],
}

impl Settings {
    /// A provider of this kind as it is without any further configuration.
    #[must_use]
    pub fn of(kind: ProviderKind, upstream_model: &str) -> Self {
        Self {
            kind,
            operation: Operation::Chat,
            upstream_model: upstream_model.to_owned(),
            on_unsupported: OnUnsupported::Drop,
            stream_usage: true,
            output_bound_field: kind.output_bound_field(),
            developer_role: kind.keeps_to_openai(),
            default_max_tokens: 4096,
            max_output_tokens: None,
            created: 1_700_000_000,
            answer_id: String::new(),
            told_input_tokens: None,
            max_event_bytes: 1 << 20,
            api_version: None,
            unsupported: &[],
        }
    }
}

impl Settings {
    /// The output bound to send for a client that `asked` for one, or did not.
    #[must_use]
    pub fn output_bound(&self, asked: Option<u64>) -> Option<u64> {
        match (asked, self.max_output_tokens) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, most) => asked.or(most),
        }
    }
}

/// What is sent upstream, beside the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamRequest {
    /// The path below the provider's endpoint, for example `/chat/completions`.
    pub path: Cow<'static, str>,
    /// Headers of the provider's protocol, beside `content-type: application/json`, `accept` and the credential.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Request fields that the provider has no counterpart for and that were left out, as paths.
    pub dropped: Vec<Cow<'static, str>>,
    /// Request fields that the provider serves in its own, not quite equal way, as paths.
    pub approximated: Vec<Cow<'static, str>>,
    /// Whether the client asked for a stream.
    pub is_streaming: bool,
    /// Whether the client itself asked for `stream_options.include_usage`.
    pub include_usage: bool,
    /// Whether a streamed answer's text has to be kept until its end, because what cites it is told only then.
    pub keeps_text: bool,
    /// Tools that go by another name at the provider: theirs, to the client's.
    pub renamed_tools: BTreeMap<String, String>,
    /// How the client wants its embeddings.
    pub encoding_format: EncodingFormat,
}

/// Why an attempt failed, and what the client is told if it was the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamFault {
    /// The error in the client's dialect, with the status that the client gets.
    pub error: ApiError,
    /// Whether another provider may do better. False for faults of the request itself.
    pub is_retryable: bool,
}

impl UpstreamFault {
    /// The provider did something that its own reference does not allow. Another one may do better.
    #[must_use]
    pub fn misbehaved(message: &'static str) -> Self {
        let error = ApiError::new(502, API_ERROR, message).with_code("upstream_misbehaved");
        Self {
            error,
            is_retryable: true,
        }
    }

    /// Whether it is not the provider that tells of a failure, but its answer that cannot be read.
    #[must_use]
    pub fn is_misbehaviour(&self) -> bool {
        self.error.code.as_deref() == Some("upstream_misbehaved")
    }

    /// The provider refused the gateway's own credential, which is none of the client's doing. `reason` is what the
    /// provider says of it, if that is fit for a client.
    #[must_use]
    pub fn credential_refused(reason: Option<&str>) -> Self {
        let mut message = "The provider refused the gateway's credential.".to_owned();
        if let Some(reason) = reason {
            message.push(' ');
            message.push_str(reason);
        }
        Self {
            error: ApiError::new(502, API_ERROR, message).with_code("upstream_credential_refused"),
            is_retryable: true,
        }
    }
}

/// Whether another provider, or the same one later, may do better than an answer with this status.
const fn is_retryable(status: u16) -> bool {
    matches!(status, 401..=404 | 408 | 409 | 425 | 429) || status >= 500
}

impl From<EventTooLarge> for UpstreamFault {
    fn from(_: EventTooLarge) -> Self {
        Self::misbehaved("The provider's stream holds an event that is too large.")
    }
}

impl From<Fault> for UpstreamFault {
    fn from(fault: Fault) -> Self {
        Self::misbehaved(match fault {
            Fault::TooLarge => "The provider's stream holds an event that is too large.",
            Fault::Corrupt => "The provider's stream is damaged.",
        })
    }
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Nothing that a client would miss has arrived: the attempt may still fail over.
    Preamble,
    /// Content has arrived.
    Content,
    /// The provider has ended the stream as its protocol says. What follows is ignored.
    Done,
}

/// What has been seen of an answer so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The counts that the provider reported.
    pub usage: TokenUsage,
    /// Bytes of text, reasoning and tool arguments that were produced: the basis of an estimate when the
    /// provider never reports its usage.
    pub output_bytes: u64,
}

/// A provider's stream, retold as OpenAI chunks.
pub trait ResponseStream {
    /// Takes the next bytes as they arrived and appends what they mean to `out`: complete SSE events in OpenAI's
    /// form. Any split of the bytes gives the same output.
    ///
    /// # Errors
    ///
    /// A fault that the provider reports inside the stream, or bytes that are not what they claim to be. What
    /// was appended before the fault stands; the caller ends the stream.
    fn on_bytes(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Progress, UpstreamFault>;

    /// The upstream has closed the stream.
    ///
    /// # Errors
    ///
    /// The stream ended before the provider said so.
    fn on_end(&mut self, out: &mut Vec<u8>) -> Result<(), UpstreamFault>;

    /// What has been seen so far.
    fn tally(&self) -> Tally;
}

/// The APIs that are spoken. Several kinds of providers share one.
#[derive(Clone, Copy)]
enum Dialect {
    Anthropic,
    Bedrock,
    Cohere,
    Gemini,
    Mistral,
    SageMaker,
    OpenAi,
}

const fn dialect(kind: ProviderKind) -> Dialect {
    match kind {
        ProviderKind::Anthropic => Dialect::Anthropic,
        ProviderKind::AwsBedrock => Dialect::Bedrock,
        ProviderKind::AwsSageMaker => Dialect::SageMaker,
        ProviderKind::Cohere => Dialect::Cohere,
        ProviderKind::Gemini | ProviderKind::VertexAi => Dialect::Gemini,
        ProviderKind::Mistral => Dialect::Mistral,
        ProviderKind::AzureOpenAi
        | ProviderKind::OpenAi
        | ProviderKind::OpenAiCompatible
        | ProviderKind::OpenRouter => Dialect::OpenAi,
    }
}

/// What a model is spoken to in: its provider's dialect, unless the provider serves another vendor's models.
fn spoken(settings: &Settings) -> Dialect {
    match settings.kind {
        ProviderKind::VertexAi if google_path::is_anthropic(&settings.upstream_model) => Dialect::Anthropic,
        kind => dialect(kind),
    }
}

/// Whether the translator of this dialect serves an operation.
const fn serves(dialect: Dialect, operation: Operation) -> bool {
    match (dialect, operation) {
        (_, Operation::Chat)
        | (
            Dialect::Bedrock
            | Dialect::Cohere
            | Dialect::Gemini
            | Dialect::Mistral
            | Dialect::OpenAi
            | Dialect::SageMaker,
            Operation::Embeddings,
        ) => true,
        (Dialect::Anthropic, Operation::Embeddings) => false,
    }
}

/// Translates a request. `body` is valid JSON whose envelope the gateway seat has accepted; the translated body
/// is appended to `out`.
///
/// # Errors
///
/// A request that this provider cannot serve, as the client is told: 400 with `param`.
pub fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    if !serves(spoken(settings), settings.operation) {
        let message = "The provider of this model does not serve embeddings.";
        return Err(ApiError::new(400, INVALID_REQUEST, message)
            .with_param("model")
            .with_code("unsupported_operation"));
    }
    match spoken(settings) {
        Dialect::Anthropic => anthropic::translate_request(body, settings, out),
        Dialect::Bedrock => bedrock::translate_request(body, settings, out),
        Dialect::Cohere => cohere::translate_request(body, settings, out),
        Dialect::Gemini => gemini::translate_request(body, settings, out),
        Dialect::Mistral => mistral::translate_request(body, settings, out),
        Dialect::SageMaker => sagemaker::translate_request(body, settings, out),
        Dialect::OpenAi => openai::translate_request(body, settings, out),
    }
}

/// Translates a whole JSON answer to `request` with a status below 400 and appends it to `out`.
///
/// # Errors
///
/// An answer that reports an error, or is not what it claims to be.
pub fn translate_response(
    body: &[u8],
    settings: &Settings,
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    match spoken(settings) {
        Dialect::Anthropic => anthropic::translate_response(body, settings, request, out),
        Dialect::Bedrock => bedrock::translate_response(body, settings, request, out),
        Dialect::Cohere => cohere::translate_response(body, settings, request, out),
        Dialect::Gemini => gemini::translate_response(body, settings, request, out),
        Dialect::Mistral | Dialect::OpenAi | Dialect::SageMaker => {
            openai::translate_response(body, settings, request, out)
        }
    }
}

/// An answer with a status of 400 or above. `body` may be anything, even empty.
#[derive(Clone, Copy, Debug)]
pub struct ErrorAnswer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The answer's headers, for providers that name the error there (`x-amzn-errortype`).
    pub headers: &'a Headers,
    /// The whole body.
    pub body: &'a [u8],
}

/// Reads an error. A wait that only the body tells (Google's `RetryInfo`) stands in the error's `retry_after`;
/// the header of that name is the caller's business.
#[must_use]
pub fn translate_error(answer: &ErrorAnswer<'_>, settings: &Settings) -> UpstreamFault {
    match spoken(settings) {
        Dialect::Anthropic if settings.kind == ProviderKind::VertexAi => {
            anthropic::translate_vertex_error(answer)
        }
        Dialect::Anthropic => anthropic::translate_error(answer.status, answer.body),
        Dialect::Bedrock => bedrock::translate_error(answer),
        Dialect::Cohere => cohere::translate_error(answer),
        Dialect::Gemini => gemini::translate_error(answer),
        Dialect::SageMaker => sagemaker::translate_error(answer),
        Dialect::Mistral | Dialect::OpenAi => openai::translate_error(answer.status, answer.body),
    }
}

/// How the events of a stream are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Text,
    /// Amazon's event stream, one event in each message.
    Messages,
    /// Amazon's event stream, whose messages carry server-sent events, cut anywhere.
    MessageParts,
}

impl Framing {
    /// The media type of such a stream.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/event-stream",
            Self::Messages | Self::MessageParts => "application/vnd.amazon.eventstream",
        }
    }
}

/// How a provider frames its streams.
#[must_use]
pub const fn framing(kind: ProviderKind) -> Framing {
    match dialect(kind) {
        Dialect::Anthropic | Dialect::Cohere | Dialect::Gemini | Dialect::Mistral | Dialect::OpenAi => {
            Framing::Text
        }
        Dialect::Bedrock => Framing::Messages,
        Dialect::SageMaker => Framing::MessageParts,
    }
}

/// The header of an answer that tells how many tokens its input had, where the body does not.
#[must_use]
pub const fn input_tokens_header(kind: ProviderKind, operation: Operation) -> Option<&'static str> {
    match (dialect(kind), operation) {
        (Dialect::Bedrock, Operation::Embeddings) => Some(INPUT_TOKENS_HEADER),
        _ => None,
    }
}

/// Whether answers come without an id, so that [`Settings::answer_id`] is needed.
#[must_use]
pub const fn needs_answer_id(kind: ProviderKind) -> bool {
    match dialect(kind) {
        Dialect::Anthropic
        | Dialect::Cohere
        | Dialect::Gemini
        | Dialect::Mistral
        | Dialect::OpenAi
        | Dialect::SageMaker => false,
        Dialect::Bedrock => true,
    }
}

/// The translator of a stream that answers `request`.
#[must_use]
pub fn response_stream(settings: &Settings, request: &UpstreamRequest) -> Box<dyn ResponseStream> {
    match spoken(settings) {
        Dialect::Anthropic => Box::new(anthropic::MessageStream::new(settings, request)),
        Dialect::Bedrock => Box::new(bedrock::ConverseStream::new(settings, request)),
        Dialect::Cohere => Box::new(cohere::ChatStream::new(settings, request)),
        Dialect::Gemini => Box::new(gemini::ContentStream::new(settings, request)),
        Dialect::SageMaker => Box::new(sagemaker::EndpointStream::new(settings, request)),
        Dialect::Mistral | Dialect::OpenAi => Box::new(openai::ChunkStream::new(settings, request)),
    }
}
