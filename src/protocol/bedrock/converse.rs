// SPDX-License-Identifier: Apache-2.0

//! The request of `Converse` and `ConverseStream`, as [`json_text::write()`] writes it
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_RequestSyntax>).
//!
//! Borrowed from the client's request. Bedrock's unions are objects with one member, which is how serde writes an
//! enum; bytes are base64, as the client sent them.

use crate::protocol::json_text;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The request body. The model is in the path.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConverseRequest<'a> {
    /// The conversation, in turns of alternating roles.
    pub messages: Vec<Message<'a>>,
    /// Instructions.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub system: Vec<SystemBlock<'a>>,
    /// What all models understand.
    #[serde(skip_serializing_if = "InferenceConfig::is_empty")]
    pub inference_config: InferenceConfig<'a>,
    /// What the model may call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    /// The form of the answer, and the effort.
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    pub output_config: OutputConfig<'a>,
    /// What only this model understands.
    #[serde(skip_serializing_if = "Members::is_empty")]
    pub additional_model_request_fields: Members<'a>,
    /// Labels for the invocation log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_metadata: Option<Labels<'a>>,
    /// The processing tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
    /// The guardrail, as the client wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrail_config: Option<&'a RawValue>,
    /// Latency settings, as the client wrote them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_config: Option<&'a RawValue>,
    /// Variables of a stored prompt, as the client wrote them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_variables: Option<&'a RawValue>,
}

/// One turn.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Vec<Block<'a>>,
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

/// A content block.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Block<'a> {
    /// Text, never blank.
    #[serde(serialize_with = "json_text::text")]
    Text(&'a str),
    /// An image.
    Image(Media<'a>),
    /// A video.
    Video(Media<'a>),
    /// A recording.
    Audio(Media<'a>),
    /// A document.
    Document(Document<'a>),
    /// A call that the model made.
    ToolUse(ToolUse<'a>),
    /// What a tool answered.
    #[serde(rename_all = "camelCase")]
    ToolResult {
        /// The call.
        tool_use_id: Cow<'a, str>,
        /// The answer; may be empty.
        content: Vec<Self>,
    },
    /// Reasoning, as it came from the model.
    ReasoningContent(Reasoning<'a>),
    /// What comes before this is cached.
    CachePoint(CachePoint),
    /// A block in Bedrock's own words, as the client wrote it.
    #[serde(untagged)]
    Given(Members<'a>),
}

/// An image, a video or a recording.
#[derive(Debug, Serialize)]
pub struct Media<'a> {
    /// For example `png`.
    pub format: &'static str,
    /// Where it is.
    pub source: Source<'a>,
}

/// A document.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    /// For example `pdf`.
    pub format: &'static str,
    /// Its name, unlike those of the request's other documents.
    pub name: String,
    /// Where it is.
    pub source: Source<'a>,
}

/// Where bytes are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source<'a> {
    /// In the request, in base64.
    #[serde(serialize_with = "json_text::text")]
    Bytes(&'a str),
    /// In Amazon S3.
    S3Location {
        /// `s3://bucket/key`
        uri: &'a str,
    },
}

/// A call that the model made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUse<'a> {
    /// The call.
    pub tool_use_id: Cow<'a, str>,
    /// The tool.
    pub name: Cow<'a, str>,
    /// Its arguments, an object.
    pub input: &'a RawValue,
}

/// Reasoning that is put back.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reasoning<'a> {
    /// Readable reasoning.
    ReasoningText {
        /// The text, unchanged.
        text: Cow<'a, str>,
        /// The proof of its origin.
        signature: Cow<'a, str>,
    },
    /// Reasoning that only the provider can read, in base64.
    RedactedContent(String),
}

/// Where cached content ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CachePoint {
    /// Always `default`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `5m` or `1h`; absent: the model's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<&'static str>,
}

/// An instruction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SystemBlock<'a> {
    /// Text, never blank.
    #[serde(serialize_with = "json_text::text")]
    Text(&'a str),
    /// What comes before this is cached.
    CachePoint(CachePoint),
    /// A block in Bedrock's own words, as the client wrote it.
    #[serde(untagged)]
    Given(Members<'a>),
}

/// What all models understand.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceConfig<'a> {
    /// The output bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Number>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<Number>,
    /// Where the answer ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_sequences: Option<Vec<&'a str>>,
}

impl InferenceConfig<'_> {
    const fn is_empty(&self) -> bool {
        self.max_tokens.is_none()
            && self.temperature.is_none()
            && self.top_p.is_none()
            && self.stop_sequences.is_none()
    }
}

/// What the model may call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConfig<'a> {
    /// The tools; at least one.
    pub tools: Vec<Tool<'a>>,
    /// Whether it may, or must, call one; absent: it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
}

/// An entry of the tools.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Tool<'a> {
    /// A tool.
    ToolSpec(ToolSpec<'a>),
    /// What comes before this is cached.
    CachePoint(CachePoint),
}

/// A tool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolSpec<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does, never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// What it takes.
    pub input_schema: InputSchema<'a>,
    /// Whether arguments must follow the schema exactly.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub strict: bool,
}

/// What a tool takes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum InputSchema<'a> {
    /// A JSON schema of type `object`.
    Json(Cow<'a, RawValue>),
}

/// Whether the model may, or must, call a tool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolChoice<'a> {
    /// It may.
    Auto {},
    /// It must call one.
    Any {},
    /// It must call this one.
    Tool {
        /// The tool.
        name: Cow<'a, str>,
    },
}

/// The form of the answer, and the effort.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputConfig<'a> {
    /// Structured output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_format: Option<TextFormat<'a>>,
    /// `low` to `max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<&'static str>,
}

impl OutputConfig<'_> {
    const fn is_empty(&self) -> bool {
        self.text_format.is_none() && self.effort.is_none()
    }
}

/// Structured output.
#[derive(Debug, Serialize)]
pub struct TextFormat<'a> {
    /// Always `json_schema`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The schema.
    pub structure: Structure<'a>,
}

/// What an answer must look like.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Structure<'a> {
    /// JSON that follows a schema.
    JsonSchema(JsonSchema<'a>),
}

/// A JSON schema.
#[derive(Debug, Serialize)]
pub struct JsonSchema<'a> {
    /// The schema, as text.
    pub schema: Cow<'a, str>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// What the answer is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
}

/// The processing tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceTier {
    /// `default`, `priority`, `flex` or `reserved`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// Members of an object of any shape, in order.
#[derive(Debug, Default)]
pub struct Members<'a>(pub Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl Members<'_> {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Labels for the invocation log.
#[derive(Debug)]
pub enum Labels<'a> {
    /// As the client wrote them.
    Given(&'a RawValue),
    /// Put together from OpenAI's `metadata`.
    Pairs(Vec<(&'a str, Cow<'a, str>)>),
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Given(labels) => labels.serialize(serializer),
            Self::Pairs(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (name, value) in pairs {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}
