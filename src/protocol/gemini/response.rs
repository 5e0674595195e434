// SPDX-License-Identifier: Apache-2.0

//! The answer of `generateContent`, and each event of `streamGenerateContent`
//! (<https://ai.google.dev/api/generate-content#response-body>), as it is read.
//!
//! An event of the stream is an answer that holds what is new. Strings that are only passed on stay as raw JSON.

use super::error::Status;
use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The answer, or the error that came instead with a status of success.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GenerateContentResponse<'a> {
    /// The answers.
    #[serde(borrow)]
    pub candidates: Option<Vec<Candidate<'a>>>,
    /// Why there are none.
    #[serde(borrow)]
    pub prompt_feedback: Option<PromptFeedback<'a>>,
    /// What it cost, so far.
    pub usage_metadata: Option<UsageMetadata>,
    /// The model that answered.
    #[serde(borrow)]
    pub model_version: Option<Cow<'a, str>>,
    /// The answer's id.
    #[serde(borrow)]
    pub response_id: Option<Cow<'a, str>>,
    /// What went wrong.
    #[serde(borrow)]
    pub error: Option<Status<'a>>,
}

/// One answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Candidate<'a> {
    /// Its number, from 0.
    pub index: Option<u32>,
    /// What was said.
    #[serde(borrow)]
    pub content: Option<Content<'a>>,
    /// Why it ended; absent while it goes on.
    #[serde(borrow)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// More on why it ended.
    #[serde(borrow)]
    pub finish_message: Option<Cow<'a, str>>,
    /// What was found on the web: a [`GroundingMetadata`], which few answers have.
    #[serde(borrow)]
    pub grounding_metadata: Option<&'a RawValue>,
    /// What was recited: a [`CitationMetadata`], which few answers have.
    #[serde(borrow)]
    pub citation_metadata: Option<&'a RawValue>,
    /// Log probabilities.
    #[serde(borrow)]
    pub logprobs_result: Option<LogprobsResult<'a>>,
}

/// What was said.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Content<'a> {
    /// In order.
    #[serde(borrow)]
    pub parts: Option<Vec<Part<'a>>>,
}

/// A part of what was said. One of `text`, `function_call`, `inline_data` and `file_data` is there, or something that
/// the client gets none of.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Part<'a> {
    /// Text: a JSON string.
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    /// Whether the text is a summary of thoughts.
    pub thought: Option<bool>,
    /// Opaque; the model wants it back.
    #[serde(borrow)]
    pub thought_signature: Option<Cow<'a, str>>,
    /// A call.
    #[serde(borrow)]
    pub function_call: Option<FunctionCall<'a>>,
    /// An image or sound.
    #[serde(borrow)]
    pub inline_data: Option<Blob<'a>>,
    /// An image elsewhere.
    #[serde(borrow)]
    pub file_data: Option<FileData<'a>>,
}

/// Media in the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Blob<'a> {
    /// Its type.
    #[serde(borrow)]
    pub mime_type: Cow<'a, str>,
    /// Its bytes, in base64.
    #[serde(borrow)]
    pub data: Cow<'a, str>,
}

/// Media elsewhere.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FileData<'a> {
    /// Its type.
    #[serde(borrow)]
    pub mime_type: Cow<'a, str>,
    /// Its address.
    #[serde(borrow)]
    pub file_uri: Cow<'a, str>,
}

/// A call.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FunctionCall<'a> {
    /// Its id; not every model gives one.
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    /// The function.
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    /// Its arguments, an object; absent if there are none.
    #[serde(borrow)]
    pub args: Option<&'a RawValue>,
}

/// Why a prompt was not answered.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PromptFeedback<'a> {
    /// For example `SAFETY`.
    #[serde(borrow)]
    pub block_reason: Option<Cow<'a, str>>,
    /// For a person to read.
    #[serde(borrow)]
    pub block_reason_message: Option<Cow<'a, str>>,
}

/// Token counts. Thoughts are beside the candidates, what tools brought is beside the prompt, and what was cached
/// is within the prompt.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UsageMetadata {
    /// Tokens of the prompt, cached ones included.
    pub prompt_token_count: Option<u64>,
    /// Of these, read from a cache.
    pub cached_content_token_count: Option<u64>,
    /// Tokens that Google's own tools added to the prompt.
    pub tool_use_prompt_token_count: Option<u64>,
    /// Tokens of the answers, without thoughts.
    pub candidates_token_count: Option<u64>,
    /// Tokens of thoughts.
    pub thoughts_token_count: Option<u64>,
    /// What the prompt was made of.
    pub prompt_tokens_details: Option<Modalities>,
    /// What the answers are made of.
    pub candidates_tokens_details: Option<Modalities>,
    /// The processing tier that served it; not told by Vertex AI.
    pub service_tier: Option<ServiceTier>,
    /// What Vertex AI tells instead.
    pub traffic_type: Option<TrafficType>,
}

/// Tokens by what they stand for. Sums of a list of [`ModalityTokenCount`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(from = "Vec<ModalityTokenCount<'_>>")]
pub struct Modalities {
    /// Sound.
    pub audio: Option<u64>,
    /// Images.
    pub image: Option<u64>,
    /// Text.
    pub text: Option<u64>,
}

