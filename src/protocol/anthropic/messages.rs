// SPDX-License-Identifier: Apache-2.0

//! The Messages request, as [`json_text::write()`] writes it, and the message that answers it, as it is read
//! (<https://docs.claude.com/en/api/messages>).
//!
//! Requests borrow from the client's request, answers from the provider's body. Content blocks of an answer are
//! one flat type with optional members: the vendor adds kinds of blocks often, and an unknown one must neither
//! fail nor cost a second reading.

use super::error::ErrorObject;
use crate::protocol::json_text;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The request body.
#[derive(Debug, Serialize)]
pub struct MessagesRequest<'a> {
    /// The model, as Anthropic names it; absent where the path names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// The version of the API, where no header tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anthropic_version: Option<&'static str>,
    /// The output bound, thinking included.
    pub max_tokens: u64,
    /// Instructions.
    #[serde(skip_serializing_if = "Blocks::is_empty")]
    pub system: Blocks<'a>,
    /// The conversation, in turns of alternating roles.
    pub messages: Vec<Turn<'a>>,
    /// What the model may call.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub tools: Vec<Tool<'a>>,
    /// Whether it may, or must, call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Extended thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking<'a>>,
    /// Effort, and the form of the answer.
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    pub output_config: OutputConfig<'a>,
    /// Where the answer ends.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub stop_sequences: Vec<&'a str>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Number>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<Number>,
    /// How many candidates are sampled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<Number>,
    /// The end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata<'a>>,
    /// `auto` or `standard_only`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<&'static str>,
    /// Where prompt caching begins, chosen by the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<&'a RawValue>,
    /// Whether the answer is streamed.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub stream: bool,
}

/// One turn.
#[derive(Debug, Serialize)]
pub struct Turn<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Blocks<'a>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The client's side.
    User,
    /// The model.
    Assistant,
}

/// Content blocks. A single plain text is written in its short form, a string.
#[derive(Debug, Default)]
pub struct Blocks<'a>(pub Vec<Block<'a>>);

impl Blocks<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Blocks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [
                Block::Text {
                    text,
                    cache_control: None,
                },
            ] => json_text::text(text, serializer),
            blocks => serializer.collect_seq(blocks),
        }
    }
}

/// A content block of a request.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block<'a> {
    /// Text.
    Text {
        /// Never empty.
        #[serde(serialize_with = "json_text::text")]
        text: &'a str,
        /// Where prompt caching begins.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    /// An image.
    Image {
        /// Where it is.
        source: Source<'a>,
        /// Where prompt caching begins.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    /// A PDF.
    Document {
        /// Where it is.
        source: Source<'a>,
        /// Its name.
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        /// Where prompt caching begins.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    /// A call that the model made.
    ToolUse {
        /// The call.
        id: Cow<'a, str>,
        /// The tool.
        name: Cow<'a, str>,
        /// Its arguments, an object.
        input: &'a RawValue,
        /// Where prompt caching begins.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    /// What a tool answered.
    ToolResult {
        /// The call.
        tool_use_id: Cow<'a, str>,
        /// The answer.
        #[serde(skip_serializing_if = "Blocks::is_empty")]
        content: Blocks<'a>,
        /// Where prompt caching begins.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    /// A thinking block, as it came from the model.
    #[serde(untagged)]
    Thinking(&'a RawValue),
}

impl<'a> Block<'a> {
    /// The mark for prompt caching, where a block can have one.
    pub fn cache_control(&mut self) -> Option<&mut Option<&'a RawValue>> {
        match self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::Document { cache_control, .. }
            | Self::ToolUse { cache_control, .. }
            | Self::ToolResult { cache_control, .. } => Some(cache_control),
            Self::Thinking(_) => None,
        }
    }
}

/// Where an image or a document is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Source<'a> {
    /// In the request.
    Base64 {
        /// Its type.
        media_type: &'static str,
        /// Its bytes, in base64.
        #[serde(serialize_with = "json_text::text")]
        data: &'a str,
    },
    /// Plain text, in the request.
    Text {
        /// `text/plain`.
        media_type: &'static str,
        /// The text.
        data: String,
    },
    /// On the web.
    Url {
        /// Its address.
        url: &'a str,
    },
}

/// A tool.
#[derive(Debug, Serialize)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// JSON schema of its arguments, always an object.
    pub input_schema: InputSchema<'a>,
    /// Whether arguments must follow the schema exactly.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub strict: bool,
    /// Where prompt caching begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<&'a RawValue>,
}

/// JSON schema of a tool's arguments.
#[derive(Debug)]
pub enum InputSchema<'a> {
    /// As the client wrote it.
    Given(Cow<'a, RawValue>),
    /// A tool without arguments.
    Empty,
}

impl Serialize for InputSchema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Given(schema) => schema.serialize(serializer),
            Self::Empty => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("type", "object")?;
                map.serialize_entry("properties", &serde_json::Map::new())?;
                map.end()
            }
        }
    }
}

