// SPDX-License-Identifier: Apache-2.0

//! The whole answer (<https://platform.openai.com/docs/api-reference/chat/object>), as [`json_text::write()`] writes it.
//!
//! `reasoning_content` and `thinking_blocks` are not OpenAI's: they are the names under which its clients have
//! come to expect the reasoning of other providers. `citations` carries those that have no URL, in the
//! provider's own form, and `images` those that the model made, in OpenRouter's
//! (<https://openrouter.ai/docs/features/multimodal/image-generation>).

use crate::protocol::json_text;
use crate::usage::TokenUsage;
use serde::Serialize;
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A chat completion.
#[derive(Debug, Serialize)]
pub struct ChatCompletion<'a> {
    /// The answer's id.
    pub id: &'a str,
    /// Always `chat.completion`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: u64,
    /// The model that answered.
    pub model: &'a str,
    /// The answers.
    pub choices: Vec<Choice<'a>>,
    /// What it cost.
    pub usage: Usage,
    /// The processing tier that served it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'static str>,
    /// What the provider's guardrails found, in its own form, if the client asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<&'a RawValue>,
}

/// One answer.
#[derive(Debug, Serialize)]
pub struct Choice<'a> {
    /// Its number, from 0.
    pub index: u32,
    /// What was said.
    pub message: AnswerMessage<'a>,
    /// Log probabilities, if they were asked for.
    pub logprobs: Option<Logprobs<'a>>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// The assistant's message.
#[derive(Debug, Default, Serialize)]
pub struct AnswerMessage<'a> {
    /// Always `assistant`.
    pub role: &'static str,
    /// The visible text.
    #[serde(serialize_with = "json_text::optional_text")]
    pub content: Option<Cow<'a, str>>,
    /// Why the model declined.
    pub refusal: Option<Cow<'a, str>>,
    /// The reasoning, as text.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "json_text::optional_text"
    )]
    pub reasoning_content: Option<Cow<'a, str>>,
    /// The reasoning with its signatures.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub thinking_blocks: Vec<ThinkingBlock<'a>>,
    /// What the model calls.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub tool_calls: Vec<ToolCall<'a>>,
    /// Citations with a URL.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub annotations: Vec<Annotation<'a>>,
    /// Citations without one, in the provider's form.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub citations: Vec<&'a RawValue>,
    /// Images that the model made.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub images: Vec<Image<'a>>,
    /// What the model spoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio<'a>>,
    /// State of the provider's that belongs to the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<ExtraContent<'a>>,
}

/// An image that the model made.
#[derive(Debug, Serialize)]
pub struct Image<'a> {
    /// Always `image_url`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Where it is.
    image_url: ImageUrl<'a>,
    /// Which image of the answer, from 0.
    index: u32,
    /// State of the provider's that belongs to the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<ExtraContent<'a>>,
}

/// Where an image is.
#[derive(Debug, Serialize)]
struct ImageUrl<'a> {
    /// `https:` or `data:` URL.
    #[serde(serialize_with = "json_text::text")]
    url: Cow<'a, str>,
}

impl<'a> Image<'a> {
    /// The image at a URL.
    #[must_use]
    pub const fn at(url: Cow<'a, str>, index: u32) -> Self {
        Self {
            kind: "image_url",
            image_url: ImageUrl { url },
            index,
            extra_content: None,
        }
    }

    /// An image whose bytes are told in base64.
    #[must_use]
    pub fn inline(mime_type: &str, base64: &str, index: u32) -> Self {
        Self::at(
            Cow::Owned(["data:", mime_type, ";base64,", base64].concat()),
            index,
        )
    }
}

/// What the model spoke, or a piece of it.
#[derive(Debug, Serialize)]
pub struct Audio<'a> {
    /// An id. Nothing is kept under it: the sound cannot be referred to.
    pub id: &'a str,
    /// Its bytes, in base64.
    #[serde(serialize_with = "json_text::text")]
    pub data: Cow<'a, str>,
    /// Unix seconds: the time of the request, since nothing is kept.
    pub expires_at: u64,
    /// What is said, as far as the provider tells it.
    pub transcript: &'static str,
    /// What the bytes are, which OpenAI's clients know from what they asked for.
    pub mime_type: Cow<'a, str>,
}

/// State that a provider wants back unchanged, under the name of its owner. The form is that of Google's own
/// OpenAI endpoint (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
#[derive(Debug, Serialize)]
pub struct ExtraContent<'a> {
    /// Google's.
    pub google: GoogleContent<'a>,
}

/// State of Google's.
#[derive(Debug, Serialize)]
pub struct GoogleContent<'a> {
    /// The state of the model's reasoning.
    pub thought_signature: Cow<'a, str>,
}

