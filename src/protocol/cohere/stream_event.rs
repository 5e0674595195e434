// SPDX-License-Identifier: Apache-2.0

//! The events of a stream (<https://docs.cohere.com/v2/docs/streaming>).

use super::chat::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One event, whatever its type.
#[derive(Debug, Deserialize)]
pub struct StreamEvent<'a> {
    /// `message-start`, `content-delta`, `tool-call-start` and others.
    #[serde(borrow, rename = "type")]
    pub kind: Option<Cow<'a, str>>,
    /// The answer's id, in `message-start`.
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    /// Which content or call.
    pub index: Option<u32>,
    /// What is new.
    #[serde(borrow)]
    pub delta: Option<EventDelta<'a>>,
    /// The text of an error that is no event.
    #[serde(borrow)]
    pub message: Option<Cow<'a, str>>,
}

/// What is new.
#[derive(Debug, Deserialize)]
pub struct EventDelta<'a> {
    /// More of the message.
    #[serde(borrow)]
    pub message: Option<DeltaMessage<'a>>,
    /// Why the answer ended.
    #[serde(borrow)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// What went wrong.
    #[serde(borrow)]
    pub error: Option<Cow<'a, str>>,
    /// What it cost.
    pub usage: Option<Usage>,
}

/// More of the message.
#[derive(Debug, Deserialize)]
pub struct DeltaMessage<'a> {
    /// More text or thinking; in `message-start` an empty array.
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
    /// More of the plan: a JSON string.
    #[serde(borrow)]
    pub tool_plan: Option<&'a RawValue>,
    /// More of a call; in `message-start` an empty array.
    #[serde(borrow)]
    pub tool_calls: Option<&'a RawValue>,
    /// A citation; in `message-start` an empty array.
    #[serde(borrow)]
    pub citations: Option<&'a RawValue>,
}

/// More text or thinking: JSON strings.
#[derive(Debug, Deserialize)]
pub struct DeltaContent<'a> {
    /// Visible text.
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    /// Reasoning.
    #[serde(borrow)]
    pub thinking: Option<&'a RawValue>,
}

/// More of a call.
#[derive(Debug, Deserialize)]
pub struct DeltaCall<'a> {
    /// The call's id, where it begins.
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    /// What is added.
    #[serde(borrow)]
    pub function: Option<DeltaFunction<'a>>,
}

/// What is added to a call.
#[derive(Debug, Deserialize)]
pub struct DeltaFunction<'a> {
    /// The function, where the call begins.
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    /// More arguments: a JSON string.
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
}
