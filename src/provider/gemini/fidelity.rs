// SPDX-License-Identifier: Apache-2.0

//! What becomes of request fields at Gemini.

use crate::config::ProviderKind;
use crate::provider::fidelity::{Contract, Fate};

/// Gemini, from AI Studio and Vertex AI alike.
pub(in crate::provider) const CONTRACT: Contract = Contract {
    title: "`gemini`, `vertex_ai`",
    kinds: &[ProviderKind::Gemini],
    chat_model: "gemini-2.5-flash",
    embeddings_model: "gemini-embedding-001",
    chat: &[
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
        (
            "metadata",
            Fate::Dropped,
            "; as `labels` for `vertex_ai`, see below",
        ),
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
        ("modalities", Fate::Dropped, ""),
        ("audio", Fate::Dropped, ""),
        (
            "web_search_options",
            Fate::Approximated("tools"),
            ": Google's search",
        ),
        ("thinking", Fate::Mapped("generationConfig.thinkingConfig"), ""),
        ("cache_control", Fate::Dropped, ": prompts are cached unasked"),
        ("moderation", Fate::Dropped, ""),
    ],
    embeddings: &[
        ("model", Fate::LeftOut, ": the path names it"),
        ("input", Fate::Mapped("requests"), ""),
        ("input as ids", Fate::Refused, ""),
        ("encoding_format", Fate::LeftOut, ": the gateway sees to it"),
        ("dimensions", Fate::Mapped("requests.0.outputDimensionality"), ""),
        ("user", Fate::Dropped, ""),
    ],
};
