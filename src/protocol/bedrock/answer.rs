// SPDX-License-Identifier: Apache-2.0

//! The answer of `Converse`, as it is read
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_ResponseSyntax>).
//!
//! Bedrock's unions are objects with one member. They are read as flat types with optional members, so that a
//! kind of block that the vendor adds neither fails nor costs a second reading. Text that is only passed on stays
//! raw JSON.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The whole answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConverseResponse<'a> {
    /// What the model said.
    #[serde(borrow)]
    pub output: Option<Output<'a>>,
    /// Why it ended.
    #[serde(borrow)]
    pub stop_reason: Option<Cow<'a, str>>,
    /// What it cost.
    pub usage: Option<TokenUsage>,
    /// How it was processed.
    pub service_tier: Option<ServiceTier>,
    /// What guardrails found, and where a prompt router sent it: a [`Trace`].
    #[serde(borrow)]
    pub trace: Option<&'a RawValue>,
}

/// `trace`, as far as it is acted on.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Trace<'a> {
    /// Of a prompt router.
    #[serde(borrow)]
    pub prompt_router: Option<PromptRouterTrace<'a>>,
}

/// Where a prompt router sent a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PromptRouterTrace<'a> {
    /// The model's ARN.
    #[serde(borrow)]
    pub invoked_model_id: Option<Cow<'a, str>>,
}

/// `serviceTier`
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ServiceTier.html>).
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceTier {
    /// Its name.
    #[serde(rename = "type")]
    pub kind: Option<Tier>,
}

/// A processing tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// As everyone.
    Default,
    /// Cheaper, and slower.
    Flex,
    /// Dearer, and before others.
    Priority,
    /// `reserved`, which OpenAI has no name for, and what the vendor adds.
    #[serde(other)]
    Other,
}

impl ServiceTier {
    /// OpenAI's name of it.
    #[must_use]
    pub const fn at_openai(self) -> Option<&'static str> {
        match self.kind {
            Some(Tier::Default) => Some("default"),
            Some(Tier::Flex) => Some("flex"),
            Some(Tier::Priority) => Some("priority"),
            Some(Tier::Other) | None => None,
        }
    }
}

/// `output`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Output<'a> {
    /// The assistant's message.
    #[serde(borrow)]
    pub message: Option<Message<'a>>,
}

/// The assistant's message.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message<'a> {
    /// Its blocks, in order.
    #[serde(borrow)]
    pub content: Option<Vec<ContentBlock<'a>>>,
}

/// A content block; one member is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContentBlock<'a> {
    /// Text: a JSON string.
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    /// A call.
    #[serde(borrow)]
    pub tool_use: Option<ToolUse<'a>>,
    /// Reasoning.
    #[serde(borrow)]
    pub reasoning_content: Option<ReasoningContent<'a>>,
    /// Text with what it cites.
    #[serde(borrow)]
    pub citations_content: Option<CitationsContent<'a>>,
    /// An image that the model made.
    #[serde(borrow)]
    pub image: Option<Media<'a>>,
    /// What the model spoke.
    #[serde(borrow)]
    pub audio: Option<Media<'a>>,
}

/// An image or sound, or a piece of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Media<'a> {
    /// For example `png`; in a stream it stands where the block starts.
    #[serde(borrow)]
    pub format: Option<Cow<'a, str>>,
    /// Where it is.
    #[serde(borrow)]
    pub source: Option<MediaSource<'a>>,
}

/// Where an image or sound is; one member is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MediaSource<'a> {
    /// In the answer, in base64.
    #[serde(borrow)]
    pub bytes: Option<Cow<'a, str>>,
    /// In Amazon S3.
    #[serde(borrow)]
    pub s3_location: Option<S3Location<'a>>,
}

/// Where an object of Amazon S3 is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct S3Location<'a> {
    /// `s3://bucket/key`
    #[serde(borrow)]
    pub uri: Cow<'a, str>,
}

/// A call of a tool.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ToolUse<'a> {
    /// The call's id.
    #[serde(borrow)]
    pub tool_use_id: Option<Cow<'a, str>>,
    /// The tool.
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    /// The arguments: a JSON value in an answer, a JSON string that holds a piece of JSON in a stream.
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    /// `server_tool_use` for a tool that Bedrock runs itself.
    #[serde(borrow, rename = "type")]
    pub kind: Option<Cow<'a, str>>,
}

impl ToolUse<'_> {
    /// Whether Bedrock runs the tool itself: such a call is nobody else's business.
    #[must_use]
    pub fn is_server_s(&self) -> bool {
        self.kind.as_deref() == Some("server_tool_use")
    }
}

/// Reasoning; one member is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReasoningContent<'a> {
    /// Readable reasoning.
    #[serde(borrow)]
    pub reasoning_text: Option<ReasoningText<'a>>,
    /// Reasoning that only the provider can read, in base64.
    #[serde(borrow)]
    pub redacted_content: Option<Cow<'a, str>>,
}

/// Readable reasoning.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReasoningText<'a> {
    /// The text: a JSON string.
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    /// The provider's proof that it wrote the text.
    #[serde(borrow)]
    pub signature: Option<Cow<'a, str>>,
}

/// Text with what it cites.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitationsContent<'a> {
    /// The text, in pieces.
    #[serde(borrow)]
    pub content: Option<Vec<CitedText<'a>>>,
    /// The citations, each as it stands.
    #[serde(borrow)]
    pub citations: Option<Vec<&'a RawValue>>,
}

/// A piece of text that cites.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitedText<'a> {
    /// The text: a JSON string.
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
}

/// A citation, as far as its page is concerned.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Citation<'a> {
    /// The source's title.
    #[serde(borrow)]
    pub title: Option<Cow<'a, str>>,
    /// The source: an address for search results, a name for documents.
    #[serde(borrow)]
    pub source: Option<Cow<'a, str>>,
    /// Where in the source.
    #[serde(borrow)]
    pub location: Option<CitationLocation<'a>>,
}

/// Where a citation leads; kinds without an address are not told apart.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitationLocation<'a> {
    /// A page of the web.
    #[serde(borrow)]
    pub web: Option<WebLocation<'a>>,
}

/// A page of the web.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct WebLocation<'a> {
    /// Its address.
    #[serde(borrow)]
    pub url: Option<Cow<'a, str>>,
}

/// Token counts. `inputTokens` is without the cache's.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TokenUsage {
    /// Tokens of the prompt that were neither read from the cache nor written to it.
    pub input_tokens: Option<u64>,
    /// Tokens produced, reasoning included.
    pub output_tokens: Option<u64>,
    /// Tokens read from the cache.
    pub cache_read_input_tokens: Option<u64>,
    /// Tokens written to the cache.
    pub cache_write_input_tokens: Option<u64>,
    /// The older name of the former, which regions still send alone or beside it.
    pub cache_read_input_token_count: Option<u64>,
    /// The older name of the latter.
    pub cache_write_input_token_count: Option<u64>,
}
