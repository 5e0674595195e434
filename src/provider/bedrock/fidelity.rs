// SPDX-License-Identifier: Apache-2.0

//! What becomes of request fields at Bedrock.

use crate::config::ProviderKind;
use crate::provider::fidelity::{Contract, Fate};

/// Bedrock: Converse, and the embeddings of Titan.
pub(in crate::provider) const CONTRACT: Contract = Contract {
    title: "`aws_bedrock`",
    kinds: &[ProviderKind::AwsBedrock],
    chat_model: "anthropic.claude-sonnet-4-5-20250929-v1:0",
    embeddings_model: "amazon.titan-embed-text-v2:0",
    chat: &[
        (
            "model",
            Fate::LeftOut,
            ": the path names the target's `model`, an id or an ARN",
        ),
        ("messages", Fate::Mapped("messages"), " and `system`, see below"),
        (
            "max_completion_tokens",
            Fate::Mapped("inferenceConfig.maxTokens"),
            "",
        ),
        (
            "max_tokens",
            Fate::Mapped("inferenceConfig.maxTokens"),
            ", unless the newer name is given",
        ),
        ("n", Fate::Refused, " unless 1"),
        ("stream", Fate::LeftOut, ": the path says it"),
        ("stream_options", Fate::LeftOut, ": usage is reported unasked"),
        (
            "temperature",
            Fate::Mapped("inferenceConfig.temperature"),
            "; above 1 it becomes 1, which is reported as approximated",
        ),
        ("top_p", Fate::Mapped("inferenceConfig.topP"), ""),
        (
            "top_k",
            Fate::Mapped("additionalModelRequestFields.top_k"),
            " for Claude and Mistral, `k` for Cohere, `inferenceConfig.topK` for Nova; dropped for others",
        ),
        (
            "stop",
            Fate::Mapped("inferenceConfig.stopSequences"),
            "; an empty one, and for Claude one of white space only, is dropped",
        ),
        ("seed", Fate::Dropped, ""),
        ("presence_penalty", Fate::Dropped, " unless 0"),
        ("frequency_penalty", Fate::Dropped, " unless 0"),
        ("logit_bias", Fate::Dropped, " unless empty"),
        ("logprobs", Fate::Dropped, " unless false"),
        ("top_logprobs", Fate::Dropped, " unless 0"),
        ("tools", Fate::Mapped("toolConfig.tools"), ", see below"),
        (
            "tool_choice",
            Fate::Mapped("toolConfig.toolChoice"),
            ", see below",
        ),
        ("parallel_tool_calls", Fate::Dropped, " if false"),
        ("functions", Fate::Refused, ""),
        ("function_call", Fate::Refused, ""),
        (
            "response_format",
            Fate::Mapped("outputConfig.textFormat"),
            ", see below",
        ),
        (
            "metadata",
            Fate::Mapped("requestMetadata"),
            "; pairs that Bedrock does not take are dropped",
        ),
        ("user", Fate::Dropped, ""),
        ("safety_identifier", Fate::Dropped, ""),
        (
            "service_tier",
            Fate::LeftOut,
            " if `auto`; `default`, `priority`, `flex` and `reserved` as `serviceTier.type`, others are dropped",
        ),
        (
            "reasoning_effort",
            Fate::Mapped("additionalModelRequestFields.thinking"),
            " for Claude, see below",
        ),
        ("prompt_cache_key", Fate::Dropped, ""),
        ("prompt_cache_options", Fate::Dropped, ""),
        ("prompt_cache_retention", Fate::Dropped, ""),
        ("prediction", Fate::Dropped, ""),
        ("store", Fate::Dropped, ""),
        ("verbosity", Fate::Dropped, ""),
        ("modalities", Fate::Dropped, ""),
        ("audio", Fate::Dropped, ""),
        ("web_search_options", Fate::Dropped, ""),
        (
            "thinking",
            Fate::Mapped("additionalModelRequestFields.thinking"),
            " for Claude, dropped for others",
        ),
        (
            "cache_control",
            Fate::Mapped("messages"),
            ": a `cachePoint` at the end, for models that cache; else dropped",
        ),
        ("moderation", Fate::Dropped, ""),
    ],
    embeddings: &[
        ("model", Fate::LeftOut, ": the path names it"),
        (
            "input",
            Fate::Mapped("inputText"),
            ", one by one for Titan; `texts` for Cohere, approximated unless `input_type` is given",
        ),
        ("input as ids", Fate::Refused, ""),
        ("encoding_format", Fate::LeftOut, ": the gateway sees to it"),
        (
            "dimensions",
            Fate::Mapped("dimensions"),
            " where the model has a choice",
        ),
        ("user", Fate::Dropped, ""),
    ],
};
