// SPDX-License-Identifier: Apache-2.0

//! OpenAI's API (<https://platform.openai.com/docs/api-reference>).

pub mod envelope;
mod prompt;
