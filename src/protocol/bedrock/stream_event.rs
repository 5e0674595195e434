// SPDX-License-Identifier: Apache-2.0

//! The events of `ConverseStream`, as they are read
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html>).
//!
//! The name of an event stands in the message's headers, its members in the payload. One flat type for all of
//! them: unknown members, the padding `p` among them, are passed over.

use super::answer::{Media, ServiceTier, TokenUsage, ToolUse};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The header that says whether a message is an event or tells of a fault.
pub const MESSAGE_TYPE: &str = ":message-type";
/// The header that names an event.
pub const EVENT_TYPE: &str = ":event-type";
/// The header that names a fault the API declares, whose payload tells more.
pub const EXCEPTION_TYPE: &str = ":exception-type";
/// The header that names a fault the API does not declare.
pub const ERROR_CODE: &str = ":error-code";
/// The header that explains it.
pub const ERROR_MESSAGE: &str = ":error-message";

/// An event's payload.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StreamEvent<'a> {
    /// Which content block.
    pub content_block_index: Option<u64>,
    /// What `contentBlockStart` opens.
    #[serde(borrow)]
    pub start: Option<BlockStart<'a>>,
    /// What `contentBlockDelta` adds.
    #[serde(borrow)]
    pub delta: Option<BlockDelta<'a>>,
    /// Why the message ended, in `messageStop`.
    #[serde(borrow)]
    pub stop_reason: Option<Cow<'a, str>>,
    /// What it cost, in `metadata`.
    pub usage: Option<TokenUsage>,
    /// How it was processed, in `metadata`.
    pub service_tier: Option<ServiceTier>,
    /// What guardrails found, in `metadata`.
    #[serde(borrow)]
    pub trace: Option<&'a RawValue>,
}

/// What a block is, unless it is text or reasoning, which have no start.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlockStart<'a> {
    /// A call.
    #[serde(borrow)]
    pub tool_use: Option<ToolUse<'a>>,
    /// An image.
    #[serde(borrow)]
    pub image: Option<Media<'a>>,
}

/// What is added to a block; one member is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlockDelta<'a> {
    /// More text: a JSON string.
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    /// More of a call's arguments.
    #[serde(borrow)]
    pub tool_use: Option<ToolUse<'a>>,
    /// More reasoning.
    #[serde(borrow)]
    pub reasoning_content: Option<ReasoningDelta<'a>>,
    /// One more citation.
    #[serde(borrow)]
    pub citation: Option<&'a RawValue>,
    /// More of an image.
    #[serde(borrow)]
    pub image: Option<Media<'a>>,
}

/// More reasoning; one member is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReasoningDelta<'a> {
    /// More text: a JSON string.
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    /// The signature of the text: a JSON string.
    #[serde(borrow)]
    pub signature: Option<&'a RawValue>,
    /// Reasoning that only the provider can read, in base64.
    #[serde(borrow)]
    pub redacted_content: Option<Cow<'a, str>>,
}
