// SPDX-License-Identifier: Apache-2.0

//! Cohere's API, version 2 (<https://docs.cohere.com/reference/about>).

pub mod chat;
pub mod embed;
pub mod stream_event;