/// Whether the model may, or must, call a tool.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolChoice<'a> {
    /// It may.
    Auto {
        /// At most one call.
        #[serde(skip_serializing_if = "core::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    /// It must call one.
    Any {
        /// At most one call.
        #[serde(skip_serializing_if = "core::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    /// It must call this one.
    Tool {
        /// The tool.
        name: Cow<'a, str>,
        /// At most one call.
        #[serde(skip_serializing_if = "core::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    /// It may not.
    None,
}

/// Extended thinking (<https://docs.claude.com/en/docs/build-with-claude/extended-thinking>).
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Thinking<'a> {
    /// With a budget.
    Enabled {
        /// At least 1024 and below `max_tokens`.
        budget_tokens: u64,
    },
    /// As much as the model finds right.
    Adaptive {
        /// `summarized`, where the model would otherwise keep its thoughts to itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        display: Option<&'static str>,
    },
    /// None.
    Disabled,
    /// As the client wrote it.
    #[serde(untagged)]
    Given(&'a RawValue),
}

/// Effort, and the form of the answer.
#[derive(Debug, Default, Serialize)]
pub struct OutputConfig<'a> {
    /// `low` to `max` (<https://docs.claude.com/en/docs/build-with-claude/effort>).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<&'static str>,
    /// Structured output (<https://docs.claude.com/en/docs/build-with-claude/structured-outputs>).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<OutputFormat<'a>>,
}

impl OutputConfig<'_> {
    fn is_empty(&self) -> bool {
        self.effort.is_none() && self.format.is_none()
    }
}

/// The form of the answer.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputFormat<'a> {
    /// JSON that follows a schema.
    JsonSchema {
        /// The schema.
        schema: Cow<'a, RawValue>,
    },
}

/// What is told of the end user.
#[derive(Debug, Serialize)]
pub struct Metadata<'a> {
    /// An opaque id.
    pub user_id: Cow<'a, str>,
}

/// The message that answers, or the error that came instead with a status of success.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message<'a> {
    /// `message` or `error`.
    #[serde(rename = "type", borrow)]
    pub kind: Option<Cow<'a, str>>,
    /// The message's id.
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    /// The model that answered.
    #[serde(borrow)]
    pub model: Option<Cow<'a, str>>,
    /// What it said.
    #[serde(borrow)]
    pub content: Option<Vec<ContentBlock<'a>>>,
    /// Why it ended.
    #[serde(borrow)]
    pub stop_reason: Option<Cow<'a, str>>,
    /// More on a refusal.
    #[serde(borrow)]
    pub stop_details: Option<StopDetails<'a>>,
    /// What it cost.
    pub usage: Option<Usage>,
    /// What went wrong.
    #[serde(borrow)]
    pub error: Option<ErrorObject<'a>>,
}

/// More on a refusal.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StopDetails<'a> {
    /// For a person to read.
    #[serde(borrow)]
    pub explanation: Option<Cow<'a, str>>,
}

/// A content block of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContentBlock<'a> {
    /// `text`, `tool_use`, `thinking`, `redacted_thinking`, or what the vendor adds.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// Text of `text`: a JSON string.
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    /// The call of `tool_use`.
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    /// The tool of `tool_use`.
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    /// The arguments of `tool_use`.
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    /// The reasoning of `thinking`: a JSON string.
    #[serde(borrow)]
    pub thinking: Option<&'a RawValue>,
    /// The signature of `thinking`.
    #[serde(borrow)]
    pub signature: Option<Cow<'a, str>>,
    /// The content of `redacted_thinking`.
    #[serde(borrow)]
    pub data: Option<Cow<'a, str>>,
    /// What `text` cites.
    #[serde(borrow)]
    pub citations: Option<Vec<&'a RawValue>>,
}

/// A citation of a web page; other kinds have no `url`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Citation<'a> {
    /// For example `web_search_result_location`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// The page.
    #[serde(borrow)]
    pub url: Option<Cow<'a, str>>,
    /// Its title.
    #[serde(borrow)]
    pub title: Option<Cow<'a, str>>,
}

/// Token counts. `input_tokens` is without the cache's.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the prompt that were neither read from the cache nor written to it.
    pub input_tokens: Option<u64>,
    /// Tokens written to the cache.
    pub cache_creation_input_tokens: Option<u64>,
    /// Tokens read from the cache.
    pub cache_read_input_tokens: Option<u64>,
    /// Tokens produced, thinking included.
    pub output_tokens: Option<u64>,
    /// What they were spent on.
    pub output_tokens_details: Option<OutputTokensDetails>,
    /// How it was processed.
    pub service_tier: Option<ServiceTier>,
}

/// A processing tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// As everyone.
    Standard,
    /// Before others.
    Priority,
    /// What the vendor adds.
    #[serde(other)]
    Other,
}

impl ServiceTier {
    /// OpenAI's name of it.
    #[must_use]
    pub const fn at_openai(self) -> Option<&'static str> {
        match self {
            Self::Standard => Some("default"),
            Self::Priority => Some("priority"),
            Self::Other => None,
        }
    }
}

/// What output tokens were spent on.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OutputTokensDetails {
    /// On thinking.
    pub thinking_tokens: Option<u64>,
}