impl<'a> ExtraContent<'a> {
    /// The state of a Gemini model's reasoning.
    #[must_use]
    pub const fn thought_signature(thought_signature: Cow<'a, str>) -> Self {
        Self {
            google: GoogleContent { thought_signature },
        }
    }
}

/// Log probabilities of an answer.
#[derive(Debug, Serialize)]
pub struct Logprobs<'a> {
    /// Of its text, step by step.
    pub content: Vec<LogprobsStep<'a>>,
    /// Always null: only OpenAI's models tell refusals apart.
    pub refusal: Option<()>,
}

/// One step of the text.
#[derive(Debug, Serialize)]
pub struct LogprobsStep<'a> {
    /// What was chosen.
    #[serde(flatten)]
    pub chosen: Logprob<'a>,
    /// What could have been.
    pub top_logprobs: Vec<Logprob<'a>>,
}

/// A piece of text and its probability.
#[derive(Clone, Debug, Serialize)]
pub struct Logprob<'a> {
    /// The text.
    #[serde(rename = "token")]
    pub text: Cow<'a, str>,
    /// The logarithm of its probability.
    pub logprob: Number,
    /// The text's UTF-8 bytes.
    pub bytes: Vec<u8>,
}

/// A piece of reasoning that the provider wants back unchanged.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThinkingBlock<'a> {
    /// Readable reasoning.
    Thinking {
        /// The text.
        thinking: Cow<'a, str>,
        /// The provider's proof that it wrote the text.
        signature: Cow<'a, str>,
    },
    /// Reasoning that only the provider can read.
    RedactedThinking {
        /// Opaque.
        data: Cow<'a, str>,
    },
}

/// A call of a function.
#[derive(Debug, Serialize)]
pub struct ToolCall<'a> {
    /// The call's id.
    pub id: Cow<'a, str>,
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What is called.
    pub function: FunctionCall<'a>,
    /// State of the provider's that belongs to the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<ExtraContent<'a>>,
}

/// A function and its arguments.
#[derive(Debug, Serialize)]
pub struct FunctionCall<'a> {
    /// The function.
    pub name: Cow<'a, str>,
    /// JSON, as text.
    #[serde(serialize_with = "json_text::text")]
    pub arguments: Cow<'a, str>,
}

/// A citation with a URL.
#[derive(Debug, Serialize)]
pub struct Annotation<'a> {
    /// Always `url_citation`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What is cited.
    pub url_citation: UrlCitation<'a>,
}

/// The cited page, and the part of the answer that cites it.
#[derive(Debug, Serialize)]
pub struct UrlCitation<'a> {
    /// The first character of the citing text.
    pub start_index: u64,
    /// The character after its last.
    pub end_index: u64,
    /// The page.
    pub url: Cow<'a, str>,
    /// The page's title.
    pub title: Cow<'a, str>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model had finished, or met a stop sequence.
    Stop,
    /// The output bound or the context is used up.
    Length,
    /// The model waits for tools.
    ToolCalls,
    /// The answer was withheld.
    ContentFilter,
}

/// `usage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the whole prompt.
    pub prompt_tokens: u64,
    /// Tokens produced, reasoning included.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// Of the prompt's.
    pub prompt_tokens_details: PromptTokensDetails,
    /// Of those produced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens_details: Option<CompletionTokensDetails>,
}

impl From<&TokenUsage> for Usage {
    fn from(usage: &TokenUsage) -> Self {
        Self {
            prompt_tokens: usage.input_tokens.unwrap_or(0),
            completion_tokens: usage.output_tokens.unwrap_or(0),
            total_tokens: usage.total(),
            prompt_tokens_details: PromptTokensDetails {
                cached_tokens: usage.cache_read_input_tokens.unwrap_or(0),
                cache_write_tokens: usage.cache_creation_input_tokens,
                ..PromptTokensDetails::default()
            },
            completion_tokens_details: usage.reasoning_output_tokens.map(|reasoning_tokens| {
                CompletionTokensDetails {
                    reasoning_tokens: Some(reasoning_tokens),
                    ..CompletionTokensDetails::default()
                }
            }),
        }
    }
}

/// What a prompt's tokens were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PromptTokensDetails {
    /// Read from a cache.
    pub cached_tokens: u64,
    /// Written to a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// Sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_tokens: Option<u64>,
    /// Images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<u64>,
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_tokens: Option<u64>,
}

/// What the tokens produced were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CompletionTokensDetails {
    /// Reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// Sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_tokens: Option<u64>,
    /// Images, which OpenAI's own answers do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<u64>,
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_tokens: Option<u64>,
}
