// SPDX-License-Identifier: Apache-2.0

//! What becomes of request fields at Gemini.

use crate::config::ProviderKind;
use crate::provider::fidelity::{CHAT_FIELDS, Clause, Contract, EMBEDDINGS_FIELDS, Fate};

/// Gemini at AI Studio.
pub(in crate::provider) const STUDIO: Contract = Contract {
    title: "`gemini`",
    kinds: &[ProviderKind::Gemini],
    chat_model: "gemini-2.5-flash",
    embeddings_model: "gemini-embedding-001",
    chat: &chat(("metadata", Fate::Dropped, "")),
    embeddings: &embeddings(
        ("input", Fate::Mapped("requests"), ""),
        (
            "dimensions",
            Fate::Approximated("requests.0.outputDimensionality"),
            " for `gemini-embedding-001`, whose shorter vectors are not scaled to length 1; kept for others",
        ),
    ),
};

/// Gemini at Vertex AI.
pub(in crate::provider) const VERTEX: Contract = Contract {
    title: "`vertex_ai`",
    kinds: &[ProviderKind::VertexAi],
    chat_model: "gemini-2.5-flash",
    embeddings_model: "text-embedding-005",
    chat: &chat(("metadata", Fate::Mapped("labels"), ", see below")),
    embeddings: &embeddings(
        (
            "input",
            Fate::Mapped("instances"),
            "; one text alone for `gemini-embedding-*`, else refused",
        ),
        ("dimensions", Fate::Mapped("parameters.outputDimensionality"), ""),
    ),
};

#[expect(clippy::too_many_lines, reason = "a table")]
const fn chat(metadata: Clause) -> [Clause; CHAT_FIELDS.len()] {
    [
        ("model", Fate::LeftOut, ": the path names it"),
        (
            "messages",
            Fate::Mapped("contents"),
            " and `systemInstruction`, see below",
        ),
        (
            "max_completion_tokens",
            Fate::Mapped("generationConfig.maxOutputTokens"),
            "",
        ),
        (
            "max_tokens",
            Fate::Mapped("generationConfig.maxOutputTokens"),
            ", unless the newer name is given",
        ),
        ("n", Fate::Mapped("generationConfig.candidateCount"), ""),
        ("stream", Fate::LeftOut, ": the path says it"),
        ("stream_options", Fate::LeftOut, ": usage is reported unasked"),
        ("temperature", Fate::Mapped("generationConfig.temperature"), ""),
        ("top_p", Fate::Mapped("generationConfig.topP"), ""),
        ("top_k", Fate::Mapped("generationConfig.topK"), ""),
        (
            "stop",
            Fate::Mapped("generationConfig.stopSequences"),
            "; an empty one is dropped",
        ),
        (
            "seed",
            Fate::Mapped("generationConfig.seed"),
            "; dropped beyond 32 bits",
        ),
        (
            "presence_penalty",
            Fate::Mapped("generationConfig.presencePenalty"),
            "",
        ),
        (
            "frequency_penalty",
            Fate::Mapped("generationConfig.frequencyPenalty"),
            "",
        ),
        ("logit_bias", Fate::Dropped, " unless empty"),
        ("logprobs", Fate::Mapped("generationConfig.responseLogprobs"), ""),
        (
            "top_logprobs",
            Fate::Mapped("generationConfig.logprobs"),
            ", beside `logprobs`",
        ),
        ("tools", Fate::Mapped("tools"), ", see below"),
        (
            "tool_choice",
            Fate::Mapped("toolConfig.functionCallingConfig"),
            ", see below",
        ),
        ("parallel_tool_calls", Fate::Dropped, " if false"),
        ("functions", Fate::Refused, ""),
        ("function_call", Fate::Refused, ""),
        (
            "response_format",
            Fate::Mapped("generationConfig.responseJsonSchema"),
            ", see below",
        ),
        metadata,
        ("user", Fate::Dropped, ""),
        ("safety_identifier", Fate::Dropped, ""),
        ("service_tier", Fate::LeftOut, " if `auto`; see below"),
        (
            "reasoning_effort",
            Fate::Mapped("generationConfig.thinkingConfig"),
            ", see below",
        ),
        ("prompt_cache_key", Fate::Dropped, ": prompts are cached unasked"),
        ("prompt_cache_options", Fate::Dropped, ""),
        ("prompt_cache_retention", Fate::Dropped, ""),
        ("prediction", Fate::Dropped, ""),
        ("store", Fate::Dropped, ""),
        ("verbosity", Fate::Dropped, ""),
        (
            "modalities",
            Fate::Approximated("generationConfig.responseModalities"),
            ": sound is made without text; without `audio` it is kept",
        ),
        (
            "audio",
            Fate::Approximated("generationConfig.speechConfig"),
            " unless its format is `pcm16`, which all sound has",
        ),
        (
            "web_search_options",
            Fate::Approximated("tools"),
            ": Google's search",
        ),
        ("thinking", Fate::Mapped("generationConfig.thinkingConfig"), ""),
        ("cache_control", Fate::Dropped, ": prompts are cached unasked"),
        ("moderation", Fate::Dropped, ""),
    ]
}

const fn embeddings(input: Clause, dimensions: Clause) -> [Clause; EMBEDDINGS_FIELDS.len()] {
    [
        ("model", Fate::LeftOut, ": the path names it"),
        input,
        ("input as ids", Fate::Refused, ""),
        ("encoding_format", Fate::LeftOut, ": the gateway sees to it"),
        dimensions,
        ("user", Fate::Dropped, ""),
    ]
}
