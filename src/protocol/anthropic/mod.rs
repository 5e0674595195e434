// SPDX-License-Identifier: Apache-2.0

//! Anthropic's Messages API (<https://docs.claude.com/en/api/messages>).

pub mod error;
pub mod messages;
pub mod stream_event;
