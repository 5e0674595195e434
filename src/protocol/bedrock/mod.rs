// SPDX-License-Identifier: Apache-2.0

//! Amazon Bedrock's Converse API
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).

pub mod answer;
pub mod converse;
pub mod embeddings;
pub mod error;
pub mod stream_event;
