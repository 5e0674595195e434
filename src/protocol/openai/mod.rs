// SPDX-License-Identifier: Apache-2.0

//! OpenAI's API (<https://platform.openai.com/docs/api-reference>).

pub mod chat;
pub mod chunk;
pub mod completion;
pub mod envelope;
mod prompt;
mod mismatch;
mod object;

pub use object::Text;