/// Tokens that stand for one thing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModalityTokenCount<'a> {
    /// `TEXT`, `IMAGE`, `VIDEO`, `AUDIO` or `DOCUMENT`.
    #[serde(borrow)]
    pub modality: Cow<'a, str>,
    /// How many.
    pub token_count: u64,
}

impl From<Vec<ModalityTokenCount<'_>>> for Modalities {
    fn from(counts: Vec<ModalityTokenCount<'_>>) -> Self {
        let mut sums = Self::default();
        for count in counts {
            let sum = match &*count.modality {
                "AUDIO" => &mut sums.audio,
                "IMAGE" => &mut sums.image,
                "TEXT" => &mut sums.text,
                _ => continue,
            };
            *sum = Some(sum.unwrap_or(0).saturating_add(count.token_count));
        }
        sums
    }
}

/// How Vertex AI processed a request
/// (<https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse#TrafficType>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrafficType {
    /// As everyone.
    OnDemand,
    /// Dearer, and before others.
    OnDemandPriority,
    /// Cheaper, and slower.
    OnDemandFlex,
    /// `PROVISIONED_THROUGHPUT`, which OpenAI has no name for, and what the vendor adds.
    #[serde(other)]
    Other,
}

impl UsageMetadata {
    /// The processing tier by OpenAI's name.
    #[must_use]
    pub fn service_tier_at_openai(&self) -> Option<&'static str> {
        if let Some(tier) = self.service_tier {
            return tier.at_openai();
        }
        match self.traffic_type? {
            TrafficType::OnDemand => Some("default"),
            TrafficType::OnDemandPriority => Some("priority"),
            TrafficType::OnDemandFlex => Some("flex"),
            TrafficType::Other => None,
        }
    }
}

/// A processing tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// Cheaper, and slower.
    Flex,
    /// Dearer, and before others.
    Priority,
    /// As everyone.
    Standard,
    /// What the vendor adds.
    #[serde(other)]
    Other,
}

impl ServiceTier {
    /// OpenAI's name of it.
    #[must_use]
    pub const fn at_openai(self) -> Option<&'static str> {
        match self {
            Self::Flex => Some("flex"),
            Self::Priority => Some("priority"),
            Self::Standard => Some("default"),
            Self::Other => None,
        }
    }
}

/// What was found on the web
/// (<https://ai.google.dev/gemini-api/docs/google-search#understanding-the-grounding-response>).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroundingMetadata<'a> {
    /// The sources, each a [`GroundingChunk`].
    #[serde(borrow)]
    pub grounding_chunks: Option<Vec<&'a RawValue>>,
    /// What rests on them.
    pub grounding_supports: Option<Vec<GroundingSupport>>,
}

/// A source.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroundingChunk<'a> {
    /// A web page.
    #[serde(borrow)]
    pub web: Option<Source<'a>>,
    /// A document of the client's own.
    #[serde(borrow)]
    pub retrieved_context: Option<Source<'a>>,
    /// A place on a map.
    #[serde(borrow)]
    pub maps: Option<Source<'a>>,
    /// An image on a web page.
    #[serde(borrow)]
    pub image: Option<Source<'a>>,
}

/// Where a source is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Source<'a> {
    /// Its address; of an image, that of the page.
    #[serde(borrow, alias = "sourceUri")]
    pub uri: Option<Cow<'a, str>>,
    /// Its title.
    #[serde(borrow)]
    pub title: Option<Cow<'a, str>>,
}

/// A piece of the answer that rests on sources.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroundingSupport {
    /// The piece.
    pub segment: Option<Segment>,
    /// Its sources, by their place in the list.
    pub grounding_chunk_indices: Option<Vec<usize>>,
}

/// A piece of a part's text, in bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Segment {
    /// Which part.
    pub part_index: usize,
    /// Its first byte.
    pub start_index: usize,
    /// The byte after its last.
    pub end_index: usize,
}

/// What was recited (<https://ai.google.dev/api/generate-content#citationmetadata>). Vertex AI has another name for it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitationMetadata<'a> {
    /// Each a [`Citation`].
    #[serde(borrow, rename = "citationSources", alias = "citations")]
    pub citations: Option<Vec<&'a RawValue>>,
}

/// Where a piece of the answer comes from. Offsets are bytes of the whole text.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Citation<'a> {
    /// Its first byte.
    pub start_index: usize,
    /// The byte after its last.
    pub end_index: usize,
    /// The address of what was recited.
    #[serde(borrow)]
    pub uri: Option<Cow<'a, str>>,
    /// Its title.
    #[serde(borrow)]
    pub title: Option<Cow<'a, str>>,
}

/// Log probabilities, step by step.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LogprobsResult<'a> {
    /// What was chosen.
    #[serde(borrow)]
    pub chosen_candidates: Option<Vec<LogprobsCandidate<'a>>>,
    /// What could have been.
    #[serde(borrow)]
    pub top_candidates: Option<Vec<TopCandidates<'a>>>,
}

/// The alternatives of one step.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TopCandidates<'a> {
    /// The most probable first.
    #[serde(borrow)]
    pub candidates: Option<Vec<LogprobsCandidate<'a>>>,
}

/// One alternative.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LogprobsCandidate<'a> {
    /// Its text.
    #[serde(rename = "token", borrow)]
    pub text: Option<Cow<'a, str>>,
    /// The logarithm of its probability.
    pub log_probability: Option<Number>,
}
