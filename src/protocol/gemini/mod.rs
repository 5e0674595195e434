// SPDX-License-Identifier: Apache-2.0

//! Google's Gemini API (<https://ai.google.dev/api/generate-content>), which Vertex AI speaks too
//! (<https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/projects.locations.publishers.models/generateContent>).

pub mod embeddings;
pub mod error;
pub mod generate_content;
pub mod response;
