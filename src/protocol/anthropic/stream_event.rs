// SPDX-License-Identifier: Apache-2.0

//! The events of a streamed message (<https://docs.claude.com/en/docs/build-with-claude/streaming>), as they are
//! read.
//!
//! One flat type for all of them: an event is read in one pass whatever its kind, and a kind that the vendor
//! adds is read like any other and then ignored. Strings that are only passed on stay as raw JSON.

use super::error::ErrorObject;
use super::messages::{ContentBlock, Message, StopDetails, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamEvent<'a> {
    /// `message_start`, `content_block_delta`, and so on.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// Which content block.
    pub index: Option<u64>,
    /// The message of `message_start`, still without content.
    #[serde(borrow)]
    pub message: Option<Message<'a>>,
    /// The block of `content_block_start`, still without content.
    #[serde(borrow)]
    pub content_block: Option<ContentBlock<'a>>,
    /// What `content_block_delta` and `message_delta` add.
    #[serde(borrow)]
    pub delta: Option<EventDelta<'a>>,
    /// Running totals, in `message_delta`.
    pub usage: Option<Usage>,
    /// What went wrong, in `error`.
    #[serde(borrow)]
    pub error: Option<ErrorObject<'a>>,
}

/// What an event adds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct EventDelta<'a> {
    /// `text_delta`, `input_json_delta`, and so on; absent in `message_delta`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// More text: a JSON string.
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    /// More of a call's arguments: a JSON string that holds a piece of JSON.
    #[serde(borrow)]
    pub partial_json: Option<&'a RawValue>,
    /// More reasoning: a JSON string.
    #[serde(borrow)]
    pub thinking: Option<&'a RawValue>,
    /// The signature of the reasoning: a JSON string.
    #[serde(borrow)]
    pub signature: Option<&'a RawValue>,
    /// One more citation.
    #[serde(borrow)]
    pub citation: Option<&'a RawValue>,
    /// Why the message ended.
    #[serde(borrow)]
    pub stop_reason: Option<Cow<'a, str>>,
    /// More on a refusal.
    #[serde(borrow)]
    pub stop_details: Option<StopDetails<'a>>,
}
