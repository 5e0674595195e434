// SPDX-License-Identifier: Apache-2.0

//! Wire types, as each vendor publishes them. Unknown fields are kept or ignored, never refused.

pub mod anthropic;
pub mod bedrock;
pub mod cohere;
pub mod gemini;
pub mod json_object;
pub mod json_text;
pub mod openai;
