// SPDX-License-Identifier: Apache-2.0

//! OpenAI's API (<https://platform.openai.com/docs/api-reference>).

pub mod chat;
pub mod chunk;
pub mod completion;
pub mod embeddings;
pub mod envelope;
mod mismatch;
mod object;
mod prompt;

pub use object::Text;
