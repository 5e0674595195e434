// SPDX-License-Identifier: Apache-2.0

//! The request as it is written and the whole answer as it is read (<https://docs.cohere.com/reference/chat>).

use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The request.
#[derive(Debug, Serialize)]
pub struct ChatRequest<'a> {
    /// The model.
    pub model: &'a str,
    /// The conversation.
    pub messages: Vec<Message<'a>>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// The tools that the model may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    /// `REQUIRED` or `NONE`; absent: as the model likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<&'static str>,
    /// Whether arguments must follow the schemas exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict_tools: Option<bool>,
    /// The form of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat<'a>>,
    /// Whether the model thinks, and how much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking<'a>>,
    /// The output bound, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Where the answer ends; at most five.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<&'a str>,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Number>,
    /// Nucleus sampling, 0.01 to 0.99.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p: Option<Number>,
    /// How many candidates are sampled from, 0 to 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<Number>,
    /// Where sampling begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<&'a RawValue>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<Number>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<Number>,
    /// Members of Cohere's own that a client has sent.
    #[serde(flatten)]
    pub own: std::collections::BTreeMap<&'a str, &'a RawValue>,
}

/// One message.
#[derive(Debug, Default, Serialize)]
pub struct Message<'a> {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: &'static str,
    /// What is said; absent where the assistant only calls tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content<'a>>,
    /// What the assistant says before it calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_plan: Option<Cow<'a, str>>,
    /// What the assistant calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall<'a>>,
    /// The call that a tool answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<&'a str>,
}

/// Text, or parts.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Content<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Parts.
    Parts(Vec<Part<'a>>),
}

/// A part of a message.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part<'a> {
    /// Text.
    Text {
        /// The text.
        text: Cow<'a, str>,
    },
    /// The assistant's reasoning.
    Thinking {
        /// The text.
        thinking: Cow<'a, str>,
    },
    /// An image.
    ImageUrl {
        /// Where it is, and how closely it is looked at.
        image_url: ImageUrl<'a>,
    },
}

/// An image.
#[derive(Debug, Serialize)]
pub struct ImageUrl<'a> {
    /// `https:` or `data:` URL.
    pub url: &'a str,
    /// `auto`, `low` or `high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
}

/// A tool.
#[derive(Debug, Serialize)]
pub struct Tool<'a> {
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The function.
    pub function: Function<'a>,
}

/// A function's declaration.
#[derive(Debug, Serialize)]
pub struct Function<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// JSON schema of its arguments; required.
    pub parameters: &'a RawValue,
}

/// A call, both ways.
#[derive(Debug, Deserialize, Serialize)]
pub struct ToolCall<'a> {
    /// The call's id.
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    /// Always `function`.
    #[serde(rename = "type", skip_deserializing, default = "function")]
    pub kind: &'static str,
    /// What is called.
    #[serde(borrow)]
    pub function: CalledFunction<'a>,
}

const fn function() -> &'static str {
    "function"
}

/// A function and its arguments.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct CalledFunction<'a> {
    /// The function.
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    /// JSON, as text.
    #[serde(borrow)]
    pub arguments: Option<Cow<'a, str>>,
}

/// `response_format`.
#[derive(Debug, Serialize)]
pub struct ResponseFormat<'a> {
    /// Always `json_object`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The schema that the answer follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<&'a RawValue>,
}

/// `thinking`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Thinking<'a> {
    /// As the client has written it.
    Given(&'a RawValue),
    /// As its reasoning effort means it.
    Effort {
        /// `enabled` or `disabled`.
        #[serde(rename = "type")]
        kind: &'static str,
        /// The most tokens to think.
        #[serde(skip_serializing_if = "Option::is_none")]
        token_budget: Option<u32>,
    },
}

/// The whole answer. An error has `message` alone, as a string.
#[derive(Debug, Deserialize)]
pub struct ChatResponse<'a> {
    /// The answer's id.
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    /// `COMPLETE`, `STOP_SEQUENCE`, `MAX_TOKENS`, `TOOL_CALL`, `ERROR` or `TIMEOUT`.
    #[serde(borrow)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// What was said, or why nothing was.
    #[serde(borrow)]
    pub message: Option<&'a RawValue>,
    /// What it cost.
    pub usage: Option<Usage>,
}

/// The assistant's message.
#[derive(Debug, Default, Deserialize)]
pub struct AnswerMessage<'a> {
    /// Parts of text and thinking.
    #[serde(borrow)]
    pub content: Option<Vec<AnswerPart<'a>>>,
    /// What the model says before it calls.
    #[serde(borrow)]
    pub tool_plan: Option<Cow<'a, str>>,
    /// What it calls.
    #[serde(borrow)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
    /// What the answer rests on.
    #[serde(borrow)]
    pub citations: Option<Vec<&'a RawValue>>,
}

/// A part of the answer.
#[derive(Debug, Deserialize)]
pub struct AnswerPart<'a> {
    /// Visible text.
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    /// Reasoning.
    #[serde(borrow)]
    pub thinking: Option<Cow<'a, str>>,
}

/// `usage`. Cohere writes counts as numbers with a fraction.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Usage {
    /// What is paid for.
    pub billed_units: Option<Counts>,
    /// What the model has read and written.
    #[serde(rename = "tokens")]
    pub read_and_written: Option<Counts>,
    /// Of the tokens read, those from a cache.
    pub cached_tokens: Option<f64>,
}

/// Two counts.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Counts {
    /// Input.
    pub input_tokens: Option<f64>,
    /// Output.
    pub output_tokens: Option<f64>,
}
